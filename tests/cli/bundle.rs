//! Evidence bundles of a running cell: exported, checked by us and by a stranger's program.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::program::{Ran, Up, bare, canonry, ran};

/// What stands in clear nowhere in a bundle.
const TITLE: &str = "CANARY7Q2XV9KQZJ on fire";

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

fn send(up: &Up, aggregate: &str, verb: &str, body: &str) -> String {
    let done = up.run(&["--json", "submit", aggregate, verb, body]);
    assert_eq!(done.code, 0, "{done:?}");
    json(&done)["entity"].as_str().unwrap().split_once('/').unwrap().1.to_owned()
}

/// The verifier that shares no code with ours.
fn stranger(folder: &Path, words: &[&str]) -> Ran {
    let mut python = bare(Command::new("python3"), folder);
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifier/bundle.py"));
    ran(python.args(words))
}

/// A ticket with a run, an approval and a file, beside another ticket and a new member.
fn story(up: &Up) -> (String, String) {
    let hire = r#"{"title":"Triage","job":"Route.","boundaries":["No payments."],
        "budget":{"per_ticket_micros":1000,"per_day_micros":100000},"tools":["assign"],
        "escalation":["operator"],"tier":"T1"}"#;
    let role = send(up, "role", "hire", hire);
    let open = format!(r#"{{"title":"{TITLE}","role":"{role}"}}"#);
    let ticket = send(up, "ticket", "open", &open);
    let run = send(up, "run", "start", &format!(r#"{{"ticket":"{ticket}"}}"#));
    send(up, "ticket", "open", r#"{"title":"another"}"#);
    let step = format!(r#"{{"id":"{run}","name":"look","outcome":"done","summary":"{TITLE}"}}"#);
    send(up, "run", "record-step", &step);
    send(up, "run", "complete", &format!(r#"{{"id":"{run}"}}"#));
    assert_eq!(up.run(&["member", "enrol", "carol", "--part", "operator"]).code, 0);
    let ask = format!(r#"{{"id":"{ticket}","reason":"{TITLE}"}}"#);
    send(up, "ticket", "request-approval", &ask);
    let approved = up.run(&["approve", &ticket]);
    assert_eq!(approved.code, 0, "{approved:?}");
    fs::write(up.folder.path().join("note.txt"), TITLE).unwrap();
    assert_eq!(up.run(&["evidence", "add", &ticket, "note.txt"]).code, 0);
    (ticket, run)
}

#[test]
fn a_ticket_is_exported_and_a_stranger_checks_it_offline() {
    let up = Up::start(&["up"]);
    let (ticket, run) = story(&up);
    let identity = up.identity().to_owned();
    let exported = up.run(&["--json", "evidence", "export", "--ticket", &ticket, "--out", "t.tar"]);
    assert_eq!(exported.code, 0, "{exported:?}");
    let said = json(&exported);
    // Opened, run started and completed, its step, asked, approved, attached.
    assert_eq!((&said["records"], &said["approvals"]), (&7.into(), &1.into()), "{said}");
    // Record 1 and whoever was enrolled since.
    assert!(said["keys"].as_u64().unwrap() >= 2, "{said}");
    assert_eq!((&said["tenant"], &said["complete"]), (&identity.as_str().into(), &false.into()));
    let again = up.run(&["evidence", "export", "--ticket", &ticket, "--whole", "--out", "w.tar"]);
    assert_eq!(again.code, 0, "{again:?}");
    let of_run = up.run(&["--json", "evidence", "export", "--run", &run]);
    assert_eq!((of_run.code, &json(&of_run)["records"]), (0, &3.into()), "{of_run:?}");
    let file = format!("{run}.evidence.tar");

    // Offline: from here on nothing runs.
    let folder = up.left();
    let ours = |words: &[&str]| ran(&mut canonry(folder.path(), words));
    for (file, complete) in [("t.tar", false), ("w.tar", true), (&file, false)] {
        let bytes = fs::read(folder.path().join(file)).unwrap();
        let found = bytes.windows(16).any(|part| part == &TITLE.as_bytes()[..16]);
        assert!(!found, "{file} holds content in clear");
        let pinned = ours(&["--json", "evidence", "verify", file, "--tenant", &identity]);
        assert_eq!((pinned.code, &json(&pinned)["complete"]), (0, &complete.into()), "{pinned:?}");
        let in_words = ours(&["evidence", "verify", file]);
        assert_eq!(in_words.code, 3, "{in_words:?}");
        assert_eq!(in_words.out.contains("not shown: whether a record was left out"), !complete);
        let python = stranger(folder.path(), &[file, "--tenant", &identity]);
        assert_eq!(python.code, 0, "{python:?}");
        for field in ["records", "keys", "approvals", "complete", "tenant"] {
            assert_eq!(json(&python)[field], json(&pinned)[field], "{field} of {file}");
        }
        assert_eq!(stranger(folder.path(), &[file]).code, 3);
    }
    let other = format!("sha256:{}", "0".repeat(64));
    let foreign = ours(&["--json", "evidence", "verify", "t.tar", "--tenant", &other]);
    assert_eq!((foreign.code, &json(&foreign)["why"]), (1, &"tenant-pin".into()));
    let in_words = ours(&["evidence", "verify", "t.tar", "--tenant", &other]);
    assert!(in_words.out.contains("broken at position 1"), "{in_words:?}");
    assert_eq!(ours(&["evidence", "verify", "none.tar"]).code, 1);
    assert!(!folder.path().join("t.tar.part").exists());
}

#[test]
fn what_cannot_be_exported_is_told() {
    let up = Up::start(&["up"]);
    let unknown = "tkt_00000000000000000000000000";
    let nothing = up.run(&["evidence", "export", "--ticket", unknown]);
    assert_eq!(nothing.code, 1, "{nothing:?}");
    assert!(nothing.err.contains("holds nothing about"), "{nothing:?}");
    assert!(!up.folder.path().join(format!("{unknown}.evidence.tar")).exists());
    let run = "run_00000000000000000000000000";
    for words in [&["--ticket", unknown, "--run", run][..], &[], &["--run", unknown]] {
        assert_eq!(up.run(&[&["evidence", "export"], words].concat()).code, 2, "{words:?}");
    }
}
