//! Where a decider opens the tenant's own private keys from, by the id that the ledger names: the
//! key store's files, the environment, or a store of secrets, which `canonry-secrets` asks.

use std::sync::Arc;

use canonry_schemas::ids::{KeyId, TenantId};
use ed25519_dalek::SigningKey;

use crate::error::Error;
use crate::key::{key_id, seed_of};
use crate::store::KeyStore;

/// The variable with the seeds of keys that lie in no file: base64url, joined by commas.
pub const KEYS_VARIABLE: &str = "CANONRY_KEYS";

/// Opens private keys.
pub trait KeySource: Send + Sync {
    /// The key with this id; none where this source has no such key.
    ///
    /// # Errors
    /// The source does not answer, or what it holds is exposed or malformed.
    fn open(&self, tenant: &TenantId, id: &KeyId) -> Result<Option<SigningKey>, Error>;
}

impl KeySource for KeyStore {
    fn open(&self, tenant: &TenantId, id: &KeyId) -> Result<Option<SigningKey>, Error> {
        let found = self.keys(tenant)?.into_iter().find(|key| key.id() == *id);
        Ok(found.map(|stored| stored.key))
    }
}

/// Keys that were given in a variable; an id belongs to one tenant alone, so none is named.
#[derive(Clone, Default)]
pub struct Environment(Vec<SigningKey>);

impl Environment {
    /// Reads the value of [`KEYS_VARIABLE`].
    ///
    /// # Errors
    /// A seed does not read; the text of the error quotes nothing of it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let seeds = text.split(',').map(str::trim).filter(|seed| !seed.is_empty());
        seeds.map(|seed| seed_of(KEYS_VARIABLE, seed)).collect::<Result<_, _>>().map(Self)
    }
}

impl KeySource for Environment {
    fn open(&self, _: &TenantId, id: &KeyId) -> Result<Option<SigningKey>, Error> {
        Ok(self.0.iter().find(|key| key_id(&key.verifying_key()) == *id).cloned())
    }
}

/// Several sources, asked in order.
pub struct Sources(Vec<Arc<dyn KeySource>>);

impl Sources {
    /// The files first, then what the environment holds.
    #[must_use]
    pub fn new(files: KeyStore, environment: Environment) -> Self {
        Self(vec![Arc::new(files), Arc::new(environment)])
    }

    /// One more, asked after the others.
    #[must_use]
    pub fn with(mut self, source: Option<Arc<dyn KeySource>>) -> Self {
        self.0.extend(source);
        self
    }
}

impl KeySource for Sources {
    fn open(&self, tenant: &TenantId, id: &KeyId) -> Result<Option<SigningKey>, Error> {
        for source in &self.0 {
            if let Some(key) = source.open(tenant, id)? {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}
