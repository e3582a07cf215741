//! A tenant as its holder sees it: the fold of every record so far. Only [`World::fold`] changes
//! it, with records that were committed or are about to be, in order. What was used lately is in
//! memory, the rest in the snapshot store.
//!
//! *Invariant:* two worlds that folded the same records say the same; nothing here reads a clock.
//! An entity that changed since the last flush is in memory.

mod acting;

mod leases;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use canonry_domain::books::Budgets;
use canonry_domain::directory::Directory;
use canonry_domain::evidence::Evidences;
use canonry_domain::ext::{Exts, Kind};
use canonry_domain::role::{Role, Roles};
use canonry_domain::run::{Run, Runs};
use canonry_domain::ticket::{Ticket, Tickets};
use canonry_domain::tier::Tiers;
use canonry_domain::{Applied, Decider as _, Entity, State};
use canonry_record::Hash;
use canonry_schemas::event::Event;
use canonry_schemas::ids::{ActorId, IntentId, KeyId, TenantId};
use canonry_schemas::limits::{AGGREGATES_HOT, CONTENT_KEY_GROUP, DEADLINES_HOT, INTENTS_HOT};
use canonry_schemas::time::Time;
use canonry_schemas::{action, content, ext, lease, role, run, tenant, ticket, tier};
use serde::{Deserialize, Serialize};

use crate::due::{Deadlines, Watch};
use crate::intents::{Answered, Fingerprint, Intents, Known, Row};
use crate::snapshot::{self, Loaded, Snapshot};

/// One entity and the content key that its content is encrypted under.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The state; absent for an entity that only has content (a member).
    pub state: Option<State>,
    /// Its content key.
    pub content_key: Option<ContentKey>,
    /// Whether its content was erased: it takes no more.
    #[serde(default)]
    pub erased: bool,
}

/// `<group>-<index>`: keys are used in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
        (key.to_string() == id && usize::from(key.index) < CONTENT_KEY_GROUP).then_some(key)
    }
}

impl std::fmt::Display for ContentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.group, self.index)
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

/// What is in the snapshot store alone and must be brought into memory before a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A group of content keys (from the KV bucket).
    Group(u32),
    /// An entity.
    Entity(String),
    /// An intent.
    Intent(Fingerprint),
    /// A private key of the tenant's own (from the key store).
    Key(KeyId),
}

/// How much stays in memory after a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Entities.
    pub entities: usize,
    /// Intents.
    pub intents: usize,
    /// Deadlines.
    pub deadlines: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { entities: AGGREGATES_HOT, intents: INTENTS_HOT, deadlines: DEADLINES_HOT }
    }
}

/// An entity in memory.
#[derive(Debug, Default)]
struct Hot {
    slot: Slot,
    /// Position of the last record that changed it; 0 when it is as the store has it.
    changed: u64,
    /// Position of the head when it was last used.
    used: u64,
}

/// What changed since the last capture, as of one position.
#[derive(Debug)]
pub struct Capture {
    /// Everything up to this record is in it.
    pub position: u64,
    /// Members, if they changed.
    pub directory: Option<Arc<Directory>>,
    /// The greatest content key in use.
    pub last_content_key: Option<ContentKey>,
    /// Entities with their new state.
    pub slots: Vec<(String, Slot)>,
    /// New intents.
    pub intents: Vec<Row>,
}

/// The fold.
pub struct World {
    /// Which tenant.
    pub tenant: TenantId,
    /// Members and parts.
    pub directory: Arc<Directory>,
    /// The greatest content key in use.
    pub last_content_key: Option<ContentKey>,
    intents: Intents,
    // Boxed: a table is half empty at times, and a slot is wide.
    slots: HashMap<String, Box<Hot>>,
    changed: HashSet<String>,
    directory_changed: bool,
    deadlines: Deadlines,
    position: u64,
    store: Arc<Snapshot>,
    bounds: Bounds,
}

impl World {
    /// Before record 1, over an empty snapshot store.
    #[must_use]
    pub fn new(tenant: TenantId, store: Arc<Snapshot>, bounds: Bounds) -> Self {
        Self {
            tenant,
            directory: Arc::default(),
            last_content_key: None,
            intents: Intents::default(),
            slots: HashMap::new(),
            changed: HashSet::new(),
            directory_changed: true,
            deadlines: Deadlines::default(),
            position: 0,
            store,
            bounds,
        }
    }

    /// Where a snapshot stands.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn resume(
        tenant: TenantId,
        store: Arc<Snapshot>,
        loaded: &Loaded,
        bounds: Bounds,
    ) -> Result<Self, snapshot::Error> {
        let mut world = Self::new(tenant, store, bounds);
        world.directory = Arc::new(loaded.directory.clone());
        world.directory_changed = false;
        world.last_content_key = loaded.core.last_content_key;
        world.position = loaded.core.position;
        let rows = world.store.newest_intents(bounds.intents)?;
        let all = rows.len() as u64 == loaded.core.intents;
        let cold_until = (!all).then_some(loaded.core.greatest_intent);
        world.intents = Intents::resume(rows, cold_until, loaded.core.floor);
        world.deadlines.reaches(Some(Time(i64::MIN)));
        world.more_deadlines(Time(i64::MIN))?;
        Ok(world)
    }

    /// Position of the last folded record.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// An entity's slot, empty for one that never was.
    ///
    /// # Errors
    /// It is not in memory: see [`World::warm`].
    pub fn slot(&self, entity: &str) -> Result<&Slot, Need> {
        match self.slots.get(entity) {
            Some(hot) => Ok(&hot.slot),
            None => Err(Need::Entity(entity.to_owned())),
        }
    }

    /// A role.
    ///
    /// # Errors
    /// As [`World::slot`].
    pub fn role(&self, id: &str) -> Result<Option<&Role>, Need> {
        Ok(match &self.slot(&format!("role/{id}"))?.state {
            Some(State::Role(role)) => Some(role),
            _ => None,
        })
    }

    /// A ticket.
    ///
    /// # Errors
    /// As [`World::slot`].
    pub fn ticket(&self, id: &str) -> Result<Option<&Ticket>, Need> {
        Ok(match &self.slot(&format!("ticket/{id}"))?.state {
            Some(State::Ticket(ticket)) => Some(ticket),
            _ => None,
        })
    }

    /// A run.
    ///
    /// # Errors
    /// As [`World::slot`].
    pub fn run(&self, id: &str) -> Result<Option<&Run>, Need> {
        Ok(match &self.slot(&format!("run/{id}"))?.state {
            Some(State::Run(run)) => Some(run),
            _ => None,
        })
    }

    /// A custom record type.
    ///
    /// # Errors
    /// As [`World::slot`].
    pub fn kind(&self, name: &str) -> Result<Option<&Kind>, Need> {
        Ok(match &self.slot(&format!("ext/{name}"))?.state {
            Some(State::Kind(kind)) => Some(kind),
            _ => None,
        })
    }

    /// Where an intent was answered.
    ///
    /// # Errors
    /// Only the store knows: see [`World::recall`].
    pub fn answered(&self, actor: &ActorId, intent: &IntentId) -> Result<Option<Answered>, Need> {
        match self.intents.get(actor, intent) {
            Known::Answered(answered) => Ok(Some(answered)),
            Known::New => Ok(None),
            Known::Cold(key) => Err(Need::Intent(key)),
        }
    }

    /// Whether an unknown intent is too old to tell whether it was used.
    #[must_use]
    pub fn expired(&self, intent: &IntentId, now: Time) -> bool {
        self.intents.expired(intent, now)
    }

    /// Brings an entity into memory.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn warm(&mut self, entity: &str) -> Result<(), snapshot::Error> {
        let used = self.position;
        if let Some(hot) = self.slots.get_mut(entity) {
            hot.used = used;
            return Ok(());
        }
        let slot = self.store.slot(entity)?.unwrap_or_default();
        self.slots.insert(entity.to_owned(), Box::new(Hot { slot, changed: 0, used }));
        Ok(())
    }

    /// Brings an intent into memory.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn recall(&mut self, key: Fingerprint) -> Result<(), snapshot::Error> {
        let (answered, floor) = self.store.intent(&key)?;
        self.intents.say(key, answered, floor);
        Ok(())
    }

    /// Moments that have come and were not reported, at most `most`.
    #[must_use]
    pub fn overdue(&self, now: Time, most: usize) -> Vec<(Time, Watch)> {
        self.deadlines.overdue(now, most)
    }

    /// Brings the next deadlines into memory when those there end before `soon`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn more_deadlines(&mut self, soon: Time) -> Result<(), snapshot::Error> {
        let Some(from) = self.deadlines.wants_more(soon) else { return Ok(()) };
        let (stored, horizon) = self.store.deadlines(from, self.bounds.deadlines)?;
        self.deadlines.reaches(horizon);
        for (due, what) in stored {
            // An entity in memory is newer than the store.
            if !self.slots.contains_key(&what.entity()) {
                self.deadlines.insert(due, what);
            }
        }
        for (entity, hot) in &self.slots {
            if let Some((due, what)) = watched(entity, &hot.slot) {
                self.deadlines.insert(due, what);
            }
        }
        Ok(())
    }

    /// Folds one record.
    ///
    /// # Errors
    /// An entity had to be brought into memory, and the store cannot be read.
    pub fn fold(&mut self, r: &Folded<'_>) -> Result<(), snapshot::Error> {
        let applied = Applied { position: r.position, hash: r.hash, time: r.time, actor: r.actor };
        self.position = r.position;
        if creates(r) {
            let used = r.position;
            let new = || Box::new(Hot { used, ..Hot::default() });
            self.slots.entry(r.entity.to_owned()).or_insert_with(new);
        }
        if let Some((intent, digest)) = r.intent {
            // The first answer stands, also one that only the store knows.
            if let Err(Need::Intent(key)) = self.answered(r.actor, intent) {
                self.recall(key)?;
            }
            self.intents.add(r.actor, intent, digest, r.position, r.time);
        }
        if let Some(key) = r.content_key {
            self.last_content_key = self.last_content_key.max(Some(key));
            self.change(r.entity, |slot| slot.content_key = Some(key))?;
        }
        match r.event {
            Event::Tenant(tenant::Event::Founded(e)) => {
                self.directory_changed = true;
                Arc::make_mut(&mut self.directory).found(e);
            }
            Event::Content(content::Event::Erased(_)) => {
                self.change(r.entity, |slot| slot.erased = true)?;
            }
            Event::Tenant(tenant::Event::Repaired(e)) => {
                // Keys that lost records may have used never come into use again.
                let used = e.content_key.as_deref().and_then(ContentKey::parse);
                self.last_content_key = self.last_content_key.max(used);
            }
            Event::Tenant(tenant::Event::TakenOver(_) | tenant::Event::KeysRotated(_))
            | Event::Actor(_)
            | Event::Refused { .. } => {}
            Event::Member(e) => {
                self.directory_changed = true;
                Arc::make_mut(&mut self.directory).evolve(&applied, e);
            }
            Event::Role(e) => self.change_watched(r.entity, |state| {
                let old = match state {
                    Some(State::Role(role)) => Some(role),
                    _ => None,
                };
                Roles::evolve(old, &applied, e).map(State::Role)
            })?,
            Event::Tier(tier::Event::Configured(e)) => self.change(r.entity, |slot| {
                slot.state = Some(State::Tiers(Tiers::configured(&applied, e)));
            })?,
            Event::Ticket(e) => {
                self.change_ticket(r.entity, |ticket| Tickets::evolve(ticket, &applied, e))?;
            }
            Event::Run(e) => self.fold_run(r, &applied, e)?,
            Event::Lease(e) => self.fold_lease(r, &applied, e)?,
            // What was appended changes nothing but the content key in use.
            Event::Ext(ext::Event::Appended(_)) => {}
            Event::Ext(e @ ext::Event::Registered(_)) => self.change(r.entity, |slot| {
                let old = match slot.state.take() {
                    Some(State::Kind(kind)) => Some(kind),
                    _ => None,
                };
                slot.state = Exts::evolve(old, &applied, e).map(State::Kind);
            })?,
            // No deadline moves by these.
            Event::Budget(e) => self.change(r.entity, |slot| {
                slot.state = Budgets::evolve(slot.state.take(), &applied, e);
            })?,
            Event::Evidence(e) => self.change(r.entity, |slot| {
                slot.state = Evidences::evolve(slot.state.take(), &applied, e);
            })?,
            Event::Policy(e) => self.fold_policy(r, &applied, e)?,
            Event::Action(e) => self.fold_action(r, &applied, e)?,
        }
        Ok(())
    }

    /// What changed since the last capture. It may be written once every record up to its
    /// position is committed.
    pub fn capture(&mut self) -> Capture {
        // Taken, not drained: an idle tenant keeps no table for what once changed.
        let slots = std::mem::take(&mut self.changed).into_iter().filter_map(|entity| {
            let slot = self.slots.get(&entity)?.slot.clone();
            Some((entity, slot))
        });
        let mut slots: Vec<_> = slots.collect();
        // In the order of the store's keys, which begin with a time: few pages are touched.
        slots.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Capture {
            position: self.position,
            directory: std::mem::take(&mut self.directory_changed)
                .then(|| Arc::clone(&self.directory)),
            last_content_key: self.last_content_key,
            slots,
            intents: self.intents.capture(),
        }
    }

    /// The store has everything up to `position`: what is more than memory shall hold is let go,
    /// longest unused first.
    pub fn flushed(&mut self, position: u64, floor: u64) {
        self.intents.flushed(position, self.bounds.intents, floor);
        self.deadlines.trim(self.bounds.deadlines);
        if self.slots.len() <= self.bounds.entities {
            return;
        }
        let mut uses: Vec<u64> = self.slots.values().map(|hot| hot.used).collect();
        // A quarter more than needed, so that this is done once in a while.
        let surplus = self.slots.len() - self.bounds.entities * 3 / 4;
        let (_, &mut last, _) = uses.select_nth_unstable(surplus - 1);
        self.slots.retain(|_, hot| hot.changed > position || hot.used > last);
    }

    fn fold_run(
        &mut self,
        r: &Folded<'_>,
        applied: &Applied<'_>,
        e: &run::Event,
    ) -> Result<(), snapshot::Error> {
        let (mut ticket, mut ended) = (None, None);
        self.change(r.entity, |slot| {
            let old = match slot.state.take() {
                Some(State::Run(run)) => Some(run),
                _ => None,
            };
            let held = old.clone();
            let new = Runs::evolve(old, applied, e);
            ticket = new.as_ref().map(|run| run.ticket.clone());
            ended = new.as_ref().filter(|run| run.ended).map(|run| (run.role.clone(), held));
            slot.state = new.map(State::Run);
        })?;
        if let Some((role, before)) = ended {
            self.run_ended(&role, before, applied, e)?;
        }
        let id = r.entity.split_once('/').map_or("", |(_, id)| id);
        if let (Some(ticket), false) = (ticket, matches!(e, run::Event::StepRecorded(_))) {
            let entity = Entity::new("ticket", ticket.as_str()).to_string();
            self.change_ticket(&entity, |ticket| ticket.map(|t| t.evolve_run(id, e)))?;
        }
        Ok(())
    }

    fn change(
        &mut self,
        entity: &str,
        change: impl FnOnce(&mut Slot),
    ) -> Result<(), snapshot::Error> {
        self.warm(entity)?;
        let position = self.position;
        if let Some(hot) = self.slots.get_mut(entity) {
            hot.changed = position;
            change(&mut hot.slot);
        }
        if !self.changed.contains(entity) {
            self.changed.insert(entity.to_owned());
        }
        Ok(())
    }

    fn change_ticket(
        &mut self,
        entity: &str,
        change: impl FnOnce(Option<Ticket>) -> Option<Ticket>,
    ) -> Result<(), snapshot::Error> {
        self.change_watched(entity, |state| {
            let old = match state {
                Some(State::Ticket(ticket)) => Some(ticket),
                _ => None,
            };
            change(old).map(State::Ticket)
        })
    }

    /// Changes an entity that the timer may watch.
    fn change_watched(
        &mut self,
        entity: &str,
        change: impl FnOnce(Option<State>) -> Option<State>,
    ) -> Result<(), snapshot::Error> {
        let (mut before, mut after) = (None, None);
        self.change(entity, |slot| {
            before = watched(entity, slot);
            slot.state = change(slot.state.take());
            after = watched(entity, slot);
        })?;
        if before != after {
            if let Some((due, what)) = before {
                self.deadlines.remove(due, &what);
            }
            if let Some((due, what)) = after {
                self.deadlines.insert(due, what);
            }
        }
        Ok(())
    }
}

/// Whether the entity did not exist before: its id was made for this record, so nothing of it can
/// be in the store.
fn creates(r: &Folded<'_>) -> bool {
    match r.event {
        Event::Role(role::Event::Hired(_))
        | Event::Ticket(ticket::Event::Opened(_))
        | Event::Run(run::Event::Started(_))
        | Event::Lease(lease::Event::Issued(_))
        | Event::Action(action::Event::Held(_)) => true,
        // One that people agreed to was there before.
        Event::Action(action::Event::Allowed(e)) => e.approved_by.is_empty(),
        // One with content in it has a key of its own to remember.
        Event::Ext(ext::Event::Appended(e)) => e.entity.is_none() && r.content_key.is_some(),
        _ => false,
    }
}

/// What an entity has the timer watch.
#[must_use]
pub fn watched(entity: &str, slot: &Slot) -> Option<(Time, Watch)> {
    let (_, id) = entity.split_once('/')?;
    match &slot.state {
        Some(State::Ticket(ticket)) => {
            ticket.watched_due().and_then(|due| Some((due, Watch::Breach(id.parse().ok()?))))
        }
        Some(State::Action(action)) => {
            let (at, wake) = action.watched()?;
            Some((at, Watch::Act(wake, id.parse().ok()?)))
        }
        Some(State::Role(role)) => {
            role.standing.review.and_then(|at| Some((at, Watch::Review(id.parse().ok()?))))
        }
        _ => None,
    }
}
