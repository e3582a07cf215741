//! A micro service: queue-group endpoints that `nats micro ls|info|stats` shows.
//!
//! Written over plain queue subscriptions, because the library's endpoint takes a lock for every
//! request and drops without a word when its reader is slow. Here each endpoint holds at most
//! [`ServeOptions::capacity`] units of 1 KiB (each request takes one, and one more for each
//! further KiB of its body) from arrival until its answer was handed to the connection; a request
//! beyond that is answered at once with [`ServeOptions::busy`] and counted as an error. So
//! memory is bounded, and nobody waits for an answer that cannot come. Only when the process is
//! so slow that even these answers do not leave does the library drop, which is counted by the
//! connection ([`crate::Counts::slow_consumer`]).
//!
//! This module knows no command: bodies and headers are the caller's. Answers leave by the
//! connection that the service was started on, whose user therefore needs the right to publish
//! reply inboxes and to subscribe to `$SRV.>`.
//!
//! Next: `endpoint` for requests and answers, `discovery` for what `nats micro` asks.

mod discovery;
mod endpoint;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use time::OffsetDateTime;
use tokio::sync::watch;

pub use endpoint::{Endpoint, Incoming, Stopper};

use crate::connection::Connection;
use crate::error::{Error, ErrorKind};

/// Units of 1 KiB that an endpoint holds unless told otherwise: 64 MiB, or 65,536 small requests.
pub const DEFAULT_CAPACITY: usize = 65_536;

/// How an endpoint serves.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The subject, wildcards included.
    pub subject: String,
    /// Members of one group share the requests.
    pub queue_group: String,
    /// The name that `nats micro` shows: letters, digits, `-`, `_`.
    pub name: String,
    /// Units of 1 KiB held at once, see the module. At most `u32::MAX`.
    pub capacity: usize,
    /// The body of the answer when the endpoint is full; the headers
    /// `Nats-Service-Error-Code: 503` and `Nats-Service-Error: busy` go with it.
    pub busy: Bytes,
}

impl ServeOptions {
    /// [`DEFAULT_CAPACITY`], and an empty answer when full.
    #[must_use]
    pub fn new(
        subject: impl Into<String>,
        queue_group: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            subject: subject.into(),
            queue_group: queue_group.into(),
            name: name.into(),
            capacity: DEFAULT_CAPACITY,
            busy: Bytes::new(),
        }
    }
}

/// What discovery tells of the service.
struct Service {
    name: String,
    id: String,
    version: String,
    description: String,
    started: OffsetDateTime,
    endpoints: Mutex<Vec<Arc<endpoint::Served>>>,
}

impl Service {
    fn endpoints(&self) -> Vec<Arc<endpoint::Served>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A service; dropping it ends discovery, its endpoints live on their own.
#[derive(Clone)]
pub struct Micro {
    conn: Connection,
    service: Arc<Service>,
    /// Discovery ends when the last sender is gone.
    _alive: Arc<watch::Sender<()>>,
}

impl std::fmt::Debug for Micro {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Micro").field("name", &self.service.name).finish_non_exhaustive()
    }
}

impl Micro {
    /// Announces the service. `name` is of letters, digits, `-` and `_`; `version` as `1.2.3`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for the name or version, [`ErrorKind::Closed`].
    pub async fn start(
        conn: Connection,
        name: &str,
        version: &str,
        description: &str,
    ) -> Result<Self, Error> {
        check_name(name)?;
        let numbers = version.split(['-', '+']).next().unwrap_or_default();
        let numeric = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
        if numbers.split('.').count() != 3 || !numbers.split('.').all(numeric) {
            return Err(Error::new(ErrorKind::Invalid, format!("service version {version:?}")));
        }
        let service = Arc::new(Service {
            name: name.to_owned(),
            id: conn.fresh_token(),
            version: version.to_owned(),
            description: description.to_owned(),
            started: OffsetDateTime::now_utc(),
            endpoints: Mutex::new(Vec::new()),
        });
        let (alive, ended) = watch::channel(());
        discovery::start(&conn, Arc::clone(&service), ended).await?;
        Ok(Self { conn, service, _alive: Arc::new(alive) })
    }

    /// Serves `subject` with the defaults of [`ServeOptions::new`].
    ///
    /// # Errors
    /// As [`Micro::serve_with`].
    pub async fn serve(
        &self,
        subject: &str,
        queue_group: &str,
        endpoint_name: &str,
    ) -> Result<Endpoint, Error> {
        self.serve_with(ServeOptions::new(subject, queue_group, endpoint_name)).await
    }

    /// Serves a subject.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a name, subject or capacity; [`ErrorKind::Closed`].
    pub async fn serve_with(&self, options: ServeOptions) -> Result<Endpoint, Error> {
        check_name(&options.name)?;
        let endpoint = Endpoint::start(&self.conn, options).await?;
        let mut list = self.service.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|served| !served.has_ended());
        list.push(endpoint.served());
        Ok(endpoint)
    }

    /// The unique id of this instance, as discovery shows it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.service.id
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(Error::new(ErrorKind::Invalid, format!("service name {name:?}")));
    }
    Ok(())
}
