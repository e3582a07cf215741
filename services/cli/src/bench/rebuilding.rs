//! The rebuild of the read models from verified records in memory, beside a bare loop that
//! decodes each body and inserts one row.

use std::path::Path;
use std::time::Instant;

use canonry_api_host::projector::read;
use canonry_nats::Stored;
use canonry_projections::Store;

use super::cell::failed;
use super::stats::rate;
use crate::failure::{Failure, chain};

/// Records of one transaction, as the projector has them.
const BATCH: usize = 1_000;

/// The read models; records a second.
///
/// # Errors
/// A record does not read, or SQLite.
pub fn full(records: &[Stored], folder: &Path) -> Result<f64, Failure> {
    let file = folder.join("full.sqlite");
    let begun = Instant::now();
    let mut store = Store::open(&file).map_err(|e| failed(chain(&e)))?;
    for part in records.chunks(BATCH) {
        let batch: Result<Vec<_>, _> = part.iter().map(read).collect();
        store.apply(&batch.map_err(failed)?, None).map_err(|e| failed(chain(&e)))?;
    }
    store.index().map_err(|e| failed(chain(&e)))?;
    let taken = begun.elapsed();
    drop(store);
    remove(&file)?;
    Ok(rate(records.len() as u64, taken))
}

/// The bare loop; records a second.
///
/// # Errors
/// SQLite.
pub fn bare(records: &[Stored], folder: &Path) -> Result<f64, Failure> {
    let file = folder.join("bare.sqlite");
    let begun = Instant::now();
    let mut connection = rusqlite::Connection::open(&file).map_err(failed)?;
    let tables = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
        CREATE TABLE records (position INTEGER PRIMARY KEY, type TEXT, entity TEXT, body BLOB)";
    connection.execute_batch(tables).map_err(failed)?;
    for part in records.chunks(BATCH) {
        let transaction = connection.transaction().map_err(failed)?;
        for stored in part {
            let body: serde_json::Value = serde_json::from_slice(&stored.body).map_err(failed)?;
            let position = i64::try_from(stored.seq).map_err(failed)?;
            let row = (position, body["type"].as_str(), body["entity"].as_str(), &*stored.body);
            let insert = "INSERT INTO records VALUES (?1, ?2, ?3, ?4)";
            let done = transaction.prepare_cached(insert).and_then(|mut s| s.execute(row));
            done.map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
    }
    let taken = begun.elapsed();
    drop(connection);
    remove(&file)?;
    Ok(rate(records.len() as u64, taken))
}

fn remove(file: &Path) -> Result<(), Failure> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
    }
    Ok(())
}
