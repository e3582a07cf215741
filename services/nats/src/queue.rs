//! A work queue: durable jobs, each delivered until it is acknowledged.
//!
//! One durable pull consumer with explicit acknowledgement. A job may come more than once: the
//! one who does it must recognise it. This module must not acknowledge by itself, and moves no
//! dead letters: `delivered` says how often a job came, the caller decides.
//!
//! Next: [`crate::log::append`] for the other kind of store.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::json;

use crate::api::{API_TIMEOUT, ApiError};
use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::headers::{self, Headers};
use crate::pull::{Place, nanos};

/// How long past its end a pull is waited for, before what came is returned.
const GRACE: Duration = Duration::from_secs(1);

/// How the consumer hands out jobs.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// The consumer's durable name.
    pub consumer: String,
    /// Which subjects of the stream; `None` for all.
    pub filter: Option<String>,
    /// Deliveries before the server gives a job up.
    pub max_deliver: u32,
    /// Without acknowledgement for so long, a job is delivered again.
    pub ack_wait: Duration,
    /// Jobs that may be out without acknowledgement.
    pub max_ack_pending: u32,
}

impl QueueSettings {
    /// Ten deliveries, 30 s to acknowledge, 1,000 jobs out.
    #[must_use]
    pub fn new(consumer: impl Into<String>) -> Self {
        Self {
            consumer: consumer.into(),
            filter: None,
            max_deliver: 10,
            ack_wait: Duration::from_secs(30),
            max_ack_pending: 1_000,
        }
    }
}

/// A consumer of jobs.
#[derive(Debug)]
pub struct Queue {
    conn: Connection,
    subscriber: async_nats::Subscriber,
    inbox: String,
    pull_subject: String,
}

impl Queue {
    /// Opens the consumer on `stream`, creating it when it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] with code 10148 when it exists with other settings (it is never
    /// changed); as [`Connection::js_request`].
    pub async fn open(
        conn: Connection,
        stream: &str,
        settings: &QueueSettings,
    ) -> Result<Self, Error> {
        let name = &settings.consumer;
        let mut config = json!({
            "name": name, "durable_name": name, "ack_policy": "explicit",
            "deliver_policy": "all", "replay_policy": "instant",
            "max_deliver": settings.max_deliver, "ack_wait": nanos(settings.ack_wait),
            "max_ack_pending": settings.max_ack_pending,
        });
        let mut subject = format!("CONSUMER.CREATE.{stream}.{name}");
        if let Some(filter) = &settings.filter {
            config["filter_subject"] = filter.as_str().into();
            subject = format!("{subject}.{filter}");
        }
        let body = json!({ "stream_name": stream, "config": config, "action": "create" });
        conn.js_request(&subject, &body).await?;
        let inbox = conn.fresh_inbox();
        let subscriber = conn.subscribe_raw(&inbox, None).await?;
        let pull_subject = conn.js_subject(&format!("CONSUMER.MSG.NEXT.{stream}.{name}"));
        Ok(Self { conn, subscriber, inbox, pull_subject })
    }

    /// Up to `n` jobs: returns as soon as all `n` came, or with what came within `wait` (an
    /// empty list when nothing did).
    ///
    /// # Errors
    /// [`ErrorKind::NoResponders`] when the consumer is gone, [`ErrorKind::Closed`].
    pub async fn next_batch(&mut self, n: usize, wait: Duration) -> Result<Vec<Job>, Error> {
        let pull = json!({ "batch": n, "expires": nanos(wait) });
        let (subject, reply) = (self.pull_subject.clone(), Some(self.inbox.clone()));
        self.conn.publish_map(subject, reply, None, pull.to_string().into()).await?;
        let until = Instant::now() + wait + GRACE;
        let mut jobs = Vec::new();
        while jobs.len() < n {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(arrived) = tokio::time::timeout(left, self.subscriber.next()).await else {
                break;
            };
            let Some(message) = arrived else {
                return Err(Error::new(ErrorKind::Closed, self.pull_subject.as_str()));
            };
            match message.status.map(|s| s.as_u16()) {
                None => jobs.push(self.job(message)?),
                Some(100) => {}
                Some(404 | 408) => break,
                // Jobs in hand are handed out first; the next call hears of it again.
                Some(_) if !jobs.is_empty() => break,
                Some(503) => {
                    let context = self.pull_subject.as_str();
                    return Err(Error::new(ErrorKind::NoResponders, context));
                }
                Some(status) => {
                    let text = message.description.unwrap_or_default();
                    let context = format!("{}: {status} {text}", self.pull_subject);
                    return Err(Error::new(ErrorKind::Malformed, context));
                }
            }
        }
        Ok(jobs)
    }

    fn job(&self, message: async_nats::Message) -> Result<Job, Error> {
        let malformed = || Error::new(ErrorKind::Malformed, "reply subject of a job");
        let reply = message.reply.ok_or_else(malformed)?.as_str().to_owned();
        let place = Place::parse(&reply).ok_or_else(malformed)?;
        Ok(Job {
            body: message.payload,
            headers: Headers::from_map(message.headers.as_ref()),
            subject: message.subject.as_str().to_owned(),
            seq: place.seq,
            delivered: place.delivered,
            time: place.nanos,
            reply,
            conn: self.conn.clone(),
        })
    }
}

/// A delivered job. Dropping it without a word has it delivered again after `ack_wait`.
#[derive(Debug)]
pub struct Job {
    /// Its body.
    pub body: Bytes,
    /// Its headers, in canonical order.
    pub headers: Headers,
    /// Its subject.
    pub subject: String,
    /// Its sequence in the stream.
    pub seq: u64,
    /// How often it was delivered, this time included.
    pub delivered: u64,
    /// When it was stored, Unix nanoseconds.
    pub time: i128,
    reply: String,
    conn: Connection,
}

impl Job {
    /// Done: the server removes it. Not confirmed; when this is lost, the job comes again.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub async fn ack(self) -> Result<(), Error> {
        self.say("+ACK".into()).await
    }

    /// Not done: deliver it again after `delay`.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub async fn nak(self, delay: Duration) -> Result<(), Error> {
        let body = format!("-NAK {}", json!({ "delay": nanos(delay) }));
        self.say(body.into()).await
    }

    /// Never deliver it again.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub async fn term(self) -> Result<(), Error> {
        self.say("+TERM".into()).await
    }

    /// Still at it: `ack_wait` begins anew.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub async fn in_progress(&self) -> Result<(), Error> {
        self.say("+WPI".into()).await
    }

    async fn say(&self, word: Bytes) -> Result<(), Error> {
        self.conn.publish_map(self.reply.clone(), None, None, word).await
    }
}

impl Connection {
    /// Stores a job in whichever stream has `subject`, and waits for the server's word. Returns
    /// its sequence.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] when the stream refuses (10077: full), [`ErrorKind::NoResponders`]
    /// when no stream has the subject, [`ErrorKind::TimedOut`]: it may be stored.
    pub async fn enqueue(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Ack {
            seq: Option<u64>,
            error: Option<ApiError>,
        }
        let map = headers::to_map(headers.iter().copied())?;
        let answer = self.request_map(subject, map, body, API_TIMEOUT).await;
        let answer = answer.map_err(|e| e.into_error(subject))?;
        let ack: Ack = serde_json::from_slice(&answer.payload)
            .map_err(|e| Error::with(ErrorKind::Malformed, subject, e))?;
        match ack.error {
            Some(error) => Err(error.into_error(subject)),
            None => ack.seq.ok_or_else(|| Error::new(ErrorKind::Malformed, subject)),
        }
    }
}
