//! Files attached to tickets and runs, from the command line over HTTP into the bucket and back.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use canonry_nats::{Connect, Connection, Objects};
use serde_json::Value;

use crate::http::{ask, get};
use crate::program::{Ran, Up, ran};

/// What must stand nowhere in clear.
const BIRD: &str = "CANARY7Q2XV9KQZJ";
/// Bytes of the large file; many times what may be held at once.
const LARGE: usize = 300 * 1024 * 1024;
/// What moving it may add to the process, whatever the file's size: chunks under way, what the
/// server sends ahead, and what the allocator keeps of both.
const GROWTH_KB: u64 = 120 * 1024;

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

fn ticket(up: &Up) -> String {
    let opened = json(&up.run(&["--json", "submit", "ticket", "open", r#"{"title":"x"}"#]));
    opened["entity"].as_str().unwrap().split_once('/').unwrap().1.to_owned()
}

/// Bytes that no compression and no repetition helps with, the same for the same seed.
fn bytes(count: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// Attaches and gives the position.
fn add(up: &Up, id: &str, file: &str, more: &[&str]) -> String {
    let added = up.run(&[&["--json", "evidence", "add", id, file], more].concat());
    assert_eq!(added.code, 0, "{added:?}");
    json(&added)["position"].as_str().unwrap().to_owned()
}

fn get_back(up: &Up, position: &str) -> Ran {
    up.run(&["evidence", "get", position, "--min-position", position, "--out", "back"])
}

fn list(up: &Up, id: &str, position: &str) -> Vec<Value> {
    let listed = up.run(&["--json", "evidence", "list", id, "--min-position", position]);
    assert_eq!(listed.code, 0, "{listed:?}");
    listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A signed address of what stands at a position.
fn address(up: &Up, position: &str, seconds: u32) -> String {
    let bearer = up.run(&["token"]).out;
    let bearer = format!("Bearer {}", bearer.trim());
    let path = format!("/api/v1/events/{position}/evidence?seconds={seconds}");
    let (status, body) = ask(up.api(), &format!("GET {path}"), &[("authorization", &bearer)], "");
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    body["url"].as_str().unwrap().to_owned()
}

fn code(answer: &(u16, String)) -> (u16, String) {
    let body: Value = serde_json::from_str(&answer.1).unwrap_or_default();
    (answer.0, body["code"].as_str().unwrap_or_default().to_owned())
}

/// Where a text lies below a directory.
fn found(text: &str, below: &Path) -> String {
    let mut grep = std::process::Command::new("grep");
    let found = ran(grep.args(["-r", "-a", "-l", "-F", text]).arg(below));
    assert!(found.code < 2, "{found:?}");
    found.out
}

async fn as_user(up: &Up, user: &str, api: &str) -> Connection {
    let running = fs::read_to_string(up.home().join("running.json")).unwrap();
    let running: Value = serde_json::from_str(&running).unwrap();
    let mut connect = Connect::new(running["nats"].as_str().unwrap(), user);
    connect.creds =
        Some(fs::read_to_string(up.home().join(format!("creds/{user}.creds"))).unwrap());
    connect.inbox_prefix = format!("_INBOX.{user}");
    connect.js_prefix = api.to_owned();
    Connection::connect(connect).await.unwrap()
}

async fn bucket(up: &Up) -> Objects {
    let connection = as_user(up, "evidence", "audit.api").await;
    Objects::open(connection, "evidence-acme", "evidence").unwrap()
}

#[test]
fn files_of_tickets_and_runs_come_back_and_stand_nowhere_in_clear() {
    let up = Up::start(&["up"]);
    let clear = [BIRD.as_bytes(), &bytes(1_200_000, 7), BIRD.as_bytes()].concat();
    let name = format!("{BIRD} \u{e9}.bin");
    fs::write(up.folder.path().join(&name), &clear).unwrap();
    let id = ticket(&up);
    let at = add(&up, &id, &name, &["--media-type", "image/png"]);
    let rows = list(&up, &id, &at);
    let data = &rows[0]["data"];
    assert_eq!((rows.len(), &data["name"]), (1, &name.as_str().into()), "{rows:?}");
    assert_eq!((&data["size"], &data["media_type"]), (&clear.len().into(), &"image/png".into()));
    let sealed = data["secret"].as_str().unwrap();
    assert!(sealed.starts_with("x1:"), "who may read gets the file, not its secret: {sealed}");
    let back = get_back(&up, &at);
    assert_eq!(back.code, 0, "{back:?}");
    assert!(fs::read(up.folder.path().join("back")).unwrap() == clear);
    // By the record's id as well.
    let by_id = up.run(&["evidence", "get", rows[0]["id"].as_str().unwrap(), "--out", "again"]);
    assert_eq!(by_id.code, 0, "{by_id:?}");
    assert!(fs::read(up.folder.path().join("again")).unwrap() == clear);

    // A run's content may have no key yet: it gets one with its first evidence.
    let hire = r#"{"title":"T","job":"J","boundaries":["B"],"budget":{"per_ticket_micros":1,
        "per_day_micros":1},"tools":["t"],"escalation":["founder"],"tier":"T1"}"#;
    let role = json(&up.run(&["--json", "submit", "role", "hire", hire]));
    let role = role["entity"].as_str().unwrap().split_once('/').unwrap().1;
    let assign = format!(r#"{{"id":"{id}","role":"{role}"}}"#);
    assert_eq!(up.run(&["submit", "ticket", "assign", &assign]).code, 0);
    let start = format!(r#"{{"ticket":"{id}"}}"#);
    let run = json(&up.run(&["--json", "submit", "run", "start", &start]));
    let position = run["position"].as_str().unwrap();
    let run = run["entity"].as_str().unwrap().split_once('/').unwrap().1.to_owned();
    list(&up, &run, position);
    let of_run = add(&up, &run, &name, &["--no-name"]);
    let rows = list(&up, &run, &of_run);
    assert_eq!((rows.len(), rows[0]["data"].get("name")), (1, None), "{rows:?}");
    assert_eq!(get_back(&up, &of_run).code, 0);

    for file in [&name, "back", "again"] {
        fs::remove_file(up.folder.path().join(file)).unwrap();
    }
    assert_eq!(found(BIRD, up.folder.path()), "", "in store, read models, logs");
    let (_, metrics) = get(up.api(), "/metrics");
    assert!(metrics.contains("/api/v1/tickets/{id}/evidence") && !metrics.contains(BIRD));
}

#[test]
fn an_address_is_good_for_one_object_and_for_a_while() {
    let up = Up::start(&["up"]);
    fs::write(up.folder.path().join("a"), "aaa").unwrap();
    fs::write(up.folder.path().join("b"), "bbb").unwrap();
    let id = ticket(&up);
    let (a, b) = (add(&up, &id, "a", &[]), add(&up, &id, "b", &[]));
    list(&up, &id, &b);
    let url = address(&up, &a, 60);
    assert_eq!(get(up.api(), &url), (200, "aaa".to_owned()));
    let forged = |from: &str, to: &str| {
        assert!(url.contains(from), "{from} in {url}");
        code(&get(up.api(), &url.replacen(from, to, 1)))
    };
    let invalid = (403, "url-invalid".to_owned());
    assert_eq!(forged(&format!("evidence/{a}?"), &format!("evidence/{b}?")), invalid);
    assert_eq!(forged("expires=1", "expires=2"), invalid, "it cannot be made to last");
    assert_eq!(forged("tenant=acme", "tenant=other"), invalid);
    assert_eq!(forged("signature=", "signature=A"), invalid);
    assert_eq!(forged(&format!("evidence/{a}?"), "evidence/1?"), invalid, "no evidence there");
    let short = address(&up, &a, 1);
    let until = Instant::now() + Duration::from_secs(60);
    let expired = (403, "url-expired".to_owned());
    while code(&get(up.api(), &short)) != expired {
        assert!(Instant::now() < until, "it never expires");
        std::thread::sleep(Duration::from_millis(100));
    }
    let bearer = format!("Bearer {}", up.run(&["token"]).out.trim());
    let bearer = [("authorization", bearer.as_str())];
    for (path, status, wanted) in [
        (format!("/api/v1/events/{a}/evidence?seconds=901"), 400, "query-invalid"),
        ("/api/v1/events/1/evidence".to_owned(), 404, "evidence-unknown"),
        ("/api/v1/events/none/evidence".to_owned(), 404, "evidence-unknown"),
    ] {
        let answer = ask(up.api(), &format!("GET {path}"), &bearer, "");
        assert_eq!(code(&answer), (status, wanted.to_owned()), "{path}");
    }
    let path = format!("/api/v1/events/{a}/evidence");
    assert_eq!(code(&get(up.api(), &path)), (401, "token-missing".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_nothing_and_what_is_gone_is_said_to_be() {
    let up = Up::start(&["up"]);
    fs::write(up.folder.path().join("a"), bytes(700_000, 3)).unwrap();
    fs::write(up.folder.path().join("empty"), "").unwrap();
    let id = ticket(&up);
    let kept = add(&up, &id, "a", &[]);
    list(&up, &id, &kept);
    let none = id.replace("tkt_0", "tkt_1");
    for (words, said) in [
        (vec!["evidence", "add", &id, "a", "--as", "auditor"], "not-allowed"),
        (vec!["evidence", "add", &none, "a"], "ticket-unknown"),
        (vec!["evidence", "add", &id, "empty"], "expected 1 to"),
    ] {
        let refused = up.run(&words);
        assert_eq!(refused.code, 1, "{words:?} {refused:?}");
        assert!(refused.err.contains(said), "{words:?} {refused:?}");
    }
    let bearer = format!("Bearer {}", up.run(&["token"]).out.trim());
    let post = |headers: &[(&str, &str)], body: &str| {
        let headers = [&[("authorization", bearer.as_str())], headers].concat();
        let line = format!("POST /api/v1/tickets/{id}/evidence");
        code(&ask(up.api(), &line, &headers, body))
    };
    let invalid = (422, "evidence-invalid".to_owned());
    assert_eq!(post(&[("content-type", "Text/Plain; charset=x")], "a"), invalid);
    assert_eq!(post(&[("canonry-evidence-name", "not base64url")], "a"), invalid);
    assert_eq!(post(&[], ""), invalid);

    let objects = bucket(&up).await;
    let held = objects.held().await.unwrap();
    assert_eq!(held.len(), 1, "what was refused is removed again: {held:?}");
    let noted = objects.noted().await.unwrap();
    assert_eq!((noted.len(), &noted[0].1), (1, &held[0].object));
    objects.remove(&noted[0].1, Some(&noted[0].0)).await.unwrap();
    let missing = get_back(&up, &kept);
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("evidence-missing"), "{missing:?}");
    assert!(
        !up.folder.path().join("back").exists() && !up.folder.path().join("back.part").exists()
    );
}

/// Nobody opens what was erased, also not who opened it before, nor a process that never did.
#[test]
fn what_was_erased_is_gone() {
    let mut up = Up::start(&["up"]);
    fs::write(up.folder.path().join("a"), "aaa").unwrap();
    let (id, other) = (ticket(&up), ticket(&up));
    let (at, kept) = (add(&up, &id, "a", &[]), add(&up, &other, "a", &[]));
    assert_eq!(get_back(&up, &at).code, 0);
    let url = address(&up, &at, 900);
    let erased = json(&up.run(&["--json", "content", "erase", &format!("ticket/{id}")]));
    let position = erased["position"].as_str().unwrap();
    assert_eq!(list(&up, &id, position)[0]["data"].get("name"), Some(&Value::Null));
    let gone = |up: &Up| {
        let gone = get_back(up, &at);
        assert_eq!(gone.code, 1, "{gone:?}");
        assert!(gone.err.contains("evidence-erased"), "{gone:?}");
        assert_eq!(get_back(up, &kept).code, 0);
    };
    gone(&up);
    assert_eq!(code(&get(up.api(), &url)), (410, "evidence-erased".to_owned()));
    let more = up.run(&["evidence", "add", &id, "a"]);
    assert_eq!(more.code, 1);
    assert!(more.err.contains("content-erased"), "{more:?}");
    assert_eq!(up.stop(), Some(0));
    up.start_again(&["up"], &[]);
    gone(&up);
}

fn peak_kb(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Upload and download of a file many times larger than what the process may grow by.
#[test]
fn a_large_file_flows_through() {
    let up = Up::start(&["up"]);
    let id = ticket(&up);
    // The first file brings what is made once.
    fs::write(up.folder.path().join("small"), bytes(2_000_000, 5)).unwrap();
    let at = add(&up, &id, "small", &[]);
    assert_eq!(get_back(&up, &at).code, 0);
    let before = peak_kb(up.process());
    let clear = bytes(LARGE, 11);
    fs::write(up.folder.path().join("large"), &clear).unwrap();
    let at = add(&up, &id, "large", &[]);
    let stored = peak_kb(up.process());
    assert_eq!(get_back(&up, &at).code, 0);
    assert!(fs::read(up.folder.path().join("back")).unwrap() == clear);
    let read = peak_kb(up.process());
    eprintln!("peak of the process: {before} KiB, stored {stored}, read {read}");
    assert!(read - before < GROWTH_KB, "grew by {} KiB", read - before);
}
