//! What `--keep` leaves: the demo's cell, run on by a `canonry up` of its own. One process runs
//! all of it, so that one signal stops it in good order.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::context::{Context, Running};
use crate::failure::Failure;

/// How long it may take to be up.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks.
const POLL: Duration = Duration::from_millis(100);

/// What runs on.
#[derive(Debug)]
pub struct Kept {
    /// The cell's home.
    pub home: PathBuf,
    /// Where it is reached.
    pub running: Running,
    /// The process that runs it.
    pub process: u32,
}

/// Starts `canonry up` on the home, apart from this terminal, and waits until it is up.
///
/// # Errors
/// It ended, or was not up in time; its log is named.
pub async fn run_on(home: &Path, tenant: &str) -> Result<Kept, Failure> {
    let log = home.join("up.log");
    let failed = |e: std::io::Error| Failure::config(format!("{}: {e}", log.display()));
    let said = File::create(&log).map_err(failed)?;
    let also = said.try_clone().map_err(failed)?;
    let program = std::env::current_exe().map_err(Failure::unavailable)?;
    let mut child = Command::new(program)
        .arg("--home")
        .arg(home)
        .args(["up", "--tenant", tenant])
        .stdin(Stdio::null())
        .stdout(said)
        .stderr(also)
        // Ctrl-C at this terminal is not meant for it.
        .process_group(0)
        .spawn()
        .map_err(Failure::unavailable)?;
    let context = Context { home: home.to_owned(), json: false, tls: Default::default() };
    let until = Instant::now() + UP_WITHIN;
    loop {
        if let Some(running) = context.running().filter(|r| r.process == Some(child.id())) {
            return Ok(Kept { home: home.to_owned(), running, process: child.id() });
        }
        let ended = child.try_wait().map_err(Failure::unavailable)?;
        if ended.is_some() || Instant::now() >= until {
            // What is not up after a minute is of no use to anybody.
            let _ = child.kill().and_then(|()| child.wait());
            let log = log.display();
            return Err(Failure::unavailable(format!("`canonry up` did not come up; see {log}")));
        }
        tokio::time::sleep(POLL).await;
    }
}
