//! Content keys for reading: groups loaded from their bucket and kept in memory, opened under the
//! tenant's key-encryption key. Clear text is never stored.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use canonry_api::ports::Content;
use canonry_keystore::KeyStore;
use canonry_nats::{Connection, Kv};
use canonry_record::content;
use canonry_schemas::ids::TenantId;
use canonry_schemas::subject::content_bucket;
use zeroize::Zeroizing;

type Group = Zeroizing<Vec<u8>>;

/// Loaded groups of all tenants.
pub struct Keys {
    connection: Connection,
    store: KeyStore,
    groups: RwLock<HashMap<(TenantId, u32), Group>>,
}

impl Keys {
    /// With nothing loaded.
    #[must_use]
    pub fn new(connection: Connection, store: KeyStore) -> Self {
        Self { connection, store, groups: RwLock::default() }
    }

    fn has(&self, tenant: &TenantId, group: u32) -> bool {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups.contains_key(&(tenant.clone(), group))
    }

    /// Loads a group if it is not there. A group that was shredded stays away.
    ///
    /// # Errors
    /// The bucket does not answer, or the group does not open.
    pub async fn load(&self, tenant: &TenantId, group: u32) -> Result<(), String> {
        if self.has(tenant, group) {
            return Ok(());
        }
        let name = format!("g{group}");
        let bucket = Kv::open(self.connection.clone(), &content_bucket(tenant));
        let bucket = bucket.map_err(|e| e.to_string())?.with_reader_name("reader");
        let Some(entry) = bucket.get(&name).await.map_err(|e| e.to_string())? else {
            return Ok(());
        };
        if entry.deleted {
            return Ok(());
        }
        let kek = self.store.kek(tenant).map_err(|e| e.to_string())?;
        let keys = content::unwrap(kek.as_bytes(), tenant.as_str(), &name, &entry.value)
            .map_err(|e| e.to_string())?;
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        groups.insert((tenant.clone(), group), keys);
        Ok(())
    }

    /// Loads every group up to one that is not there.
    ///
    /// # Errors
    /// As [`Keys::load`].
    pub async fn load_all(&self, tenant: &TenantId) -> Result<(), String> {
        for group in 1.. {
            self.load(tenant, group).await?;
            if !self.has(tenant, group) {
                break;
            }
        }
        Ok(())
    }
}

/// The group and index in `x1:<group>-<index>:…`.
#[must_use]
pub fn key_of(text: &str) -> Option<(u32, usize)> {
    let (group, index) = content::key_id_of(text)?.split_once('-')?;
    Some((group.parse().ok()?, index.parse().ok()?))
}

impl Content for Keys {
    fn decrypt(
        &self,
        tenant: &TenantId,
        entity: &str,
        pointer: &str,
        text: &str,
    ) -> Option<String> {
        let (group, index) = key_of(text)?;
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        let keys = groups.get(&(tenant.clone(), group))?;
        let key = keys.get(index * 32..index * 32 + 32)?.try_into().ok()?;
        content::decrypt(key, tenant.as_str(), entity, pointer, text).ok()
    }
}
