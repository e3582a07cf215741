//! From the stream to a [`World`]: every record read in order, verified and folded, from the first
//! one or from the snapshot store on. Nothing is ever rebuilt by a subject filter.

use std::path::Path;
use std::sync::Arc;

use canonry_nats::{Log, ReadError, Stored};
use canonry_record::{Hash, KeyRing, Line, Verifier, record, record_hash, verify};
use canonry_schemas::answer::Answer;
use canonry_schemas::event::Event;
use canonry_schemas::ids::TenantId;
use canonry_schemas::{member, tenant};
use futures_util::StreamExt as _;
use zeroize::Zeroizing;

use crate::draft::{self, Head};
use crate::holder::Over;
use crate::snapshot::{self, Change, Snapshot};
use crate::world::{Bounds, ContentKey, Folded, World};

/// Records verified at once.
const CHUNK: usize = 1_024;
/// Records between two writes of the snapshot while a ledger is read.
const WRITE_AFTER: u64 = 16 * CHUNK as u64;

/// A tenant's state at some position of the ledger.
pub struct Standing {
    /// The fold.
    pub world: World,
    /// The chain so far, with the keys.
    pub verifier: Verifier,
    /// Bytes of all bodies.
    pub bytes: u64,
    /// Where the snapshot stood that this began with; `None` when the ledger was read from its
    /// first record on. Up to there nothing was verified by this process: see [`crate::patrol`].
    pub trusted: Option<(u64, Hash)>,
    /// Whether what changed is written into the snapshot store.
    keeps: bool,
    store: Arc<Snapshot>,
    stored: u64,
    /// The key head that the snapshot has.
    stored_keys: Option<Hash>,
}

/// A standing at the head, in the holder's parts.
pub struct Rebuilt {
    /// The fold.
    pub world: World,
    /// The keys.
    pub ring: KeyRing,
    /// The head.
    pub head: Head,
    /// The tenant's identity.
    pub founder: Hash,
    /// Bytes of all bodies.
    pub bytes: u64,
}

/// The ledger is not as it must be.
pub(crate) fn frozen(position: u64, why: impl Into<String>) -> Over {
    Over::Frozen { position, why: why.into() }
}

/// A record at `seen` is gone: the ledger is broken there, or where it ends before.
fn gone(seen: u64, last: u64) -> Over {
    let why = format!("the record that this decider saw at {seen} is gone");
    frozen(seen.min(last + 1), why)
}

/// A failure of the snapshot store is never the ledger's.
pub(crate) fn unstored(error: &snapshot::Error) -> Over {
    use std::error::Error as _;
    let source = error.source().map(|s| format!(": {s}")).unwrap_or_default();
    Over::Failed(format!("{error}{source}"))
}

impl Standing {
    /// Before the first record, in memory alone, for a fold that is only looked at.
    #[must_use]
    pub fn passing(tenant: &TenantId) -> Self {
        let nowhere = Snapshot::new(Path::new(""), tenant.clone(), Zeroizing::new([0; 32]));
        let all = usize::MAX;
        let bounds = Bounds { entities: all, intents: all, deadlines: all };
        Self { keeps: false, ..Self::empty(tenant, nowhere, bounds) }
    }

    fn empty(tenant: &TenantId, store: Arc<Snapshot>, bounds: Bounds) -> Self {
        Self {
            world: World::new(tenant.clone(), Arc::clone(&store), bounds),
            verifier: Verifier::new(tenant.clone(), verify::Pins::default()),
            bytes: 0,
            trusted: None,
            keeps: true,
            store,
            stored: 0,
            stored_keys: None,
        }
    }

    /// Opens the snapshot, or begins before the first record. `whole` has every row of the
    /// snapshot checked.
    ///
    /// # Errors
    /// [`Over::Frozen`] when the ledger does not hold the record that the snapshot ends with;
    /// [`Over::Failed`] when stream or snapshot do not answer.
    pub async fn open(
        log: &Log,
        tenant: &TenantId,
        store: Arc<Snapshot>,
        whole: bool,
    ) -> Result<Self, Over> {
        let opened = {
            let store = Arc::clone(&store);
            tokio::task::spawn_blocking(move || store.open(whole)).await
        };
        let opened = opened.map_err(|e| Over::Failed(e.to_string()))?;
        let Some(loaded) = opened.map_err(|e| unstored(&e))? else {
            return Ok(Self::empty(tenant, store, Bounds::default()));
        };
        let core = &loaded.core;
        if log.leaves_out(core.position) {
            // What it saw was lost; the repair is checked as the ledger is read anew.
            tracing::warn!(%tenant, position = core.position, "a snapshot saw lost records");
            store.wipe().map_err(|e| unstored(&e))?;
            return Ok(Self::empty(tenant, store, Bounds::default()));
        }
        let stands = log.get(core.position).await.map_err(|e| Over::Failed(e.to_string()))?;
        match stands.map(|s| record_hash(&s.subject, &s.body)) {
            Some(hash) if hash == core.hash => {}
            Some(_) => {
                return Err(frozen(
                    core.position,
                    "another record stands where this decider saw one",
                ));
            }
            None => {
                let last = log.info().await.map_err(|e| Over::Failed(e.to_string()))?.last_seq;
                return Err(gone(core.position, last));
            }
        }
        let state = verify::State {
            tenant: tenant.clone(),
            position: core.position,
            hash: core.hash,
            epoch: core.epoch,
            time: core.time,
            founder: core.founder,
            ring: loaded.ring.clone(),
            repairs: Vec::new(),
        };
        let world = World::resume(tenant.clone(), Arc::clone(&store), &loaded, Bounds::default());
        Ok(Self {
            world: world.map_err(|e| unstored(&e))?,
            verifier: Verifier::resume(state),
            bytes: core.bytes,
            trusted: Some((core.position, core.hash)),
            keeps: true,
            store,
            stored: core.position,
            stored_keys: Some(loaded.ring.keyhead()),
        })
    }

    /// The snapshot store that it writes to.
    #[must_use]
    pub fn store(&self) -> Arc<Snapshot> {
        Arc::clone(&self.store)
    }

    /// Position of the last record.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.verifier.position()
    }

    /// Reads, verifies and folds what the ledger has beyond this position.
    ///
    /// # Errors
    /// [`Over::Frozen`] with the position of a gap or a broken chain, [`Over::TooNew`] at a type
    /// that this program does not know, [`Over::Failed`] when the store does not answer.
    pub async fn catch_up(&mut self, log: &Log) -> Result<(), Over> {
        let failed = |e: &dyn std::fmt::Display| Over::Failed(e.to_string());
        let upto = log.info().await.map_err(|e| failed(&e))?.last_seq;
        let from = self.position() + 1;
        if log.leaves_out(self.position()) {
            // Whoever comes next opens the snapshot again, which is thrown away then.
            return Err(Over::Failed("the ledger was repaired: what was folded is lost".into()));
        }
        if upto + 1 < from {
            return Err(gone(from - 1, upto));
        }
        let mut records = log.read(from, Some(upto)).await.map_err(|e| read_error(&e))?;
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let next = records.next().await;
            let end = next.is_none();
            if let Some(stored) = next {
                let stored = stored.map_err(|e| read_error(&e))?;
                self.bytes += stored.body.len() as u64;
                chunk.push(stored);
            }
            if chunk.len() == CHUNK || (end && !chunk.is_empty()) {
                verify_chunk(&mut self.verifier, &chunk)?;
                for stored in chunk.drain(..) {
                    fold(&mut self.world, &stored)?;
                }
            }
            if end || (chunk.is_empty() && self.position() - self.stored >= WRITE_AFTER) {
                self.write().await?;
            }
            if end {
                break;
            }
        }
        if self.position() != upto {
            return Err(frozen(self.position() + 1, "the ledger ended before its head"));
        }
        Ok(())
    }

    /// Writes what changed into the snapshot store.
    async fn write(&mut self) -> Result<(), Over> {
        let Some(state) = self.verifier.state() else { return Ok(()) };
        if !self.keeps || state.position == self.stored {
            return Ok(());
        }
        let keys_changed = self.stored_keys != Some(state.ring.keyhead());
        let change = Change {
            capture: self.world.capture(),
            head: Head {
                position: state.position,
                hash: state.hash,
                time: state.time,
                epoch: state.epoch,
            },
            founder: state.founder,
            bytes: self.bytes,
            ring: keys_changed.then(|| state.ring.clone()),
        };
        let (position, keyhead) = (state.position, state.ring.keyhead());
        let store = Arc::clone(&self.store);
        let written = tokio::task::spawn_blocking(move || store.write(&change)).await;
        let written = written.map_err(|e| Over::Failed(e.to_string()))?;
        let floor = written.map_err(|e| unstored(&e))?;
        self.world.flushed(position, floor);
        self.store.rest();
        (self.stored, self.stored_keys) = (position, Some(keyhead));
        Ok(())
    }

    /// Takes it apart for a holder.
    ///
    /// # Errors
    /// [`Over::Frozen`] when there is no first record.
    pub fn into_rebuilt(self) -> Result<Rebuilt, Over> {
        let state = self.verifier.state();
        let state = state.ok_or_else(|| frozen(1, "the ledger has no first record"))?;
        let head = Head {
            position: state.position,
            hash: state.hash,
            time: state.time,
            epoch: state.epoch,
        };
        let (ring, founder) = (state.ring.clone(), state.founder);
        Ok(Rebuilt { world: self.world, ring, head, founder, bytes: self.bytes })
    }
}

fn read_error(error: &ReadError) -> Over {
    match error {
        ReadError::Gap { expected, .. } => frozen(*expected, error.to_string()),
        other => Over::Failed(other.to_string()),
    }
}

/// Verifies stored records in order.
///
/// # Errors
/// [`Over::Frozen`] at the first break.
pub fn verify_chunk(verifier: &mut Verifier, chunk: &[Stored]) -> Result<(), Over> {
    let lines: Vec<Line<'_>> = chunk
        .iter()
        .map(|s| Line { seq: s.seq, subject: &s.subject, headers: &s.headers, body: &s.body })
        .collect();
    verifier.push_batch(&lines).map_err(|b| frozen(b.position, b.why.to_string()))
}

fn fold(world: &mut World, stored: &Stored) -> Result<(), Over> {
    let bad = |why: &str| frozen(stored.seq, why.to_owned());
    let read = record::parse(&stored.body).map_err(|e| frozen(stored.seq, e.to_string()))?;
    let event = Event::parse_text(&read.aggregate, &read.event, read.version, read.data)
        .ok_or(Over::TooNew { position: stored.seq })?
        .map_err(|_| bad("the data does not fit its type"))?;
    let hash = record_hash(&stored.subject, &stored.body).to_string();
    let actor = read.actor.parse().map_err(|_| bad("not an actor"))?;
    let intent = match (&read.intentid, read.intentdigest) {
        (Some(id), Some(digest)) => Some((id.parse().map_err(|_| bad("not an intent"))?, digest)),
        _ => None,
    };
    let folded = Folded {
        position: read.position,
        hash: &hash,
        time: read.time,
        actor: &actor,
        intent: intent.as_ref().map(|(id, digest)| (id, digest)),
        entity: &read.entity,
        event: &event,
        content_key: greatest_content_key(&event),
    };
    world.fold(&folded).map_err(|e| unstored(&e))
}

/// The greatest key that content of the event is sealed under. Only content is looked at: a label
/// that looks sealed is a client's text.
fn greatest_content_key(event: &Event) -> Option<ContentKey> {
    let sealed = event.content().into_iter();
    sealed.filter_map(|c| ContentKey::parse(c.strip_prefix("x1:")?.split_once(':')?.0)).max()
}

/// Folds the keys that an event changes.
pub fn fold_keys(ring: &mut KeyRing, event: &Event, hash: Hash, position: u64) {
    let change = match event {
        Event::Member(member::Event::Enrolled(e)) => e.key_change(),
        Event::Member(member::Event::Removed(e)) => e.key_change(),
        Event::Member(member::Event::KeysRotated(e)) => e.key_change(),
        Event::Tenant(tenant::Event::KeysRotated(e)) => e.key_change(),
        Event::Tenant(_)
        | Event::Content(_)
        | Event::Role(_)
        | Event::Ticket(_)
        | Event::Run(_)
        | Event::Ext(_)
        | Event::Evidence(_)
        | Event::Actor(_)
        | Event::Refused { .. } => return,
    };
    ring.apply(&change, hash, position);
}

/// The answer that the record at a position stands for.
pub async fn answer_at(log: &Log, tenant: &TenantId, position: u64) -> Option<Answer> {
    let stored = log.get(position).await.ok()??;
    let read = record::parse(&stored.body).ok()?;
    let event = Event::parse_text(&read.aggregate, &read.event, read.version, read.data)?.ok()?;
    let hash = record_hash(&stored.subject, &stored.body);
    Some(draft::answer(tenant, position, &hash, &read.entity, &event))
}
