//! The files beside the types: schemas of commands and records, pages of errors, the AsyncAPI
//! document. Files are compared with what the types say; `CANONRY_BLESS=1` writes them instead.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "files/records.rs"]
mod records;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use canonry_schemas::event::{Command, Event};
use serde_json::Value;

/// The folder `schemas/`.
fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder with this ending, by name.
fn found(folder: &Path) -> BTreeMap<String, String> {
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

/// Holds the folder to exactly these files, or writes them.
fn hold(folder: &Path, wanted: &BTreeMap<String, String>) {
    if blessing() {
        std::fs::create_dir_all(folder).unwrap();
        for stray in found(folder).keys().filter(|name| !wanted.contains_key(*name)) {
            std::fs::remove_file(folder.join(stray)).unwrap();
        }
        for (name, text) in wanted {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    let found = found(folder);
    let names: Vec<_> = found.keys().collect();
    assert_eq!(names, wanted.keys().collect::<Vec<_>>(), "stray or missing: CANONRY_BLESS=1");
    for (name, text) in wanted {
        assert!(found[name] == *text, "{name} is not what the types say: CANONRY_BLESS=1");
    }
}

/// The text of a file; keys in the order of their names, whatever features `serde_json` has.
fn pretty(value: &Value) -> String {
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

fn below(name: &str) -> PathBuf {
    folder().join(name)
}

#[test]
fn every_command_has_its_schema() {
    let wanted = Command::schemas().into_iter().map(|(aggregate, verb, schema)| {
        (format!("{aggregate}.{verb}.json"), pretty(&Value::from(schema)))
    });
    hold(&below("commands"), &wanted.collect());
}

#[test]
fn every_record_has_its_schema() {
    let wanted = Event::schemas().into_iter().map(|(aggregate, event, version, schema)| {
        let body = records::body(aggregate, &event, version, schema);
        (format!("{aggregate}.{event}.v{version}.json"), pretty(&body))
    });
    hold(&below("records"), &wanted.collect());
}
