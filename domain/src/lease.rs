//! Rules of leases: who gets one, what ends it, and what may be asked under it. Whether a lease
//! holds is judged anew at every command, on everything that was decided before it.

use canonry_schemas::event::Command as Any;
use canonry_schemas::ids::{ActorId, LeaseId, RoleId, RunId, TicketId};
use canonry_schemas::lease::{Cause, Command, Event, Issue, Issued, Revoked};
use canonry_schemas::limits::LEASES_PER_ROLE;
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::tier::{Policy, Tier};
use canonry_schemas::time::Time;
use canonry_schemas::{action, evidence, ext, role, run, ticket};
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::action::Action;
use crate::directory::Directory;
use crate::facts::{Applied, Facts};
use crate::role::Role;
use crate::run::Run;

/// What a decision must know of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its run.
    pub run: RunId,
    /// The run's ticket.
    pub ticket: TicketId,
    /// The run's role.
    pub role: RoleId,
    /// Who works.
    pub worker: ActorId,
    /// What it may do.
    pub tier: Tier,
    /// The key that signs its tokens, base64url.
    pub key: String,
    /// Until when.
    pub expires: Time,
    /// Whether it was ended before its time.
    pub revoked: bool,
}

/// A run's lease, as the run and the role remember it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which.
    pub id: LeaseId,
    /// Until when.
    pub expires: Time,
}

/// What a lease rests on.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// Its run.
    pub run: Option<&'a Run>,
    /// Its role.
    pub role: Option<&'a Role>,
    /// Members.
    pub directory: &'a Directory,
    /// The record's time.
    pub now: Time,
}

impl Lease {
    /// Whether it holds.
    ///
    /// # Errors
    /// `lease-revoked`, `lease-expired`, `run-ended`, `actor-removed`, `role-paused`,
    /// `role-retired`, `tier-too-low` where the role's tier fell below the lease's.
    pub fn standing(&self, on: &Ground<'_>) -> Result<(), Refusal> {
        if self.revoked {
            return Err(Refusal::LeaseRevoked);
        }
        if on.now >= self.expires {
            return Err(Refusal::LeaseExpired);
        }
        on.directory.admit(&self.worker)?;
        if on.run.is_none_or(|run| run.ended) {
            return Err(Refusal::RunEnded);
        }
        let role = on.role.ok_or(Refusal::RoleUnknown)?;
        role.workable()?;
        if role.tier < self.tier { Err(Refusal::TierTooLow) } else { Ok(()) }
    }

    /// Whether a command may be asked under it at all: the tier's file names it, and it is about
    /// this run, its ticket or an action of it. What else stands against it the command's own rules
    /// say. `action` is the one that the command names, where there is such a one.
    ///
    /// A role's tier may have grown since: what it allows and the lease's tier does not is refused.
    /// What the role's tier does not allow either is for the rules to deny, on the record.
    ///
    /// # Errors
    /// `tier-too-low`, `lease-foreign`.
    pub fn covers(
        &self,
        id: &LeaseId,
        command: &Any,
        action: Option<&Action>,
        role: Tier,
    ) -> Result<(), Refusal> {
        let (aggregate, verb) = command.name();
        if !Policy::of(self.tier).may_command(aggregate, verb) {
            return Err(Refusal::TierTooLow);
        }
        let (run, ticket) = (self.run.as_str(), self.ticket.as_str());
        let own = match command {
            Any::Run(c) => match c {
                run::Command::Start(_) => false,
                run::Command::RecordStep(c) => c.id == self.run,
                run::Command::Complete(c) | run::Command::Fail(c) | run::Command::Cancel(c) => {
                    c.id == self.run
                }
            },
            Any::Ticket(c) => match c {
                ticket::Command::Open(_) => true,
                ticket::Command::RequestApproval(c) => c.id == self.ticket,
                ticket::Command::Complete(c) => c.id == self.ticket,
                _ => false,
            },
            Any::Evidence(evidence::Command::Attach(c)) => {
                c.id.as_str() == run || c.id.as_str() == ticket
            }
            Any::Ext(ext::Command::Append(c)) => c.entity.as_ref().is_some_and(|entity| {
                let about = entity.as_str().split_once('/');
                about == Some(("run", run)) || about == Some(("ticket", ticket))
            }),
            Any::Role(role::Command::Fingerprint(c)) => c.id == self.role,
            Any::Action(action::Command::Propose(c)) => c.run == self.run,
            Any::Action(_) => action.is_some_and(|action| action.run == self.run),
            Any::Lease(Command::Issue(c)) => c.run == self.run,
            Any::Lease(Command::Revoke(c)) => &c.id == id,
            _ => false,
        };
        if !own {
            return Err(Refusal::LeaseForeign);
        }
        let (tool, does) = match (command, action) {
            (Any::Action(action::Command::Propose(c)), _) => (&c.tool, &c.action),
            (Any::Action(action::Command::Resume(_)), Some(held)) => (&held.tool, &held.action),
            _ => return Ok(()),
        };
        let may = |tier| Policy::of(tier).may_act(&tool.0, &does.0);
        if may(role) && !may(self.tier) { Err(Refusal::TierTooLow) } else { Ok(()) }
    }
}

/// Whether a tenant that wants leases wants one for this command of a worker: everything that a
/// run does. A run is started, and its first lease asked for, without.
#[must_use]
pub fn wanted(command: &Any) -> bool {
    match command {
        Any::Run(c) => !matches!(c, run::Command::Start(_)),
        Any::Evidence(_) => true,
        Any::Action(c) => {
            use action::Command as A;
            matches!(c, A::Propose(_) | A::Resume(_) | A::AskAgain(_) | A::Settle(_))
        }
        Any::Ticket(c) => {
            matches!(c, ticket::Command::RequestApproval(_) | ticket::Command::Complete(_))
        }
        _ => false,
    }
}

/// The rules.
pub struct Leases;

fn issue(facts: &Facts<'_>, c: Issue) -> Result<Issued, Refusal> {
    facts.allow(&[Part::Operator, Part::Worker])?;
    let (_, run) = facts.run.ok_or(Refusal::RunUnknown)?;
    if run.ended {
        return Err(Refusal::RunEnded);
    }
    if &run.worker != facts.actor && !facts.may(&[Part::Operator]) {
        return Err(Refusal::RunOfAnother);
    }
    facts.directory.admit(&run.worker)?;
    let (_, role) = facts.role.ok_or(Refusal::RoleUnknown)?;
    role.workable()?;
    let key_id = facts.lease_key.cloned()?;
    let living = run.lease.as_ref().filter(|held| facts.now < held.expires);
    match (living, &c.renews) {
        (Some(held), Some(renews)) if &held.id == renews => {}
        (Some(_), _) => return Err(Refusal::LeaseLiving),
        (None, Some(_)) => return Err(Refusal::LeaseUnknown),
        (None, None) => {}
    }
    let others =
        role.leases.iter().filter(|(id, end)| facts.now < **end && c.renews.as_ref() != Some(*id));
    if others.count() >= LEASES_PER_ROLE {
        return Err(Refusal::LeasesFull);
    }
    let life = i64::from(Policy::of(role.tier).life_seconds) * 1_000_000;
    Ok(Issued {
        run: c.run,
        ticket: run.ticket.clone(),
        role: run.role.clone(),
        worker: run.worker.clone(),
        tier: role.tier,
        login: c.login,
        key: c.key,
        key_id,
        renews: c.renews,
        expires: Time(facts.now.0.saturating_add(life)),
    })
}

impl Decider for Leases {
    type State = Lease;
    type Command = Command;
    type Event = Event;

    fn decide(
        state: Option<&Lease>,
        facts: &Facts<'_>,
        command: Command,
    ) -> Result<Event, Refusal> {
        match command {
            Command::Issue(c) => issue(facts, c).map(Event::Issued),
            Command::Revoke(c) => {
                facts.allow(&[Part::Operator, Part::Worker])?;
                let lease = state.ok_or(Refusal::LeaseUnknown)?;
                // To say that a rule was broken is for those who watch.
                let own = &lease.worker == facts.actor && c.cause != Cause::Violation;
                if !own && !facts.may(&[Part::Operator]) {
                    return Err(Refusal::NotAllowed);
                }
                if lease.revoked {
                    return Err(Refusal::LeaseRevoked);
                }
                if facts.now >= lease.expires {
                    return Err(Refusal::LeaseExpired);
                }
                let (run, role) = (lease.run.clone(), lease.role.clone());
                Ok(Event::Revoked(Revoked { id: c.id, run, role, cause: c.cause }))
            }
        }
    }

    fn evolve(state: Option<Lease>, _: &Applied<'_>, event: &Event) -> Option<Lease> {
        match event {
            Event::Issued(e) => Some(Lease {
                run: e.run.clone(),
                ticket: e.ticket.clone(),
                role: e.role.clone(),
                worker: e.worker.clone(),
                tier: e.tier,
                key: e.key.clone(),
                expires: e.expires,
                revoked: false,
            }),
            Event::Revoked(_) => state.map(|lease| Lease { revoked: true, ..lease }),
        }
    }
}

impl Lease {
    /// After another lease took its place.
    #[must_use]
    pub fn replaced(self) -> Self {
        Self { revoked: true, ..self }
    }
}

impl Run {
    /// Folds a lease's record, which this run is touched by.
    #[must_use]
    pub fn evolve_lease(mut self, lease: &str, event: &Event) -> Self {
        match event {
            Event::Issued(e) => {
                self.lease = lease.parse().ok().map(|id| Held { id, expires: e.expires });
            }
            Event::Revoked(e) => {
                self.lease = self.lease.filter(|held| held.id != e.id);
                if e.cause == Cause::Violation {
                    self.violations = self.violations.saturating_add(1);
                }
            }
        }
        self
    }
}

impl Role {
    /// Folds a lease's record, which this role is touched by. What has expired is forgotten.
    #[must_use]
    pub fn evolve_lease(mut self, lease: &str, event: &Event, now: Time) -> Self {
        match event {
            Event::Issued(e) => {
                self.leases.retain(|id, end| now < *end && e.renews.as_ref() != Some(id));
                if let Ok(id) = lease.parse() {
                    self.leases.insert(id, e.expires);
                }
            }
            Event::Revoked(e) => {
                self.leases.remove(&e.id);
            }
        }
        self
    }
}
