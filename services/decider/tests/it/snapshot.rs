//! The snapshot store through a whole decider: restarts and take-overs from it, and everything
//! that must not be believed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use canonry_provision::CellUser;
use canonry_record::content;
use canonry_schemas::answer::Answer;
use rusqlite::Connection;
use serde_json::json;

use crate::faults::{answered_with, ledger_block, load};
use crate::harness::{Spine, intent};

fn file(spine: &Spine, decider: &str) -> PathBuf {
    spine.test.cell.key_store().home().join("deciders").join(decider).join("acme.sqlite")
}

/// The position of the snapshot in a file; `None` while there is none.
fn position(file: &std::path::Path) -> Option<u64> {
    if !file.exists() {
        return None;
    }
    let body: Vec<u8> = Connection::open(file)
        .unwrap()
        .query_row("SELECT body FROM core", [], |r| r.get(0))
        .ok()?;
    let core: serde_json::Value = serde_json::from_slice(&body).unwrap();
    core["position"].as_u64()
}

/// A file that holds the ledger's last record, after everything was stopped.
async fn stopped() -> (Spine, u64) {
    let mut spine = Spine::start().await;
    load(&spine, 60).await;
    spine.stop().await;
    let head = spine.log().await.info().await.unwrap().last_seq;
    (spine, head)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_from_the_snapshot() {
    let mut spine = Spine::start().await;
    let founder = spine.person("founder").await;
    let (id, body) = (intent(), json!({"title": "before"}));
    let first = founder.send_as(&id, "ticket", "open", &body).await;
    let ticket = first.entity.clone().unwrap().strip_prefix("ticket/").unwrap().to_owned();
    spine.stop().await;
    let head = spine.log().await.info().await.unwrap().last_seq;
    assert_eq!(position(&file(&spine, "decider-a")), Some(head));

    spine.decider = Some(spine.decider("decider-a").await);
    let again = founder.send_as(&id, "ticket", "open", &body).await;
    assert_eq!(again, first, "the table of intents is in the snapshot");
    let other = founder.send_as(&id, "ticket", "open", &json!({"title": "other"})).await;
    assert_eq!(other.code.as_deref(), Some("intent-reused"));
    let amended =
        founder.send("ticket", "amend", json!({"id": ticket, "note": "still known"})).await;
    assert!(amended.ok, "{amended:?}");
    spine.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 1);
}

/// A client's text that looks like sealed content moves no content key: not when it is decided,
/// and not when the ledger is read again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_that_looks_sealed_is_a_label() {
    let mut spine = Spine::start().await;
    let founder = spine.person("founder").await;
    let role = founder.hire().await;
    let mut tickets = Vec::new();
    for external in ["x1:7-65535:", "x1:4294967295-255:AAAA", "x1:1-5:AAAA"] {
        let body = json!({"title": "looks", "external": external, "role": role});
        let answer = founder.send("ticket", "open", body).await;
        assert!(answer.ok, "{answer:?}");
        tickets.push(answer.entity.unwrap().strip_prefix("ticket/").unwrap().to_owned());
    }
    spine.stop().await;
    // Another decider without a snapshot: it reads every record.
    spine.decider = Some(spine.decider("decider-b").await);
    for ticket in &tickets {
        let body = json!({"id": ticket, "note": "more content"});
        let answer = founder.send("ticket", "amend", body).await;
        assert!(answer.ok, "{answer:?}");
    }
    assert!(founder.send("ticket", "open", json!({"title": "after"})).await.ok);
    spine.stop().await;
    let mut keys = std::collections::BTreeSet::new();
    for body in spine.ledger().await {
        let Some(title) = body["data"]["title"].as_str() else { continue };
        if let Some((key, _)) = title.strip_prefix("x1:").and_then(|t| t.split_once(':')) {
            assert!(keys.insert(key.to_owned()), "two tickets under one key: {key}");
        }
    }
    assert_eq!(keys, ["1-0", "1-1", "1-2", "1-3"].map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_decider_follows_and_takes_over() {
    let mut spine = Spine::start().await;
    load(&spine, 5).await;
    let second = spine.decider("decider-b").await;
    let followed = file(&spine, "decider-b");
    let until = Instant::now() + Duration::from_secs(60);
    load(&spine, 40).await;
    while position(&followed).is_none_or(|p| p < 40) {
        assert!(Instant::now() < until, "nothing was followed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(second.serving(), []);
    spine.stop().await;
    load(&spine, 5).await;
    assert_eq!(second.serving(), [spine.tenant.clone()]);
    second.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_snapshot_is_thrown_away() {
    let (mut spine, head) = stopped().await;
    let path = file(&spine, "decider-a");
    for change in [
        "UPDATE slots SET due = 1 WHERE entity = (SELECT min(entity) FROM slots)",
        "DELETE FROM intents WHERE key = (SELECT min(key) FROM intents)",
        "UPDATE parts SET body = replace(CAST(body AS TEXT), 'approver', 'founder')",
        "UPDATE core SET body = replace(CAST(body AS TEXT), '\"floor\":0', '\"floor\":9')",
    ] {
        let before = position(&path).unwrap();
        let changed = Connection::open(&path).unwrap().execute(change, []).unwrap();
        assert!(changed > 0, "{change}");
        spine.decider = Some(spine.decider("decider-a").await);
        load(&spine, 1).await;
        spine.stop().await;
        assert!(position(&path).unwrap() > before, "{change}");
    }
    // Folded anew each time, and never wrong.
    assert!(head < position(&path).unwrap());
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 64);
}

/// The tenant is frozen when a decider with a snapshot starts on a ledger that was changed.
async fn frozen(spine: &mut Spine) -> Answer {
    spine.test.server_mut().start_again().await.unwrap();
    spine.decider = Some(spine.decider("decider-a").await);
    answered_with(spine, "tenant-frozen").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_snapshot_skips_is_checked_in_the_background() {
    let (mut spine, _) = stopped().await;
    spine.test.server_mut().stop().await.unwrap();
    let block = ledger_block(&spine);
    let mut bytes = std::fs::read(&block).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&block, bytes).unwrap();
    let answer = frozen(&mut spine).await;
    assert!(answer.message.unwrap().contains("broken at "));
    spine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_shorter_than_the_snapshot_is_frozen() {
    let (mut spine, head) = stopped().await;
    // Nobody else remembers the head: the signed one is lost with the store.
    let keys = spine.test.cell.key_store().clone();
    let committer =
        canonry_decider::serve::connect_cell(&spine.test.url(), &keys, &CellUser::Committer)
            .await
            .unwrap();
    let heads = canonry_nats::Kv::open(committer.clone(), "heads").unwrap();
    heads.delete("acme").await.unwrap();
    committer.close().await;
    spine.test.server_mut().stop().await.unwrap();
    let block = ledger_block(&spine);
    let whole = std::fs::metadata(&block).unwrap().len();
    std::fs::File::options().write(true).open(&block).unwrap().set_len(whole / 2).unwrap();
    drop(std::fs::remove_file(block.parent().unwrap().join("index.db")));
    let answer = frozen(&mut spine).await;
    let said = answer.message.unwrap();
    assert!(said.contains(&format!("saw at {head} is gone")), "{said}");
    // What is lost begins where the store now ends.
    let at = said.split("broken at ").nth(1).and_then(|rest| rest.split(':').next());
    let at: u64 = at.unwrap().parse().unwrap();
    assert!(1 < at && at < head, "{said}");
    spine.stop().await;
}

#[test]
fn the_snapshot_key_is_not_another_of_the_tenants_keys() {
    let secret = [7; 32];
    let snapshot = content::derive(&secret, "snapshot");
    assert_ne!(*snapshot, *content::derive(&secret, "intent-digest"));
    assert_ne!(*snapshot, secret);
}
