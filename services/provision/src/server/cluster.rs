//! Several servers of one cluster on this machine: how leader loss and three replicas are tried.

use std::path::Path;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    Options, POLL, PORT_TRIES, READY_WITHIN, Server, Trust, all_ready, files, find_or_fetch,
    monitor, port_was_taken,
};
use crate::error::Error;

/// Servers that know each other.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
}

impl Cluster {
    /// Starts `size` servers in `dir/1`, `dir/2`, … and waits until all are healthy.
    ///
    /// # Errors
    /// When there is no nats-server, or one does not start.
    pub async fn start(
        dir: &Path,
        size: u8,
        trust: &Trust,
        options: Options,
    ) -> Result<Self, Error> {
        let binary = find_or_fetch().await?;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut cluster = Self::prepare(&binary, dir, size, trust, &options)?;
            match cluster.start_again().await {
                Ok(()) => return Ok(cluster),
                Err(e) if tries < PORT_TRIES && port_was_taken(&e) => {
                    cluster.servers.iter().for_each(|s| files::forget_ports(&s.dir));
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn prepare(
        binary: &Path,
        dir: &Path,
        size: u8,
        trust: &Trust,
        options: &Options,
    ) -> Result<Self, Error> {
        let mut servers = Vec::new();
        for number in 1..=size {
            let dir = dir.join(number.to_string());
            let ports = files::remembered_ports(&dir).map_or_else(files::free_ports, Ok)?;
            let name = format!("canonry-{number}");
            servers.push(Server::prepare(binary, &name, &dir, ports, options.clone())?);
        }
        let routes: Vec<u16> = servers.iter().map(|s| s.ports.route).collect();
        for server in &servers {
            server.configure(trust, &routes)?;
        }
        Ok(Self { servers })
    }

    /// Starts every server that does not run, and waits until all are healthy.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn start_again(&mut self) -> Result<(), Error> {
        for server in self.servers.iter_mut().filter(|s| s.child.is_none()) {
            server.spawn()?;
        }
        all_ready(&mut self.servers).await?;
        self.led().await
    }

    /// Waits until one server leads and hears from all the others. A healthy server may not know
    /// its peers yet, and streams are then refused for want of places.
    async fn led(&self) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            for server in &self.servers {
                let page = monitor(&server.http_address(), "/jsz").await;
                if page.is_ok_and(|jsz| leads_all(&jsz["meta_cluster"], self.servers.len())) {
                    return Ok(());
                }
            }
            if Instant::now() >= deadline {
                return Err(self.servers[0].start_error("the cluster has no leader".to_owned()));
            }
            sleep(POLL).await;
        }
    }

    /// The addresses of all servers.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    /// The servers, in the order of their names.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The servers, to kill and start them.
    #[must_use]
    pub fn servers_mut(&mut self) -> &mut [Server] {
        &mut self.servers
    }
}

/// Only the leader lists its peers.
fn leads_all(meta: &Value, size: usize) -> bool {
    let peers = meta["replicas"].as_array().map_or(&[][..], Vec::as_slice);
    let hears = |peer: &Value| peer["current"] == true && peer["offline"] != true;
    peers.len() + 1 == size && peers.iter().all(hears)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::cell::Cell;

    /// Two servers of three that start for the first time find no leader: the one that ended says why,
    /// and `start` tries other ports.
    #[tokio::test]
    async fn whoever_lost_a_port_is_heard_though_the_others_wait() {
        let dir = tempfile::tempdir().unwrap();
        let trust = Cell::create(&dir.path().join("home")).unwrap().trust().unwrap();
        let binary = find_or_fetch().await.unwrap();
        let nodes = dir.path().join("nats");
        let mut cluster =
            Cluster::prepare(&binary, &nodes, 3, &trust, &Options::default()).unwrap();
        let taken = TcpListener::bind(("127.0.0.1", cluster.servers[2].ports.route)).unwrap();
        let error = cluster.start_again().await.unwrap_err();
        assert!(port_was_taken(&error), "{error}");
        drop((cluster, taken));
        let other = Cluster::start(&nodes, 3, &trust, Options::default()).await.unwrap();
        assert_eq!(other.servers().len(), 3);
    }
}
