//! One key as it lies on the disk, what it may be used for, and the tenant's wrapping key. What a
//! person steps up with never lies here: it is in a sealed file of its own.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use canonry_schemas::ids::{ActorId, KeyId};
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::Error;

/// What a key may be used for. The words are those of `data.keys` on the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyUse {
    /// Authorises every change of keys; kept offline.
    Root,
    /// Authorises `member` and `login` keys, nothing else.
    Enrol,
    /// Signs records.
    Record,
    /// Signs heads.
    Checkpoint,
    /// A person's or worker's signatures.
    Member,
    /// A NATS login; signs nothing else.
    Login,
    /// Signs heads seen by a third party.
    Witness,
}

impl KeyUse {
    /// Every use, in the order of the ledger's documentation.
    pub const ALL: [Self; 7] = [
        Self::Root,
        Self::Enrol,
        Self::Record,
        Self::Checkpoint,
        Self::Member,
        Self::Login,
        Self::Witness,
    ];

    /// The word on the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Enrol => "enrol",
            Self::Record => "record",
            Self::Checkpoint => "checkpoint",
            Self::Member => "member",
            Self::Login => "login",
            Self::Witness => "witness",
        }
    }
}

impl fmt::Display for KeyUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The id of a public key: the first 16 hex digits of SHA-256 of its 32 bytes.
#[must_use]
pub fn key_id(public: &VerifyingKey) -> KeyId {
    let digest = Sha256::digest(public.as_bytes());
    let hex: String = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
    hex.parse().expect("eight bytes print as sixteen lower-case hex digits")
}

/// A private key with its uses and its owner.
#[derive(Clone)]
pub struct StoredKey {
    /// The key; its memory is wiped when dropped.
    pub key: SigningKey,
    /// What it may be used for, at least one.
    pub uses: Vec<KeyUse>,
    /// Whose it is.
    pub actor: ActorId,
}

impl StoredKey {
    /// A fresh key from the operating system's randomness.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate(uses: &[KeyUse], actor: ActorId) -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        fill(&mut *seed, Path::new("randomness"))?;
        Ok(Self { key: SigningKey::from_bytes(&seed), uses: uses.to_vec(), actor })
    }

    /// The key of one file, of the form that the store writes and as private.
    ///
    /// # Errors
    /// It cannot be read, others can read it too, or it is no such file.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        Self::from_json(path, &crate::files::read(path)?)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        key_id(&self.key.verifying_key())
    }

    /// The public key, base64url without padding, as it stands on the ledger.
    #[must_use]
    pub fn public_base64url(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes())
    }

    pub(crate) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let seed = Zeroizing::new(URL_SAFE_NO_PAD.encode(*Zeroizing::new(self.key.to_bytes())));
        let uses: Vec<String> = self.uses.iter().map(|u| format!("\"{u}\"")).collect();
        // Every part is a token or base64url: nothing needs escaping, and no copy of the seed is
        // left in a serialiser's buffer.
        Zeroizing::new(
            format!(
                "{{\"id\":\"{}\",\"alg\":\"ed25519\",\"use\":[{}],\"actor\":\"{}\",\"seed\":\"{}\"}}\n",
                self.id(),
                uses.join(","),
                self.actor,
                *seed
            )
            .into_bytes(),
        )
    }

    pub(crate) fn from_json(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct OnDisk<'a> {
            id: KeyId,
            alg: String,
            #[serde(rename = "use")]
            uses: Vec<KeyUse>,
            actor: ActorId,
            /// Borrowed, so that no copy of the secret is made.
            seed: &'a str,
        }
        let disk: OnDisk<'_> = serde_json::from_slice(bytes).map_err(|e| {
            // Its own text may quote a value, and with it the secret.
            Error::malformed(path, format!("at line {}, column {}", e.line(), e.column()))
        })?;
        if disk.alg != "ed25519" {
            return Err(Error::malformed(path, "`alg` is not ed25519"));
        }
        if disk.uses.is_empty() {
            return Err(Error::malformed(path, "`use` is empty"));
        }
        let seed = decode32(path, disk.seed.as_bytes())?;
        let key = Self { key: SigningKey::from_bytes(&seed), uses: disk.uses, actor: disk.actor };
        if key.id() != disk.id {
            return Err(Error::malformed(path, "`id` is not the id of this key"));
        }
        Ok(key)
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey")
            .field("id", &self.id())
            .field("uses", &self.uses)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

/// The key under which a tenant's content keys are wrapped; wiped when dropped.
#[derive(Clone)]
pub struct Kek(Zeroizing<[u8; 32]>);

impl Kek {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn generate(path: &Path) -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        fill(&mut *bytes, path)?;
        Ok(Self(bytes))
    }

    pub(crate) fn to_text(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(format!("{}\n", URL_SAFE_NO_PAD.encode(self.as_bytes())).into_bytes())
    }

    pub(crate) fn from_text(path: &Path, text: &[u8]) -> Result<Self, Error> {
        decode32(path, text.trim_ascii()).map(Self)
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kek(redacted)")
    }
}

/// The key of a seed that was given as text, base64url; `name` is where it stood.
pub fn seed_of(name: &str, text: &str) -> Result<SigningKey, Error> {
    let seed = decode32(Path::new(name), text.as_bytes())?;
    Ok(SigningKey::from_bytes(&seed))
}

fn fill(bytes: &mut [u8], path: &Path) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|e| Error::io(path, std::io::Error::other(e)))
}

fn decode32(path: &Path, text: &[u8]) -> Result<Zeroizing<[u8; 32]>, Error> {
    // The decoder's own error would quote a byte of the secret.
    let bytes = Zeroizing::new(
        URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::malformed(path, "not base64url"))?,
    );
    let array: [u8; 32] =
        bytes.as_slice().try_into().map_err(|_| Error::malformed(path, "not 32 bytes"))?;
    Ok(Zeroizing::new(array))
}
