//! Sealed content: short fields encrypted in place, groups of keys wrapped under the key store's
//! key, and keyed digests. Nonces are arguments; whoever calls draws them at random.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::encoding::{base64url, unbase64url};
use crate::hash::Hash;

const NONCE: usize = 24;

/// Why content stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Not `x1:<content key id>:<base64url>`.
    #[error("not sealed content: expected x1:<content key id>:<base64url>")]
    Malformed,
    /// Another key, another place, or changed bytes.
    #[error("the content does not open: another key or place, or changed bytes")]
    Closed,
}

fn joined(parts: &[&str]) -> Vec<u8> {
    parts.join("\0").into_bytes()
}

fn close(key: &[u8; 32], nonce: &[u8; NONCE], aad: &[u8], clear: &[u8]) -> Vec<u8> {
    let cipher = XChaCha20Poly1305::new(key.into());
    let sealed = cipher
        .encrypt(&XNonce::from(*nonce), Payload { msg: clear, aad })
        .expect("the clear text is far below the cipher's limit of 256 GiB");
    [nonce.as_slice(), &sealed].concat()
}

fn open(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ContentError> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(ContentError::Malformed)?;
    XChaCha20Poly1305::new(key.into())
        .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad })
        .map(Zeroizing::new)
        .map_err(|_| ContentError::Closed)
}

/// Whether this can be a content key's id: `[0-9a-z-]{1,32}`.
#[must_use]
pub fn is_key_id(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase() || c == b'-')
}

/// Seals a field: `x1:<content key id>:<base64url(nonce and ciphertext)>`, bound to the tenant,
/// the entity and the field's JSON pointer.
#[must_use]
pub fn encrypt(
    key: &[u8; 32],
    key_id: &str,
    nonce: &[u8; 24],
    tenant: &str,
    entity: &str,
    pointer: &str,
    clear: &str,
) -> String {
    debug_assert!(is_key_id(key_id), "content key ids are [0-9a-z-]{{1,32}}");
    let aad = joined(&["canonry/content/v1", tenant, entity, pointer]);
    format!("x1:{key_id}:{}", base64url(&close(key, nonce, &aad, clear.as_bytes())))
}

fn split(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("x1:")?.split_once(':').filter(|(id, _)| is_key_id(id))
}

/// The content key's id of a sealed field.
#[must_use]
pub fn key_id_of(text: &str) -> Option<&str> {
    split(text).map(|(id, _)| id)
}

/// Opens a field.
///
/// # Errors
/// It is malformed, or sealed under another key or for another place.
pub fn decrypt(
    key: &[u8; 32],
    tenant: &str,
    entity: &str,
    pointer: &str,
    text: &str,
) -> Result<String, ContentError> {
    let (_, sealed) = split(text).ok_or(ContentError::Malformed)?;
    let sealed = unbase64url(sealed).ok_or(ContentError::Malformed)?;
    let clear = open(key, &joined(&["canonry/content/v1", tenant, entity, pointer]), &sealed)?;
    String::from_utf8(clear.to_vec()).map_err(|_| ContentError::Malformed)
}

/// Wraps a secret under the key store's key, bound to the tenant and the secret's name.
#[must_use]
pub fn wrap(kek: &[u8; 32], nonce: &[u8; 24], tenant: &str, name: &str, clear: &[u8]) -> Vec<u8> {
    close(kek, nonce, &joined(&["canonry/kek/v1", tenant, name]), clear)
}

/// Opens what [`wrap`] closed.
///
/// # Errors
/// Another key, tenant or name, or changed bytes.
pub fn unwrap(
    kek: &[u8; 32],
    tenant: &str,
    name: &str,
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ContentError> {
    open(kek, &joined(&["canonry/kek/v1", tenant, name]), wrapped)
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// HMAC-SHA-256 of a command's raw body: the envelope's `intentdigest`.
#[must_use]
pub fn intent_digest(key: &[u8; 32], body: &[u8]) -> Hash {
    Hash(hmac(key, body))
}

/// A value's canonical JSON (RFC 8785).
///
/// # Panics
/// Never for what [`canonry_schemas::json`] reads: it has integers alone.
#[must_use]
pub fn canonical(value: &serde_json::Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("integers, texts, lists and objects")
}

/// A key for one purpose from a tenant's secret: HMAC-SHA-256 of `canonry/derive/v1` 0x00 label.
#[must_use]
pub fn derive(tenant_secret: &[u8; 32], label: &str) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(hmac(tenant_secret, &joined(&["canonry/derive/v1", label])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [1; 32];

    #[test]
    fn content_opens_only_in_its_place() {
        let text = encrypt(&KEY, "0001-7", &[2; 24], "acme", "ticket/tkt_1", "/title", "Grüße");
        assert_eq!(key_id_of(&text), Some("0001-7"));
        let open = |key, tenant, entity, pointer| decrypt(key, tenant, entity, pointer, &text);
        assert_eq!(open(&KEY, "acme", "ticket/tkt_1", "/title").as_deref(), Ok("Grüße"));
        assert_eq!(open(&[3; 32], "acme", "ticket/tkt_1", "/title"), Err(ContentError::Closed));
        assert_eq!(open(&KEY, "acme2", "ticket/tkt_1", "/title"), Err(ContentError::Closed));
        assert_eq!(open(&KEY, "acme", "ticket/tkt_2", "/title"), Err(ContentError::Closed));
        assert_eq!(open(&KEY, "acme", "ticket/tkt_1", "/note"), Err(ContentError::Closed));
        for bad in ["", "x1:", "x1:A:AA", "x2:a:AA", "x1:a:AA", "x1:a:A=", "Grüße"] {
            assert_eq!(decrypt(&KEY, "a", "b", "c", bad), Err(ContentError::Malformed), "{bad}");
        }
    }

    #[test]
    fn groups_and_digests() {
        let wrapped = wrap(&KEY, &[2; 24], "acme", "group-1", b"secret");
        let clear = unwrap(&KEY, "acme", "group-1", &wrapped);
        assert!(clear.is_ok_and(|clear| clear.as_slice() == b"secret"));
        assert!(unwrap(&KEY, "acme", "group-2", &wrapped).is_err());
        assert!(unwrap(&KEY, "acme", "group-1", &wrapped[..20]).is_err());
        assert_ne!(derive(&KEY, "a"), derive(&KEY, "b"));
        // As Python has it: `hmac.new(b"\1" * 32, b"{}", "sha256").hexdigest()`.
        let digest = "f186ad0c607e4207cee70b56dbff8a069bb68aa6c6fdd3cde2aca38be300baef";
        assert_eq!(intent_digest(&KEY, b"{}").to_string(), digest);
    }
}
