//! What happens to a connection besides messages: logged, counted, told to a callback.
//!
//! It decides nothing. Next: [`super::Connection`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Told of each [`Event`]; must not block.
pub type EventCallback = Arc<dyn Fn(&Event) + Send + Sync>;

/// What happened to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It stands, for the first time or again.
    Connected,
    /// It broke; the library reconnects.
    Disconnected,
    /// It is closed for good.
    Closed,
    /// The server will stop soon.
    LameDuck,
    /// The server refused a subject to this user; the text names it.
    PermissionViolation(String),
    /// The server refused the login.
    AuthorizationViolation,
    /// A subscription was full and a message for it was dropped.
    SlowConsumer,
    /// Any other error, as text.
    Error(String),
}

/// How often each [`Event`] happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// [`Event::Connected`], the first time included.
    pub connected: u64,
    /// [`Event::Disconnected`].
    pub disconnected: u64,
    /// [`Event::PermissionViolation`] and [`Event::AuthorizationViolation`].
    pub violations: u64,
    /// [`Event::SlowConsumer`]: messages dropped, at least.
    pub slow_consumer: u64,
    /// [`Event::Error`].
    pub errors: u64,
}

pub(super) struct State {
    connected: AtomicU64,
    disconnected: AtomicU64,
    violations: AtomicU64,
    slow_consumer: AtomicU64,
    errors: AtomicU64,
    callback: Option<EventCallback>,
    closed: watch::Sender<bool>,
}

impl State {
    pub(super) fn new(callback: Option<EventCallback>, closed: watch::Sender<bool>) -> Self {
        Self {
            connected: AtomicU64::new(0),
            disconnected: AtomicU64::new(0),
            violations: AtomicU64::new(0),
            slow_consumer: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            callback,
            closed,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connected: read(&self.connected),
            disconnected: read(&self.disconnected),
            violations: read(&self.violations),
            slow_consumer: read(&self.slow_consumer),
            errors: read(&self.errors),
        }
    }

    pub(super) fn tell(&self, event: async_nats::Event) {
        let Some(event) = translate(event) else { return };
        let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match &event {
            Event::Connected => {
                add(&self.connected);
                tracing::debug!("connected");
            }
            Event::Disconnected => {
                add(&self.disconnected);
                tracing::warn!("disconnected");
            }
            Event::LameDuck => tracing::info!("the server is about to stop"),
            Event::Closed => {
                tracing::debug!("closed");
                self.closed.send_replace(true);
            }
            Event::PermissionViolation(text) => {
                add(&self.violations);
                tracing::error!(%text, "permissions violation");
            }
            Event::AuthorizationViolation => {
                add(&self.violations);
                tracing::error!("authorization violation");
            }
            Event::SlowConsumer => {
                add(&self.slow_consumer);
                tracing::error!("slow consumer: a message was dropped");
            }
            Event::Error(text) => {
                add(&self.errors);
                tracing::warn!(%text, "connection error");
            }
        }
        if let Some(callback) = &self.callback {
            callback(&event);
        }
    }
}

fn translate(event: async_nats::Event) -> Option<Event> {
    use async_nats::{Event as Theirs, ServerError};
    Some(match event {
        Theirs::Connected => Event::Connected,
        Theirs::Disconnected => Event::Disconnected,
        Theirs::Closed => Event::Closed,
        Theirs::LameDuckMode => Event::LameDuck,
        Theirs::Draining => return None,
        Theirs::SlowConsumer(_) => Event::SlowConsumer,
        Theirs::ServerError(ServerError::AuthorizationViolation) => Event::AuthorizationViolation,
        Theirs::ServerError(ServerError::SlowConsumer(_)) => Event::SlowConsumer,
        Theirs::ServerError(ServerError::Other(text)) => {
            if text.to_ascii_lowercase().contains("permissions violation") {
                Event::PermissionViolation(text)
            } else {
                Event::Error(text)
            }
        }
        Theirs::ClientError(error) => Event::Error(error.to_string()),
    })
}
