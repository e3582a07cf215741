//! The only way into a log: compare-and-set on the stream's last sequence.
//!
//! One message goes as a plain publish, two or more as one atomic batch, written by hand:
//! `Nats-Batch-Id` (fresh for each try) and `Nats-Batch-Sequence` on all, the guard on the first
//! only, `Nats-Batch-Commit: 1` on the last, which alone is a request. All or nothing is stored.
//!
//! This module must not retry: after [`Append::Unknown`] the caller sends the same bytes with the
//! same guard again. Next: [`super::read`].

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::Log;
use crate::api::{ApiError, BATCH_DUPLICATE, WRONG_LAST_SEQUENCE, WRONG_LAST_SEQUENCE_CLUSTER};
use crate::error::{Error, ErrorKind, RequestError};
use crate::headers;

/// Messages that one append may hold (the server's limit for a batch).
pub const MAX_BATCH: usize = 1_000;

const GUARD: &str = "Nats-Expected-Last-Sequence";

/// A message to be stored.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The subject; must be one of the stream's.
    pub subject: String,
    /// Headers to store. The guard and the batch headers are added here.
    pub headers: Vec<(&'static str, String)>,
    /// The body, stored as it is.
    pub body: Bytes,
}

/// What became of one try.
///
/// `Refused` and `Conflict` speak of this try alone: after an earlier `Unknown` for the same
/// bytes, those may have been stored by the earlier try. Only `Committed`, or a look at the
/// position, settles it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Append {
    /// All were stored; the last one at `last_seq`.
    Committed {
        /// Position of the last message.
        last_seq: u64,
    },
    /// The stream's last sequence was not the expected one, or the server knows these messages
    /// already. This try stored nothing.
    Conflict {
        /// 10071, 10164 or 10201; 0 when the server answered `duplicate: true`.
        code: u64,
    },
    /// No answer, or none that settles it: they may be stored, now or shortly.
    Unknown {
        /// For people.
        why: String,
    },
    /// The server or this module refused them; this try stored nothing.
    Refused {
        /// The server's `err_code` (10077 store failed, 10047 no storage left, 10054 too large,
        /// 10176 incomplete batch, 10199 batch too large …); 0 when this module refused.
        code: u64,
        /// For people.
        description: String,
    },
}

#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<ApiError>,
}

struct Prepared {
    subject: String,
    headers: async_nats::HeaderMap,
    body: Bytes,
}

impl Log {
    /// Stores `messages` (1 to [`MAX_BATCH`]) in order, right after position `expected_last`
    /// (0 for an empty stream, `first_seq - 1` for an empty later volume), or nothing at all.
    /// Waits for the answer at most `deadline`.
    pub async fn append(
        &self,
        messages: &[Outgoing],
        expected_last: u64,
        deadline: Duration,
    ) -> Append {
        let mut prepared = match self.prepare(messages, expected_last) {
            Ok(prepared) => prepared,
            Err(e) => return refused(&e),
        };
        let Some(commit) = prepared.pop() else {
            return Append::Refused { code: 0, description: "nothing to append".to_owned() };
        };
        let send = async {
            for m in prepared {
                let sent = self.conn.publish_map(m.subject, None, Some(m.headers), m.body).await;
                sent.map_err(RequestError::Other)?;
            }
            let Prepared { subject, headers, body } = commit;
            self.conn.request_map(&subject, Some(headers), body, deadline).await
        };
        match tokio::time::timeout(deadline, send).await {
            Err(_) | Ok(Err(RequestError::TimedOut)) => {
                Append::Unknown { why: format!("no answer within {deadline:?}") }
            }
            Ok(Err(RequestError::NoResponders)) => {
                Append::Unknown { why: format!("nobody serves {}", self.stream) }
            }
            Ok(Err(RequestError::Other(e))) => match e.kind() {
                ErrorKind::TooLarge | ErrorKind::Invalid => refused(&e),
                _ => Append::Unknown { why: e.to_string() },
            },
            Ok(Ok(answer)) => {
                let done = self.settle(&answer.payload, expected_last + messages.len() as u64);
                // A volume was closed while we held the log: learn of the next one.
                if let (Append::Committed { .. }, Some(stream)) = &done
                    && self.current().is_none_or(|known| known.stream != *stream)
                    && let Err(error) = self.look().await
                {
                    tracing::debug!(%error, "the next volume will be looked for again");
                }
                done.0
            }
        }
    }

    /// Checks and builds every message before the first is sent, so that no batch stays open.
    fn prepare(&self, messages: &[Outgoing], expected_last: u64) -> Result<Vec<Prepared>, Error> {
        if messages.len() > MAX_BATCH {
            let text = format!("{} messages, at most {MAX_BATCH}", messages.len());
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        let guard = expected_last.to_string();
        let batch = (messages.len() > 1).then(|| self.conn.fresh_token());
        let limit = self.conn.max_payload();
        let prepare = |(index, message): (usize, &Outgoing)| {
            let number = (index + 1).to_string();
            let mut extra = Vec::with_capacity(4);
            if index == 0 {
                extra.push((GUARD, guard.as_str()));
            }
            if let Some(batch) = &batch {
                extra.push(("Nats-Batch-Id", batch.as_str()));
                extra.push(("Nats-Batch-Sequence", number.as_str()));
                if index + 1 == messages.len() {
                    extra.push(("Nats-Batch-Commit", "1"));
                }
            }
            let own = message.headers.iter().map(|(n, v)| (*n, v.as_str()));
            let headers = headers::to_map(own.chain(extra))?.unwrap_or_default();
            let size = headers::wire_len(&headers) + message.body.len();
            if size > limit {
                let text = format!("message {number} of {size} bytes, at most {limit}");
                return Err(Error::new(ErrorKind::TooLarge, text));
            }
            let subject = message.subject.clone();
            Ok(Prepared { subject, headers, body: message.body.clone() })
        };
        messages.iter().enumerate().map(prepare).collect()
    }

    /// What the answer means, and which stream gave it.
    fn settle(&self, answer: &[u8], expected_seq: u64) -> (Append, Option<String>) {
        let ack: Ack = match serde_json::from_slice(answer) {
            Ok(ack) => ack,
            Err(e) => {
                return (Append::Unknown { why: format!("answer not understood: {e}") }, None);
            }
        };
        if let Some(error) = ack.error {
            let append = match error.err_code {
                WRONG_LAST_SEQUENCE | WRONG_LAST_SEQUENCE_CLUSTER | BATCH_DUPLICATE => {
                    Append::Conflict { code: error.err_code }
                }
                code => Append::Refused { code, description: error.description },
            };
            return (append, None);
        }
        if ack.duplicate {
            return (Append::Conflict { code: 0 }, None);
        }
        // Neither can happen while subjects and guard are right; if one does, look at the stream.
        if !self.is_volume(&ack.stream) || ack.seq != expected_seq {
            let why = format!("stored as {} of {}, expected {expected_seq}", ack.seq, ack.stream);
            tracing::error!(stream = %self.stream, %why, "append answered oddly");
            return (Append::Unknown { why }, None);
        }
        (Append::Committed { last_seq: ack.seq }, Some(ack.stream))
    }
}

fn refused(error: &Error) -> Append {
    Append::Refused { code: 0, description: error.to_string() }
}
