//! The intents of the last day: which were answered, and where. The newest are in memory, all of
//! them in the snapshot store.
//!
//! *Invariant:* an intent that is in neither was never answered, or is [`Intents::expired`].

use std::collections::{HashMap, VecDeque};

use canonry_record::Hash;
use canonry_record::hash::sha256;
use canonry_schemas::ids::{ActorId, IntentId};
use canonry_schemas::limits::INTENT_AGE;
use canonry_schemas::time::Time;

/// Where the answer to an intent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// Position of its record.
    pub position: u64,
    /// First eight bytes of the keyed digest of its body.
    pub digest: [u8; 8],
    /// The record's time, milliseconds.
    pub millis: u64,
}

/// Actor and intent, as the first 16 bytes of a hash: a table of a million must stay small.
pub type Fingerprint = [u8; 16];

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Whose, and which.
    pub key: Fingerprint,
    /// Its answer.
    pub answered: Answered,
    /// The time inside its id, milliseconds.
    pub id_millis: u64,
}

/// What memory knows of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It was answered.
    Answered(Answered),
    /// It was not.
    New,
    /// Only the snapshot store can say.
    Cold(Fingerprint),
}

fn fingerprint(actor: &ActorId, intent: &IntentId) -> Fingerprint {
    let whole = sha256(format!("{actor}\0{intent}").as_bytes());
    // Time first: new intents stand side by side in the snapshot store, on few pages. Eighty bits
    // of hash part those of one millisecond.
    let mut short = [0; 16];
    short[..6].copy_from_slice(&intent.millis().to_be_bytes()[2..]);
    short[6..].copy_from_slice(&whole.0[..10]);
    short
}

/// The time inside the id of an intent.
fn millis_of(key: &Fingerprint) -> u64 {
    key[..6].iter().fold(0, |millis, byte| millis << 8 | u64::from(*byte))
}

/// What the snapshot store said that is kept at the most.
const SAID_MOST: usize = 4_096;

/// How far back an intent can be known, milliseconds.
#[must_use]
pub fn horizon(now_millis: u64) -> u64 {
    now_millis.saturating_sub(INTENT_AGE.as_millis() as u64)
}

/// The table's newest part.
#[derive(Debug, Default)]
pub struct Intents {
    hot: HashMap<Fingerprint, Answered>,
    /// Keys of `hot`, in order of position.
    order: VecDeque<Fingerprint>,
    /// How many at the end of `order` were not captured yet.
    fresh: usize,
    /// What the snapshot store said, until the next flush.
    said: HashMap<Fingerprint, Option<Answered>>,
    /// The greatest time inside an id that is only in the store: a later id is not there.
    cold_until: Option<u64>,
    /// Ids up to this moment may have been forgotten.
    floor: u64,
}

impl Intents {
    /// The newest part of a stored table, in order of position.
    #[must_use]
    pub fn resume(rows: Vec<Row>, cold_until: Option<u64>, floor: u64) -> Self {
        let order = rows.iter().map(|r| r.key).collect();
        let hot = rows.into_iter().map(|r| (r.key, r.answered)).collect();
        Self { hot, order, cold_until, floor, ..Self::default() }
    }

    /// What memory knows.
    #[must_use]
    pub fn get(&self, actor: &ActorId, intent: &IntentId) -> Known {
        let key = fingerprint(actor, intent);
        if let Some(answered) = self.hot.get(&key) {
            return Known::Answered(*answered);
        }
        match self.said.get(&key) {
            Some(Some(answered)) => Known::Answered(*answered),
            Some(None) => Known::New,
            None if self.cold_until.is_some_and(|until| intent.millis() <= until) => {
                Known::Cold(key)
            }
            None => Known::New,
        }
    }

    /// Keeps what the snapshot store said, and its floor.
    pub fn say(&mut self, key: Fingerprint, answered: Option<Answered>, floor: u64) {
        self.floor = self.floor.max(floor);
        // Repeats leave no record, so nothing else would bound what was said.
        if self.said.len() >= SAID_MOST {
            self.said.clear();
        }
        self.said.insert(key, answered);
    }

    /// Whether an unknown id is too old to tell whether it was used.
    #[must_use]
    pub fn expired(&self, intent: &IntentId, now: Time) -> bool {
        intent.millis() < horizon(now.millis()).max(self.floor)
    }

    /// Adds an answered intent; the first answer stands.
    pub fn add(
        &mut self,
        actor: &ActorId,
        intent: &IntentId,
        digest: &Hash,
        position: u64,
        now: Time,
    ) {
        let key = fingerprint(actor, intent);
        if self.hot.contains_key(&key) || self.said.get(&key).is_some_and(Option::is_some) {
            return;
        }
        let mut short = [0; 8];
        short.copy_from_slice(&digest.0[..8]);
        let answered = Answered { position, digest: short, millis: now.millis() };
        self.hot.insert(key, answered);
        self.order.push_back(key);
        self.fresh += 1;
    }

    /// What the snapshot store does not have yet.
    pub fn capture(&mut self) -> Vec<Row> {
        let from = self.order.len() - self.fresh;
        self.fresh = 0;
        let row = |key: &Fingerprint| {
            Some(Row { key: *key, answered: *self.hot.get(key)?, id_millis: millis_of(key) })
        };
        self.order.range(from..).filter_map(row).collect()
    }

    /// Forgets what is stored up to `flushed`, but for the newest `keep`. `floor` is the store's.
    pub fn flushed(&mut self, flushed: u64, keep: usize, floor: u64) {
        self.floor = self.floor.max(floor);
        self.said.clear();
        while self.order.len() > keep + self.fresh {
            let Some(key) = self.order.front().copied() else { break };
            if self.hot.get(&key).is_some_and(|answered| answered.position > flushed) {
                break;
            }
            self.hot.remove(&key);
            self.cold_until = self.cold_until.max(Some(millis_of(&key)));
            self.order.pop_front();
        }
    }
}
