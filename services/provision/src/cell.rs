//! A cell: the operator, its accounts and users, and what founding a tenant asks of NATS. Keys
//! live in the key store of its home. It speaks to NATS through [`Bus`] only, which the caller
//! implements, and never changes or deletes a stream.

use std::path::{Path, PathBuf};

use canonry_keystore::{KeyStore, KeyUse, StoredKey};
use canonry_schemas::ids::{ActorId, TenantId};
use data_encoding::HEXLOWER;
use nkeys::KeyPair;
use serde_json::Value;

use crate::accounts::{self, Accounts, Issued};
use crate::bus::{Bus, ask_to_make, create_stream, refused};
use crate::error::Error;
use crate::jwt::{self, Kind, Life};
use crate::revocation::Revoked;
use crate::server::{Cluster, Options, Server, Trust};
use crate::streams;
use crate::users::{CellUser, TenantUser};
use crate::{context, creds};

/// Subscriptions of a service user: queue groups of every tenant.
const SERVICE_SUBSCRIPTIONS: i64 = 100_000;
/// Subscriptions of a person or worker.
const MEMBER_SUBSCRIPTIONS: i64 = 1_000;
/// Largest message of any user, in bytes; the server's `max_payload`.
const MAX_PAYLOAD_BYTES: i64 = 1_048_576;
/// The login of a person, worker or auditor.
#[derive(Debug, Clone)]
pub struct Login {
    /// Its creds file.
    pub creds: PathBuf,
    /// Its public key, for the ledger's use `login`.
    pub public: [u8; 32],
}

/// A cell's home.
#[derive(Debug, Clone)]
pub struct Cell {
    store: KeyStore,
    accounts: Accounts,
}

impl Cell {
    /// Makes the operator, the accounts and the creds of every user of the cell.
    ///
    /// # Errors
    /// When `home` holds a cell already, or cannot be written.
    pub fn create(home: &Path) -> Result<Self, Error> {
        let store = KeyStore::create(home)?;
        for (name, key) in [
            ("operator", KeyPair::new_operator()),
            ("SYS", KeyPair::new_account()),
            ("CANONRY", KeyPair::new_account()),
            ("AUDIT", KeyPair::new_account()),
            ("INTAKE", KeyPair::new_account()),
        ] {
            store.put_seed(name, &seed_of(&key, name)?)?;
        }
        let mut password = [0_u8; 24];
        getrandom::fill(&mut password)
            .map_err(|e| Error::io(home, std::io::Error::other(e.to_string())))?;
        store.put_seed("route-password", &HEXLOWER.encode(&password))?;
        let cell = Self::open(home)?;
        for user in [
            CellUser::Committer,
            CellUser::Responder,
            CellUser::Intake,
            CellUser::Reader,
            CellUser::Checkpointer,
            CellUser::Evidence,
            CellUser::CellOperator,
            CellUser::ProvisionSys,
            CellUser::ProvisionStreams,
        ] {
            cell.cell_user(&user)?;
        }
        for service in ["svc_api", "svc_runner", "svc_timer"] {
            if let Ok(actor) = service.parse() {
                cell.cell_user(&CellUser::Service(actor))?;
            }
        }
        Ok(cell)
    }

    /// Opens a cell made by [`Self::create`].
    ///
    /// # Errors
    /// When there is none, or its files are open to others.
    pub fn open(home: &Path) -> Result<Self, Error> {
        let store = KeyStore::open(home)?;
        let public = |name: &str| key(&store, name).map(|k| k.public_key());
        let accounts = Accounts {
            sys: public("SYS")?,
            canonry: public("CANONRY")?,
            audit: public("AUDIT")?,
            intake: public("INTAKE")?,
        };
        Ok(Self { store, accounts })
    }

    /// The keys and creds.
    #[must_use]
    pub const fn key_store(&self) -> &KeyStore {
        &self.store
    }

    /// The public keys of the cell's own accounts.
    #[must_use]
    pub const fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// What this cell's servers trust. The claims of AUDIT that a server is started with are older
    /// than any that were pushed to it, so that those stay, with their revocations.
    ///
    /// # Errors
    /// When a seed is missing.
    pub fn trust(&self) -> Result<Trust, Error> {
        let operator = key(&self.store, "operator")?;
        let known = &self.accounts;
        let canonry = key(&self.store, "CANONRY")?;
        let none = Revoked::default();
        let audit = accounts::audit(&operator, &canonry, known, &none, Issued::First)?;
        Ok(Trust {
            operator_jwt: accounts::operator(&operator, &known.sys)?,
            system_account: known.sys.clone(),
            preload: vec![
                (known.sys.clone(), accounts::sys(&operator, known)?),
                (known.canonry.clone(), accounts::canonry(&operator, known)?),
                (known.audit.clone(), audit),
                (known.intake.clone(), accounts::intake(&operator, &canonry, known)?),
            ],
            route_password: self.store.seed("route-password")?.as_str().to_owned(),
        })
    }

    /// Starts the cell's server in `<home>/nats`, and refuses it when it syncs lazily.
    ///
    /// # Errors
    /// When there is no nats-server, or it does not start.
    pub async fn start_server(&self, options: Options) -> Result<Server, Error> {
        let server = Server::start(&self.nats_dir(), &self.trust()?, options).await?;
        crate::server::check_sync_always(&server.http_address()).await?;
        Ok(server)
    }

    /// Starts a cluster of the cell in `<home>/nats`.
    ///
    /// # Errors
    /// When there is no nats-server, or one does not start.
    pub async fn start_cluster(&self, size: u8, options: Options) -> Result<Cluster, Error> {
        let cluster = Cluster::start(&self.nats_dir(), size, &self.trust()?, options).await?;
        for server in cluster.servers() {
            crate::server::check_sync_always(&server.http_address()).await?;
        }
        Ok(cluster)
    }

    /// Issues a user of the cell anew and writes its creds.
    ///
    /// # Errors
    /// When the account's seed is missing or the disk refuses.
    pub fn cell_user(&self, user: &CellUser) -> Result<PathBuf, Error> {
        let account = match user {
            CellUser::ProvisionSys => "SYS",
            CellUser::Reader | CellUser::Checkpointer | CellUser::Evidence => "AUDIT",
            CellUser::Intake => "INTAKE",
            _ => "CANONRY",
        };
        let claims = user.permissions().claims(SERVICE_SUBSCRIPTIONS, MAX_PAYLOAD_BYTES);
        let (text, _) = issue(&key(&self.store, account)?, user.name(), claims, None)?;
        let path = self.creds_path(user)?;
        self.store.put_creds(&path, &text)?;
        Ok(path)
    }

    /// Where the creds of a user of the cell lie.
    ///
    /// # Errors
    /// When its name is no file name.
    pub fn creds_path(&self, user: &CellUser) -> Result<PathBuf, Error> {
        let place = if user.is_offline() {
            self.store.offline_creds_path(user.name())
        } else {
            self.store.creds_path(user.name())
        };
        Ok(place?)
    }

    /// Issues a login with a fresh key and writes its creds. The tenant's account need not have
    /// been pushed yet.
    ///
    /// # Errors
    /// [`Error::ServiceToken`] for a token that begins with `svc_`.
    pub fn tenant_user(
        &self,
        tenant: &TenantId,
        actor: &ActorId,
        kind: TenantUser,
    ) -> Result<Login, Error> {
        self.tenant_user_until(tenant, actor, kind, None)
    }

    /// As [`Self::tenant_user`]; the server lets it in until this second since 1970.
    ///
    /// # Errors
    /// As [`Self::tenant_user`].
    pub fn tenant_user_until(
        &self,
        tenant: &TenantId,
        actor: &ActorId,
        kind: TenantUser,
        until: Option<i64>,
    ) -> Result<Login, Error> {
        if actor.is_service() {
            return Err(Error::ServiceToken(actor.to_string()));
        }
        let account = match kind {
            TenantUser::Auditor => key(&self.store, "AUDIT")?,
            TenantUser::Member | TenantUser::Worker => self.tenant_account(tenant)?,
        };
        let claims =
            kind.permissions(tenant, actor).claims(MEMBER_SUBSCRIPTIONS, MAX_PAYLOAD_BYTES);
        let (text, public) = issue(&account, &format!("{tenant}/{actor}"), claims, until)?;
        let creds = self.store.tenant_creds_path(tenant, actor);
        self.store.put_creds(&creds, &text)?;
        Ok(Login { creds, public })
    }

    /// Makes a person's or worker's `member` key and keeps it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn member_key(&self, tenant: &TenantId, actor: &ActorId) -> Result<StoredKey, Error> {
        let key = StoredKey::generate(&[KeyUse::Member], actor.clone())?;
        self.store.put_member_key(tenant, &key)?;
        Ok(key)
    }

    /// Founds what a tenant needs in NATS: its account, then its streams and buckets. May be
    /// repeated: what is there and equal stays. `sys` is the user `provision-sys`, `canonry` the
    /// user `provision-streams`.
    ///
    /// # Errors
    /// [`Error::Differs`] when a stream is there with another configuration.
    pub async fn found_accounts(
        &self,
        sys: &impl Bus,
        canonry: &impl Bus,
        tenant: &TenantId,
        replicas: u8,
    ) -> Result<(), Error> {
        self.revoke_logins(sys, tenant, &Revoked::default()).await?;
        self.create_cell_buckets(canonry, replicas).await?;
        for config in streams::tenant(tenant, replicas) {
            create_stream(canonry, &config).await?;
        }
        // The queue has one place: it is taken before anybody else can take it, for good.
        let subject = format!("$JS.API.CONSUMER.CREATE.INTENTS_{tenant}.intake.intake.{tenant}.>");
        let body = streams::intake_consumer(tenant).to_string();
        let answer = ask_to_make(canonry, &subject, &body).await?;
        if answer["error"].is_null() { Ok(()) } else { Err(refused(&subject, &answer)) }
    }

    /// Pushes the claims of a tenant's account to every server, with every revocation that this
    /// home or the server knows.
    ///
    /// # Errors
    /// When the server refuses them.
    pub async fn push_account(&self, sys: &impl Bus, tenant: &TenantId) -> Result<(), Error> {
        self.push_tenant(sys, tenant, &Revoked::default()).await
    }

    /// Makes the buckets that every tenant shares.
    ///
    /// # Errors
    /// [`Error::Differs`] when one is there with another configuration.
    pub async fn create_cell_buckets(&self, canonry: &impl Bus, replicas: u8) -> Result<(), Error> {
        for config in streams::cell(replicas) {
            create_stream(canonry, &config).await?;
        }
        Ok(())
    }

    /// Writes the `nats` CLI context of a person: `<home>/nats/context/<tenant>-<actor>.json`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_context(
        &self,
        tenant: &TenantId,
        actor: &ActorId,
        kind: TenantUser,
        url: &str,
    ) -> Result<PathBuf, Error> {
        let creds = self.store.tenant_creds_path(tenant, actor);
        let text = context::tenant_user(tenant, actor, kind, url, &creds);
        self.put_context(&format!("{tenant}-{actor}"), &text)
    }

    /// Writes the context of a user of the cell, for `nats micro` the [`CellUser::CellOperator`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_cell_context(&self, user: &CellUser, url: &str) -> Result<PathBuf, Error> {
        let text = context::cell_user(user, url, &self.creds_path(user)?);
        self.put_context(user.name(), &text)
    }

    fn put_context(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.nats_dir().join("context").join(format!("{name}.json"));
        self.store.put_creds(&path, text)?;
        Ok(path)
    }

    /// Also where the `nats` CLI looks when `XDG_CONFIG_HOME` is the home.
    fn nats_dir(&self) -> PathBuf {
        self.store.home().join("nats")
    }

    /// The tenant's account key, made at first use.
    pub(crate) fn tenant_account(&self, tenant: &TenantId) -> Result<KeyPair, Error> {
        match self.store.account_seed(tenant) {
            Ok(seed) => from_seed(tenant.as_str(), &seed),
            Err(e) if e.kind == canonry_keystore::ErrorKind::Missing => {
                let key = KeyPair::new_account();
                self.store.put_account_seed(tenant, &seed_of(&key, tenant.as_str())?)?;
                Ok(key)
            }
            Err(e) => Err(e.into()),
        }
    }
}

/// A fresh user of an account: its creds and its public key.
fn issue(
    account: &KeyPair,
    name: &str,
    claims: serde_json::Map<String, Value>,
    until: Option<i64>,
) -> Result<(String, [u8; 32]), Error> {
    let user = KeyPair::new_user();
    let (public, life) = (user.public_key(), Life::from_now(until));
    let token = jwt::encode_for(Kind::User, account, &public, name, claims, life)?;
    let (_, public) = nkeys::from_public_key(&public).map_err(|e| nkey(name, &e.to_string()))?;
    Ok((creds::text(&token, &seed_of(&user, name)?), public))
}

pub(crate) fn key(store: &KeyStore, name: &str) -> Result<KeyPair, Error> {
    from_seed(name, &store.seed(name)?)
}

fn from_seed(name: &str, seed: &str) -> Result<KeyPair, Error> {
    KeyPair::from_seed(seed).map_err(|e| nkey(name, &e.to_string()))
}

fn seed_of(key: &KeyPair, name: &str) -> Result<String, Error> {
    key.seed().map_err(|e| nkey(name, &e.to_string()))
}

fn nkey(name: &str, why: &str) -> Error {
    Error::Nkey { name: name.to_owned(), why: why.to_owned() }
}
