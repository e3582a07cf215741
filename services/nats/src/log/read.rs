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

use super::volumes::{self, place};
use super::{Log, Stored, Volume, fetch};
use crate::error::{Error, ErrorKind};
use crate::headers::Headers;
use crate::pull::{Place as Delivered, Puller, Wanted};

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

/// The whole log in order, volume by volume.
struct Sequence {
    log: Log,
    due: u64,
    /// The last position to read; `None` to wait for more.
    upto: Option<u64>,
    reader: Option<Reader>,
}

/// A part of one volume in order.
struct Reader {
    log: Log,
    volume: Volume,
    puller: Puller,
    expected: u64,
    /// The last position to read; `None` to wait for more.
    upto: Option<u64>,
    /// Nothing of the consumer's is left, yet `upto` was not reached.
    dry: bool,
}

/// What a reader of a volume has.
enum Step {
    Next(Stored),
    /// Nothing for now.
    Idle,
    End,
}

impl Log {
    /// Reads positions `from_seq` to `upto`, or to the last one of now. Empty when `from_seq` is
    /// beyond. Where a later volume goes on beyond a loss, so does this.
    ///
    /// # Errors
    /// [`ReadError::Interrupted`] when the reader cannot be set up; [`ReadError::Gap`] when the log
    /// leaves `from_seq` out.
    pub async fn read(&self, from_seq: u64, upto: Option<u64>) -> Result<Records, ReadError> {
        let interrupted = |source| ReadError::Interrupted { expected: from_seq, source };
        let upto = match upto {
            Some(upto) => upto,
            None => self.info().await.map_err(interrupted)?.last_seq,
        };
        if from_seq > upto {
            return Ok(stream::empty().boxed());
        }
        self.sequence(from_seq, Some(upto)).await
    }

    /// Reads from position `from_seq` on and waits for new messages for ever.
    ///
    /// # Errors
    /// [`ReadError::Gap`] when `from_seq` is beyond the log's next position: somebody knows of
    /// records that this log does not have. [`ReadError::Interrupted`] when the reader cannot
    /// be set up.
    pub async fn follow(&self, from_seq: u64) -> Result<Records, ReadError> {
        let info = self.info().await;
        let info = info.map_err(|source| ReadError::Interrupted { expected: from_seq, source })?;
        // The server would wait in silence for that position, and leave out what comes before.
        if from_seq > info.last_seq + 1 {
            return Err(ReadError::Gap { expected: from_seq, found: None });
        }
        self.sequence(from_seq, None).await
    }

    async fn sequence(&self, from_seq: u64, upto: Option<u64>) -> Result<Records, ReadError> {
        if from_seq == 0 {
            let source = Error::new(ErrorKind::Invalid, "positions begin at 1");
            return Err(ReadError::Interrupted { expected: 0, source });
        }
        let mut sequence = Sequence { log: self.clone(), due: from_seq, upto, reader: None };
        sequence.enter().await?;
        Ok(stream::unfold(Some(sequence), |sequence| async move {
            let mut sequence = sequence?;
            match sequence.next().await {
                Ok(None) => None,
                Ok(Some(stored)) => Some((Ok(stored), Some(sequence))),
                Err(e) => Some((Err(e), None)),
            }
        })
        .boxed())
    }
}

impl Sequence {
    fn is_over(&self) -> bool {
        self.upto.is_some_and(|upto| self.due > upto)
    }

    /// Opens the volume that holds what is due.
    async fn enter(&mut self) -> Result<(), ReadError> {
        let volumes = self.log.volumes();
        let (volume, end) = match place(&volumes, self.due) {
            volumes::Place::In(volume, end) => (volume, end),
            volumes::Place::Jump(to) => {
                self.due = to;
                match place(&volumes, to) {
                    volumes::Place::In(volume, end) => (volume, end),
                    _ => return Err(ReadError::Gap { expected: to, found: None }),
                }
            }
            volumes::Place::Nowhere(found) => {
                return Err(ReadError::Gap { expected: self.due, found });
            }
        };
        if self.is_over() {
            return Ok(());
        }
        // A closed volume that ends before what is due holds nothing: the gap is said by position.
        let upto = match (self.upto, end) {
            (Some(upto), Some(end)) => Some(upto.min(end.max(self.due))),
            (None, Some(end)) if end >= self.due => Some(end),
            (upto, _) => upto,
        };
        self.reader = Some(Reader::open(&self.log, volume, self.due, upto).await?);
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Stored>, ReadError> {
        loop {
            if self.is_over() {
                return Ok(None);
            }
            let Some(reader) = &mut self.reader else {
                self.enter().await?;
                continue;
            };
            match reader.next().await? {
                Step::Next(stored) => {
                    self.due = stored.seq + 1;
                    return Ok(Some(stored));
                }
                Step::End => self.reader = None,
                Step::Idle if self.upto.is_none() => self.look_on().await?,
                Step::Idle => {}
            }
        }
    }

    /// Nothing came for a while: the volume that is followed may have been closed.
    async fn look_on(&mut self) -> Result<(), ReadError> {
        let expected = self.due;
        let info = self.log.info().await;
        info.map_err(|source| ReadError::Interrupted { expected, source })?;
        let volumes = self.log.volumes();
        let Some(reader) = &mut self.reader else { return Ok(()) };
        match place(&volumes, expected) {
            volumes::Place::In(volume, None) if volume.stream == reader.volume.stream => {}
            volumes::Place::In(volume, end) if volume.stream == reader.volume.stream => {
                // The next one is not there yet where this is beyond its end.
                reader.upto = end.filter(|end| *end >= expected);
                reader.dry = reader.upto.is_some();
            }
            _ => self.reader = None,
        }
        Ok(())
    }
}

impl Reader {
    async fn open(
        log: &Log,
        volume: &Volume,
        from_seq: u64,
        upto: Option<u64>,
    ) -> Result<Self, ReadError> {
        let wanted = Wanted {
            stream: &volume.stream,
            prefix: &log.reader_name,
            filter: volume.filter.as_deref(),
            deliver: json!({ "deliver_policy": "by_start_sequence", "opt_start_seq": from_seq }),
        };
        let interrupted = |source| ReadError::Interrupted { expected: from_seq, source };
        let puller = Puller::start(&log.conn, wanted).await.map_err(interrupted)?;
        let dry = upto.is_some() && puller.pending_at_start == 0;
        let (log, volume) = (log.clone(), volume.clone());
        Ok(Self { log, volume, puller, expected: from_seq, upto, dry })
    }

    async fn next(&mut self) -> Result<Step, ReadError> {
        if self.upto.is_some_and(|upto| self.expected > upto) {
            return Ok(Step::End);
        }
        if self.dry {
            self.look_ahead().await?;
            self.dry = false;
        }
        match self.puller.next().await {
            Ok(Some((message, place))) => self.take(&message, place).map(Step::Next),
            Ok(None) => {
                self.dry = self.upto.is_some();
                Ok(Step::Idle)
            }
            Err(source) => Err(ReadError::Interrupted { expected: self.expected, source }),
        }
    }

    fn take(
        &mut self,
        message: &async_nats::Message,
        place: Delivered,
    ) -> Result<Stored, ReadError> {
        if place.seq != self.expected {
            return Err(ReadError::Gap { expected: self.expected, found: Some(place.seq) });
        }
        self.expected += 1;
        self.dry = place.pending == 0 && self.upto.is_some_and(|upto| self.expected <= upto);
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
        let query = json!({ "seq": expected, "next_by_subj": ">" });
        match fetch(&self.log.conn, &self.volume.stream, &query).await {
            Ok(Some(next)) if next.seq == expected => Ok(()),
            Ok(next) => Err(ReadError::Gap { expected, found: next.map(|n| n.seq) }),
            Err(source) => Err(ReadError::Interrupted { expected, source }),
        }
    }
}
