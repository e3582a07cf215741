//! The tenant's own keys: who may ask for a change. Whether it is lawful arrives as a fact.

use canonry_schemas::refusal::Refusal;
use canonry_schemas::tenant::{Command, Event};

use crate::facts::Facts;

/// Decides a command about the tenant itself.
///
/// # Errors
/// The refusal, when a rule forbids the command.
pub fn decide(facts: &Facts<'_>, command: Command) -> Result<Event, Refusal> {
    let Command::RotateKeys(change) = command;
    facts.founder()?;
    facts.keys?;
    Ok(Event::KeysRotated(change))
}
