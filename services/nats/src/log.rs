//! The ledger's stream as a log: what it holds, one message by position, append, read.
//!
//! Positions are stream sequences. Single messages come from the leader (`STREAM.MSG.GET`), never
//! by direct get, which any replica may answer. Headers come in the canonical order of
//! [`crate::headers`]: stored order is an accident of the client library and is not kept.
//! The log knows no record: hashes, chain and signatures are for the callers to check.
//!
//! Next: [`append`] for the only way in, [`read`] for the way out.

pub mod append;
pub mod read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

pub use append::{Append, MAX_BATCH, Outgoing};
pub use read::{ReadError, Records};

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

/// What the server says of the stream.
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

/// One stream.
#[derive(Debug, Clone)]
pub struct Log {
    pub(crate) conn: Connection,
    pub(crate) stream: String,
    pub(crate) reader_name: String,
    pub(crate) filter: Option<String>,
}

impl Log {
    /// Opens the stream `stream_name`, which must exist. When it has exactly one subject, that
    /// is the filter of our consumers, because permissions name it.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] with [`crate::api::STREAM_NOT_FOUND`]; as [`Connection::js_request`].
    pub async fn open(conn: Connection, stream_name: &str) -> Result<Self, Error> {
        let mut log = Self {
            conn,
            stream: stream_name.to_owned(),
            reader_name: "reader".to_owned(),
            filter: None,
        };
        let info = log.info().await?;
        if let Some([Value::String(only)]) =
            info.config.get("subjects").and_then(Value::as_array).map(Vec::as_slice)
        {
            log.filter = Some(only.clone());
        }
        Ok(log)
    }

    /// Sets the prefix of our consumers' names (`<prefix>-<unique>`); default `reader`. It is for
    /// people: a permission cannot match part of a name, so it names the filter instead.
    #[must_use]
    pub fn with_reader_name(mut self, prefix: impl Into<String>) -> Self {
        self.reader_name = prefix.into();
        self
    }

    /// Sets the filter of our consumers. A closed volume, whose subject was moved aside, needs
    /// `None` here. The filter must match every message: what it leaves out shows as a gap.
    #[must_use]
    pub fn with_filter(mut self, filter: Option<String>) -> Self {
        self.filter = filter;
        self
    }

    /// The stream's name.
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
        let subject = format!("STREAM.INFO.{}", self.stream);
        let answer = self.conn.js_request(&subject, &Value::Null).await?;
        let info: Info = serde_json::from_value(answer)
            .map_err(|e| Error::with(ErrorKind::Malformed, subject, e))?;
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

    /// The message at position `seq`, from the leader; `None` when it is not there.
    ///
    /// # Errors
    /// As [`Connection::js_request`]; [`ErrorKind::Malformed`].
    pub async fn get(&self, seq: u64) -> Result<Option<Stored>, Error> {
        fetch(&self.conn, &self.stream, &json!({ "seq": seq })).await
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

    /// The first message at or after `seq`, from the leader.
    pub(crate) async fn at_or_after(&self, seq: u64) -> Result<Option<Stored>, Error> {
        let query = json!({ "seq": seq, "next_by_subj": ">" });
        fetch(&self.conn, &self.stream, &query).await
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
