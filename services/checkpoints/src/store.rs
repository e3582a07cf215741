//! What is stored of a tenant's log: one message a key in `TLOG_<tenant>`. Tiles are stored once,
//! without a width, because a narrower tile is the beginning of a wider one; the tile of level 0 is
//! not stored at all, because it follows from the bundle of entries. Nothing read here is trusted:
//! a proof is checked against a signed root by whoever gets it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use canonry_nats::{Bytes, Cas, Connection, Kv};
use canonry_record::Hash;
use canonry_schemas::ids::TenantId;
use canonry_schemas::subject::{tlog_prefix, tlog_stream};
use canonry_tlog::tile::{entries_bytes, hashes_bytes, join, read_entries, read_hashes};
use canonry_tlog::tree::{Part, ProofError, consistency, inclusion};
use canonry_tlog::{Checkpoint, Note, Piece, Positions, Tile, TilePath, leaf_hash};
use serde::{Deserialize, Serialize};

/// The key of the newest checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// The key of the newest checkpoint that a witness cosigned.
pub const COSIGNED: &str = "cosigned";
/// The key of the positions of leaves.
pub const POSITIONS: &str = "positions";
/// The key of what is wrong.
pub const ALARM: &str = "alarm";

/// Why something stored cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store does not answer.
    #[error("the store of checkpoints does not answer")]
    Nats(#[from] canonry_nats::Error),
    /// What is stored does not read.
    #[error("what is stored under {0} does not read")]
    Malformed(String),
    /// A tile is not there, or holds less than a checkpoint said.
    #[error("{0} is not stored as far as it should be")]
    Missing(Tile),
    /// No checkpoint was signed yet, or none that goes so far.
    #[error("no checkpoint covers this yet")]
    NotCovered,
    /// There is no record at this position.
    #[error("there is no record at position {0}")]
    NoRecord(u64),
    /// The sizes do not fit each other.
    #[error(transparent)]
    Sizes(#[from] ProofError),
}

/// What a checkpointer found wrong and tells until it is right again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// The stable code: `ledger-truncated`, `ledger-forked`, `ledger-broken`, `checkpoint-foreign`
    /// or `witness-refuses`.
    pub code: String,
    /// Where.
    pub position: u64,
    /// In words.
    pub why: String,
}

/// Tiles that were read, with their hashes.
type Tiles = BTreeMap<Tile, Vec<Hash>>;

/// Tiles that are kept between two proofs, at most: 8 KiB each.
const TILES_KEPT: usize = 1_024;

/// Proves leaves of one tree. What was read for one leaf is kept for those after it.
#[derive(Debug)]
pub struct Prover {
    store: Store,
    size: u64,
    tiles: Tiles,
}

impl Prover {
    /// That a leaf is in the tree.
    ///
    /// # Errors
    /// There is no such leaf, or as [`Store::note`].
    pub async fn leaf(&mut self, leaf: u64) -> Result<Vec<Hash>, StoreError> {
        if self.tiles.len() > TILES_KEPT {
            self.tiles.clear();
        }
        self.store.proof(&inclusion(leaf, self.size)?, &mut self.tiles).await
    }
}

/// Reads and writes what is stored of one log; writing takes the checkpointer's user.
#[derive(Debug, Clone)]
pub struct Store {
    kv: Kv,
}

impl Store {
    /// Opens a tenant's log.
    ///
    /// # Errors
    /// The tenant's name is no part of a subject, which cannot be.
    pub fn open(connection: Connection, tenant: &TenantId) -> Result<Self, StoreError> {
        let kv = Kv::over(connection, &tlog_stream(tenant), &tlog_prefix(tenant))?;
        Ok(Self { kv })
    }

    pub(crate) const fn kv(&self) -> &Kv {
        &self.kv
    }

    async fn value(&self, key: &str) -> Result<Option<(Bytes, u64)>, StoreError> {
        let entry = self.kv.get(key).await?.filter(|entry| !entry.deleted);
        Ok(entry.map(|entry| (entry.value, entry.revision)))
    }

    /// A stored note and its revision, [`CHECKPOINT`] or [`COSIGNED`].
    ///
    /// # Errors
    /// The store does not answer, or holds no note there.
    pub async fn note(&self, key: &str) -> Result<Option<(Note, u64)>, StoreError> {
        let Some((value, revision)) = self.value(key).await? else { return Ok(None) };
        let malformed = || StoreError::Malformed(key.to_owned());
        let text = std::str::from_utf8(&value).map_err(|_| malformed())?;
        Ok(Some((text.parse().map_err(|_| malformed())?, revision)))
    }

    async fn json<T: for<'de> Deserialize<'de>>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let Some((value, _)) = self.value(key).await? else { return Ok(None) };
        let read = serde_json::from_slice(&value);
        read.map(Some).map_err(|_| StoreError::Malformed(key.to_owned()))
    }

    /// Which leaf each position is.
    ///
    /// # Errors
    /// As [`Self::note`].
    pub async fn positions(&self) -> Result<Positions, StoreError> {
        Ok(self.json(POSITIONS).await?.unwrap_or_default())
    }

    /// What is wrong, if anything.
    ///
    /// # Errors
    /// As [`Self::note`].
    pub async fn alarm(&self) -> Result<Option<Alarm>, StoreError> {
        self.json(ALARM).await
    }

    /// The bytes of a tile as wide as is asked; `None` where it does not go so far.
    ///
    /// # Errors
    /// As [`Self::note`].
    pub async fn tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, StoreError> {
        if let Tile::Entries { index } = path.tile {
            let entries = self.entries(index).await?;
            return Ok(entries.get(..path.width).map(entries_bytes));
        }
        let hashes = self.hashes_of(path.tile).await?;
        Ok(hashes.get(..path.width).map(hashes_bytes))
    }

    async fn entries(&self, index: u64) -> Result<Vec<Hash>, StoreError> {
        let key = Tile::Entries { index }.to_string();
        let Some((value, _)) = self.value(&key).await? else { return Ok(Vec::new()) };
        read_entries(&value).ok_or(StoreError::Malformed(key))
    }

    async fn hashes_of(&self, tile: Tile) -> Result<Vec<Hash>, StoreError> {
        if let Tile::Hashes { level: 0, index } = tile {
            let entries = self.entries(index).await?;
            return Ok(entries.iter().map(|record| leaf_hash(&record.0)).collect());
        }
        let key = tile.to_string();
        let Some((value, _)) = self.value(&key).await? else { return Ok(Vec::new()) };
        read_hashes(&value).ok_or(StoreError::Malformed(key))
    }

    /// The hashes of a proof, from the tiles that it needs.
    async fn proof(&self, parts: &[Part], tiles: &mut Tiles) -> Result<Vec<Hash>, StoreError> {
        for node in parts.iter().flatten() {
            let (tile, first, count) = node.place();
            let hashes = match tiles.entry(tile) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(due) => due.insert(self.hashes_of(tile).await?),
            };
            if hashes.len() < first + count {
                return Err(StoreError::Missing(tile));
            }
        }
        let one = |part: &Part| join(part, |tile| tiles.get(&tile).cloned());
        parts.iter().map(|part| one(part).ok_or(StoreError::NotCovered)).collect()
    }

    /// That the record at a position is in the tree of `size`: its leaf and the proof.
    ///
    /// # Errors
    /// There is no such record, the tree does not go so far, or as [`Self::note`].
    pub async fn inclusion(
        &self,
        position: u64,
        size: u64,
    ) -> Result<(u64, Vec<Hash>), StoreError> {
        let positions = self.positions().await?;
        let Some(leaf) = positions.leaf(position) else {
            let last = positions.size().checked_sub(1).and_then(|leaf| positions.position(leaf));
            let beyond = last.is_none_or(|last| position > last);
            return Err(if beyond {
                StoreError::NotCovered
            } else {
                StoreError::NoRecord(position)
            });
        };
        if leaf >= size {
            return Err(StoreError::NotCovered);
        }
        Ok((leaf, self.proof(&inclusion(leaf, size)?, &mut Tiles::new()).await?))
    }

    /// That the tree of `old` begins the one of `new`.
    ///
    /// # Errors
    /// The sizes do not fit, the tree does not go so far, or as [`Self::note`].
    pub async fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, StoreError> {
        self.proof(&consistency(old, new)?, &mut Tiles::new()).await
    }

    /// Proofs of many leaves of the tree of one size.
    #[must_use]
    pub fn prover(&self, size: u64) -> Prover {
        Prover { store: self.clone(), size, tiles: Tiles::new() }
    }

    /// The newest checkpoint that covers a size, a cosigned one if there is one.
    ///
    /// # Errors
    /// None does, or as [`Self::note`].
    pub async fn covering(&self, size: u64) -> Result<(Note, Checkpoint), StoreError> {
        for key in [COSIGNED, CHECKPOINT] {
            if let Some((note, _)) = self.note(key).await? {
                let at =
                    Checkpoint::of(&note).map_err(|_| StoreError::Malformed(key.to_owned()))?;
                if at.size >= size && at.size > 0 {
                    return Ok((note, at));
                }
            }
        }
        Err(StoreError::NotCovered)
    }

    /// Stores a piece of the tree. What is there already and goes further is kept: another
    /// checkpointer may be ahead. False where something else is there: it is replaced, and that is
    /// worth a word.
    pub(crate) async fn put_piece(&self, piece: &Piece) -> Result<bool, StoreError> {
        let key = piece.tile.to_string();
        loop {
            let entry = self.kv.get(&key).await?;
            let revision = entry.as_ref().map_or(0, |entry| entry.revision);
            let stored = entry.map(|entry| entry.value).unwrap_or_default();
            if stored.starts_with(&piece.bytes) {
                return Ok(true);
            }
            let grows = piece.bytes.starts_with(&stored);
            let value = Bytes::from(piece.bytes.clone());
            if let Cas::Won(_) = self.kv.update(&key, value, revision).await? {
                return Ok(grows);
            }
        }
    }

    pub(crate) async fn put_json(
        &self,
        key: &str,
        value: &impl Serialize,
    ) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(value).map_err(|_| StoreError::Malformed(key.to_owned()))?;
        self.kv.put(key, Bytes::from(bytes)).await?;
        Ok(())
    }
}
