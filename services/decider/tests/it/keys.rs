//! The tenant's own keys changed while it is served: the new ones sign at once, also after a
//! take-over, and nothing leaves the tenant without the keys that it lives by.

use canonry_keystore::{KeyUse, StoredKey};
use canonry_record::ring::{authorize, public_key};
use canonry_record::seal::Signer;
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::KeyId;
use canonry_schemas::key::{PublicKey, Use};
use canonry_schemas::time::Time;
use serde_json::{Value, json};

use crate::harness::{Person, Spine, intent, until};
use crate::tokens::{enrolment, keyhead};

const OWN: [(KeyUse, Use); 5] = [
    (KeyUse::Root, Use::Root),
    (KeyUse::Enrol, Use::Enrol),
    (KeyUse::Record, Use::Record),
    (KeyUse::Checkpoint, Use::Checkpoint),
    (KeyUse::Witness, Use::Witness),
];

fn made(wanted: KeyUse) -> (StoredKey, PublicKey) {
    let key = StoredKey::generate(&[wanted], "svc_decider".parse().unwrap()).unwrap();
    let (_, on_ledger) = OWN.iter().find(|(stored, _)| *stored == wanted).unwrap();
    let public = key.key.verifying_key().to_bytes();
    let entry = public_key(&public, vec![*on_ledger], key.actor.clone());
    (key, entry)
}

/// A key of this use that was there from the founding.
fn first(spine: &Spine, wanted: KeyUse) -> StoredKey {
    spine.test.cell.key_store().stored_key(&spine.tenant, wanted).unwrap()
}

async fn body(spine: &Spine, keys: Vec<PublicKey>, revoked: Vec<KeyId>, by: &StoredKey) -> Value {
    let by = Signer::new(by.key.clone());
    let change = authorize(&spine.tenant, &keyhead(spine).await, keys, revoked, &by);
    serde_json::to_value(change).unwrap()
}

/// The key that signed the record at a position.
async fn signer_of(spine: &Spine, answer: &Answer) -> String {
    let position = answer.position.as_ref().unwrap().parse().unwrap();
    let stored = spine.log().await.get(position).await.unwrap().unwrap();
    let header = stored.headers.iter().find(|(name, _)| name == "Canonry-Signature").unwrap();
    header.1.split(':').nth(1).unwrap().to_owned()
}

/// The key that signed the head in the store, and the position that it names.
async fn head_of(spine: &Spine) -> (String, u64) {
    let committer = spine.cell_user(&canonry_provision::CellUser::Committer).await;
    let heads = canonry_nats::Kv::open(committer, "heads").unwrap();
    let entry = heads.get("acme").await.unwrap().unwrap();
    let text = std::str::from_utf8(&entry.value).unwrap().to_owned();
    let line = canonry_record::export::parse_head(&text).unwrap();
    (line.signature.split(':').nth(1).unwrap().to_owned(), line.head.position)
}

async fn opens(founder: &Person) -> Answer {
    let answer = founder.send("ticket", "open", json!({"title": "x"})).await;
    assert!(answer.ok, "{answer:?}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_keys_sign_at_once_and_after_a_take_over() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let store = spine.test.cell.key_store().clone();
    let (old, root) = (first(&spine, KeyUse::Record), first(&spine, KeyUse::Root));
    let old_checkpoint = first(&spine, KeyUse::Checkpoint);
    let (new, entry) = made(KeyUse::Record);

    // Not stored: nobody could sign the next record.
    let change = body(&spine, vec![entry.clone()], vec![old.id()], &root).await;
    let answer = founder.send("tenant", "rotate-keys", change).await;
    assert_eq!(answer.code.as_deref(), Some("key-not-stored"), "{answer:?}");
    assert_eq!(answer.entity.as_deref(), Some("tenant/acme"));

    // Stored: records that are decided in the same moment are signed each by its own key.
    store.put_key(&spine.tenant, &new).unwrap();
    let change = body(&spine, vec![entry], vec![old.id()], &root).await;
    let before = opens(&founder).await;
    let id = intent();
    let (rotated, others) = tokio::join!(
        founder.send_as(&id, "tenant", "rotate-keys", &change),
        futures_util::future::join_all((0..40).map(|_| opens(&founder))),
    );
    assert!(rotated.ok, "{rotated:?}");
    let at: u64 = rotated.position.as_ref().unwrap().parse().unwrap();
    for answer in others.iter().chain([&before, &rotated, &opens(&founder).await]) {
        let position: u64 = answer.position.as_ref().unwrap().parse().unwrap();
        let expected = if position <= at { old.id() } else { new.id() };
        assert_eq!(signer_of(&spine, answer).await, expected.as_str(), "{position}, {at}");
    }

    // The checkpoint key: heads from that position on are signed by the new one.
    let (checkpoint, entry) = made(KeyUse::Checkpoint);
    store.put_key(&spine.tenant, &checkpoint).unwrap();
    let change = body(&spine, vec![entry], vec![old_checkpoint.id()], &root).await;
    let rotated = founder.send("tenant", "rotate-keys", change).await;
    let at: u64 = rotated.position.as_ref().unwrap().parse().unwrap();
    until("a head by the new key", || async { head_of(&spine).await.1 >= at }).await;
    assert_eq!(head_of(&spine).await.0, checkpoint.id().as_str());

    // Another decider opens the key that the ledger names, whatever else lies in the store.
    spine.stop().await;
    spine.decider = Some(spine.decider("decider-b").await);
    let after = opens(&founder).await;
    assert_eq!(signer_of(&spine, &after).await, new.id().as_str());
    spine.stop().await;
    spine.ledger().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_takes_what_the_tenant_lives_by() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let operator = spine.person("operator").await;
    let root = first(&spine, KeyUse::Root);
    let enrol = first(&spine, KeyUse::Enrol);
    let id = |wanted| first(&spine, wanted).id();
    let end = Some(Time(canonry_decider::holder::now().0 + 3_600_000_000));
    let fresh = |wanted| vec![made(wanted).1];
    let ending = |wanted| vec![PublicKey { notafter: end, ..made(wanted).1 }];
    let ended = vec![PublicKey { notafter: Some(Time(1)), ..made(KeyUse::Enrol).1 }];
    let personal = vec![PublicKey { uses: vec![Use::Member], ..made(KeyUse::Enrol).1 }];
    let ines = spine.test.cell.key_store().member_key(&spine.tenant, &"operator".parse().unwrap());
    let ines = canonry_keystore::key_id(&ines.unwrap().verifying_key());
    for (keys, revoked, by, code) in [
        (vec![], vec![id(KeyUse::Record)], &root, "record-key-missing"),
        (fresh(KeyUse::Record), vec![], &root, "record-key-missing"),
        (ending(KeyUse::Record), vec![id(KeyUse::Record)], &root, "record-key-missing"),
        (vec![], vec![id(KeyUse::Checkpoint)], &root, "checkpoint-key-missing"),
        (ending(KeyUse::Checkpoint), vec![id(KeyUse::Checkpoint)], &root, "checkpoint-key-missing"),
        (vec![], vec![id(KeyUse::Root)], &root, "root-key-missing"),
        (ending(KeyUse::Root), vec![id(KeyUse::Root)], &root, "root-key-missing"),
        (fresh(KeyUse::Witness), vec![], &enrol, "keys-unauthorized"),
        (ended, vec![], &root, "keys-invalid"),
        (personal, vec![], &root, "keys-invalid"),
        (vec![], vec![ines], &root, "keys-invalid"),
        (vec![], vec![], &root, "keys-invalid"),
    ] {
        let change = body(&spine, keys, revoked.clone(), by).await;
        let answer = founder.send("tenant", "rotate-keys", change).await;
        assert_eq!(answer.code.as_deref(), Some(code), "{revoked:?}");
    }
    let change = body(&spine, fresh(KeyUse::Witness), vec![], &root).await;
    let answer = operator.send("tenant", "rotate-keys", change.clone()).await;
    assert_eq!(answer.code.as_deref(), Some("founder-only"));
    let subject = founder.subject("tenant", "rotate-keys");
    let unbound = founder.raw(&subject, &[], change.to_string()).await.unwrap();
    assert_eq!(unbound.code.as_deref(), Some("request-token-missing"));
    assert!(founder.send("tenant", "rotate-keys", change.clone()).await.ok);
    let again = founder.send("tenant", "rotate-keys", change).await;
    assert_eq!(again.code.as_deref(), Some("keys-moved"));

    // A new enrol key, added and then alone; the old one enrols nobody any more.
    let (_, entry) = made(KeyUse::Enrol);
    let change = body(&spine, vec![entry], vec![enrol.id()], &root).await;
    assert!(founder.send("tenant", "rotate-keys", change).await.ok);
    let body = enrolment(&spine, "ines", json!({})).await;
    let answer = founder.send("member", "enrol", body).await;
    assert_eq!(answer.code.as_deref(), Some("keys-unauthorized"));
    spine.stop().await;
    spine.ledger().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_has_ended_signs_no_token() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let (key, end) = (Signer::from_seed(&[41; 32]), 2_000_000);
    let actor: canonry_schemas::ids::ActorId = "founder".parse().unwrap();
    let notafter = Some(Time(canonry_decider::holder::now().0 + end));
    let entry =
        PublicKey { notafter, ..public_key(&key.public(), vec![Use::Member], actor.clone()) };
    let mut change = body(&spine, vec![entry], vec![], &first(&spine, KeyUse::Enrol)).await;
    change["actor"] = json!("founder");
    assert!(founder.send("member", "rotate-keys", change).await.ok);
    let mut short = spine.person("founder").await;
    short.signer = key;
    let hire = json!({"title":"x","job":"x","boundaries":[],"tools":[],"escalation":["founder"],
        "budget":{"per_ticket_micros":1,"per_day_micros":1},"tier":"T0"});
    let answer = short.send("role", "hire", hire.clone()).await;
    assert!(answer.ok || notafter < Some(canonry_decider::holder::now()), "{answer:?}");
    until("its end", || async { notafter < Some(canonry_decider::holder::now()) }).await;
    let answer = short.send("role", "hire", hire).await;
    assert_eq!(answer.code.as_deref(), Some("key-expired"), "{answer:?}");
    spine.stop().await;
    spine.ledger().await;
}
