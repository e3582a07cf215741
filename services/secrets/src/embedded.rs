//! The embedded store: one file, sealed by `age`, that is replaced as a whole. It opens with an
//! identity in a file `0600` beside it, or with a passphrase. The `age` program opens it too:
//! `age -d -i identity.txt store.age`.
//!
//! ```text
//! canonry-secrets/1
//! <path> <field> <base64>      one line a field, sorted
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use age::secrecy::{ExposeSecret as _, SecretString};
use age::{scrypt, x25519};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use canonry_keystore::files::{self, Overwrite};
use zeroize::Zeroizing;

use crate::error::{Error, Kind};
use crate::limits::{
    FIELDS, LOCK_POLL, LOCK_WITHIN, NAMES, PASSPHRASE_LEAST, SCRYPT_LOG_N, SECRETS, STORE_BYTES,
};
use crate::reference::{Place, Reference, is_part};
use crate::secret::{Fields, Secret};
use crate::store::SecretStore;

const HEADER: &str = "canonry-secrets/1";
/// The sealed file.
pub const STORE: &str = "store.age";
/// What opens it, where no passphrase does.
pub const IDENTITY: &str = "identity.txt";
const LOCK: &str = "store.lock";

/// What opens and seals the file.
enum Seal {
    Identity(x25519::Identity),
    Passphrase(SecretString),
}

/// Secrets in a file of this machine. Cheap to clone.
#[derive(Clone)]
pub struct Embedded {
    folder: PathBuf,
    seal: Arc<Seal>,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("folder", &self.folder).finish_non_exhaustive()
    }
}

type All = BTreeMap<String, Fields>;

impl Embedded {
    /// Makes an empty store in a folder. Without a passphrase an identity is made beside it.
    ///
    /// # Errors
    /// There is one, the passphrase is too short, or the disk refuses.
    pub fn create(folder: &Path, passphrase: Option<&Secret>) -> Result<Self, Error> {
        if folder.join(STORE).exists() || folder.join(IDENTITY).exists() {
            return Err(Error::at(Kind::Exists, folder.display()));
        }
        let seal = match passphrase {
            Some(phrase) => Seal::Passphrase(phrase_of(phrase)?),
            None => {
                let identity = x25519::Identity::generate();
                let text = Zeroizing::new(format!("{}\n", identity.to_string().expose_secret()));
                let path = folder.join(IDENTITY);
                files::write(&path, text.as_bytes(), Overwrite::Never).map_err(unusable)?;
                Seal::Identity(identity)
            }
        };
        let store = Self { folder: folder.to_owned(), seal: Arc::new(seal) };
        store.save(&All::new(), Overwrite::Never)?;
        Ok(store)
    }

    /// Opens the store of a folder, with the passphrase where no identity lies beside it.
    ///
    /// # Errors
    /// There is none, a file is open to others, or nothing opens it.
    pub fn open(folder: &Path, passphrase: Option<&Secret>) -> Result<Self, Error> {
        if !folder.join(STORE).exists() {
            return Err(Error::at(Kind::StoreUnknown, folder.display()));
        }
        let path = folder.join(IDENTITY);
        let seal = if path.exists() {
            let text = files::read(&path).map_err(unusable)?;
            let text = std::str::from_utf8(&text).unwrap_or_default().trim();
            let identity = text.parse::<x25519::Identity>();
            // Its own words are a constant, but nothing of the file is to be trusted to them.
            Seal::Identity(identity.map_err(|_| Error::at(Kind::Damaged, path.display()))?)
        } else {
            let missing = "no identity lies beside the store, and $CANONRY_SECRETS_PASSPHRASE is \
                           not set";
            let phrase = passphrase.ok_or_else(|| Error::plain(Kind::Configuration(missing)))?;
            Seal::Passphrase(phrase_of(phrase)?)
        };
        let store = Self { folder: folder.to_owned(), seal: Arc::new(seal) };
        files::check_private_path(&store.path()).map_err(unusable)?;
        Ok(store)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(STORE)
    }

    fn damaged(&self) -> Error {
        Error::at(Kind::Damaged, self.path().display())
    }

    fn load(&self) -> Result<All, Error> {
        let sealed = files::read(&self.path()).map_err(unusable)?;
        let scrypt;
        let identity: &dyn age::Identity = match &*self.seal {
            Seal::Identity(identity) => identity,
            Seal::Passphrase(phrase) => {
                let mut opener = scrypt::Identity::new(phrase.clone());
                opener.set_max_work_factor(SCRYPT_LOG_N);
                scrypt = opener;
                &scrypt
            }
        };
        let opened = age::Decryptor::new(sealed.as_slice())
            .and_then(|sealed| sealed.decrypt(std::iter::once(identity)));
        let opened = opened.map_err(|e| self.damaged().with(e))?;
        // Reserved in advance: growing would leave copies of the secrets behind in freed memory.
        let mut clear = Zeroizing::new(Vec::with_capacity(STORE_BYTES + 1));
        let most = STORE_BYTES as u64 + 1;
        opened.take(most).read_to_end(&mut clear).map_err(|e| self.damaged().with(e))?;
        if clear.len() > STORE_BYTES {
            return Err(self.damaged());
        }
        parse(&clear).ok_or_else(|| self.damaged())
    }

    fn save(&self, all: &All, overwrite: Overwrite) -> Result<(), Error> {
        let clear = print(all)?;
        let scrypt;
        let own;
        let recipient: &dyn age::Recipient = match &*self.seal {
            Seal::Identity(identity) => {
                own = identity.to_public();
                &own
            }
            Seal::Passphrase(phrase) => {
                let mut sealer = scrypt::Recipient::new(phrase.clone());
                sealer.set_work_factor(SCRYPT_LOG_N);
                scrypt = sealer;
                &scrypt
            }
        };
        let failed = |e| self.damaged().with(std::io::Error::other(e));
        let sealer = age::Encryptor::with_recipients(std::iter::once(recipient));
        let sealer = sealer.map_err(|e| self.damaged().with(e))?;
        let mut sealed = Vec::with_capacity(clear.len() + clear.len() / 1_024 + 4_096);
        let mut writer = sealer.wrap_output(&mut sealed).map_err(failed)?;
        writer.write_all(&clear).and_then(|()| writer.finish().map(drop)).map_err(failed)?;
        files::write(&self.path(), &sealed, overwrite).map_err(unusable)
    }

    /// Reads, changes and replaces the file while nobody else writes it. The lock ends with the
    /// process that holds it.
    fn change(&self, change: impl FnOnce(&mut All) -> Result<(), Error>) -> Result<(), Error> {
        let path = self.folder.join(LOCK);
        let failed = |e: std::io::Error| Error::at(Kind::File, path.display()).with(e);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(&path).map_err(failed)?;
        self.wait_for(&lock)?;
        let mut all = self.load()?;
        change(&mut all)?;
        self.save(&all, Overwrite::Replace)
    }

    fn wait_for(&self, lock: &File) -> Result<(), Error> {
        let until = Instant::now() + LOCK_WITHIN;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(LOCK_POLL);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::at(Kind::Busy, self.folder.display()));
                }
                Err(TryLockError::Error(e)) => {
                    return Err(Error::at(Kind::File, self.folder.display()).with(e));
                }
            }
        }
    }

    /// Runs what reads the disk, and may derive a key for a second, apart from the runtime.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.unwrap_or_else(|e| Err(Error::plain(Kind::File).with(e)))
    }
}

#[async_trait]
impl SecretStore for Embedded {
    async fn get(&self, reference: &Reference) -> Result<Secret, Error> {
        let wanted = reference.clone();
        let find = move |store: &Self| {
            let mut all = store.load()?;
            let found = all.remove(wanted.place().path());
            let found = found.and_then(|mut fields| fields.remove(wanted.field()));
            found.ok_or_else(|| Error::at(Kind::Unknown, &wanted))
        };
        self.apart(find).await
    }

    async fn put(&self, reference: &Reference, value: &Secret) -> Result<(), Error> {
        let (at, value) = (reference.clone(), value.clone());
        let put = move |all: &mut All| {
            let fields = all.entry(at.place().path().to_owned()).or_default();
            fields.insert(at.field().to_owned(), value);
            let full = fields.len() > FIELDS || all.len() > SECRETS;
            if full { Err(Error::at(Kind::Full, &at)) } else { Ok(()) }
        };
        self.apart(move |store| store.change(put)).await
    }

    async fn delete(&self, place: &Place) -> Result<(), Error> {
        let place = place.clone();
        let remove = move |all: &mut All| {
            let gone = all.remove(place.path()).map(drop);
            gone.ok_or_else(|| Error::at(Kind::Unknown, &place))
        };
        self.apart(move |store| store.change(remove)).await
    }

    async fn list(&self, place: Option<&Place>) -> Result<Vec<String>, Error> {
        let below = place.map_or_else(String::new, |place| format!("{}/", place.path()));
        let names = move |store: &Self| {
            let all = store.load()?;
            let rest = all.keys().filter_map(|path| path.strip_prefix(&below));
            let mut names: Vec<String> = rest
                .map(|rest| match rest.split_once('/') {
                    Some((folder, _)) => format!("{folder}/"),
                    None => rest.to_owned(),
                })
                .take(NAMES)
                .collect();
            names.sort();
            names.dedup();
            Ok(names)
        };
        self.apart(names).await
    }
}

pub(crate) fn phrase_of(phrase: &Secret) -> Result<SecretString, Error> {
    let text = phrase.expose_text().filter(|text| text.chars().count() >= PASSPHRASE_LEAST);
    let short = "a passphrase is text of at least 12 characters";
    let text = text.ok_or_else(|| Error::plain(Kind::Configuration(short)))?;
    Ok(SecretString::from(text.to_owned()))
}

pub(crate) fn unusable(error: canonry_keystore::Error) -> Error {
    match error.kind {
        canonry_keystore::ErrorKind::Exists => Error::at(Kind::Exists, error.path.display()),
        _ => Error::plain(Kind::File).with(error),
    }
}

fn print(all: &All) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut text = Zeroizing::new(String::with_capacity(STORE_BYTES));
    text.push_str(HEADER);
    text.push('\n');
    for (path, fields) in all {
        for (field, value) in fields {
            let value = Zeroizing::new(STANDARD.encode(value.expose()));
            if text.len() + path.len() + field.len() + value.len() + 3 > STORE_BYTES {
                return Err(Error::plain(Kind::Full));
            }
            for part in [path.as_str(), " ", field, " ", value.as_str(), "\n"] {
                text.push_str(part);
            }
        }
    }
    Ok(Zeroizing::new(std::mem::take(&mut *text).into_bytes()))
}

/// `None` for anything that [`print`] does not write.
fn parse(text: &[u8]) -> Option<All> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix(HEADER)?.strip_prefix('\n')?;
    let mut all = All::new();
    for line in text.split_terminator('\n') {
        let mut parts = line.split(' ');
        let (path, field, value) = (parts.next()?, parts.next()?, parts.next()?);
        let named = path.split('/').all(is_part) && is_part(field);
        if !named || parts.next().is_some() {
            return None;
        }
        let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(value.len())]);
        let length = STANDARD.decode_slice(value, &mut bytes).ok()?;
        bytes.truncate(length);
        let fields = all.entry(path.to_owned()).or_default();
        if fields.insert(field.to_owned(), Secret::new(bytes).ok()?).is_some() {
            return None;
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_printed_is_read() {
        let value = |text: &str| Secret::new(text.as_bytes().to_vec()).unwrap();
        let mut all = All::new();
        all.entry("a/b".into()).or_default().insert("f".into(), value("\u{0} x\n"));
        all.entry("a".into()).or_default().insert("g".into(), value("y"));
        let text = print(&all).unwrap();
        assert!(parse(&text) == Some(all));
        for bad in [
            "",
            "canonry-secrets/1",
            "canonry-secrets/2\n",
            "canonry-secrets/1\na f\n",
            "canonry-secrets/1\na f eA== x\n",
            "canonry-secrets/1\na f eA==\na f eA==\n",
            "canonry-secrets/1\n../a f eA==\n",
            "canonry-secrets/1\na f e\n",
            "canonry-secrets/1\na f \n",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }
}
