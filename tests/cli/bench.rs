//! `canonry bench`, small: what it measures is there, with a ratio to each limit, and the peer is a
//! real PostgreSQL. How fast it is says nothing here.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{bare, canonry, ran};

fn bench(folder: &Path, words: &[&str]) -> Value {
    let mut command = canonry(folder, &[&["--json", "bench"], words].concat());
    command.env("NATS_SERVER", canonry_provision::server::find().unwrap());
    let done = ran(&mut command);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    serde_json::from_str(&done.out).unwrap()
}

#[test]
fn every_figure_has_its_limit_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(folder.path());
    let mut words = vec!["--seconds", "1", "--rounds", "1", "--records", "200"];
    let url = postgres.as_ref().map(|p| p.url.clone());
    words.extend(url.iter().flat_map(|url| ["--postgres", url.as_str()]));
    let said = bench(folder.path(), &words);
    for name in [
        "raw_batch_per_s",
        "raw_single_p50_ms",
        "commit_1024_per_s",
        "commit_nats_1024_per_s",
        "commit_64_p99_ms",
        "commit_1_p50_ms",
        "commit_16_tenants_per_s",
        "verify_export_per_s",
        "verify_live_per_s",
        "ed25519_batch_verify_per_s",
        "rebuild_per_s",
        "bare_loop_per_s",
        "rss_mb",
    ] {
        assert!(said[name].as_f64().unwrap() > 0.0, "{name}: {said}");
    }
    assert_eq!(said["verified_records"], 200);
    let ratio = &said["ratios"]["commit_1024_of_raw_batch"];
    let raw = said["raw_batch_per_s"].as_f64().unwrap();
    let governed = said["commit_1024_per_s"].as_f64().unwrap();
    assert!((ratio["value"].as_f64().unwrap() - governed / raw).abs() < 1e-9, "{said}");
    assert_eq!(ratio["met"].as_bool(), Some(governed / raw >= 0.4));
    if postgres.is_some() {
        for name in ["postgres_row_per_s", "postgres_batch_64_per_s"] {
            assert!(said[name].as_f64().unwrap() > 0.0, "{name}: {said}");
        }
    }
    drop(postgres);
}

#[test]
fn take_overs_and_crowds_are_timed() {
    let folder = tempfile::tempdir().unwrap();
    let said = bench(folder.path(), &["take-over", "--records", "300", "--rest", "1", "--cold"]);
    for name in ["standby_first_answer_s", "restart_first_answer_s", "cold_first_answer_s"] {
        assert!(said[name].as_f64().unwrap() > 0.0, "{name}: {said}");
    }
    let words = ["tenants", "--tenants", "3", "--records", "20", "--in-flight", "2"];
    let said = bench(folder.path(), &words);
    assert!(said["rss_loaded_mb"].as_u64().unwrap() > 0, "{said}");
}

/// A PostgreSQL of the test's own.
struct Postgres {
    url: String,
    programs: PathBuf,
    data: PathBuf,
}

/// Debian keeps the server's programs apart, one folder a version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> =
        versions.filter_map(Result::ok).map(|v| v.path().join("bin")).collect();
    found.retain(|bin| bin.join("initdb").is_file());
    found.sort();
    found.pop()
}

impl Postgres {
    /// None where it is not installed, which is said.
    fn start(folder: &Path) -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!("skipped: no PostgreSQL server is installed, so the peer was not measured");
            return None;
        };
        let data = folder.join("postgres");
        std::fs::create_dir(&data).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("postgresql://postgres@127.0.0.1:{port}/postgres");
        let server = Self { url, programs, data };
        if server.is_root() {
            // It refuses to run as root; its package made a user.
            let path = folder.to_str().unwrap();
            assert!(server.plain("chmod", &["755", path]));
            assert!(server.plain("chown", &["postgres", server.data.to_str().unwrap()]));
        }
        let data = server.data.to_str().unwrap();
        assert!(server.own("initdb", &["-D", data, "-U", "postgres", "-A", "trust"]));
        let options = format!("-p {port} -c listen_addresses=127.0.0.1 -k {data}");
        let log = server.data.join("log");
        let words = ["-D", data, "-o", &options, "-l", log.to_str().unwrap(), "-w", "start"];
        assert!(server.own("pg_ctl", &words), "{}", std::fs::read_to_string(&log).unwrap());
        Some(server)
    }

    fn is_root(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(&self.data).unwrap().uid() == 0
    }

    fn plain(&self, program: &str, words: &[&str]) -> bool {
        Command::new(program).args(words).status().unwrap().success()
    }

    /// Runs one of its programs, as its own user where this one is root.
    fn own(&self, program: &str, words: &[&str]) -> bool {
        let program = self.programs.join(program);
        let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let command = if root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        let mut command = bare(command, Path::new("/"));
        command.args(words).stdout(Stdio::null()).stderr(Stdio::inherit());
        let until = Instant::now() + Duration::from_secs(120);
        let mut child = command.spawn().unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.success();
            }
            if Instant::now() > until {
                child.kill().unwrap();
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.data.to_str().unwrap();
        let stopped = self.own("pg_ctl", &["-D", data, "-m", "immediate", "stop"]);
        if !stopped {
            eprintln!("PostgreSQL did not stop");
        }
    }
}
