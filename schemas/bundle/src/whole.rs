//! The whole ledger in a bundle: only it shows that no record was left out. It is verified as an
//! export is, its tree must be the checkpoint's, and what it says of the entity and of keys, up to
//! the checkpoint, must be exactly what the bundle holds.

use canonry_record::export::{Entry, parse_line};
use canonry_record::verify::{Break, Pins, Summary};
use canonry_record::whole::Whole;
use canonry_record::{Hash, record, record_hash};
use canonry_schemas::ids::WorkId;
use canonry_schemas::limits::EXPORT_LINE_BYTES;
use canonry_tlog::{Checkpoint, Frontier, leaf_hash};

use crate::concern::{Concern, is_of_keys};

/// Position and hash of a record.
pub type Name = (u64, Hash);

/// Reads the ledger as it comes, in pieces of any length.
pub struct Ledger {
    whole: Option<Whole>,
    line: Vec<u8>,
    broken: Option<Break>,
    concern: Concern,
    tree: Frontier,
    at: Checkpoint,
    root: Option<Hash>,
    concerned: Vec<Name>,
    keys: Vec<Name>,
}

/// What a whole ledger says up to the checkpoint.
pub struct Seen {
    /// Of the ledger.
    pub summary: Summary,
    /// The root at the checkpoint's size; `None` where the ledger is shorter.
    pub root: Option<Hash>,
    /// The records that are about the entity.
    pub concerned: Vec<Name>,
    /// The records of keys.
    pub keys: Vec<Name>,
}

impl Ledger {
    /// On up to this many threads.
    pub fn new(about: &WorkId, at: Checkpoint, threads: usize) -> Self {
        Self {
            whole: Some(Whole::new(Pins::default(), threads)),
            line: Vec::new(),
            broken: None,
            concern: Concern::new(about),
            tree: Frontier::default(),
            at,
            root: None,
            concerned: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.broken.is_some() {
                return;
            }
            // One byte more than a line may have is enough to see that it is too long.
            let room = (EXPORT_LINE_BYTES + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.take();
            }
        }
    }

    fn take(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let short = line.len() < EXPORT_LINE_BYTES;
        // What is too long or no UTF-8 is no line; the verifier says at which position.
        let text = std::str::from_utf8(&line).ok().filter(|_| short).unwrap_or_default();
        let Some(whole) = self.whole.as_mut() else { return };
        self.broken = whole.push(text).err();
        if self.broken.is_none() && self.tree.size() < self.at.size {
            self.note(text);
        }
    }

    fn note(&mut self, text: &str) {
        let Ok(Entry::Record(line)) = parse_line(text) else { return };
        let hash = record_hash(&line.subject, &line.body);
        self.tree.push(leaf_hash(&hash.0));
        if self.tree.size() == self.at.size {
            self.root = Some(self.tree.root());
        }
        let Ok(record) = record::parse(&line.body) else { return };
        if self.concern.takes(&record) {
            self.concerned.push((line.seq, hash));
        }
        if is_of_keys(&record) {
            self.keys.push((line.seq, hash));
        }
    }

    /// What it said.
    ///
    /// # Errors
    /// It is broken or not whole.
    pub fn finish(mut self) -> Result<Seen, Break> {
        if !self.line.is_empty() && self.broken.is_none() {
            self.take();
        }
        let summary = match (self.broken, self.whole.take()) {
            (None, Some(whole)) => whole.finish()?,
            (Some(broken), _) => return Err(broken),
            (None, None) => Whole::new(Pins::default(), 1).finish()?,
        };
        let (root, concerned, keys) = (self.root, self.concerned, self.keys);
        Ok(Seen { summary, root, concerned, keys })
    }
}
