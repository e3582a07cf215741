//! What the Merkle log costs beside the chain: `cargo bench -p canonry-tlog`.

use canonry_record::Hash;
use canonry_tlog::Growing;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

fn leaf(n: u64) -> Hash {
    canonry_record::hash::sha256(&n.to_le_bytes())
}

#[divan::bench(args = [1_000, 100_000])]
fn grow(bencher: Bencher<'_, '_>, leaves: u64) {
    let all: Vec<Hash> = (0..leaves).map(leaf).collect();
    bencher.counter(ItemsCount::new(leaves)).bench(|| {
        let mut tree = Growing::default();
        let mut pieces = 0;
        for hash in black_box(&all) {
            pieces += tree.push(*hash).len();
        }
        (tree.root(), pieces)
    });
}

#[divan::bench(args = [1_000, 1_000_000])]
fn root(bencher: Bencher<'_, '_>, leaves: u64) {
    let mut tree = Growing::default();
    for n in 0..leaves {
        drop(tree.push(leaf(n)));
    }
    bencher.bench(|| black_box(&tree).root());
}
