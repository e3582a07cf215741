//! Opening the file. No fsync: after a power cut SQLite may find it damaged or the digests may not
//! add up, and then the ledger is folded again. A killed process leaves it whole (WAL).

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::Error;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS core (one INTEGER PRIMARY KEY CHECK (one = 1), body BLOB, mac BLOB);
CREATE TABLE IF NOT EXISTS parts (name TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS slots (
    entity TEXT PRIMARY KEY, body BLOB NOT NULL, due INTEGER, mac BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS slots_due ON slots (due, entity) WHERE due IS NOT NULL;
CREATE TABLE IF NOT EXISTS intents (
    key BLOB PRIMARY KEY, position INTEGER NOT NULL, digest BLOB NOT NULL,
    millis INTEGER NOT NULL, id_millis INTEGER NOT NULL, mac BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS intents_position ON intents (position);
";

/// Pages that a reader keeps, in KiB.
const CACHE_KIB: i64 = 512;
/// Pages that a writer may keep until its transaction ends, in KiB: what does not fit is written
/// twice.
const WRITE_CACHE_KIB: i64 = 8 * 1024;

/// Opens the file, made if it is not there; readable by its owner alone.
pub fn open(path: &Path) -> Result<Connection, Error> {
    let fresh = !path.exists();
    if let (true, Some(folder)) = (fresh, path.parent()) {
        std::fs::create_dir_all(folder)
            .map_err(|source| Error::File { path: folder.to_owned(), source })?;
    }
    let connection = Connection::open(path)?;
    if fresh {
        private(path)?;
    }
    connection.busy_timeout(Duration::from_secs(10))?;
    plan_once(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "cache_size", -WRITE_CACHE_KIB)?;
    if fresh {
        connection.execute_batch(TABLES)?;
    }
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}

/// Opens the file for reading, which must be there: a file that was removed is not an empty one.
pub fn open_again(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    plan_once(&connection)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}

/// Keeps the plan of a statement whatever is bound to it: otherwise SQLite parses and plans it anew
/// at each execution with a new value in a comparison.
fn plan_once(connection: &Connection) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
}

fn private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode)
        .map_err(|source| Error::File { path: path.to_owned(), source })
}
