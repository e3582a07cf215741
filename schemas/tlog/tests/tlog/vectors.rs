//! Published vectors, from the folder that `CANONRY_DATA` names; skipped with a word where it is
//! not set: proofs of RFC 6962, good and bad, and a whole log in tiles.

use std::path::{Path, PathBuf};

use canonry_record::Hash;
use canonry_record::hash::sha256;
use canonry_tlog::tile::{hashes_bytes, read_hashes};
use canonry_tlog::tree::{check_consistency, check_inclusion};
use canonry_tlog::{Checkpoint, Frontier, Note, VerifierKey, leaf_hash};
use serde_json::Value;

/// The public key of the log of the vectors, as its authors publish it beside it.
const LOG: &str = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

fn folder(name: &str) -> Option<PathBuf> {
    let Some(data) = std::env::var_os("CANONRY_DATA") else {
        eprintln!("skipped: CANONRY_DATA is not set, so {name} was not tried");
        return None;
    };
    Some(Path::new(&data).join("vectors").join(name))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    canonry_record::encoding::unbase64_padded(value.as_str()?)
}

fn hash(value: &Value) -> Option<Hash> {
    Some(Hash(bytes(value)?.try_into().ok()?))
}

/// Roots of one vector are words that only have to be equal: their digest, which is the root of no
/// tree, stands for them.
fn root(value: &Value) -> Option<Hash> {
    let bytes = bytes(value)?;
    let digest = sha256(&bytes);
    Some(bytes.try_into().map_or(digest, Hash))
}

fn proof(value: &Value) -> Option<Vec<Hash>> {
    value.as_array().map_or(Some(Vec::new()), |list| list.iter().map(hash).collect())
}

type Holds = fn(&Value) -> Option<bool>;

fn inclusion_holds(case: &Value) -> Option<bool> {
    let (index, size) = (case["leafIdx"].as_u64()?, case["treeSize"].as_u64()?);
    let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
    Some(check_inclusion(leaf, index, size, &proof(&case["proof"])?, root).is_ok())
}

fn consistency_holds(case: &Value) -> Option<bool> {
    let (old, new) = (case["size1"].as_u64()?, case["size2"].as_u64()?);
    let (one, two) = (root(&case["root1"])?, root(&case["root2"])?);
    Some(check_consistency(old, new, &proof(&case["proof"])?, one, two).is_ok())
}

#[test]
fn every_published_proof_is_decided_as_published() {
    let Some(dir) = folder("merkle") else { return };
    let mut counts = [0; 2];
    for (kind, holds) in
        [("inclusion", inclusion_holds as Holds), ("consistency", consistency_holds)]
    {
        for file in files(&dir.join(kind)) {
            let case: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let wanted = !case["wantErr"].as_bool().unwrap();
            assert_eq!(holds(&case).unwrap_or(false), wanted, "{}", file.display());
            counts[usize::from(wanted)] += 1;
        }
    }
    assert_eq!(counts, [184, 12], "bad and good");
}

/// Entries of a bundle, each after its length in two bytes.
fn entries(mut bundle: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        found.push(entry);
        bundle = rest;
    }
    found
}

#[test]
fn a_published_log_is_rebuilt_from_its_entries_and_tiles() {
    let Some(dir) = folder("tlog-tiles") else { return };
    let dir = dir.join("log");
    let key: VerifierKey = LOG.parse().unwrap();
    assert_eq!(key.to_string(), LOG);
    let bundle = std::fs::read(dir.join("tile/entries/000.p/15")).unwrap();
    let leaves: Vec<Hash> = entries(&bundle).into_iter().map(leaf_hash).collect();
    assert_eq!(leaves.len(), 15);
    let mut tree = Frontier::default();
    for size in 0..=15_usize {
        let text = std::fs::read_to_string(dir.join(format!("checkpoint.{size}"))).unwrap();
        let note: Note = text.parse().unwrap();
        assert_eq!(note.to_string(), text);
        assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap().len(), 1);
        let at = Checkpoint::of(&note).unwrap();
        assert_eq!((at.origin.as_str(), at.size), (key.name(), size as u64));
        assert_eq!(at.root, tree.root(), "size {size}");
        if size > 0 {
            let tile = std::fs::read(dir.join(format!("tile/0/000.p/{size}"))).unwrap();
            assert_eq!(tile, hashes_bytes(&leaves[..size]));
            assert_eq!(read_hashes(&tile).unwrap(), &leaves[..size]);
        }
        if let Some(next) = leaves.get(size) {
            tree.push(*next);
        }
    }
    let forged =
        std::fs::read_to_string(dir.join("checkpoint.15")).unwrap().replace("\n15\n", "\n14\n");
    assert!(forged.parse::<Note>().unwrap().verify(&[key]).is_err());
    assert_ne!(sha256(&bundle), tree.root());
}
