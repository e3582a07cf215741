//! Hashes of records and ids of keys.

use std::fmt;
use std::str::FromStr;

use canonry_schemas::ids::KeyId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::encoding::{hex, unhex32};

/// A SHA-256 hash; its text is 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// `prevhash` of a tenant's first record.
    pub const ZERO: Self = Self([0; 32]);
}

/// The text is not 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a hash: expected 64 lower-case hex digits")]
pub struct NotAHash;

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = NotAHash;
    fn from_str(s: &str) -> Result<Self, NotAHash> {
        unhex32(s).map(Self).ok_or(NotAHash)
    }
}

impl TryFrom<String> for Hash {
    type Error = NotAHash;
    fn try_from(s: String) -> Result<Self, NotAHash> {
        s.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

/// SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

/// SHA-256(`canonry/ledger/v1` 0x00 subject 0x00 body).
#[must_use]
pub fn record_hash(subject: &str, body: &[u8]) -> Hash {
    let mut state = Sha256::new();
    state.update(b"canonry/ledger/v1\0");
    state.update(subject.as_bytes());
    state.update([0]);
    state.update(body);
    Hash(state.finalize().into())
}

/// The id of a public key: the first 16 hex digits of its SHA-256.
#[must_use]
pub fn key_id(public: &[u8; 32]) -> KeyId {
    let digits = hex(&sha256(public).0[..8]);
    digits.parse().expect("16 hex digits are a key id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_that_are_hashed() {
        let whole = sha256(b"canonry/ledger/v1\0ledger.acme.ticket.opened\0{}");
        assert_eq!(record_hash("ledger.acme.ticket.opened", b"{}"), whole);
        assert_eq!(whole.to_string().parse(), Ok(whole));
        assert_eq!(key_id(&[0; 32]).as_str(), "66687aadf862bd77");
        assert!(serde_json::from_str::<Hash>("\"00\"").is_err());
    }
}
