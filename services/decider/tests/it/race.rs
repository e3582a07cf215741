//! Another writer takes our position: a valid record, a record of another epoch, garbage.

use std::sync::Arc;
use std::time::Duration;

use canonry_decider::commit::{Ended, commit};
use canonry_decider::desk::Decided;
use canonry_decider::draft::{self, Draft, Head};
use canonry_decider::holder::Status;
use canonry_decider::reply::Reply;
use canonry_nats::{Append, Bytes, Log, Outgoing};
use canonry_record::seal::Signer;
use canonry_record::{Line, Verifier, record, record_hash, verify};
use canonry_schemas::actor::{self, Throttled};
use canonry_schemas::event::Event;
use canonry_schemas::ids::{IntentId, generated};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::harness::{Spine, intent, now, of_intent};

/// Many commands under way; each ends with its intent and its answer.
pub async fn under_way(
    spine: &Spine,
    count: usize,
) -> Vec<JoinHandle<(IntentId, canonry_schemas::answer::Answer)>> {
    let founder = Arc::new(spine.person("founder").await);
    let mut tasks = Vec::new();
    for n in 0..count {
        let founder = Arc::clone(&founder);
        tasks.push(tokio::spawn(async move {
            let id = intent();
            let body = json!({"title": format!("ticket {n}")});
            let answer = founder.send_as(&id, "ticket", "open", &body).await;
            (id, answer)
        }));
    }
    tasks
}

/// Every intent has one record, and its answer names it.
pub async fn one_outcome_each(
    spine: &Spine,
    tasks: Vec<JoinHandle<(IntentId, canonry_schemas::answer::Answer)>>,
) {
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    let ledger = spine.ledger().await;
    for (id, answer) in answers {
        assert!(answer.ok, "{answer:?}");
        let records = of_intent(&ledger, &id);
        assert_eq!(records.len(), 1, "{id}: {records:?}");
        assert_eq!(records[0]["position"].as_str(), answer.position.as_deref());
        assert_eq!(records[0]["entity"].as_str(), answer.entity.as_deref());
    }
}

pub async fn head(log: &Log) -> Head {
    let last = log.last().await.unwrap().unwrap();
    let read = record::parse(&last.body).unwrap();
    let hash = record_hash(&last.subject, &last.body);
    Head { position: read.position, hash, time: read.time, epoch: read.epoch }
}

/// A record that stands on `head`, as another decider would have written it.
pub fn next(spine: &Spine, head: &Head, epoch: u64) -> Draft {
    let founder = spine.tenant.as_str().replace("acme", "founder").parse().unwrap();
    let decided = Decided {
        actor: canonry_decider::ACTOR.parse().unwrap(),
        via: None,
        authdigest: None,
        intent: None,
        entity: "actor/founder".to_owned(),
        touches: Vec::new(),
        event: Event::Actor(actor::Event::Throttled(Throttled { actor: founder, commands: 1 })),
        content_key: None,
        traceparent: None,
    };
    let id = generated("", now(), u128::from(head.position));
    let now = canonry_decider::holder::now();
    let (head, subject, body) =
        draft::chain(&spine.tenant, head, epoch, now, id.clone(), &decided).unwrap();
    let answer =
        draft::answer(&spine.tenant, head.position, &head.hash, &decided.entity, &decided.event);
    let (body, reply) = (body.into(), Reply::Nobody);
    Draft {
        head,
        id,
        subject,
        body,
        traceparent: None,
        trace: None,
        answer,
        asked: None,
        reply,
        signature: None,
    }
}

pub fn signed(spine: &Spine, draft: &Draft) -> Outgoing {
    let keys = spine.test.cell.key_store();
    let key = keys.signing_key(&spine.tenant, canonry_keystore::KeyUse::Record).unwrap();
    let signer = Signer::new(key);
    draft::outgoing(draft, &signer, &draft::sign(&signer, &[draft.head.hash])[0])
}

/// Takes the next position with a message; true when it stands.
async fn take(log: &Log, message: Outgoing, guard: u64) -> bool {
    let appended = log.append(&[message], guard, Duration::from_secs(5)).await;
    matches!(appended, Append::Committed { .. })
}

async fn a_valid_writer_races(spine: &mut Spine) {
    spine.served().await;
    let log = spine.committer_log().await;
    let tasks = under_way(spine, 200).await;
    let mut won = 0;
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while won < 15 && std::time::Instant::now() < end {
        let head = head(&log).await;
        let draft = next(spine, &head, head.epoch);
        won += usize::from(take(&log, signed(spine, &draft), head.position).await);
    }
    assert!(won > 0, "the other writer never won");
    one_outcome_each(spine, tasks).await;
    spine.stop().await;
    let kinds = spine.kinds().await;
    assert_eq!(kinds["canonry.ticket.opened.v1"], 200);
    assert_eq!(kinds["canonry.actor.throttled.v1"], won);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_writer_takes_positions_under_load() {
    a_valid_writer_races(&mut Spine::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_writer_takes_positions_under_load_on_three_nodes() {
    a_valid_writer_races(&mut Spine::cluster().await).await;
}

/// What stands at our position is no record of this chain.
async fn garbage(spine: &mut Spine, make: impl Fn(&Spine, &Head) -> Outgoing) {
    spine.served().await;
    let log = spine.committer_log().await;
    let founder = Arc::new(spine.person("founder").await);
    let subject = founder.subject("ticket", "open");
    let mut tasks = Vec::new();
    for _ in 0..200 {
        let (founder, subject) = (Arc::clone(&founder), subject.clone());
        tasks.push(tokio::spawn(async move {
            let id = intent();
            let headers = [("Canonry-Intent-Id", id.as_str())];
            loop {
                let answer = founder.raw(&subject, &headers, r#"{"title":"x"}"#).await;
                match answer {
                    Some(answer) if answer.code.as_deref() != Some("retry") => return (id, answer),
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }));
    }
    let at = loop {
        let head = head(&log).await;
        if take(&log, make(spine, &head), head.position).await {
            break head.position + 1;
        }
    };
    // One more for certain, should all have been committed before.
    let last = founder.send("ticket", "open", json!({"title": "x"})).await;
    assert_eq!(last.code.as_deref(), Some("tenant-frozen"), "{last:?}");
    assert!(last.message.unwrap().contains(&format!("broken at {at}:")), "the position is told");
    let mut committed = Vec::new();
    for task in tasks {
        let (id, answer) =
            tokio::time::timeout(Duration::from_secs(60), task).await.unwrap().unwrap();
        match answer.code.as_deref() {
            None => committed.push((id, answer)),
            code => assert_eq!(code, Some("tenant-frozen")),
        }
    }
    assert_eq!(log.info().await.unwrap().last_seq, at, "nothing is signed on top");
    let mut verifier = Verifier::new(spine.tenant.clone(), verify::Pins::default());
    for seq in 1..=at {
        let s = log.get(seq).await.unwrap().unwrap();
        let line = Line { seq, subject: &s.subject, headers: &s.headers, body: &s.body };
        assert_eq!(verifier.push(&line).is_ok(), seq < at, "{seq}");
        if let Ok(read) = record::parse(&s.body)
            && let Some(found) = committed
                .iter()
                .position(|(i, _)| read.intentid.as_ref().is_some_and(|read| read == i.as_str()))
        {
            let (_, answer) = committed.swap_remove(found);
            assert_eq!(answer.position, Some(seq.to_string()));
        }
    }
    assert!(committed.is_empty(), "answered, but not in the ledger: {committed:?}");
    spine.stop().await;
}

fn stranger(spine: &Spine, head: &Head) -> Outgoing {
    let draft = next(spine, head, head.epoch);
    let signer = Signer::from_seed(&[3; 32]);
    draft::outgoing(&draft, &signer, &draft::sign(&signer, &[draft.head.hash])[0])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_signed_by_a_stranger_freezes_the_tenant() {
    garbage(&mut Spine::start().await, stranger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_signed_by_a_stranger_freezes_the_tenant_on_three_nodes() {
    garbage(&mut Spine::cluster().await, stranger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_record_freeze_the_tenant() {
    garbage(&mut Spine::start().await, |_, _| Outgoing {
        subject: "ledger.acme.ticket.opened".to_owned(),
        headers: Vec::new(),
        body: Bytes::from_static(b"\xff\x00 nothing"),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_well_signed_record_on_another_chain_freezes_the_tenant() {
    garbage(&mut Spine::start().await, |spine, head| {
        let hash = canonry_record::hash::sha256(b"another chain");
        signed(spine, &next(spine, &Head { hash, ..*head }, head.epoch))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_falling_epoch_freezes_the_tenant() {
    garbage(&mut Spine::start().await, |spine, head| signed(spine, &next(spine, head, 0))).await;
}

/// Others took some of the places of a batch: none, one, all but the last, all, more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_places_were_taken_is_given_back() {
    let mut spine = Spine::start().await;
    spine.served().await;
    spine.stop().await;
    let log = spine.committer_log().await;
    let status = Status::default();
    for (length, taken) in [(9, 0), (9, 1), (9, 8), (9, 9), (9, 12), (2, 1), (1, 1), (12, 11)] {
        let chain = |mut head: Head, count: usize| {
            let mut drafts = Vec::new();
            for _ in 0..count {
                drafts.push(next(&spine, &head, head.epoch));
                head = drafts.last().unwrap().head;
            }
            drafts
        };
        let begun = head(&log).await;
        let ours = chain(begun, length);
        let messages: Vec<_> = ours.iter().map(|d| signed(&spine, d)).collect();
        for draft in chain(begun, taken) {
            assert!(take(&log, signed(&spine, &draft), draft.head.position - 1).await);
        }
        let ended = commit(&log, ours, messages, &status);
        let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
        match ended.expect("a commit ends when its place is taken") {
            Ended::Committed(done) => assert_eq!((done.answers.len(), taken), (length, 0)),
            Ended::Moved(lost) => assert!(lost.len() == length && taken > 0),
        }
        let added = if taken == 0 { length } else { taken };
        assert_eq!(log.info().await.unwrap().last_seq, begun.position + added as u64);
    }
    spine.ledger().await;
}
