//! The users of leases. A tenant's account names one signing key for each tier, with what users
//! that it signs may do (a scoped signing key); so the token of such a user holds no permissions,
//! only whose it is, and a stolen signing key can make no more of it than its tier.

use canonry_keystore::{ErrorKind, KeyStore};
use canonry_schemas::ids::{ActorId, LeaseId, TenantId};
use canonry_schemas::tier::{Policy, TIERS, Tier};
use nkeys::KeyPair;
use serde_json::{Map, Value, json};

use crate::cell::{Cell, from_seed, seed_of};
use crate::error::Error;
use crate::jwt::{self, Kind, Life};
use crate::permission::Permissions;
use crate::revocation::user_nkey;

/// Subscriptions of a lease's user.
const LEASE_SUBSCRIPTIONS: i64 = 256;
/// Largest message of a lease's user, in bytes: a command and its headers.
const LEASE_PAYLOAD_BYTES: i64 = 131_072;
/// What the server puts in from the tags of a user's token.
const WORKER: &str = "{{tag(worker)}}";
const LEASE: &str = "{{tag(lease)}}";

/// The public half of the key that signs the users of one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierKey {
    /// The tier.
    pub tier: Tier,
    /// The key, as NATS writes it (`A…`).
    pub public: String,
}

impl TierKey {
    /// The entry in the claims of the tenant's account.
    #[must_use]
    pub fn scope(&self, tenant: &TenantId) -> Value {
        let template = permissions(self.tier, tenant, WORKER, LEASE)
            .claims(LEASE_SUBSCRIPTIONS, LEASE_PAYLOAD_BYTES);
        json!({
            "kind": "user_scope", "key": self.public, "role": file_name(self.tier),
            "description": Policy::of(self.tier).name, "template": template,
        })
    }
}

/// Whom a lease's token is for.
#[derive(Debug, Clone)]
pub struct LeaseUser<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The lease.
    pub lease: &'a LeaseId,
    /// Its worker.
    pub worker: &'a ActorId,
    /// Its tier.
    pub tier: Tier,
    /// The 32 bytes of the key that logs in.
    pub login: &'a [u8; 32],
    /// Until when, in seconds since 1970.
    pub until: i64,
}

/// What the user of a lease may do, for this worker and lease.
#[must_use]
pub fn permissions(tier: Tier, tenant: &TenantId, worker: &str, lease: &str) -> Permissions {
    let policy = Policy::of(tier);
    Permissions {
        publish: policy.publishes(tenant, worker),
        deny_publish: Vec::new(),
        subscribe: policy.subscribes(tenant, worker, lease),
    }
}

const fn file_name(tier: Tier) -> &'static str {
    match tier {
        Tier::T0 => "t0",
        Tier::T1 => "t1",
        Tier::T2 => "t2",
        Tier::T3 => "t3",
        Tier::T4 => "t4",
    }
}

impl Cell {
    /// The keys of every tier, made at first use.
    pub(crate) fn tier_keys(&self, tenant: &TenantId) -> Result<Vec<TierKey>, Error> {
        let store = self.key_store();
        let public = |tier| {
            let name = file_name(tier);
            match store.tier_seed(tenant, name) {
                Ok(seed) => from_seed(name, &seed),
                Err(e) if e.kind == ErrorKind::Missing => {
                    let key = KeyPair::new_account();
                    store.put_tier_seed(tenant, name, &seed_of(&key, name)?)?;
                    Ok(key)
                }
                Err(e) => Err(e.into()),
            }
            .map(|key| TierKey { tier, public: key.public_key() })
        };
        let account = self.tenant_account(tenant)?.public_key();
        store.put_creds(&store.account_public_path(tenant), &account)?;
        TIERS.into_iter().map(public).collect()
    }
}

/// A fresh key that logs in: its seed, and the 32 bytes of its public half.
///
/// # Errors
/// Never in practice: a fresh key has a seed.
pub fn fresh_login() -> Result<(String, [u8; 32]), Error> {
    let key = KeyPair::new_user();
    let unusable =
        |e: nkeys::error::Error| Error::Nkey { name: "login".into(), why: e.to_string() };
    let (_, public) = nkeys::from_public_key(&key.public_key()).map_err(unusable)?;
    Ok((seed_of(&key, "login")?, public))
}

/// The token of a lease's user. The worker keeps the seed that fits it. Who signs needs the key of
/// the tier and the name of the account, not its key.
///
/// # Errors
/// One of them is not at hand.
pub fn lease_token(store: &KeyStore, user: &LeaseUser<'_>) -> Result<String, Error> {
    let account = store.read_text(&store.account_public_path(user.tenant))?;
    let name = file_name(user.tier);
    let signer = from_seed(name, &store.tier_seed(user.tenant, name)?)?;
    let mut nats = Map::new();
    nats.insert("issuer_account".into(), account.as_str().into());
    let tags = [format!("worker:{}", user.worker), format!("lease:{}", user.lease)];
    nats.insert("tags".into(), tags.to_vec().into());
    let life = Life::from_now(Some(user.until));
    let subject = user_nkey(user.login);
    jwt::encode_for(Kind::User, &signer, &subject, user.lease.as_str(), nats, life)
}
