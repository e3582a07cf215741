//! A stream elsewhere that a replay writes into: compare-and-set on its last sequence, so that two
//! replays at once leave no record twice and none out of order. It refuses the streams of a cell:
//! nobody but the committer writes those.

use std::path::Path;

use canonry_nats::log::Outgoing;
use canonry_nats::{Append, Connect, Connection, Log, Stored};
use canonry_provision::permission::matches;
use canonry_record::record;
use canonry_schemas::header;
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::COMMIT_STORE;

use crate::failure::{Failure, chain};

/// Records of one batch, where the stream takes batches.
const BATCH: usize = 500;
/// Names of a cell's own streams begin so.
const OURS: [&str; 6] = ["LEDGER_", "AUDIT_", "INTENTS_", "DEAD_", "KV_", "OBJ_"];
/// What belongs to a record; whatever else a server added to it does not.
const HEADERS: [&str; 4] =
    [header::RECORD_ID, header::RECORD_HASH, header::RECORD_SIGNATURE, header::TRACEPARENT];

/// Connects to the server of the stream.
///
/// # Errors
/// The creds cannot be read, or no server answers.
pub(super) async fn connect(
    url: &str,
    creds: Option<&Path>,
    inbox: &str,
) -> Result<Connection, Failure> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path);
        text.map_err(|e| Failure::config(format!("{}: {e}", path.display())))
    };
    let mut connect = Connect::new(url, "replay");
    connect.creds = creds.map(read).transpose()?;
    connect.inbox_prefix = inbox.to_owned();
    Connection::connect(connect).await.map_err(|e| Failure::unavailable(chain(&e)))
}

/// The stream.
pub(super) struct Target {
    log: Log,
    /// Its last sequence.
    last: u64,
    /// The position of its last record.
    upto: u64,
    batch: usize,
    subjects: Vec<String>,
}

impl Target {
    /// Opens it and finds out where it stands.
    ///
    /// # Errors
    /// It is not there, is one of a cell, or holds something else than records of this tenant.
    pub(super) async fn open(
        connection: Connection,
        stream: &str,
        tenant: &TenantId,
    ) -> Result<Self, Failure> {
        if OURS.iter().any(|prefix| stream.starts_with(prefix)) {
            return Err(Failure::refused(format!("{stream} can be a stream of a cell: no replay")));
        }
        let unavailable = |e: &dyn std::error::Error| Failure::unavailable(chain(e));
        let log = Log::open(connection, stream).await;
        let log = log.map_err(|e| Failure::refused(format!("{stream}: {}", chain(&e))))?;
        let info = log.info().await.map_err(|e| unavailable(&e))?;
        let subjects = info.config["subjects"].as_array().into_iter().flatten();
        let subjects = subjects.filter_map(|s| Some(s.as_str()?.to_owned())).collect();
        let mut target = Self {
            log,
            last: info.last_seq,
            upto: 0,
            batch: if info.config["allow_atomic"] == true { BATCH } else { 1 },
            subjects,
        };
        if info.messages > 0 {
            let stored = target.log.last().await.map_err(|e| unavailable(&e))?;
            let stored = stored.as_ref().and_then(|s| record::parse(&s.body).ok());
            let ours = stored.filter(|r| r.tenant == tenant.as_str());
            let foreign = || format!("{stream} ends with something that is no record of {tenant}");
            target.upto = ours.ok_or_else(|| Failure::refused(foreign()))?.position;
        }
        Ok(target)
    }

    pub(super) fn name(&self) -> &str {
        self.log.stream()
    }

    /// Stores what is not there yet, and tells how many that were.
    ///
    /// # Errors
    /// The stream refuses, somebody else writes into it, or it does not answer.
    pub(super) async fn put(&mut self, records: &[Stored]) -> Result<u64, Failure> {
        let new: Vec<&Stored> = records.iter().filter(|r| r.seq > self.upto).collect();
        // Only subjects of the target's own: no other stream can hear them then.
        let own = |r: &&Stored| self.subjects.iter().any(|p| matches(p, &r.subject));
        if let Some(foreign) = new.iter().find(|r| !own(r)) {
            let (name, subject) = (self.name(), &foreign.subject);
            return Err(Failure::refused(format!("{name} does not have the subject {subject}")));
        }
        for batch in new.chunks(self.batch) {
            let messages: Vec<Outgoing> = batch.iter().map(|r| outgoing(r)).collect();
            match self.log.append(&messages, self.last, COMMIT_STORE).await {
                Append::Committed { last_seq } => self.last = last_seq,
                Append::Conflict { .. } => {
                    let name = self.name();
                    return Err(Failure::refused(format!("somebody else writes into {name}")));
                }
                Append::Unknown { why } => {
                    let again = "start it again: it goes on behind the last record there";
                    return Err(Failure::unavailable(format!("{}: {why}; {again}", self.name())));
                }
                Append::Refused { description, .. } => {
                    return Err(Failure::refused(format!("{}: {description}", self.name())));
                }
            }
            self.upto = batch.last().map_or(self.upto, |r| r.seq);
        }
        Ok(new.len() as u64)
    }
}

fn outgoing(stored: &Stored) -> Outgoing {
    let value = |name: &'static str| Some((name, stored.header(name)?.to_owned()));
    Outgoing {
        subject: stored.subject.clone(),
        headers: HEADERS.into_iter().filter_map(value).collect(),
        body: stored.body.clone(),
    }
}
