//! A flood of refusals by one actor: it ends, it is summed, and nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use canonry_decider::Decider;
use canonry_decider::throttle::Settings;
use canonry_schemas::time::Time;
use serde_json::{Value, json};

use crate::harness::{Spine, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_throttled_and_summed_while_others_are_served() {
    let mut spine = Spine::start().await;
    spine.stop().await;
    let mut config = spine.config("decider-b");
    // Small, so that the slowest machine can send more.
    config.throttle = Settings {
        rate: 50,
        burst: 2_000,
        summary_every: Duration::from_secs(1),
        ..Settings::default()
    };
    spine.decider = Some(Decider::start(config).await.unwrap());
    spine.served().await;

    let operator = Arc::new(spine.person("operator").await);
    let (refused, throttled) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let enough = Arc::new(AtomicBool::new(false));
    let mut flood = Vec::new();
    for _ in 0..64 {
        let (operator, enough) = (Arc::clone(&operator), Arc::clone(&enough));
        let (refused, throttled) = (Arc::clone(&refused), Arc::clone(&throttled));
        flood.push(tokio::spawn(async move {
            let subject = operator.subject("dragon", "ride");
            while !enough.load(Ordering::Relaxed) {
                let answer = operator.raw(&subject, &[], "{}").await.unwrap();
                match answer.code.as_deref() {
                    Some("unknown-command") => {
                        assert!(answer.position.is_some());
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    Some("throttled") => {
                        assert!(answer.position.is_none() && answer.receipt.is_none());
                        throttled.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => panic!("{answer:?}"),
                }
            }
        }));
    }
    until("the bucket is empty", || async { throttled.load(Ordering::Relaxed) > 0 }).await;
    let founder = spine.person("founder").await;
    for n in 0..50 {
        let answer = founder.send("ticket", "open", json!({"title": format!("{n}")})).await;
        assert!(answer.ok, "another is served meanwhile: {answer:?}");
    }
    until("a long flood", || async { throttled.load(Ordering::Relaxed) > 2_000 }).await;
    enough.store(true, Ordering::Relaxed);
    for task in flood {
        task.await.unwrap();
    }
    let wanted = throttled.load(Ordering::Relaxed);
    let sums = || async {
        let ledger = spine.ledger().await;
        let sums = ledger.iter().filter(|b| b["type"] == "canonry.actor.throttled.v1");
        sums.cloned().collect::<Vec<_>>()
    };
    until("all that was throttled is summed", || async {
        let commands = sums().await.iter().map(|b| b["data"]["commands"].as_u64().unwrap()).sum();
        let summed: u64 = commands;
        assert!(summed <= wanted);
        summed == wanted
    })
    .await;
    let sums = sums().await;
    assert!(sums.iter().all(|b| b["entity"] == "actor/operator" && b["actor"] == "svc_decider"));
    let time = |b: &Value| serde_json::from_value::<Time>(b["time"].clone()).unwrap().0;
    let apart = sums.windows(2).all(|w| time(&w[1]) - time(&w[0]) > 900_000);
    assert!(apart, "one record a period at the most: {sums:?}");
    // The actor who flooded is served again as soon as the bucket has filled.
    until("it is served again", || async {
        operator.send("ticket", "open", json!({"title": "after"})).await.ok
    })
    .await;
    spine.stop().await;
    let kinds = spine.kinds().await;
    assert_eq!(kinds["canonry.ticket.opened.v1"], 51);
    // One more by the harness, which asks for an unknown verb to see whether it is served.
    let recorded = kinds["canonry.actor.command-refused.v1"] as u64;
    assert_eq!(recorded, refused.load(Ordering::Relaxed) + 1);
}
