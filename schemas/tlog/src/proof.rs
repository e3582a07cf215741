//! Offline proofs (C2SP tlog-proof): that a record is in a log, with the checkpoint that says so.
//! What stands in `extra` is not signed; ours is checked by hashing it again.

use std::fmt;
use std::str::FromStr;

use canonry_record::Hash;
use canonry_record::encoding::{base64_padded, unbase64_padded};
use canonry_schemas::limits::{NOTE_BYTES, PROOF_BYTES, PROOF_HASHES};

use crate::checkpoint::{Checkpoint, decimal, hash64};
use crate::note::{Note, NoteError};
use crate::tree::{ProofError, check_inclusion, leaf_hash};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1\n";

/// A proof as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What the writer adds; not signed.
    pub extra: Option<Vec<u8>>,
    /// The leaf.
    pub index: u64,
    /// From the leaf's sibling up.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint.
    pub note: Note,
}

impl Proof {
    /// Checks that a record with this hash is the leaf. Who signed the checkpoint is asked of
    /// [`Note::verify`].
    ///
    /// # Errors
    /// The proof leads elsewhere, or the note is no checkpoint.
    pub fn check(&self, record: &Hash) -> Result<Checkpoint, Refused> {
        let at = Checkpoint::of(&self.note)?;
        check_inclusion(leaf_hash(&record.0), self.index, at.size, &self.hashes, at.root)?;
        Ok(at)
    }
}

/// Why a proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its checkpoint.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its hashes.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FIRST_LINE)?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", base64_padded(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", base64_padded(&hash.0)))?;
        write!(f, "\n{}", self.note)
    }
}

impl FromStr for Proof {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let read = || {
            let rest = text.strip_prefix(FIRST_LINE).filter(|r| r.len() <= PROOF_BYTES)?;
            let (head, note) = rest.split_once("\n\n")?;
            let mut lines = head.split('\n').peekable();
            let extra = match lines.peek()?.strip_prefix("extra ") {
                Some(extra) => {
                    lines.next();
                    Some(unbase64_padded(extra)?)
                }
                None => None,
            };
            let index = decimal(lines.next()?.strip_prefix("index ")?)?;
            let hashes = lines.map(hash64).collect::<Option<Vec<_>>>()?;
            let fits = hashes.len() <= PROOF_HASHES && note.len() <= NOTE_BYTES;
            fits.then_some(Self { extra, index, hashes, note: note.parse().ok()? })
        };
        read().ok_or(NoteError::Malformed)
    }
}
