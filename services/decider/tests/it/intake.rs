//! Idempotency, durable intents and deadlines.

use std::time::Duration;

use canonry_decider::intake;
use canonry_nats::{Micro, Queue};
use canonry_provision::CellUser;
use canonry_schemas::answer::Answer;
use serde_json::json;

use crate::harness::{Spine, id, intent, of_intent, until};

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

/// Nobody could decide it ten times: it is put aside, still sealed, and the queue goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_that_was_delivered_too_often_is_put_aside() {
    let mut spine = Spine::start().await;
    spine.served().await;
    spine.stop().await;
    let responder = spine.cell_user(&CellUser::Responder).await;
    let taker = spine.cell_user(&CellUser::Intake).await;
    let committer = spine.cell_user(&CellUser::Committer).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let micro = Micro::start(responder, "decider", "0.0.1", "intake alone").await.unwrap();
    let keys = spine.test.cell.key_store().clone();
    let serve = tokio::spawn(intake::serve(
        micro,
        taker.clone(),
        committer.clone(),
        keys,
        canonry_telemetry::Metrics::new(),
        stopped,
    ));
    let founder = spine.person("founder").await;
    let tired = intent();
    let headers = [("Canonry-Intent-Id", tired.as_str())];
    let subject = "intent.acme.founder.ticket.open";
    until("the intent is stored", || async {
        founder.raw(subject, &headers, r#"{"title":"tired"}"#).await.is_some_and(|a| a.ok)
    })
    .await;
    stop.send_replace(true);
    serve.await.unwrap();
    let mut queue =
        Queue::open(taker, "INTENTS_acme", &intake::settings(&spine.tenant)).await.unwrap();
    for delivery in 1..=10 {
        let jobs = queue.next_batch(1, Duration::from_secs(20)).await.unwrap();
        assert_eq!(jobs[0].delivered, delivery);
        for job in jobs {
            job.nak(Duration::ZERO).await.unwrap();
        }
    }
    drop(queue);
    spine.decider = Some(spine.decider("decider-b").await);
    spine.served().await;
    let count = |stream: &'static str| {
        let committer = &committer;
        async move {
            let subject = format!("STREAM.INFO.{stream}");
            let info = committer.js_request(&subject, &serde_json::Value::Null).await.unwrap();
            info["state"]["messages"].as_u64().unwrap()
        }
    };
    until("it is put aside", || async { count("DEAD_acme").await == 1 }).await;
    until("the queue is empty", || async { count("INTENTS_acme").await == 0 }).await;
    let answer = founder.raw(subject, &[], r#"{"title":"fresh"}"#).await.unwrap();
    assert!(answer.ok, "{answer:?}");
    until("the next is decided", || async {
        spine.kinds().await.contains_key("canonry.ticket.opened.v1")
    })
    .await;
    spine.stop().await;
    let ledger = spine.ledger().await;
    assert!(of_intent(&ledger, &tired).is_empty());
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 1);
}
