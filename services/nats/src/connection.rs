//! One connection to NATS: connect, publish, request, subscribe, close.
//!
//! The library reconnects for ever by itself; what was published meanwhile waits in its queue of
//! [`CLIENT_CAPACITY`] operations, and a request that was under way times out. A subscription
//! holds [`SUBSCRIPTION_CAPACITY`] messages; beyond that the library drops, which is logged and
//! counted ([`Counts::slow_consumer`]): who must not lose requests uses [`crate::Micro`], which
//! answers before that happens. Each request without an answer leaves about 100 bytes in the
//! library until the connection ends.
//!
//! This module must not know JetStream: that is [`crate::api`]. Next: `events`.

mod events;
mod subscription;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use canonry_schemas::address::{Address, Tls};
use tokio::sync::watch;

pub use events::{Counts, Event, EventCallback};
pub use subscription::{Message, Subscription};

use crate::error::{Error, ErrorKind, RequestError};
use crate::headers::{self, Headers};

/// Messages that one subscription may hold before the library drops.
pub const SUBSCRIPTION_CAPACITY: usize = 65_536;
/// Operations that may wait for the socket before `publish` and `request` wait too.
pub const CLIENT_CAPACITY: usize = 8_192;
/// How long [`Connection::close`] waits for what is on its way.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries of the first connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// How to connect.
#[derive(Clone)]
pub struct Connect {
    /// `nats://host:port`, or several, parted by commas, and the files of TLS behind them: see
    /// [`Address`]. A user or password in it is ignored.
    pub url: String,
    /// The text of a credentials file (JWT and nkey seed); without it, no login.
    pub creds: Option<String>,
    /// Where answers arrive, `_INBOX.<actor>`; permissions hold it.
    pub inbox_prefix: String,
    /// Shown by the server in its list of connections.
    pub name: String,
    /// Prefix of JetStream requests; auditors have `audit.api`.
    pub js_prefix: String,
    /// How long the first connect is tried.
    pub patience: Duration,
    /// Told of every event, after it was counted. Must not block.
    pub on_event: Option<EventCallback>,
}

impl Connect {
    /// The defaults: no login, inbox `_INBOX`, JetStream at `$JS.API`, 10 s of patience.
    #[must_use]
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            creds: None,
            inbox_prefix: "_INBOX".to_owned(),
            name: name.into(),
            js_prefix: "$JS.API".to_owned(),
            patience: Duration::from_secs(10),
            on_event: None,
        }
    }
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Credentials are never printed.
        f.debug_struct("Connect")
            .field("url", &self.url)
            .field("creds", &self.creds.as_ref().map(|_| "…"))
            .field("inbox_prefix", &self.inbox_prefix)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its headers, in canonical order.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
}

/// A connection; clones share it.
#[derive(Clone)]
pub struct Connection {
    pub(crate) client: async_nats::Client,
    shared: Arc<Shared>,
}

struct Shared {
    js_prefix: String,
    state: Arc<events::State>,
    closed: watch::Receiver<bool>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// The addresses of a cluster, joined by commas, one by one.
fn addresses(joined: &str) -> Vec<&str> {
    joined.split(',').map(str::trim).collect()
}

impl Connection {
    /// Connects, trying again for `connect.patience`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for credentials that cannot be read, [`ErrorKind::Connect`] when the
    /// server refuses them (at once) or nobody answered in time.
    pub async fn connect(connect: Connect) -> Result<Self, Error> {
        let (closed_tx, closed) = watch::channel(false);
        let state = Arc::new(events::State::new(connect.on_event.clone(), closed_tx));
        let until = Instant::now() + connect.patience;
        let address: Address =
            connect.url.parse().map_err(|e| Error::with(ErrorKind::Invalid, "address", e))?;
        let servers = addresses(&address.servers);
        let client = loop {
            match options(&connect, &address.tls, &state)?.connect(servers.as_slice()).await {
                Ok(client) => break client,
                Err(error) => {
                    use async_nats::ConnectErrorKind as Kind;
                    let hopeless = matches!(
                        error.kind(),
                        Kind::ServerParse
                            | Kind::Tls
                            | Kind::Authentication
                            | Kind::AuthorizationViolation
                    );
                    if hopeless || Instant::now() + CONNECT_PAUSE >= until {
                        return Err(Error::with(ErrorKind::Connect, connect.url, error));
                    }
                    tracing::debug!(%error, url = %connect.url, "connect failed, trying again");
                    tokio::time::sleep(CONNECT_PAUSE).await;
                }
            }
        };
        let shared = Shared { js_prefix: connect.js_prefix, state, closed };
        Ok(Self { client, shared: Arc::new(shared) })
    }

    /// Publishes without waiting for the server. Waits only when the library's queue is full.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], [`ErrorKind::TooLarge`], [`ErrorKind::Closed`].
    pub async fn publish(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(), Error> {
        let map = headers::to_map(headers.iter().copied())?;
        self.publish_map(subject.to_owned(), None, map, body).await
    }

    /// Publishes with a reply subject; see [`Connection::publish`].
    ///
    /// # Errors
    /// As [`Connection::publish`].
    pub async fn publish_with_reply(
        &self,
        subject: &str,
        reply: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(), Error> {
        let map = headers::to_map(headers.iter().copied())?;
        self.publish_map(subject.to_owned(), Some(reply.to_owned()), map, body).await
    }

    pub(crate) async fn publish_map(
        &self,
        subject: String,
        reply: Option<String>,
        headers: Option<async_nats::HeaderMap>,
        body: Bytes,
    ) -> Result<(), Error> {
        use async_nats::PublishErrorKind as Kind;
        use async_nats::client::traits::Publisher as _;
        let message = async_nats::message::OutboundMessage {
            subject: subject.as_str().into(),
            reply: reply.map(Into::into),
            payload: body,
            headers,
        };
        self.client.publish_message(message).await.map_err(|e| {
            let kind = match e.kind() {
                Kind::MaxPayloadExceeded => ErrorKind::TooLarge,
                Kind::InvalidSubject => ErrorKind::Invalid,
                Kind::Send => ErrorKind::Closed,
            };
            Error::with(kind, format!("publish to {subject}"), e)
        })
    }

    /// Sends a request and waits for one answer. Thousands may be under way: all share one
    /// subscription.
    ///
    /// # Errors
    /// [`RequestError::NoResponders`] at once when nobody listens, [`RequestError::TimedOut`]
    /// after `timeout`, [`RequestError::Other`] when it could not be sent.
    pub async fn request(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        timeout: Duration,
    ) -> Result<Reply, RequestError> {
        let map = headers::to_map(headers.iter().copied()).map_err(RequestError::Other)?;
        let message = self.request_map(subject, map, body, timeout).await?;
        let headers = Headers::from_map(message.headers.as_ref());
        Ok(Reply { headers, body: message.payload })
    }

    pub(crate) async fn request_map(
        &self,
        subject: &str,
        headers: Option<async_nats::HeaderMap>,
        body: Bytes,
        timeout: Duration,
    ) -> Result<async_nats::Message, RequestError> {
        use async_nats::RequestErrorKind as Kind;
        let mut request = async_nats::Request::new().payload(body).timeout(Some(timeout));
        if let Some(map) = headers {
            request = request.headers(map);
        }
        self.client.send_request(subject.to_owned(), request).await.map_err(|e| {
            let kind = match e.kind() {
                Kind::NoResponders => return RequestError::NoResponders,
                Kind::TimedOut => return RequestError::TimedOut,
                Kind::InvalidSubject => ErrorKind::Invalid,
                Kind::MaxPayloadExceeded => ErrorKind::TooLarge,
                Kind::Other => ErrorKind::Closed,
            };
            RequestError::Other(Error::with(kind, format!("request to {subject}"), e))
        })
    }

    /// Subscribes; members of one `queue` share the messages.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for the subject or queue name, [`ErrorKind::Closed`]. A missing
    /// permission is not an error here: it arrives as an [`Event::PermissionViolation`].
    pub async fn subscribe(
        &self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<Subscription, Error> {
        self.subscribe_raw(subject, queue).await.map(Subscription::new)
    }

    pub(crate) async fn subscribe_raw(
        &self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<async_nats::Subscriber, Error> {
        use async_nats::SubscribeErrorKind as Kind;
        let subscribed = match queue {
            Some(queue) => self.client.queue_subscribe(subject.to_owned(), queue.to_owned()).await,
            None => self.client.subscribe(subject.to_owned()).await,
        };
        subscribed.map_err(|e| {
            let kind = match e.kind() {
                Kind::Other => ErrorKind::Closed,
                _ => ErrorKind::Invalid,
            };
            Error::with(kind, format!("subscribe to {subject}"), e)
        })
    }

    /// Waits until everything published so far was handed to the socket. The server may not have
    /// read it yet.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub async fn flush(&self) -> Result<(), Error> {
        self.client.flush().await.map_err(|e| Error::with(ErrorKind::Closed, "flush", e))
    }

    /// The time of one round trip to JetStream (`INFO`, which most of our users may ask).
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], also when the user may not ask; [`ErrorKind::NoResponders`]
    /// without JetStream; [`ErrorKind::Closed`].
    pub async fn rtt(&self) -> Result<Duration, Error> {
        let started = Instant::now();
        self.js_request("INFO", &serde_json::Value::Null).await?;
        Ok(started.elapsed())
    }

    /// Ends all subscriptions, sends what waits and closes; waits 5 s at most. Other clones are
    /// closed too.
    pub async fn close(&self) {
        if self.client.drain().await.is_err() {
            return;
        }
        let mut closed = self.shared.closed.clone();
        let done = closed.wait_for(|closed| *closed);
        if tokio::time::timeout(CLOSE_PATIENCE, done).await.is_err() {
            tracing::warn!("the connection did not close in time");
        }
    }

    /// What has happened on this connection so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.state.counts()
    }

    /// Whether the connection stands now; while it does not, the library reconnects.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// The version that the server says it has, such as `2.15.1`.
    #[must_use]
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// Bytes of headers and body that the server accepts in one message.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    pub(crate) fn js_subject(&self, tail: &str) -> String {
        format!("{}.{tail}", self.shared.js_prefix)
    }

    /// A subject under the inbox prefix that was never used before.
    pub(crate) fn fresh_inbox(&self) -> String {
        self.client.new_inbox()
    }

    /// A name of 22 letters and digits that was never used before.
    pub(crate) fn fresh_token(&self) -> String {
        let inbox = self.client.new_inbox();
        inbox.rsplit('.').next().map_or_else(String::new, str::to_owned)
    }
}

fn options(
    connect: &Connect,
    tls: &Tls,
    state: &Arc<events::State>,
) -> Result<async_nats::ConnectOptions, Error> {
    let mut options = async_nats::ConnectOptions::new()
        .name(&connect.name)
        .custom_inbox_prefix(&connect.inbox_prefix)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .client_capacity(CLIENT_CAPACITY);
    if let Some(creds) = &connect.creds {
        options = options
            .credentials(creds)
            .map_err(|e| Error::with(ErrorKind::Invalid, "credentials", e))?;
    }
    // Whoever names a file wants no connection in clear, whatever the server says of itself.
    options = options.require_tls(!tls.is_empty());
    if let Some(ca) = &tls.ca {
        // The library then trusts this authority alone.
        options = options.add_root_certificates(ca.clone());
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    let state = Arc::clone(state);
    Ok(options.event_callback(move |event| {
        state.tell(event);
        std::future::ready(())
    }))
}
