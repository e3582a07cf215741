//! The limit: what the same server stores when nobody governs anything. The messages are records,
//! of the same bytes and headers as those that are committed beside them, in a ledger stream of its
//! own, with the guard, one append in flight, as the committer sends them. Bare messages of
//! [`BYTES`] are measured too: smaller ones are stored faster.

use std::time::{Duration, Instant};

use canonry_decider::OverNats;
use canonry_nats::{Append, Bytes, Log, Outgoing, Stored};
use canonry_provision::{Bus as _, CellUser, streams};
use canonry_schemas::header::{RECORD_HASH, RECORD_ID, RECORD_SIGNATURE};
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::COMMIT_TRY;
use canonry_schemas::subject::{ledger, ledger_stream};

use super::cell::{Bench, failed};
use super::stats::{Sample, micros};
use crate::failure::{Failure, chain};

/// Bytes of a bare message, as in the table that the design's limits were read from.
pub const BYTES: usize = 512;

/// What a message looks like.
#[derive(Debug, Clone, Copy)]
pub enum Like {
    /// A record.
    Record,
    /// [`BYTES`] without headers.
    Bare,
}

/// The stream that nobody else writes.
pub struct Raw {
    log: Log,
    subject: String,
    last: u64,
    /// A record that was committed.
    record: Stored,
}

impl Raw {
    /// Makes a stream of exactly the ledger's settings, of a tenant that no decider knows.
    ///
    /// # Errors
    /// The server refused it.
    pub async fn open(bench: &Bench, record: Stored) -> Result<Self, Failure> {
        let tenant: TenantId = "raw".parse().map_err(failed)?;
        let config = streams::ledger(&tenant, 1);
        let provision = OverNats(bench.user(&CellUser::ProvisionStreams).await?);
        let subject = format!("$JS.API.STREAM.CREATE.{}", streams::name(&config));
        let payload = serde_json::to_vec(&config).map_err(failed)?;
        provision.request(&subject, payload).await.map_err(failed)?;
        let committer = bench.user(&CellUser::Committer).await?;
        let log = Log::open(committer, &ledger_stream(&tenant)).await;
        let log = log.map_err(|e| failed(chain(&e)))?;
        Ok(Self { log, subject: ledger(&tenant, "ticket", "opened"), last: 0, record })
    }

    fn messages(&self, like: Like, after: u64, count: usize) -> Vec<Outgoing> {
        let kept = |name| (name, self.record.header(name).unwrap_or_default().to_owned());
        let bare = Bytes::from(vec![b'x'; BYTES]);
        let message = |n: u64| {
            let (headers, body) = match like {
                // The id is new each time, as a record's is: the server looks for it.
                Like::Record => (
                    vec![
                        (RECORD_ID, format!("{:026}", after + n)),
                        kept(RECORD_HASH),
                        kept(RECORD_SIGNATURE),
                    ],
                    self.record.body.clone(),
                ),
                Like::Bare => (Vec::new(), bare.clone()),
            };
            Outgoing { subject: self.subject.clone(), headers, body }
        };
        (0..count as u64).map(message).collect()
    }

    fn settled(&mut self, done: Append) -> Result<(), Failure> {
        match done {
            Append::Committed { last_seq } => {
                self.last = last_seq;
                Ok(())
            }
            other => Err(failed(format!("a raw publish was not stored: {other:?}"))),
        }
    }

    /// Atomic batches of so many, one after the other: what is in the sample are batches. The next
    /// ones are built while the server stores.
    ///
    /// # Errors
    /// The server refused one.
    pub async fn batches(
        &mut self,
        like: Like,
        size: usize,
        seconds: Duration,
    ) -> Result<Sample, Failure> {
        let begun = Instant::now();
        let mut taken = Vec::new();
        let mut next = self.messages(like, self.last, size);
        while begun.elapsed() < seconds {
            let messages = std::mem::take(&mut next);
            let after = self.last + size as u64;
            let log = self.log.clone();
            let last = self.last;
            let sent = Instant::now();
            let append = async {
                let done = log.append(&messages, last, COMMIT_TRY).await;
                (done, sent.elapsed())
            };
            let build = async { self.messages(like, after, size) };
            let ((done, took), built) = tokio::join!(append, build);
            next = built;
            self.settled(done)?;
            taken.push(micros(took));
        }
        Ok(Sample::of(taken, begun.elapsed()))
    }

    /// Single publishes of records, one after the other.
    ///
    /// # Errors
    /// The server refused one.
    pub async fn singles(&mut self, seconds: Duration) -> Result<Sample, Failure> {
        let begun = Instant::now();
        let mut taken = Vec::new();
        while begun.elapsed() < seconds {
            let messages = self.messages(Like::Record, self.last, 1);
            let sent = Instant::now();
            let done = self.log.append(&messages, self.last, COMMIT_TRY).await;
            self.settled(done)?;
            taken.push(micros(sent.elapsed()));
        }
        Ok(Sample::of(taken, begun.elapsed()))
    }
}
