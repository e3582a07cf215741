//! The download of the incident log: resumed where it was cut off, bounded in every direction,
//! and put in place only when the raw CSV has the SHA-256 that was asked for. The hash is what
//! is trusted, not the server, the transport or the archive around the file.
//!
//! The body lands in `<dest>.part` (kept when cut off, so that the next call goes on there), is
//! unpacked into `<dest>.raw`, checked, and renamed to `dest`. A body may be a zip archive, as
//! UCI serves it, gzip, or the CSV itself. Two calls for one `dest` exclude each other.

mod error;
mod transfer;
mod unpack;
mod zip;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use error::{Error, ErrorKind};
pub use transfer::Progress;

use crate::digest::Digest;

/// Where UCI publishes the log, as a zip archive that holds `incident_event_log.csv`.
pub const URL: &str = "https://archive.ics.uci.edu/static/public/498/\
                       incident+management+process+enriched+event+log.zip";

/// What a call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The file was there already, with the right hash; nothing was asked of the server.
    Present,
    /// The file was downloaded.
    Downloaded {
        /// Bytes that an earlier call had left and that were of use.
        resumed_at: u64,
        /// Size of the body in bytes.
        body: u64,
    },
}

/// Downloads a log to `dest`; `progress` hears of every piece that comes in.
///
/// # Errors
/// When the server cannot be reached or answers otherwise than it should, when a limit is hit,
/// when the file cannot be written, and when the hash is wrong: then the body is deleted.
pub async fn fetch_incidents(
    url: &str,
    expected_sha256: Digest,
    dest: &Path,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Fetched, Error> {
    let cannot_write = |cause| Error::because(ErrorKind::CannotWrite, cause);
    if dest.is_file() && blocking(dest, move |dest| unpack::hash(&dest)).await? == expected_sha256 {
        return Ok(Fetched::Present);
    }
    if let Some(folder) = dest.parent() {
        std::fs::create_dir_all(folder).map_err(cannot_write)?;
    }
    let part = beside(dest, ".part");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&part)
        .map_err(cannot_write)?;
    file.try_lock().map_err(|cause| Error::because(ErrorKind::InProgress, cause))?;
    let resumed_at = file.metadata().map_err(cannot_write)?.len();
    let mut body = transfer::Body { file: &mut file, resumed_at };
    let size = transfer::receive(url, &mut body, progress).await?;
    let resumed_at = body.resumed_at;

    let raw = beside(dest, ".raw");
    let unpacked = blocking(&part, {
        let raw = raw.clone();
        move |part| unpack::unpack(&part, &raw)
    });
    let outcome = unpacked.await.and_then(|found| {
        if found == expected_sha256 {
            std::fs::rename(&raw, dest).map_err(cannot_write)
        } else {
            Err(Error::new(ErrorKind::WrongHash { expected: expected_sha256, found }))
        }
    });
    if outcome.is_err() && raw.exists() {
        std::fs::remove_file(&raw).map_err(cannot_write)?;
    }
    // A whole body is either unpacked by now or wrong, unless the disk would not take it.
    let keep = matches!(&outcome, Err(Error { kind: ErrorKind::CannotWrite, .. }));
    let cleaned = if keep { Ok(()) } else { std::fs::remove_file(&part).map_err(cannot_write) };
    outcome.and(cleaned)?;
    Ok(Fetched::Downloaded { resumed_at, body: size })
}

fn beside(dest: &Path, suffix: &str) -> PathBuf {
    let mut name = dest.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Hashing and unpacking 46 MB is no work for an async thread.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(PathBuf) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let path = path.to_owned();
    match tokio::task::spawn_blocking(move || work(path)).await {
        Ok(done) => done,
        Err(cause) => Err(Error::because(ErrorKind::CannotWrite, cause)),
    }
}
