//! Reading a log in order, all of it or from a position on.
//!
//! A reader demands the very next position each time: a message that the stream lost, or never
//! shows, is a [`ReadError::Gap`] and not a silence. After any error the stream ends; the caller
//! may read again from where it stopped. This module must not skip anything and checks no hashes.
//!
//! Next: `crate::pull` for how it stays fast and bounded.

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use serde_json::json;

use super::{Log, Stored};
use crate::error::{Error, ErrorKind};
use crate::headers::Headers;
use crate::pull::{Place, Puller, Wanted};

/// Stored messages in order of position; ends after the first error.
pub type Records = BoxStream<'static, Result<Stored, ReadError>>;

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Position `expected` is not there. The ledger is damaged, or the caller asked for a
    /// position before the stream's first or beyond its next.
    #[error("position {expected} is missing, found {found:?}")]
    Gap {
        /// The position that was due.
        expected: u64,
        /// The one that came instead; `None` when nothing follows although the stream's last
        /// sequence says so.
        found: Option<u64>,
    },
    /// The connection or the consumer was lost while `expected` was due: read again from there.
    #[error("interrupted before position {expected}")]
    Interrupted {
        /// The position that was due.
        expected: u64,
        /// What happened.
        #[source]
        source: Error,
    },
}

struct Reader {
    log: Log,
    puller: Puller,
    expected: u64,
    /// The last position to read; `None` to wait for more.
    upto: Option<u64>,
    /// Nothing of the consumer's is left, yet `upto` was not reached.
    dry: bool,
}

impl Log {
    /// Reads positions `from_seq` to `upto`, or to the last one of now. Empty when `from_seq` is
    /// beyond.
    ///
    /// # Errors
    /// [`ReadError::Interrupted`] when the reader cannot be set up.
    pub async fn read(&self, from_seq: u64, upto: Option<u64>) -> Result<Records, ReadError> {
        let interrupted = |source| ReadError::Interrupted { expected: from_seq, source };
        let upto = match upto {
            Some(upto) => upto,
            None => self.info().await.map_err(interrupted)?.last_seq,
        };
        if from_seq > upto {
            return Ok(stream::empty().boxed());
        }
        self.reader(from_seq, Some(upto)).await
    }

    /// Reads from position `from_seq` on and waits for new messages for ever.
    ///
    /// # Errors
    /// [`ReadError::Gap`] when `from_seq` is beyond the stream's next position: somebody knows of
    /// records that this stream does not have. [`ReadError::Interrupted`] when the reader cannot
    /// be set up.
    pub async fn follow(&self, from_seq: u64) -> Result<Records, ReadError> {
        let info = self.info().await;
        let info = info.map_err(|source| ReadError::Interrupted { expected: from_seq, source })?;
        // The server would wait in silence for that position, and leave out what comes before.
        if from_seq > info.last_seq + 1 {
            return Err(ReadError::Gap { expected: from_seq, found: None });
        }
        self.reader(from_seq, None).await
    }

    async fn reader(&self, from_seq: u64, upto: Option<u64>) -> Result<Records, ReadError> {
        let interrupted = |source| ReadError::Interrupted { expected: from_seq, source };
        if from_seq == 0 {
            return Err(interrupted(Error::new(ErrorKind::Invalid, "positions begin at 1")));
        }
        let wanted = Wanted {
            stream: &self.stream,
            prefix: &self.reader_name,
            filter: self.filter.as_deref(),
            deliver: json!({ "deliver_policy": "by_start_sequence", "opt_start_seq": from_seq }),
        };
        let puller = Puller::start(&self.conn, wanted).await.map_err(interrupted)?;
        let dry = upto.is_some() && puller.pending_at_start == 0;
        let reader = Reader { log: self.clone(), puller, expected: from_seq, upto, dry };
        Ok(stream::unfold(Some(reader), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(None) => None,
                Ok(Some(stored)) => Some((Ok(stored), Some(reader))),
                Err(e) => Some((Err(e), None)),
            }
        })
        .boxed())
    }
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Stored>, ReadError> {
        if self.upto.is_some_and(|upto| self.expected > upto) {
            return Ok(None);
        }
        loop {
            if self.dry {
                self.look_ahead().await?;
                self.dry = false;
            }
            match self.puller.next().await {
                Ok(Some((message, place))) => return self.take(&message, place).map(Some),
                Ok(None) => self.dry = self.upto.is_some(),
                Err(source) => {
                    return Err(ReadError::Interrupted { expected: self.expected, source });
                }
            }
        }
    }

    fn take(&mut self, message: &async_nats::Message, place: Place) -> Result<Stored, ReadError> {
        if place.seq != self.expected {
            return Err(ReadError::Gap { expected: self.expected, found: Some(place.seq) });
        }
        self.expected += 1;
        self.dry = place.pending == 0 && self.upto.is_some();
        Ok(Stored {
            seq: place.seq,
            subject: message.subject.as_str().to_owned(),
            headers: Headers::from_map(message.headers.as_ref()).into_vec(),
            body: message.payload.clone(),
            time: place.nanos,
        })
    }

    /// The consumer has nothing more, but `upto` was not reached: asks the leader what is there.
    async fn look_ahead(&self) -> Result<(), ReadError> {
        let expected = self.expected;
        match self.log.at_or_after(expected).await {
            Ok(Some(next)) if next.seq == expected => Ok(()),
            Ok(next) => Err(ReadError::Gap { expected, found: next.map(|n| n.seq) }),
            Err(source) => Err(ReadError::Interrupted { expected, source }),
        }
    }
}
