//! What every command starts from: the home directory, the addresses that `canonry up` left
//! there, and the whole list of what is wrong with the configuration.

use std::path::{Path, PathBuf};

use canonry_decider::serve::connect_cell;
use canonry_keystore::{Environment, KEYS_VARIABLE, KeyStore};
use canonry_nats::{Connect, Connection, ErrorKind, Log};
use canonry_provision::accounts::AUDIT_PREFIX;
use canonry_provision::users::auditor_inbox;
use canonry_provision::{Cell, CellUser};
use canonry_schemas::address::{Address, Tls};
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::subject::ledger_stream;
use serde::{Deserialize, Serialize};

use crate::client::{Client, Pen};
use crate::failure::{Failure, chain};
use crate::progress::Bars;

/// The home when none is named.
pub const DEFAULT_HOME: &str = ".canonry";
/// The tenant when none is named.
pub const DEFAULT_TENANT: &str = "acme";
/// Where `canonry up` writes what it listens on, below the home.
const RUNNING: &str = "running.json";
/// Where the read models lie, below the home.
const PROJECTIONS: &str = "projections";
/// How an address of NATS begins.
const NATS_SCHEMES: [&str; 4] = ["nats://", "tls://", "ws://", "wss://"];
/// How an address of a place for copies begins.
const PLACE_SCHEMES: [&str; 2] = ["file:///", "s3://"];
/// How an address of the API begins.
const API_SCHEMES: [&str; 2] = ["http://", "https://"];

/// Where a running cell is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The NATS server.
    pub nats: String,
    /// The HTTP API, where it is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// The process that runs it; a signal to terminate stops it in good order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
}

/// The global settings.
#[derive(Debug, Clone)]
pub struct Context {
    /// The cell's home.
    pub home: PathBuf,
    /// Data as JSON.
    pub json: bool,
    /// How the connection to NATS is guarded, beside what an address says itself.
    pub tls: Tls,
}

impl Context {
    /// The progress bars of this command.
    #[must_use]
    pub const fn bars(&self) -> Bars {
        Bars::new(self.json)
    }

    /// The key store.
    ///
    /// # Errors
    /// The home is not there, or open to others.
    pub fn keys(&self) -> Result<KeyStore, Failure> {
        KeyStore::open(&self.home).map_err(|e| self.no_home(&e))
    }

    /// The cell.
    ///
    /// # Errors
    /// The home is not there, or not whole.
    pub fn cell(&self) -> Result<Cell, Failure> {
        Cell::open(&self.home).map_err(|e| self.no_home(&e))
    }

    fn no_home(&self, error: &dyn std::error::Error) -> Failure {
        let home = self.home.display();
        let why = chain(error);
        Failure::config(format!(
            "no cell at {home} ({why}); run `canonry up` or name one with --home or $CANONRY_HOME"
        ))
    }

    /// The home as an absolute path, for what other programs read.
    #[must_use]
    pub fn absolute_home(&self) -> PathBuf {
        std::path::absolute(&self.home).unwrap_or_else(|_| self.home.clone())
    }

    /// Where the read models of this home lie.
    #[must_use]
    pub fn projections(&self) -> PathBuf {
        self.home.join(PROJECTIONS)
    }

    fn running_path(&self) -> PathBuf {
        self.home.join(RUNNING)
    }

    /// What runs on this home, as `canonry up` wrote it.
    #[must_use]
    pub fn running(&self) -> Option<Running> {
        serde_json::from_str(&std::fs::read_to_string(self.running_path()).ok()?).ok()
    }

    /// Writes down what runs.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn set_running(&self, running: &Running) -> Result<(), Failure> {
        let text = serde_json::to_string(running).map_err(Failure::refused)?;
        write(&self.running_path(), &text)
    }

    /// Nothing runs any more.
    pub fn clear_running(&self) {
        if let Err(error) = std::fs::remove_file(self.running_path()) {
            tracing::debug!(%error, "nothing was written down as running");
        }
    }

    /// The address of NATS: as named, else where `canonry up` runs.
    ///
    /// # Errors
    /// Neither is known.
    pub fn nats(&self, named: Option<&str>) -> Result<String, Failure> {
        let found = named.map(str::to_owned).or_else(|| self.running().map(|r| r.nats));
        let found = found.ok_or_else(|| {
            let home = self.home.display();
            let hint = "name one with --nats or $CANONRY_NATS";
            Failure::config(format!("no NATS address: nothing runs on {home}; {hint}"))
        })?;
        nats_address(&found)?;
        self.guarded(&found)
    }

    /// An address with the files of TLS that the command line names.
    ///
    /// # Errors
    /// It is no address, a file is not there, or a certificate stands without its key.
    pub fn guarded(&self, url: &str) -> Result<String, Failure> {
        let wrong = |why: String| Failure::config(format!("--nats or --tls-*: {why}"));
        let mut address: Address = url.parse().map_err(|e| wrong(chain(&e)))?;
        address.tls = self.tls.clone().or(address.tls);
        if address.tls.cert.is_some() != address.tls.key.is_some() {
            return Err(wrong("a certificate and its key come together".to_owned()));
        }
        let Tls { ca, cert, key } = &address.tls;
        for file in [ca, cert, key].into_iter().flatten() {
            std::fs::metadata(file).map_err(|e| wrong(format!("{}: {e}", file.display())))?;
        }
        Ok(address.to_string())
    }

    /// The address of the HTTP API: as named, else where `canonry up` runs it.
    ///
    /// # Errors
    /// Neither is known.
    pub fn api(&self, named: Option<&str>) -> Result<String, Failure> {
        let found = named.map(str::to_owned).or_else(|| self.running().and_then(|r| r.api));
        let found = found.map(|url| url.trim_end_matches('/').to_owned());
        let found = found.ok_or_else(|| {
            let hint = "name one with --api or $CANONRY_API";
            Failure::config(format!("no API address: none is up on this home; {hint}"))
        })?;
        match scheme(&found, &API_SCHEMES) {
            Some(why) => Err(Failure::config(format!("--api: {why}"))),
            None => Ok(found),
        }
    }

    /// Connects in an actor's name; what is missing is told all at once.
    ///
    /// # Errors
    /// The configuration is wrong, or the server does not answer.
    pub async fn client(
        &self,
        nats: Option<&str>,
        tenant: &TenantId,
        actor: &ActorId,
    ) -> Result<Client, Failure> {
        let keys = self.keys().and_then(|keys| {
            let path = keys.tenant_creds_path(tenant, actor);
            readable(&keys, &path, tenant, &format!("creds of {actor}"))?;
            Ok(keys)
        });
        let (url, keys) = both(self.nats(nats), keys)?;
        Client::connect(&url, &keys, tenant, actor).await
    }

    /// What signs for an actor.
    ///
    /// # Errors
    /// There is no such key here.
    pub fn pen(&self, tenant: &TenantId, actor: &ActorId) -> Result<Pen, Failure> {
        let keys = self.keys()?;
        known(&keys, tenant)?;
        Pen::open(&keys, tenant, actor)
    }

    /// A tenant's ledger, read with the reader's creds.
    ///
    /// # Errors
    /// The configuration is wrong, the server does not answer, or there is no such ledger.
    pub async fn ledger(&self, nats: Option<&str>, tenant: &TenantId) -> Result<Log, Failure> {
        let keys = self.keys().and_then(|keys| {
            let readable = keys.creds_path(CellUser::Reader.name());
            let readable = readable.and_then(|path| keys.read_text(&path).map(drop));
            readable.map_err(|e| Failure::config(chain(&e)))?;
            Ok(keys)
        });
        let (url, keys) = both(self.nats(nats), keys)?;
        let reader = connect_cell(&url, &keys, &CellUser::Reader).await;
        let reader = reader.map_err(Failure::unavailable)?;
        let log = Log::open(reader, &ledger_stream(tenant)).await;
        let log = log.map_err(|e| match e.kind() {
            ErrorKind::Api { status: 404, .. } => {
                Failure::refused(format!("there is no ledger of {tenant} at {url}"))
            }
            ErrorKind::Api { .. } => Failure::refused(chain(&e)),
            _ => Failure::unavailable(chain(&e)),
        })?;
        Ok(log.with_reader_name("reader"))
    }
}

impl Context {
    /// The auditors' mirror of a tenant's ledger, read as an auditor; with creds of this home, or
    /// those of a file.
    ///
    /// # Errors
    /// The configuration is wrong, the server does not answer, or there is no such mirror.
    pub async fn mirror(
        &self,
        nats: Option<&str>,
        tenant: &TenantId,
        auditor: &ActorId,
        creds: Option<&Path>,
    ) -> Result<Log, Failure> {
        let text = match creds {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|e| Failure::config(format!("{}: {e}", file.display()))),
            None => self.keys().and_then(|keys| {
                let path = keys.tenant_creds_path(tenant, auditor);
                readable(&keys, &path, tenant, &format!("creds of {auditor}"))?;
                keys.read_text(&path).map(|t| t.to_string()).map_err(|e| Failure::config(chain(&e)))
            }),
        };
        let (url, text) = both(self.nats(nats), text)?;
        let mut connect = Connect::new(&url, auditor.as_str());
        connect.creds = Some(text);
        connect.inbox_prefix = auditor_inbox(tenant, auditor);
        connect.js_prefix = AUDIT_PREFIX.to_owned();
        let connection = Connection::connect(connect).await;
        let connection = connection.map_err(|e| Failure::unavailable(chain(&e)))?;
        let name = format!("AUDIT_{tenant}");
        let log = Log::open(connection, &name).await.map_err(|e| match e.kind() {
            // What an auditor of another tenant asks for gets no answer at all.
            ErrorKind::Api { .. } => Failure::refused(format!("{name}: {}", chain(&e))),
            _ => Failure::unavailable(format!("{name}: {}", chain(&e))),
        })?;
        Ok(log.with_reader_name("audit"))
    }
}

/// Whether this is an address of NATS.
///
/// # Errors
/// It begins otherwise.
pub fn nats_address(url: &str) -> Result<(), Failure> {
    match scheme(url, &NATS_SCHEMES) {
        Some(why) => Err(Failure::config(format!("--nats: {why}"))),
        None => Ok(()),
    }
}

/// Whether a tenant's keys are on this home.
fn known(keys: &KeyStore, tenant: &TenantId) -> Result<(), Failure> {
    let here = keys.tenants().map_err(|e| Failure::config(chain(&e)))?;
    if here.contains(tenant) {
        return Ok(());
    }
    let home = keys.home().display();
    let here: Vec<&str> = here.iter().map(TenantId::as_str).collect();
    let here = if here.is_empty() { "none".to_owned() } else { here.join(", ") };
    Err(Failure::config(format!("no tenant {tenant} on {home}; there is: {here}")))
}

fn readable(keys: &KeyStore, path: &Path, tenant: &TenantId, what: &str) -> Result<(), Failure> {
    known(keys, tenant)?;
    keys.read_text(path).map(drop).map_err(|e| Failure::config(format!("{what}: {}", chain(&e))))
}

/// Both, or everything that is wrong with either.
///
/// # Errors
/// One of them, or both in one message.
pub fn both<A, B>(a: Result<A, Failure>, b: Result<B, Failure>) -> Result<(A, B), Failure> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(one), Ok(_)) | (Ok(_), Err(one)) => Err(one),
        (Err(a), Err(b)) => Err(Failure::config(format!("{}\n{}", a.message, b.message))),
    }
}

/// What is wrong with the environment: every variable that we read, whole, before any is used.
#[must_use]
pub fn environment_problems(read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut look = |name: &str, check: &dyn Fn(&str) -> Option<String>| {
        if let Some(why) = read(name).and_then(|value| check(&value)) {
            wrong.push(format!("${name}: {why}"));
        }
    };
    look("CANONRY_HOME", &|v| v.is_empty().then(|| "is empty".to_owned()));
    look("CANONRY_TENANT", &|v| v.parse::<TenantId>().err().map(|e| e.to_string()));
    look("CANONRY_NATS", &|v| scheme(v, &NATS_SCHEMES));
    look("CANONRY_API", &|v| scheme(v, &API_SCHEMES));
    look(KEYS_VARIABLE, &|v| Environment::parse(v).err().map(|e| e.to_string()));
    look("CANONRY_BACKUP", &|v| scheme(v, &PLACE_SCHEMES));
    for name in ["CANONRY_TLS_CA", "CANONRY_TLS_CERT", "CANONRY_TLS_KEY"] {
        look(name, &|v| std::fs::metadata(v).err().map(|e| format!("{v}: {e}")));
    }
    wrong
}

fn scheme(url: &str, known: &[&str]) -> Option<String> {
    let right =
        |one: &str| known.iter().any(|s| one.strip_prefix(s).is_some_and(|r| !r.is_empty()));
    let all = url.split(',').all(right);
    (!all).then(|| format!("{url:?} is not an address that begins with {}", known.join(" or ")))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|e| Failure::config(format!("{}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_reported_whole() {
        let read = |name: &str| match name {
            "CANONRY_TENANT" => Some("No_Tenant".to_owned()),
            "CANONRY_NATS" => Some("http://x".to_owned()),
            "CANONRY_API" => Some("http://127.0.0.1:1".to_owned()),
            "CANONRY_TLS_KEY" => Some("/nowhere/me.key".to_owned()),
            _ => None,
        };
        let wrong = environment_problems(read);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].starts_with("$CANONRY_TENANT") && wrong[1].starts_with("$CANONRY_NATS"));
        assert!(environment_problems(|_| None).is_empty());
    }

    #[test]
    fn what_runs_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let context = Context { home: dir.path().to_owned(), json: false, tls: Default::default() };
        assert_eq!(context.nats(None).unwrap_err().exit, crate::exit::CONFIG);
        let running = Running { nats: "nats://127.0.0.1:4".into(), api: None, process: None };
        context.set_running(&running).unwrap();
        assert_eq!(context.nats(None).unwrap(), "nats://127.0.0.1:4");
        assert_eq!(context.nats(Some("nats://x")).unwrap(), "nats://x");
        assert_eq!(context.nats(Some("http://x")).unwrap_err().exit, crate::exit::CONFIG);
        assert!(context.api(None).is_err());
        assert_eq!(context.api(Some("ftp://x")).unwrap_err().exit, crate::exit::CONFIG);
        context.clear_running();
        assert_eq!(context.running(), None);
    }
}
