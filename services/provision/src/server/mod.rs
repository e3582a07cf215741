//! A nats-server of our own: found or fetched, configured, started on free loopback ports, watched
//! until it is ready, killed when its handle is dropped. It must not know what runs on it; keys
//! and accounts come in as [`Trust`].

mod binary;
mod cluster;
mod config;
mod files;
mod monitor;
pub mod spawn;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::Error;

pub use binary::{MIN_VERSION, PINNED, find};
pub use cluster::Cluster;
pub use config::{Ports, Tls, Trust};
pub use monitor::{check_sync_always, get as monitor};

/// How long a server may take to be ready; a large store is read at start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to leave when asked.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks at a server that starts or stops.
const POLL: Duration = Duration::from_millis(20);
/// Ports are chosen before the server binds them: another process may be quicker.
const PORT_TRIES: u32 = 5;

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Leave it running when the handle is dropped and when this process ends.
    pub keep: bool,
    /// Largest file that it may write, in bytes: how tests make a full disk.
    pub file_size_limit: Option<u64>,
    /// Certificates; without them clients connect in clear.
    pub tls: Option<Tls>,
}

/// A nats-server that runs, or did until it was killed.
#[derive(Debug)]
pub struct Server {
    name: String,
    dir: PathBuf,
    ports: Ports,
    binary: PathBuf,
    options: Options,
    child: Option<Child>,
}

impl Server {
    /// Starts one server in `dir`, on the ports that it had there before if they are free.
    ///
    /// # Errors
    /// When there is no nats-server, or it does not start.
    pub async fn start(dir: &Path, trust: &Trust, options: Options) -> Result<Self, Error> {
        let binary = find_or_fetch().await?;
        let mut tries = 0;
        loop {
            tries += 1;
            let ports = files::remembered_ports(dir).map_or_else(files::free_ports, Ok)?;
            let mut server = Self::prepare(&binary, "canonry-1", dir, ports, options.clone())?;
            server.configure(trust, &[])?;
            match server.start_again().await {
                Ok(()) => return Ok(server),
                Err(e) if tries < PORT_TRIES && port_was_taken(&e) => files::forget_ports(dir),
                Err(e) => return Err(e),
            }
        }
    }

    fn prepare(
        binary: &Path,
        name: &str,
        dir: &Path,
        ports: Ports,
        options: Options,
    ) -> Result<Self, Error> {
        files::make_private_dir(dir)?;
        let (binary, name, dir) = (binary.to_owned(), name.to_owned(), dir.to_owned());
        Ok(Self { name, dir, ports, binary, options, child: None })
    }

    fn configure(&self, trust: &Trust, routes: &[u16]) -> Result<(), Error> {
        let tls = self.options.tls.as_ref();
        let text = config::text(&self.name, &self.dir, self.ports, trust, routes, tls);
        files::write_private(&self.config_path(), &text)?;
        files::remember_ports(&self.dir, self.ports)
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`], on the same ports and store.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_again(&mut self) -> Result<(), Error> {
        self.spawn()?;
        self.ready().await
    }

    fn spawn(&mut self) -> Result<(), Error> {
        let stderr = files::create_private(&self.dir.join("stderr.log"))?;
        // A new log for each start, so that what `Error::Start` quotes belongs to it.
        files::rotate(&self.log_path())?;
        let mut words: Vec<PathBuf> = Vec::new();
        if let (false, Some(setpriv)) = (self.options.keep, spawn::setpriv()) {
            words.extend([setpriv.clone(), "--pdeathsig".into(), "KILL".into(), "--".into()]);
        }
        if let Some(limit) = self.options.file_size_limit {
            // POSIX counts blocks of 512 bytes.
            let script = format!("ulimit -f {} && exec \"$@\"", limit / 512);
            words.extend(["/bin/sh".into(), "-c".into(), script.into(), "sh".into()]);
        }
        words.extend([self.binary.clone(), "-c".into(), self.config_path()]);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            // Ctrl-C at a terminal is for us; the server is stopped when we are done with it.
            .process_group(0);
        let child = spawn::spawn(command).map_err(|e| Error::io(&self.binary, e))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the server says that it is healthy.
    async fn ready(&mut self) -> Result<(), Error> {
        all_ready(std::slice::from_mut(self)).await
    }

    /// What the server says against being healthy, if anything.
    async fn unhealthy(&mut self) -> Result<Option<String>, Error> {
        let exited = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten());
        if let Some(status) = exited {
            self.child = None;
            return Err(self.start_error(format!("it ended with {status}")));
        }
        let page = monitor::get(&self.http_address(), "/healthz").await;
        Ok(page.err().map(|e| e.to_string()))
    }

    fn start_error(&self, why: String) -> Error {
        let tail = [self.dir.join("stderr.log"), self.log_path()].map(|p| files::tail(&p)).concat();
        Error::Start { why, log: self.log_path(), tail }
    }

    /// Ends it as `kill -9` would.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> Result<(), Error> {
        if let Some(mut child) = self.child.take() {
            child.kill().and_then(|()| child.wait()).map_err(|e| Error::io(&self.binary, e))?;
        }
        Ok(())
    }

    /// Asks it to leave and waits for that; kills it when it does not.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn stop(&mut self) -> Result<(), Error> {
        self.signal("TERM")?;
        let deadline = Instant::now() + STOP_WITHIN;
        while let Some(child) = self.child.as_mut() {
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                self.child = None;
            } else if Instant::now() >= deadline {
                return self.kill();
            } else {
                sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// [`Self::stop`], then [`Self::start_again`].
    ///
    /// # Errors
    /// As either of them.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.stop().await?;
        self.start_again().await
    }

    /// Freezes it (`SIGSTOP`): connections stay, nothing is answered.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn pause(&self) -> Result<(), Error> {
        self.signal("STOP")
    }

    /// Goes on after [`Self::pause`].
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn resume(&self) -> Result<(), Error> {
        self.signal("CONT")
    }

    fn signal(&self, signal: &str) -> Result<(), Error> {
        let Some(child) = &self.child else { return Ok(()) };
        // Safe Rust has no kill(2); the shell's own needs no other program.
        let script = format!("kill -{signal} {}", child.id());
        let sent = Command::new("/bin/sh").args(["-c", &script]).status();
        sent.map(|_| ()).map_err(|e| Error::io("/bin/sh", e))
    }

    /// Lets it run on when this handle is dropped. Only a server started with
    /// [`Options::keep`] also outlives this process.
    pub fn leave_running(&mut self) {
        self.options.keep = true;
    }

    /// Largest file that it may write from its next start on.
    pub fn limit_files(&mut self, limit: Option<u64>) {
        self.options.file_size_limit = limit;
    }

    /// `nats://127.0.0.1:<port>`, `tls://…` where it has certificates.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "tls" } else { "nats" };
        format!("{scheme}://127.0.0.1:{}", self.ports.client)
    }

    /// Host and port of the monitoring port.
    #[must_use]
    pub fn http_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.http)
    }

    /// Its name in the cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("nats-server.log")
    }

    /// Where JetStream keeps its files.
    #[must_use]
    pub fn store_dir(&self) -> PathBuf {
        self.dir.join("store")
    }

    fn config_path(&self) -> PathBuf {
        self.dir.join("nats.conf")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.options.keep
            && let Err(error) = self.kill()
        {
            tracing::warn!(%error, "nats-server could not be killed");
        }
    }
}

async fn find_or_fetch() -> Result<PathBuf, Error> {
    let found = tokio::task::spawn_blocking(find).await;
    found.unwrap_or_else(|e| Err(Error::NoServer(format!("the search was cut off: {e}"))))
}

/// Waits until all say that they are healthy; in a cluster this needs a leader. All are looked at in
/// turn: where one has ended, the others may wait for it, and only that one knows why.
async fn all_ready(servers: &mut [Server]) -> Result<(), Error> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let mut waits = None;
        for (number, server) in servers.iter_mut().enumerate() {
            if let Some(why) = server.unhealthy().await? {
                waits = waits.or(Some((number, why)));
            }
        }
        match waits {
            None => return Ok(()),
            Some((number, why)) if Instant::now() >= deadline => {
                let why = format!("it is not healthy in time ({why})");
                return Err(servers[number].start_error(why));
            }
            Some(_) => sleep(POLL).await,
        }
    }
}

fn port_was_taken(error: &Error) -> bool {
    matches!(error, Error::Start { tail, .. } if tail.contains("address already in use"))
}
