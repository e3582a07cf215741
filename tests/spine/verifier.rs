//! The independent verifier in Python: against a live ledger's export, and against every tampering
//! of the table, which our own verifier must judge the same.

use std::io::Write as _;

use canonry_record::Line;
use canonry_record::export::{parse_head, write_line};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::harness::Spine;
use crate::python::program;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_ledger_is_accepted_by_a_stranger() {
    let mut spine = Spine::start().await;
    let founder = spine.person("founder").await;
    founder.hire().await;
    for n in 0..20 {
        assert!(founder.send("ticket", "open", json!({"title": format!("t{n}")})).await.ok);
    }
    founder.send("ticket", "start", json!({"id": "tkt_00000000000000000000000000"})).await;
    spine.stop().await;
    let log = spine.log().await;
    let heads = canonry_nats::Kv::open(log.connection().clone(), "heads").unwrap();
    let entry = heads.get("acme").await.unwrap().unwrap();
    let head = parse_head(std::str::from_utf8(&entry.value).unwrap()).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut records = log.read(1, Some(head.head.position)).await.unwrap();
    let mut identity = None;
    while let Some(stored) = records.next().await {
        let s = stored.unwrap();
        identity.get_or_insert_with(|| canonry_record::record_hash(&s.subject, &s.body));
        let line = Line { seq: s.seq, subject: &s.subject, headers: &s.headers, body: &s.body };
        writeln!(file, "{}", write_line(&line).trim_end()).unwrap();
    }
    writeln!(file, "{}", head.to_text().trim_end()).unwrap();
    file.flush().unwrap();
    let mut verify = program("verifier/verify.py");
    verify.arg(file.path()).arg("--tenant").arg(format!("sha256:{}", identity.unwrap()));
    let output = verify.output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said["ok"], true);
    assert_eq!(said["records"], head.head.position);
}

#[test]
fn our_own_verifier_says_the_same() {
    let ours = format!("{} ledger verify --json --file", env!("CARGO_BIN_EXE_canonry"));
    let output = program("verifier/tamper.py").args(["--verifier", &ours]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// What a program says of every bundle of the table.
fn bundles(more: &[&str]) {
    let output = program("verifier/tamper_bundle.py").args(more).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let kinds = text.lines().filter(|l| l.starts_with("ok")).count();
    assert!(kinds >= 60, "only {kinds} kinds:\n{text}");
}

#[test]
fn every_tampering_of_a_bundle_is_found() {
    bundles(&[]);
    for name in ["bundle.py", "records.py", "ustar.py"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifier");
        let text = std::fs::read_to_string(path.join(name)).unwrap();
        assert!(text.lines().count() < 150, "{name} stays small");
    }
}

#[test]
fn our_own_verifier_says_the_same_of_every_bundle() {
    let ours = format!("{} evidence verify --json", env!("CARGO_BIN_EXE_canonry"));
    bundles(&["--verifier", &ours]);
}

#[test]
fn every_tampering_is_found() {
    let output = program("verifier/tamper.py").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let kinds = text.lines().filter(|l| l.starts_with("ok")).count();
    assert!(kinds >= 18, "only {kinds} kinds:\n{text}");
    let lines = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifier/verify.py"),
    );
    assert!(lines.unwrap().lines().count() < 150, "the verifier stays small");
}
