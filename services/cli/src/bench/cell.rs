//! A cell and a server of the bench's own, tenants in it, and deciders for them.

use std::path::{Path, PathBuf};

use canonry_decider::found::found;
use canonry_decider::{Config, Decider};
use canonry_nats::{Connection, Log};
use canonry_provision::server::{Options, Server};
use canonry_provision::{Cell, CellUser};
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::member::Part;
use canonry_schemas::subject::ledger_stream;

use crate::failure::{Failure, chain};

/// People of a tenant who send; one alone would be throttled.
pub const PEOPLE: usize = 8;

/// The n-th of them.
#[must_use]
pub fn person(n: usize) -> ActorId {
    format!("op{}", n % PEOPLE).parse().expect("a token of letters and a digit")
}

/// A tenant by number.
#[must_use]
pub fn tenant(n: usize) -> TenantId {
    format!("t{n}").parse().expect("a token of letters and digits")
}

/// The running cell.
pub struct Bench {
    /// Keys and creds.
    pub cell: Cell,
    /// The server.
    pub server: Server,
    // Last, so that its files go after the server.
    folder: tempfile::TempDir,
}

pub(super) fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::unavailable(error)
}

impl Bench {
    /// Makes a cell in a temporary folder and starts its server.
    ///
    /// # Errors
    /// No server is to be had.
    pub async fn start() -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(Failure::config)?;
        let home = folder.path().join("home");
        let cell = Cell::create(&home).map_err(|e| Failure::config(chain(&e)))?;
        let server = cell.start_server(Options::default()).await;
        let server = server.map_err(|e| Failure::unavailable(chain(&e)))?;
        Ok(Self { cell, server, folder })
    }

    /// A place for files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The key store's home.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.cell.key_store().home().to_owned()
    }

    /// Founds the n-th tenant.
    ///
    /// # Errors
    /// The founding failed.
    pub async fn found(&self, n: usize) -> Result<TenantId, Failure> {
        let tenant = tenant(n);
        let mut people: Vec<_> = (0..PEOPLE).map(|n| (person(n), vec![Part::Operator])).collect();
        people.push(("founder".parse().map_err(failed)?, vec![Part::Founder]));
        found(&self.cell, &self.server.url(), &tenant, &people, 1).await.map_err(failed)?;
        Ok(tenant)
    }

    /// Starts a decider.
    ///
    /// # Errors
    /// It cannot connect.
    pub async fn decider(&self, name: &str) -> Result<Decider, Failure> {
        let config = Config {
            url: self.server.url(),
            name: name.parse().map_err(failed)?,
            keys: self.cell.key_store().clone(),
            more_keys: None,
            replicas: 1,
            metrics: canonry_telemetry::Metrics::new(),
            throttle: canonry_decider::throttle::Settings::default(),
        };
        Decider::start(config).await.map_err(failed)
    }

    /// Connects as a user of the cell.
    ///
    /// # Errors
    /// It cannot connect.
    pub async fn user(&self, user: &CellUser) -> Result<Connection, Failure> {
        let keys = self.cell.key_store();
        let connection = canonry_decider::serve::connect_cell(&self.server.url(), keys, user).await;
        connection.map_err(failed)
    }

    /// A tenant's ledger, as its readers see it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn ledger(&self, tenant: &TenantId) -> Result<Log, Failure> {
        let reader = self.user(&CellUser::Reader).await?;
        let log = Log::open(reader, &ledger_stream(tenant)).await.map_err(|e| failed(chain(&e)))?;
        Ok(log.with_reader_name("reader"))
    }

    /// Ends the server and deletes everything.
    ///
    /// # Errors
    /// The server cannot be stopped.
    pub async fn end(mut self) -> Result<(), Failure> {
        self.server.stop().await.map_err(|e| Failure::unavailable(chain(&e)))
    }
}

/// Waits until a decider answers for all of these tenants.
///
/// # Errors
/// Not within two minutes.
pub async fn serving(decider: &Decider, tenants: &[TenantId]) -> Result<(), Failure> {
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(120);
    loop {
        let now = decider.serving();
        if tenants.iter().all(|tenant| now.contains(tenant)) {
            return Ok(());
        }
        if tokio::time::Instant::now() > until {
            return Err(failed(format!("{} of {} tenants are served", now.len(), tenants.len())));
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
