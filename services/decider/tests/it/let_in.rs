//! Who is let in: a person who floods through a service, durable intents that meet an empty
//! bucket, heads that never fall, and a record that a newer program wrote.

use std::time::Duration;

use canonry_decider::Decider;
use canonry_decider::assign::Assignments;
use canonry_decider::draft::Head;
use canonry_decider::keeper::Keeper;
use canonry_decider::throttle::Settings;
use canonry_keystore::KeyUse;
use canonry_nats::{Append, Bytes, Kv, Outgoing};
use canonry_provision::CellUser;
use canonry_record::envelope::Envelope;
use canonry_record::export::parse_head;
use canonry_record::jws::{self, Bearer};
use canonry_record::seal::{Signer, headers, seal};
use canonry_record::{Hash, record};
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::generated;
use canonry_schemas::subject::BUCKET_HEADS;
use serde_json::json;

use crate::harness::{Person, Spine, ask, intent, now, until};
use crate::race::head;

fn bearer(person: &Person) -> String {
    let iat = i64::try_from(now() / 1_000).unwrap();
    let claims = Bearer {
        iss: person.actor.to_string(),
        aud: "canonry/acme/api".to_owned(),
        ten: "acme".to_owned(),
        iat,
        exp: iat + 600,
        jti: intent().to_string(),
    };
    jws::sign(&claims, &person.signer)
}

async fn throttled_at(spine: &mut Spine, rate: u32, burst: u32) {
    spine.stop().await;
    let mut config = spine.config("decider-b");
    config.throttle = Settings {
        rate,
        burst,
        summary_every: Duration::from_secs(1),
        intent_again: Duration::from_secs(2),
    };
    spine.decider = Some(Decider::start(config).await.unwrap());
    spine.served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_through_a_service_is_the_persons_not_the_services() {
    let mut spine = Spine::start().await;
    throttled_at(&mut spine, 1, 300).await;
    let service = spine.service("svc_api").await;
    let (operator, founder) = (spine.person("operator").await, spine.person("founder").await);
    let (flooding, other) = (bearer(&operator), bearer(&founder));
    let (service, subject) = (&service, "command.acme.svc_api.ticket.open");
    let open = |token: String| async move {
        let id = intent();
        let headers =
            [("Canonry-Intent-Id", id.as_str()), ("Canonry-On-Behalf-Of", token.as_str())];
        ask(service, subject, &headers, r#"{"title":"one of many"}"#).await.unwrap()
    };
    let mut codes = Vec::new();
    for _ in 0..400 {
        let answer: Answer = open(flooding.clone()).await;
        codes.push(answer.code);
    }
    let throttled = codes.iter().filter(|c| c.as_deref() == Some("throttled")).count();
    assert!(throttled > 0, "the bucket of 300 never ran empty: {codes:?}");
    assert!(codes[..100].iter().all(Option::is_none), "{codes:?}");
    let answer = open(other).await;
    assert!(answer.ok, "another person's command through the same service: {answer:?}");
    until("what was throttled is summed under the person's name", || async {
        let ledger = spine.ledger().await;
        let sums = ledger.iter().filter(|b| b["type"] == "canonry.actor.throttled.v1");
        sums.filter(|b| b["entity"] == "actor/operator")
            .map(|b| b["data"]["commands"].as_u64().unwrap())
            .sum::<u64>()
            == throttled as u64
    })
    .await;
    spine.stop().await;
    let ledger = spine.ledger().await;
    assert!(ledger.iter().all(|b| b["entity"] != "actor/svc_api"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_intent_that_meets_an_empty_bucket_is_decided_later() {
    const STORED: usize = 120;
    let mut spine = Spine::start().await;
    throttled_at(&mut spine, 0, 100).await;
    let operator = spine.person("operator").await;
    for _ in 0..STORED {
        let subject = "intent.acme.operator.ticket.open";
        let answer = operator.raw(subject, &[], r#"{"title":"waits"}"#).await.unwrap();
        assert!(answer.ok, "{answer:?}");
    }
    let opened = || async {
        spine.kinds().await.get("canonry.ticket.opened.v1").copied().unwrap_or_default()
    };
    until("the bucket is empty", || async { opened().await == 100 }).await;
    // Some came again meanwhile, and met the same bucket.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(opened().await, 100);
    spine.stop().await;
    spine.decider = Some(spine.decider("decider-c").await);
    until("all are decided", || async {
        spine.kinds().await.get("canonry.ticket.opened.v1") == Some(&STORED)
    })
    .await;
    spine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_head_never_falls() {
    let mut spine = Spine::start().await;
    spine.served().await;
    spine.stop().await;
    let committer = spine.cell_user(&CellUser::Committer).await;
    let keys = spine.test.cell.key_store();
    let kek = keys.kek(&spine.tenant).unwrap();
    let checkpoint = keys.signing_key(&spine.tenant, KeyUse::Checkpoint).unwrap();
    let signer = Signer::new(checkpoint);
    let keeper = Keeper::open(&committer, &spine.tenant, kek.as_bytes()).await;
    let keeper = keeper.unwrap_or_else(|over| panic!("{over:?}"));
    let stands = head(&spine.log().await).await;
    let at = |position| Head { position, hash: Hash([7; 32]), ..stands };
    assert!(keeper.write_head(&spine.tenant, &at(900), &signer).await);
    // A deposed holder that wakes up.
    assert!(keeper.write_head(&spine.tenant, &at(899), &signer).await);
    let heads = Kv::open(committer, BUCKET_HEADS).unwrap();
    let entry = heads.get(spine.tenant.as_str()).await.unwrap().unwrap();
    let kept = parse_head(std::str::from_utf8(&entry.value).unwrap()).unwrap();
    assert_eq!(kept.head.position, 900);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_a_newer_program_ends_the_service_and_freezes_nothing() {
    let mut spine = Spine::start().await;
    spine.served().await;
    spine.stop().await;
    let log = spine.committer_log().await;
    let before = head(&log).await;
    let id = generated("", now(), 1);
    let envelope = Envelope {
        id: &id,
        tenant: "acme",
        workspace: None,
        actor: canonry_decider::ACTOR,
        via: None,
        authdigest: None,
        intentid: None,
        intentdigest: None,
        correlationid: None,
        entity: "ticket/tkt_01arz3ndektsv4rrffq69g5fav",
        touches: &[],
        epoch: before.epoch,
        position: before.position + 1,
        prevhash: before.hash,
        time: canonry_decider::holder::now().max(before.time),
        aggregate: "ticket",
        event: "teleported",
        version: 1,
        traceparent: None,
        data: br#"{"to":"mars"}"#,
    };
    let (subject, body) = (envelope.subject(), envelope.to_body());
    record::parse(&body).unwrap();
    let key = spine.test.cell.key_store().signing_key(&spine.tenant, KeyUse::Record).unwrap();
    let sealed = seal(&subject, &body, &Signer::new(key));
    let message = Outgoing {
        subject,
        headers: headers(&id, &sealed.hash, &sealed.signature, None),
        body: Bytes::from(body),
    };
    let stored = log.append(&[message], before.position, Duration::from_secs(5)).await;
    assert!(matches!(stored, Append::Committed { .. }), "{stored:?}");

    let decider = spine.decider("decider-b").await;
    let committer = spine.cell_user(&CellUser::Committer).await;
    let assignments = Assignments::open(&committer, "somebody".parse().unwrap()).unwrap();
    until("the tenant is left to others", || async {
        let held = assignments.read(&spine.tenant).await.unwrap();
        held.is_some_and(|(a, _)| a.decider.as_str() == "nobody")
    })
    .await;
    assert!(decider.serving().is_empty());
    let frozen = Kv::open(committer, canonry_schemas::subject::BUCKET_FROZEN).unwrap();
    assert!(frozen.get("acme").await.unwrap().is_none(), "nothing is broken");
    let founder = spine.person("founder").await;
    let subject = founder.subject("ticket", "open");
    let unserved = founder.raw(&subject, &[], json!({"title": "x"}).to_string()).await;
    assert!(unserved.is_none_or(|a| a.code.as_deref() == Some("retry")));
    decider.stop().await;
}
