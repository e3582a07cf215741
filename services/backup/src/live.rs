//! Reading a live ledger, verified: chunks of records in order, cut-off reads gone on with.

use canonry_nats::{Log, ReadError, Stored};
use canonry_record::Verifier;
use canonry_record::export::OwnedLine;
use canonry_record::verify::{Break, Why};
use futures_util::StreamExt as _;

use crate::error::Error;
use crate::limits::{INTERRUPTIONS, SEGMENT_BYTES, SEGMENT_RECORDS};
use crate::walk::verify;

/// A reader that knows what stood before.
#[derive(Debug)]
pub struct Live<'l> {
    log: &'l Log,
    verifier: Verifier,
}

impl<'l> Live<'l> {
    /// Behind where the verifier stands.
    #[must_use]
    pub const fn new(log: &'l Log, verifier: Verifier) -> Self {
        Self { log, verifier }
    }

    /// Where it stands.
    #[must_use]
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The verifier as it stands.
    #[must_use]
    pub fn into_verifier(self) -> Verifier {
        self.verifier
    }

    /// Reads and verifies up to a position.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn upto(&mut self, position: u64) -> Result<(), Error> {
        while self.verifier.position() < position {
            self.next(position).await?;
        }
        Ok(())
    }

    /// The records that come next and no farther than `upto`, verified: as many as one segment
    /// holds.
    ///
    /// # Errors
    /// [`Error::Broken`] where a record is missing or cannot stand; [`Error::Nats`].
    pub async fn next(&mut self, upto: u64) -> Result<Vec<OwnedLine>, Error> {
        let lines = self.read(upto).await?;
        let verifier = self.verifier.clone();
        let work = move || verify(verifier, &lines).map(|verifier| (verifier, lines));
        let done = tokio::task::spawn_blocking(work).await;
        let (verifier, lines) = done.map_err(|e| Error::Stopped(e.to_string()))??;
        self.verifier = verifier;
        Ok(lines)
    }

    async fn read(&self, upto: u64) -> Result<Vec<OwnedLine>, Error> {
        let begin = self.verifier.position();
        // Where the ledger goes on beyond a loss, what is next lies farther than a segment.
        let mut bound = upto.min(begin + SEGMENT_RECORDS as u64);
        let (mut lines, mut bytes, mut cut_off) = (Vec::<OwnedLine>::new(), 0, 0);
        'read: loop {
            let due = lines.last().map_or(begin, |l| l.seq) + 1;
            let error = match self.log.read(due, Some(bound)).await {
                Err(error) => error,
                Ok(mut records) => loop {
                    match records.next().await {
                        None if lines.is_empty() && bound < upto => {
                            bound = upto;
                            continue 'read;
                        }
                        None if lines.is_empty() => break gap(begin + 1),
                        None => return Ok(lines),
                        Some(Ok(stored)) => {
                            bytes += stored.body.len();
                            lines.push(owned(stored));
                            if bytes >= SEGMENT_BYTES || lines.len() == SEGMENT_RECORDS {
                                return Ok(lines);
                            }
                        }
                        Some(Err(error)) => break error,
                    }
                },
            };
            match error {
                // What stands before the hole is handed on; the next read ends there.
                ReadError::Gap { .. } if !lines.is_empty() => return Ok(lines),
                ReadError::Gap { expected, found } => {
                    let why = Why::Gap { expected, found: found.unwrap_or(0) };
                    return Err(Error::Broken(Break { position: expected, why }));
                }
                error if cut_off >= INTERRUPTIONS => {
                    return Err(Error::nats("reading the ledger", error));
                }
                ReadError::Interrupted { .. } => cut_off += 1,
            }
        }
    }
}

const fn gap(expected: u64) -> ReadError {
    ReadError::Gap { expected, found: None }
}

fn owned(stored: Stored) -> OwnedLine {
    OwnedLine {
        seq: stored.seq,
        subject: stored.subject,
        headers: stored.headers,
        body: stored.body.to_vec(),
    }
}
