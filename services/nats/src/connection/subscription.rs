//! A plain subscription: what is published now, to whoever listens now.
//!
//! A message here proves nothing about any stream: only what is read from a stream was stored.
//! Next: [`crate::Log::follow`] for what was.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

use crate::error::{Error, ErrorKind};
use crate::headers::Headers;

/// A message as it arrived.
#[derive(Debug, Clone)]
pub struct Message {
    /// The subject it was published to.
    pub subject: String,
    /// Where an answer goes.
    pub reply: Option<String>,
    /// Its headers, in canonical order.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
}

impl From<async_nats::Message> for Message {
    fn from(message: async_nats::Message) -> Self {
        Self {
            subject: message.subject.as_str().to_owned(),
            reply: message.reply.map(|r| r.as_str().to_owned()),
            headers: Headers::from_map(message.headers.as_ref()),
            body: message.payload,
        }
    }
}

/// A stream of [`Message`]; ends when the connection closes. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    inner: async_nats::Subscriber,
}

impl Subscription {
    pub(super) fn new(inner: async_nats::Subscriber) -> Self {
        Self { inner }
    }

    /// The next message; `None` when the connection closed.
    pub async fn next(&mut self) -> Option<Message> {
        futures_util::StreamExt::next(&mut self.inner).await.map(Message::from)
    }

    /// Asks the server to send no more; what is on its way still arrives, then the stream ends.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub async fn drain(&mut self) -> Result<(), Error> {
        self.inner.drain().await.map_err(|e| Error::with(ErrorKind::Closed, "drain", e))
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        Pin::new(&mut self.inner).poll_next(cx).map(|m| m.map(Message::from))
    }
}
