//! A real PostgreSQL, where Debian's package is installed: a peer of the bench, and the database
//! whose users a vault makes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A PostgreSQL of the test's own, gone when it is dropped.
pub struct Postgres {
    /// Its address, with its first user.
    pub url: String,
    /// Where it listens on the loopback interface.
    pub port: u16,
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
    /// None where it is not installed. With a password everybody must show theirs.
    pub fn start(folder: &Path, password: Option<&str>) -> Option<Self> {
        let programs = programs()?;
        let data = folder.join("postgres");
        std::fs::create_dir(&data).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let with = password.map_or_else(String::new, |password| format!(":{password}"));
        let url = format!("postgresql://postgres{with}@127.0.0.1:{port}/postgres");
        let server = Self { url, port, programs, data };
        if server.is_root() {
            // It refuses to run as root; its package made a user.
            let path = folder.to_str().unwrap();
            assert!(server.plain("chmod", &["755", path]));
            assert!(server.plain("chown", &["postgres", server.data.to_str().unwrap()]));
        }
        let data = server.data.to_str().unwrap();
        let mut words = vec!["-D", data, "-U", "postgres", "-A"];
        let file = folder.join("password");
        match password {
            None => words.push("trust"),
            Some(password) => {
                std::fs::write(&file, password).unwrap();
                words.extend(["scram-sha-256", "--pwfile", file.to_str().unwrap()]);
            }
        }
        assert!(server.own("initdb", &words));
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
        let mut command = if root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .args(words)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
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
