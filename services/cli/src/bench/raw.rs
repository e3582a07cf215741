//! The limit: what the same server stores when nobody governs anything. Messages of 512 bytes into
//! a ledger stream of its own, with the guard, one append in flight, as the committer sends them.

use std::time::{Duration, Instant};

use canonry_decider::OverNats;
use canonry_nats::{Append, Bytes, Log, Outgoing};
use canonry_provision::{Bus as _, CellUser, streams};
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::{BATCH_RECORDS, COMMIT_TRY};
use canonry_schemas::subject::{ledger, ledger_stream};

use super::cell::{Bench, failed};
use super::stats::{Sample, micros, rate};
use crate::failure::{Failure, chain};

/// Bytes of a message, as in the table that the design's limits were read from.
pub const BYTES: usize = 512;

/// The stream that nobody else writes.
pub struct Raw {
    log: Log,
    subject: String,
    last: u64,
}

impl Raw {
    /// Makes a stream of exactly the ledger's settings, of a tenant that no decider knows.
    ///
    /// # Errors
    /// The server refused it.
    pub async fn open(bench: &Bench) -> Result<Self, Failure> {
        let tenant: TenantId = "raw".parse().map_err(failed)?;
        let config = streams::ledger(&tenant, 1);
        let provision = OverNats(bench.user(&CellUser::ProvisionStreams).await?);
        let subject = format!("$JS.API.STREAM.CREATE.{}", streams::name(&config));
        let payload = serde_json::to_vec(&config).map_err(failed)?;
        provision.request(&subject, payload).await.map_err(failed)?;
        let committer = bench.user(&CellUser::Committer).await?;
        let log = Log::open(committer, &ledger_stream(&tenant)).await;
        let log = log.map_err(|e| failed(chain(&e)))?;
        Ok(Self { log, subject: ledger(&tenant, "ticket", "opened"), last: 0 })
    }

    fn message(&self, n: u64) -> Outgoing {
        let mut body = vec![b'x'; BYTES];
        body[..20].copy_from_slice(format!("{n:020}").as_bytes());
        Outgoing { subject: self.subject.clone(), headers: Vec::new(), body: Bytes::from(body) }
    }

    async fn append(&mut self, count: usize) -> Result<(), Failure> {
        let messages: Vec<_> = (0..count).map(|n| self.message(self.last + n as u64)).collect();
        match self.log.append(&messages, self.last, COMMIT_TRY).await {
            Append::Committed { last_seq } => {
                self.last = last_seq;
                Ok(())
            }
            other => Err(failed(format!("a raw publish was not stored: {other:?}"))),
        }
    }

    /// Atomic batches of 500, one after the other; messages a second.
    ///
    /// # Errors
    /// The server refused one.
    pub async fn batches(&mut self, seconds: Duration) -> Result<f64, Failure> {
        let begun = Instant::now();
        let mut stored = 0;
        while begun.elapsed() < seconds {
            self.append(BATCH_RECORDS).await?;
            stored += BATCH_RECORDS as u64;
        }
        Ok(rate(stored, begun.elapsed()))
    }

    /// Single publishes, one after the other.
    ///
    /// # Errors
    /// The server refused one.
    pub async fn singles(&mut self, seconds: Duration) -> Result<Sample, Failure> {
        let begun = Instant::now();
        let mut taken = Vec::new();
        while begun.elapsed() < seconds {
            let sent = Instant::now();
            self.append(1).await?;
            taken.push(micros(sent.elapsed()));
        }
        Ok(Sample::of(taken, begun.elapsed()))
    }
}
