//! Requests as they come in, and their answers.
//!
//! Two tasks for each endpoint: one takes requests from the subscription and never waits for the
//! service, one hands answers to the connection. Between them stands one semaphore, so that both
//! channels are bounded and `respond` never waits. This module must not retry or reorder.
//!
//! Next: [`super::discovery`].

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::ServeOptions;
use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::headers::{self, Headers};

const UNIT: usize = 1_024;
const ERROR_CODE: &str = "Nats-Service-Error-Code";
const ERROR_TEXT: &str = "Nats-Service-Error";

/// What discovery tells of an endpoint.
pub(super) struct Served {
    pub(super) name: String,
    pub(super) subject: String,
    pub(super) queue_group: String,
    pub(super) requests: AtomicU64,
    pub(super) errors: AtomicU64,
    /// Nanoseconds between arrival and answer, summed.
    pub(super) busy_nanos: AtomicU64,
    last_error: Mutex<String>,
    ended: AtomicBool,
}

impl Served {
    pub(super) fn last_error(&self) -> String {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn failed(&self, text: String) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    fn done(&self, received: Instant) {
        let nanos = u64::try_from(received.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.busy_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

struct Answer {
    subject: String,
    headers: Option<async_nats::HeaderMap>,
    body: Bytes,
    /// Given back when the answer is with the connection.
    _held: OwnedSemaphorePermit,
}

/// A request. Dropping it without an answer counts as an error, and the requester hears nothing.
pub struct Incoming {
    /// The subject it was sent to.
    pub subject: String,
    /// Its headers, in canonical order.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
    /// When it came in.
    pub received: Instant,
    /// Where the answer goes; `None` when the sender wants none.
    pub reply: Option<String>,
    held: Option<OwnedSemaphorePermit>,
    answers: mpsc::Sender<Answer>,
    served: Arc<Served>,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming")
            .field("subject", &self.subject)
            .field("reply", &self.reply)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Incoming {
    /// Answers. Never waits; the answer leaves in the background. Headers that cannot be sent
    /// count as an error, and the body leaves without them.
    pub fn respond(mut self, body: impl Into<Bytes>, headers: &[(&str, &str)]) {
        self.answer(body.into(), headers);
    }

    /// Answers and counts an error, with the headers that `nats micro` clients know.
    pub fn respond_error(mut self, code: u16, text: &str, body: impl Into<Bytes>) {
        let code = code.to_string();
        self.served.failed(format!("{code}:{text}"));
        self.answer(body.into(), &[(ERROR_CODE, &code), (ERROR_TEXT, text)]);
    }

    fn answer(&mut self, body: Bytes, headers: &[(&str, &str)]) {
        let Some(held) = self.held.take() else { return };
        self.served.done(self.received);
        let Some(subject) = self.reply.take() else { return };
        let headers = headers::to_map(headers.iter().copied()).unwrap_or_else(|e| {
            self.served.failed(e.to_string());
            None
        });
        let answer = Answer { subject, headers, body, _held: held };
        // There is room for as many answers as permits; it fails only after the connection ended.
        if self.answers.try_send(answer).is_err() {
            self.served.failed("the answer could not leave".to_owned());
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.held.is_some() {
            self.served.done(self.received);
            self.served.failed("dropped without an answer".to_owned());
        }
    }
}

/// Ends an endpoint from elsewhere.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// As [`Endpoint::stop`].
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// The requests of one subject. Dropping it unsubscribes.
pub struct Endpoint {
    requests: mpsc::Receiver<Incoming>,
    stop: watch::Sender<bool>,
    served: Arc<Served>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("subject", &self.served.subject).finish_non_exhaustive()
    }
}

impl Endpoint {
    pub(super) async fn start(conn: &Connection, options: ServeOptions) -> Result<Self, Error> {
        if options.capacity == 0 || u32::try_from(options.capacity).is_err() {
            let text = format!("endpoint capacity {}", options.capacity);
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let subscriber = conn.subscribe_raw(&options.subject, Some(&options.queue_group)).await?;
        let served = Arc::new(Served {
            name: options.name,
            subject: options.subject,
            queue_group: options.queue_group,
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            last_error: Mutex::new(String::new()),
            ended: AtomicBool::new(false),
        });
        let (requests_tx, requests) = mpsc::channel(options.capacity);
        let (answers_tx, answers) = mpsc::channel(options.capacity);
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(send_answers(conn.clone(), answers));
        let intake = Intake {
            conn: conn.clone(),
            permits: Arc::new(Semaphore::new(options.capacity)),
            capacity: options.capacity,
            busy: options.busy,
            requests: requests_tx,
            answers: answers_tx,
            served: Arc::clone(&served),
        };
        tokio::spawn(intake.run(subscriber, stopped));
        Ok(Self { requests, stop, served })
    }

    pub(super) fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served)
    }

    /// The next request; `None` after [`Endpoint::stop`], once all that came were taken, and
    /// when the connection closed.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.requests.recv().await
    }

    /// A request that waits already, without waiting for one.
    pub fn try_next(&mut self) -> Option<Incoming> {
        self.requests.try_recv().ok()
    }

    /// Takes no new requests: the group's other members get them. What the server sent before
    /// still comes out of [`Endpoint::next`], which then ends.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// A handle that stops this endpoint from elsewhere.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }
}

impl Stream for Endpoint {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.requests.poll_recv(cx)
    }
}

struct Intake {
    conn: Connection,
    permits: Arc<Semaphore>,
    capacity: usize,
    busy: Bytes,
    requests: mpsc::Sender<Incoming>,
    answers: mpsc::Sender<Answer>,
    served: Arc<Served>,
}

impl Intake {
    async fn run(self, mut subscriber: async_nats::Subscriber, mut stop: watch::Receiver<bool>) {
        let mut draining = false;
        loop {
            tokio::select! {
                // Not biased: a flood of requests must not keep a stop from being heard.
                message = subscriber.next() => match message {
                    Some(message) => self.take(message).await,
                    None => break,
                },
                () = told_to_stop(&mut stop), if !draining => {
                    draining = true;
                    if subscriber.drain().await.is_err() {
                        break;
                    }
                }
                () = self.requests.closed() => break,
            }
        }
        self.served.ended.store(true, Ordering::Relaxed);
    }

    async fn take(&self, message: async_nats::Message) {
        self.served.requests.fetch_add(1, Ordering::Relaxed);
        let units = (1 + message.payload.len() / UNIT).min(self.capacity);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let Ok(held) = Arc::clone(&self.permits).try_acquire_many_owned(units) else {
            self.refuse(message).await;
            return;
        };
        let incoming = Incoming {
            subject: message.subject.as_str().to_owned(),
            headers: Headers::from_map(message.headers.as_ref()),
            body: message.payload,
            received: Instant::now(),
            reply: message.reply.map(|r| r.as_str().to_owned()),
            held: Some(held),
            answers: self.answers.clone(),
            served: Arc::clone(&self.served),
        };
        // There is room for as many requests as permits; it fails only when nobody reads.
        let _ = self.requests.try_send(incoming);
    }

    async fn refuse(&self, message: async_nats::Message) {
        self.served.failed("503:busy".to_owned());
        let Some(reply) = message.reply else { return };
        let headers = headers::to_map([(ERROR_CODE, "503"), (ERROR_TEXT, "busy")]);
        let headers = headers.unwrap_or_default();
        let reply = reply.as_str().to_owned();
        if let Err(error) = self.conn.publish_map(reply, None, headers, self.busy.clone()).await {
            tracing::debug!(%error, "a busy answer could not leave");
        }
    }
}

/// Returns when told to stop, or when the endpoint is gone.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn send_answers(conn: Connection, mut answers: mpsc::Receiver<Answer>) {
    while let Some(answer) = answers.recv().await {
        let Answer { subject, headers, body, _held } = answer;
        if let Err(error) = conn.publish_map(subject, None, headers, body).await {
            // The requester chose a bad reply subject, or the connection is gone.
            tracing::debug!(%error, "an answer could not leave");
        }
    }
}
