//! Bytes that never change. `CANONRY_BLESS=1` writes them anew, which is right only before the
//! first release.

use std::path::{Path, PathBuf};

use canonry_record::encoding::hex;
use serde_json::{Map, Value, json};

use crate::forge::{Forge, KEYS, check, key, signer};

fn compare(path: &Path, now: &str) {
    if std::env::var_os("CANONRY_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, now).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(kept == now, "{} differs from what is written today", path.display());
}

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_body_with_every_attribute() {
    let forge = Forge::healthy();
    let body = String::from_utf8(forge.lines[3].body.clone()).unwrap();
    compare(&here().join("tests/golden/ticket-opened.v1.json"), &body);
    let headers: Vec<_> =
        forge.lines[3].headers.iter().map(|(k, v)| format!("{k}: {v}\n")).collect();
    compare(&here().join("tests/golden/ticket-opened.v1.headers"), &headers.concat());
}

#[test]
fn the_healthy_export_of_the_verifier_in_python() {
    let forge = Forge::healthy();
    let folder = here().join("../../tests/verifier/fixtures");
    compare(&folder.join("healthy.jsonl"), &forge.export());
    let mut keys = Map::new();
    for (name, _, _) in KEYS {
        let seed = hex(&signer(name).key.to_bytes());
        keys.insert(name.into(), json!({ "seed": seed, "key": key(name) }));
    }
    let text = serde_json::to_string_pretty(&Value::Object(keys)).unwrap() + "\n";
    compare(&folder.join("test-keys.json"), &text);
    check(&forge.export(), &Default::default()).unwrap();
}
