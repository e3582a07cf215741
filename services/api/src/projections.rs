//! The read models of every tenant of this process: the projector feeds them, the routes read
//! them. SQLite is touched only on blocking threads; readers are few and kept.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use canonry_projections::{Error, Head, Reader, Recorded, Snapshot, Store};
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::READ_WAIT;
use tokio::sync::{Semaphore, watch};

/// Connections that read one tenant at once.
const READERS: u32 = 4;

/// Why a read came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not a tenant of this process.
    #[error("the tenant is not served here")]
    UnknownTenant,
    /// `min_position` was not reached in time.
    #[error("the read models are at position {position}, not yet at {wanted}")]
    NotYet {
        /// Where they are.
        position: u64,
        /// Where they should be.
        wanted: u64,
    },
    /// The file.
    #[error(transparent)]
    Store(#[from] Error),
    /// The process ends.
    #[error("the reading thread was stopped")]
    Stopped,
}

/// Where the projector goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The last position applied.
    pub position: u64,
    /// What the verifier wrote beside it.
    pub verifier_state: Option<String>,
}

/// Where the projector found the ledger broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The first position that does not hold.
    pub position: u64,
    /// Why.
    pub why: String,
}

#[derive(Debug)]
struct Tenant {
    path: PathBuf,
    writer: Mutex<Option<Store>>,
    readers: Mutex<Vec<Reader>>,
    permits: Arc<Semaphore>,
    position: watch::Sender<u64>,
    broken: Mutex<Option<Broken>>,
}

/// All tenants.
#[derive(Debug)]
pub struct Projections {
    directory: PathBuf,
    tenants: RwLock<HashMap<TenantId, Arc<Tenant>>>,
    /// Tenants whose read models have not come yet to the head that was seen at first.
    behind: RwLock<BTreeSet<TenantId>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, ReadError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| ReadError::Stopped)??)
}

impl Projections {
    /// With one file per tenant in a directory, which must exist.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), tenants: RwLock::default(), behind: RwLock::default() }
    }

    /// Says that a tenant will be projected: until [`Self::caught_up`], a key that is not known
    /// may only not have been read yet.
    pub fn announce(&self, tenant: &TenantId) {
        self.behind.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone());
    }

    /// Says that a tenant has come to the head that was seen at first, or never will.
    pub fn caught_up(&self, tenant: &TenantId) {
        self.behind.write().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }

    /// Whether a tenant was announced and has not caught up.
    #[must_use]
    pub fn is_behind(&self, tenant: &TenantId) -> bool {
        self.behind.read().unwrap_or_else(PoisonError::into_inner).contains(tenant)
    }

    /// Opens a tenant's file, or makes it, and says where to go on.
    ///
    /// # Errors
    /// The file.
    pub async fn open(&self, tenant: &TenantId) -> Result<Feed, ReadError> {
        let path = self.directory.join(format!("{tenant}.sqlite"));
        if let Ok(known) = self.tenant(tenant) {
            return blocking(move || {
                let writer = lock(&known.writer);
                let state = writer.as_ref().map(Store::verifier_state).transpose()?.flatten();
                Ok(Feed { position: *known.position.borrow(), verifier_state: state })
            })
            .await;
        }
        let (opened, feed) = blocking(move || {
            let store = Store::open(&path)?;
            let feed = Feed { position: store.position(), verifier_state: store.verifier_state()? };
            let opened = Tenant {
                path,
                position: watch::Sender::new(feed.position),
                writer: Mutex::new(Some(store)),
                readers: Mutex::default(),
                permits: Arc::new(Semaphore::new(READERS as usize)),
                broken: Mutex::default(),
            };
            Ok((opened, feed))
        })
        .await?;
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(opened));
        Ok(feed)
    }

    /// The tenants served.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.keys().cloned().collect()
    }

    fn tenant(&self, tenant: &TenantId) -> Result<Arc<Tenant>, ReadError> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(tenant).cloned().ok_or(ReadError::UnknownTenant)
    }

    /// Applies verified records in order, with the verifier's state, in one transaction; whoever
    /// waits for their positions goes on.
    ///
    /// # Errors
    /// A gap, the file, or a tenant that was not opened.
    pub async fn apply(
        &self,
        tenant: &TenantId,
        batch: Vec<Recorded>,
        verifier_state: Option<String>,
    ) -> Result<u64, ReadError> {
        let tenant = self.tenant(tenant)?;
        let known = Arc::clone(&tenant);
        let position = blocking(move || {
            let mut writer = lock(&known.writer);
            let store = match writer.as_mut() {
                Some(store) => store,
                // A swap failed half way; the file on disk decides what there is.
                None => writer.insert(Store::open(&known.path)?),
            };
            store.apply(&batch, verifier_state.as_deref())
        })
        .await?;
        tenant.position.send_replace(position);
        Ok(position)
    }

    /// Makes a file that has caught up quick to query.
    ///
    /// # Errors
    /// The file, or a tenant that was not opened.
    pub async fn index(&self, tenant: &TenantId) -> Result<(), ReadError> {
        let known = self.tenant(tenant)?;
        blocking(move || lock(&known.writer).as_mut().map_or(Ok(()), Store::index)).await
    }

    /// Puts a file that was built beside ([`Store::beside`]) in the place of the old one. Reads
    /// wait meanwhile.
    ///
    /// # Errors
    /// The file, or a tenant that was not opened.
    pub async fn replace(&self, tenant: &TenantId, built: Store) -> Result<u64, ReadError> {
        let tenant = self.tenant(tenant)?;
        let permits = Arc::clone(&tenant.permits);
        let all = permits.acquire_many_owned(READERS).await.map_err(|_| ReadError::Stopped)?;
        let known = Arc::clone(&tenant);
        let position = blocking(move || {
            let mut writer = lock(&known.writer);
            lock(&known.readers).clear();
            *writer = None;
            let store = built.swap_into(&known.path)?;
            let position = store.position();
            *writer = Some(store);
            Ok(position)
        })
        .await?;
        drop(all);
        *lock(&tenant.broken) = None;
        tenant.position.send_replace(position);
        Ok(position)
    }

    /// Notes that the ledger does not verify; reads go on from what was applied before.
    ///
    /// # Errors
    /// A tenant that was not opened.
    pub fn report_broken(&self, tenant: &TenantId, broken: Broken) -> Result<(), ReadError> {
        *lock(&self.tenant(tenant)?.broken) = Some(broken);
        Ok(())
    }

    /// Notes that the ledger verifies up to its head.
    ///
    /// # Errors
    /// A tenant that was not opened.
    pub fn report_whole(&self, tenant: &TenantId) -> Result<(), ReadError> {
        *lock(&self.tenant(tenant)?.broken) = None;
        Ok(())
    }

    /// Throws away what was read and begins before the first record: it held what was lost.
    ///
    /// # Errors
    /// The file, or a tenant that was not opened.
    pub async fn begin_again(&self, tenant: &TenantId) -> Result<u64, ReadError> {
        let path = self.tenant(tenant)?.path.clone();
        let built = blocking(move || Store::beside(&path)).await?;
        self.announce(tenant);
        self.replace(tenant, built).await
    }

    /// What was reported.
    ///
    /// # Errors
    /// A tenant that was not opened.
    pub fn broken(&self, tenant: &TenantId) -> Result<Option<Broken>, ReadError> {
        Ok(lock(&self.tenant(tenant)?.broken).clone())
    }

    /// The position applied, as it moves.
    ///
    /// # Errors
    /// A tenant that was not opened.
    pub fn position(&self, tenant: &TenantId) -> Result<watch::Receiver<u64>, ReadError> {
        Ok(self.tenant(tenant)?.position.subscribe())
    }

    /// Waits, at most [`READ_WAIT`], until a position is applied.
    ///
    /// # Errors
    /// It was not applied in time, or the tenant was not opened.
    pub async fn wait(&self, tenant: &TenantId, wanted: u64) -> Result<(), ReadError> {
        let mut position = self.position(tenant)?;
        let reached = tokio::time::timeout(READ_WAIT, async {
            position.wait_for(|p| *p >= wanted).await.map(|_| ())
        });
        match reached.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ReadError::Stopped),
            Err(_) => Err(ReadError::NotYet { position: *position.borrow(), wanted }),
        }
    }

    /// Reads at one moment, which is given back too.
    ///
    /// # Errors
    /// The file, the query, or a tenant that was not opened.
    pub async fn read<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        query: impl FnOnce(&Snapshot<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<(Head, T), ReadError> {
        let tenant = self.tenant(tenant)?;
        let permits = Arc::clone(&tenant.permits);
        let permit = permits.acquire_owned().await.map_err(|_| ReadError::Stopped)?;
        blocking(move || {
            let kept = lock(&tenant.readers).pop();
            let mut reader = match kept {
                Some(reader) => reader,
                None => Reader::open(&tenant.path)?,
            };
            let snapshot = reader.snapshot()?;
            let answer = query(&snapshot)?;
            let head = snapshot.head().clone();
            drop(snapshot);
            lock(&tenant.readers).push(reader);
            drop(permit);
            Ok((head, answer))
        })
        .await
    }
}
