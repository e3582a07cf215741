//! The files and ports of one server: private, because the configuration names the route
//! password, and remembered, so that a restarted cell keeps its address.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::config::Ports;
use crate::error::Error;

const TAIL_LINES: usize = 12;
const PORTS: &str = "ports";

pub(super) fn make_private_dir(dir: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| Error::io(dir, e))
}

pub(super) fn create_private(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).map_err(|e| Error::io(path, e))
}

pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    create_private(path)?.write_all(text.as_bytes()).map_err(|e| Error::io(path, e))
}

/// Moves an old log aside; one is kept.
pub(super) fn rotate(log: &Path) -> Result<(), Error> {
    match fs::rename(log, log.with_extension("log.1")) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(log, e)),
        _ => Ok(()),
    }
}

/// The last lines of a file; nothing when it cannot be read.
pub(super) fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|l| format!("  {l}\n")).collect()
}

pub(super) fn remember_ports(dir: &Path, ports: Ports) -> Result<(), Error> {
    write_private(&ports_path(dir), &format!("{} {} {}\n", ports.client, ports.http, ports.route))
}

pub(super) fn forget_ports(dir: &Path) {
    let _ = fs::remove_file(ports_path(dir));
}

/// The ports of the last start, if all are free now.
pub(super) fn remembered_ports(dir: &Path) -> Option<Ports> {
    let text = fs::read_to_string(ports_path(dir)).ok()?;
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    let mut next = || numbers.next()?.ok();
    let ports = Ports { client: next()?, http: next()?, route: next()? };
    let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    [ports.client, ports.http, ports.route].into_iter().all(free).then_some(ports)
}

/// Three ports that nobody listens on. All are held until the last is found, so they differ.
pub(super) fn free_ports() -> Result<Ports, Error> {
    let bind = || TcpListener::bind(("127.0.0.1", 0)).map_err(|e| Error::io("127.0.0.1:0", e));
    let held = [bind()?, bind()?, bind()?];
    let port = |listener: &TcpListener| {
        listener.local_addr().map(|a| a.port()).map_err(|e| Error::io("127.0.0.1:0", e))
    };
    Ok(Ports { client: port(&held[0])?, http: port(&held[1])?, route: port(&held[2])? })
}

fn ports_path(dir: &Path) -> PathBuf {
    dir.join(PORTS)
}
