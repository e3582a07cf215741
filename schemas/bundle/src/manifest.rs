//! The manifest: the first entry of a bundle. It says what the bundle is about and lists every
//! other file. Nobody signs it: whatever it says is either checked against signed bytes or is only
//! a list.

use canonry_record::Hash;
use canonry_record::export::decimal_text;
use canonry_schemas::ids::{TenantId, WorkId};
use canonry_schemas::json;
use canonry_schemas::limits::{
    BUNDLE_ENTRIES, BUNDLE_ENTRY_BYTES, BUNDLE_TEXT_BYTES, NOTE_BYTES, PROOF_BYTES,
};
use serde::{Deserialize, Serialize};

/// The form of a bundle.
pub const FORM: &str = "canonry/evidence-bundle/v1";
/// The manifest's own name.
pub const MANIFEST: &str = "manifest.json";
/// The signed checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// The records that changed keys, and the repairs, as lines of an export.
pub const KEYS: &str = "keys.jsonl";
/// The whole export, where the bundle has it.
pub const LEDGER: &str = "ledger.jsonl";
/// The records that the bundle is about, as lines of an export.
pub const RECORDS: &str = "records.jsonl";

/// A file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its size.
    #[serde(with = "decimal_text")]
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: Hash,
}

/// What a bundle is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form, [`FORM`].
    pub form: String,
    /// The tenant.
    pub tenant: TenantId,
    /// Hash of record 1.
    pub identity: Hash,
    /// The ticket or run.
    pub about: WorkId,
    /// Leaves of the checkpoint.
    #[serde(with = "decimal_text")]
    pub size: u64,
    /// Positions of the records, ascending, as decimals.
    pub positions: Vec<String>,
    /// All other files, by name.
    pub files: Vec<Listed>,
}

/// What a file of a bundle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The note.
    Checkpoint,
    /// Records of keys.
    Keys,
    /// The whole ledger.
    Ledger,
    /// The proof for the record at this position.
    Proof(u64),
    /// The records.
    Records,
}

impl Kind {
    /// What a name means; `None` for any other, with or without dots and slashes.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            CHECKPOINT => Some(Self::Checkpoint),
            KEYS => Some(Self::Keys),
            LEDGER => Some(Self::Ledger),
            RECORDS => Some(Self::Records),
            proof => {
                let digits = proof.strip_prefix("proofs/")?.strip_suffix(".tlog-proof")?;
                let position = digits.parse().ok()?;
                (proof_name(position) == proof).then_some(Self::Proof(position))
            }
        }
    }

    /// Bytes of such a file, at most.
    #[must_use]
    pub const fn most(self) -> u64 {
        match self {
            Self::Checkpoint => NOTE_BYTES as u64,
            Self::Keys | Self::Records => BUNDLE_TEXT_BYTES,
            Self::Ledger => BUNDLE_ENTRY_BYTES,
            Self::Proof(_) => PROOF_BYTES as u64,
        }
    }
}

/// The name of the proof of the record at a position.
#[must_use]
pub fn proof_name(position: u64) -> String {
    format!("proofs/{position:020}.tlog-proof")
}

impl Manifest {
    /// Its bytes: canonical JSON.
    ///
    /// # Panics
    /// Never: it is strings and lists of them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json_canonicalizer::to_vec(self).expect("strings and lists of strings")
    }

    /// Reads one. Its bytes are the only ones for what it says.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let value = json::parse(bytes).ok()?;
        let manifest: Self = serde_json::from_value(value).ok()?;
        let ascends = manifest.files.windows(2).all(|pair| pair[0].name < pair[1].name);
        let fits = manifest.form == FORM
            && manifest.files.len() < BUNDLE_ENTRIES
            && ascends
            && [CHECKPOINT, KEYS, RECORDS].iter().all(|name| manifest.listed(name).is_some());
        (fits && manifest.to_bytes() == bytes).then_some(manifest)
    }

    /// A file of this name.
    #[must_use]
    pub fn listed(&self, name: &str) -> Option<&Listed> {
        let at = self.files.binary_search_by(|file| file.name.as_str().cmp(name)).ok()?;
        Some(&self.files[at])
    }
}
