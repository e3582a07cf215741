//! What a holder keeps outside the ledger: content keys (wrapped), the signed head, the frozen
//! flag. All of it lies in KV buckets; the key-encryption key comes from the key store.

use std::collections::BTreeSet;

use canonry_nats::{Bytes, Cas, Connection, Kv, Log};
use canonry_record::export::{Head as SignedHead, parse_head, sign_head};
use canonry_record::seal::Signer;
use canonry_record::{content, record_hash};
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::{CONTENT_KEY_GROUP, GROUP_TRIES};
use canonry_schemas::subject::{BUCKET_FROZEN, BUCKET_HEADS, BUCKET_POLICIES, content_bucket};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::content_keys::{ContentKeys, GROUPS_AHEAD, shred};
use crate::desk::ActionKeys;
use crate::draft::Head;
use crate::holder::Over;
use crate::world::ContentKey;

/// Why a tenant is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Where the ledger is not as it must be.
    pub position: u64,
    /// What is wrong.
    pub why: String,
}

/// The name under which the tenant's secret lies in its bucket.
pub const TENANT_SECRET: &str = "tenant";
/// Under which it lies how far erasures were carried out.
const SHREDDED_TO: &str = "shredded";

/// The keeper of one tenant.
#[derive(Clone)]
pub struct Keeper {
    tenant: TenantId,
    content: Kv,
    heads: Kv,
    beats: Kv,
    frozen: Kv,
    kek: Zeroizing<[u8; 32]>,
    digest_key: Zeroizing<[u8; 32]>,
    snapshot_key: Zeroizing<[u8; 32]>,
    action_keys: ActionKeys,
}

fn failed(error: impl std::fmt::Display) -> Over {
    Over::Failed(error.to_string())
}

/// Twenty-four random bytes.
#[must_use]
pub fn nonce() -> [u8; 24] {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).expect("the operating system yields random bytes");
    bytes
}

impl Keeper {
    /// Opens the buckets and the tenant's secret.
    ///
    /// # Errors
    /// The store does not answer, or the secret does not open under the key-encryption key.
    pub async fn open(
        connection: &Connection,
        tenant: &TenantId,
        kek: &[u8; 32],
    ) -> Result<Self, Over> {
        let bucket = |name: &str| Kv::open(connection.clone(), name).map_err(failed);
        let content = bucket(&content_bucket(tenant))?;
        let entry = content.get(TENANT_SECRET).await.map_err(failed)?;
        let entry = entry.ok_or_else(|| failed("the tenant's secret is missing"))?;
        let secret = open_secret(kek, tenant, &entry.value)?;
        Ok(Self {
            tenant: tenant.clone(),
            content,
            heads: bucket(BUCKET_HEADS)?,
            beats: bucket(BUCKET_POLICIES)?,
            frozen: bucket(BUCKET_FROZEN)?,
            kek: Zeroizing::new(*kek),
            digest_key: content::derive(&secret, "intent-digest"),
            snapshot_key: content::derive(&secret, "snapshot"),
            action_keys: ActionKeys::new(&secret),
        })
    }

    /// Where beats are stored.
    pub(crate) const fn beats(&self) -> &Kv {
        &self.beats
    }

    /// The key under which bodies of commands are digested.
    #[must_use]
    pub fn digest_key(&self) -> &[u8; 32] {
        &self.digest_key
    }

    /// The keys under which actions are digested.
    #[must_use]
    pub const fn action_keys(&self) -> &ActionKeys {
        &self.action_keys
    }

    /// The key that authenticates the tenant's snapshot store.
    #[must_use]
    pub fn snapshot_key(&self) -> Zeroizing<[u8; 32]> {
        self.snapshot_key.clone()
    }

    /// The newest signed head, as it is stored; it is not verified here.
    ///
    /// # Errors
    /// The store does not answer, or holds something else.
    pub async fn head(&self) -> Result<Option<SignedHead>, Over> {
        let entry = self.heads.get(self.tenant.as_str()).await.map_err(failed)?;
        let Some(entry) = entry.filter(|e| !e.deleted) else { return Ok(None) };
        let text = std::str::from_utf8(&entry.value).map_err(failed)?;
        Ok(Some(parse_head(text).map_err(failed)?.head))
    }

    /// The last group of content keys that was made; 0 when none was.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn last_group(&self) -> Result<u32, Over> {
        let (mut there, mut gone) = (0, 1);
        while self.has_group(gone).await? {
            (there, gone) = (gone, gone * 2);
        }
        while gone - there > 1 {
            let middle = there + (gone - there) / 2;
            if self.has_group(middle).await? { there = middle } else { gone = middle }
        }
        Ok(there)
    }

    async fn has_group(&self, group: u32) -> Result<bool, Over> {
        Ok(self.content.get(&format!("g{group}")).await.map_err(failed)?.is_some())
    }

    /// Compares the stored signed head with the ledger.
    ///
    /// # Errors
    /// [`Over::Frozen`] when the ledger ends before it or holds another record there.
    pub async fn check_head(&self, log: &Log, position: u64) -> Result<(), Over> {
        let Some(entry) = self.heads.get(self.tenant.as_str()).await.map_err(failed)? else {
            return Ok(());
        };
        let text = std::str::from_utf8(&entry.value).map_err(failed)?;
        let known = parse_head(text).map_err(failed)?.head;
        if known.position > position {
            let why = format!("it ends before the head that was signed at {}", known.position);
            return Err(Over::Frozen { position: position + 1, why });
        }
        let stored = log.get(known.position).await.map_err(failed)?;
        match stored.map(|s| record_hash(&s.subject, &s.body)) {
            Some(hash) if hash == known.hash => Ok(()),
            _ => {
                let why = "another record stands where a head was signed".to_owned();
                Err(Over::Frozen { position: known.position, why })
            }
        }
    }

    /// Signs and stores the head, unless a later one is there; false when it could not be stored.
    pub async fn write_head(&self, tenant: &TenantId, head: &Head, signer: &Signer) -> bool {
        let Ok(stored) = self.heads.get(tenant.as_str()).await else { return false };
        let known = stored.as_ref().filter(|e| !e.deleted).and_then(|entry| {
            Some(parse_head(std::str::from_utf8(&entry.value).ok()?).ok()?.head.position)
        });
        // A deposed holder that wakes up knows less than the one that serves.
        if known.is_some_and(|known| known >= head.position) {
            return true;
        }
        let head = SignedHead {
            tenant: tenant.clone(),
            position: head.position,
            hash: head.hash,
            time: head.time,
        };
        let text = Bytes::from(sign_head(head, signer).to_text());
        let revision = stored.map_or(0, |entry| entry.revision);
        let written = self.heads.update(tenant.as_str(), text, revision).await;
        matches!(written, Ok(Cas::Won(_)))
    }

    /// Whether the tenant is frozen.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn frozen(&self) -> Result<Option<Frozen>, Over> {
        let entry = self.frozen.get(self.tenant.as_str()).await.map_err(failed)?;
        Ok(entry.filter(|e| !e.deleted).and_then(|e| serde_json::from_slice(&e.value).ok()))
    }

    /// Freezes the tenant: writes stop until it is repaired.
    pub async fn freeze(&self, position: u64, why: &str) {
        let flag = Frozen { position, why: why.to_owned() };
        let value = Bytes::from(serde_json::to_vec(&flag).unwrap_or_default());
        if let Err(error) = self.frozen.create(self.tenant.as_str(), value).await {
            tracing::error!(%error, tenant = %self.tenant, "the frozen flag could not be stored");
        }
    }

    /// Lifts the flag.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn lift(&self) -> Result<(), Over> {
        self.frozen.delete(self.tenant.as_str()).await.map(drop).map_err(failed)
    }

    /// Loads a group of content keys, or makes it if it is the next one.
    ///
    /// # Errors
    /// The store does not answer, or the group does not open.
    pub async fn group(&self, group: u32) -> Result<Zeroizing<Vec<u8>>, Over> {
        let name = format!("g{group}");
        for _ in 0..GROUP_TRIES {
            let stored = self.content.get(&name).await.map_err(failed)?;
            if let Some(entry) = stored.filter(|e| !e.deleted) {
                return content::unwrap(&self.kek, self.tenant.as_str(), &name, &entry.value)
                    .map_err(failed);
            }
            let mut keys = Zeroizing::new(vec![0; CONTENT_KEY_GROUP * 32]);
            getrandom::fill(&mut keys).expect("the operating system yields random bytes");
            let wrapped = content::wrap(&self.kek, &nonce(), self.tenant.as_str(), &name, &keys);
            // Where somebody was faster, that group is the one: a task of a holder that ended may
            // have stored it just now.
            let made = self.content.create(&name, Bytes::from(wrapped)).await.map_err(failed)?;
            if let Cas::Won(_) = made {
                return Ok(keys);
            }
        }
        Err(failed("a group of content keys is made by another and yet is not there"))
    }

    /// Overwrites content keys in the store, for ever. May be repeated.
    ///
    /// # Errors
    /// The store does not answer, or a group does not open.
    pub async fn shred(&self, keys: &[ContentKey]) -> Result<(), Over> {
        let groups: BTreeSet<u32> = keys.iter().map(|key| key.group).collect();
        for group in groups {
            let indexes = keys.iter().filter(|key| key.group == group).map(|key| key.index);
            self.shred_in(group, &indexes.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    async fn shred_in(&self, group: u32, indexes: &[u16]) -> Result<(), Over> {
        let (name, tenant) = (format!("g{group}"), self.tenant.as_str());
        for _ in 0..GROUP_TRIES {
            let stored = self.content.get(&name).await.map_err(failed)?;
            let Some(entry) = stored.filter(|e| !e.deleted) else { return Ok(()) };
            let opened = content::unwrap(&self.kek, tenant, &name, &entry.value);
            let mut keys = opened.map_err(failed)?;
            let changed = indexes.iter().filter(|index| shred(&mut keys, **index)).count();
            if changed == 0 {
                return Ok(());
            }
            let wrapped = content::wrap(&self.kek, &nonce(), tenant, &name, &keys);
            let written = self.content.update(&name, Bytes::from(wrapped), entry.revision).await;
            if let Cas::Won(_) = written.map_err(failed)? {
                return Ok(());
            }
        }
        Err(failed("another process keeps changing a group of content keys"))
    }

    /// Up to which position the erasures of the ledger were carried out in this store; 0 where
    /// nobody said so, or what was said does not open.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn shredded_to(&self) -> Result<u64, Over> {
        let entry = self.content.get(SHREDDED_TO).await.map_err(failed)?;
        Ok(entry.filter(|e| !e.deleted).map_or(0, |e| self.position_in(&e.value)))
    }

    fn position_in(&self, wrapped: &[u8]) -> u64 {
        let opened = content::unwrap(&self.kek, self.tenant.as_str(), SHREDDED_TO, wrapped);
        let bytes = opened.ok().and_then(|clear| clear.as_slice().try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    }

    /// Says so, unless a later position stands there.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn set_shredded_to(&self, position: u64) -> Result<(), Over> {
        let clear = Zeroizing::new(position.to_le_bytes().to_vec());
        for _ in 0..GROUP_TRIES {
            let stored = self.content.get(SHREDDED_TO).await.map_err(failed)?;
            let known = stored.as_ref().filter(|e| !e.deleted);
            if known.is_some_and(|e| self.position_in(&e.value) >= position) {
                return Ok(());
            }
            let tenant = self.tenant.as_str();
            let wrapped = content::wrap(&self.kek, &nonce(), tenant, SHREDDED_TO, &clear);
            let revision = stored.map_or(0, |e| e.revision);
            let written = self.content.update(SHREDDED_TO, Bytes::from(wrapped), revision).await;
            if let Cas::Won(_) = written.map_err(failed)? {
                return Ok(());
            }
        }
        Err(failed("another process keeps changing how far keys were shredded"))
    }

    /// Loads the group in use and the one after it.
    ///
    /// # Errors
    /// As [`Keeper::group`].
    pub async fn load_ahead(&self, last: Option<ContentKey>) -> Result<ContentKeys, Over> {
        let mut keys = ContentKeys::default();
        let next = ContentKeys::after(last).group;
        for group in next..next.saturating_add(GROUPS_AHEAD) {
            keys.insert(group, self.group(group).await?);
        }
        Ok(keys)
    }
}

/// Opens a tenant's wrapped secret.
///
/// # Errors
/// It does not open under this key-encryption key.
pub fn open_secret(
    kek: &[u8; 32],
    tenant: &TenantId,
    wrapped: &[u8],
) -> Result<Zeroizing<[u8; 32]>, Over> {
    let clear = content::unwrap(kek, tenant.as_str(), TENANT_SECRET, wrapped).map_err(failed)?;
    let secret = clear.as_slice().try_into().map_err(|_| failed("the secret has no 32 bytes"))?;
    Ok(Zeroizing::new(secret))
}
