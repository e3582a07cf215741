//! Sealing: hash, signature, headers. Hashing is sequential (each record needs the hash before),
//! signing is not: [`crate::record_hash`] and [`Signer::sign_hash`] are separate for that reason.

use std::sync::Arc;

use canonry_schemas::header;
use canonry_schemas::ids::KeyId;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::encoding::{base64url, unbase64url_exact};
use crate::hash::{Hash, key_id, record_hash};
use crate::quick::Quick;

/// A private key and its id.
#[derive(Clone)]
pub struct Signer {
    /// The private key.
    pub key: SigningKey,
    /// The id of its public key.
    pub id: KeyId,
    /// The same key, where this processor signs faster with it.
    quick: Option<Arc<Quick>>,
}

impl Signer {
    /// From the private key.
    #[must_use]
    pub fn new(key: SigningKey) -> Self {
        let id = key_id(key.verifying_key().as_bytes());
        let quick = Quick::new(&key).map(Arc::new);
        Self { key, id, quick }
    }

    /// From the 32 bytes of the private key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self::new(SigningKey::from_bytes(seed))
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// Signs a message as it is.
    #[must_use]
    pub fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        match &self.quick {
            Some(quick) => quick.sign(message),
            None => self.key.sign(message).to_bytes(),
        }
    }

    /// Signs a record's hash.
    #[must_use]
    pub fn sign_hash(&self, hash: &Hash) -> [u8; 64] {
        self.sign_raw(&signature_message(hash))
    }

    /// Signs a message as it is and writes the signature as text.
    #[must_use]
    pub fn sign_text(&self, message: &[u8]) -> String {
        signature_text(&self.id, &self.sign_raw(message))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.id)
    }
}

/// What sealing adds to a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The record's hash.
    pub hash: Hash,
    /// The value of `Canonry-Signature`.
    pub signature: String,
}

/// `canonry/sig/v1` 0x00 and the 32 bytes of the hash.
#[must_use]
pub fn signature_message(hash: &Hash) -> [u8; 47] {
    let mut message = [0; 47];
    message[..14].copy_from_slice(b"canonry/sig/v1");
    message[15..].copy_from_slice(&hash.0);
    message
}

/// `ed25519:<key id>:<base64url>`.
#[must_use]
pub fn signature_text(id: &KeyId, signature: &[u8; 64]) -> String {
    format!("ed25519:{id}:{}", base64url(signature))
}

/// Reads `ed25519:<key id>:<base64url>`.
#[must_use]
pub fn parse_signature(text: &str) -> Option<(KeyId, [u8; 64])> {
    let (id, signature) = text.strip_prefix("ed25519:")?.split_once(':')?;
    Some((id.parse().ok()?, unbase64url_exact(signature)?))
}

/// Strict RFC 8032 verification: canonical S, no small-order R or key, no cofactor.
#[must_use]
pub fn verify_strict(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
    key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
}

/// Hash and signature in one step.
#[must_use]
pub fn seal(subject: &str, body: &[u8], signer: &Signer) -> Sealed {
    let hash = record_hash(subject, body);
    Sealed { hash, signature: signature_text(&signer.id, &signer.sign_hash(&hash)) }
}

/// The headers in the order in which they are stored.
#[must_use]
pub fn headers(
    id: &str,
    hash: &Hash,
    signature: &str,
    traceparent: Option<&str>,
) -> Vec<(&'static str, String)> {
    let mut all = vec![
        (header::RECORD_ID, id.to_owned()),
        (header::RECORD_HASH, format!("sha256:{hash}")),
        (header::RECORD_SIGNATURE, signature.to_owned()),
    ];
    all.extend(traceparent.map(|t| (header::TRACEPARENT, t.to_owned())));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed() {
        let signer = Signer::from_seed(&[7; 32]);
        let sealed = seal("ledger.acme.ticket.opened", b"{}", &signer);
        let (id, signature) = parse_signature(&sealed.signature).expect("it reads");
        assert_eq!(id, signer.id);
        let mut message = b"canonry/sig/v1\0".to_vec();
        message.extend_from_slice(&sealed.hash.0);
        assert!(verify_strict(&signer.key.verifying_key(), &message, &signature));
        assert!(!verify_strict(&signer.key.verifying_key(), &message[1..], &signature));
        assert_eq!(signature_message(&sealed.hash).as_slice(), message);
        assert_eq!(parse_signature(&format!("{}=", sealed.signature)), None);
        let names: Vec<_> =
            headers("x", &sealed.hash, "s", Some("t")).into_iter().map(|h| h.0).collect();
        assert_eq!(names, ["Nats-Msg-Id", "Canonry-Hash", "Canonry-Signature", "traceparent"]);
    }
}
