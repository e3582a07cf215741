//! The snapshot store of one tenant: a SQLite file with the fold at one position, so that a holder
//! need not read the whole ledger. It is a cache: it may be deleted at any time, and one that is
//! not of this code, this tenant or this secret is thrown away and the ledger is folded again.
//!
//! Every row carries a keyed digest of itself, and the core row the sums of all digests, so that a
//! row that was changed, removed or put back to an older state is found when the file is opened.
//! It never holds anything that is not committed. Next: [`crate::rebuild`].

mod file;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use canonry_domain::directory::Directory;
use canonry_record::{Hash, KeyRing};
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::INTENTS_KEPT;
use canonry_schemas::time::Time;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::draft::Head;
use crate::due::Watch;
use crate::intents::{Answered, Fingerprint, Row};
use crate::world::{Capture, ContentKey, Slot};

/// The version of everything that is folded: the rules' `evolve`, the shape of the states, this
/// file. Whoever changes one of them counts it up; `tests/it/world.rs` notices when they forget.
pub const FOLD: u32 = 10;

/// New intents that make a change a large one: the next is near.
const LARGE: usize = 1_000;

/// Why the store gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite.
    #[error("the snapshot store failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The folder or file.
    #[error("the snapshot store's file {path} failed")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A row is not what was written.
    #[error("the snapshot store holds {0}, which this decider did not write")]
    Foreign(String),
}

impl Error {
    /// Whether the file is not what this decider wrote, and not only out of reach.
    fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        match self {
            Self::Foreign(_) => true,
            Self::File { .. } => false,
            Self::Sqlite(error) => !matches!(
                error.sqlite_error_code(),
                Some(
                    Code::CannotOpen
                        | Code::PermissionDenied
                        | Code::SystemIoFailure
                        | Code::DiskFull
                        | Code::OutOfMemory
                        | Code::DatabaseBusy
                        | Code::DatabaseLocked
                )
            ),
        }
    }
}

/// The row that all others hang on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Core {
    /// [`FOLD`] of the code that wrote it.
    pub fold: u32,
    /// Which tenant.
    pub tenant: TenantId,
    /// The tenant's identity.
    pub founder: Hash,
    /// The last folded record.
    pub position: u64,
    /// Its hash.
    pub hash: Hash,
    /// Its time.
    pub time: Time,
    /// Its epoch.
    pub epoch: u64,
    /// Bytes of all bodies so far.
    pub bytes: u64,
    /// The greatest content key in use.
    pub last_content_key: Option<ContentKey>,
    /// Intents with ids up to this moment (milliseconds) may have been forgotten.
    pub floor: u64,
    /// How many intents are kept.
    pub intents: u64,
    /// The greatest time inside an intent's id, milliseconds.
    pub greatest_intent: u64,
    /// Sums of the digests of all entities and of all intents.
    pub sums: [Hash; 2],
    /// Digests of the directory and of the key ring.
    pub parts: [Hash; 2],
}

/// A snapshot as it was opened.
#[derive(Debug)]
pub struct Loaded {
    /// Where it stands.
    pub core: Core,
    /// Members and their parts.
    pub directory: Directory,
    /// The tenant's keys.
    pub ring: KeyRing,
}

/// Deadlines in order, and up to which moment these are all there are; `None` when there are no
/// later ones.
pub type Deadlines = (Vec<(Time, Watch)>, Option<Time>);

/// What is written at once.
#[derive(Debug)]
pub struct Change {
    /// What changed in the world.
    pub capture: Capture,
    /// The record that it ends with.
    pub head: Head,
    /// The tenant's identity.
    pub founder: Hash,
    /// Bytes of all bodies so far.
    pub bytes: u64,
    /// The keys, if they changed.
    pub ring: Option<KeyRing>,
}

/// A tenant's snapshot store. Connections are opened when needed and closed when it [`rest`]s, that
/// of the writer after every change that is not large: a decider may follow a thousand tenants.
///
/// [`rest`]: Snapshot::rest
pub struct Snapshot {
    path: PathBuf,
    tenant: TenantId,
    key: Zeroizing<[u8; 32]>,
    intents: u64,
    reader: Mutex<Option<Connection>>,
    /// Kept from one large change to the next: closing it copies all of its log into the file.
    writer: Mutex<Option<Connection>>,
    core: Mutex<Option<Core>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Snapshot {
    /// The store of a tenant in a folder; makes and opens nothing. `key` authenticates it.
    #[must_use]
    pub fn new(folder: &Path, tenant: TenantId, key: Zeroizing<[u8; 32]>) -> Arc<Self> {
        Self::keeping(folder, tenant, key, INTENTS_KEPT as u64)
    }

    /// The same with another bound on the table of intents.
    #[must_use]
    pub fn keeping(
        folder: &Path,
        tenant: TenantId,
        key: Zeroizing<[u8; 32]>,
        intents: u64,
    ) -> Arc<Self> {
        let path = folder.join(format!("{tenant}.sqlite"));
        let (reader, writer, core) = Default::default();
        Arc::new(Self { path, tenant, key, intents, reader, writer, core })
    }

    /// Opens what is there. `None` when nothing is, or it is not to be trusted: then it is empty
    /// now. `whole` has every row checked; without it only what stands in the core is.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(&self, whole: bool) -> Result<Option<Loaded>, Error> {
        match self.read(whole) {
            Ok(Some(loaded)) => {
                *locked(&self.core) = Some(loaded.core.clone());
                Ok(Some(loaded))
            }
            Ok(None) => {
                self.wipe()?;
                Ok(None)
            }
            Err(error) if !error.is_damage() => Err(error),
            Err(error) => {
                tracing::warn!(%error, tenant = %self.tenant, "the snapshot is thrown away");
                self.wipe()?;
                Ok(None)
            }
        }
    }

    /// Where it stands, without taking it into use; `None` when there is nothing to be trusted.
    ///
    /// # Errors
    /// The file cannot be read, or is not ours.
    pub fn position(&self) -> Result<Option<u64>, Error> {
        Ok(self.read(false)?.map(|loaded| loaded.core.position))
    }

    fn read(&self, whole: bool) -> Result<Option<Loaded>, Error> {
        if !self.path.exists() {
            return Ok(None);
        }
        let mut connection = file::open(&self.path)?;
        // One moment for all rows, whoever writes meanwhile.
        let connection = connection.transaction()?;
        let Some(core) = rows::core(&connection, &self.key)? else { return Ok(None) };
        if core.fold != FOLD {
            tracing::info!(tenant = %self.tenant, "the snapshot is of another version");
            return Ok(None);
        }
        if core.tenant != self.tenant {
            return Err(Error::Foreign("another tenant".to_owned()));
        }
        let (directory, ring) = rows::parts(&connection, &core)?;
        if whole && rows::sums(&connection, &self.key)? != core.sums {
            return Err(Error::Foreign("rows that do not add up".to_owned()));
        }
        Ok(Some(Loaded { core, directory, ring }))
    }

    /// Empties it.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn wipe(&self) -> Result<(), Error> {
        self.rest();
        *locked(&self.core) = None;
        for ending in ["", "-wal", "-shm"] {
            let mut name = self.path.clone().into_os_string();
            name.push(ending);
            match std::fs::remove_file(&name) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::File { path: name.into(), source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Closes what was left open.
    pub fn rest(&self) {
        *locked(&self.reader) = None;
        *locked(&self.writer) = None;
    }

    /// Writes a change as one transaction. Every record up to its head must be committed.
    /// Returns the floor of the intents.
    ///
    /// # Errors
    /// The file cannot be written; it stays as it was.
    pub fn write(&self, change: &Change) -> Result<u64, Error> {
        let before = locked(&self.core).clone();
        let kept = locked(&self.writer).take();
        let mut connection = kept.map_or_else(|| file::open(&self.path), Ok)?;
        let core =
            rows::write(&mut connection, &self.key, &self.tenant, self.intents, before, change)?;
        let floor = core.floor;
        *locked(&self.core) = Some(core);
        if change.capture.intents.len() >= LARGE {
            connection.release_memory()?;
            *locked(&self.writer) = Some(connection);
        }
        Ok(floor)
    }

    fn with_reader<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        if locked(&self.core).is_none() {
            return Ok(None);
        }
        let mut reader = locked(&self.reader);
        if reader.is_none() {
            *reader = Some(file::open_again(&self.path)?);
        }
        reader.as_ref().map(read).transpose()
    }

    /// An entity as it was stored.
    ///
    /// # Errors
    /// The file cannot be read, or the row is not what was written.
    pub fn slot(&self, entity: &str) -> Result<Option<Slot>, Error> {
        Ok(self.with_reader(|c| rows::slot(c, &self.key, entity))?.flatten())
    }

    /// Where an intent was answered, and the floor at that moment: one that was forgotten since
    /// the last flush is below it.
    ///
    /// # Errors
    /// As [`Snapshot::slot`].
    pub fn intent(&self, key: &Fingerprint) -> Result<(Option<Answered>, u64), Error> {
        let said = self.with_reader(|c| {
            let moment = c.unchecked_transaction()?;
            let answered = rows::intent(&moment, &self.key, key)?;
            let floor = match answered {
                Some(_) => 0,
                None => rows::core(&moment, &self.key)?.map_or(0, |core| core.floor),
            };
            Ok((answered, floor))
        });
        Ok(said?.unwrap_or_default())
    }

    /// The newest intents, in order of position.
    ///
    /// # Errors
    /// As [`Snapshot::slot`].
    pub fn newest_intents(&self, most: usize) -> Result<Vec<Row>, Error> {
        Ok(self.with_reader(|c| rows::newest_intents(c, &self.key, most))?.unwrap_or_default())
    }

    /// Deadlines after a moment, about `most`.
    ///
    /// # Errors
    /// As [`Snapshot::slot`].
    pub fn deadlines(&self, after: Time, most: usize) -> Result<Deadlines, Error> {
        Ok(self.with_reader(|c| rows::deadlines(c, &self.key, after, most))?.unwrap_or_default())
    }
}
