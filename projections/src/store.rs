//! The write side: one file, one writer, every batch one transaction with its position.
//!
//! A file of another version is never migrated: it is laid out anew beside the old one and
//! swapped in, and the projector fills it from the ledger, then has it indexed. How a record changes the tables is in
//! the fold; reading is in [`crate::query`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use canonry_schemas::event::Event;
use canonry_schemas::tenant;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::fold::fold;
use crate::recorded::Recorded;
use crate::schema::{INDEXES, TABLES, VERSION, WRITER};

/// What can go wrong with a file of read models.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite.
    #[error("the read model's database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The file system.
    #[error("the read model's file {path} failed")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A record is missing or comes twice.
    #[error("position {found} cannot follow: expected {expected}")]
    Gap {
        /// The position that must come next.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// JSON in the file or in a record.
    #[error("the read model holds malformed JSON")]
    Json(#[from] serde_json::Error),
    /// An event of the file that this program cannot read any more: rebuild the file.
    #[error("the read model holds a {0} that does not read")]
    Past(String),
    /// More records than one `as_of` read folds.
    #[error("as_of: more than {most} records up to there")]
    TooMuch {
        /// The bound.
        most: u64,
    },
    /// More between two positions than one `diff` compares.
    #[error("from and to lie too far apart: more than {most} {what} between them")]
    Wide {
        /// The bound.
        most: u64,
        /// Of what.
        what: &'static str,
    },
    /// A cursor that this store did not give.
    #[error("the cursor is not one of this list")]
    Cursor,
}

/// How far a file is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Head {
    /// The last position applied, 0 in a new file.
    pub position: u64,
    /// Its hash, zeros in a new file.
    pub hash: String,
    /// Its time, empty in a new file.
    pub time: String,
}

/// A tenant's read models, open for writing.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    position: u64,
    indexed: bool,
}

impl Store {
    /// Opens a file; makes it anew where there is none, or one of another version.
    ///
    /// # Errors
    /// The file system or SQLite.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !fits(path) {
            lay_out(path)?;
        }
        Self::open_fitting(path)
    }

    /// Begins a new file beside `path`, for a rebuild while the old one is still read;
    /// [`Store::swap_into`] ends it. What an earlier attempt left is thrown away.
    ///
    /// # Errors
    /// The file system or SQLite.
    pub fn beside(path: &Path) -> Result<Self, Error> {
        let beside = with_suffix(path, ".next");
        remove(&beside)?;
        lay_out(&beside)?;
        Self::open_fitting(&beside)
    }

    /// Puts this file in the place of `path`. No connection to the old file may be open: the last
    /// one to close would take the new file's write-ahead log with it.
    ///
    /// # Errors
    /// The file system or SQLite.
    pub fn swap_into(self, path: &Path) -> Result<Self, Error> {
        let Self { connection, path: from, .. } = self;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        connection.close().map_err(|(_, e)| e)?;
        remove(path)?;
        std::fs::rename(&from, path).map_err(file(path))?;
        Self::open_fitting(path)
    }

    fn open_fitting(path: &Path) -> Result<Self, Error> {
        let connection = Connection::open(path)?;
        plan_once(&connection)?;
        connection.execute_batch(WRITER)?;
        connection.set_prepared_statement_cache_capacity(64);
        let position = head(&connection)?.position;
        Ok(Self { connection, path: path.to_owned(), position, indexed: false })
    }

    /// Makes the indexes that queries use, where they are not there yet; to be called when the
    /// file has caught up with its ledger.
    ///
    /// # Errors
    /// SQLite.
    pub fn index(&mut self) -> Result<(), Error> {
        if !self.indexed {
            self.connection.execute_batch(&format!("BEGIN; {INDEXES} COMMIT;"))?;
            self.indexed = true;
        }
        Ok(())
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last position applied, 0 in a new file.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Position, hash and time of the last record applied.
    ///
    /// # Errors
    /// SQLite.
    pub fn head(&self) -> Result<Head, Error> {
        head(&self.connection)
    }

    /// What the caller's verifier must know to go on behind [`Store::position`].
    ///
    /// # Errors
    /// SQLite.
    pub fn verifier_state(&self) -> Result<Option<String>, Error> {
        Ok(self.connection.query_row("SELECT verifier FROM head", [], |r| r.get(0))?)
    }

    /// Applies records in order, in one transaction with the position and, where one is given,
    /// the verifier's state.
    ///
    /// # Errors
    /// A gap or a repetition (nothing is changed then), or SQLite.
    pub fn apply(
        &mut self,
        batch: &[Recorded],
        verifier_state: Option<&str>,
    ) -> Result<u64, Error> {
        let mut expected = self.position + 1;
        for record in batch {
            // A repair alone stands beyond what is due.
            let repairs = matches!(record.event, Event::Tenant(tenant::Event::Repaired(_)));
            if record.position != expected && !(repairs && record.position > expected) {
                return Err(Error::Gap { expected, found: record.position });
            }
            expected = record.position + 1;
        }
        let tx = self.connection.transaction()?;
        for record in batch {
            fold(&tx, record)?;
        }
        if let Some(last) = batch.last() {
            tx.prepare_cached("UPDATE head SET position = ?1, hash = ?2, time = ?3")?.execute((
                integer(last.position),
                &last.hash,
                last.time.to_string(),
            ))?;
        }
        if let Some(state) = verifier_state {
            tx.prepare_cached("UPDATE head SET verifier = ?1")?.execute([state])?;
        }
        tx.commit()?;
        self.position = batch.last().map_or(self.position, |last| last.position);
        Ok(self.position)
    }
}

/// Keeps the plan of a statement whatever is bound to it: otherwise each execution with a new value
/// in a comparison is parsed and planned anew, which took half of the time of a rebuild (ADR 15).
pub(crate) fn plan_once(connection: &Connection) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
}

/// A position or count as SQLite holds it; they end at 2^53 - 1.
pub(crate) fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(crate) fn natural(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

pub(crate) fn head(connection: &Connection) -> Result<Head, Error> {
    let mut query = connection.prepare_cached("SELECT position, hash, time FROM head")?;
    Ok(query.query_row([], |r| {
        Ok(Head { position: natural(r.get(0)?), hash: r.get(1)?, time: r.get(2)? })
    })?)
}

/// Whether the file is there, sound enough to open, and of this version.
fn fits(path: &Path) -> bool {
    let version = || -> rusqlite::Result<Option<i32>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let connection = Connection::open_with_flags(path, flags)?;
        let version: i32 = connection.query_row("PRAGMA user_version", [], |r| r.get(0))?;
        let whole = connection.query_row("SELECT 1 FROM head", [], |_| Ok(())).optional()?;
        Ok(whole.map(|()| version))
    };
    path.exists() && matches!(version(), Ok(Some(VERSION)))
}

/// Makes an empty file beside and swaps it in, so that a half laid out file is never found.
fn lay_out(path: &Path) -> Result<(), Error> {
    let beside = with_suffix(path, ".new");
    remove(&beside)?;
    let connection = Connection::open(&beside)?;
    connection.execute_batch(WRITER)?;
    connection
        .execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"))?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, e)| e)?;
    remove(path)?;
    std::fs::rename(&beside, path).map_err(file(path))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn remove(path: &Path) -> Result<(), Error> {
    for suffix in ["-wal", "-shm", "-journal", ""] {
        let path = with_suffix(path, suffix);
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(file(&path)(e)),
        }
    }
    Ok(())
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_planned_once_whatever_is_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("it.sqlite")).expect("made");
        let update = "UPDATE tickets SET status = 'open' WHERE id = ?1";
        let mut statement = store.connection.prepare_cached(update).expect("valid");
        for id in ["tkt_1", "tkt_2", "tkt_3"] {
            statement.execute([id]).expect("done");
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
