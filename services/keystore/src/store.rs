//! The directory itself: where each key lies, and how it is found by tenant and use.

use std::fs;
use std::path::{Path, PathBuf};

use canonry_schemas::ids::{ActorId, KeyId, TenantId};
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::files::{self, Overwrite};
use crate::key::{Kek, KeyUse, StoredKey};

/// A cell's home. Cheap to clone: it holds the path and reads on demand.
#[derive(Debug, Clone)]
pub struct KeyStore {
    home: PathBuf,
}

impl KeyStore {
    /// Opens an existing home.
    ///
    /// # Errors
    /// When it is not a directory, or the group or others have access to it.
    pub fn open(home: impl AsRef<Path>) -> Result<Self, Error> {
        let home = home.as_ref();
        let meta = fs::metadata(home).map_err(|e| Error::io(home, e))?;
        if !meta.is_dir() {
            return Err(Error::new(ErrorKind::Missing, home));
        }
        files::check_private(home, &meta)?;
        Ok(Self { home: home.to_owned() })
    }

    /// Makes a home, `0700`, or opens one that is there.
    ///
    /// # Errors
    /// When the directory cannot be made, or is open to others.
    pub fn create(home: impl AsRef<Path>) -> Result<Self, Error> {
        let home = home.as_ref();
        files::make_dir(home)?;
        files::make_dir(&home.join("operator/offline"))?;
        files::make_dir(&home.join("creds"))?;
        files::make_dir(&home.join("tenants"))?;
        Self::open(home)
    }

    /// The directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The tenants that have a directory here, sorted.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn tenants(&self) -> Result<Vec<TenantId>, Error> {
        let dir = self.home.join("tenants");
        let mut found: Vec<TenantId> =
            names(&dir)?.iter().filter_map(|name| name.parse().ok()).collect();
        found.sort();
        Ok(found)
    }

    /// Where a service user's creds lie.
    ///
    /// # Errors
    /// When the name could leave the directory.
    pub fn creds_path(&self, user: &str) -> Result<PathBuf, Error> {
        Ok(self.home.join("creds").join(plain(user, "creds")?))
    }

    /// Where an offline user's creds lie.
    ///
    /// # Errors
    /// When the name could leave the directory.
    pub fn offline_creds_path(&self, user: &str) -> Result<PathBuf, Error> {
        Ok(self.home.join("operator/offline").join(plain(user, "creds")?))
    }

    /// Where a member's or worker's creds lie.
    #[must_use]
    pub fn tenant_creds_path(&self, tenant: &TenantId, actor: &ActorId) -> PathBuf {
        self.tenant_dir(tenant).join("creds").join(format!("{actor}.creds"))
    }

    /// Where the logins that an account has revoked are kept: a tenant's, or the auditors'.
    #[must_use]
    pub fn revoked_path(&self, tenant: Option<&TenantId>) -> PathBuf {
        tenant.map_or_else(
            || self.home.join("operator/AUDIT.revoked"),
            |tenant| self.tenant_dir(tenant).join("account.revoked"),
        )
    }

    /// Writes a creds file; an old one is replaced, because the key in it is.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_creds(&self, path: &Path, creds: &str) -> Result<(), Error> {
        files::write(path, creds.as_bytes(), Overwrite::Replace)
    }

    /// Reads a private text file: creds or a seed.
    ///
    /// # Errors
    /// When it is missing, exposed or not text.
    pub fn read_text(&self, path: &Path) -> Result<Zeroizing<String>, Error> {
        let bytes = files::read(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::malformed(path, "not UTF-8"))?;
        Ok(Zeroizing::new(text.trim_end().to_owned()))
    }

    /// Keeps the NATS seed `operator/<name>.nk`; never replaces one.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] when there is one.
    pub fn put_seed(&self, name: &str, seed: &str) -> Result<(), Error> {
        files::write(&self.seed_path(name)?, seed.as_bytes(), Overwrite::Never)
    }

    /// The NATS seed `operator/<name>.nk`.
    ///
    /// # Errors
    /// When it is missing or exposed.
    pub fn seed(&self, name: &str) -> Result<Zeroizing<String>, Error> {
        self.read_text(&self.seed_path(name)?)
    }

    /// Keeps the seed of a tenant's NATS account; never replaces one.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] when there is one.
    pub fn put_account_seed(&self, tenant: &TenantId, seed: &str) -> Result<(), Error> {
        let path = self.tenant_dir(tenant).join("account.nk");
        files::write(&path, seed.as_bytes(), Overwrite::Never)
    }

    /// The seed of a tenant's NATS account.
    ///
    /// # Errors
    /// When it is missing or exposed.
    pub fn account_seed(&self, tenant: &TenantId) -> Result<Zeroizing<String>, Error> {
        self.read_text(&self.tenant_dir(tenant).join("account.nk"))
    }

    /// Where the public key of a tenant's account is kept, for who signs the users of leases.
    #[must_use]
    pub fn account_public_path(&self, tenant: &TenantId) -> PathBuf {
        self.tenant_dir(tenant).join("tiers").join("account.pub")
    }

    /// Keeps the seed that signs the users of one tier's leases; never replaces one.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] when there is one.
    pub fn put_tier_seed(&self, tenant: &TenantId, tier: &str, seed: &str) -> Result<(), Error> {
        files::write(&self.tier_path(tenant, tier)?, seed.as_bytes(), Overwrite::Never)
    }

    /// The seed that signs the users of one tier's leases.
    ///
    /// # Errors
    /// When it is missing or exposed.
    pub fn tier_seed(&self, tenant: &TenantId, tier: &str) -> Result<Zeroizing<String>, Error> {
        self.read_text(&self.tier_path(tenant, tier)?)
    }

    /// Keeps a key of the tenant. Root keys go to `offline/`, all others to `keys/`.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] when the same key is there; [`ErrorKind::Malformed`] without a use.
    pub fn put_key(&self, tenant: &TenantId, key: &StoredKey) -> Result<(), Error> {
        let dir = self.tenant_dir(tenant);
        let first = key.uses.first().ok_or_else(|| Error::malformed(&dir, "a key without use"))?;
        let sub = if key.uses.contains(&KeyUse::Root) { "offline" } else { "keys" };
        let path = dir.join(sub).join(format!("{first}-{}.key", key.id()));
        files::write(&path, &key.to_json(), Overwrite::Never)
    }

    /// The tenant's one current key with this use.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] without one, [`ErrorKind::Ambiguous`] with several.
    pub fn stored_key(&self, tenant: &TenantId, wanted: KeyUse) -> Result<StoredKey, Error> {
        let sub = if wanted == KeyUse::Root { "offline" } else { "keys" };
        let dir = self.tenant_dir(tenant).join(sub);
        let mut found = self
            .keys_in(&dir)?
            .into_iter()
            .map(|(_, key)| key)
            .filter(|k| k.uses.contains(&wanted));
        let missing = || Error::new(ErrorKind::Missing, &dir.join(format!("{wanted}-*.key")));
        let key = found.next().ok_or_else(missing)?;
        if found.next().is_some() {
            return Err(Error::new(ErrorKind::Ambiguous, &dir.join(format!("{wanted}-*.key"))));
        }
        Ok(key)
    }

    /// [`Self::stored_key`] without its labels.
    ///
    /// # Errors
    /// As [`Self::stored_key`].
    pub fn signing_key(&self, tenant: &TenantId, wanted: KeyUse) -> Result<SigningKey, Error> {
        self.stored_key(tenant, wanted).map(|stored| stored.key)
    }

    /// All current keys of the tenant in `keys/`: no root, no members.
    ///
    /// # Errors
    /// When one is exposed or malformed.
    pub fn keys(&self, tenant: &TenantId) -> Result<Vec<StoredKey>, Error> {
        let found = self.keys_in(&self.tenant_dir(tenant).join("keys"))?;
        Ok(found.into_iter().map(|(_, key)| key).collect())
    }

    /// Every key of the tenant with this use, offline ones included; several while one replaces
    /// another, and which of them holds is for the ledger to say.
    ///
    /// # Errors
    /// When one is exposed or malformed.
    pub fn keys_for(&self, tenant: &TenantId, wanted: KeyUse) -> Result<Vec<StoredKey>, Error> {
        let dir = self.tenant_dir(tenant);
        let mut found = self.keys_in(&dir.join("keys"))?;
        found.extend(self.keys_in(&dir.join("offline"))?);
        let keys = found.into_iter().map(|(_, key)| key);
        Ok(keys.filter(|key| key.uses.contains(&wanted)).collect())
    }

    /// Moves a key to `retired/`, so that its successor is the one with its use.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] when there is no such key.
    pub fn retire_key(&self, tenant: &TenantId, id: &KeyId) -> Result<(), Error> {
        let dir = self.tenant_dir(tenant);
        let missing = || Error::new(ErrorKind::Missing, &dir.join(format!("keys/*-{id}.key")));
        let mut found = self.keys_in(&dir.join("keys"))?;
        found.extend(self.keys_in(&dir.join("offline"))?);
        let (path, _) = found.into_iter().find(|(_, key)| key.id() == *id).ok_or_else(missing)?;
        let retired = dir.join("retired");
        files::make_dir(&retired)?;
        let target = retired.join(path.file_name().unwrap_or_default());
        fs::rename(&path, &target).map_err(|e| Error::io(&path, e))
    }

    /// A member's or worker's `member` key.
    ///
    /// # Errors
    /// When it is missing, exposed or malformed.
    pub fn member_key(&self, tenant: &TenantId, actor: &ActorId) -> Result<SigningKey, Error> {
        let path = self.member_path(tenant, actor);
        StoredKey::from_json(&path, &files::read(&path)?).map(|stored| stored.key)
    }

    /// Keeps a member's `member` key; a rotation replaces the old one.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for a key without the use `member`.
    pub fn put_member_key(&self, tenant: &TenantId, key: &StoredKey) -> Result<(), Error> {
        let path = self.member_path(tenant, &key.actor);
        if key.uses != [KeyUse::Member] {
            return Err(Error::malformed(&path, "the use is not `member` alone"));
        }
        files::write(&path, &key.to_json(), Overwrite::Replace)
    }

    /// The key that wraps the tenant's content keys.
    ///
    /// # Errors
    /// When it is missing, exposed or malformed.
    pub fn kek(&self, tenant: &TenantId) -> Result<Kek, Error> {
        let path = self.kek_path(tenant);
        Kek::from_text(&path, &files::read(&path)?)
    }

    /// Makes the key that wraps the tenant's content keys; never replaces one, because everything
    /// that it wraps would be lost.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] when there is one.
    pub fn create_kek(&self, tenant: &TenantId) -> Result<Kek, Error> {
        let path = self.kek_path(tenant);
        let kek = Kek::generate(&path)?;
        files::write(&path, &kek.to_text(), Overwrite::Never)?;
        Ok(kek)
    }

    fn tenant_dir(&self, tenant: &TenantId) -> PathBuf {
        self.home.join("tenants").join(tenant.as_str())
    }

    fn tier_path(&self, tenant: &TenantId, tier: &str) -> Result<PathBuf, Error> {
        Ok(self.tenant_dir(tenant).join("tiers").join(plain(tier, "nk")?))
    }

    fn member_path(&self, tenant: &TenantId, actor: &ActorId) -> PathBuf {
        self.tenant_dir(tenant).join("members").join(format!("{actor}.key"))
    }

    fn kek_path(&self, tenant: &TenantId) -> PathBuf {
        self.tenant_dir(tenant).join("kek.key")
    }

    fn seed_path(&self, name: &str) -> Result<PathBuf, Error> {
        Ok(self.home.join("operator").join(plain(name, "nk")?))
    }

    fn keys_in(&self, dir: &Path) -> Result<Vec<(PathBuf, StoredKey)>, Error> {
        let mut paths: Vec<PathBuf> = names(dir)?
            .into_iter()
            // A write that was cut off leaves a name that starts with a dot.
            .filter(|n| n.ends_with(".key") && !n.starts_with('.'))
            .map(|n| dir.join(n))
            .collect();
        paths.sort();
        paths
            .into_iter()
            .map(|path| {
                let key = StoredKey::from_json(&path, &files::read(&path)?)?;
                Ok((path, key))
            })
            .collect()
    }
}

/// The file names of a directory; none when it does not exist.
fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| Error::io(dir, e))?,
    };
    entries
        .map(|entry| {
            let entry = entry.map_err(|e| Error::io(dir, e))?;
            Ok(entry.file_name().to_string_lossy().into_owned())
        })
        .collect()
}

fn plain(name: &str, extension: &str) -> Result<String, Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
        return Err(Error::new(ErrorKind::Name, Path::new(name)));
    }
    Ok(format!("{name}.{extension}"))
}
