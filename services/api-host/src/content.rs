//! Content keys for reading: groups loaded from their bucket and kept in memory, opened under the
//! tenant's key-encryption key. Clear text is never stored.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use canonry_api::ports::Content;
use canonry_keystore::KeyStore;
use canonry_nats::{Connection, Kv};
use canonry_record::content;
use canonry_schemas::ids::TenantId;
use canonry_schemas::subject::content_bucket;
use zeroize::{Zeroize as _, Zeroizing};

type Group = Zeroizing<Vec<u8>>;

/// Loaded groups of all tenants.
pub struct Keys {
    connection: Connection,
    store: KeyStore,
    groups: RwLock<HashMap<(TenantId, u32), Group>>,
    /// Keys that the ledger has erased: they open nothing, whatever the bucket still holds.
    erased: RwLock<HashSet<(TenantId, u32, usize)>>,
    begun: RwLock<HashSet<TenantId>>,
}

impl Keys {
    /// With nothing loaded.
    #[must_use]
    pub fn new(connection: Connection, store: KeyStore) -> Self {
        Self {
            connection,
            store,
            groups: RwLock::default(),
            erased: RwLock::default(),
            begun: RwLock::default(),
        }
    }

    /// Forgets keys that the ledger has erased, `<group>-<index>`, and never takes them again.
    pub fn forget<'k>(&self, tenant: &TenantId, ids: impl IntoIterator<Item = &'k str>) {
        for (group, index) in ids.into_iter().filter_map(parsed) {
            let mut erased = self.erased.write().unwrap_or_else(PoisonError::into_inner);
            erased.insert((tenant.clone(), group, index));
            drop(erased);
            let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(keys) = groups.get_mut(&(tenant.clone(), group)) {
                blank(keys, index);
            }
        }
    }

    /// Whether it was said here what the read models know of a tenant's erased keys.
    pub fn has_begun(&self, tenant: &TenantId) -> bool {
        self.begun.read().unwrap_or_else(PoisonError::into_inner).contains(tenant)
    }

    /// It was said.
    pub fn begin(&self, tenant: &TenantId) {
        self.begun.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone());
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
        let mut keys = content::unwrap(kek.as_bytes(), tenant.as_str(), &name, &entry.value)
            .map_err(|e| e.to_string())?;
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        let erased = self.erased.read().unwrap_or_else(PoisonError::into_inner);
        let here = erased.iter().filter(|(of, number, _)| of == tenant && *number == group);
        here.for_each(|(_, _, index)| blank(&mut keys, *index));
        drop(erased);
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

fn blank(keys: &mut [u8], index: usize) {
    if let Some(key) = keys.get_mut(index * 32..index * 32 + 32) {
        key.zeroize();
    }
}

/// `<group>-<index>`.
fn parsed(id: &str) -> Option<(u32, usize)> {
    let (group, index) = id.split_once('-')?;
    Some((group.parse().ok()?, index.parse().ok()?))
}

/// The group and index in `x1:<group>-<index>:…`.
#[must_use]
pub fn key_of(text: &str) -> Option<(u32, usize)> {
    parsed(content::key_id_of(text)?)
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
        let erased = self.erased.read().unwrap_or_else(PoisonError::into_inner);
        if erased.contains(&(tenant.clone(), group, index)) {
            return None;
        }
        drop(erased);
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        let keys = groups.get(&(tenant.clone(), group))?;
        let key = keys.get(index * 32..index * 32 + 32)?.try_into().ok()?;
        content::decrypt(key, tenant.as_str(), entity, pointer, text).ok()
    }
}
