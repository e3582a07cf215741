//! Faults: two deciders, the death of the server, a changed stream, load through it all.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Spine, intent};

/// Sends `count` commands, many at once; every one gets exactly one outcome.
async fn load(spine: &Spine, count: usize) -> Vec<String> {
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
    let founder = Arc::new(spine.person("founder").await);
    let mut tasks = Vec::new();
    for n in 0..400 {
        let founder = Arc::clone(&founder);
        tasks.push(tokio::spawn(async move {
            let body = json!({"title": format!("ticket {n}")});
            founder.send_as(&intent(), "ticket", "open", &body).await
        }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    spine.test.server_mut().kill().unwrap();
    spine.test.server_mut().start_again().await.unwrap();
    assert_eq!(spine.test.url(), url);
    for task in tasks {
        let answer = task.await.unwrap();
        assert!(answer.ok, "{answer:?}");
    }
    spine.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 450);
}
