//! Rules of custom record types: who registers a kind, which version comes next, who appends.
//! Whether data fits its schema the host finds out beforehand, since compiled schemas are kept
//! there.

use std::collections::BTreeMap;

use canonry_schemas::ext::{Append, Command, Event, Register};
use canonry_schemas::kind::{Compiled, SchemaText};
use canonry_schemas::limits::EXT_VERSIONS;
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::facts::{Applied, Facts};

/// A registered kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kind {
    versions: BTreeMap<u32, SchemaText>,
}

impl Kind {
    /// The schema of a version.
    #[must_use]
    pub fn schema(&self, version: u32) -> Option<&SchemaText> {
        self.versions.get(&version)
    }
}

/// The rules.
pub struct Exts;

fn register(kind: Option<&Kind>, facts: &Facts<'_>, c: Register) -> Result<Event, Refusal> {
    facts.founder()?;
    let versions = kind.map(|kind| &kind.versions);
    if versions.and_then(|v| v.last_key_value()).is_some_and(|(last, _)| *last >= c.version) {
        return Err(Refusal::KindVersionTaken);
    }
    if versions.is_some_and(|v| v.len() >= EXT_VERSIONS) {
        return Err(Refusal::KindVersionsFull);
    }
    Compiled::new(&c.schema).map_err(|_| Refusal::ExtSchemaInvalid)?;
    Ok(Event::Registered(c))
}

/// Operators append about anything, workers about nothing in particular or about tickets and runs
/// of their own role.
fn append(kind: Option<&Kind>, facts: &Facts<'_>, c: Append) -> Result<Event, Refusal> {
    facts.allow(&[Part::Operator, Part::Worker])?;
    if kind.and_then(|kind| kind.schema(c.version)).is_none() {
        return Err(Refusal::KindUnknown);
    }
    facts.appended?;
    if c.entity.is_some() && !facts.may(&[Part::Operator]) {
        let theirs = facts.ticket.and_then(|ticket| ticket.role.as_ref());
        if theirs.is_none() || theirs != facts.works_for {
            return Err(Refusal::OtherRole);
        }
    }
    Ok(Event::Appended(c))
}

impl Decider for Exts {
    type State = Kind;
    type Command = Command;
    type Event = Event;

    fn decide(kind: Option<&Kind>, facts: &Facts<'_>, command: Command) -> Result<Event, Refusal> {
        match command {
            Command::Register(c) => register(kind, facts, c),
            Command::Append(c) => append(kind, facts, c),
        }
    }

    fn evolve(kind: Option<Kind>, _: &Applied<'_>, event: &Event) -> Option<Kind> {
        match event {
            Event::Registered(e) => {
                let mut kind = kind.unwrap_or_default();
                // The first schema of a version stands, whatever comes later.
                kind.versions.entry(e.version).or_insert_with(|| SchemaText::from(&e.schema));
                Some(kind)
            }
            Event::Appended(_) => kind,
        }
    }
}
