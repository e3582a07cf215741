//! `canonry demo` beyond its plain run: on the sample, kept, exported, asking at the terminal.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{Background, Ran, canonry, lives, ran, terminate, wait_gone};

/// The demo in a folder where no data set is to be found.
fn demo(folder: &Path, words: &[&str]) -> Command {
    let mut command = canonry(folder, &[&["demo"], words].concat());
    // The cache may hold the log; nats-server, which it may hold too, is named instead.
    command.env("XDG_CACHE_HOME", folder.join("cache"));
    command.env("NATS_SERVER", canonry_provision::server::find().unwrap());
    command
}

fn one_object(done: &Ran) -> Value {
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    serde_json::from_str(&done.out).unwrap()
}

#[test]
fn without_data_the_first_line_says_that_it_is_a_sample() {
    let folder = tempfile::tempdir().unwrap();
    let export = folder.path().join("demo.jsonl");
    let words = ["--json", "--incidents", "5", "--export", "demo.jsonl"];
    let done = ran(&mut demo(folder.path(), &words));
    let said = one_object(&done);
    let first = done.err.lines().next().unwrap();
    assert!(first.contains("a small synthetic sample that the project wrote itself"), "{first}");
    assert_eq!((&said["sample"], &said["incidents"]), (&Value::Bool(true), &Value::from(5)));
    assert_eq!(said["kept"], Value::Null);
    let words = ["--json", "ledger", "verify", "--file", export.to_str().unwrap()];
    let verified = ran(&mut canonry(folder.path(), &words));
    assert_eq!(verified.code, 3, "{}", verified.err);
    let verified: Value = serde_json::from_str(&verified.out).unwrap();
    assert_eq!((&verified["head"], &verified["records"]), (&said["head"], &said["records"]));
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [export], "the demo leaves nothing else");
}

/// A process that is told to leave when the test ends, whichever way.
struct Kept(u32);

impl Drop for Kept {
    fn drop(&mut self) {
        terminate(self.0);
    }
}

#[test]
fn a_kept_demo_runs_on_and_is_stopped_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let done = ran(&mut demo(folder.path(), &["--incidents", "5", "--keep"]));
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    let told =
        |name: &str| done.out.lines().find_map(|l| Some(l.strip_prefix(name)?.trim())).unwrap();
    let stop = told("stop it");
    let kept = Kept(stop.strip_prefix("kill ").unwrap().parse().unwrap());
    assert!(lives(kept.0));
    let look = told("look next").strip_prefix("canonry ").unwrap().split(' ').collect::<Vec<_>>();
    // The read models may still be building: the last ticket's position is waited for.
    let position = told("head").split(':').next().unwrap();
    let listed = ran(canonry(folder.path(), &look).args(["--min-position", position]));
    assert_eq!((listed.code, listed.out.lines().count()), (0, 5), "{}{}", listed.out, listed.err);
    let home = ["--home", ".canonry-demo"];
    let verify = [&home[..], &["ledger", "verify"]].concat();
    assert_eq!(ran(&mut canonry(folder.path(), &verify)).code, 3);
    let again = ran(&mut demo(folder.path(), &["--incidents", "5", "--keep"]));
    assert_eq!(again.code, 64, "{}", again.err);
    assert!(again.err.contains("an earlier demo was kept there"), "{}", again.err);
    assert!(Command::new("/bin/sh").args(["-c", stop]).status().unwrap().success());
    assert!(wait_gone(kept.0), "it does not stop");
    assert!(!folder.path().join(".canonry-demo/running.json").exists(), "it stopped in good order");
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let tmp = folder.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    // It waits for a person, who answers with a signal.
    let words = ["--interactive", "--incidents", "3", "--threshold", "1001"];
    let mut command = demo(folder.path(), &words);
    command.env("TMPDIR", &tmp).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Background(command.stdout(Stdio::null()).spawn().unwrap());
    let mut err = child.0.stderr.take().unwrap();
    let mut said = Vec::new();
    // The question does not end its line.
    while !String::from_utf8_lossy(&said).contains("[y/n]") {
        let mut piece = [0; 1024];
        let count = err.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&piece[..count]);
    }
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 1, "its cell");
    assert_eq!(child.stop(), Some(1));
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0, "its cell is gone");
}

#[test]
fn interactively_a_person_decides() {
    let folder = tempfile::tempdir().unwrap();
    // Above every confidence, so that each ticket is asked about.
    let words = ["--json", "--interactive", "--incidents", "3", "--threshold", "1001"];
    let mut command = demo(folder.path(), &words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"y\nperhaps\nn\nyes\n").unwrap();
    let done: Ran = child.wait_with_output().unwrap().into();
    let said = one_object(&done);
    let counts = ["asked", "approved", "rejected"].map(|name| said["approvals"][name].as_u64());
    assert_eq!(counts, [Some(3), Some(2), Some(1)], "{said}");
    assert_eq!(done.err.matches("Approve? [y/n]").count(), 4, "{}", done.err);
    assert_eq!(said["kinds"]["ticket.rejected"], 1, "{said}");

    let mut closed = demo(folder.path(), &words);
    let closed = ran(&mut closed);
    assert_eq!(closed.code, 1, "{}", closed.out);
    assert!(closed.err.contains("the terminal was closed"), "{}", closed.err);
}
