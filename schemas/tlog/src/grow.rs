//! A tree that grows by one record at a time and says which pieces have to be stored: full ones as
//! they come to be, and those at the right edge when a checkpoint is due. It holds one unfinished
//! tile a level, whatever the size.

use canonry_record::Hash;

use crate::tile::{Tile, WIDTH, entries_bytes, full_root, hashes_bytes};
use crate::tree::{Frontier, leaf_hash};

/// Something to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Which tile.
    pub tile: Tile,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// The growing tree of a tenant.
#[derive(Debug, Clone, Default)]
pub struct Growing {
    frontier: Frontier,
    /// Record hashes of the unfinished bundle.
    entries: Vec<Hash>,
    /// The unfinished tile of level 0, 1, and so on.
    rows: Vec<Vec<Hash>>,
}

impl Growing {
    /// Leaves so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Adds a record by its hash; answers the pieces that are full now. The tile of level 0 is not
    /// among them: it follows from the bundle of entries.
    pub fn push(&mut self, record: Hash) -> Vec<Piece> {
        let leaf = leaf_hash(&record.0);
        let mut full = Vec::new();
        self.frontier.push(leaf);
        self.entries.push(record);
        let last = self.size() - 1;
        if self.entries.len() == WIDTH {
            let tile = Tile::Entries { index: last / WIDTH as u64 };
            full.push(Piece { tile, bytes: entries_bytes(&self.entries) });
            self.entries.clear();
        }
        let (mut hash, mut at) = (leaf, last);
        for level in 0.. {
            if self.rows.len() == level {
                self.rows.push(Vec::with_capacity(WIDTH));
            }
            let row = &mut self.rows[level];
            row.push(hash);
            at /= WIDTH as u64;
            let Some(root) = full_root(row) else { break };
            if level > 0 {
                let tile = Tile::Hashes { level: level as u8, index: at };
                full.push(Piece { tile, bytes: hashes_bytes(row) });
            }
            row.clear();
            hash = root;
        }
        full
    }

    /// The pieces at the right edge that are not full.
    #[must_use]
    pub fn edge(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut at = self.size() / WIDTH as u64;
        if !self.entries.is_empty() {
            let tile = Tile::Entries { index: at };
            pieces.push(Piece { tile, bytes: entries_bytes(&self.entries) });
        }
        for (level, row) in self.rows.iter().enumerate().skip(1) {
            at /= WIDTH as u64;
            if !row.is_empty() {
                let tile = Tile::Hashes { level: level as u8, index: at };
                pieces.push(Piece { tile, bytes: hashes_bytes(row) });
            }
        }
        pieces
    }
}
