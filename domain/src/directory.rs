//! The directory of a tenant: its members and their parts. Keys are folded beside it, in the key
//! ring of `canonry-record`.

use std::collections::BTreeMap;

use canonry_schemas::ids::{ActorId, RoleId};
use canonry_schemas::key::Use;
use canonry_schemas::limits::{DELEGATION_LIFE, MEMBERS};
use canonry_schemas::member::{Command, Event, Part};
use canonry_schemas::refusal::Refusal;
use canonry_schemas::tenant;
use canonry_schemas::time::Time;
use serde::{Deserialize, Serialize};

use crate::facts::{Applied, Facts};

/// A person or worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What they may do.
    pub parts: Vec<Part>,
    /// The role that a worker works for.
    pub role: Option<RoleId>,
    /// Whether they were removed; a removed token is never given again.
    pub removed: bool,
}

/// That somebody answers in an approver's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// Who.
    pub to: ActorId,
    /// From when on.
    pub from: Time,
    /// Until when.
    pub until: Time,
}

/// All members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    members: BTreeMap<ActorId, Member>,
    /// By who is absent: the last delegation of each.
    #[serde(default)]
    delegations: BTreeMap<ActorId, Delegation>,
}

impl Directory {
    /// A member, removed ones included.
    #[must_use]
    pub fn member(&self, actor: &ActorId) -> Option<&Member> {
        self.members.get(actor)
    }

    /// All members, removed ones included.
    pub fn members(&self) -> impl Iterator<Item = (&ActorId, &Member)> {
        self.members.iter()
    }

    /// Who is absent at a moment and has this member answer instead.
    pub fn delegators(&self, to: &ActorId, now: Time) -> impl Iterator<Item = &ActorId> {
        let holds = move |d: &Delegation| &d.to == to && d.from <= now && now < d.until;
        self.delegations.iter().filter(move |(_, d)| holds(d)).map(|(actor, _)| actor)
    }

    /// The member who asks for something.
    ///
    /// # Errors
    /// `actor-unknown` or `actor-removed`.
    pub fn admit(&self, actor: &ActorId) -> Result<&Member, Refusal> {
        match self.members.get(actor) {
            None => Err(Refusal::ActorUnknown),
            Some(m) if m.removed => Err(Refusal::ActorRemoved),
            Some(m) => Ok(m),
        }
    }

    fn present(&self, actor: &ActorId) -> Result<&Member, Refusal> {
        match self.members.get(actor) {
            None => Err(Refusal::MemberUnknown),
            Some(m) if m.removed => Err(Refusal::MemberRemoved),
            Some(m) => Ok(m),
        }
    }

    fn founders(&self) -> usize {
        self.members.values().filter(|m| !m.removed && m.parts.contains(&Part::Founder)).count()
    }

    /// Decides a member command.
    ///
    /// # Errors
    /// The refusal, when a rule forbids the command.
    pub fn decide(&self, facts: &Facts<'_>, command: Command) -> Result<Event, Refusal> {
        match command {
            Command::Enrol(c) => {
                facts.founder()?;
                if c.actor.is_service() {
                    return Err(Refusal::ServiceToken);
                }
                if self.members.contains_key(&c.actor) {
                    return Err(Refusal::AlreadyEnrolled);
                }
                if self.members.len() >= MEMBERS {
                    return Err(Refusal::MembersFull);
                }
                match (c.role.is_some(), facts.role) {
                    (true, None) => return Err(Refusal::RoleUnknown),
                    (true, Some((_, role))) if role.retired() => return Err(Refusal::RoleRetired),
                    _ => {}
                }
                let one = |u| c.keys.iter().filter(|k| k.uses == [u]).count() == 1;
                let pair = c.keys.len() == 2 && one(Use::Login) && one(Use::Member);
                let own = c.keys.iter().all(|k| k.actor == c.actor);
                if !pair || !own || !c.revoked.is_empty() {
                    return Err(Refusal::KeysInvalid);
                }
                facts.keys?;
                Ok(Event::Enrolled(c))
            }
            Command::Remove(c) => {
                facts.founder()?;
                let member = self.present(&c.actor)?;
                if member.parts.contains(&Part::Founder) && self.founders() == 1 {
                    return Err(Refusal::LastFounder);
                }
                facts.keys?;
                Ok(Event::Removed(c))
            }
            Command::RotateKeys(c) => {
                if facts.actor != &c.actor {
                    facts.founder()?;
                }
                self.present(&c.actor)?;
                if c.keys.iter().any(|k| k.actor != c.actor) {
                    return Err(Refusal::KeysInvalid);
                }
                facts.keys?;
                Ok(Event::KeysRotated(c))
            }
            Command::Delegate(c) => {
                facts.allow(&[Part::Approver])?;
                let worker = self.present(&c.to)?.parts.contains(&Part::Worker);
                let from = c.from.unwrap_or(facts.now).max(facts.now);
                let most = i64::try_from(DELEGATION_LIFE.as_micros()).unwrap_or(i64::MAX);
                let short = c.until.0.saturating_sub(from.0) <= most;
                if worker || &c.to == facts.actor || c.until <= from || !short {
                    return Err(Refusal::DelegationInvalid);
                }
                Ok(Event::Delegated(c))
            }
            Command::EndDelegation(c) => {
                facts.allow(&[Part::Approver])?;
                let open = self.delegations.get(facts.actor).is_some_and(|d| facts.now < d.until);
                if open { Ok(Event::DelegationEnded(c)) } else { Err(Refusal::DelegationUnknown) }
            }
        }
    }

    /// Folds the founding.
    pub fn found(&mut self, founded: &tenant::Founded) {
        for first in &founded.members {
            let member = Member { parts: first.parts.clone(), role: None, removed: false };
            self.members.insert(first.actor.clone(), member);
        }
    }

    /// Folds a member event.
    pub fn evolve(&mut self, applied: &Applied<'_>, event: &Event) {
        match event {
            Event::Enrolled(e) => {
                let member =
                    Member { parts: e.parts.clone(), role: e.role.clone(), removed: false };
                self.members.insert(e.actor.clone(), member);
            }
            Event::Removed(e) => {
                if let Some(member) = self.members.get_mut(&e.actor) {
                    member.removed = true;
                }
            }
            Event::KeysRotated(_) => {}
            Event::Delegated(e) => {
                let from = e.from.unwrap_or(applied.time);
                let delegation = Delegation { to: e.to.clone(), from, until: e.until };
                self.delegations.insert(applied.actor.clone(), delegation);
            }
            Event::DelegationEnded(_) => {
                self.delegations.remove(applied.actor);
            }
        }
    }
}
