//! Beats: the holder of a tenant says, signed by the record key, which policy is in force and how far
//! its ledger goes. Whoever has a copy of a policy goes on using it while it hears them. A beat
//! carries no policy: that is read from the ledger, which the beat names by position and hash.

use canonry_schemas::ids::{Digest, TenantId};
use canonry_schemas::text::Label;
use canonry_schemas::time::Time;
use serde::{Deserialize, Serialize};

use crate::export::decimal_text;
use crate::hash::Hash;
use crate::ring::KeyRing;
use crate::seal::{Signer, parse_signature, verify_strict};

/// What a holder says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beat {
    /// The tenant.
    pub tenant: TenantId,
    /// The holder's epoch.
    #[serde(with = "decimal_text")]
    pub epoch: u64,
    /// Position of the last record that is committed.
    #[serde(with = "decimal_text")]
    pub position: u64,
    /// Its hash.
    pub hash: Hash,
    /// Hash of the last record that changed keys.
    pub keyhead: Hash,
    /// When this was said, by the holder's clock; never before the last record's time.
    pub time: Time,
    /// The policy that was published last, expired or not; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Published>,
}

/// The policy that was published last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Position of the record that published it.
    #[serde(with = "decimal_text")]
    pub position: u64,
    /// Hash of that record.
    pub hash: Hash,
    /// SHA-256 of the bundle.
    pub digest: Digest,
    /// Its revision.
    #[serde(with = "decimal_text")]
    pub revision: u64,
    /// Its version, for people.
    pub version: Label,
    /// When it expires.
    pub expires: Time,
    /// For how long a copy may be used after a beat.
    #[serde(with = "decimal_text")]
    pub ttl_seconds: u64,
}

/// A signed beat: what the bucket `policies` holds, one a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeatLine {
    /// What is said.
    pub beat: Beat,
    /// `ed25519:<key id>:<base64url>`.
    pub signature: String,
}

/// Why a beat counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// It is not a beat with exactly its members.
    #[error("it is no beat")]
    Malformed,
    /// It rests on other keys than these: some were changed that one of the two does not know.
    #[error("it rests on other keys")]
    Keys,
    /// It is not signed by the record key, or the signature is wrong.
    #[error("it is not signed by the tenant's record key")]
    Signature,
}

impl BeatLine {
    /// The text that is stored.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a beat is strings")
    }

    /// Reads a stored text.
    ///
    /// # Errors
    /// [`Unsound::Malformed`]: it has other members, one twice, or one that does not read.
    pub fn parse(text: &[u8]) -> Result<Self, Unsound> {
        let line: Self = serde_json::from_slice(text).map_err(|_| Unsound::Malformed)?;
        let value = canonry_schemas::json::parse(text).map_err(|_| Unsound::Malformed)?;
        let same = serde_json::to_value(&line).is_ok_and(|again| again == value);
        if same { Ok(line) } else { Err(Unsound::Malformed) }
    }

    /// Checks a beat against the keys as they stand after the record that its key head names.
    ///
    /// # Errors
    /// [`Unsound::Keys`] where the keys are others, [`Unsound::Signature`].
    pub fn check(&self, ring: &KeyRing) -> Result<(), Unsound> {
        if self.beat.tenant != *ring.tenant() || self.beat.keyhead != ring.keyhead() {
            return Err(Unsound::Keys);
        }
        let (id, signature) = parse_signature(&self.signature).ok_or(Unsound::Signature)?;
        let key = ring.record_key().filter(|e| e.key.id == id && !e.has_expired(self.beat.time));
        let key = key.ok_or(Unsound::Signature)?;
        if verify_strict(&key.verifying, &message(&self.beat), &signature) {
            Ok(())
        } else {
            Err(Unsound::Signature)
        }
    }
}

/// `canonry/beat/v1` 0x00 and the canonical JSON of the beat.
#[must_use]
pub fn message(beat: &Beat) -> Vec<u8> {
    let mut message = b"canonry/beat/v1\0".to_vec();
    message.extend(serde_json_canonicalizer::to_vec(beat).expect("a beat is strings"));
    message
}

/// Signs a beat with the record key.
#[must_use]
pub fn sign(beat: Beat, signer: &Signer) -> BeatLine {
    let signature = signer.sign_text(&message(&beat));
    BeatLine { beat, signature }
}
