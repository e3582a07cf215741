//! A folder that one process at a time may use: two servers on one store, or two projectors on
//! one file, would destroy it. The lock is the system's, so it ends with the process.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use crate::failure::Failure;

/// A folder in use; free again when this is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes `<folder>/<name>.lock` and writes down whose it is. `what` tells people who holds it.
    ///
    /// # Errors
    /// Another process holds it, or the folder cannot be written.
    pub fn take(folder: &Path, name: &str, what: &str) -> Result<Self, Failure> {
        let path = folder.join(format!("{name}.lock"));
        let failed = |e: std::io::Error| Failure::config(format!("{}: {e}", path.display()));
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                // Only for the message: who cannot be read is still there.
                let _ = file.read_to_string(&mut process);
                let (process, folder) = (process.trim(), folder.display());
                return Err(Failure::config(format!(
                    "{what} (process {process}) uses {folder} already; stop it or name another one"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let id = format!("{}\n", std::process::id());
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        file.write_all(id.as_bytes()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path(), "x", "canonry x").unwrap();
        let second = Lock::take(folder.path(), "x", "canonry x").unwrap_err();
        assert_eq!(second.exit, crate::exit::CONFIG);
        let ours = format!("canonry x (process {}) uses", std::process::id());
        assert!(second.message.starts_with(&ours), "{}", second.message);
        drop(first);
        Lock::take(folder.path(), "x", "canonry x").unwrap();
    }
}
