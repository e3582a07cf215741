//! What the compiler does not keep: who may depend on whom, what every source file looks like,
//! what the compose file promises.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

mod compose;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Lines of one source file, at most.
const LINES: usize = 600;
/// Where a source file must have said what it is for, in bytes.
const OPENING: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One crate of the workspace.
#[derive(Debug, Default)]
struct Crate {
    /// Its folder below the root.
    folder: String,
    /// What it is built with.
    normal: Vec<String>,
    /// What its tests are built with besides.
    dev: Vec<String>,
}

type Crates = BTreeMap<String, Crate>;

fn crates() -> Crates {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let top = Path::new(metadata["workspace_root"].as_str().unwrap());
    let of = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap().strip_prefix(top).unwrap();
        let mut found = Crate { folder: folder.to_str().unwrap().to_owned(), ..Default::default() };
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap().to_owned();
            let dev = dependency["kind"] == "dev";
            if dev { found.dev.push(name) } else { found.normal.push(name) }
        }
        (package["name"].as_str().unwrap().to_owned(), found)
    };
    metadata["packages"].as_array().unwrap().iter().map(of).collect()
}

/// The crates below `services/`, the crates of this project they may name, and what is forbidden.
const LAYERS: [(&str, &[&str], &[&str]); 6] = [
    ("canonry-schemas", &[], &["tokio", "async-nats", "axum"]),
    ("canonry-record", &["canonry-schemas"], &["tokio", "async-nats", "axum"]),
    ("canonry-tlog", &["canonry-schemas", "canonry-record"], &["tokio", "async-nats", "axum"]),
    (
        "canonry-bundle",
        &["canonry-schemas", "canonry-record", "canonry-tlog"],
        &["tokio", "async-nats", "axum"],
    ),
    ("canonry-domain", &["canonry-schemas", "canonry-record"], &["tokio", "async-nats", "axum"]),
    (
        "canonry-projections",
        &["canonry-schemas", "canonry-record", "canonry-domain"],
        &["tokio", "async-nats"],
    ),
];

/// What is wrong with who depends on whom.
fn misplaced(crates: &Crates) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, of) in crates {
        if of.normal.iter().any(|d| d == "async-nats") && name != "canonry-nats" {
            wrong.push(format!("{name} names async-nats; only canonry-nats does"));
        }
        let tests_may = ["canonry-nats", "canonry-provision"];
        if of.dev.iter().any(|d| d == "async-nats") && !tests_may.contains(&name.as_str()) {
            wrong.push(format!("{name} tests with async-nats"));
        }
        let layer = LAYERS.iter().find(|(n, ..)| n == name);
        let service = of.folder.starts_with("services/");
        if layer.is_none() && !service && !of.folder.is_empty() {
            wrong.push(format!("{name} in {} is in no layer", of.folder));
        }
        let Some((_, may, never)) = layer else { continue };
        for on in of.normal.iter().chain(&of.dev) {
            if crates.contains_key(on) && !may.contains(&on.as_str()) {
                wrong.push(format!("{name} depends on {on}"));
            }
            if never.contains(&on.as_str()) {
                wrong.push(format!("{name} depends on {on}"));
            }
        }
    }
    for (name, ..) in LAYERS {
        match crates.get(name) {
            None => wrong.push(format!("{name} is gone; change the layers here")),
            Some(of) if of.folder.starts_with("services/") => {
                wrong.push(format!("{name} moved into services/"));
            }
            Some(_) => {}
        }
    }
    wrong
}

#[test]
fn crates_depend_downwards_and_one_names_the_client_library() {
    assert_eq!(misplaced(&crates()), [""; 0]);
}

#[test]
fn a_crate_that_reaches_up_is_found() {
    for (name, on, dev) in [
        ("canonry-decider", "async-nats", false),
        ("canonry-decider", "async-nats", true),
        ("canonry-schemas", "canonry-record", false),
        ("canonry-record", "canonry-domain", true),
        ("canonry-domain", "tokio", false),
        ("canonry-domain", "axum", false),
        ("canonry-projections", "canonry-keystore", false),
        ("canonry-projections", "async-nats", false),
    ] {
        let mut crates = crates();
        let of = crates.get_mut(name).unwrap();
        if dev {
            of.dev.push(on.to_owned())
        } else {
            of.normal.push(on.to_owned())
        }
        assert_ne!(misplaced(&crates), [""; 0], "{name} on {on}");
    }
}

/// Source files: what git tracks, or without git everything outside `target` and hidden folders.
fn sources() -> Vec<PathBuf> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--", "*.rs"]).current_dir(root());
    let tracked = git_output(&mut git);
    let mut files: Vec<PathBuf> = match tracked {
        Some(list) => list.split('\0').filter(|f| !f.is_empty()).map(|f| root().join(f)).collect(),
        None => walk(root()),
    };
    // One that is being removed is still tracked.
    files.retain(|file| file.is_file());
    files.sort();
    files
}

fn git_output(git: &mut Command) -> Option<String> {
    let output = git.output().ok().filter(|o| o.status.success() && !o.stdout.is_empty())?;
    String::from_utf8(output.stdout).ok()
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(walk(&path));
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// What is wrong with the text of a source file.
fn untidy(text: &str) -> Option<String> {
    let lines = text.lines().count();
    if lines > LINES {
        return Some(format!("{lines} lines, at most {LINES}"));
    }
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if at + 3 > OPENING {
            break;
        }
        if line.starts_with("//!") {
            return None;
        }
        at += line.len();
    }
    Some(format!("no line `//!` in its first {OPENING} bytes"))
}

#[test]
fn every_source_file_says_what_it_is_and_is_short() {
    let files = sources();
    assert!(files.len() > 100, "{} files found", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        wrong.extend(untidy(&text).map(|why| format!("{name}: {why}")));
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn a_file_that_is_long_or_silent_is_found() {
    assert_eq!(untidy("//! Says.\n"), None);
    assert_eq!(untidy("#![expect(dead_code)]\n//! Says.\n"), None);
    assert!(untidy("use std::io;\n").is_some());
    assert!(untidy(&format!("// {}\n//! Late.\n", "x".repeat(OPENING))).is_some());
    assert!(untidy(&format!("//! Long.\n{}", "\n".repeat(LINES))).is_some());
    assert!(!walk(&root().join("tests")).is_empty());
}
