//! Files that are held to what the types say; `CANONRY_BLESS=1` writes them instead.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder `schemas/`.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A place in it.
pub fn below(name: &str) -> PathBuf {
    folder().join(name)
}

/// The files of a folder, by name.
pub fn found(folder: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        all.insert(name, std::fs::read_to_string(entry.path()).unwrap());
    }
    all
}

fn blessing() -> bool {
    std::env::var_os("CANONRY_BLESS").is_some_and(|v| v == "1")
}

/// Holds a folder to exactly these files, or writes them.
pub fn hold(folder: &Path, wanted: &BTreeMap<String, String>) {
    if blessing() {
        std::fs::create_dir_all(folder).unwrap();
        for stray in found(folder).keys().filter(|name| !wanted.contains_key(*name)) {
            std::fs::remove_file(folder.join(stray)).unwrap();
        }
    } else {
        let found = found(folder);
        let names: Vec<_> = found.keys().collect();
        assert_eq!(names, wanted.keys().collect::<Vec<_>>(), "stray or missing: CANONRY_BLESS=1");
    }
    for (name, text) in wanted {
        hold_file(&folder.join(name), text);
    }
}

/// Holds one file to this text, or writes it.
pub fn hold_file(path: &Path, wanted: &str) {
    if blessing() {
        std::fs::write(path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == wanted, "{} is not what the types say: CANONRY_BLESS=1", path.display());
}

/// The text of a file; keys in the order of their names, whatever features `serde_json` has.
pub fn pretty(value: &Value) -> String {
    format!("{:#}\n", sorted(value))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(all) => all.iter().map(sorted).collect(),
        Value::Object(all) => {
            let ordered: BTreeMap<_, _> = all.iter().map(|(k, v)| (k, sorted(v))).collect();
            ordered.into_iter().map(|(k, v)| (k.clone(), v)).collect()
        }
        other => other.clone(),
    }
}
