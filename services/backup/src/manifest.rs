//! What a backup leaves behind of itself: an immutable manifest, which names the segments that it
//! added with their digests, and the manifest before it. Nothing in it is secret.

use canonry_record::Hash;
use canonry_record::export::HeadLine;
use canonry_record::hash::sha256;
use canonry_schemas::ids::TenantId;
use canonry_schemas::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::evidence::ListedObject;
use crate::layout::Segment;

/// The form of the files of a backup.
pub const FORM: u32 = 1;
/// Bytes of a manifest, at most.
pub const MANIFEST_BYTES: u64 = 16 << 20;

/// A segment as a manifest tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The first position.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Hash,
}

impl Listed {
    /// Which one.
    #[must_use]
    pub const fn segment(&self) -> Segment {
        Segment { first: self.first, last: self.last }
    }
}

/// Another file, by name and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its file name.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: Hash,
}

/// What the verification of a backup found when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verified {
    /// Records read back, every hash, link and signature checked.
    pub records: u64,
    /// Segments read back.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Whether the founder was compared with an identity known from elsewhere.
    pub pinned: bool,
}

/// One backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORM`].
    pub form: u32,
    /// Whose.
    pub tenant: TenantId,
    /// The hash of record 1.
    pub identity: Hash,
    /// When it was made, by the clock of whoever made it.
    pub at: Time,
    /// The signed head that it ends with.
    pub head: HeadLine,
    /// The manifest before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Named>,
    /// Segments that no manifest before names.
    pub segments: Vec<Listed>,
    /// How many stored content keys the current copy held; the copy itself changes.
    pub content_keys: u64,
    /// Configurations of the tenant's streams and buckets, as they were.
    pub streams: Vec<Value>,
    /// Evidence objects that no manifest before names.
    pub evidence: Vec<ListedObject>,
    /// What was verified.
    pub verified: Verified,
}

impl Manifest {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Error::Object`]: not a manifest of this form and tenant.
    pub fn parse(name: &str, bytes: &[u8], tenant: &TenantId) -> Result<Self, Error> {
        let read: Self = serde_json::from_slice(bytes).map_err(|e| Error::object(name, e))?;
        if read.form != FORM {
            return Err(Error::object(name, format!("form {}, not {FORM}", read.form)));
        }
        if read.tenant != *tenant || read.head.head.tenant != *tenant {
            return Err(Error::object(name, "of another tenant"));
        }
        Ok(read)
    }

    /// How the next manifest names this one.
    #[must_use]
    pub fn named(name: &str, bytes: &[u8]) -> Named {
        Named { name: name.to_owned(), sha256: sha256(bytes) }
    }
}
