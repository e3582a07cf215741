//! The whole drill as an operator lives it: a volume is closed while the cell runs, the store of the
//! next one loses its end, the tenant is frozen and read on, a root key lifts the freeze, everybody
//! goes on and tells of it. Then time travel, proofs, a copy, a backup and its restore, on the three
//! volumes that this leaves.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http;
use crate::program::{Ran, Up, bare, canonry, ran};

/// Tickets opened before each turn of the story.
const TICKETS: usize = 8;

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    serde_json::from_str(ran.out.trim()).unwrap()
}

/// Asks again until it holds, with a bound that only a failure reaches.
fn until<T: std::fmt::Debug>(what: &str, ask: impl Fn() -> T, holds: impl Fn(&T) -> bool) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let now = ask();
        if holds(&now) {
            return now;
        }
        assert!(Instant::now() < end, "{what}: {now:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn position(answer: &Value) -> u64 {
    answer["position"].as_str().unwrap().parse().unwrap()
}

/// Opens a ticket; its position and id.
fn open(up: &Up, title: &str) -> (u64, String) {
    let body = format!(r#"{{"title":"{title}"}}"#);
    let opened = json(&up.run(&["--json", "submit", "ticket", "open", &body]));
    let id = opened["entity"].as_str().unwrap().strip_prefix("ticket/").unwrap().to_owned();
    (position(&opened), id)
}

fn open_many(up: &Up, title: &str) -> (u64, String) {
    let mut last = None;
    for n in 0..TICKETS {
        last = Some(open(up, &format!("{title} {n}")));
    }
    last.unwrap()
}

/// Every ticket over HTTP, as of the position that must have been read.
fn list(up: &Up, at: u64) -> (u16, Value) {
    let bearer = format!("Bearer {}", up.run(&["token"]).out.trim());
    let path = format!("GET /api/v1/tickets?limit=500&min_position={at}");
    let (status, body) = http::ask(up.api(), &path, &[("authorization", &bearer)], "");
    (status, serde_json::from_str(&body).unwrap())
}

fn titles(up: &Up, at: u64) -> Vec<String> {
    let (status, body) = list(up, at);
    assert_eq!(status, 200, "{body}");
    let items = body["items"].as_array().unwrap();
    let mut titles: Vec<String> =
        items.iter().map(|t| t["title"].as_str().unwrap().to_owned()).collect();
    titles.sort();
    titles
}

/// Writes over HTTP: the answer's status and code.
fn write(up: &Up) -> (u16, String) {
    let bearer = format!("Bearer {}", up.run(&["token"]).out.trim());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let (status, body) =
        http::ask(up.api(), "POST /api/v1/tickets", &headers, r#"{"title":"refused"}"#);
    let body: Value = serde_json::from_str(&body).unwrap();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn verify(up: &Up, more: &[&str]) -> Ran {
    up.run(&[&["ledger", "verify", "--tenant", up.identity()], more].concat())
}

/// The blocks of one volume.
fn blocks(folder: &Path, stream: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            blocks(&path, stream, found);
        } else if path.components().any(|part| part.as_os_str() == stream)
            && path.extension().is_some_and(|e| e == "blk")
        {
            found.push(path);
        }
    }
}

/// The end of the volume is cut off on the disk, while the server is down.
fn cut(home: &Path, stream: &str) {
    let mut found = Vec::new();
    blocks(&home.join("nats/store"), stream, &mut found);
    assert_eq!(found.len(), 1, "{found:?}");
    let file = std::fs::File::options().write(true).open(&found[0]).unwrap();
    let whole = file.metadata().unwrap().len();
    file.set_len(whole / 2).unwrap();
    // Without its index the server believes the file.
    drop(std::fs::remove_file(found[0].parent().unwrap().join("index.db")));
}

/// The verifier that shares no code with ours, over an export: what it found.
fn stranger(up: &Up, file: &str) -> (i32, Value) {
    let mut python = bare(Command::new("python3"), up.folder.path());
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifier/verify.py"));
    let done = ran(python.args([file, "--tenant", up.identity()]));
    (done.code, serde_json::from_str(done.out.trim()).unwrap_or_else(|e| panic!("{e}: {done:?}")))
}

#[test]
fn a_volume_is_closed_the_next_one_damaged_and_the_ledger_goes_on_in_a_third() {
    let mut up = Up::start(&["up"]);
    let first = open_many(&up, "first");
    let before = titles(&up, first.0);
    let closed = json(&up.run(&["--json", "ledger", "close-volume"]));
    assert_eq!((&closed["closed"], &closed["open"]), (&1.into(), &2.into()));
    assert_eq!(titles(&up, closed["first"].as_u64().unwrap() - 1), before);
    let second = open_many(&up, "second");
    assert!(second.0 > closed["first"].as_u64().unwrap(), "they stand in the second volume");
    assert_eq!(titles(&up, second.0).len(), 2 * TICKETS);
    assert_eq!(verify(&up, &[]).code, 0);
    until("the mirrors", || verify(&up, &["--as", "auditor"]), |ran| ran.code == 0);
    let signed = until(
        "a checkpoint of all",
        || {
            up.run(&[
                "--json",
                "ledger",
                "prove",
                &second.0.to_string(),
                "--out",
                "lost.tlog-proof",
            ])
        },
        |ran| ran.code == 0,
    );
    assert_eq!(json(&signed)["index"], second.0 - 1);

    assert_eq!(up.stop(), Some(0));
    // A disk that loses the end of the ledger loses that of its mirror. Where the mirror still has
    // it, an auditor is told that the repair hides what stands.
    cut(&up.home(), "LEDGER_acme_v2");
    cut(&up.home(), "AUDIT_acme_v2");
    up.start_again(&["up"], &[]);
    frozen(&up, second.0);
    let repair = repaired(&mut up, second.0);
    goes_on(&up, &before, &first, repair);
    a_root_key_is_asked_for_once(&up);
    the_past_and_the_proofs(&up, &first, repair);
    copied_lost_and_restored(up, repair);
}

/// Commands are refused with the position, reads go on.
fn frozen(up: &Up, seen: u64) {
    let said = std::fs::read_to_string(up.folder.path().join("up.err")).unwrap();
    assert!(said.contains("acme is frozen") && said.contains("ledger repair"), "{said}");
    let refused = up.run(&["--json", "submit", "ticket", "open", r#"{"title":"refused"}"#]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let answer: Value = serde_json::from_str(refused.out.trim()).unwrap();
    assert_eq!(answer["code"], "tenant-frozen");
    let why = answer["message"].as_str().unwrap();
    let at = why.strip_prefix("the ledger is broken at ").and_then(|t| t.split(':').next());
    let at: u64 = at.unwrap().parse().unwrap();
    assert!(at > 1 && at <= seen + 2, "{why}");
    assert_eq!(write(up), (503, "tenant-frozen".to_owned()));
    // The other tenants of a process are served, and this one is read on.
    assert_eq!(http::get(up.api(), "/readyz"), (200, "ready; frozen tenants: 1\n".to_owned()));
    assert_eq!(titles(up, seen).len(), 2 * TICKETS, "the read models know what was lost");
    let wrong = verify(up, &[]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    let told = format!("the ledger ends at position {}", at - 1);
    assert!(
        wrong.out.contains("checkpoint-beyond") && wrong.out.contains(&told),
        "{why}: {}",
        wrong.out
    );
    let close = up.run(&["ledger", "close-volume"]);
    assert!(close.code == 1 && close.err.contains("ledger repair"), "{close:?}");
}

/// Only the ledger's own root key lifts the freeze; the position of `tenant.repaired`.
fn repaired(up: &mut Up, seen: u64) -> u64 {
    let offline = up.home().join("tenants/acme/offline");
    let away = up.home().join("away");
    std::fs::rename(&offline, &away).unwrap();
    let none = up.run(&["ledger", "repair"]);
    assert!(none.code == 1 && none.err.contains("root key"), "{none:?}");
    // The root key of another ledger, in its place.
    let other = Up::start(&["up"]);
    let foreign = other.home().join("tenants/acme/offline");
    std::fs::create_dir(&offline).unwrap();
    for entry in std::fs::read_dir(&foreign).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, offline.join(path.file_name().unwrap())).unwrap();
    }
    drop(other);
    let wrong = up.run(&["ledger", "repair"]);
    assert!(wrong.code == 1 && wrong.err.contains("no record of this ledger"), "{wrong:?}");
    assert_eq!(write(up).1, "tenant-frozen", "nothing was changed");
    std::fs::remove_dir_all(&offline).unwrap();
    std::fs::rename(&away, &offline).unwrap();
    let done = up.run(&["ledger", "repair"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.starts_with("repaired: the last record that stands is "), "{}", done.out);
    let head = done.out.lines().last().unwrap().strip_prefix("head ").unwrap();
    let position = head.split(':').next().unwrap().parse().unwrap();
    assert!(position > seen + 1_000_000, "beyond whatever was given out: {head}");
    position
}

/// Decider and read models come back by themselves, and everybody tells of the loss.
fn goes_on(up: &Up, before: &[String], first: &(u64, String), repair: u64) {
    let next = until("writes", || write(up), |(status, _)| *status != 503);
    assert!(next.0 < 300, "{next:?}");
    let (at, _) = open(up, "after");
    assert!(at > repair);
    let now = until("the read models", || list(up, at), |(status, _)| *status == 200);
    assert!(now.1.to_string().contains("after"), "{}", now.1);
    let now = titles(up, at);
    assert!(before.iter().all(|title| now.contains(title)), "{now:?}");
    assert!(now.iter().any(|t| t == "second 0") && !now.iter().any(|t| t == "second 7"), "{now:?}");
    let show = json(&up.run(&["--json", "tickets", "show", &first.1]));
    assert_eq!(show["title"], "first 7");

    let whole = verify(up, &[]);
    assert_eq!(whole.code, 4, "{whole:?}");
    let told = format!("; {repair} goes on after ");
    assert!(whole.out.contains("repaired: positions ") && whole.out.contains(&told), "{whole:?}");
    let mirror = until("the third mirror", || verify(up, &["--as", "auditor"]), |r| r.code != 1);
    assert_eq!(mirror.code, 4, "{mirror:?}");
    let exported = up.run(&["ledger", "export", "--out", "acme.jsonl"]);
    assert_eq!(exported.code, 0, "{exported:?}");
    let ours = verify(up, &["--file", "acme.jsonl", "--json"]);
    let ours = (ours.code, serde_json::from_str::<Value>(ours.out.trim()).unwrap());
    let theirs = stranger(up, "acme.jsonl");
    assert_eq!((ours.0, theirs.0), (4, 4), "{ours:?} {theirs:?}");
    for name in ["records", "position"] {
        assert_eq!(ours.1[name], theirs.1[name], "{name}");
    }
    assert_eq!(ours.1["repairs"][0]["position"], theirs.1["repairs"][0]["position"]);
}

fn a_root_key_is_asked_for_once(up: &Up) {
    let again = up.run(&["ledger", "repair"]);
    assert!(again.code == 1 && again.err.contains("not frozen"), "{again:?}");
}

/// What looks back does so across volumes and the gap.
fn the_past_and_the_proofs(up: &Up, first: &(u64, String), repair: u64) {
    let cancel = format!(r#"{{"id":"{}"}}"#, first.1);
    let cancelled = position(&json(&up.run(&["--json", "submit", "ticket", "cancel", &cancel])));
    let at = |position: u64| {
        let position = position.to_string();
        json(&up.run(&["--json", "tickets", "show", &first.1, "--as-of", &position]))
    };
    assert_eq!(
        (&at(first.0)["status"], &at(cancelled)["status"]),
        (&"open".into(), &"cancelled".into())
    );
    let lists = ["--json", "tickets", "list", "--as-of"];
    let then = up.run(&[&lists[..], &[&first.0.to_string()]].concat());
    assert!(then.code == 0 && then.out.contains("first 7"), "{then:?}");
    let now = up.run(&[&lists[..], &[&cancelled.to_string()]].concat());
    assert!(now.code == 0 && now.out.contains("after"), "beyond the gap: {now:?}");
    let diff = ["--json", "diff", "--from", &first.0.to_string(), "--to", &cancelled.to_string()];
    let diff = json(&up.run(&diff)).to_string();
    assert!(diff.contains("cancelled"), "{diff}");
    let replay = up.run(&["ledger", "replay", "--from", "1", "--out", "replay.jsonl"]);
    assert_eq!(replay.code, 0, "{replay:?}");
    let lines = std::fs::read_to_string(up.folder.path().join("replay.jsonl")).unwrap();
    let kinds = |kind: &str| lines.lines().filter(|l| l.contains(kind)).count();
    assert_eq!(kinds("ledger.acme.tenant.repaired"), 1);
    assert!(kinds("ledger.acme.ticket.opened") > TICKETS, "{lines}");
    // Records that were signed are lost: that log has ended and says so, and what it proved holds.
    let ended = |ran: &Ran| ran.code == 1 && ran.err.contains("ledger-repaired");
    until("the alarm", || up.run(&["ledger", "checkpoint"]), ended);
    let (_, metrics) = http::get(up.api(), "/metrics");
    assert!(metrics.contains("canonry_checkpoint_alarms 1\n"), "{metrics}");
    assert!(metrics.contains("canonry_tenants_frozen 0\n"), "{metrics}");
    let proof = up.run(&["--json", "ledger", "verify-proof", "lost.tlog-proof"]);
    assert_eq!(proof.code, 3, "the proof of a record that was lost is still one: {proof:?}");
    assert!(cancelled > repair);
}

/// A copy is an export, and a restore brings back every volume where it was.
fn copied_lost_and_restored(up: Up, repair: u64) {
    let identity = up.identity().to_owned();
    let place = format!("file://{}", up.folder.path().join("place").display());
    assert_eq!(up.run(&["copy", "--once", "--to", &place]).code, 0);
    let made = json(&up.run(&["--json", "backup", "now", "--to", &place, "--tenant", &identity]));
    let head = &made["head"]["head"];
    let head = format!("{}:{}", head["position"].as_str().unwrap(), head["hash"].as_str().unwrap());
    let (at, _) = head.split_once(':').unwrap();
    let at: u64 = at.parse().unwrap();
    assert!(at > repair);
    let before = (titles(&up, at), up.run(&["ledger", "export", "--out", "before.jsonl"]).code);
    assert_eq!(before.1, 0);

    let folder = up.left();
    let home = folder.path();
    std::fs::remove_dir_all(home.join(".canonry/nats/store")).unwrap();
    let checked = ["backup", "verify", "--from", &place, "--tenant", &identity, "--head", &head];
    assert_eq!(ran(&mut canonry(home, &checked)).code, 0);
    let restore = ["--json", "backup", "restore", "--from", &place, "--tenant", &identity];
    let back = json(&ran(&mut canonry(home, &[&restore[..], &["--head", &head]].concat())));
    assert_eq!(back["head"], head);
    let up = Up::start_in(folder, &["up"], &[]);
    assert_eq!(titles(&up, at), before.0);
    let whole = verify(&up, &["--head", &head]);
    assert_eq!(whole.code, 4, "{whole:?}");
    let (next, _) = open(&up, "restored");
    assert_eq!(next, at + 2, "after a take-over");
    let closed = json(&up.run(&["--json", "ledger", "close-volume"]));
    assert!(closed["closed"].is_u64(), "{closed}");
    assert_eq!(open(&up, "and on").0, closed["first"].as_u64().unwrap() + 1);
    until("the mirrors", || verify(&up, &["--as", "auditor"]), |ran| ran.code == 4);
    // The backup goes on where it ended.
    let more = json(&up.run(&["--json", "backup", "now", "--to", &place, "--tenant", &identity]));
    assert_eq!(more["previous"]["name"], made["name"]);
}
