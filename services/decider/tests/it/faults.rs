//! Faults: two deciders, the death of the server, a changed stream, load through it all.

use std::sync::Arc;
use std::time::Duration;

use canonry_nats::Kv;
use canonry_provision::CellUser;
use serde_json::json;

use crate::harness::{Spine, intent};
use crate::race::{one_outcome_each, under_way};

/// Sends `count` commands, many at once; every one gets exactly one outcome.
pub async fn load(spine: &Spine, count: usize) -> Vec<String> {
    let founder = Arc::new(spine.person("founder").await);
    let mut tasks = Vec::new();
    for n in 0..count {
        let founder = Arc::clone(&founder);
        tasks.push(tokio::spawn(async move {
            let body = json!({"title": format!("ticket {n}")});
            let answer = founder.send_as(&intent(), "ticket", "open", &body).await;
            assert!(answer.ok, "{answer:?}");
            answer.entity.unwrap()
        }));
    }
    let mut entities = Vec::new();
    for task in tasks {
        entities.push(task.await.unwrap());
    }
    entities.sort();
    entities.dedup();
    assert_eq!(entities.len(), count, "an entity was made twice");
    entities
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_deciders_and_a_hand_over_under_load() {
    let mut spine = Spine::start().await;
    let second = spine.decider("decider-b").await;
    let before = load(&spine, 300).await;
    let stopping = spine.decider.take().unwrap();
    let (_, after) = tokio::join!(stopping.stop(), load(&spine, 600));
    assert_eq!(before.len() + after.len(), 900);
    second.stop().await;
    let kinds = spine.kinds().await;
    assert_eq!(kinds["canonry.ticket.opened.v1"], 900);
    assert_eq!(kinds["canonry.tenant.taken-over.v1"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_under_load() {
    let mut spine = Spine::start().await;
    load(&spine, 50).await;
    let url = spine.test.url();
    for round in 1..=3 {
        let before = spine.log().await.info().await.unwrap().last_seq;
        let tasks = under_way(&spine, 150).await;
        // In the middle of it: some of them are stored, most are not.
        while spine.log().await.info().await.unwrap().last_seq < before + 10 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        spine.test.server_mut().kill().unwrap();
        spine.test.server_mut().start_again().await.unwrap();
        assert_eq!(spine.test.url(), url);
        one_outcome_each(&spine, tasks).await;
        assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 50 + 150 * round);
    }
    spine.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 500);
}

/// Waits until commands are answered with the code.
pub async fn answered_with(spine: &Spine, code: &str) -> canonry_schemas::answer::Answer {
    let founder = spine.person("founder").await;
    let subject = founder.subject("ticket", "open");
    let until = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let answer = founder.raw(&subject, &[], r#"{"title":"x"}"#).await;
        match answer {
            Some(answer) if answer.code.as_deref() == Some(code) => return answer,
            other => assert!(std::time::Instant::now() < until, "no {code}: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn block_files(dir: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            block_files(&path, found);
        } else if path.to_str().unwrap().contains("LEDGER_acme")
            && path.extension().is_some_and(|e| e == "blk")
        {
            found.push(path);
        }
    }
}

/// The only block of the ledger's first volume.
pub fn ledger_block(spine: &Spine) -> std::path::PathBuf {
    let mut blocks = Vec::new();
    block_files(&spine.test.server().store_dir(), &mut blocks);
    blocks.retain(|path| path.components().any(|part| part.as_os_str() == "LEDGER_acme"));
    assert_eq!(blocks.len(), 1, "{blocks:?}");
    blocks.remove(0)
}

/// Half of it is gone. Without its index the server believes the file.
pub fn truncate(block: &std::path::Path) {
    let file = std::fs::File::options().write(true).open(block).unwrap();
    let whole = file.metadata().unwrap().len();
    file.set_len(whole / 2).unwrap();
    drop(std::fs::remove_file(block.parent().unwrap().join("index.db")));
}

/// Damages the ledger's only block while the server is down.
async fn damaged(
    change: impl FnOnce(&std::path::Path),
) -> (Spine, canonry_schemas::answer::Answer) {
    let mut spine = Spine::start().await;
    load(&spine, 200).await;
    spine.stop().await;
    spine.test.server_mut().stop().await.unwrap();
    change(&ledger_block(&spine));
    spine.test.server_mut().start_again().await.unwrap();
    spine.decider = Some(spine.decider("decider-b").await);
    let answer = answered_with(&spine, "tenant-frozen").await;
    (spine, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_freezes_the_tenant() {
    let (mut spine, answer) = damaged(|block| {
        let mut bytes = std::fs::read(block).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(block, bytes).unwrap();
    })
    .await;
    assert!(answer.message.unwrap().contains("broken at "));
    spine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_store_freezes_the_tenant() {
    let (mut spine, answer) = damaged(truncate).await;
    assert!(answer.message.unwrap().contains("broken at "));
    spine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_stream_is_refused() {
    let mut spine = Spine::start().await;
    load(&spine, 20).await;
    spine.stop().await;
    let keys = spine.test.cell.key_store();
    let user = CellUser::ProvisionStreams;
    let admin = canonry_decider::serve::connect_cell(&spine.test.url(), keys, &user).await.unwrap();
    let info = admin.js_request("STREAM.INFO.LEDGER_acme", &serde_json::Value::Null).await.unwrap();
    let mut config = info["config"].clone();
    config["max_msgs"] = json!(1_000_000);
    admin.js_request("STREAM.UPDATE.LEDGER_acme", &config).await.unwrap();
    let decider = spine.decider("decider-b").await;
    let founder = spine.person("founder").await;
    let subject = founder.subject("ticket", "open");
    for _ in 0..20 {
        assert_eq!(founder.raw(&subject, &[], r#"{"title":"x"}"#).await, None);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(decider.serving().is_empty());
    decider.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_lose_their_leader_under_load() {
    let mut spine = Spine::cluster().await;
    load(&spine, 50).await;
    let tasks = under_way(&spine, 300).await;
    let info = spine.log().await.info().await.unwrap();
    let leader = info.leader.unwrap();
    let servers = spine.test.servers_mut();
    let at = servers.iter().position(|s| s.name() == leader).unwrap();
    servers[at].kill().unwrap();
    one_outcome_each(&spine, tasks).await;
    spine.test.servers_mut()[at].start_again().await.unwrap();
    spine.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 350);
}

/// The server loses what it had acknowledged, while a holder serves that knows better.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_truncated_under_a_holder_freezes_the_tenant() {
    let mut spine = Spine::start().await;
    load(&spine, 200).await;
    let known = spine.log().await.info().await.unwrap().last_seq;
    let store = spine.test.server().store_dir();
    spine.test.server_mut().stop().await.unwrap();
    let mut blocks = Vec::new();
    block_files(&store, &mut blocks);
    truncate(&blocks[0]);
    spine.test.server_mut().start_again().await.unwrap();
    let answer = answered_with(&spine, "tenant-frozen").await;
    assert!(answer.message.unwrap().contains(&format!("broken at {known}:")));
    let log = spine.log().await;
    let left = log.info().await.unwrap().last_seq;
    assert!(left < known, "nothing is written into the gap: {left} of {known}");
    spine.stop().await;
}

/// The checkpointer found the ledger wrong while it is being served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_somebody_froze_is_not_served_on() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let bucket = Kv::open(spine.cell_user(&CellUser::Checkpointer).await, "frozen").unwrap();
    let flag = json!({"position": 1, "why": "ledger-forked: said by a test"}).to_string();
    bucket.create("acme", flag).await.unwrap();
    let answer = answered_with(&spine, "tenant-frozen").await;
    assert!(answer.receipt.is_none(), "{answer:?}");
    spine.stop().await;
}
