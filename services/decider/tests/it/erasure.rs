//! Content that is erased: no key that is left anywhere opens it, the chain verifies, and neither a
//! crash nor an older copy of the keys brings it back.

use canonry_decider::erasure;
use canonry_decider::keeper::Keeper;
use canonry_nats::{Bytes, Kv};
use canonry_provision::CellUser;
use canonry_record::content;
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::IntentId;
use serde_json::{Value, json};

use crate::harness::{Person, Spine, id, intent, until};

const CANARY: &str = "CANARY7Q2XV9KQZJ and more";

/// A sealed text with its entity and pointer.
struct Sealed {
    entity: String,
    pointer: &'static str,
    text: String,
}

async fn bucket(spine: &Spine) -> Kv {
    let committer = spine.cell_user(&CellUser::Committer).await;
    Kv::open(committer, &format!("content-keys-{}", spine.tenant)).unwrap()
}

fn kek(spine: &Spine) -> canonry_keystore::Kek {
    spine.test.cell.key_store().kek(&spine.tenant).unwrap()
}

/// What every content key in a wrapped group makes of a text; none where none opens it.
fn opened(spine: &Spine, name: &str, wrapped: &[u8], sealed: &Sealed) -> Option<String> {
    let keys = content::unwrap(kek(spine).as_bytes(), "acme", name, wrapped).ok()?;
    keys.chunks_exact(32).find_map(|key| {
        let key: &[u8; 32] = key.try_into().unwrap();
        content::decrypt(key, "acme", &sealed.entity, sealed.pointer, &sealed.text).ok()
    })
}

/// The wrapped group that is stored now, and its revision.
async fn stored(spine: &Spine, name: &str) -> (Bytes, u64) {
    let entry = bucket(spine).await.get(name).await.unwrap().unwrap();
    (entry.value, entry.revision)
}

async fn readable(spine: &Spine, sealed: &Sealed) -> Option<String> {
    opened(spine, "g1", &stored(spine, "g1").await.0, sealed)
}

/// Whether the bucket's stream still gives out what stood at a revision.
async fn given_out(spine: &Spine, revision: u64) -> bool {
    let committer = spine.cell_user(&CellUser::Committer).await;
    let log = canonry_nats::Log::open(committer, "KV_content-keys-acme").await.unwrap();
    log.get(revision).await.unwrap().is_some()
}

async fn ticket(spine: &Spine, founder: &Person) -> Sealed {
    let answer = founder.send("ticket", "open", json!({"title": CANARY})).await;
    assert!(answer.ok, "{answer:?}");
    let at: u64 = answer.position.as_ref().unwrap().parse().unwrap();
    let record = spine.log().await.get(at).await.unwrap().unwrap();
    let body: Value = serde_json::from_slice(&record.body).unwrap();
    let text = body["data"]["title"].as_str().unwrap().to_owned();
    let sealed = Sealed { entity: answer.entity.unwrap(), pointer: "/title", text };
    until("its group is stored", || async { readable(spine, &sealed).await.is_some() }).await;
    sealed
}

async fn erase(founder: &Person, of: &str, intent: &IntentId) -> Answer {
    founder.send_as(intent, "content", "erase", &json!({"entity": of})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_erased_opens_with_no_key_that_is_left() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let (gone, stays) = (ticket(&spine, &founder).await, ticket(&spine, &founder).await);
    let (old, revision) = stored(&spine, "g1").await;
    assert!(given_out(&spine, revision).await);
    let operator = spine.person("operator").await;
    let refused = erase(&operator, &gone.entity, &intent()).await;
    assert_eq!(refused.code.as_deref(), Some("founder-only"));
    let unknown = erase(&founder, "ticket/tkt_7zzzzzzzzzzzzzzzzzzzzzzzzz", &intent()).await;
    assert_eq!(unknown.code.as_deref(), Some("entity-unknown"));

    let once = intent();
    let answer = erase(&founder, &gone.entity, &once).await;
    assert!(answer.ok && answer.entity.as_deref() == Some(gone.entity.as_str()), "{answer:?}");
    until("the key is gone", || async { readable(&spine, &gone).await.is_none() }).await;
    assert_eq!(readable(&spine, &stays).await.as_deref(), Some(CANARY), "the others stay");
    // The old revision opened it, and nobody is given it any more.
    assert_eq!(opened(&spine, "g1", &old, &gone).as_deref(), Some(CANARY));
    assert!(!given_out(&spine, revision).await, "the bucket keeps one revision");

    // It takes no more content, and everything else still.
    let of = json!({"id": gone.entity.split_once('/').unwrap().1});
    let again = erase(&founder, &gone.entity, &intent()).await;
    assert_eq!(again.code.as_deref(), Some("content-erased"));
    assert_eq!(erase(&founder, &gone.entity, &once).await, answer, "a repeat is a repeat");
    let mut titled = of.clone();
    titled["title"] = json!("once more");
    let more = founder.send("ticket", "amend", titled).await;
    assert_eq!(more.code.as_deref(), Some("content-erased"));
    assert!(founder.send("ticket", "start", of).await.ok);
    assert_eq!(id(&answer), gone.entity.split_once('/').unwrap().1);

    // The same after a take-over, and a new entity has a key of its own.
    spine.stop().await;
    spine.decider = Some(spine.decider("decider-b").await);
    spine.served().await;
    let again = erase(&founder, &gone.entity, &intent()).await;
    assert_eq!(again.code.as_deref(), Some("content-erased"));
    let next = ticket(&spine, &founder).await;
    assert_ne!(next.text.split(':').nth(1), gone.text.split(':').nth(1), "never the same key");
    spine.stop().await;
    let ledger = spine.ledger().await;
    let erased = ledger.iter().filter(|body| body["type"] == "canonry.content.erased.v1");
    let keys: Vec<_> = erased.map(|body| body["data"]["key"].clone()).collect();
    assert_eq!(keys, [json!(gone.text.split(':').nth(1).unwrap())]);
}

/// As a crash leaves it: the record stands, and its key too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_or_an_older_copy_leaves_is_shredded_by_the_next_holder() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let gone = ticket(&spine, &founder).await;
    let (old, _) = stored(&spine, "g1").await;
    let answer = erase(&founder, &gone.entity, &intent()).await;
    assert!(answer.ok, "{answer:?}");
    until("the key is gone", || async { readable(&spine, &gone).await.is_none() }).await;
    let erased_at: u64 = answer.position.unwrap().parse().unwrap();
    spine.stop().await;

    // The keys of before, with the cursor of before.
    let bucket = bucket(&spine).await;
    bucket.put("g1", old.clone()).await.unwrap();
    bucket.delete("shredded").await.unwrap();
    assert_eq!(readable(&spine, &gone).await.as_deref(), Some(CANARY));
    spine.decider = Some(spine.decider("decider-b").await);
    until("the next holder shreds it", || async { readable(&spine, &gone).await.is_none() }).await;
    spine.stop().await;

    // What restores a backup calls before anybody serves.
    bucket.put("g1", old).await.unwrap();
    bucket.delete("shredded").await.unwrap();
    let committer = spine.cell_user(&CellUser::Committer).await;
    let keeper = Keeper::open(&committer, &spine.tenant, kek(&spine).as_bytes()).await.unwrap();
    let log = spine.log().await;
    assert_eq!(erasure::obey(&log, &keeper, erased_at - 1).await.unwrap(), 0);
    assert_eq!(readable(&spine, &gone).await.as_deref(), Some(CANARY));
    assert_eq!(erasure::obey(&log, &keeper, erased_at).await.unwrap(), 1);
    assert_eq!(readable(&spine, &gone).await, None);
    assert_eq!(keeper.shredded_to().await.unwrap(), erased_at);
    assert_eq!(erasure::obey(&log, &keeper, erased_at).await.unwrap(), 0, "once is enough");
    keeper.set_shredded_to(erased_at - 1).await.unwrap();
    assert_eq!(keeper.shredded_to().await.unwrap(), erased_at, "it never goes back");
    spine.ledger().await;
}
