//! Keys of a bucket, and following their changes.
//!
//! A watch gives the newest value of every key first, then says [`Watched::UpToDate`], then each
//! change. It ends after an error; the caller opens another and gets every value again.
//!
//! Next: `crate::pull`.

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use serde_json::{Value, json};

use super::{Entry, Kv};
use crate::error::{Error, ErrorKind};
use crate::headers::Headers;
use crate::log::Stored;
use crate::pull::{Place, Puller, Wanted};

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// A key's newest value, or the marker of its end.
    Entry(Entry),
    /// Every value of the beginning was told. Comes once.
    UpToDate,
}

/// Changes of a bucket; ends after the first error.
pub type Watch = BoxStream<'static, Result<Watched, Error>>;

struct Watcher {
    kv: Kv,
    puller: Puller,
    /// Values of the beginning still to come; `None` once that was said.
    initial: Option<u64>,
}

impl Kv {
    /// The keys that have a value, in order of their last write.
    ///
    /// # Errors
    /// As [`crate::Connection::js_request`]; [`ErrorKind::TimedOut`] when interrupted.
    pub async fn keys(&self) -> Result<Vec<String>, Error> {
        let mut watcher = self.watcher(">", true).await?;
        let mut keys = Vec::new();
        loop {
            match watcher.next().await? {
                Watched::Entry(entry) if entry.deleted => {}
                Watched::Entry(entry) => keys.push(entry.key),
                Watched::UpToDate => return Ok(keys),
            }
        }
    }

    /// Watches the keys that match `pattern`: a key, `acme.*`, `acme.>`, or `>` for all.
    ///
    /// # Errors
    /// As [`crate::Connection::js_request`]; [`ErrorKind::Invalid`] for an empty pattern.
    pub async fn watch(&self, pattern: &str) -> Result<Watch, Error> {
        let watcher = self.watcher(pattern, false).await?;
        Ok(stream::unfold(Some(watcher), |watcher| async move {
            let mut watcher = watcher?;
            match watcher.next().await {
                Ok(watched) => Some((Ok(watched), Some(watcher))),
                Err(e) => Some((Err(e), None)),
            }
        })
        .boxed())
    }

    async fn watcher(&self, pattern: &str, headers_only: bool) -> Result<Watcher, Error> {
        if pattern.is_empty() || pattern.contains(char::is_whitespace) {
            return Err(Error::new(ErrorKind::Invalid, format!("pattern {pattern:?}")));
        }
        let stream = self.stream.clone();
        let filter = format!("{}{pattern}", self.prefix);
        let deliver: Value =
            json!({ "deliver_policy": "last_per_subject", "headers_only": headers_only });
        let wanted =
            Wanted { stream: &stream, prefix: &self.reader_name, filter: Some(&filter), deliver };
        let puller = Puller::start(&self.conn, wanted).await?;
        let initial = Some(puller.pending_at_start);
        Ok(Watcher { kv: self.clone(), puller, initial })
    }
}

impl Watcher {
    async fn next(&mut self) -> Result<Watched, Error> {
        if self.initial == Some(0) {
            self.initial = None;
            return Ok(Watched::UpToDate);
        }
        loop {
            match self.puller.next().await? {
                Some((message, place)) => {
                    // Values overwritten meanwhile are not told twice: trust what is pending.
                    self.initial = self.initial.map(|left| (left - 1).min(place.pending));
                    return Ok(Watched::Entry(self.entry(&message, place)));
                }
                // Nothing more is pending, whatever the count said.
                None if self.initial.take().is_some() => return Ok(Watched::UpToDate),
                None => {}
            }
        }
    }

    fn entry(&self, message: &async_nats::Message, place: Place) -> Entry {
        self.kv.entry(Stored {
            seq: place.seq,
            subject: message.subject.as_str().to_owned(),
            headers: Headers::from_map(message.headers.as_ref()).into_vec(),
            body: message.payload.clone(),
            time: place.nanos,
        })
    }
}
