//! What a decision may know beside its own state, and what a fold knows beside the event.

use canonry_schemas::ids::{ActorId, KeyId, RoleId, RunId};
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::time::Time;

use crate::books::Books;
use crate::directory::Directory;
use crate::policy::Checked;
use crate::role::Role;
use crate::run::Run;
use crate::ticket::Ticket;
use crate::tier::Tiers;
use crate::weigh::Judged;

/// An approval whose signature the shell has already checked against the approver's `member` key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Who signed.
    pub by: ActorId,
    /// What it is about, `ticket/<id>` or `action/<id>`.
    pub entity: String,
    /// Yes or no.
    pub approve: bool,
    /// The intent it is for.
    pub intent: String,
    /// Position of the record that asked.
    pub position: u64,
    /// Hash (hex) of the record that asked.
    pub hash: String,
}

/// An assertion whose signature the shell has already checked against the person's `stepup` key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Who signed.
    pub by: ActorId,
    /// What it is for, `action/<id>`.
    pub entity: String,
    /// The level that it says.
    pub level: u8,
    /// The level that its key reaches.
    pub reach: u8,
    /// The intent it is for.
    pub intent: String,
    /// Position of the record that asked.
    pub position: u64,
    /// Hash (hex) of the record that asked.
    pub hash: String,
}

/// The world as a decision may see it.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The record's time, if it comes to one.
    pub now: Time,
    /// Whose command this is.
    pub actor: &'a ActorId,
    /// The command's intent id.
    pub intent: &'a str,
    /// What the actor may do; empty for a service's own commands.
    pub parts: &'a [Part],
    /// The role that the actor works for.
    pub works_for: Option<&'a RoleId>,
    /// Whether this is the decider's own timer.
    pub timer: bool,
    /// Members and keys.
    pub directory: &'a Directory,
    /// Whether the change of keys in the command is lawful.
    pub keys: Result<(), Refusal>,
    /// The verified approval in the command.
    pub approval: Option<&'a Approval>,
    /// The verified assertion in the command.
    pub assertion: Option<&'a Assertion>,
    /// The level that each member's `stepup` keys reach, where a policy asks for one.
    pub reaches: &'a [(ActorId, u8)],
    /// The role that the command or its ticket names, with its id.
    pub role: Option<(&'a RoleId, &'a Role)>,
    /// The ticket that a run's command names, or that a custom record is about.
    pub ticket: Option<&'a Ticket>,
    /// The id of the key that a lease is to be for, if its keys may be used.
    pub lease_key: Result<&'a KeyId, Refusal>,
    /// What moves roles between tiers.
    pub tiers: &'a Tiers,
    /// Whether a custom record's data fits its schema, and what it is about exists.
    pub appended: Result<(), Refusal>,
    /// The run that an action is part of or a lease is asked for, with its id.
    pub run: Option<(&'a RunId, &'a Run)>,
    /// The tenant's account and prices; none where nothing was written into them yet.
    pub books: Option<&'a Books>,
    /// What the policy says about an action, or why it was not asked.
    pub judged: Result<&'a Judged, Refusal>,
    /// The bundle that is published, or what is wrong with it.
    pub bundle: Result<&'a Checked, Refusal>,
}

impl Facts<'_> {
    /// Whether the actor has one of these parts; a founder may do everything.
    #[must_use]
    pub fn may(&self, parts: &[Part]) -> bool {
        self.parts.contains(&Part::Founder) || self.parts.iter().any(|p| parts.contains(p))
    }

    /// Refuses an actor who has none of these parts.
    ///
    /// # Errors
    /// `not-allowed`.
    pub fn allow(&self, parts: &[Part]) -> Result<(), Refusal> {
        if self.may(parts) { Ok(()) } else { Err(Refusal::NotAllowed) }
    }

    /// Whether the approval in the command is this actor's, for this intent, and says so about what
    /// the record at this position asked.
    #[must_use]
    pub fn answers(&self, entity: &str, yes: bool, position: u64, hash: &str) -> bool {
        self.approval.is_some_and(|given| {
            &given.by == self.actor
                && given.entity == entity
                && given.approve == yes
                && given.intent == self.intent
                && given.position == position
                && given.hash == hash
        })
    }

    /// The assertion in the command, if it is this actor's, for this intent, and for
    /// what the record at this position asked.
    #[must_use]
    pub fn asserts(&self, entity: &str, position: u64, hash: &str) -> Option<&Assertion> {
        self.assertion.filter(|given| {
            &given.by == self.actor
                && given.entity == entity
                && given.intent == self.intent
                && given.position == position
                && given.hash == hash
        })
    }

    /// Refuses everybody but a founder.
    ///
    /// # Errors
    /// `founder-only`.
    pub fn founder(&self) -> Result<(), Refusal> {
        if self.parts.contains(&Part::Founder) { Ok(()) } else { Err(Refusal::FounderOnly) }
    }
}

/// Where and when an event stands.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// Its position.
    pub position: u64,
    /// Its hash, 64 hex digits.
    pub hash: &'a str,
    /// Its time.
    pub time: Time,
    /// Whose command it was.
    pub actor: &'a ActorId,
}
