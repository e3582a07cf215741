//! A tenant as its facts leave it, and a command decided in it: what the desk does, without keys,
//! tokens and stores. The rules are reached through [`canonry_decider::hosted`], members directly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use canonry_decider::desk::target;
use canonry_decider::hosted::{self, OwnFacts};
use canonry_domain::action::{Action, Actions, ready};
use canonry_domain::books::{Books, Budgets};
use canonry_domain::directory::Directory;
use canonry_domain::evidence::Evidences;
use canonry_domain::ext::{Exts, Kind};
use canonry_domain::lease::{Lease, Leases};
use canonry_domain::policy::{Checked, Policies, Policy};
use canonry_domain::role::{Role, Roles};
use canonry_domain::run::{Run, Runs};
use canonry_domain::ticket::{Ticket, Tickets};
use canonry_domain::tier::{Tiers, violates};
use canonry_domain::weigh::Judged;
use canonry_domain::{Applied, Approval, Assertion, Decider, Facts, State, erasure};
use canonry_schemas::event::{Command, Event};
use canonry_schemas::ids::{ActorId, KeyId, RoleId, RunId};
use canonry_schemas::lease::Cause;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::time::Time;
use canonry_schemas::{action, budget, content, ext, lease, member, run, tenant, ticket, tier};
use serde::{Deserialize, Serialize};

/// Where, when and whose: what the chain knows of a fact beside what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Its position; its hash is made of it.
    pub position: u64,
    /// Its time.
    pub time: Time,
    /// Whose command it was.
    pub actor: ActorId,
}

impl At {
    /// A hash like no other.
    pub fn hash(&self) -> String {
        hash(self.position)
    }

    /// The state of an aggregate after a fact that stands here.
    pub fn evolve<D: Decider>(
        &self,
        state: Option<D::State>,
        event: &D::Event,
    ) -> Option<D::State> {
        D::evolve(state, &self.applied(&self.hash()), event)
    }

    fn applied<'a>(&'a self, hash: &'a str) -> Applied<'a> {
        Applied { position: self.position, hash, time: self.time, actor: &self.actor }
    }
}

/// The hash of the fact at a position.
pub fn hash(position: u64) -> String {
    format!("{position:064x}")
}

/// The kind that a command registers or appends to.
pub fn kind_of(command: &ext::Command) -> &str {
    match command {
        ext::Command::Register(c) => c.kind.as_str(),
        ext::Command::Append(c) => c.kind.as_str(),
    }
}

/// The tenant of the tables.
pub const TENANT: &str = "acme";

/// The id of what a command limits; prices are the tenant's.
pub fn whose(command: &budget::Command) -> &str {
    match command {
        budget::Command::Limit(c) => c.scope.entity().map_or(TENANT, |(_, id)| id),
        budget::Command::Price(_) => TENANT,
    }
}

/// One record's worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Where it stands.
    pub at: At,
    /// The id of the commanded entity.
    pub id: String,
    /// What happened.
    pub event: Event,
}

/// Who asks for what, and what the shell has found out about it.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Whose command.
    pub actor: ActorId,
    /// Its intent.
    pub intent: String,
    /// The record's time.
    pub now: Time,
    /// The approval in it, verified.
    pub approval: Option<Approval>,
    /// The assertion in it, verified.
    pub assertion: Option<Assertion>,
    /// The level that each member's keys reach.
    pub reaches: Vec<(ActorId, u8)>,
    /// Whether its change of keys is lawful.
    pub keys: Result<(), Refusal>,
    /// Whether what is appended fits, and is about something that exists.
    pub appended: Result<(), Refusal>,
    /// What the policy says.
    pub judged: Result<Judged, Refusal>,
    /// The bundle in it, looked at.
    pub bundle: Result<Checked, Refusal>,
    /// The id of the key that a lease is for, if its keys may be used.
    pub lease_key: Result<KeyId, Refusal>,
    /// What.
    pub command: Command,
}

/// The fold of all facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenant {
    /// Members.
    pub directory: Arc<Directory>,
    /// Roles by id.
    pub roles: BTreeMap<String, Role>,
    /// Tickets by id.
    pub tickets: BTreeMap<String, Ticket>,
    /// Runs by id.
    pub runs: BTreeMap<String, Run>,
    /// Entities whose content was erased.
    pub erased: BTreeSet<String>,
    /// Custom record types by name.
    pub kinds: BTreeMap<String, Kind>,
    /// The policy in force, by the tenant's name.
    pub policies: BTreeMap<String, Policy>,
    /// Actions by id.
    pub actions: BTreeMap<String, Action>,
    /// The tenant's account and prices, once something was written into them.
    pub books: Option<Books>,
    /// What moves roles between tiers.
    pub tiers: Tiers,
    /// Leases by id.
    pub leases: BTreeMap<String, Lease>,
}

/// Folds an action's fact into another state, which must stay of its kind.
macro_rules! through {
    ($state:expr, $kind:ident, $applied:expr, $event:expr) => {
        if let Some(state) = $state {
            let mut whole = State::$kind(state.clone());
            whole.hear($applied, $event);
            let State::$kind(new) = whole else { unreachable!("a state stays of its kind") };
            *state = new;
        }
    };
}

fn step<D: Decider>(states: &mut BTreeMap<String, D::State>, fact: &Fact, event: &D::Event) {
    let old = states.remove(&fact.id);
    if let Some(new) = fact.at.evolve::<D>(old, event) {
        states.insert(fact.id.clone(), new);
    }
}

impl Tenant {
    /// Folds one fact.
    pub fn fold(&mut self, fact: &Fact) {
        match &fact.event {
            Event::Tenant(tenant::Event::Founded(e)) => Arc::make_mut(&mut self.directory).found(e),
            Event::Content(content::Event::Erased(e)) => {
                self.erased.insert(e.entity.to_string());
            }
            Event::Tenant(
                tenant::Event::TakenOver(_)
                | tenant::Event::KeysRotated(_)
                | tenant::Event::Repaired(_),
            )
            | Event::Actor(_)
            | Event::Refused { .. } => {}
            Event::Tier(tier::Event::Configured(e)) => {
                let hash = fact.at.hash();
                self.tiers = Tiers::configured(&fact.at.applied(&hash), e);
            }
            Event::Member(e) => {
                let hash = fact.at.hash();
                Arc::make_mut(&mut self.directory).evolve(&fact.at.applied(&hash), e);
            }
            Event::Role(e) => step::<Roles>(&mut self.roles, fact, e),
            Event::Ticket(e) => step::<Tickets>(&mut self.tickets, fact, e),
            Event::Ext(ext::Event::Appended(_)) => {}
            Event::Ext(e @ ext::Event::Registered(c)) => {
                let fact = Fact { id: c.kind.to_string(), ..fact.clone() };
                step::<Exts>(&mut self.kinds, &fact, e);
            }
            Event::Lease(e) => self.fold_lease(fact, e),
            Event::Run(e) => {
                let old = self.runs.get(&fact.id).cloned();
                step::<Runs>(&mut self.runs, fact, e);
                let ticket = self.runs.get(&fact.id).map(|run| run.ticket.to_string());
                if let Some((id, old)) = ticket.and_then(|id| self.tickets.remove_entry(&id)) {
                    self.tickets.insert(id, old.evolve_run(&fact.id, e));
                }
                let ended = self.runs.get(&fact.id).is_some_and(|run| run.ended);
                if let Some(run) = old.filter(|run| ended && !run.ended) {
                    self.run_ended(fact, &run, e);
                }
            }
            Event::Evidence(e) => {
                let new = fact.at.evolve::<Evidences>(self.work(&fact.id), e);
                self.put(&fact.id, new);
            }
            Event::Budget(e) => {
                let new = fact.at.evolve::<Budgets>(self.limited(&fact.id), e);
                self.put(&fact.id, new);
            }
            Event::Policy(e) => step::<Policies>(&mut self.policies, fact, e),
            Event::Action(e) => {
                step::<Actions>(&mut self.actions, fact, e);
                self.hear(fact, e);
            }
        }
    }

    /// What an action's fact moves besides.
    fn hear(&mut self, fact: &Fact, event: &action::Event) {
        let violated = violates(event);
        let hash = fact.at.hash();
        let applied = fact.at.applied(&hash);
        for entity in event.touches("acme") {
            let (aggregate, id) = entity.split_once('/').unwrap();
            match aggregate {
                "role" => {
                    through!(self.roles.get_mut(id), Role, &applied, event);
                    let old = if violated { self.roles.remove_entry(id) } else { None };
                    if let Some((id, role)) = old {
                        self.roles.insert(id, role.reviewed(&self.tiers, fact.at.time));
                    }
                }
                "run" => through!(self.runs.get_mut(id), Run, &applied, event),
                "ticket" => through!(self.tickets.get_mut(id), Ticket, &applied, event),
                _ => {
                    let books = self.books.get_or_insert_default();
                    through!(Some(books), Books, &applied, event);
                }
            }
        }
    }

    fn put(&mut self, id: &str, new: Option<State>) {
        match new {
            Some(State::Role(new)) => drop(self.roles.insert(id.to_owned(), new)),
            Some(State::Ticket(new)) => drop(self.tickets.insert(id.to_owned(), new)),
            Some(State::Run(new)) => drop(self.runs.insert(id.to_owned(), new)),
            Some(State::Books(new)) => self.books = Some(new),
            Some(_) | None => {}
        }
    }

    /// What has an account: a role, ticket or run, else the tenant.
    pub fn limited(&self, id: &str) -> Option<State> {
        if id == TENANT {
            return self.books.clone().map(State::Books);
        }
        self.work(id).or_else(|| self.roles.get(id).cloned().map(State::Role))
    }

    fn run_ended(&mut self, fact: &Fact, run: &Run, event: &run::Event) {
        let Some((id, mut role)) = self.roles.remove_entry(run.role.as_str()) else { return };
        if let Some(held) = &run.lease {
            role.leases.remove(&held.id);
        }
        let hash = fact.at.hash();
        let compliant = matches!(event, run::Event::Completed(_)) && run.violations == 0;
        role.standing.ran(compliant, &fact.at.applied(&hash));
        self.roles.insert(id, role.reviewed(&self.tiers, fact.at.time));
    }

    fn fold_lease(&mut self, fact: &Fact, event: &lease::Event) {
        step::<Leases>(&mut self.leases, fact, event);
        let (run, role) = match event {
            lease::Event::Issued(e) => (&e.run, &e.role),
            lease::Event::Revoked(e) => (&e.run, &e.role),
        };
        if let Some((id, old)) = self.runs.remove_entry(run.as_str()) {
            self.runs.insert(id, old.evolve_lease(&fact.id, event));
        }
        if let Some((id, old)) = self.roles.remove_entry(role.as_str()) {
            let mut role = old.evolve_lease(&fact.id, event, fact.at.time);
            let hash = fact.at.hash();
            if matches!(event, lease::Event::Revoked(e) if e.cause == Cause::Violation) {
                role.standing.violated(&fact.at.applied(&hash));
            }
            self.roles.insert(id, role.reviewed(&self.tiers, fact.at.time));
        }
        if let lease::Event::Issued(e) = event
            && let Some(old) = &e.renews
            && let Some((id, lease)) = self.leases.remove_entry(old.as_str())
        {
            self.leases.insert(id, lease.replaced());
        }
    }

    /// A ticket or run.
    pub fn work(&self, id: &str) -> Option<State> {
        let ticket = self.tickets.get(id).cloned().map(State::Ticket);
        ticket.or_else(|| self.runs.get(id).cloned().map(State::Run))
    }

    /// The fold of a whole history.
    pub fn of(history: &[Fact]) -> Self {
        let mut tenant = Self::default();
        history.iter().for_each(|fact| tenant.fold(fact));
        tenant
    }

    /// What the rules of everything but members may know.
    ///
    /// # Errors
    /// Who asks is not there, or not any more.
    pub fn facts(&self, ask: &Ask) -> Result<OwnFacts, Refusal> {
        let (parts, works_for) = if ask.actor.is_service() {
            (Vec::new(), None)
        } else {
            let member = self.directory.admit(&ask.actor)?;
            (member.parts.clone(), member.role.clone())
        };
        let (named_role, ticket) = self.named(&ask.command);
        let role = named_role.and_then(|id| {
            let role = self.roles.get(id.as_str())?.clone();
            Some((id, role))
        });
        Ok(OwnFacts {
            now: ask.now,
            actor: ask.actor.clone(),
            intent: ask.intent.clone(),
            parts,
            works_for,
            timer: ask.actor.as_str() == canonry_decider::ACTOR,
            directory: Arc::clone(&self.directory),
            approval: ask.approval.clone(),
            assertion: ask.assertion.clone(),
            reaches: ask.reaches.clone(),
            role,
            ticket: ticket.cloned(),
            lease_key: ask.lease_key.clone(),
            tiers: self.tiers.clone(),
            appended: ask.appended,
            run: self.run_of(&ask.command).map(|(id, run)| (id, run.clone())),
            books: self.books.clone(),
            judged: ask.judged.clone(),
            bundle: ask.bundle.clone(),
        })
    }

    /// The run that an action's command is about, or that a lease is asked for.
    fn run_of(&self, command: &Command) -> Option<(RunId, &Run)> {
        let id = match command {
            Command::Lease(lease::Command::Issue(c)) => &c.run,
            Command::Action(action::Command::Propose(c)) => &c.run,
            Command::Action(other) => &self.actions.get(other.action()?.as_str())?.run,
            _ => return None,
        };
        Some((id.clone(), self.runs.get(id.as_str())?))
    }

    /// The role and the ticket that a command names beside its own entity.
    fn named(&self, command: &Command) -> (Option<RoleId>, Option<&Ticket>) {
        match command {
            Command::Member(member::Command::Enrol(c)) => (c.role.clone(), None),
            Command::Ticket(ticket::Command::Open(c)) => (c.role.clone(), None),
            Command::Ticket(ticket::Command::Assign(c)) => (Some(c.role.clone()), None),
            Command::Run(run::Command::Start(c)) => {
                let ticket = self.tickets.get(c.ticket.as_str());
                (ticket.and_then(|t| t.role.clone()), ticket)
            }
            Command::Lease(lease::Command::Issue(c)) => {
                (self.runs.get(c.run.as_str()).map(|run| run.role.clone()), None)
            }
            Command::Run(_) => {
                let run = target(command).and_then(|id| self.runs.get(&id));
                (None, run.and_then(|run| self.tickets.get(run.ticket.as_str())))
            }
            Command::Ext(ext::Command::Append(c)) => {
                let about = c.entity.as_ref().map(|e| e.as_str().split_once('/').unwrap());
                (None, about.filter(|(a, _)| *a == "ticket").and_then(|(_, t)| self.tickets.get(t)))
            }
            Command::Action(c) => {
                let run = self.run_of(command);
                let run = run.map(|(_, run)| run);
                let ticket = run.and_then(|run| self.tickets.get(run.ticket.as_str()));
                let action = c.action().and_then(|id| self.actions.get(id.as_str()));
                let role = action.map(|a| a.role.clone());
                (role.or_else(|| run.map(|run| run.role.clone())), ticket)
            }
            Command::Member(_)
            | Command::Tenant(_)
            | Command::Content(_)
            | Command::Role(_)
            | Command::Evidence(_)
            | Command::Budget(_)
            | Command::Lease(_)
            | Command::Tier(_)
            | Command::Ticket(_)
            | Command::Policy(_)
            | Command::Ext(_) => (None, None),
        }
    }

    /// Decides a command that no hosted aggregate decides.
    ///
    /// # Errors
    /// The refusal.
    pub fn decide_own(&self, ask: &Ask) -> Result<Event, Refusal> {
        let own = self.facts(ask)?;
        let facts = Facts {
            now: own.now,
            actor: &own.actor,
            intent: &own.intent,
            parts: &own.parts,
            works_for: own.works_for.as_ref(),
            timer: own.timer,
            directory: &own.directory,
            keys: ask.keys,
            approval: None,
            assertion: None,
            reaches: &[],
            role: own.role.as_ref().map(|(id, role)| (id, role)),
            ticket: None,
            lease_key: Err(Refusal::KeysInvalid),
            tiers: &own.tiers,
            appended: Ok(()),
            run: None,
            books: None,
            judged: Err(Refusal::ArgumentsTooLarge),
            bundle: Err(Refusal::BundleInvalid),
        };
        Ok(match ask.command.clone() {
            Command::Member(c) => Event::Member(self.directory.decide(&facts, c)?),
            Command::Tenant(c) => Event::Tenant(canonry_domain::tenant::decide(&facts, c)?),
            Command::Tier(c) => Event::Tier(canonry_domain::tier::decide(&facts, c)?),
            Command::Content(c) => Event::Content(erasure::decide(&facts, &self.sealed(&c), c)?),
            other => panic!("{other:?} is hosted"),
        })
    }

    fn sealed(&self, command: &content::Command) -> erasure::Sealed {
        let content::Command::Erase(c) = command;
        let (aggregate, id) = c.entity.as_str().split_once('/').unwrap();
        let exists = match aggregate {
            "member" => self.directory.member(&id.parse().unwrap()).is_some(),
            "role" => self.roles.contains_key(id),
            "ticket" => self.tickets.contains_key(id),
            _ => self.runs.contains_key(id),
        };
        let erased = self.erased.contains(c.entity.as_str());
        erasure::Sealed { exists, erased, key: Some("1-0".parse().unwrap()) }
    }

    /// Decides any command.
    ///
    /// # Errors
    /// The refusal.
    pub fn decide(&self, ask: &Ask) -> Result<Event, Refusal> {
        let facts = self.facts(ask)?;
        let id = target(&ask.command).unwrap_or_default();
        Ok(match ask.command.clone() {
            Command::Member(_) | Command::Tenant(_) | Command::Content(_) | Command::Tier(_) => {
                self.decide_own(ask)?
            }
            Command::Role(c) => {
                Event::Role(hosted::decide::<Roles>(self.roles.get(&id), facts, c)?)
            }
            Command::Ticket(c) => {
                Event::Ticket(hosted::decide::<Tickets>(self.tickets.get(&id), facts, c)?)
            }
            Command::Run(c) => Event::Run(hosted::decide::<Runs>(self.runs.get(&id), facts, c)?),
            Command::Ext(c) => {
                let kind = self.kinds.get(kind_of(&c));
                Event::Ext(hosted::decide::<Exts>(kind, facts, c)?)
            }
            Command::Evidence(c) => {
                let work = self.work(&id);
                Event::Evidence(hosted::decide::<Evidences>(work.as_ref(), facts, c)?)
            }
            Command::Policy(c) => {
                Event::Policy(hosted::decide::<Policies>(self.policies.get("acme"), facts, c)?)
            }
            Command::Action(c) => {
                let action = self.actions.get(&id);
                if matches!(c, action::Command::Propose(_) | action::Command::Resume(_)) {
                    // The desk asks no policy where this says no.
                    ready(action, &facts.borrow(), &c)?;
                }
                Event::Action(hosted::decide::<Actions>(action, facts, c)?)
            }
            Command::Budget(c) => {
                let limited = self.limited(whose(&c));
                Event::Budget(hosted::decide::<Budgets>(limited.as_ref(), facts, c)?)
            }
            Command::Lease(c) => {
                Event::Lease(hosted::decide::<Leases>(self.leases.get(&id), facts, c)?)
            }
        })
    }
}
