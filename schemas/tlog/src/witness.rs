//! The rules of a witness (C2SP tlog-witness): what it is asked, and whether it cosigns. Keeping
//! what was cosigned, before the cosignature leaves, is the process's.

use std::fmt;
use std::str::FromStr;

use canonry_record::Hash;
use canonry_record::encoding::base64_padded;
use canonry_schemas::limits::{NOTE_BYTES, PROOF_HASHES};

use crate::checkpoint::{Checkpoint, decimal, hash64};
use crate::note::{Note, VerifierKey};
use crate::tree::{check_consistency, empty_root};

/// A request to cosign: the body of `POST …/add-checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The size that the witness cosigned last, as the asker knows it.
    pub old: u64,
    /// That the old tree begins the new one.
    pub proof: Vec<Hash>,
    /// The new checkpoint, signed by its log.
    pub note: Note,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", base64_padded(&hash.0)))?;
        write!(f, "\n{}", self.note)
    }
}

impl FromStr for Request {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let read = || {
            let (head, note) = text.split_once("\n\n")?;
            let mut lines = head.split('\n');
            let old = decimal(lines.next()?.strip_prefix("old ")?)?;
            let proof = lines.map(hash64).collect::<Option<Vec<_>>>()?;
            let fits = proof.len() <= PROOF_HASHES && note.len() <= NOTE_BYTES;
            fits.then_some(Self { old, proof, note: note.parse().ok()? })
        };
        read().ok_or(Refused::Malformed)
    }
}

/// What a witness cosigned last for a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How many leaves.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The body does not read, or the old size is beyond the new one.
    #[error("the request is malformed")]
    Malformed,
    /// No log of this name is known here.
    #[error("the log is not known here")]
    UnknownLog,
    /// Not signed by a key of the log.
    #[error("the checkpoint is not signed by a known key of its log")]
    Unsigned,
    /// The last cosigned size is another; or it is the same, with another root.
    #[error("the last checkpoint cosigned here has {size} leaves")]
    Conflict {
        /// What was cosigned last.
        size: u64,
    },
    /// The new tree does not begin with the old one.
    #[error("the new tree does not begin with the one cosigned before")]
    Inconsistent,
}

impl Refused {
    /// The HTTP status that the specification names.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unsigned => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent => 422,
        }
    }
}

/// Whether a witness that trusts these keys of logs may cosign. `seen` answers what it cosigned
/// last for a log; whoever asks holds that still until the answer is kept.
///
/// # Errors
/// It may not.
pub fn check(
    request: &Request,
    logs: &[VerifierKey],
    seen: impl FnOnce(&str) -> Option<Seen>,
) -> Result<Checkpoint, Refused> {
    let new = Checkpoint::of(&request.note).map_err(|_| Refused::Malformed)?;
    let keys: Vec<VerifierKey> = logs.iter().filter(|k| k.name() == new.origin).cloned().collect();
    if keys.is_empty() {
        return Err(Refused::UnknownLog);
    }
    request.note.verify(&keys).map_err(|_| Refused::Unsigned)?;
    if request.old > new.size {
        return Err(Refused::Malformed);
    }
    let seen = seen(&new.origin).unwrap_or(Seen { size: 0, root: empty_root() });
    let conflict = Refused::Conflict { size: seen.size };
    if seen.size != request.old || (seen.size == new.size && seen.root != new.root) {
        return Err(conflict);
    }
    let holds = match seen.size {
        0 => request.proof.is_empty(),
        old => check_consistency(old, new.size, &request.proof, seen.root, new.root).is_ok(),
    };
    if holds { Ok(new) } else { Err(Refused::Inconsistent) }
}
