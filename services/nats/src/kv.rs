//! A bucket: keys with revisions, compare-and-set, time to live.
//!
//! Written on the stream `KV_<bucket>` by hand: reads come from the leader (the library's may
//! come from any replica), a lost race is a value, and a lease can be renewed with its TTL (the
//! library's `update` drops it). Guards are always for one exact key. After an error of kind
//! timed-out a write may have happened: read, then decide.
//!
//! Next: `watch`.

mod watch;

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

pub use watch::{Watch, Watched};

use crate::api::{API_TIMEOUT, ApiError, WRONG_LAST_SEQUENCE, WRONG_LAST_SEQUENCE_CLUSTER};
use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::headers;
use crate::log::{self, Stored};

const GUARD: &str = "Nats-Expected-Last-Subject-Sequence";

/// The newest value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value; empty when deleted.
    pub value: Bytes,
    /// The bucket's revision that wrote it.
    pub revision: u64,
    /// Deleted, purged or expired: what is left is a marker, and its revision is what
    /// [`Kv::update`] must expect.
    pub deleted: bool,
    /// When, Unix nanoseconds by the server's clock.
    pub time: i128,
}

/// Who won a compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cas {
    /// We did; the key is at this revision now.
    Won(u64),
    /// Somebody else wrote the key before.
    Lost,
}

/// One bucket.
#[derive(Debug, Clone)]
pub struct Kv {
    conn: Connection,
    stream: String,
    /// What stands before a key in its subject, the dot included.
    prefix: String,
    reader_name: String,
}

impl Kv {
    /// Names a bucket; asks the server nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the name is not of letters, digits, `-` and `_`.
    pub fn open(conn: Connection, bucket: &str) -> Result<Self, Error> {
        Self::over(conn, &format!("KV_{bucket}"), &format!("$KV.{bucket}"))
    }

    /// Names a stream whose subjects `<prefix>.<key>` keep one message each and that is no bucket
    /// by its name, because users may be allowed whole tokens of a subject only.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the name or a token of the prefix is not of letters, digits,
    /// `-`, `_` (and `$`).
    pub fn over(conn: Connection, stream: &str, prefix: &str) -> Result<Self, Error> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_$".contains(&b);
        let token = |t: &str| !t.is_empty() && t.bytes().all(fits);
        if !token(stream) || stream == "KV_" || !prefix.split('.').all(token) {
            return Err(Error::new(ErrorKind::Invalid, format!("bucket {stream:?}")));
        }
        let (stream, prefix) = (stream.to_owned(), format!("{prefix}."));
        Ok(Self { conn, stream, prefix, reader_name: "reader".to_owned() })
    }

    /// Sets the prefix of the names of consumers that [`Kv::keys`] and [`Kv::watch`] make.
    #[must_use]
    pub fn with_reader_name(mut self, prefix: impl Into<String>) -> Self {
        self.reader_name = prefix.into();
        self
    }

    /// The newest value of `key`, a deletion marker included; `None` when it was never written
    /// or nothing is left of it.
    ///
    /// # Errors
    /// As [`Connection::js_request`].
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        let query = json!({ "last_by_subj": self.subject(key)? });
        let stored = log::fetch(&self.conn, &self.stream, &query).await?;
        Ok(stored.map(|s| self.entry(s)))
    }

    /// Writes whatever was there before; returns the revision.
    ///
    /// # Errors
    /// As [`Connection::js_request`].
    pub async fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<u64, Error> {
        self.write_unguarded(key, value.into(), &[]).await
    }

    /// Writes when the key has no value: never written, or deleted.
    ///
    /// # Errors
    /// As [`Connection::js_request`].
    pub async fn create(&self, key: &str, value: impl Into<Bytes>) -> Result<Cas, Error> {
        let value = value.into();
        match self.update(key, value.clone(), 0).await? {
            Cas::Won(revision) => Ok(Cas::Won(revision)),
            Cas::Lost => match self.get(key).await? {
                Some(marker) if marker.deleted => self.update(key, value, marker.revision).await,
                _ => Ok(Cas::Lost),
            },
        }
    }

    /// Writes when the key is at `revision` (0: nothing is there, not even a marker).
    ///
    /// # Errors
    /// As [`Connection::js_request`].
    pub async fn update(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        revision: u64,
    ) -> Result<Cas, Error> {
        self.write(key, value.into(), &[], Some(revision)).await
    }

    /// Writes a value that expires `ttl` (at least one second, rounded up to one) after this
    /// write, when the key is at `expected_revision`, or whatever was there before with `None`.
    /// This is how a lease is taken and renewed. The bucket must allow message TTLs.
    ///
    /// # Errors
    /// As [`Connection::js_request`].
    pub async fn put_with_ttl(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        ttl: Duration,
        expected_revision: Option<u64>,
    ) -> Result<Cas, Error> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let ttl = format!("{}s", seconds.max(1));
        self.write(key, value.into(), &[("Nats-TTL", &ttl)], expected_revision).await
    }

    /// Marks the key deleted; its history stays. Returns the marker's revision.
    ///
    /// # Errors
    /// As [`Connection::js_request`].
    pub async fn delete(&self, key: &str) -> Result<u64, Error> {
        self.write_unguarded(key, Bytes::new(), &[("KV-Operation", "DEL")]).await
    }

    /// Marks the key deleted when it is at `revision`.
    ///
    /// # Errors
    /// As [`Connection::js_request`].
    pub async fn delete_at(&self, key: &str, revision: u64) -> Result<Cas, Error> {
        self.write(key, Bytes::new(), &[("KV-Operation", "DEL")], Some(revision)).await
    }

    /// Removes the key's values and leaves a marker. Returns the marker's revision. The bucket
    /// must allow roll-ups.
    ///
    /// # Errors
    /// As [`Connection::js_request`].
    pub async fn purge(&self, key: &str) -> Result<u64, Error> {
        let headers = [("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")];
        self.write_unguarded(key, Bytes::new(), &headers).await
    }

    async fn write_unguarded(
        &self,
        key: &str,
        value: Bytes,
        headers: &[(&str, &str)],
    ) -> Result<u64, Error> {
        match self.write(key, value, headers, None).await? {
            Cas::Won(revision) => Ok(revision),
            Cas::Lost => Err(Error::new(ErrorKind::Malformed, format!("unguarded write of {key}"))),
        }
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        extra: &[(&str, &str)],
        expected: Option<u64>,
    ) -> Result<Cas, Error> {
        #[derive(Deserialize)]
        struct Ack {
            #[serde(default)]
            seq: u64,
            error: Option<ApiError>,
        }
        let subject = self.subject(key)?;
        let expected = expected.map(|e| e.to_string());
        let guard = expected.iter().map(|e| (GUARD, e.as_str()));
        let map = headers::to_map(extra.iter().copied().chain(guard))?;
        let answer = self.conn.request_map(&subject, map, value, API_TIMEOUT).await;
        let answer = answer.map_err(|e| e.into_error(subject.as_str()))?;
        let ack: Ack = serde_json::from_slice(&answer.payload)
            .map_err(|e| Error::with(ErrorKind::Malformed, subject.as_str(), e))?;
        match ack.error {
            None => Ok(Cas::Won(ack.seq)),
            Some(e) => match e.err_code {
                WRONG_LAST_SEQUENCE | WRONG_LAST_SEQUENCE_CLUSTER => Ok(Cas::Lost),
                _ => Err(e.into_error(subject)),
            },
        }
    }

    fn subject(&self, key: &str) -> Result<String, Error> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-/_=.".contains(&b);
        let dots = key.starts_with('.') || key.ends_with('.') || key.contains("..");
        if key.is_empty() || dots || !key.bytes().all(fits) {
            return Err(Error::new(ErrorKind::Invalid, format!("key {key:?}")));
        }
        Ok(format!("{}{key}", self.prefix))
    }

    fn entry(&self, stored: Stored) -> Entry {
        let key = stored.subject.strip_prefix(&self.prefix).unwrap_or(&stored.subject).to_owned();
        // The server leaves a marker of its own when a value expires.
        let deleted = stored.header("Nats-Marker-Reason").is_some()
            || stored.header("KV-Operation").is_some_and(|op| op == "DEL" || op == "PURGE");
        Entry { key, value: stored.body, revision: stored.seq, deleted, time: stored.time }
    }
}
