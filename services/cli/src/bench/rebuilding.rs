//! The rebuild of the read models from verified records in memory, by the projector's own way of
//! writing, beside a bare loop that decodes each body and inserts one row, on one thread.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use canonry_api::Projections;
use canonry_api_host::projector::read;
use canonry_api_host::projector::writer::Writer;
use canonry_nats::Stored;
use canonry_schemas::ids::TenantId;

use super::cell::failed;
use super::stats::rate;
use crate::failure::{Failure, chain};

/// Records of one transaction, as the projector has them.
const BATCH: usize = 1_000;

/// The read models, until they can be queried; records a second.
///
/// # Errors
/// A record does not read, or SQLite.
pub async fn full(records: &[Stored], tenant: &TenantId, folder: &Path) -> Result<f64, Failure> {
    let folder = tempfile::tempdir_in(folder).map_err(failed)?;
    let begun = Instant::now();
    let projections = Arc::new(Projections::new(folder.path()));
    projections.open(tenant).await.map_err(|e| failed(chain(&e)))?;
    let mut writer = Writer::new(Arc::clone(&projections), tenant.clone());
    for part in records.chunks(BATCH) {
        let batch: Result<Vec<_>, _> = part.iter().map(read).collect();
        let written = writer.write(batch.map_err(failed)?, None, ()).await;
        written.map_err(|e| failed(chain(&e)))?;
    }
    writer.end().await.map_err(|e| failed(chain(&e)))?;
    projections.index(tenant).await.map_err(|e| failed(chain(&e)))?;
    let taken = begun.elapsed();
    let (head, ()) = projections.read(tenant, |_| Ok(())).await.map_err(|e| failed(chain(&e)))?;
    if head.position != records.last().map_or(0, |r| r.seq) {
        return Err(failed(format!("the read models end at {}", head.position)));
    }
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
