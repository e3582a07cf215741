//! Wrong configuration and unreachable servers: the exit code, and what is said, whole.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::program::{Ran, Up, canonry, ran};

/// A command line, its exit code, and what its message must hold.
type Case<'a> = (&'a [&'a str], i32, &'a [&'a str]);

fn check(done: &Ran, words: &[&str], code: i32, says: &[&str]) {
    let text = &done.err;
    assert_eq!(done.code, code, "{words:?}: {text}{}", done.out);
    for wanted in says {
        assert!(text.contains(wanted), "{words:?} does not say {wanted:?}: {text}");
    }
    let whole = text.lines().all(|l| l.starts_with("canonry: ") || l.contains(" WARN "));
    assert!(code == 2 || whole, "{words:?}: {text}");
}

#[test]
fn without_a_cell_everything_wrong_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let open = ["submit", "ticket", "open", "{}"];
    let absent = |more: &[&'static str]| [&open[..], &["--home", "absent"], more].concat();
    let no_cell = "no cell at absent";
    let cases: &[Case<'_>] = &[
        (&absent(&[]), 64, &["no NATS address", no_cell]),
        (&absent(&["--nats", "http://x:1"]), 64, &["--nats: \"http://x:1\"", "nats://", no_cell]),
        (&["tickets", "list", "--home", "absent"], 64, &["no API address", no_cell]),
        (&["tickets", "list", "--home", "absent", "--api", "ftp://x"], 64, &["--api", no_cell]),
        (&["ledger", "verify", "--home", "absent"], 64, &["no NATS address", no_cell]),
        (
            &["serve", "api", "--home", "absent", "--listen", &taken],
            64,
            &["no NATS address", no_cell, "in use"],
        ),
        (&["serve", "decider", "--home", "absent"], 64, &["no NATS address", no_cell]),
        (
            &["member", "enrol", "bob", "--part", "operator", "--home", "absent"],
            64,
            &["no NATS address", no_cell],
        ),
        (&["tenant", "found", "globex", "--home", "absent"], 64, &["no NATS address", no_cell]),
        (&["token", "--home", "absent"], 64, &[no_cell]),
        (
            &["up", "--home", "file", "--listen", &taken, "--nats", "ftp://x"],
            64,
            &["file cannot be a home", "--listen", "in use", "--nats: \"ftp://x\""],
        ),
        (&["up", "--home", "/proc/nowhere"], 64, &["/proc/nowhere cannot be a home"]),
        (
            &["demo", "--incident-log", "absent.csv", "--export", "absent/x.jsonl"],
            64,
            &["--incident-log", "--export absent/x.jsonl"],
        ),
        (&["ledger", "verify", "--file", "absent.jsonl"], 1, &["absent.jsonl"]),
        (&["tickets", "show", "a/b"], 2, &["is no id"]),
        (&["tickets"], 2, &[]),
        (&["fly"], 2, &[]),
    ];
    for (words, code, says) in cases {
        check(&ran(&mut canonry(folder.path(), words)), words, *code, says);
    }
    assert!(!folder.path().join(".canonry").exists(), "nothing was made");
}

#[test]
fn the_environment_is_told_whole_but_help_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = |words: &[&str]| {
        let mut command = canonry(folder.path(), words);
        command.env("CANONRY_TENANT", "No_Tenant").env("CANONRY_API", "ftp://x");
        ran(command.env("CANONRY_HOME", ""))
    };
    let says = ["$CANONRY_HOME", "$CANONRY_TENANT", "$CANONRY_API"];
    check(&wrong(&["tickets", "list"]), &[], 64, &says);
    let help = wrong(&["--help"]);
    assert_eq!(help.code, 0, "{}", help.err);
    for line in
        ["0  done", "1  refused", "2  the command", "3  a ledger", "64  the", "69  a server"]
    {
        assert!(help.out.contains(line), "{line}: {}", help.out);
    }
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn beside_a_cell_every_end_has_its_code() {
    let up = Up::start(&["up"]);
    let check_all = |cases: &[Case<'_>]| {
        for (words, code, says) in cases {
            check(&up.run(words), words, *code, says);
        }
    };
    let creds = up.home().join("tenants/acme/creds/operator.creds");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = format!("http://{nobody}");
    let ticket = "tkt_00000000000000000000000000";
    let other = format!("sha256:{}", "0".repeat(64));
    let open = |more: &[&'static str]| [&["submit", "ticket", "open", "{}"], more].concat();
    check_all(&[
        (&open(&["--tenant", "globex"]), 64, &["no tenant globex", "there is: acme"]),
        (&open(&["--as", "nobody"]), 64, &["creds of nobody", "not found"]),
        (&["token", "--tenant", "globex"], 64, &["no tenant globex"]),
        (&["token", "--as", "nobody"], 64, &["not found"]),
        (&["tickets", "list", "--tenant", "globex"], 64, &["no tenant globex"]),
        (&["tickets", "list", "--api", &nowhere], 69, &["refused"]),
        (&["ledger", "verify", "--of", "globex"], 1, &["no ledger of globex"]),
        (&["ledger", "verify"], 3, &["founder not pinned"]),
        (&["ledger", "verify", "--tenant", up.identity()], 0, &[]),
        (&["ledger", "verify", "--tenant", &other], 1, &[]),
        (&["ledger", "show", "999"], 1, &["no position 999"]),
        (&["tickets", "show", ticket], 1, &["ticket-unknown"]),
        (&["tickets", "show", "a/b"], 2, &["is no id"]),
        (&["approve", ticket], 1, &["nobody asked"]),
        (&open(&[]), 1, &[]),
        (&["submit", "ticket", "fly", "{}"], 1, &[]),
        (&["up"], 64, &["canonry up (process", "uses"]),
        (&["projections", "rebuild"], 64, &["an API (process", "uses"]),
        (&["serve", "api", "--listen", "127.0.0.1:0"], 64, &["an API (process"]),
        (&["member", "rotate", "nobody"], 1, &["nobody is no member of acme"]),
    ]);
    mode(&creds, 0o644);
    check_all(&[(&open(&["--as", "operator"]), 64, &["creds of operator", "chmod go-rwx"])]);
    mode(&creds, 0o600);
    std::fs::write(&creds, "no creds").unwrap();
    check_all(&[(&open(&["--as", "operator"]), 64, &["creds of operator"])]);
    mode(&up.home(), 0o755);
    check_all(&[(&open(&[]), 64, &["no cell at .canonry", "chmod go-rwx"])]);
    mode(&up.home(), 0o700);
}

#[test]
fn a_server_that_does_not_answer_is_69() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = Up::start(&["up"]);
    assert_eq!(up.stop(), Some(0));
    assert!(!up.home().join("running.json").exists());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nats = format!("nats://{nobody}");
    let home = up.home();
    let words = ["ledger", "verify", "--nats", &nats, "--home", home.to_str().unwrap()];
    check(&ran(&mut canonry(folder.path(), &words)), &words, 69, &["cannot connect"]);
}
