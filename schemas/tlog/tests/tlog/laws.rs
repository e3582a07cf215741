//! Laws over trees of any size, against a tree that is written down as RFC 6962 says it.

use std::collections::BTreeMap;

use canonry_record::Hash;
use canonry_tlog::tile::{Tile, TilePath, WIDTH, entries_bytes, join, read_entries, read_hashes};
use canonry_tlog::tree::{
    check_consistency, check_inclusion, consistency, empty_root, inclusion, leaf_hash, node_hash,
    root_parts,
};
use canonry_tlog::{Growing, Positions};
use proptest::prelude::*;

fn record(n: u64) -> Hash {
    canonry_record::hash::sha256(&n.to_be_bytes())
}

/// The root as the RFC defines it.
fn slow_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        many => {
            let middle = many.len().next_power_of_two() / 2;
            let (left, right) = many.split_at(middle);
            node_hash(&slow_root(left), &slow_root(right))
        }
    }
}

/// A grown tree with the pieces that were stored on the way, as a bucket keeps them: one a tile.
struct Stored {
    tree: Growing,
    tiles: BTreeMap<Tile, Vec<u8>>,
    leaves: Vec<Hash>,
}

impl Stored {
    fn grown(size: u64) -> Self {
        let (tree, tiles) = (Growing::default(), BTreeMap::new());
        let mut stored = Self { tree, tiles, leaves: Vec::new() };
        for n in 0..size {
            stored.leaves.push(leaf_hash(&record(n).0));
            for piece in stored.tree.push(record(n)) {
                stored.tiles.insert(piece.tile, piece.bytes);
            }
        }
        for piece in stored.tree.edge() {
            stored.tiles.insert(piece.tile, piece.bytes);
        }
        stored
    }

    fn tile(&self, tile: Tile) -> Option<Vec<Hash>> {
        match tile {
            Tile::Hashes { level: 0, index } => {
                let entries = read_entries(self.tiles.get(&Tile::Entries { index })?)?;
                Some(entries.iter().map(|record| leaf_hash(&record.0)).collect())
            }
            other => read_hashes(self.tiles.get(&other)?),
        }
    }

    fn hashes(&self, parts: &[Vec<canonry_tlog::Node>]) -> Vec<Hash> {
        parts.iter().map(|part| join(part, |tile| self.tile(tile)).unwrap()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn proofs_from_tiles_hold_and_no_other(size in 1_u64..700, a in any::<u64>(), b in any::<u64>()) {
        let stored = Stored::grown(size);
        let root = slow_root(&stored.leaves);
        prop_assert_eq!(stored.tree.root(), root);
        prop_assert_eq!(join(&root_parts(size), |t| stored.tile(t)), Some(root));

        let index = a % size;
        let proof = stored.hashes(&inclusion(index, size).unwrap());
        let leaf = stored.leaves[index as usize];
        prop_assert_eq!(check_inclusion(leaf, index, size, &proof, root), Ok(()));
        let other = (index + 1) % size;
        if other != index {
            prop_assert!(check_inclusion(leaf, other, size, &proof, root).is_err());
            prop_assert!(check_inclusion(leaf, index, size, &proof[1..], root).is_err());
        }

        let old = 1 + b % size;
        let old_root = slow_root(&stored.leaves[..old as usize]);
        let proof = stored.hashes(&consistency(old, size).unwrap());
        prop_assert_eq!(check_consistency(old, size, &proof, old_root, root), Ok(()));
        let rewritten = node_hash(&old_root, &root);
        prop_assert!(check_consistency(old, size, &proof, rewritten, root).is_err());
        prop_assert!(check_consistency(old, size, &proof, old_root, rewritten).is_err());
    }

    #[test]
    fn the_path_of_a_tile_has_one_text(level in 0_u8..8, index in any::<u64>(), width in 1_usize..=WIDTH) {
        for tile in [Tile::Hashes { level, index }, Tile::Entries { index }] {
            let path = TilePath { tile, width };
            prop_assert_eq!(path.to_string().parse::<TilePath>(), Ok(path));
        }
    }

    #[test]
    fn leaf_and_position_name_each_other(gaps in prop::collection::vec(1_u64..4, 1..60)) {
        let mut positions = Positions::default();
        let mut at = 0;
        for (leaf, gap) in gaps.iter().enumerate() {
            at += gap;
            prop_assert!(positions.push(at));
            prop_assert_eq!(positions.leaf(at), Some(leaf as u64));
            prop_assert_eq!(positions.position(leaf as u64), Some(at));
        }
    }
}

/// Two levels of full tiles and a third begun.
#[test]
fn a_tree_of_three_levels_is_stored_as_the_specification_counts_it() {
    let size = 70_000;
    let stored = Stored::grown(size);
    assert_eq!(stored.tree.root(), slow_root(&stored.leaves));
    let width = |tile| stored.tile(tile).map_or(0, |hashes| hashes.len());
    let hashes = |level, index| Tile::Hashes { level, index };
    let counts =
        [hashes(0, 272), hashes(0, 273), hashes(1, 0), hashes(1, 1), hashes(2, 0)].map(width);
    assert_eq!(counts, [256, 112, 256, 17, 1]);
    for (tile, bytes) in &stored.tiles {
        let each = if matches!(tile, Tile::Entries { .. }) { 34 } else { 32 };
        assert_eq!(bytes.len() / each, tile.width_at(size), "{tile}");
    }
    let proof = stored.hashes(&inclusion(65_600, size).unwrap());
    let (leaf, root) = (stored.leaves[65_600], stored.tree.root());
    assert_eq!(check_inclusion(leaf, 65_600, size, &proof, root), Ok(()));
}

#[test]
fn strangers_are_no_tiles() {
    let index = 1_234_067;
    assert_eq!(Tile::Hashes { level: 0, index }.to_string(), "tile/0/x001/x234/067");
    for bad in [
        "tile/0/1",
        "tile/0/0001",
        "tile/00/000",
        "tile/8/000",
        "tile/0/x000/001",
        "tile/0/001/067",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/012",
        "tile/0/+01",
        "tile/-1/000",
        "entries/000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "",
    ] {
        assert!(bad.parse::<TilePath>().is_err(), "{bad}");
    }
    assert_eq!(read_entries(&entries_bytes(&[record(1)])), Some(vec![record(1)]));
    assert_eq!(read_entries(&[0, 31].repeat(17)), None, "entries of another length");
    assert_eq!(read_hashes(&[0; 33]), None);
    assert_eq!(read_hashes(&[]), None);
}
