//! What one steps up with: a key on the person's own device, in a file of its own that only a
//! passphrase opens. To use it is to show again who one is. The `age` program opens it too.
//!
//! ```text
//! canonry-step-up/1 <tenant> <actor> <level> <seed, base64url>
//! ```

use std::io::{Read as _, Write as _};
use std::path::Path;

use age::scrypt;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use canonry_keystore::files::{self, Overwrite};
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::limits::LEVELS;
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::embedded::{phrase_of, unusable};
use crate::error::{Error, Kind};
use crate::limits::SCRYPT_LOG_N;
use crate::secret::Secret;

const HEADER: &str = "canonry-step-up/1";
/// Bytes of the clear text, at most.
const CLEAR_BYTES: u64 = 512;

/// A key to step up with.
pub struct DeviceKey {
    /// The tenant that it is for.
    pub tenant: TenantId,
    /// Whose it is.
    pub actor: ActorId,
    /// The level that it reaches.
    pub level: u8,
    /// The key; its memory is wiped when dropped.
    pub key: SigningKey,
}

impl std::fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("DeviceKey");
        shown.field("tenant", &self.tenant).field("actor", &self.actor);
        shown.field("level", &self.level).finish_non_exhaustive()
    }
}

impl DeviceKey {
    /// A fresh key.
    ///
    /// # Errors
    /// The operating system gives no randomness, or there is no such level.
    pub fn generate(tenant: TenantId, actor: ActorId, level: u8) -> Result<Self, Error> {
        if !LEVELS.contains(&level) {
            return Err(Error::plain(Kind::Configuration("a level is from 1 to 9")));
        }
        let mut seed = Zeroizing::new([0_u8; 32]);
        let failed = |e| Error::plain(Kind::File).with(std::io::Error::other(e));
        getrandom::fill(&mut *seed).map_err(failed)?;
        Ok(Self { tenant, actor, level, key: SigningKey::from_bytes(&seed) })
    }

    /// Writes it into a file of its own, sealed; never over another.
    ///
    /// # Errors
    /// The passphrase is too short, there is such a file, or the disk refuses.
    pub fn keep(&self, path: &Path, phrase: &Secret) -> Result<(), Error> {
        let seed = Zeroizing::new(URL_SAFE_NO_PAD.encode(*Zeroizing::new(self.key.to_bytes())));
        let Self { tenant, actor, level, .. } = self;
        let clear = Zeroizing::new(format!("{HEADER} {tenant} {actor} {level} {}\n", *seed));
        let mut recipient = scrypt::Recipient::new(phrase_of(phrase)?);
        recipient.set_work_factor(SCRYPT_LOG_N);
        let failed = |e| Error::at(Kind::File, path.display()).with(std::io::Error::other(e));
        let recipients = std::iter::once(&recipient as &dyn age::Recipient);
        let sealer = age::Encryptor::with_recipients(recipients);
        let sealer = sealer.map_err(|e| Error::at(Kind::File, path.display()).with(e))?;
        let mut sealed = Vec::new();
        let mut writer = sealer.wrap_output(&mut sealed).map_err(failed)?;
        writer.write_all(clear.as_bytes()).map_err(failed)?;
        writer.finish().map_err(failed)?;
        files::write(path, &sealed, Overwrite::Never).map_err(unusable)
    }

    /// Opens one.
    ///
    /// # Errors
    /// There is none, it is open to others, or the passphrase does not open it.
    pub fn open(path: &Path, phrase: &Secret) -> Result<Self, Error> {
        let sealed = files::read(path).map_err(unusable)?;
        let damaged = || Error::at(Kind::Damaged, path.display());
        let mut identity = scrypt::Identity::new(phrase_of(phrase)?);
        identity.set_max_work_factor(SCRYPT_LOG_N);
        let opened = age::Decryptor::new(sealed.as_slice())
            .and_then(|sealed| sealed.decrypt(std::iter::once(&identity as &dyn age::Identity)));
        let opened = opened.map_err(|e| damaged().with(e))?;
        let mut clear = Zeroizing::new(String::with_capacity(CLEAR_BYTES as usize));
        opened.take(CLEAR_BYTES).read_to_string(&mut clear).map_err(|e| damaged().with(e))?;
        Self::parse(&clear).ok_or_else(damaged)
    }

    fn parse(clear: &str) -> Option<Self> {
        let mut words = clear.strip_suffix('\n')?.split(' ');
        let [header, tenant, actor, level, seed] = std::array::from_fn(|_| words.next());
        if header? != HEADER || words.next().is_some() {
            return None;
        }
        let level = level?.parse().ok().filter(|level| LEVELS.contains(level))?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(seed?).ok()?);
        let seed = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?);
        let key = SigningKey::from_bytes(&seed);
        Some(Self { tenant: tenant?.parse().ok()?, actor: actor?.parse().ok()?, level, key })
    }
}
