//! Checkpoints (C2SP tlog-checkpoint): the text that a log signs, and the name of a tenant's log.

use std::fmt;
use std::str::FromStr;

use canonry_record::Hash;
use canonry_record::encoding::{base64_padded, unbase64_padded};
use canonry_record::seal::Signer;
use canonry_schemas::ids::TenantId;

use crate::note::{Note, NoteError, sign};

/// The name of a tenant's log: `canonry/<tenant>/<hash of record 1>`. The hash is the tenant's
/// identity, so two cells with a tenant of the same name have different logs.
#[must_use]
pub fn origin(tenant: &TenantId, identity: &Hash) -> String {
    format!("canonry/{tenant}/{identity}")
}

/// The identity in the name of a log of ours.
#[must_use]
pub fn identity_in(origin: &str) -> Option<Hash> {
    let (tenant, identity) = origin.strip_prefix("canonry/")?.split_once('/')?;
    tenant.parse::<TenantId>().ok()?;
    identity.parse().ok()
}

/// Where a log stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// Signs it as the log.
    #[must_use]
    pub fn sign(&self, signer: &Signer) -> Note {
        let text = self.to_string();
        let signature = sign(&text, &self.origin, signer);
        Note::new(text, signature)
    }

    /// What a note says; its signatures are not looked at. Lines that extend a checkpoint are left
    /// out.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn of(note: &Note) -> Result<Self, NoteError> {
        note.text().parse()
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, base64_padded(&self.root.0))
    }
}

/// A number as its only decimal form.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A hash from base64.
pub(crate) fn hash64(text: &str) -> Option<Hash> {
    Some(Hash(unbase64_padded(text)?.try_into().ok()?))
}

impl FromStr for Checkpoint {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let read = || {
            let mut lines = text.strip_suffix('\n')?.split('\n');
            let origin = lines.next().filter(|o| !o.is_empty())?.to_owned();
            let (size, root) = (decimal(lines.next()?)?, hash64(lines.next()?)?);
            lines.all(|line| !line.is_empty()).then_some(Self { origin, size, root })
        };
        read().ok_or(NoteError::Malformed)
    }
}
