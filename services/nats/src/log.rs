//! The ledger's streams as one log: what it holds, one message by position, append, read.
//!
//! Positions are stream sequences, and they go on from one stream to the next ([`volumes`]). Single messages come from the leader (`STREAM.MSG.GET`), never
//! by direct get, which any replica may answer. Headers come in the canonical order of
//! [`crate::headers`]: stored order is an accident of the client library and is not kept.
//! The log knows no record: hashes, chain and signatures are for the callers to check.
//!
//! Next: [`append`] for the only way in, [`read`] for the way out.

pub mod append;
pub mod read;
pub mod volumes;

use std::sync::{Arc, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

pub use append::{Append, MAX_BATCH, Outgoing};
pub use read::{ReadError, Records};
pub use volumes::Volume;

use crate::api::MESSAGE_NOT_FOUND;
use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::headers::Headers;
use crate::stamp;

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its position in the stream.
    pub seq: u64,
    /// Its subject.
    pub subject: String,
    /// Its headers in canonical order, repeated ones repeated.
    pub headers: Vec<(String, String)>,
    /// Its body, as stored.
    pub body: Bytes,
    /// When the server stored it, Unix nanoseconds.
    pub time: i128,
}

impl Stored {
    /// The first value of the header `name` (exact case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What the server says of the stream that grows.
#[derive(Debug, Clone)]
pub struct LogInfo {
    /// The lowest position held; one more than `last_seq` when the stream is empty.
    pub first_seq: u64,
    /// The highest position given out; `first_seq - 1` when nothing was stored yet.
    pub last_seq: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Messages held.
    pub messages: u64,
    /// The configuration as the server gives it.
    pub config: Value,
    /// The leader's name; `None` on a single server.
    pub leader: Option<String>,
    /// The server's clock when it answered, Unix nanoseconds.
    pub server_time: Option<i128>,
}

/// How the server's clock compares with ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// Server minus us, nanoseconds.
    pub nanos: i128,
    /// The true value is within this many nanoseconds of it (half the round trip).
    pub uncertainty: i128,
}

/// One log; clones know of the same volumes.
#[derive(Debug, Clone)]
pub struct Log {
    pub(crate) conn: Connection,
    pub(crate) stream: String,
    pub(crate) reader_name: String,
    volumes: Arc<RwLock<Arc<Vec<Volume>>>>,
}

impl Log {
    /// Opens the log whose first stream is `stream_name`; one of its volumes must exist. Where a
    /// volume has exactly one subject, that is the filter of our consumers, because permissions
    /// name it.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] with [`crate::api::STREAM_NOT_FOUND`]; as [`Connection::js_request`].
    pub async fn open(conn: Connection, stream_name: &str) -> Result<Self, Error> {
        let log = Self {
            conn,
            stream: stream_name.to_owned(),
            reader_name: "reader".to_owned(),
            volumes: Arc::default(),
        };
        log.look().await?;
        Ok(log)
    }

    /// Sets the prefix of our consumers' names (`<prefix>-<unique>`); default `reader`. It is for
    /// people: a permission cannot match part of a name, so it names the filter instead.
    #[must_use]
    pub fn with_reader_name(mut self, prefix: impl Into<String>) -> Self {
        self.reader_name = prefix.into();
        self
    }

    /// The first stream's name, which is the log's.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The connection it uses.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.conn
    }

    /// State and configuration, from the leader.
    ///
    /// # Errors
    /// As [`Connection::js_request`]; [`ErrorKind::Malformed`].
    pub async fn info(&self) -> Result<LogInfo, Error> {
        #[derive(Deserialize)]
        struct State {
            messages: u64,
            bytes: u64,
            first_seq: u64,
            last_seq: u64,
        }
        #[derive(Deserialize)]
        struct Cluster {
            #[serde(default)]
            leader: Option<String>,
        }
        #[derive(Deserialize)]
        struct Info {
            config: Value,
            state: State,
            cluster: Option<Cluster>,
            ts: Option<String>,
        }
        let answer = self.look().await?;
        let info: Info = serde_json::from_value(answer)
            .map_err(|e| Error::with(ErrorKind::Malformed, self.stream.as_str(), e))?;
        Ok(LogInfo {
            first_seq: info.state.first_seq,
            last_seq: info.state.last_seq,
            bytes: info.state.bytes,
            messages: info.state.messages,
            config: info.config,
            leader: info.cluster.and_then(|c| c.leader).filter(|l| !l.is_empty()),
            server_time: info.ts.as_deref().map(stamp::nanos).transpose()?,
        })
    }

    /// Compares the server's clock with this machine's.
    ///
    /// # Errors
    /// As [`Log::info`]; [`ErrorKind::Malformed`] when the server tells no time.
    pub async fn clock_skew(&self) -> Result<Skew, Error> {
        let now = || time::OffsetDateTime::now_utc().unix_timestamp_nanos();
        let before = now();
        let info = self.info().await?;
        let after = now();
        let server = info
            .server_time
            .ok_or_else(|| Error::new(ErrorKind::Malformed, "stream info without a time"))?;
        let half = (after - before) / 2;
        Ok(Skew { nanos: server - (before + half), uncertainty: half.abs() })
    }

    /// The message at position `seq`, from the leader; `None` when it is not there, or when the
    /// log leaves it out ([`Log::leaves_out`]).
    ///
    /// # Errors
    /// As [`Connection::js_request`]; [`ErrorKind::Malformed`].
    pub async fn get(&self, seq: u64) -> Result<Option<Stored>, Error> {
        let known = self.volumes();
        let place = volumes::place(&known, seq);
        if let volumes::Place::In(volume, _) = &place
            && let Some(stored) = self.get_in(volume, seq).await?
        {
            return Ok(Some(stored));
        }
        // The volume that grew may have been closed, and the next one opened.
        self.look().await?;
        let now = self.volumes();
        match (volumes::place(&now, seq), place) {
            (volumes::Place::In(new, _), volumes::Place::In(old, _))
                if new.stream == old.stream =>
            {
                Ok(None)
            }
            (volumes::Place::In(volume, _), _) => self.get_in(volume, seq).await,
            _ => Ok(None),
        }
    }

    /// The message at position `seq` of one volume, whether it is of the log or was left out.
    ///
    /// # Errors
    /// As [`Log::get`].
    pub async fn get_in(&self, volume: &Volume, seq: u64) -> Result<Option<Stored>, Error> {
        fetch(&self.conn, &volume.stream, &json!({ "seq": seq })).await
    }

    /// The first message at `seq` or later whose subject matches `filter`; `None` when there is none
    /// up to now. One request for each volume from there on, and no consumer.
    ///
    /// # Errors
    /// As [`Log::get`].
    pub async fn next_of(&self, seq: u64, filter: &str) -> Result<Option<Stored>, Error> {
        let volumes = self.volumes();
        let mut from = seq.max(1);
        for (index, volume) in volumes.iter().enumerate() {
            let end = volumes::end(&volumes, index);
            from = from.max(volume.first);
            if end.is_some_and(|end| end < from) {
                continue;
            }
            let query = json!({ "seq": from, "next_by_subj": filter });
            // Beyond its end an older volume still holds what a repair left out.
            match fetch(&self.conn, &volume.stream, &query).await? {
                Some(found) if end.is_none_or(|end| found.seq <= end) => return Ok(Some(found)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The message at the highest position, from the leader; `None` for an empty stream, or when
    /// the last message is gone.
    ///
    /// # Errors
    /// As [`Log::get`].
    pub async fn last(&self) -> Result<Option<Stored>, Error> {
        let info = self.info().await?;
        if info.messages == 0 { Ok(None) } else { self.get(info.last_seq).await }
    }
}

/// Asks the leader of `stream` for one message.
pub(crate) async fn fetch(
    conn: &Connection,
    stream: &str,
    query: &Value,
) -> Result<Option<Stored>, Error> {
    #[derive(Deserialize)]
    struct Raw {
        subject: String,
        seq: u64,
        #[serde(default)]
        hdrs: String,
        #[serde(default)]
        data: String,
        time: String,
    }
    #[derive(Deserialize)]
    struct Answer {
        message: Raw,
    }
    let subject = format!("STREAM.MSG.GET.{stream}");
    let answer = match conn.js_request(&subject, query).await {
        Ok(answer) => answer,
        Err(e) if e.api_code() == Some(MESSAGE_NOT_FOUND) => return Ok(None),
        Err(e) => return Err(e),
    };
    let Answer { message: raw } = serde_json::from_value(answer)
        .map_err(|e| Error::with(ErrorKind::Malformed, subject.as_str(), e))?;
    let decode = |text: &str| {
        STANDARD.decode(text).map_err(|e| Error::with(ErrorKind::Malformed, subject.as_str(), e))
    };
    let headers = match decode(&raw.hdrs)? {
        block if block.is_empty() => Headers::new(),
        block => Headers::parse(&block)?,
    };
    Ok(Some(Stored {
        seq: raw.seq,
        subject: raw.subject,
        headers: headers.into_vec(),
        body: decode(&raw.data)?.into(),
        time: stamp::nanos(&raw.time)?,
    }))
}
