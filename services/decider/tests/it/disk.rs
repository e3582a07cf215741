//! A full disk: the server may write no larger file, and says nothing of it.

use std::time::Duration;

use canonry_schemas::answer::Answer;
use canonry_schemas::ids::IntentId;
use serde_json::json;

use crate::harness::{Person, Spine, intent, of_intent, until};

/// One try, without a repeat.
async fn once(founder: &Person, id: &IntentId) -> Answer {
    let body = json!({"title": "t".repeat(450), "note": "n".repeat(450)}).to_string();
    let headers = [("Canonry-Intent-Id", id.as_str())];
    let answer = founder.raw(&founder.subject("ticket", "open"), &headers, body).await;
    answer.expect("a full disk does not keep callers from an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_the_pending_commit_lands_once() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    spine.test.server_mut().limit_files(Some(256 * 1024));
    spine.test.server_mut().restart().await.unwrap();
    spine.served().await;

    let mut all = Vec::new();
    let mut stuck = Vec::new();
    while stuck.is_empty() {
        assert!(all.len() < 2_000, "the disk is never full");
        let ids: Vec<IntentId> = (0..10).map(|_| intent()).collect();
        let tries = ids.iter().map(|id| once(&founder, id));
        let answers = futures_util::future::join_all(tries).await;
        for (id, answer) in ids.into_iter().zip(answers) {
            match answer.code.as_deref() {
                None => {}
                Some("retry") => stuck.push(id.clone()),
                Some(_) => panic!("{answer:?}"),
            }
            all.push((id, answer));
        }
    }
    let decider = spine.decider.as_ref().unwrap();
    assert!(!decider.store_unavailable(), "not so soon");
    // Whoever comes while the store gives no answer is told at once, and nothing is decided.
    let committed = all.len() - stuck.len();
    for _ in 0..50 {
        let id = intent();
        let answer = once(&founder, &id).await;
        assert_eq!(answer.code.as_deref(), Some("retry"), "{answer:?}");
        all.push((id, answer));
    }
    until("the store is called unavailable", || async { decider.store_unavailable() }).await;
    assert_eq!(decider.health().fault().map(|(code, _)| code), Some("store-unavailable"));
    let answer = once(&founder, &all[0].0).await;
    assert_eq!(answer.code.as_deref(), Some("retry"), "not even a repeat: {answer:?}");

    spine.test.server_mut().limit_files(None);
    spine.test.server_mut().restart().await.unwrap();
    // The commit that waited lands by itself, before anybody asks again.
    until("the pending commit lands", || async {
        let ledger = spine.ledger().await;
        stuck.iter().any(|id| of_intent(&ledger, id).len() == 1)
    })
    .await;
    until("the store is available", || async { !decider.store_unavailable() }).await;
    for (id, first) in &all {
        let answer = loop {
            let answer = once(&founder, id).await;
            if answer.code.as_deref() != Some("retry") {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert!(answer.ok, "{answer:?}");
        assert!(!first.ok || answer == *first, "a repeat gets the first answer");
    }
    spine.stop().await;
    let ledger = spine.ledger().await;
    for (id, _) in &all {
        assert_eq!(of_intent(&ledger, id).len(), 1);
    }
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], all.len());
    assert!(committed > 0);
}
