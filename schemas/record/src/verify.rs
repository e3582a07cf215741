//! The chain verifier: bytes and public keys in, a summary or a break out. It holds no clock and
//! does no IO; projectors and holders carry its [`State`] in their snapshots.
//!
//! Three stages: [`crate::read::read`] (no state), the chain (in order, cheap), and the signatures
//! (no state, and most of the work), which further threads can take. [`Verifier::push`] does all three
//! for one line and decides the signature alone; [`Verifier::push_batch`] decides many together
//! and falls back to single decisions to find the culprit.
//!
//! What a batch decides is in `crate::debt`, and [`Verifier::strict`] turns batches off.

use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::key::{KeyChange, Use};
use canonry_schemas::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::crew::Crew;
use crate::debt::{Debt, alone};
use crate::export::{HeadLine, verify_head};
use crate::hash::Hash;
use crate::read::read;
pub use crate::read::{Line, Read, Why};
use crate::repair::{self, Repair};
use crate::ring::{Entry, Key, KeyRing};

/// Where and why a ledger is broken. The position is that of the first record that cannot stand:
/// the one due, whatever stands there instead; before a repair, the first that it leaves out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("broken at position {position}: {why}")]
pub struct Break {
    /// The position.
    pub position: u64,
    /// The reason.
    pub why: Why,
}

/// What the caller knows from elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// The tenant's identity: the hash of record 1.
    pub tenant_hash: Option<Hash>,
    /// A head that the ledger must pass through.
    pub head: Option<(u64, Hash)>,
}

/// Where a verifier stands; enough to go on from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The tenant.
    pub tenant: TenantId,
    /// Position of the last record.
    pub position: u64,
    /// Its hash.
    pub hash: Hash,
    /// Its epoch.
    pub epoch: u64,
    /// Its time.
    pub time: Time,
    /// Hash of record 1.
    pub founder: Hash,
    /// The tenant's keys.
    pub ring: KeyRing,
    /// The repairs since record 1, or since the state that was gone on from without them.
    #[serde(default)]
    pub repairs: Vec<Repair>,
}

/// What a verified ledger is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Records verified in this go.
    pub records: u64,
    /// Position of the last record.
    pub position: u64,
    /// Its hash.
    pub hash: Hash,
    /// Its time.
    pub time: Time,
    /// Hash of record 1: the tenant's identity.
    pub founder: Hash,
    /// Whether the founder was compared with a hash known from elsewhere.
    pub pinned: bool,
    /// What was lost, and what was opened after it.
    pub repairs: Vec<Repair>,
}

/// Verifies one tenant's chain, record by record.
#[derive(Debug, Clone)]
pub struct Verifier {
    tenant: TenantId,
    pins: Pins,
    state: Option<State>,
    records: u64,
    strict: bool,
    broken: Option<Break>,
}

/// Signatures of records that are chained and not yet verified.
#[must_use = "without Verifier::confirm nothing was verified"]
pub struct Owed {
    crew: Crew,
    linked: Result<(), Break>,
}

impl Owed {
    /// Whether the chain ended, or a signature was wrong, already.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.linked.is_err()
    }
}

impl Verifier {
    /// From the first record on.
    #[must_use]
    pub const fn new(tenant: TenantId, pins: Pins) -> Self {
        Self { tenant, pins, state: None, records: 0, strict: false, broken: None }
    }

    /// From where another verifier stood.
    #[must_use]
    pub fn resume(state: State) -> Self {
        let mut verifier = Self::new(state.tenant.clone(), Pins::default());
        verifier.state = Some(state);
        verifier
    }

    /// Compares with what is known from elsewhere. A head before the resumed position other than
    /// that very position cannot be seen any more and is refused.
    #[must_use]
    pub fn with_pins(mut self, pins: Pins) -> Self {
        if let Some(state) = &self.state {
            let head_lost = |(position, hash): (u64, Hash)| {
                position < state.position || (position == state.position && hash != state.hash)
            };
            if pins.tenant_hash.is_some_and(|hash| hash != state.founder) {
                self.broken = Some(Break { position: 1, why: Why::TenantPin });
            } else if let Some((position, _)) = pins.head.filter(|head| head_lost(*head)) {
                self.broken = Some(Break { position, why: Why::HeadPin });
            }
        }
        self.pins = pins;
        self
    }

    /// Decides every signature alone.
    #[must_use]
    pub const fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Where it stands; `None` before the first record.
    #[must_use]
    pub const fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Position of the last record, 0 before the first.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.state.as_ref().map_or(0, |s| s.position)
    }

    /// Goes on behind records that are not at hand, as if the last of them had this position and
    /// hash. Whoever calls this shows by other means that they stand in the same ledger. Keys, epoch
    /// and time go on from the last record that was verified; before the first record nothing is
    /// skipped, and nothing backwards.
    pub fn skip_to(&mut self, position: u64, hash: Hash) {
        if let Some(state) = self.state.as_mut().filter(|state| state.position < position) {
            (state.position, state.hash) = (position, hash);
        }
    }

    /// Verifies the next record, its signature alone.
    ///
    /// # Errors
    /// The ledger is broken here; every later call answers the same.
    pub fn push(&mut self, line: &Line<'_>) -> Result<(), Break> {
        self.guard()?;
        let done = self.link(line, read(line)).and_then(|debt| alone(&debt));
        self.settle(done)
    }

    /// Verifies the next records, signatures together.
    ///
    /// # Errors
    /// The ledger is broken; every later call answers the same.
    pub fn push_batch(&mut self, lines: &[Line<'_>]) -> Result<(), Break> {
        self.push_parallel(lines, 1)
    }

    /// As [`Self::push_batch`], on up to this many threads.
    ///
    /// # Errors
    /// The ledger is broken; every later call answers the same.
    pub fn push_parallel(&mut self, lines: &[Line<'_>], threads: usize) -> Result<(), Break> {
        let owed = self.chain(lines, threads);
        self.confirm(owed)
    }

    /// The first half of [`Self::push_parallel`]: chains the next records. Nothing of it stands
    /// before [`Self::confirm`] said so, of this verifier or of a clone of it; meanwhile the records
    /// behind them may be chained, unless [`Owed::is_broken`].
    pub fn chain(&mut self, lines: &[Line<'_>], threads: usize) -> Owed {
        let mut crew = self.crew(threads);
        let linked = lines.iter().try_for_each(|line| self.owe(line, &mut crew));
        Owed { crew, linked }
    }

    /// The second half: sees to the signatures.
    ///
    /// # Errors
    /// The ledger is broken; every later call answers the same.
    pub fn confirm(&mut self, owed: Owed) -> Result<(), Break> {
        self.close(owed.crew, owed.linked)
    }

    /// Threads for signatures, in this verifier's manner.
    pub(crate) fn crew(&self, threads: usize) -> Crew {
        Crew::new(threads, self.strict)
    }

    /// Chains the next record and leaves its signature to the crew.
    pub(crate) fn owe(&mut self, line: &Line<'_>, crew: &mut Crew) -> Result<(), Break> {
        self.guard()?;
        let debt = self.link(line, read(line))?;
        crew.owe(debt)
    }

    /// Waits for the crew. A wrong signature lies before the place where the chain stopped, so
    /// it is the first break.
    pub(crate) fn close(&mut self, crew: Crew, linked: Result<(), Break>) -> Result<(), Break> {
        let done = self.guard().and(crew.settle()).and(linked);
        self.settle(done)
    }

    fn guard(&self) -> Result<(), Break> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    fn settle(&mut self, done: Result<(), Break>) -> Result<(), Break> {
        self.broken = done.as_ref().err().cloned();
        done
    }

    /// The chain stage. On success the record is folded, and its signature is owed.
    fn link(&mut self, line: &Line<'_>, read: Result<Read<'_>, Why>) -> Result<Debt, Break> {
        let position = self.position() + 1;
        self.join(position, line, read).map_err(|why| Break { position, why })
    }

    fn join(
        &mut self,
        due: u64,
        line: &Line<'_>,
        read: Result<Read<'_>, Why>,
    ) -> Result<Debt, Why> {
        let gap = Why::Gap { expected: due, found: line.seq };
        // Nothing but a repair stands beyond what is due.
        let beyond = line.seq != due;
        if beyond && (line.seq < due || self.state.is_none()) {
            return Err(gap);
        }
        let read = match read {
            Ok(read) if repair::is_repair(&read) || !beyond => read,
            Ok(_) => return Err(gap),
            Err(_) if beyond => return Err(gap),
            Err(why) => return Err(why),
        };
        let record = &read.record;
        if record.tenant != self.tenant.as_str() {
            return Err(Why::Tenant);
        }
        let change = match &mut self.state {
            None => {
                self.state = Some(found(&self.tenant, &read, self.pins.tenant_hash)?);
                None
            }
            Some(state) => {
                let change = follow(state, &read)?;
                if repair::is_repair(&read) {
                    let head = (state.position, state.hash);
                    state.repairs.push(repair::check(&state.ring, head, &read)?);
                }
                change
            }
        };
        let state = self.state.as_mut().ok_or(Why::NotFounded)?;
        let signer = signer(&state.ring, &read)?;
        let debt = Debt::new(due, signer, &read);
        if let Some(change) = change {
            state.ring.apply(&change, read.hash, read.seq);
        }
        let missed = |(at, hash): (u64, Hash)| {
            (due..read.seq).contains(&at) || (at == read.seq && hash != read.hash)
        };
        if self.pins.head.is_some_and(missed) {
            return Err(Why::HeadPin);
        }
        state.position = read.seq;
        state.hash = read.hash;
        state.epoch = record.epoch;
        state.time = record.time;
        self.records += 1;
        Ok(debt)
    }

    /// The answer for a ledger that ends with this head line; `None` means that it has none.
    ///
    /// # Errors
    /// The head line is missing, names another end or is not signed by a current checkpoint key,
    /// or the pinned head lies beyond the end.
    pub fn finish(&self, head: Option<&HeadLine>) -> Result<Summary, Break> {
        let summary = self.finish_live()?;
        let broken = |why| Break { position: summary.position, why };
        let state = self.state.as_ref().ok_or_else(|| broken(Why::NotFounded))?;
        let line = head.ok_or_else(|| broken(Why::HeadMissing))?;
        let same = line.head.tenant == state.tenant
            && line.head.position == state.position
            && line.head.hash == state.hash
            && line.head.time >= state.time;
        if !same {
            return Err(broken(Why::HeadMismatch));
        }
        verify_head(line, &state.ring).map_err(broken)?;
        Ok(summary)
    }

    /// The answer for a ledger that is still growing, which has no head line of its own.
    ///
    /// # Errors
    /// It is broken or empty, or the pinned head lies beyond the end.
    pub fn finish_live(&self) -> Result<Summary, Break> {
        self.guard()?;
        let state = self.state.as_ref().ok_or(Break { position: 1, why: Why::NotFounded })?;
        if self.pins.head.is_some_and(|(at, _)| at > state.position || at == 0) {
            return Err(Break { position: state.position, why: Why::HeadPin });
        }
        Ok(Summary {
            records: self.records,
            position: state.position,
            hash: state.hash,
            time: state.time,
            founder: state.founder,
            pinned: self.pins.tenant_hash.is_some(),
            repairs: state.repairs.clone(),
        })
    }
}

/// Record 1: `tenant.founded`, epoch 0, which brings the keys that it is signed with.
fn found(tenant: &TenantId, read: &Read<'_>, pin: Option<Hash>) -> Result<State, Why> {
    let record = &read.record;
    let first = record.aggregate == "tenant" && record.event == "founded" && record.epoch == 0;
    if !first || !record.has_keys {
        return Err(Why::NotFounded);
    }
    if record.prevhash != Hash::ZERO {
        return Err(Why::Chain);
    }
    if pin.is_some_and(|pin| pin != read.hash) {
        return Err(Why::TenantPin);
    }
    let data = data_of(read)?;
    if data.contains_key("revoked") || data.contains_key("authorization") {
        return Err(Why::KeysMalformed);
    }
    let keys: Vec<Key> = exactly(data.get("keys"))?;
    Ok(State {
        tenant: tenant.clone(),
        position: 1,
        hash: read.hash,
        epoch: 0,
        time: record.time,
        founder: read.hash,
        ring: KeyRing::found(tenant, &keys, read.hash)?,
        repairs: Vec::new(),
    })
}

/// A later record against the one before; answers its lawful change of keys.
fn follow(state: &State, read: &Read<'_>) -> Result<Option<KeyChange>, Why> {
    let record = &read.record;
    if record.prevhash != state.hash {
        return Err(Why::Chain);
    }
    if record.epoch < state.epoch {
        return Err(Why::EpochFalls);
    }
    if record.time < state.time {
        return Err(Why::TimeFalls);
    }
    let own = match (record.aggregate.as_str(), record.event.as_str()) {
        ("tenant", "founded") => return Err(Why::FoundedTwice),
        ("member", "keys-rotated") => {
            record.entity.strip_prefix("member/").and_then(|id| id.parse::<ActorId>().ok())
        }
        ("member", "enrolled" | "removed") | ("tenant", "keys-rotated") => None,
        _ if record.has_keys => return Err(Why::KeysInWrongRecord),
        _ => return Ok(None),
    };
    let data = data_of(read)?;
    let change = KeyChange {
        keys: exactly(data.get("keys"))?,
        revoked: exactly(data.get("revoked"))?,
        authorization: exactly(data.get("authorization"))?,
    };
    state.ring.check_change(&change, own.as_ref(), record.time)?;
    Ok(Some(change))
}

fn data_of(read: &Read<'_>) -> Result<Map<String, Value>, Why> {
    serde_json::from_str(read.record.data).map_err(|_| Why::KeysMalformed)
}

/// A typed value that says neither more nor less than the JSON did.
fn exactly<T: Serialize + for<'de> Deserialize<'de>>(value: Option<&Value>) -> Result<T, Why> {
    let value = value.ok_or(Why::KeysMalformed)?;
    let typed = T::deserialize(value).map_err(|_| Why::KeysMalformed)?;
    let same = serde_json::to_value(&typed).is_ok_and(|again| again == *value);
    if same { Ok(typed) } else { Err(Why::KeysMalformed) }
}

fn signer<'r>(ring: &'r KeyRing, read: &Read<'_>) -> Result<&'r Entry, Why> {
    let entry = ring.key(&read.key).ok_or_else(|| Why::KeyUnknown(read.key.clone()))?;
    if !entry.may(Use::Record) {
        return Err(Why::KeyUse(read.key.clone()));
    }
    if !entry.holds_at(read.seq) {
        return Err(Why::KeyRevoked(read.key.clone()));
    }
    if entry.has_expired(read.record.time) {
        return Err(Why::KeyExpired(read.key.clone()));
    }
    Ok(entry)
}
