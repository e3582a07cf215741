//! The Merkle tree of RFC 6962: hashes, roots, and proofs made and checked. A tree is never held
//! whole: a [`Frontier`] keeps one hash per level, and a proof is a list of the [`Node`]s that
//! whoever has the tiles looks up.

use canonry_record::Hash;
use sha2::{Digest, Sha256};

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Sizes or index make no sense together.
    #[error("the sizes do not fit each other")]
    Sizes,
    /// Too few or too many hashes.
    #[error("the proof has a wrong number of hashes")]
    Length,
    /// The hashes lead elsewhere.
    #[error("the proof leads to another root")]
    Root,
}

/// SHA-256(0x00 data).
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    let mut state = Sha256::new();
    state.update([0]);
    state.update(data);
    Hash(state.finalize().into())
}

/// SHA-256(0x01 left right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut state = Sha256::new();
    state.update([1]);
    state.update(left.0);
    state.update(right.0);
    Hash(state.finalize().into())
}

/// The root of the tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    canonry_record::hash::sha256(&[])
}

/// Subtrees from the left joined into one hash, the last two first; `None` for no subtree.
#[must_use]
pub fn fold(peaks: &[Hash]) -> Option<Hash> {
    let (last, before) = peaks.split_last()?;
    Some(before.iter().rev().fold(*last, |right, left| node_hash(left, &right)))
}

/// The right edge of a growing tree: enough for its root, and for the next leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of the perfect subtrees, the largest first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Leaves so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds the hash of a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let (mut hash, mut size) = (leaf, self.size);
        while size & 1 == 1
            && let Some(left) = self.peaks.pop()
        {
            hash = node_hash(&left, &hash);
            size >>= 1;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.peaks).unwrap_or_else(empty_root)
    }
}

/// A perfect subtree: leaves `index << level` up to `(index + 1) << level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its height.
    pub level: u8,
    /// Which one at that height.
    pub index: u64,
}

/// One hash of a proof: the nodes that [`fold`] to it.
pub type Part = Vec<Node>;

/// The perfect subtrees of leaves `start..end`, where `start` lies on a boundary of that size.
fn nodes(mut start: u64, end: u64) -> Part {
    let mut found = Vec::new();
    while start < end {
        let level = (end - start).ilog2();
        found.push(Node { level: level as u8, index: start >> level });
        start += 1 << level;
    }
    found
}

/// The perfect subtrees whose [`fold`] is the root of a tree of this size.
#[must_use]
pub fn root_parts(size: u64) -> Part {
    nodes(0, size)
}

/// The greatest power of two below `n`, which is at least 2.
const fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// What proves that leaf `index` is in the tree of `size` leaves.
///
/// # Errors
/// There is no such leaf.
pub fn inclusion(index: u64, size: u64) -> Result<Vec<Part>, ProofError> {
    if index >= size {
        return Err(ProofError::Sizes);
    }
    let (mut start, mut end, mut parts) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            parts.push(nodes(middle, end));
            end = middle;
        } else {
            parts.push(nodes(start, middle));
            start = middle;
        }
    }
    parts.reverse();
    Ok(parts)
}

/// What proves that the tree of `old` leaves begins the one of `new`. Empty where they are equal.
///
/// # Errors
/// `old` is zero or greater than `new`.
pub fn consistency(old: u64, new: u64) -> Result<Vec<Part>, ProofError> {
    if old == 0 || old > new {
        return Err(ProofError::Sizes);
    }
    let (mut start, mut end, mut parts) = (0, new, Vec::new());
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            parts.push(nodes(middle, end));
            end = middle;
        } else {
            parts.push(nodes(start, middle));
            start = middle;
        }
    }
    // The whole old tree is known to whoever checks.
    if start > 0 {
        parts.push(nodes(start, end));
    }
    parts.reverse();
    Ok(parts)
}

/// Checks that a leaf with this hash stands at `index` in the tree (RFC 9162, 2.1.3.2).
///
/// # Errors
/// It does not follow from the proof.
pub fn check_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Sizes);
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for step in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(step, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    match (last == 0, hash == root) {
        (false, _) => Err(ProofError::Length),
        (true, false) => Err(ProofError::Root),
        (true, true) => Ok(()),
    }
}

/// Checks that the tree of `old` leaves begins the tree of `new` leaves (RFC 9162, 2.1.4.2).
///
/// # Errors
/// It does not follow from the proof. An empty old tree proves nothing and is refused.
pub fn check_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: Hash,
    new_root: Hash,
) -> Result<(), ProofError> {
    if old > new || old == 0 {
        return Err(ProofError::Sizes);
    }
    if old == new {
        return match (proof.is_empty(), old_root == new_root) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    // A perfect old tree is its own first hash.
    let own = old.is_power_of_two().then_some(&old_root);
    let mut path = own.into_iter().chain(proof);
    let first = *path.next().ok_or(ProofError::Length)?;
    if proof.is_empty() {
        return Err(ProofError::Length);
    }
    let shift = (old - 1).trailing_ones();
    let (mut at, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut of_old, mut of_new) = (first, first);
    for step in path {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            of_old = node_hash(step, &of_old);
            of_new = node_hash(step, &of_new);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            of_new = node_hash(&of_new, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    match (last == 0, of_old == old_root && of_new == new_root) {
        (false, _) => Err(ProofError::Length),
        (true, false) => Err(ProofError::Root),
        (true, true) => Ok(()),
    }
}
