//! HashiCorp Vault and OpenBao, over their HTTP interface: AppRole login, KV version 2, secrets that
//! the vault makes, and leases. One [`Vault`] is one login; its token is renewed while it lives.

mod kv;
mod parse;
mod session;
mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reqwest::Method;
use serde::Deserialize;
use tokio::task::AbortHandle;

pub use kv::Version;

use crate::error::{Error, Kind};
use crate::limits::LEASE_MOST;
use crate::reference::{Place, Reference, is_part};
use crate::secret::{Fields, LeaseId, Leased, Secret};
use crate::store::SecretStore;
use parse::{Text, fields};
use session::{NOTHING, Session, body, unwrapped};
use wire::{Again, Answer, Ask, Wire};

/// Where a vault is, and who logs in.
#[derive(Debug, Clone)]
pub struct Config {
    /// `https://host:port`; plain HTTP on this machine alone.
    pub address: String,
    /// PEM file of the authority that signed its certificate; without it, the system's.
    pub ca: Option<PathBuf>,
    /// The namespace, where the vault has such.
    pub namespace: Option<String>,
    /// Where its KV version 2 engine is mounted.
    pub mount: String,
    /// Where its AppRole method is mounted.
    pub login: String,
    /// The role.
    pub role_id: Secret,
    /// The role's secret, or the wrapping token around it.
    pub secret_id: Secret,
    /// Whether it is a wrapping token.
    pub wrapped: bool,
}

impl Config {
    fn check(&self) -> Result<(), Error> {
        let wrong = |why| Err(Error::plain(Kind::Configuration(why)));
        let Ok(url) = self.address.parse::<reqwest::Url>() else {
            return wrong("the vault's address is no address");
        };
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return wrong("no credentials and options belong into the vault's address");
        }
        let host = url.host_str().unwrap_or_default();
        let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        match url.scheme() {
            "https" => {}
            "http" if here => {}
            "http" => return wrong("the vault's address is plain HTTP to another machine"),
            _ => return wrong("the vault's address does not begin with https://"),
        }
        let mounts = [&self.mount, &self.login];
        if mounts.iter().any(|mount| !mount.split('/').all(is_part)) {
            return wrong("a mount is no path");
        }
        Ok(())
    }
}

/// What a vault says of itself before any login.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct Status {
    /// Whether it was ever set up.
    pub initialized: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Its version.
    pub version: String,
}

struct Inner {
    wire: Wire,
    session: Session,
    mount: String,
}

/// A vault, logged in when it is first asked. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
    address: String,
    _renewing: Arc<Renewing>,
}

/// Ends with the last clone.
struct Renewing(AbortHandle);

impl Drop for Renewing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Vault {
    /// Unwraps the secret id where it is wrapped, and begins to keep the token renewed. It logs in
    /// when it is first asked. Needs a tokio runtime.
    ///
    /// # Errors
    /// The configuration is wrong, or the wrapping token is spent.
    pub async fn open(config: Config) -> Result<Self, Error> {
        config.check()?;
        let wire = Wire::new(&config)?;
        let secret_id = match config.wrapped {
            true => unwrapped(&wire, &config.login, &config.secret_id).await?,
            false => config.secret_id,
        };
        let session = Session::new(&config.login, config.role_id, secret_id);
        let inner = Arc::new(Inner { wire, session, mount: config.mount });
        let kept = Arc::clone(&inner);
        let task = tokio::spawn(async move { kept.session.keep(&kept.wire).await });
        let renewing = Arc::new(Renewing(task.abort_handle()));
        Ok(Self { inner, address: config.address, _renewing: renewing })
    }

    /// What the vault at this address says of itself; nobody logs in.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn status(config: &Config) -> Result<Status, Error> {
        config.check()?;
        let wire = Wire::new(config)?;
        wire.send(Ask::get("sys/seal-status")).await?.read("its status")
    }

    /// Logs in, and asks the vault whether it knows the token.
    ///
    /// # Errors
    /// The login is refused, or the vault does not answer.
    pub async fn check_login(&self) -> Result<(), Error> {
        self.call(&|| Ok(Ask::get("auth/token/lookup-self"))).await.map(drop)
    }

    /// Sends what `ask` makes, logged in; once more after a new login where the vault does not know
    /// the token any more.
    async fn call(
        &self,
        ask: &(dyn Fn() -> Result<Ask<'static>, Error> + Sync),
    ) -> Result<Answer, Error> {
        let Inner { wire, session, .. } = &*self.inner;
        let token = session.token(wire).await?;
        let send = async |token: &Secret| {
            let ask: Ask<'_> = ask()?;
            wire.send(ask.with(token)).await
        };
        match send(&token.value).await {
            Err(error) if error.kind == Kind::Refused => {
                if session.is_known(wire, &token).await? {
                    return Err(error);
                }
                session.forget(&token).await;
                send(&session.token(wire).await?.value).await
            }
            other => other,
        }
    }
}

/// What a vault lends.
#[derive(Deserialize)]
struct Lent {
    lease_id: String,
    lease_duration: u64,
    renewable: bool,
    data: BTreeMap<String, Text>,
}

#[derive(Deserialize)]
struct Renewed {
    lease_duration: u64,
}

#[async_trait]
impl SecretStore for Vault {
    async fn get(&self, reference: &Reference) -> Result<Secret, Error> {
        self.read(reference, None).await.map_err(|e| e.named(reference))
    }

    async fn put(&self, reference: &Reference, value: &Secret) -> Result<(), Error> {
        self.write(reference, value).await.map_err(|e| e.named(reference))
    }

    async fn delete(&self, place: &Place) -> Result<(), Error> {
        self.remove(place).await.map_err(|e| e.named(place))
    }

    async fn list(&self, place: Option<&Place>) -> Result<Vec<String>, Error> {
        self.names(place).await
    }

    async fn lease(&self, place: &Place) -> Result<Leased<Fields>, Error> {
        // The vault makes one for each answer: a try whose outcome is unknown is not repeated.
        let ask = || Ok(Ask { again: Again::Unprocessed, ..Ask::get(place.path()) });
        let answer = self.call(&ask).await.map_err(|e| e.named(place))?;
        let lent: Lent = answer.read("a lease").map_err(|e| e.named(place))?;
        if lent.lease_id.is_empty() {
            return Err(Error::at(Kind::Malformed("what lies there is not lent"), place));
        }
        let (id, lasts) = (LeaseId(lent.lease_id), Duration::from_secs(lent.lease_duration));
        if lasts > LEASE_MOST {
            self.revoke(&id).await?;
            return Err(Error::at(Kind::LeaseTooLong, place));
        }
        let until = Instant::now() + lasts;
        Ok(Leased { value: fields(lent.data), id, renewable: lent.renewable, until })
    }

    async fn renew(&self, lease: &LeaseId, by: Duration) -> Result<Duration, Error> {
        let seconds = by.min(LEASE_MOST).as_secs().to_string();
        let ask = || {
            let named = BTreeMap::from([("lease_id", lease.0.as_str()), ("increment", &seconds)]);
            Ok(Ask::post("sys/leases/renew", body(&named)?, Again::Always))
        };
        let answer = self.call(&ask).await.map_err(|e| e.named(lease))?;
        let renewed: Renewed = answer.read("a renewal").map_err(|e| e.named(lease))?;
        Ok(Duration::from_secs(renewed.lease_duration))
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<(), Error> {
        #[derive(serde::Serialize)]
        struct Named<'a> {
            lease_id: &'a str,
            /// Answered when the credential is gone, not when it will be.
            sync: bool,
        }
        let ask = || {
            let named = body(&Named { lease_id: &lease.0, sync: true })?;
            Ok(Ask::post("sys/leases/revoke", named, Again::Always))
        };
        self.call(&ask).await.map(drop).map_err(|e| e.named(lease))
    }

    /// Revokes the token, and with it every lease that it took.
    async fn close(&self) -> Result<(), Error> {
        let Some(token) = self.inner.session.end().await else { return Ok(()) };
        let ask = Ask::post("auth/token/revoke-self", body(&NOTHING)?, Again::Always);
        match self.inner.wire.send(ask.with(&token.value)).await {
            // It ended before.
            Err(error) if error.kind != Kind::Refused => Err(error),
            _ => Ok(()),
        }
    }
}

/// A request without a body.
fn bare(method: Method, path: String) -> Ask<'static> {
    Ask { method, ..Ask::get(path) }
}
