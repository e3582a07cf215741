//! Bundles of the story: what they show, and what shows when they were touched. The table of
//! tampering is in `tests/verifier/tamper_bundle.py`.

use std::path::Path;
use std::sync::LazyLock;

use canonry_bundle::archive::header;
use canonry_bundle::manifest::{KEYS, Listed, Manifest, RECORDS, proof_name};
use canonry_bundle::{Checked, Pins, Refused, verify};
use canonry_record::Hash;
use canonry_schemas::limits::{BUNDLE_ENTRIES, BUNDLE_MANIFEST_BYTES, BUNDLE_TEXT_BYTES};
use proptest::prelude::*;

use crate::story::{RUN, SIZE, TICKET, bytes, contents, hash_of, ledger, witness};

fn check(bytes: &[u8], pins: &Pins) -> Result<Checked, (&'static str, Option<u64>)> {
    verify(bytes, pins, 1, |_| ()).map_err(|refused| match refused {
        Refused::Broken(broken) => (broken.code, broken.position),
        Refused::Io(error) => panic!("{error}"),
    })
}

#[test]
fn the_bundle_of_the_verifier_in_python() {
    let forge = ledger();
    let now = bytes(&forge, &contents(&forge, TICKET), true);
    assert_eq!(now, bytes(&forge, &contents(&forge, TICKET), true), "the same bytes again");
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/verifier/fixtures/bundle.tar");
    if std::env::var_os("CANONRY_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == now, "it differs from what is written today");
}

#[test]
fn a_bundle_shows_the_ticket_with_its_run() {
    let forge = ledger();
    let identity = hash_of(&forge.lines[0]);
    let pins = Pins { tenant: Some(identity), witnesses: vec![witness()] };
    for whole in [false, true] {
        let shown = check(&bytes(&forge, &contents(&forge, TICKET), whole), &pins).unwrap();
        assert_eq!((shown.about.as_str(), shown.identity, shown.pinned), (TICKET, identity, true));
        assert_eq!((shown.records, shown.keys, shown.approvals), (8, 4, 1));
        assert_eq!((shown.at.size, shown.upto, shown.complete), (SIZE, SIZE, whole));
        assert_eq!(shown.witnesses, [("witness.example/w1".to_owned(), 1_769_860_801)]);
        assert!(shown.repairs.is_empty());
    }
    let run = check(&bytes(&forge, &contents(&forge, RUN), true), &Pins::default()).unwrap();
    assert_eq!((run.records, run.approvals, run.pinned), (3, 0, false));
}

#[test]
fn only_the_whole_ledger_shows_what_was_left_out() {
    let forge = ledger();
    let pins = Pins::default();
    for (position, code) in [(12, "records-missing"), (14, "keys-missing")] {
        let mut contents = contents(&forge, TICKET);
        contents.records.remove(&position);
        contents.keys.remove(&position);
        contents.proofs.remove(&position);
        let shown = check(&bytes(&forge, &contents, false), &pins).unwrap();
        assert!(!shown.complete, "what is left out cannot be seen");
        let seen = check(&bytes(&forge, &contents, true), &pins);
        assert_eq!(seen.unwrap_err(), (code, Some(position)));
    }
}

#[test]
fn a_change_of_keys_in_the_middle_cannot_be_left_out() {
    let forge = ledger();
    for position in [4, 8] {
        let mut contents = contents(&forge, TICKET);
        contents.keys.remove(&position);
        contents.proofs.remove(&position);
        let (code, _) = check(&bytes(&forge, &contents, false), &Pins::default()).unwrap_err();
        assert!(["keys-moved", "signer-unknown"].contains(&code), "{position}: {code}");
    }
}

#[test]
fn a_bundle_that_was_cut_anywhere_is_refused() {
    let forge = ledger();
    let whole = bytes(&forge, &contents(&forge, RUN), false);
    for end in (0..whole.len()).step_by(61).chain(whole.len() - 1_030..whole.len()) {
        assert_eq!(check(&whole[..end], &Pins::default()).unwrap_err().0, "archive-truncated");
    }
}

/// The manifest of the bundle about the ticket.
fn manifest() -> Manifest {
    let bytes: usize =
        usize::from_str_radix(std::str::from_utf8(&BUNDLE[124..135]).unwrap(), 8).unwrap();
    Manifest::parse(&BUNDLE[512..512 + bytes]).unwrap()
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let refused = |bytes: &[u8]| check(bytes, &Pins::default()).unwrap_err().0;
    let header = |name: &str, bytes: u64| header(name, bytes).unwrap().to_vec();
    let large = header("manifest.json", BUNDLE_MANIFEST_BYTES + 1);
    assert_eq!(refused(&large), "entry-too-large");
    assert_eq!(refused(&header("manifest.json", BUNDLE_MANIFEST_BYTES)), "archive-truncated");

    // Only headers stand there: whoever began to read the body would find the end.
    for (name, bytes) in [(KEYS, BUNDLE_TEXT_BYTES + 1), (RECORDS, BUNDLE_TEXT_BYTES + 1)] {
        let mut manifest = manifest();
        manifest.files.retain(|file| file.name == "checkpoint");
        let checkpoint = manifest.files[0].clone();
        let from =
            BUNDLE.windows(512).position(|part| part == header("checkpoint", checkpoint.bytes));
        let from = from.unwrap();
        for other in [KEYS, RECORDS] {
            let bytes = if other == name { bytes } else { 0 };
            let sha256 = canonry_record::hash::sha256(b"");
            manifest.files.push(Listed { name: other.to_owned(), bytes, sha256 });
        }
        let text = manifest.to_bytes();
        let padded = |bytes: &[u8]| [bytes, &vec![0; (512 - bytes.len() % 512) % 512]].concat();
        let mut bundle = [header("manifest.json", text.len() as u64), padded(&text)].concat();
        bundle.extend(&BUNDLE[from..from + 512 + checkpoint.bytes.next_multiple_of(512) as usize]);
        if name == RECORDS {
            bundle.extend(header(KEYS, 0));
        }
        bundle.extend(header(name, bytes));
        assert_eq!(refused(&bundle), "entry-too-large", "{name}");
    }
}

#[test]
fn a_manifest_lists_so_many_files_and_no_more() {
    let mut manifest = manifest();
    let listed = |n: u64| Listed { name: proof_name(n), bytes: 0, sha256: Hash([0; 32]) };
    let own = manifest.files.len() as u64;
    manifest.files.extend((1_000..1_000 + BUNDLE_ENTRIES as u64 - own - 1).map(listed));
    manifest.files.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(manifest.files.len() + 1, BUNDLE_ENTRIES, "the manifest itself is one");
    assert!(Manifest::parse(&manifest.to_bytes()).is_some());
    manifest.files.push(Listed { name: "z".into(), ..listed(0) });
    assert!(Manifest::parse(&manifest.to_bytes()).is_none());
}

/// The bundle about the ticket, with the whole ledger.
static BUNDLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let forge = ledger();
    bytes(&forge, &contents(&forge, TICKET), true)
});

proptest! {
    #[test]
    fn no_byte_can_be_changed(at in any::<prop::sample::Index>(), by in 1..=255_u8) {
        let mut bundle = BUNDLE.clone();
        let at = at.index(bundle.len());
        bundle[at] ^= by;
        prop_assert!(check(&bundle, &Pins::default()).is_err(), "byte {} of {}", at, bundle.len());
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..4_096)) {
        prop_assert!(check(&noise, &Pins::default()).is_err());
    }
}
