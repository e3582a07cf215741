//! A tenant as its holder sees it: the fold of every record so far, in memory. Only [`World::fold`]
//! changes it, with records that were committed or are about to be, in order.
//!
//! *Invariant:* two worlds that folded the same records are equal; nothing here reads a clock.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use canonry_domain::directory::Directory;
use canonry_domain::role::{Role, Roles};
use canonry_domain::run::{Run, Runs};
use canonry_domain::ticket::{Ticket, Tickets};
use canonry_domain::{Applied, Decider as _, Entity, State};
use canonry_record::Hash;
use canonry_record::hash::sha256;
use canonry_schemas::event::Event;
use canonry_schemas::ids::{ActorId, IntentId, TenantId, TicketId};
use canonry_schemas::limits::{INTENT_AGE, INTENTS_KEPT};
use canonry_schemas::time::Time;
use canonry_schemas::{run, tenant};

/// One entity and the content key that its content is encrypted under.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The state; absent for an entity that only has content (a member).
    pub state: Option<State>,
    /// Its content key.
    pub content_key: Option<ContentKey>,
}

/// `<group>-<index>`: keys are used in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentKey {
    /// The stored group.
    pub group: u32,
    /// The key inside it.
    pub index: u16,
}

impl ContentKey {
    /// Reads a content key's id, exactly as it is printed.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let (group, index) = id.split_once('-')?;
        let key = Self { group: group.parse().ok()?, index: index.parse().ok()? };
        (key.to_string() == id).then_some(key)
    }
}

impl std::fmt::Display for ContentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.group, self.index)
    }
}

/// Where the answer to an intent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// Position of its record.
    pub position: u64,
    /// First eight bytes of the keyed digest of its body.
    pub digest: [u8; 8],
    millis: u64,
}

/// Actor and intent, as the first 16 bytes of a hash: a table of a million must stay small.
type Fingerprint = [u8; 16];

fn fingerprint(actor: &ActorId, intent: &IntentId) -> Fingerprint {
    let whole = sha256(format!("{actor}\0{intent}").as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&whole.0[..16]);
    short
}

/// The intents of the last day.
#[derive(Debug, Default)]
pub struct Intents {
    known: HashMap<Fingerprint, Answered>,
    order: VecDeque<(Fingerprint, u64)>,
    /// Ids up to this moment (milliseconds) may have been forgotten.
    floor: u64,
}

impl Intents {
    /// Where an intent was answered.
    #[must_use]
    pub fn get(&self, actor: &ActorId, intent: &IntentId) -> Option<Answered> {
        self.known.get(&fingerprint(actor, intent)).copied()
    }

    /// Whether an unknown id is too old to tell whether it was used.
    #[must_use]
    pub fn expired(&self, intent: &IntentId, now: Time) -> bool {
        let horizon = now.millis().saturating_sub(INTENT_AGE.as_millis() as u64);
        intent.millis() < horizon.max(self.floor)
    }

    fn add(&mut self, actor: &ActorId, intent: &IntentId, digest: &Hash, position: u64, now: Time) {
        let key = fingerprint(actor, intent);
        if self.known.contains_key(&key) {
            return;
        }
        let mut short = [0; 8];
        short.copy_from_slice(&digest.0[..8]);
        self.known.insert(key, Answered { position, digest: short, millis: now.millis() });
        self.order.push_back((key, intent.millis()));
        let horizon = now.millis().saturating_sub(INTENT_AGE.as_millis() as u64);
        while let Some((first, id_millis)) = self.order.front().copied() {
            let old = self.known.get(&first).is_none_or(|a| a.millis < horizon);
            if !old && self.order.len() <= INTENTS_KEPT {
                break;
            }
            self.order.pop_front();
            self.known.remove(&first);
            self.floor = self.floor.max(id_millis.min(now.millis()) + 1);
        }
    }
}

/// What a fold needs of a record.
#[derive(Debug)]
pub struct Folded<'a> {
    /// Its position.
    pub position: u64,
    /// Its hash, 64 hex digits.
    pub hash: &'a str,
    /// Its time.
    pub time: Time,
    /// Whose.
    pub actor: &'a ActorId,
    /// The intent it answers, and the keyed digest of its body.
    pub intent: Option<(&'a IntentId, &'a Hash)>,
    /// The entity that was commanded.
    pub entity: &'a str,
    /// What happened.
    pub event: &'a Event,
    /// The greatest content key that its content is encrypted under.
    pub content_key: Option<ContentKey>,
}

/// The fold.
pub struct World {
    /// Which tenant.
    pub tenant: TenantId,
    /// Members and parts.
    pub directory: Arc<Directory>,
    /// Intents of the last day.
    pub intents: Intents,
    /// The greatest content key in use.
    pub last_content_key: Option<ContentKey>,
    slots: HashMap<String, Slot>,
    due: BTreeSet<(Time, TicketId)>,
}

impl World {
    /// Before record 1.
    #[must_use]
    pub fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            directory: Arc::default(),
            intents: Intents::default(),
            last_content_key: None,
            slots: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// An entity's slot.
    #[must_use]
    pub fn slot(&self, entity: &str) -> Option<&Slot> {
        self.slots.get(entity)
    }

    /// A role.
    #[must_use]
    pub fn role(&self, id: &str) -> Option<&Role> {
        match self.slots.get(&format!("role/{id}"))?.state.as_ref()? {
            State::Role(role) => Some(role),
            State::Ticket(_) | State::Run(_) => None,
        }
    }

    /// A ticket.
    #[must_use]
    pub fn ticket(&self, id: &str) -> Option<&Ticket> {
        match self.slots.get(&format!("ticket/{id}"))?.state.as_ref()? {
            State::Ticket(ticket) => Some(ticket),
            State::Role(_) | State::Run(_) => None,
        }
    }

    /// A run.
    #[must_use]
    pub fn run(&self, id: &str) -> Option<&Run> {
        match self.slots.get(&format!("run/{id}"))?.state.as_ref()? {
            State::Run(run) => Some(run),
            State::Role(_) | State::Ticket(_) => None,
        }
    }

    /// Tickets whose deadline passed and was not reported, at most `most`.
    #[must_use]
    pub fn overdue(&self, now: Time, most: usize) -> Vec<(Time, TicketId)> {
        self.due.iter().take_while(|(due, _)| *due <= now).take(most).cloned().collect()
    }

    /// Folds one record.
    pub fn fold(&mut self, r: &Folded<'_>) {
        let applied = Applied { position: r.position, hash: r.hash, time: r.time, actor: r.actor };
        if let Some((intent, digest)) = r.intent {
            self.intents.add(r.actor, intent, digest, r.position, r.time);
        }
        if let Some(key) = r.content_key {
            self.last_content_key = self.last_content_key.max(Some(key));
            self.slots.entry(r.entity.to_owned()).or_default().content_key = Some(key);
        }
        match r.event {
            Event::Tenant(tenant::Event::Founded(e)) => Arc::make_mut(&mut self.directory).found(e),
            Event::Tenant(tenant::Event::TakenOver(_))
            | Event::Actor(_)
            | Event::Refused { .. } => {}
            Event::Member(e) => Arc::make_mut(&mut self.directory).evolve(&applied, e),
            Event::Role(e) => {
                let slot = self.slots.entry(r.entity.to_owned()).or_default();
                let old = match slot.state.take() {
                    Some(State::Role(role)) => Some(role),
                    _ => None,
                };
                slot.state = Roles::evolve(old, &applied, e).map(State::Role);
            }
            Event::Ticket(e) => {
                self.with_ticket(r.entity, |ticket| Tickets::evolve(ticket, &applied, e));
            }
            Event::Run(e) => self.fold_run(r, &applied, e),
        }
    }

    fn fold_run(&mut self, r: &Folded<'_>, applied: &Applied<'_>, e: &run::Event) {
        let slot = self.slots.entry(r.entity.to_owned()).or_default();
        let old = match slot.state.take() {
            Some(State::Run(run)) => Some(run),
            _ => None,
        };
        let new = Runs::evolve(old, applied, e);
        let ticket = new.as_ref().map(|run| run.ticket.clone());
        slot.state = new.map(State::Run);
        let id = r.entity.split_once('/').map_or("", |(_, id)| id);
        if let (Some(ticket), false) = (ticket, matches!(e, run::Event::StepRecorded(_))) {
            let entity = Entity::new("ticket", ticket.as_str()).to_string();
            self.with_ticket(&entity, |ticket| ticket.map(|t| t.evolve_run(id, e)));
        }
    }

    fn with_ticket(&mut self, entity: &str, change: impl FnOnce(Option<Ticket>) -> Option<Ticket>) {
        let Some(id) = entity.strip_prefix("ticket/").and_then(|id| id.parse::<TicketId>().ok())
        else {
            return;
        };
        let slot = self.slots.entry(entity.to_owned()).or_default();
        let old = match slot.state.take() {
            Some(State::Ticket(ticket)) => Some(ticket),
            _ => None,
        };
        let before = old.as_ref().and_then(Ticket::watched_due);
        let new = change(old);
        let after = new.as_ref().and_then(Ticket::watched_due);
        slot.state = new.map(State::Ticket);
        if before != after {
            if let Some(due) = before {
                self.due.remove(&(due, id.clone()));
            }
            if let Some(due) = after {
                self.due.insert((due, id));
            }
        }
    }
}
