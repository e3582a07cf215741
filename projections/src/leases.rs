//! Leases as queries give them back.

use rusqlite::Row;
use schemars::JsonSchema;
use serde::Serialize;

use crate::page::{Page, PageRequest};
use crate::query::{Snapshot, Where};
use crate::store::{Error, natural};

/// A worker's lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the columns of the table")]
pub struct Lease {
    pub id: String,
    pub run: String,
    pub ticket: String,
    pub role: String,
    pub worker: String,
    pub tier: String,
    pub issued_by: String,
    pub issued_at: String,
    /// From then on it holds no more, whatever its status.
    pub expires: String,
    /// `issued`, `revoked`, `replaced` by a renewal, or `ended` with its run.
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Where it was issued.
    pub position: u64,
    pub updated_position: u64,
    /// The key that signs its tokens, base64url.
    pub key: String,
}

/// Which leases; every field that is set narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseFilter {
    /// Of this run.
    pub run: Option<String>,
    /// Of this role.
    pub role: Option<String>,
    /// Of this worker.
    pub worker: Option<String>,
    /// With this status.
    pub status: Option<String>,
}

impl Lease {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            run: row.get("run")?,
            ticket: row.get("ticket")?,
            role: row.get("role")?,
            worker: row.get("worker")?,
            tier: row.get("tier")?,
            issued_by: row.get("issued_by")?,
            issued_at: row.get("issued_at")?,
            expires: row.get("expires")?,
            status: row.get("status")?,
            ended_at: row.get("ended_at")?,
            position: natural(row.get("position")?),
            updated_position: natural(row.get("updated_position")?),
            key: row.get("key")?,
        })
    }
}

impl Snapshot<'_> {
    /// Leases in the order in which they were issued.
    ///
    /// # Errors
    /// A foreign cursor, or SQLite.
    pub fn leases(&self, filter: &LeaseFilter, page: &PageRequest) -> Result<Page<Lease>, Error> {
        let mut w = Where::default();
        w.and_some("run = ?", filter.run.as_ref());
        w.and_some("role = ?", filter.role.as_ref());
        w.and_some("worker = ?", filter.worker.as_ref());
        w.and_some("status = ?", filter.status.as_ref());
        self.by_position("leases", w, page, Lease::read, |l| l.position)
    }

    /// One lease.
    ///
    /// # Errors
    /// SQLite.
    pub fn lease(&self, id: &str) -> Result<Option<Lease>, Error> {
        self.one("SELECT * FROM leases WHERE id = ?", id, Lease::read)
    }
}
