//! For tests: a cell of its own with a real server in operator mode, in a temporary directory,
//! gone when the value is dropped.

use std::path::PathBuf;

use canonry_schemas::address::{Address, Tls};

use crate::cell::Cell;
use crate::error::Error;
use crate::server::{Cluster, Options, Server};
use crate::users::CellUser;

/// What runs a test cell.
#[derive(Debug)]
enum Nats {
    One(Server),
    Many(Cluster),
}

/// A cell with its servers.
#[derive(Debug)]
pub struct TestCell {
    /// The cell.
    pub cell: Cell,
    // Before the directory, so that servers end before their files go.
    nats: Nats,
    tls: Tls,
    dir: tempfile::TempDir,
}

impl TestCell {
    /// One server.
    ///
    /// # Errors
    /// When there is no nats-server, or it does not start.
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(Options::default()).await
    }

    /// One server with options.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(options: Options) -> Result<Self, Error> {
        Self::start_guarded(1, options, Tls::default()).await
    }

    /// Any number of servers with options, and what clients need to reach them.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_guarded(size: u8, options: Options, tls: Tls) -> Result<Self, Error> {
        let (dir, cell) = Self::cell()?;
        let nats = match size {
            1 => Nats::One(cell.start_server(options).await?),
            _ => Nats::Many(cell.start_cluster(size, options).await?),
        };
        Ok(Self { cell, nats, tls, dir })
    }

    /// A cluster.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_cluster(size: u8) -> Result<Self, Error> {
        Self::start_guarded(size, Options::default(), Tls::default()).await
    }

    fn cell() -> Result<(tempfile::TempDir, Cell), Error> {
        let dir = tempfile::tempdir().map_err(|e| Error::io("temporary directory", e))?;
        let cell = Cell::create(&dir.path().join("home"))?;
        Ok((dir, cell))
    }

    /// The temporary directory; the cell's home is `home` in it.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// The addresses of all servers.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.servers().iter().map(Server::url).collect()
    }

    /// The addresses of all servers in one text, as clients take them, with the files of TLS.
    #[must_use]
    pub fn url(&self) -> String {
        Address { servers: self.urls().join(","), tls: self.tls.clone() }.to_string()
    }

    /// How many replicas its streams can have.
    #[must_use]
    pub fn replicas(&self) -> u8 {
        u8::try_from(self.servers().len()).unwrap_or(u8::MAX)
    }

    /// Where the creds of a user of the cell lie.
    ///
    /// # Errors
    /// When its name is no file name.
    pub fn creds(&self, user: &CellUser) -> Result<PathBuf, Error> {
        self.cell.creds_path(user)
    }

    /// The servers.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        match &self.nats {
            Nats::One(server) => std::slice::from_ref(server),
            Nats::Many(cluster) => cluster.servers(),
        }
    }

    /// The servers, to kill, pause and start them.
    #[must_use]
    pub fn servers_mut(&mut self) -> &mut [Server] {
        match &mut self.nats {
            Nats::One(server) => std::slice::from_mut(server),
            Nats::Many(cluster) => cluster.servers_mut(),
        }
    }

    /// The only server, or the first of a cluster.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.servers()[0]
    }

    /// The only server, or the first of a cluster, to kill, pause and start it.
    #[must_use]
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.servers_mut()[0]
    }
}
