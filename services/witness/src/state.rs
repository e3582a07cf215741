//! A witness's folder: its key, and for each log what it cosigned last. What was cosigned is on
//! the disk before the cosignature leaves, or a crash would let it cosign another history.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use canonry_record::Hash;
use canonry_record::encoding::{hex, unhex32};
use canonry_record::hash::sha256;
use canonry_record::seal::Signer;
use canonry_tlog::witness::Seen;
use serde::{Deserialize, Serialize};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk.
    #[error("{path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// A file that does not read.
    #[error("{0} is damaged; a witness that forgot what it cosigned must not go on")]
    Damaged(PathBuf),
    /// The key is open to others.
    #[error("{0} is open to others; it must have the mode 0600")]
    Exposed(PathBuf),
    /// Another process uses the folder.
    #[error("another witness uses {0}")]
    InUse(PathBuf),
    /// No randomness.
    #[error("the operating system yields no random bytes")]
    Random,
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    origin: String,
    #[serde(with = "canonry_record::export::decimal_text")]
    size: u64,
    root: Hash,
}

/// The folder, held by this process alone.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    _lock: File,
}

impl Home {
    /// Opens a folder, or makes it.
    ///
    /// # Errors
    /// The disk, or another process uses it.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let logs = dir.join("logs");
        fs::create_dir_all(&logs).map_err(Error::io(&logs))?;
        let path = dir.join("witness.lock");
        let mut options = File::options();
        let lock = options.write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(Error::io(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(Error::InUse(dir.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(Error::io(&path)(source)),
        }
    }

    /// The witness's key, made at first use.
    ///
    /// # Errors
    /// It is open to others, damaged, or the disk refuses.
    pub fn key(&self) -> Result<Signer, Error> {
        Self::read_key(&self.dir)
    }

    /// The key in a folder that may be in use.
    ///
    /// # Errors
    /// As [`Self::key`].
    pub fn read_key(dir: &Path) -> Result<Signer, Error> {
        let path = dir.join("witness.key");
        match fs::metadata(&path) {
            Ok(meta) if meta.permissions().mode() & 0o077 != 0 => return Err(Error::Exposed(path)),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(|_| Error::Random)?;
                fs::create_dir_all(dir).map_err(Error::io(dir))?;
                write(&path, format!("{}\n", hex(&seed)).as_bytes())?;
            }
            Err(e) => return Err(Error::io(&path)(e)),
        }
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        let seed = unhex32(text.trim_end()).ok_or(Error::Damaged(path))?;
        Ok(Signer::from_seed(&seed))
    }

    /// A log's name may hold anything: its file is named by its digest.
    fn name(origin: &str) -> String {
        format!("logs/{}.json", sha256(origin.as_bytes()))
    }

    /// What was cosigned last for a log.
    ///
    /// # Errors
    /// The file is damaged, or the disk refuses.
    pub fn seen(&self, origin: &str) -> Result<Option<Seen>, Error> {
        let path = self.dir.join(Self::name(origin));
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path)(e)),
        };
        let kept: Option<Kept> = serde_json::from_slice(&bytes).ok();
        let kept = kept.filter(|kept| kept.origin == origin).ok_or(Error::Damaged(path))?;
        Ok(Some(Seen { size: kept.size, root: kept.root }))
    }

    /// Keeps what is about to be cosigned; on the disk when this returns.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn keep(&self, origin: &str, seen: Seen) -> Result<(), Error> {
        let kept = Kept { origin: origin.to_owned(), size: seen.size, root: seen.root };
        let name = Self::name(origin);
        let bytes = serde_json::to_vec(&kept).map_err(|_| Error::Damaged(self.dir.join(&name)))?;
        write(&self.dir.join(name), &bytes)
    }
}

/// Whole or not at all: beside it, synced, renamed, and the folder synced.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension("new");
    let written = || {
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    written().map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cosigned_and_the_key_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let seen = Seen { size: 7, root: Hash([1; 32]) };
        let first = Home::open(dir.path()).unwrap();
        assert!(matches!(Home::open(dir.path()), Err(Error::InUse(_))));
        assert_eq!(first.seen("a/b").unwrap(), None);
        first.keep("a/b", seen).unwrap();
        let id = first.key().unwrap().id;
        drop(first);
        let again = Home::open(dir.path()).unwrap();
        assert_eq!(again.seen("a/b").unwrap(), Some(seen));
        assert_eq!(again.seen("a/c").unwrap(), None);
        assert_eq!(again.key().unwrap().id, id);
        let key = dir.path().join("witness.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(again.key(), Err(Error::Exposed(_))));
        let file = dir.path().join(Home::name("a/b"));
        fs::write(&file, "{").unwrap();
        assert!(matches!(again.seen("a/b"), Err(Error::Damaged(_))), "not taken for a new log");
    }
}
