//! The README and what `canonry up` prints, tried as they stand: a new reader copies these lines,
//! so every one of them has to work.
#![expect(clippy::unwrap_used, reason = "tests")]

mod lines;
#[path = "../spine/packages.rs"]
mod packages;
#[path = "../cli/program.rs"]
#[expect(dead_code, reason = "the tests of the command line use the rest")]
mod program;

use std::path::{Path, PathBuf};
use std::process::Command;

use program::{Ran, Up, bare, canonry, ran};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The code blocks of a section of the README, line by line.
fn section(name: &str) -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let section = readme.split("\n## ").find(|s| s.starts_with(name)).unwrap();
    let block = |text: &str| -> Vec<String> {
        text.trim_start_matches("sh")
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .map(Into::into)
            .collect()
    };
    section.split("```").skip(1).step_by(2).map(block).collect()
}

/// A shell as the reader has it: the built program on PATH, `tests` where the README expects it.
struct Shell {
    folder: PathBuf,
    exports: String,
}

impl Shell {
    fn new(folder: &Path) -> Self {
        let bin = folder.join("bin");
        std::fs::create_dir(&bin).unwrap();
        let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
        link(env!("CARGO_BIN_EXE_canonry").into(), bin.join("canonry")).unwrap();
        link(Path::new(ROOT).join("tests"), folder.join("tests")).unwrap();
        Self { folder: folder.to_owned(), exports: String::new() }
    }

    fn run(&mut self, line: &str) -> Ran {
        if line.starts_with("export ") {
            self.exports.push_str(&format!("{line}\n"));
        }
        let mut shell = bare(Command::new("/bin/sh"), &self.folder);
        let path = std::env::var("PATH").unwrap();
        shell.env("PATH", format!("{}:{path}", self.folder.join("bin").display()));
        shell.env("PYTHONPATH", packages::packages());
        ran(shell.args(["-c", &format!("{}{line}", self.exports)]))
    }
}

/// The printed lines that begin with this word, without their indentation.
fn printed<'a>(up: &'a Up, word: &str) -> Vec<&'a str> {
    let begins = |line: &&str| line.split(' ').next() == Some(word);
    up.lines.iter().map(|line| line.trim()).filter(begins).collect()
}

#[test]
fn the_demo_runs_as_written() {
    let blocks = section("Two commands");
    let words = blocks[0][0].split('#').next().unwrap().trim();
    let words = words.strip_prefix("cargo run --release -- ").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut demo = canonry(folder.path(), &words.split(' ').collect::<Vec<_>>());
    // Without the real log, so that it takes as long on every machine.
    demo.env("XDG_CACHE_HOME", folder.path());
    demo.env("NATS_SERVER", canonry_provision::server::find().unwrap());
    let done = ran(&mut demo);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    // What the README says that it prints.
    for wanted in ["commands", "rate", "accuracy", "approvals", "whole", "peak memory"] {
        assert!(done.out.contains(wanted), "{wanted}: {}", done.out);
    }
    assert!(blocks[0][1].starts_with("cargo test "), "{blocks:?}");
}

#[test]
fn the_lines_by_hand_work_as_written() {
    let blocks = section("By hand");
    assert_eq!(blocks.len(), 2, "{blocks:?}");
    let [start] = blocks[0].as_slice() else { panic!("one line starts it: {blocks:?}") };
    let words = start.strip_prefix("cargo run --release -- ").unwrap();
    let mut up = Up::start(&words.split(' ').collect::<Vec<_>>());
    let mut shell = Shell::new(up.folder.path());
    assert!(blocks[1].iter().filter(|line| line.starts_with("canonry ")).count() >= 4);
    for line in &blocks[1] {
        let done = shell.run(line);
        // Said beside the block: without a pin, a verifier answers 3.
        let verifies = line.contains(" ledger verify") || line.contains("verify.py");
        let due = if verifies && !line.contains("--tenant") { 3 } else { 0 };
        assert_eq!(done.code, due, "{line}\n{}{}", done.out, done.err);
    }
    let export = up.folder.path().join("acme.jsonl");
    let text = std::fs::read_to_string(export).unwrap();
    assert!(text.contains("ledger.acme.ticket.opened"), "the export has the ticket");
    assert_eq!(up.stop(), Some(0), "a signal to terminate ends it in good order");
}

#[test]
fn the_lines_that_up_prints_work_as_printed() {
    let up = Up::start(&["up"]);
    let mut shell = Shell::new(up.folder.path());
    for line in printed(&up, "export") {
        assert_eq!(shell.run(line).code, 0, "{line}");
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ticket = runtime.block_on(lines::nats(&up));
    let canonry = printed(&up, "canonry");
    assert!(canonry.len() >= 4, "{canonry:?}");
    for line in canonry {
        let done = shell.run(&line.replace("tkt_…", &ticket));
        assert_eq!(done.code, 0, "{line}\n{}{}", done.out, done.err);
    }
    let curl = printed(&up, "curl");
    assert_eq!(curl.len(), 2, "{curl:?}");
    for line in curl {
        runtime.block_on(lines::curl(&mut |line| shell.run(line), line));
    }
}
