//! One tenant: the ledger is read and verified from its first record on, the tree grown beside it,
//! compared with what was signed before, stored, and signed.

use canonry_decider::keeper::Frozen;
use canonry_nats::{Bytes, Cas, Connection, Kv, Log, ReadError, Stored};
use canonry_record::repair::records_upto;
use canonry_record::seal::Signer;
use canonry_record::verify::Pins;
use canonry_record::{Hash, KeyRing, Line, Verifier, VerifyingKey, record_hash};
use canonry_schemas::ids::TenantId;
use canonry_schemas::key::Use;
use canonry_schemas::subject::{BUCKET_FROZEN, ledger_stream};
use canonry_tlog::{Checkpoint, Growing, Kind, Note, Piece, Positions, VerifierKey, origin};
use futures_util::StreamExt as _;

use crate::store::{ALARM, Alarm, CHECKPOINT, POSITIONS, Store, StoreError};

/// The alarm of a log that ends because a repair lost what it had signed; it freezes nothing.
pub const REPAIRED: &str = "ledger-repaired";

/// Records that are verified together.
const CHUNK: usize = 1_024;

/// Why a tenant is not followed on.
#[derive(Debug)]
pub enum Stop {
    /// Try again, from the beginning.
    Again(String),
    /// The ledger is not what was signed before; nothing is signed until that is looked into.
    Wrong(Alarm),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Again(error.to_string())
    }
}

fn again(error: impl std::fmt::Display) -> Stop {
    Stop::Again(error.to_string())
}

fn wrong(code: &str, position: u64, why: impl Into<String>) -> Stop {
    Stop::Wrong(Alarm { code: code.to_owned(), position, why: why.into() })
}

/// The keys with which a tenant's log was ever signed, under its name.
///
/// A revoked key still checks what it signed before: a witness's time says when that was.
#[must_use]
pub fn log_keys(ring: &KeyRing, origin: &str) -> Vec<VerifierKey> {
    let all = ring.entries().filter(|entry| entry.may(Use::Checkpoint));
    all.filter_map(|e| VerifierKey::new(origin, Kind::Log, e.verifying).ok()).collect()
}

/// What was signed last.
#[derive(Debug, Clone)]
struct Known {
    note: Note,
    at: Checkpoint,
    revision: u64,
}

/// A tenant as far as it was read.
pub struct Follower {
    tenant: TenantId,
    log: Log,
    store: Store,
    signer: Signer,
    verifier: Verifier,
    tree: Growing,
    positions: Positions,
    known: Option<Known>,
    compared: bool,
    /// Full pieces that are not stored yet.
    waiting: Vec<Piece>,
}

impl Follower {
    /// Opens ledger and store, and reads what was signed last.
    ///
    /// # Errors
    /// [`Stop::Again`]; [`Stop::Wrong`] where what is stored as a checkpoint is none.
    pub async fn open(
        connection: &Connection,
        tenant: &TenantId,
        signer: Signer,
    ) -> Result<Self, Stop> {
        let store = Store::open(connection.clone(), tenant)?;
        let log = Log::open(connection.clone(), &ledger_stream(tenant)).await.map_err(again)?;
        let log = log.with_reader_name("checkpointer");
        let foreign = || wrong("checkpoint-foreign", 0, "what is stored is no checkpoint");
        let known = match store.note(CHECKPOINT).await {
            Err(StoreError::Malformed(_)) => return Err(foreign()),
            other => other?,
        };
        let known = known
            .map(|(note, revision)| {
                let at = Checkpoint::of(&note).map_err(|_| foreign())?;
                Ok::<_, Stop>(Known { note, at, revision })
            })
            .transpose()?;
        Ok(Self {
            tenant: tenant.clone(),
            log,
            store,
            signer,
            verifier: Verifier::new(tenant.clone(), Pins::default()),
            tree: Growing::default(),
            positions: Positions::default(),
            compared: known.is_none(),
            known,
            waiting: Vec::new(),
        })
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Reads what is new to the head of now; compares it with what was signed before.
    ///
    /// # Errors
    /// [`Stop::Wrong`] where the ledger is broken, ends before what was signed, or is another.
    pub async fn catch_up(&mut self) -> Result<(), Stop> {
        let head = self.log.info().await.map_err(again)?.last_seq;
        let from = self.verifier.position() + 1;
        if head + 1 < from {
            let why = format!("the ledger ends at {head}, but {} records were read", from - 1);
            return Err(wrong("ledger-truncated", head + 1, why));
        }
        let mut records = self.log.read(from, Some(head)).await.map_err(|e| gap(&e))?;
        let mut chunk: Vec<Stored> = Vec::with_capacity(CHUNK);
        loop {
            let next = records.next().await.transpose();
            let end = !matches!(next, Ok(Some(_)));
            match next {
                Ok(next) => chunk.extend(next),
                // What came before the gap is taken first: a break may lie there.
                Err(error) => {
                    self.take(std::mem::take(&mut chunk)).await?;
                    return Err(gap(&error));
                }
            }
            if chunk.len() == CHUNK || end {
                self.take(std::mem::take(&mut chunk)).await?;
            }
            if end {
                break;
            }
        }
        self.compare_end()
    }

    async fn take(&mut self, chunk: Vec<Stored>) -> Result<(), Stop> {
        if chunk.is_empty() {
            return Ok(());
        }
        let mut verifier = self.verifier.clone();
        let work = tokio::task::spawn_blocking(move || {
            let lines: Vec<Line<'_>> = chunk
                .iter()
                .map(|s| Line {
                    seq: s.seq,
                    subject: &s.subject,
                    headers: &s.headers,
                    body: &s.body,
                })
                .collect();
            let done = verifier.push_batch(&lines);
            let hashes: Vec<(u64, Hash)> =
                chunk.iter().map(|s| (s.seq, record_hash(&s.subject, &s.body))).collect();
            done.map(|()| (verifier, hashes))
        });
        let (verifier, hashes) = work
            .await
            .map_err(again)?
            .map_err(|broken| wrong("ledger-broken", broken.position, broken.why.to_string()))?;
        self.verifier = verifier;
        for (position, hash) in hashes {
            self.waiting.extend(self.tree.push(hash));
            self.positions.push(position);
            self.compare(position)?;
        }
        // A long ledger does not wait for its end with all of its pieces in memory.
        self.store_waiting().await
    }

    /// At the size that was signed before the root must be the one that was signed.
    fn compare(&mut self, position: u64) -> Result<(), Stop> {
        let Some(known) = self.known.as_ref().filter(|k| k.at.size == self.tree.size()) else {
            return Ok(());
        };
        if known.at.root != self.tree.root() {
            self.repaired(known.at.size)?;
            let why =
                format!("the ledger is not the one that was signed at {} records", known.at.size);
            return Err(wrong("ledger-forked", position, why));
        }
        self.compared = true;
        Ok(())
    }

    /// Whether a root key has allowed that records which were signed are no more. The log ends
    /// there: no tree without them can follow from one that holds them.
    fn repaired(&self, signed: u64) -> Result<(), Stop> {
        let repairs = self.verifier.state().map_or(&[][..], |state| &state.repairs);
        let Some(repair) = repairs.iter().find(|r| records_upto(repairs, r.after) < signed) else {
            return Ok(());
        };
        let (after, size) = (repair.after, signed);
        let why = format!(
            "a repair left out what stood after {after}, but {size} records were signed: this log ends"
        );
        Err(wrong(REPAIRED, repair.position, why))
    }

    fn compare_end(&self) -> Result<(), Stop> {
        let Some(known) = &self.known else { return Ok(()) };
        let Some(state) = self.verifier.state() else {
            return Err(wrong(
                "ledger-truncated",
                1,
                "the ledger is empty, but it was signed before",
            ));
        };
        if !self.compared {
            self.repaired(known.at.size)?;
            let (has, signed) = (self.tree.size(), known.at.size);
            let why = format!("the ledger has {has} records, but {signed} were signed");
            return Err(wrong("ledger-truncated", state.position + 1, why));
        }
        let origin = origin(&self.tenant, &state.founder);
        let keys = log_keys(&state.ring, &origin);
        if known.at.origin != origin || known.note.verify(&keys).is_err() {
            let why = "what is stored as the checkpoint was not signed by this log";
            return Err(wrong("checkpoint-foreign", state.position, why));
        }
        Ok(())
    }

    async fn store_waiting(&mut self) -> Result<(), Stop> {
        for piece in std::mem::take(&mut self.waiting) {
            self.put(&piece).await?;
        }
        Ok(())
    }

    async fn put(&self, piece: &Piece) -> Result<(), Stop> {
        if !self.store.put_piece(piece).await? {
            let (tenant, tile) = (&self.tenant, piece.tile);
            tracing::warn!(%tenant, %tile, "another tile was stored; it follows from the ledger again");
        }
        Ok(())
    }

    /// Stores the tiles and signs a checkpoint, if the ledger grew; answers the newest.
    ///
    /// # Errors
    /// [`Stop::Again`]: the store does not answer, or another checkpointer signed meanwhile.
    pub async fn sign(&mut self) -> Result<Option<(Note, Checkpoint)>, Stop> {
        let Some(state) = self.verifier.state() else { return Ok(None) };
        let size = self.tree.size();
        if let Some(known) = self.known.as_ref().filter(|known| known.at.size >= size) {
            return Ok(Some((known.note.clone(), known.at.clone())));
        }
        let origin = origin(&self.tenant, &state.founder);
        let current = |entry: &canonry_record::ring::Entry| {
            entry.is_current() && entry.may(Use::Checkpoint) && entry.key.id == self.signer.id
        };
        if !state.ring.entries().any(current) {
            return Err(again("the checkpoint key of the key store is not current on the ledger"));
        }
        // What a checkpoint covers is stored before it is said.
        for piece in self.tree.edge() {
            self.put(&piece).await?;
        }
        self.store.put_json(POSITIONS, &self.positions).await?;
        let at = Checkpoint { origin, size, root: self.tree.root() };
        let note = at.sign(&self.signer);
        let revision = self.known.as_ref().map_or(0, |known| known.revision);
        let value = Bytes::from(note.to_string());
        let won = self.store.kv().update(CHECKPOINT, value, revision).await.map_err(again)?;
        let Cas::Won(revision) = won else {
            return Err(again("another checkpointer signed meanwhile"));
        };
        tracing::debug!(tenant = %self.tenant, size, "checkpoint signed");
        self.known = Some(Known { note: note.clone(), at: at.clone(), revision });
        Ok(Some((note, at)))
    }
}

fn gap(error: &ReadError) -> Stop {
    match error {
        ReadError::Gap { expected, .. } => wrong("ledger-broken", *expected, error.to_string()),
        ReadError::Interrupted { .. } => again(error),
    }
}

/// Whether an alarm stops writes: a strange checkpoint says nothing of the ledger, and a root key has
/// answered for a repair.
pub(crate) fn freezes(alarm: &Alarm) -> bool {
    !["checkpoint-foreign", REPAIRED].contains(&alarm.code.as_str())
}

/// Tells what is wrong, and stops writes to the tenant.
pub async fn raise(connection: &Connection, store: &Store, tenant: &TenantId, alarm: &Alarm) {
    tracing::error!(%tenant, code = alarm.code, position = alarm.position, why = alarm.why,
        "the ledger is not what was signed");
    if let Err(error) = store.put_json(ALARM, alarm).await {
        tracing::error!(%tenant, %error, "the alarm could not be stored");
    }
    if !freezes(alarm) {
        return;
    }
    let flag = Frozen { position: alarm.position, why: format!("{}: {}", alarm.code, alarm.why) };
    let value = Bytes::from(serde_json::to_vec(&flag).unwrap_or_default());
    let frozen = match Kv::open(connection.clone(), BUCKET_FROZEN) {
        Ok(bucket) => bucket.create(tenant.as_str(), value).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = frozen {
        tracing::error!(%tenant, %error, "the frozen flag could not be stored");
    }
}

/// A key as a log's, for people to pin.
#[must_use]
pub fn key_of(origin: &str, key: VerifyingKey) -> Option<VerifierKey> {
    VerifierKey::new(origin, Kind::Log, key).ok()
}
