//! What one record costs: `cargo bench -p canonry-record`. The whole path is `canonry bench`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

#[path = "../tests/record/forge.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod forge;

use canonry_record::seal::{signature_message, verify_strict};
use canonry_record::verify::Pins;
use canonry_record::{Hash, Line, Verifier, content, record, record_hash};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use forge::{Forge, signer, tenant};

fn main() {
    divan::main();
}

/// A ledger with so many records.
fn ledger(records: usize) -> Forge {
    let mut forge = Forge::founded();
    while forge.lines.len() < records {
        forge.ticket("opened");
    }
    forge
}

#[divan::bench]
fn hash(bencher: Bencher<'_, '_>) {
    let line = ledger(3).lines.pop().unwrap();
    bencher.bench(|| record_hash(black_box(&line.subject), black_box(&line.body)));
}

#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    let line = ledger(3).lines.pop().unwrap();
    bencher.bench(|| record::parse(black_box(&line.body)).unwrap().position);
}

#[divan::bench]
fn sign(bencher: Bencher<'_, '_>) {
    let (hash, by) = (Hash([7; 32]), signer("record"));
    bencher.bench(|| by.sign_hash(black_box(&hash)));
}

#[divan::bench]
fn verify_one_strictly(bencher: Bencher<'_, '_>) {
    let (hash, by) = (Hash([7; 32]), signer("record"));
    let (signature, public) = (by.sign_hash(&hash), by.key.verifying_key());
    let message = signature_message(&hash);
    bencher.bench(|| assert!(verify_strict(&public, black_box(&message), &signature)));
}

#[divan::bench(args = [64, 1_024])]
fn verify_a_chain(bencher: Bencher<'_, '_>, count: usize) {
    let forge = ledger(count);
    let lines: Vec<Line<'_>> = forge.lines.iter().map(|line| line.line()).collect();
    bencher.counter(ItemsCount::new(count)).bench(|| {
        let mut verifier = Verifier::new(tenant(), Pins::default());
        verifier.push_batch(black_box(&lines)).unwrap();
        verifier.position()
    });
}

#[divan::bench(args = [32, 500])]
fn encrypt_content(bencher: Bencher<'_, '_>, bytes: usize) {
    let text = "x".repeat(bytes);
    bencher.bench(|| {
        let key = &[3; 32];
        content::encrypt(key, "1-0", &[9; 24], "acme", "ticket/tkt_1", "/title", black_box(&text))
    });
}
