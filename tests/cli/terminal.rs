//! Progress bars: drawn at a terminal, on stderr; nowhere else, and never beside JSON.

use std::path::Path;
use std::process::Command;

use crate::program::{bare, canonry, ran};

/// Runs the program at a pseudo terminal; stdout goes to a file, so that what is left is stderr.
const AT_A_TERMINAL: &str = r#"
import os, pty, sys
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
child, terminal = pty.fork()
if child == 0:
    os.dup2(out, 1)
    os.execv(sys.argv[2], sys.argv[2:])
seen = b""
while True:
    try: piece = os.read(terminal, 65536)
    except OSError: break
    if not piece: break
    seen += piece
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

fn at_a_terminal(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let mut python = bare(Command::new("python3"), folder);
    python.env("TERM", "xterm").env("NATS_SERVER", canonry_provision::server::find().unwrap());
    python.env("XDG_CACHE_HOME", folder.join("cache"));
    python.args(["-c", AT_A_TERMINAL, "out", env!("CARGO_BIN_EXE_canonry")]).args(words);
    let done = ran(&mut python);
    let out = std::fs::read_to_string(folder.join("out")).unwrap();
    (done.code, out, done.out)
}

#[test]
fn bars_are_for_terminals_and_people() {
    let folder = tempfile::tempdir().unwrap();
    let demo = ["demo", "--incidents", "5", "--export", "demo.jsonl"];
    let (code, out, err) = at_a_terminal(folder.path(), &demo);
    assert_eq!(code, 0, "{err}");
    for what in ["reading and learning", "tickets", "verifying"] {
        assert!(err.contains(what), "no bar for {what}: {err}");
        assert!(!out.contains("\u{1b}["), "{out}");
    }
    let verify = ["ledger", "verify", "--file", "demo.jsonl"];
    let (code, _, err) = at_a_terminal(folder.path(), &verify);
    assert_eq!(code, 3);
    assert!(err.contains("verifying"), "{err}");
    let (_, _, err) = at_a_terminal(folder.path(), &[&["--json"], &verify[..]].concat());
    assert!(!err.contains("verifying") && !err.contains("\u{1b}["), "{err}");
    let plain = ran(&mut canonry(folder.path(), &verify));
    assert!(!plain.err.contains("verifying"), "{}", plain.err);
}
