//! Idempotency, durable intents and deadlines.

use std::time::Duration;

use canonry_schemas::answer::Answer;
use serde_json::json;

use crate::harness::{Spine, id, intent};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_is_decided_once() {
    let mut spine = Spine::start().await;
    let founder = spine.person("founder").await;
    founder.hire().await;
    let one = intent();
    let body = json!({"title": "once"});
    let first = founder.send_as(&one, "ticket", "open", &body).await;
    assert!(first.ok);
    assert_eq!(founder.send_as(&one, "ticket", "open", &body).await, first);
    let other = founder.send_as(&one, "ticket", "open", &json!({"title": "twice"})).await;
    assert_eq!(other.code.as_deref(), Some("intent-reused"));
    let (a, b) = tokio::join!(founder.send("ticket", "open", json!({"title": "x"})), async {
        let id = intent();
        let body = json!({"title": "in flight"});
        let (x, y) = tokio::join!(
            founder.send_as(&id, "ticket", "open", &body),
            founder.send_as(&id, "ticket", "open", &body)
        );
        assert_eq!(x, y);
        x
    });
    assert!(a.ok && b.ok);
    spine.stop().await;
    spine.decider = Some(spine.decider("decider-b").await);
    assert_eq!(founder.send_as(&one, "ticket", "open", &body).await, first, "after a restart");
    let old = canonry_schemas::ids::IntentId::from_parts(1_000, 7);
    let answer = founder.send_as(&old, "ticket", "open", &body).await;
    assert_eq!(answer.code.as_deref(), Some("intent-expired"));
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_intent_is_stored_sealed_and_its_outcome_follows() {
    let mut spine = Spine::start().await;
    let founder = spine.person("founder").await;
    founder.hire().await;
    let one = intent();
    let outcome = format!("outcome.acme.founder.{one}");
    let mut outcomes = founder.connection.subscribe(&outcome, None).await.unwrap();
    founder.connection.flush().await.unwrap();
    let headers = [("Canonry-Intent-Id", one.as_str())];
    let subject = "intent.acme.founder.ticket.open";
    let stored = founder.raw(subject, &headers, r#"{"title":"CANARY-INTENT"}"#).await.unwrap();
    assert!(stored.ok && stored.intent.as_deref() == Some(one.as_str()), "{stored:?}");
    let wait = Duration::from_secs(20);
    let message = tokio::time::timeout(wait, outcomes.next()).await.unwrap().unwrap();
    let answer: Answer = serde_json::from_slice(&message.body).unwrap();
    assert!(answer.ok, "{answer:?}");
    // The same intent again, both ways: the same answer, no second record.
    let again = founder.send_as(&one, "ticket", "open", &json!({"title": "CANARY-INTENT"})).await;
    assert_eq!(again, answer);
    spine.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 1);
    let dir = spine.test.server().store_dir();
    let mut grep = std::process::Command::new("grep");
    let found = grep.arg("-rl").arg("CANARY-INTENT").arg(dir).output().unwrap();
    assert!(found.stdout.is_empty(), "content in clear in the store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_is_raised_once_and_survives_a_restart() {
    let mut spine = Spine::start().await;
    let founder = spine.person("founder").await;
    founder.hire().await;
    let due = canonry_schemas::time::Time(canonry_decider::holder::now().0 + 3_000_000);
    let ticket = founder.send("ticket", "open", json!({"title": "late", "due": due})).await;
    assert!(ticket.ok, "{ticket:?}");
    spine.stop().await;
    spine.decider = Some(spine.decider("decider-b").await);
    let subject = "live.acme.ticket.deadline-breached";
    let mut live = founder.connection.subscribe(subject, None).await.unwrap();
    let message =
        tokio::time::timeout(Duration::from_secs(30), live.next()).await.unwrap().unwrap();
    let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
    assert_eq!(body["data"]["id"], id(&ticket));
    founder.send("ticket", "open", json!({"title": "another"})).await;
    spine.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.deadline-breached.v1"], 1);
}
