//! Backups in a bucket of an S3-compatible server: moto, from PyPI, pinned, on a free loopback
//! port. Where it cannot be installed the test says so and passes, unless
//! `CANONRY_REQUIRE_S3` is set, as CI does.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use canonry_backup::Place;

use crate::harness::Spine;
use crate::support::{Ask, backed_up, checked, lose_everything, restored, work};

/// Pinned: the server and what its HTTP side needs.
const PACKAGES: [&str; 3] = ["moto[s3]==5.2.5", "flask>=3.1,<4", "flask-cors>=6,<7"];

/// A server, gone when it is dropped.
struct S3 {
    process: Child,
    endpoint: String,
}

impl Drop for S3 {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The folder that holds the packages, or why there is none.
fn packages() -> Result<PathBuf, String> {
    let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let folder = tmp.join("s3-packages");
    // Several test programs may run at once.
    let lock = File::create(tmp.join("s3-packages.lock")).unwrap();
    lock.lock().unwrap();
    if !folder.join("complete").exists() {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"]).arg(&folder);
        let done = pip.args(PACKAGES).output().map_err(|e| format!("python3: {e}"))?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
        std::fs::write(folder.join("complete"), "").unwrap();
    }
    Ok(folder)
}

impl S3 {
    fn start() -> Result<Self, String> {
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", packages()?).env("PYTHONUNBUFFERED", "1");
        command.args(["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", "0"]);
        let spawned = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut process = spawned.map_err(|e| e.to_string())?;
        let said = BufReader::new(process.stderr.take().unwrap());
        let mut server = Self { process, endpoint: String::new() };
        for line in said.lines().map_while(Result::ok) {
            if let Some((_, at)) = line.split_once("Running on ") {
                server.endpoint = at.trim().to_owned();
                return Ok(server);
            }
        }
        Err("it ended before it ran".to_owned())
    }

    /// The variables that a user would set.
    fn variables(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "hush-hush"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_holds_a_backup() {
    let started = tokio::task::spawn_blocking(S3::start).await.unwrap();
    let server = match started {
        Ok(server) => server,
        Err(why) if std::env::var_os("CANONRY_REQUIRE_S3").is_none() => {
            eprintln!("SKIPPED, no S3 server: {why}");
            return;
        }
        Err(why) => panic!("no S3 server: {why}"),
    };
    let place = Place::open_with("s3://canonry/cell/one", server.variables()).unwrap();
    let missing = place.put_new("x", "1".into()).await.unwrap_err();
    assert_eq!(missing.code(), "place-unavailable", "there is no bucket yet");
    let said = format!("{missing} {missing:?} {place:?}");
    assert!(said.contains("canonry/cell/one") && !said.contains("hush"), "{said}");
    create_bucket(&server).await;

    place.put_new("ledger/x", "one".into()).await.unwrap();
    place.put_new("ledger/x", "one".into()).await.unwrap();
    let refused = place.put_new("ledger/x", "two".into()).await.unwrap_err();
    assert_eq!(refused.code(), "object-exists");
    assert_eq!(place.get("ledger/x", 9).await.unwrap().unwrap(), "one");
    assert_eq!(place.get("none", 9).await.unwrap(), None);

    let mut spine = Spine::start().await;
    work(&spine, 3).await;
    backed_up(&spine, &place).await.unwrap();
    work(&spine, 2).await;
    let done = backed_up(&spine, &place).await.unwrap();
    spine.stop().await;
    let found = checked(&spine, &place).await.unwrap();
    assert_eq!(found.backups, 2);
    let whole = found.whole().unwrap().clone();
    assert_eq!(whole, done.manifest.head);
    let before = spine.ledger().await;
    lose_everything(&mut spine).await;
    let back = restored(&spine, &place, Ask::default(), &mut |_, _| ()).await.unwrap();
    assert_eq!((back.head, spine.ledger().await), (whole, before));
}

/// By hand, as an operator does it with another program: ours makes no buckets.
async fn create_bucket(server: &S3) {
    let address = server.endpoint.strip_prefix("http://").unwrap().to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let request = format!(
        "PUT /canonry HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
