//! Step-up: keys that only a root key gives, and what a person does with them. What is refused of
//! assertions is in [`crate::attacks`] too.

use canonry_keystore::KeyUse;
use canonry_record::jws::{self, Assertion};
use canonry_record::ring::{authorize, public_key};
use canonry_record::seal::Signer;
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::{ActorId, IntentId, KeyId};
use canonry_schemas::key::{PublicKey, Use};
use canonry_schemas::time::Time;
use serde_json::{Value, json};

use crate::acting::{Work, said};
use crate::harness::{Person, Spine, id, intent, now, until};
use crate::tokens::{enrolment, keyhead};

/// A key of somebody that reaches a level.
pub fn step_up_key(seed: u8, actor: &str, level: u8) -> (Signer, PublicKey) {
    let signer = Signer::from_seed(&[seed; 32]);
    let actor: ActorId = actor.parse().unwrap();
    let key = public_key(&signer.public(), vec![Use::StepUp], actor);
    (signer, PublicKey { level: Some(level), ..key })
}

/// The body of a change of a member's keys, authorised by a key of the founding with this use.
async fn change(
    spine: &Spine,
    actor: &str,
    keys: Vec<PublicKey>,
    revoked: Vec<KeyId>,
    by: KeyUse,
) -> Value {
    let store = spine.test.cell.key_store();
    let by = match by {
        KeyUse::Member => store.member_key(&spine.tenant, &actor.parse().unwrap()).unwrap(),
        by => store.stored_key(&spine.tenant, by).unwrap().key,
    };
    let head = keyhead(spine).await;
    let change = authorize(&spine.tenant, &head, keys, revoked, &Signer::new(by));
    let mut body = serde_json::to_value(change).unwrap();
    body["actor"] = json!(actor);
    body
}

/// Gives somebody a key to step up with.
pub async fn given(work: &Work, actor: &str, key: PublicKey) {
    let body = change(&work.spine, actor, vec![key], vec![], KeyUse::Root).await;
    let answer = work.founder.send("member", "rotate-keys", body).await;
    assert!(answer.ok, "{answer:?}");
}

/// An assertion as it should be, to be changed.
pub fn assertion(by: &Person, action: &str, receipt: &str, intent: &IntentId) -> Assertion {
    let mut parts = receipt.split('/').skip(1);
    let iat = i64::try_from(now() / 1_000).unwrap();
    Assertion {
        iss: by.actor.to_string(),
        aud: "canonry/acme/step-up".to_owned(),
        sub: format!("action/{action}"),
        level: 2,
        intent: intent.to_string(),
        iat,
        exp: iat + 120,
        position: parts.next().unwrap().parse().unwrap(),
        hash: parts.next().unwrap().parse().unwrap(),
    }
}

/// Somebody steps up, with this key.
pub async fn steps_up(by: &Person, key: &Signer, action: &str, receipt: &str) -> Answer {
    let this = intent();
    let token = jws::sign(&assertion(by, action, receipt, &this), key);
    by.send_as(&this, "action", "step-up", &json!({"id": action, "assertion": token})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stepped_up_for_is_done() {
    let work = Work::begin().await;
    assert!(work.publish().await.ok);
    // Nobody has a key that reaches the level: nobody is asked.
    assert_eq!(said(&work.propose("strong", json!({"a": 1})).await), "approvers-none");
    let (key, entry) = step_up_key(51, "founder", 3);
    given(&work, "founder", entry).await;
    assert_eq!(said(&work.propose("strongest", json!({})).await), "approvers-none");

    let held = work.propose("strong", json!({"a": 1})).await;
    assert_eq!(said(&held), "held", "{held:?}");
    let (action, receipt) = (id(&held), held.receipt.unwrap());
    let record = work.record(&action).await;
    assert_eq!(record["data"]["approvals"]["level"], 2);
    assert_eq!(record["data"]["decision"]["verdict"], "REQUIRE_STEP_UP");
    let early = work.resume(&action, json!({"a": 1})).await;
    assert_eq!(said(&early), "approval-missing");

    // The same intent again is answered as before.
    let this = intent();
    let token = jws::sign(&assertion(&work.founder, &action, &receipt, &this), &key);
    let body = json!({"id": action, "assertion": token});
    let first = work.founder.send_as(&this, "action", "step-up", &body).await;
    assert_eq!(said(&first), "stepped-up", "{first:?}");
    let again = work.founder.send_as(&this, "action", "step-up", &body).await;
    assert_eq!((&again.receipt, again.ok), (&first.receipt, true));
    let record = work.record(&action).await;
    assert_eq!(record["data"], json!({"id": action, "assertion": token, "level": 2}));
    assert_eq!(record["actor"], "founder");

    let done = work.resume(&action, json!({"a": 1})).await;
    assert_eq!(said(&done), "allowed", "{done:?}");
    let record = work.record(&action).await;
    assert_eq!(record["data"]["approved_by"], json!([first.position]));
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_both_are_asked_both_must_be_there() {
    let work = Work::begin().await;
    assert!(work.publish().await.ok);
    let (key, entry) = step_up_key(52, "approver", 2);
    given(&work, "approver", entry).await;
    let held = work.propose("both", json!({})).await;
    assert_eq!(said(&held), "held", "{held:?}");
    let (action, receipt) = (id(&held), held.receipt.unwrap());
    let asks = work.record(&action).await["data"]["approvals"].clone();
    assert_eq!((&asks["level"], &asks["groups"][0]["name"]), (&json!(2), &json!("approver")));
    let stepped = steps_up(&work.approver, &key, &action, &receipt).await;
    assert_eq!(said(&stepped), "stepped-up", "{stepped:?}");
    assert_eq!(said(&work.resume(&action, json!({})).await), "approval-missing");
    let agreed = work.answer(&work.founder, &action, true, &receipt).await;
    assert_eq!(said(&agreed), "approved", "{agreed:?}");
    assert_eq!(said(&work.resume(&action, json!({})).await), "allowed");
    let record = work.record(&action).await;
    assert_eq!(record["data"]["approved_by"], json!([stepped.position, agreed.position]));
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_root_key_makes_somebody_stronger() {
    let work = Work::begin().await;
    let worker = json!({"parts": ["worker"], "role": work.role});
    let body = enrolment(&work.spine, "bot", worker).await;
    assert!(work.founder.send("member", "enrol", body).await.ok);
    let key = |actor: &str| step_up_key(53, actor, 2).1;
    let none = PublicKey { level: None, ..key("founder") };
    let two = PublicKey { uses: vec![Use::StepUp, Use::Member], ..key("founder") };
    let plain = PublicKey { uses: vec![Use::Member], ..key("founder") };
    for (actor, entry, by, code) in [
        ("founder", key("founder"), KeyUse::Enrol, "keys-unauthorized"),
        ("founder", key("founder"), KeyUse::Member, "keys-unauthorized"),
        ("founder", key("founder"), KeyUse::Record, "keys-unauthorized"),
        ("founder", none, KeyUse::Root, "keys-invalid"),
        ("founder", two, KeyUse::Root, "keys-invalid"),
        ("founder", plain, KeyUse::Root, "keys-invalid"),
        ("founder", key("approver"), KeyUse::Root, "keys-invalid"),
        ("bot", key("bot"), KeyUse::Root, "keys-invalid"),
    ] {
        let body = change(&work.spine, actor, vec![entry], vec![], by).await;
        let answer = work.founder.send("member", "rotate-keys", body).await;
        assert_eq!(said(&answer), code, "{actor} by {by}");
    }
    // It is a member's, not the tenant's.
    let mut body = change(&work.spine, "founder", vec![key("founder")], vec![], KeyUse::Root).await;
    body.as_object_mut().unwrap().remove("actor");
    let answer = work.founder.send("tenant", "rotate-keys", body).await;
    assert_eq!(said(&answer), "keys-invalid");
    given(&work, "founder", key("founder")).await;
    // Whoever may end the member's other keys may end it.
    let other = Signer::from_seed(&[54; 32]);
    let member = public_key(&other.public(), vec![Use::Member], "founder".parse().unwrap());
    let ended = vec![key("founder").id];
    let body = change(&work.spine, "founder", vec![member], ended, KeyUse::Member).await;
    let answer = work.founder.send("member", "rotate-keys", body).await;
    assert!(answer.ok, "{answer:?}");
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_has_ended_steps_up_for_nothing() {
    let work = Work::begin().await;
    assert!(work.publish().await.ok);
    let (lasting, entry) = step_up_key(55, "founder", 2);
    given(&work, "founder", entry.clone()).await;
    let held = work.propose("strong", json!({})).await;
    let (action, receipt) = (id(&held), held.receipt.unwrap());
    let end = Time(canonry_decider::holder::now().0 + 1_500_000);
    let (short, other) = step_up_key(56, "founder", 2);
    given(&work, "founder", PublicKey { notafter: Some(end), ..other }).await;
    until("its end", || async { end < canonry_decider::holder::now() }).await;
    let answer = steps_up(&work.founder, &short, &action, &receipt).await;
    assert_eq!(said(&answer), "key-expired");
    let fresh = step_up_key(57, "founder", 2).1;
    let body = change(&work.spine, "founder", vec![fresh], vec![entry.id], KeyUse::Root).await;
    assert!(work.founder.send("member", "rotate-keys", body).await.ok);
    let answer = steps_up(&work.founder, &lasting, &action, &receipt).await;
    assert_eq!(said(&answer), "key-unknown");
    work.stop().await;
}
