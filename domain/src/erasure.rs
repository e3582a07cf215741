//! Erasing content: who may, of what, and once. The key itself is shredded by whoever holds the
//! tenant, after the record stands.

use canonry_schemas::content::{Command, Erased, Event};
use canonry_schemas::ids::ContentKeyId;
use canonry_schemas::refusal::Refusal;

use crate::facts::Facts;

/// An entity as far as its content goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Whether there is such an entity.
    pub exists: bool,
    /// Whether its content was erased before.
    pub erased: bool,
    /// The key that its content is sealed under; none where it never had content.
    pub key: Option<ContentKeyId>,
}

/// Decides a command about content.
///
/// # Errors
/// The refusal, when a rule forbids the command.
pub fn decide(facts: &Facts<'_>, sealed: &Sealed, command: Command) -> Result<Event, Refusal> {
    let Command::Erase(erase) = command;
    facts.founder()?;
    if !sealed.exists {
        return Err(Refusal::EntityUnknown);
    }
    if sealed.erased {
        return Err(Refusal::ContentErased);
    }
    Ok(Event::Erased(Erased { entity: erase.entity, key: sealed.key.clone() }))
}
