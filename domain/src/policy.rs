//! Rules of the tenant's policy: a founder publishes a bundle, each with a greater revision. What
//! is in the archive, and who signed it, the host finds out beforehand.

use canonry_schemas::ids::Digest;
use canonry_schemas::policy::{Command, Event, Published};
use canonry_schemas::refusal::Refusal;
use canonry_schemas::text::Label;
use canonry_schemas::time::Time;
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::facts::{Applied, Facts};

/// A bundle that reads, compiles, and is signed by a founder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// SHA-256 of the archive.
    pub digest: Digest,
    /// Its revision, as its manifest says.
    pub revision: u64,
    /// Its version, for people.
    pub version: Label,
    /// When it expires.
    pub expires: Time,
    /// How long a copy may be used.
    pub ttl_seconds: u32,
}

/// The bundle in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Position of the record that published it.
    pub position: u64,
    /// The archive, base64.
    pub bundle: String,
    /// Its revision.
    pub revision: u64,
    /// SHA-256 of the archive.
    pub digest: Digest,
    /// When it expires.
    pub expires: Time,
}

/// The rules.
pub struct Policies;

impl Decider for Policies {
    type State = Policy;
    type Command = Command;
    type Event = Event;

    fn decide(
        state: Option<&Policy>,
        facts: &Facts<'_>,
        Command::Publish(c): Command,
    ) -> Result<Event, Refusal> {
        facts.founder()?;
        let checked = facts.bundle?;
        if checked.revision != c.revision {
            return Err(Refusal::BundleInvalid);
        }
        if checked.expires <= facts.now {
            return Err(Refusal::BundleExpired);
        }
        if state.is_some_and(|old| old.revision >= c.revision) {
            return Err(Refusal::BundleRolledBack);
        }
        Ok(Event::Published(Published {
            bundle: c.bundle,
            revision: c.revision,
            digest: checked.digest.clone(),
            version: checked.version.clone(),
            expires: checked.expires,
            ttl_seconds: checked.ttl_seconds,
        }))
    }

    fn evolve(state: Option<Policy>, applied: &Applied<'_>, event: &Event) -> Option<Policy> {
        let Event::Published(e) = event;
        // What was rolled back by hand would still not take effect.
        if state.as_ref().is_some_and(|old| old.revision >= e.revision) {
            return state;
        }
        Some(Policy {
            position: applied.position,
            bundle: e.bundle.clone(),
            revision: e.revision,
            digest: e.digest.clone(),
            expires: e.expires,
        })
    }
}
