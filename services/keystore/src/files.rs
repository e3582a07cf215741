//! Private files: written whole or not at all, read only when nobody else can read them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// Larger than any key or creds file; a bound so that a wrong path cannot fill the memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Whether an existing file may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// What is there stays.
    Never,
    /// What is there goes.
    Replace,
}

/// Makes the directory and its parents, `0700`.
///
/// # Errors
/// The disk refuses.
pub fn make_dir(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| Error::io(path, e))
}

/// Refuses a file that the group or others can touch.
///
/// # Errors
/// They can, or it is not there.
pub fn check_private_path(path: &Path) -> Result<(), Error> {
    let meta = fs::metadata(path).map_err(|e| Error::io(path, e))?;
    check_private(path, &meta)
}

/// Refuses what the group or others can touch.
pub(crate) fn check_private(path: &Path, meta: &fs::Metadata) -> Result<(), Error> {
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(Error::new(ErrorKind::Exposed { mode }, path)) }
}

/// Reads a private file. The check is made on the opened file, so that it cannot be exchanged.
///
/// # Errors
/// It is missing or exposed, or the disk refuses.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let meta = file.metadata().map_err(|e| Error::io(path, e))?;
    check_private(path, &meta)?;
    // Reserved in advance: growing would leave copies of the secret behind in freed memory.
    let size = usize::try_from(meta.len().min(MAX_FILE_BYTES)).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    Ok(bytes)
}

/// Writes a private file: a temporary one beside it, fsync, rename (or link), fsync of the
/// directory.
///
/// # Errors
/// [`ErrorKind::Exists`], or the disk refuses.
pub fn write(path: &Path, bytes: &[u8], overwrite: Overwrite) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("."));
    make_dir(dir)?;
    let temp = temp_path(path)?;
    let written = write_through(&temp, bytes).and_then(|()| match overwrite {
        Overwrite::Replace => fs::rename(&temp, path),
        // A link fails when the target exists; a rename would replace it.
        Overwrite::Never => fs::hard_link(&temp, path),
    });
    if overwrite == Overwrite::Never || written.is_err() {
        // The file under its own name stays; only the second name goes.
        let _ = fs::remove_file(&temp);
    }
    written.map_err(|e| Error::io(path, e))?;
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| Error::io(dir, e))
}

fn write_through(temp: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temp)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn temp_path(path: &Path) -> Result<PathBuf, Error> {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|e| Error::io(path, std::io::Error::other(e)))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(path.with_file_name(format!(".{name}.{:016x}.tmp", u64::from_le_bytes(random))))
}
