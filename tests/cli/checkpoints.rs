//! Checkpoints, proofs and a witness, as their users meet them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Background, Ran, Up, bare, canonry, lines_until, ran};

/// Runs it again until it ends well, with a bound that only a failure reaches.
fn until(up: &Up, words: &[&str]) -> Ran {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let run = up.run(words);
        if run.code == 0 {
            return run;
        }
        assert!(Instant::now() < end, "{words:?}: {run:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn json(run: &Ran) -> Value {
    serde_json::from_str(&run.out).unwrap()
}

fn open_ticket(up: &Up) -> String {
    let opened = up.run(&["--json", "submit", "ticket", "open", r#"{"title":"x"}"#]);
    json(&opened)["position"].as_str().unwrap().to_owned()
}

/// The verifier that shares no code with ours.
fn stranger(folder: &Path, words: &[&str]) -> Ran {
    let mut python = bare(Command::new("python3"), folder);
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifier/proof.py"));
    ran(python.args(words))
}

#[test]
fn a_record_is_proved_offline_and_the_ledger_passes_through_its_checkpoint() {
    let up = Up::start(&["up"]);
    let position = open_ticket(&up);
    let proved = until(&up, &["--json", "ledger", "prove", &position, "--out", "t.tlog-proof"]);
    assert_eq!(json(&proved)["index"], position.parse::<u64>().unwrap() - 1);

    let check = ["--json", "ledger", "verify-proof", "t.tlog-proof"];
    let unpinned = up.run(&check);
    assert_eq!(unpinned.code, 3, "{unpinned:?}");
    let key = json(&unpinned)["key"].as_str().unwrap().to_owned();
    let pinned = up.run(&[&check[..], &["--key", &key]].concat());
    assert_eq!((pinned.code, &json(&pinned)["type"]), (0, &"canonry.ticket.opened.v1".into()));
    assert_eq!(json(&pinned)["position"].to_string(), position);
    assert_eq!(stranger(up.folder.path(), &["t.tlog-proof", &key]).code, 0);

    let file = up.folder.path().join("t.tlog-proof");
    let whole = std::fs::read_to_string(&file).unwrap();
    let index = format!("index {}\n", position.parse::<u64>().unwrap() - 1);
    let root = whole.lines().rev().nth(2).unwrap().to_owned();
    let moved = root.replacen(&root[..1], if root.starts_with('A') { "B" } else { "A" }, 1);
    for (why, forged) in [
        ("proof-wrong", whole.replace(&index, "index 0\n")),
        ("proof-wrong", whole.replace(&root, &moved)),
        ("proof-malformed", whole.replace("index", "indices")),
    ] {
        std::fs::write(&file, forged).unwrap();
        let refused = up.run(&[&check[..], &["--key", &key]].concat());
        assert_eq!((refused.code, &json(&refused)["why"]), (1, &why.into()), "{refused:?}");
        assert_eq!(stranger(up.folder.path(), &["t.tlog-proof", &key]).code, 1, "{why}");
    }
    let other = key.replacen("canonry/acme", "canonry/acne", 1);
    let usage = up.run(&[&check[..], &["--key", &other]].concat());
    assert_eq!(usage.code, 2, "a key whose id is not its own: {usage:?}");

    let shown = up.run(&["ledger", "checkpoint"]);
    let kept = up.folder.path().join("kept");
    std::fs::write(&kept, &shown.out).unwrap();
    open_ticket(&up);
    let verify = ["--json", "ledger", "verify", "--tenant", up.identity(), "--checkpoint", "kept"];
    let verified = up.run(&verify);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(json(&verified)["checkpoint"]["size"].as_u64().unwrap() >= 2);
    let size = shown.out.lines().nth(1).unwrap();
    std::fs::write(&kept, shown.out.replace(&format!("\n{size}\n"), "\n1\n")).unwrap();
    let refused = up.run(&verify);
    assert_eq!((refused.code, &json(&refused)["why"]), (1, &"checkpoint-signature".into()));
}

/// Starts a witness for this log; the process and the line that a checkpointer takes.
fn witness(folder: &Path, log: &str) -> (Background, String) {
    let words = ["witness", "serve", "--dir", "w", "--name", "witness.example/w1"];
    let listen = ["--listen", "127.0.0.1:0", "--log", log];
    let mut command = canonry(folder, &[&words[..], &listen].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let out = child.stdout.take().unwrap();
    let background = Background(child);
    (background, lines_until(out, |line| line.starts_with("http://")).unwrap().pop().unwrap())
}

#[test]
fn a_witness_in_a_process_of_its_own_cosigns_what_is_proved() {
    let mut up = Up::start(&["up"]);
    let shown = json(&until(&up, &["--json", "ledger", "checkpoint"]));
    let log = shown["key"].as_str().unwrap();
    assert_eq!(up.run(&["--json", "ledger", "checkpoint", "--cosigned"]).code, 1);
    let (mut watcher, line) = witness(up.folder.path(), log);
    let (_, key) = line.split_once(',').unwrap();
    let asked = up.run(&["witness", "key", "--dir", "w", "--name", "witness.example/w1"]);
    assert_eq!(asked.out.trim_end(), key);
    assert_eq!(up.stop(), Some(0));

    let mut command = canonry(up.folder.path(), &["up", "--witness", &line]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let out = child.stdout.take().unwrap();
    let mut again = Background(child);
    lines_until(out, |line| line.starts_with("Ctrl-C stops it")).unwrap();
    let position = open_ticket(&up);
    until(&up, &["--json", "ledger", "checkpoint", "--cosigned"]);
    until(&up, &["ledger", "verify", "--tenant", up.identity(), "--witness", key]);
    // Cosigned checkpoints come first where they go so far.
    let check = ["--json", "ledger", "verify-proof", "t.tlog-proof", "--key", log, "--witness"];
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        until(&up, &["ledger", "prove", &position, "--out", "t.tlog-proof"]);
        let checked = up.run(&[&check[..], &[key]].concat());
        if checked.code == 0 {
            assert_eq!(json(&checked)["witnesses"][0]["name"], "witness.example/w1");
            break;
        }
        assert_eq!(json(&checked)["why"], "cosignature-missing");
        assert!(Instant::now() < end, "{checked:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(stranger(up.folder.path(), &["t.tlog-proof", log, key]).code, 0);
    let (mut foreign, other) = {
        let folder = tempfile::tempdir().unwrap();
        let (process, line) = witness(folder.path(), log);
        (process, line.split_once(',').unwrap().1.to_owned())
    };
    let refused = up.run(&[&check[..], &[other.as_str()]].concat());
    assert_eq!((refused.code, &json(&refused)["why"]), (1, &"cosignature-missing".into()));
    assert_eq!(stranger(up.folder.path(), &["t.tlog-proof", log, &other]).code, 1);
    // A bundle takes the cosigned checkpoint where it goes so far.
    let record = json(&up.run(&["--json", "ledger", "show", &position]));
    let ticket = record["body"]["entity"].as_str().unwrap().strip_prefix("ticket/").unwrap();
    until(&up, &["evidence", "export", "--ticket", ticket, "--out", "t.tar"]);
    let check = ["--json", "evidence", "verify", "t.tar", "--tenant", up.identity(), "--witness"];
    let cosigned = json(&until(&up, &[&check[..], &[key]].concat()));
    assert_eq!(cosigned["witnesses"][0]["name"], "witness.example/w1");
    let refused = up.run(&[&check[..], &[other.as_str()]].concat());
    assert_eq!((refused.code, &json(&refused)["why"]), (1, &"cosignature-missing".into()));
    assert_eq!((foreign.stop(), watcher.stop(), again.stop()), (Some(0), Some(0), Some(0)));
}
