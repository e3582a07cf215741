//! Tiles (C2SP tlog-tiles): how a tree lies in storage and on the wire, 256 hashes a tile.
//! A narrower tile is the beginning of the wider one, so one key per tile is enough.

use std::fmt;
use std::str::FromStr;

use canonry_record::Hash;

use crate::tree::{Node, fold, node_hash};

/// Hashes of a full tile.
pub const WIDTH: usize = 256;
/// Levels of the tree that one tile spans.
const HEIGHT: u8 = 8;
/// The highest tile level of a tree of 2^64 leaves.
const LEVEL_MAX: u8 = 7;
/// Bytes of an entry: its length and the 32 bytes of a record's hash.
const ENTRY: usize = 34;

/// Which tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tile {
    /// Hashes of the tree; the first level's are those of the leaves.
    Hashes {
        /// 0 for leaves, one more for every eight levels of the tree.
        level: u8,
        /// Which one at this level.
        index: u64,
    },
    /// The leaves themselves, beside the tile of level 0 with this index.
    Entries {
        /// Which bundle.
        index: u64,
    },
}

impl Tile {
    /// Its index.
    #[must_use]
    pub const fn index(&self) -> u64 {
        match self {
            Self::Hashes { index, .. } | Self::Entries { index } => *index,
        }
    }

    /// Hashes or entries that it holds in a tree of this size.
    #[must_use]
    pub fn width_at(&self, size: u64) -> usize {
        let level = match self {
            Self::Hashes { level, .. } => *level,
            Self::Entries { .. } => 0,
        };
        let at_level = size.checked_shr(u32::from(level * HEIGHT)).unwrap_or(0);
        let first = self.index().saturating_mul(WIDTH as u64);
        at_level.saturating_sub(first).min(WIDTH as u64) as usize
    }
}

impl fmt::Display for Tile {
    /// Without a width, as it is stored: `tile/0/x001/067`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashes { level, .. } => write!(f, "tile/{level}/")?,
            Self::Entries { .. } => f.write_str("tile/entries/")?,
        }
        let mut groups = vec![self.index() % 1_000];
        let mut rest = self.index() / 1_000;
        while rest > 0 {
            groups.push(rest % 1_000);
            rest /= 1_000;
        }
        while groups.len() > 1 {
            write!(f, "x{:03}/", groups.pop().unwrap_or_default())?;
        }
        write!(f, "{:03}", groups[0])
    }
}

/// A tile as it is asked for: full, or of a width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilePath {
    /// Which.
    pub tile: Tile,
    /// 1 to 256.
    pub width: usize,
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.width {
            WIDTH => write!(f, "{}", self.tile),
            width => write!(f, "{}.p/{width}", self.tile),
        }
    }
}

/// The text is no path of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a tile, such as tile/0/x001/067 or tile/0/000.p/12")]
pub struct NotATile;

impl FromStr for TilePath {
    type Err = NotATile;

    fn from_str(text: &str) -> Result<Self, NotATile> {
        let read = || {
            let rest = text.strip_prefix("tile/")?;
            let (level, rest) = rest.split_once('/')?;
            let (path, width) = match rest.split_once(".p/") {
                Some((path, width)) => (path, width.parse().ok().filter(|w| *w < WIDTH)?),
                None => (rest, WIDTH),
            };
            let mut index: u64 = 0;
            for group in path.split('/') {
                let digits = group.strip_prefix('x').unwrap_or(group);
                let digits: u64 = digits.parse().ok()?;
                index = index.checked_mul(1_000)?.checked_add(digits)?;
            }
            let tile = match level {
                "entries" => Tile::Entries { index },
                level => {
                    let level = level.parse().ok().filter(|l| *l <= LEVEL_MAX)?;
                    Tile::Hashes { level, index }
                }
            };
            // One tile has one path: leading zeroes, signs and stray marks print otherwise.
            let path = Self { tile, width };
            (width > 0 && path.to_string() == text).then_some(path)
        };
        read().ok_or(NotATile)
    }
}

impl Node {
    /// The tile that holds this node's hash or what it is made of, and where in it: the first hash
    /// and how many.
    #[must_use]
    pub const fn place(&self) -> (Tile, usize, usize) {
        let (level, rest) = (self.level / HEIGHT, self.level % HEIGHT);
        let first = self.index << rest;
        let index = first / WIDTH as u64;
        (Tile::Hashes { level, index }, (first % WIDTH as u64) as usize, 1 << rest)
    }

    /// The node's hash, out of the hashes of its tile.
    #[must_use]
    pub fn hash_in(&self, tile: &[Hash]) -> Option<Hash> {
        let (_, first, count) = self.place();
        perfect(tile.get(first..first + count)?)
    }
}

/// The root of a perfect subtree over these hashes.
fn perfect(hashes: &[Hash]) -> Option<Hash> {
    match hashes {
        [] => None,
        [one] => Some(*one),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            Some(node_hash(&perfect(left)?, &perfect(right)?))
        }
    }
}

/// The hash of a full tile in the level above.
#[must_use]
pub fn full_root(tile: &[Hash]) -> Option<Hash> {
    (tile.len() == WIDTH).then(|| perfect(tile)).flatten()
}

/// The hashes of a part of a proof joined; `None` where a tile is missing or too narrow.
pub fn join(part: &[Node], mut tile: impl FnMut(Tile) -> Option<Vec<Hash>>) -> Option<Hash> {
    let hashes: Option<Vec<Hash>> =
        part.iter().map(|node| node.hash_in(&tile(node.place().0)?)).collect();
    fold(&hashes?)
}

/// The bytes of a tile of hashes.
#[must_use]
pub fn hashes_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads a tile of hashes; `None` where it is not of 1 to 256 of them.
#[must_use]
pub fn read_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (chunks, rest) = bytes.as_chunks::<32>();
    let fits = rest.is_empty() && (1..=WIDTH).contains(&chunks.len());
    fits.then(|| chunks.iter().map(|chunk| Hash(*chunk)).collect())
}

/// The bytes of a bundle of entries, each the 32 bytes of a record's hash.
#[must_use]
pub fn entries_bytes(records: &[Hash]) -> Vec<u8> {
    records.iter().flat_map(|hash| [0, 32].into_iter().chain(hash.0)).collect()
}

/// Reads a bundle of entries of ours; `None` where an entry is not a hash, or there are too many.
#[must_use]
pub fn read_entries(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (chunks, rest) = bytes.as_chunks::<ENTRY>();
    let fits = rest.is_empty() && (1..=WIDTH).contains(&chunks.len());
    let read = |chunk: &[u8; ENTRY]| {
        let (length, hash) = chunk.split_first_chunk::<2>()?;
        (*length == [0, 32]).then_some(Hash(hash.try_into().ok()?))
    };
    fits.then(|| chunks.iter().map(read).collect()).flatten()
}
