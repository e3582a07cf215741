//! Sealed evidence objects: a file cut into chunks of [`EVIDENCE_CHUNK`] clear bytes, each sealed
//! with its number and whether it is the last, under a key that stands for one object of one
//! entity of one tenant. So a chunk that is cut off, moved, doubled or taken from elsewhere does
//! not open. Nothing here reads, writes or draws random numbers; memory is one chunk.

use canonry_schemas::limits::EVIDENCE_CHUNK;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::content::ContentError;
use crate::hash::Hash;

/// Bytes that sealing adds to a chunk.
pub const TAG: usize = 16;

/// Where an object belongs: what its key stands for.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The entity, `ticket/<id>` or `run/<id>`.
    pub entity: &'a str,
    /// The object.
    pub object: &'a str,
}

fn mac(key: &[u8; 32], parts: &[&str]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(parts.join("\0").as_bytes());
    mac
}

/// HMAC-SHA-256 of `canonry/evidence/v1` 0x00 tenant 0x00 entity 0x00 object.
fn cipher(secret: &[u8; 32], place: Place<'_>) -> XChaCha20Poly1305 {
    let parts = ["canonry/evidence/v1", place.tenant, place.entity, place.object];
    let key = Zeroizing::new(<[u8; 32]>::from(mac(secret, &parts).finalize().into_bytes()));
    XChaCha20Poly1305::new((&*key).into())
}

/// Fifteen zeros, the chunk's number, 1 for the last. The key is the object's own, so that no
/// nonce comes twice under it.
fn nonce(number: u64, last: bool) -> XNonce {
    let mut nonce = [0; 24];
    nonce[15..23].copy_from_slice(&number.to_be_bytes());
    nonce[23] = u8::from(last);
    nonce.into()
}

/// Seals one object, chunk by chunk, and digests it on the way.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    number: u64,
    size: u64,
    waiting: Zeroizing<Vec<u8>>,
    clear: Hmac<Sha256>,
    sealed: Sha256,
}

/// What was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Clear bytes.
    pub size: u64,
    /// Sealed bytes.
    pub sealed_size: u64,
    /// Chunks.
    pub chunks: u64,
    /// HMAC-SHA-256 of the clear bytes under the tenant's digest key.
    pub digest: Hash,
    /// SHA-256 of the sealed bytes.
    pub sha256: Hash,
}

impl Sealer {
    /// For a fresh random secret that seals nothing else.
    #[must_use]
    pub fn new(secret: &[u8; 32], digest_key: &[u8; 32], place: Place<'_>) -> Self {
        Self {
            cipher: cipher(secret, place),
            number: 0,
            size: 0,
            waiting: Zeroizing::new(Vec::with_capacity(EVIDENCE_CHUNK)),
            clear: mac(digest_key, &[]),
            sealed: Sha256::new(),
        }
    }

    /// Clear bytes so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Takes clear bytes off the front of `clear`; a sealed chunk when one is full and more
    /// follows, for which it must be called again until `clear` is empty.
    pub fn push(&mut self, clear: &mut &[u8]) -> Option<Vec<u8>> {
        let full = self.waiting.len() == EVIDENCE_CHUNK && !clear.is_empty();
        let chunk = full.then(|| self.chunk(false));
        let (now, later) = clear.split_at(clear.len().min(EVIDENCE_CHUNK - self.waiting.len()));
        self.waiting.extend_from_slice(now);
        self.clear.update(now);
        self.size += now.len() as u64;
        *clear = later;
        chunk
    }

    /// The last chunk, and what it all came to.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, Sealed) {
        let last = self.chunk(true);
        let sealed = Sealed {
            size: self.size,
            sealed_size: self.size + self.number * TAG as u64,
            chunks: self.number,
            digest: Hash(self.clear.finalize().into_bytes().into()),
            sha256: Hash(self.sealed.finalize().into()),
        };
        (last, sealed)
    }

    fn chunk(&mut self, last: bool) -> Vec<u8> {
        let sealed = self
            .cipher
            .encrypt(&nonce(self.number, last), self.waiting.as_slice())
            .expect("a chunk is far below the cipher's limit");
        self.waiting.clear();
        self.number += 1;
        self.sealed.update(&sealed);
        sealed
    }
}

/// The keyed digest of clear bytes that come in pieces, to be compared with a record's.
pub struct Digester(Hmac<Sha256>);

impl Digester {
    /// Under the tenant's digest key.
    #[must_use]
    pub fn new(digest_key: &[u8; 32]) -> Self {
        Self(mac(digest_key, &[]))
    }

    /// Takes clear bytes.
    pub fn push(&mut self, clear: &[u8]) {
        self.0.update(clear);
    }

    /// The digest.
    #[must_use]
    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into_bytes().into())
    }
}

/// Opens one object, chunk by chunk.
pub struct Opener {
    cipher: XChaCha20Poly1305,
    number: u64,
    left: u64,
}

impl Opener {
    /// For an object of `size` clear bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32], size: u64, place: Place<'_>) -> Self {
        Self { cipher: cipher(secret, place), number: 0, left: size }
    }

    /// Clear bytes that are still to come.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Opens the next chunk.
    ///
    /// # Errors
    /// It is not the one due: changed, moved, cut off, of another object, or one too many.
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, ContentError> {
        let last = self.left <= EVIDENCE_CHUNK as u64;
        let due = self.left.min(EVIDENCE_CHUNK as u64);
        if self.left == 0 || sealed.len() as u64 != due + TAG as u64 {
            return Err(ContentError::Malformed);
        }
        let clear = self.cipher.decrypt(&nonce(self.number, last), sealed);
        let clear = clear.map_err(|_| ContentError::Closed)?;
        self.number += 1;
        self.left -= due;
        Ok(clear)
    }
}

fn url_mac(
    key: &[u8; 32],
    tenant: &str,
    position: u64,
    object: &str,
    expires: u64,
) -> Hmac<Sha256> {
    let (position, expires) = (position.to_string(), expires.to_string());
    mac(key, &["canonry/evidence-url/v1", tenant, &position, object, &expires])
}

/// Signs an address of an object until a moment (seconds since 1970).
#[must_use]
pub fn sign_url(
    key: &[u8; 32],
    tenant: &str,
    position: u64,
    object: &str,
    expires: u64,
) -> [u8; 32] {
    url_mac(key, tenant, position, object, expires).finalize().into_bytes().into()
}

/// Checks the signature of an address, in constant time.
#[must_use]
pub fn url_holds(
    key: &[u8; 32],
    tenant: &str,
    position: u64,
    object: &str,
    expires: u64,
    signature: &[u8],
) -> bool {
    url_mac(key, tenant, position, object, expires).verify_slice(signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { tenant: "acme", entity: "ticket/tkt_1", object: "evd_1" };

    fn seal(clear: &[u8], step: usize) -> (Vec<Vec<u8>>, Sealed) {
        let mut sealer = Sealer::new(&[1; 32], &[2; 32], PLACE);
        let mut chunks = Vec::new();
        for mut part in clear.chunks(step) {
            while !part.is_empty() {
                chunks.extend(sealer.push(&mut part));
            }
        }
        let (last, sealed) = sealer.finish();
        chunks.push(last);
        (chunks, sealed)
    }

    fn open(chunks: &[Vec<u8>], size: usize, place: Place<'_>) -> Result<Vec<u8>, ContentError> {
        let mut opener = Opener::new(&[1; 32], size as u64, place);
        let mut clear = Vec::new();
        for chunk in chunks {
            clear.extend(opener.open(chunk)?);
        }
        if opener.left() > 0 { Err(ContentError::Malformed) } else { Ok(clear) }
    }

    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|n| (n % 251) as u8).collect()
    }

    #[test]
    fn every_length_comes_back() {
        let chunk = EVIDENCE_CHUNK;
        for (size, count) in
            [(1, 1), (chunk - 1, 1), (chunk, 1), (chunk + 1, 2), (2 * chunk, 2), (2 * chunk + 7, 3)]
        {
            let clear = bytes(size);
            let (chunks, sealed) = seal(&clear, 70_001);
            assert_eq!((chunks.len(), sealed.size), (count, size as u64));
            assert_eq!(sealed.sealed_size as usize, chunks.iter().map(Vec::len).sum::<usize>());
            assert_eq!(open(&chunks, size, PLACE).unwrap(), clear);
            assert_eq!(seal(&clear, 4_096), (chunks, sealed), "however the bytes arrive");
        }
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let size = 3 * EVIDENCE_CHUNK;
        let (whole, _) = seal(&bytes(size), size);
        let cut = |n: usize| whole[..n].to_vec();
        let mut flipped = whole.clone();
        flipped[1][9] ^= 1;
        let mut swapped = whole.clone();
        swapped.swap(0, 1);
        let doubled = [&whole[..1], &whole[..]].concat();
        let spliced = [&whole[..1], &whole[2..]].concat();
        let longer = [&whole[..], &whole[2..]].concat();
        for (what, chunks, size) in [
            ("cut off", cut(2), size),
            // The record says how long it is; a forged one does not help.
            ("cut off, and the size with it", cut(2), 2 * EVIDENCE_CHUNK),
            ("one bit", flipped, size),
            ("swapped", swapped, size),
            ("doubled", doubled, size),
            ("one left out", spliced, 2 * EVIDENCE_CHUNK),
            ("one more", longer, size),
            ("none", Vec::new(), size),
        ] {
            assert!(open(&chunks, size, PLACE).is_err(), "{what}");
        }
        for place in [
            Place { tenant: "acme2", ..PLACE },
            Place { entity: "ticket/tkt_2", ..PLACE },
            Place { object: "evd_2", ..PLACE },
        ] {
            assert!(open(&whole, size, place).is_err(), "{place:?}");
        }
        assert!(Opener::new(&[3; 32], size as u64, PLACE).open(&whole[0]).is_err());
    }

    #[test]
    fn an_address_holds_for_what_it_was_made_for() {
        let signed = sign_url(&[1; 32], "acme", 7, "evd_1", 99);
        assert!(url_holds(&[1; 32], "acme", 7, "evd_1", 99, &signed));
        assert!(!url_holds(&[2; 32], "acme", 7, "evd_1", 99, &signed));
        assert!(!url_holds(&[1; 32], "acm", 7, "evd_1", 99, &signed));
        assert!(!url_holds(&[1; 32], "acme", 8, "evd_1", 99, &signed));
        assert!(!url_holds(&[1; 32], "acme", 7, "evd_2", 99, &signed));
        assert!(!url_holds(&[1; 32], "acme", 7, "evd_1", 100, &signed));
        assert!(!url_holds(&[1; 32], "acme", 7, "evd_1", 99, &signed[..31]));
    }
}
