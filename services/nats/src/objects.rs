//! An object bucket: chunks under one subject an object, and a note that the object is whole.
//!
//! Written on the stream `OBJ_<bucket>` by hand, in the form that the `nats object` commands read:
//! every chunk is acknowledged before the next is sent, so that memory is one chunk and nothing is
//! believed stored that is not, and reading needs no ordered consumer and no right to look at
//! other streams. It knows no file and no key: chunks are bytes. An object is made once and never
//! written again; removing one is a roll-up, which needs no right to purge.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{API_TIMEOUT, ApiError};
use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::headers;
use crate::pull::{Place, Puller, Wanted};

/// Heartbeats without a message after which what was promised is given up: it was removed.
const IDLE: u32 = 5;

/// The chunks of one object, in order.
pub type Chunks = BoxStream<'static, Result<Bytes, Error>>;

/// What is noted of an object that is stored whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The object: letters, digits, `-` and `_`.
    pub object: String,
    /// The name that it is listed under.
    pub name: String,
    /// Bytes of all chunks.
    pub size: u64,
    /// Chunks.
    pub chunks: u64,
    /// SHA-256 of all chunks.
    pub sha256: [u8; 32],
    /// When it was written, RFC 3339.
    pub time: String,
}

/// An object of which chunks are stored, noted or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The object.
    pub object: String,
    /// When its last chunk was stored, Unix nanoseconds by the server's clock.
    pub time: i128,
}

/// One bucket.
#[derive(Debug, Clone)]
pub struct Objects {
    conn: Connection,
    bucket: String,
    reader_name: String,
}

/// The next message of those that the server said there are.
async fn due(puller: &mut Puller) -> Result<(async_nats::Message, Place), Error> {
    for _ in 0..IDLE {
        if let Some(found) = puller.next().await? {
            return Ok(found);
        }
    }
    Err(Error::new(ErrorKind::TimedOut, "a chunk that was removed meanwhile"))
}

fn token(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !text.is_empty() && text.bytes().all(fits)
}

impl Objects {
    /// Names a bucket; asks the server nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the name is not of letters, digits, `-` and `_`.
    pub fn open(conn: Connection, bucket: &str, reader_name: &str) -> Result<Self, Error> {
        if !token(bucket) {
            return Err(Error::new(ErrorKind::Invalid, format!("bucket {bucket:?}")));
        }
        Ok(Self { conn, bucket: bucket.to_owned(), reader_name: reader_name.to_owned() })
    }

    /// Stores the next chunk of an object.
    ///
    /// # Errors
    /// As [`Connection::js_request`]. After a time-out the chunk may be stored: the object must be
    /// given up.
    pub async fn append(&self, object: &str, chunk: Vec<u8>) -> Result<(), Error> {
        self.store(&self.chunk_subject(object)?, &[], chunk.into()).await
    }

    /// Notes that an object is whole.
    ///
    /// # Errors
    /// As [`Objects::append`].
    pub async fn note(&self, note: &Note) -> Result<(), Error> {
        let body = json!({
            "name": note.name, "bucket": self.bucket, "nuid": note.object, "size": note.size,
            "mtime": note.time, "chunks": note.chunks,
            "digest": format!("SHA-256={}", URL_SAFE.encode(note.sha256)),
        });
        let subject = self.note_subject(&note.name)?;
        self.store(&subject, &[("Nats-Rollup", "sub")], body.to_string().into()).await
    }

    /// Reads the chunks of an object; empty for one that was never stored, or was removed.
    ///
    /// # Errors
    /// As [`Connection::js_request`]; later ones come in the stream.
    pub async fn read(&self, object: &str) -> Result<Chunks, Error> {
        let subject = self.chunk_subject(object)?;
        let puller = self.pull(&subject, json!({ "deliver_policy": "all" })).await?;
        let left = (puller.pending_at_start > 0).then_some(puller);
        Ok(stream::unfold(left, |puller| async move {
            let mut puller = puller?;
            match due(&mut puller).await {
                Ok((message, place)) => {
                    let more = (place.pending > 0).then_some(puller);
                    Some((Ok(message.payload), more))
                }
                Err(error) => Some((Err(error), None)),
            }
        })
        .filter(|chunk| {
            // What a removal leaves.
            let marker = chunk.as_ref().is_ok_and(Bytes::is_empty);
            std::future::ready(!marker)
        })
        .boxed())
    }

    /// Every object of which chunks are stored.
    ///
    /// # Errors
    /// As [`Connection::js_request`].
    pub async fn held(&self) -> Result<Vec<Held>, Error> {
        let prefix = format!("$O.{}.C.", self.bucket);
        let deliver = json!({ "deliver_policy": "last_per_subject", "headers_only": true });
        let mut held = Vec::new();
        self.each(&format!("{prefix}>"), deliver, |message, time| {
            let size = message.headers.as_ref().and_then(|h| h.get("Nats-Msg-Size"));
            let empty = size.is_some_and(|size| size.as_str() == "0");
            let object = message.subject.strip_prefix(&prefix).filter(|_| !empty);
            held.extend(object.map(|object| Held { object: object.to_owned(), time }));
        })
        .await?;
        Ok(held)
    }

    /// The names under which objects are noted, each with its object.
    ///
    /// # Errors
    /// As [`Connection::js_request`].
    pub async fn noted(&self) -> Result<Vec<(String, String)>, Error> {
        let mut noted = Vec::new();
        let deliver = json!({ "deliver_policy": "last_per_subject" });
        self.each(&format!("$O.{}.M.>", self.bucket), deliver, |message, _| {
            let note: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
            if let (Some(name), Some(object), None) =
                (note["name"].as_str(), note["nuid"].as_str(), note["deleted"].as_bool())
            {
                noted.push((name.to_owned(), object.to_owned()));
            }
        })
        .await?;
        Ok(noted)
    }

    /// Removes an object's chunks, and the note of it where it has one.
    ///
    /// # Errors
    /// As [`Objects::append`].
    pub async fn remove(&self, object: &str, name: Option<&str>) -> Result<(), Error> {
        let rollup = [("Nats-Rollup", "sub")];
        if let Some(name) = name {
            let body = json!({
                "name": name, "bucket": self.bucket, "nuid": object, "size": 0, "chunks": 0,
                "mtime": "0001-01-01T00:00:00Z", "deleted": true,
            });
            self.store(&self.note_subject(name)?, &rollup, body.to_string().into()).await?;
        }
        self.store(&self.chunk_subject(object)?, &rollup, Bytes::new()).await
    }

    async fn store(&self, subject: &str, extra: &[(&str, &str)], body: Bytes) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Ack {
            error: Option<ApiError>,
        }
        let map = headers::to_map(extra.iter().copied())?;
        let answer = self.conn.request_map(subject, map, body, API_TIMEOUT).await;
        let answer = answer.map_err(|e| e.into_error(subject))?;
        let ack: Ack = serde_json::from_slice(&answer.payload)
            .map_err(|e| Error::with(ErrorKind::Malformed, subject, e))?;
        ack.error.map_or(Ok(()), |e| Err(e.into_error(subject)))
    }

    async fn pull(&self, filter: &str, deliver: Value) -> Result<Puller, Error> {
        let stream = format!("OBJ_{}", self.bucket);
        let (prefix, filter) = (self.reader_name.as_str(), Some(filter));
        Puller::start(&self.conn, Wanted { stream: &stream, prefix, filter, deliver }).await
    }

    async fn each(
        &self,
        filter: &str,
        deliver: Value,
        mut take: impl FnMut(&async_nats::Message, i128),
    ) -> Result<(), Error> {
        let mut puller = self.pull(filter, deliver).await?;
        let mut left = puller.pending_at_start;
        while left > 0 {
            let (message, place) = due(&mut puller).await?;
            take(&message, place.nanos);
            left = place.pending;
        }
        Ok(())
    }

    fn chunk_subject(&self, object: &str) -> Result<String, Error> {
        if !token(object) {
            return Err(Error::new(ErrorKind::Invalid, format!("object {object:?}")));
        }
        Ok(format!("$O.{}.C.{object}", self.bucket))
    }

    fn note_subject(&self, name: &str) -> Result<String, Error> {
        if name.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "an object without a name"));
        }
        Ok(format!("$O.{}.M.{}", self.bucket, URL_SAFE.encode(name)))
    }
}
