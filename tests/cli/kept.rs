//! Evidence in backups: sealed bytes that come back as they were, and content that was erased, which
//! does not, also where the copy of keys is older than the erasure.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{Ran, Up, canonry, ran};

/// More than one chunk, and more than one part of 16 MiB.
const LARGE: usize = 17 * 1024 * 1024 + 5;

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    serde_json::from_str(ran.out.trim()).unwrap()
}

fn ticket(up: &Up, title: &str) -> String {
    let body = format!(r#"{{"title":"{title}"}}"#);
    let opened = json(&up.run(&["--json", "submit", "ticket", "open", &body]));
    opened["entity"].as_str().unwrap().split_once('/').unwrap().1.to_owned()
}

/// Attaches; the position.
fn add(up: &Up, ticket: &str, file: &str) -> String {
    let added = json(&up.run(&["--json", "evidence", "add", ticket, file]));
    added["position"].as_str().unwrap().to_owned()
}

fn get(up: &Up, at: &str, out: &str) -> Ran {
    up.run(&["evidence", "get", at, "--out", out])
}

/// The files of evidence in a place.
fn parts(place: &Path) -> Vec<PathBuf> {
    let folder = fs::read_dir(place.join("acme/evidence")).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_none_or(|e| e != "json"));
    files.sort();
    files
}

/// Numbers that repeat nowhere near.
fn bytes(count: usize) -> Vec<u8> {
    let mut at = 7_u64;
    let mut next = || {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        at.to_be_bytes()
    };
    let mut all = Vec::with_capacity(count + 8);
    while all.len() < count {
        all.extend_from_slice(&next()[..4]);
    }
    all.truncate(count);
    all
}

#[test]
fn evidence_comes_back_and_what_was_erased_does_not() {
    let up = Up::start(&["up"]);
    let folder = up.folder.path().to_owned();
    let large = bytes(LARGE);
    fs::write(folder.join("large"), &large).unwrap();
    fs::write(folder.join("small"), "CANARY7Q2XV9KQZJ").unwrap();
    let (kept, erased) = (ticket(&up, "kept"), ticket(&up, "erased"));
    let (large_at, small_at) = (add(&up, &kept, "large"), add(&up, &kept, "small"));
    let gone_at = add(&up, &erased, "small");
    let identity = up.identity().to_owned();
    let place = folder.join("place");
    let url = format!("file://{}", place.display());
    let now = ["--json", "backup", "now", "--to", &url, "--tenant", &identity];
    let made = json(&up.run(&now));
    assert_eq!(made["evidence"].as_array().unwrap().len(), 3, "{made}");
    // The large one lies in two parts.
    assert_eq!(parts(&place).len(), 4);
    let again = json(&up.run(&now));
    assert_eq!(again["evidence"].as_array().unwrap().len(), 0, "nothing is copied twice");

    // The worst case: the records of the erasure were copied, its key was not taken out.
    let keys = place.join("acme/content-keys.json");
    let before = fs::read(&keys).unwrap();
    json(&up.run(&["--json", "content", "erase", &format!("ticket/{erased}")]));
    json(&up.run(&["--json", "copy", "--once", "--to", &url]));
    assert!(fs::read(&keys).unwrap() != before, "the copy takes the keys anew after an erasure");
    fs::write(&keys, &before).unwrap();

    let folder = up.left();
    let home = folder.path();
    fs::remove_dir_all(home.join(".canonry/nats/store")).unwrap();
    fs::remove_dir_all(home.join(".canonry/projections")).unwrap();
    let verify = ["--json", "backup", "verify", "--from", &url, "--tenant", &identity];
    let found = json(&ran(&mut canonry(home, &verify)));
    assert_eq!((&found["evidence"], &found["evidence_opened"]), (&2.into(), &2.into()), "{found}");
    what_was_changed_is_told(home, &place, &verify);
    let restore = ["--json", "backup", "restore", "--from", &url, "--tenant", &identity];
    let back = json(&ran(&mut canonry(home, &restore)));
    assert_eq!((&back["evidence"], &back["evidence_opened"]), (&2.into(), &2.into()), "{back}");

    let up = Up::start_in(folder, &["up"], &[]);
    assert_eq!(get(&up, &large_at, "large.back").code, 0);
    assert!(fs::read(up.folder.path().join("large.back")).unwrap() == large);
    assert_eq!(get(&up, &small_at, "small.back").code, 0);
    let gone = get(&up, &gone_at, "gone");
    assert!(gone.code == 1 && gone.err.contains("evidence-erased"), "{gone:?}");
    let show = json(&up.run(&["--json", "tickets", "show", &erased]));
    assert!(show["title"].is_null() && show["erased_at"].is_string(), "{show}");
    assert_eq!(json(&up.run(&["--json", "tickets", "show", &kept]))["title"], "kept");
    // The key itself is gone, not only said to be: the keys that are copied now open one less.
    json(&up.run(&now));
    assert!(fs::read(&keys).unwrap() != before);
    // Work goes on, and so does the backup.
    let more = add(&up, &kept, "small");
    assert_eq!(get(&up, &more, "more").code, 0);
    let next = json(&up.run(&now));
    assert_eq!(next["evidence"].as_array().unwrap().len(), 1, "{next}");
}

/// A part that was changed, and one that is gone.
fn what_was_changed_is_told(home: &Path, place: &Path, verify: &[&str]) {
    for file in parts(place) {
        let whole = fs::read(&file).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        fs::write(&file, &changed).unwrap();
        let flipped = ran(&mut canonry(home, verify));
        fs::remove_file(&file).unwrap();
        let gone = ran(&mut canonry(home, verify));
        fs::write(&file, &whole).unwrap();
        // Of what was erased nothing is asked any more.
        let codes = (flipped.code, gone.code);
        if codes == (0, 0) {
            assert_eq!(whole.len(), 16 + 16, "only the erased one, {}", file.display());
            continue;
        }
        assert_eq!(codes, (1, 1), "{flipped:?} {gone:?}");
        assert!(flipped.out.contains("object-wrong") && gone.out.contains("object-wrong"));
    }
}
