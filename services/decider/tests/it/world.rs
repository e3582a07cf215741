//! The fold over a snapshot store: bounded memory changes no answer, a changed store is not
//! believed, and the shape of what is stored has a version.

use std::sync::Arc;

use canonry_decider::draft::Head;
use canonry_decider::snapshot::{Change, FOLD, Snapshot};
use canonry_decider::world::{Bounds, ContentKey, Folded, Need, World};
use canonry_record::hash::sha256;
use canonry_record::{Hash, KeyRing};
use canonry_schemas::ids::{ActorId, IntentId, TenantId};
use canonry_schemas::time::Time;
use rusqlite::Connection;
use serde_json::json;
use zeroize::Zeroizing;

use crate::story::{Numbers, Said, at, event, story};

const SMALL: Bounds = Bounds { entities: 4, intents: 3, deadlines: 2 };
fn ring() -> KeyRing {
    let stored = json!({ "tenant": "acme", "keyhead": Hash([1; 32]), "keys": [] });
    serde_json::from_value(stored).unwrap()
}

fn fold(world: &mut World, position: u64, said: &Said) {
    let (hash, actor): (String, ActorId) = (Hash([3; 32]).to_string(), "ada".parse().unwrap());
    let digest = sha256(said.intent.as_str().as_bytes());
    world
        .fold(&Folded {
            position,
            hash: &hash,
            time: at(position),
            actor: &actor,
            intent: Some((&said.intent, &digest)),
            entity: &said.entity,
            event: &said.event,
            content_key: said
                .content
                .then_some(ContentKey { group: 1, index: u16::try_from(position).unwrap() }),
        })
        .unwrap();
}

fn flush(world: &mut World, store: &Snapshot, position: u64) {
    let head = Head { position, hash: Hash([3; 32]), time: at(position), epoch: 1 };
    let change = Change {
        capture: world.capture(),
        head,
        founder: Hash([2; 32]),
        bytes: position * 100,
        ring: Some(ring()),
    };
    let floor = store.write(&change).unwrap();
    world.flushed(position, floor);
}

/// Everything that a decision can ask of a world.
fn says(world: &mut World, story: &[Said], now: Time) -> Vec<String> {
    let actor: ActorId = "ada".parse().unwrap();
    let mut said = Vec::new();
    for record in story {
        if world.slot(&record.entity).is_err() {
            world.warm(&record.entity).unwrap();
        }
        said.push(format!("{:?}", world.slot(&record.entity)));
        if let Err(Need::Intent(key)) = world.answered(&actor, &record.intent) {
            world.recall(key).unwrap();
        }
        said.push(format!("{:?}", world.answered(&actor, &record.intent)));
    }
    said.push(format!("{:?} {:?}", world.last_content_key, world.position()));
    for _ in story {
        world.more_deadlines(now).unwrap();
    }
    said.push(format!("{:?}", world.overdue(now, 1_000)));
    said
}

fn store(folder: &std::path::Path) -> Arc<Snapshot> {
    let tenant: TenantId = "acme".parse().unwrap();
    Snapshot::new(folder, tenant, Zeroizing::new([9; 32]))
}

#[test]
fn bounded_memory_changes_no_answer() {
    for seed in 1..=24 {
        let (roomy, tight) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let tenant: TenantId = "acme".parse().unwrap();
        let mut plain = World::new(tenant.clone(), store(roomy.path()), Bounds::default());
        let mut kept = store(tight.path());
        let mut bounded = World::new(tenant.clone(), Arc::clone(&kept), SMALL);
        let mut numbers = Numbers(seed * 7);
        let story = story(seed, 120);
        let mut flushed = 0;
        for (record, position) in story.iter().zip(1..) {
            fold(&mut plain, position, record);
            fold(&mut bounded, position, record);
            let now = at(position);
            bounded.more_deadlines(now).unwrap();
            // The nearest are there; later ones follow once these are reported.
            let (all, near) = (plain.overdue(now, 1_000), bounded.overdue(now, 1_000));
            assert!(all.starts_with(&near), "{seed}/{position}: {near:?} of {all:?}");
            assert_eq!(all.is_empty(), near.is_empty(), "{seed}/{position}");
            match numbers.below(12) {
                0 | 1 => {
                    flush(&mut bounded, &kept, position);
                    flushed = position;
                }
                // A restart: what was flushed is read, the rest folded again.
                2 => {
                    kept = store(tight.path());
                    bounded = match kept.open(true).unwrap() {
                        Some(loaded) => {
                            assert_eq!(loaded.core.position, flushed);
                            World::resume(tenant.clone(), Arc::clone(&kept), &loaded, SMALL)
                                .unwrap()
                        }
                        None => World::new(tenant.clone(), Arc::clone(&kept), SMALL),
                    };
                    for again in flushed..position {
                        fold(&mut bounded, again + 1, &story[again as usize]);
                    }
                }
                _ => {}
            }
        }
        let now = at(200);
        let (a, b) = (says(&mut plain, &story, now), says(&mut bounded, &story, now));
        for (x, y) in a.iter().zip(&b) {
            assert_eq!(x, y, "seed {seed}");
        }
    }
}

#[test]
fn a_changed_store_is_not_believed() {
    let whole = |path: &std::path::Path, change: &str| {
        let changed = Connection::open(path.join("acme.sqlite")).unwrap().execute(change, []);
        assert!(changed.unwrap() > 0, "{change}");
        store(path).open(true).unwrap().is_some()
    };
    let fill = |path: &std::path::Path| {
        let kept = store(path);
        let mut world = World::new("acme".parse().unwrap(), Arc::clone(&kept), SMALL);
        for (record, position) in story(5, 40).iter().zip(1..) {
            fold(&mut world, position, record);
        }
        flush(&mut world, &kept, 40);
    };
    for change in [
        "UPDATE slots SET due = 1 WHERE entity = (SELECT min(entity) FROM slots)",
        "UPDATE slots SET body = (SELECT body FROM slots WHERE entity LIKE 'run/%' LIMIT 1)
           WHERE entity = (SELECT min(entity) FROM slots WHERE entity LIKE 'ticket/%')",
        "DELETE FROM slots WHERE entity = (SELECT max(entity) FROM slots)",
        "DELETE FROM intents WHERE position = 7",
        "UPDATE intents SET position = 8 WHERE position = 7",
        "UPDATE parts SET body = '{\"members\":{}} ' WHERE name = 'directory'",
        "UPDATE core SET body = replace(CAST(body AS TEXT), '\"epoch\":1', '\"epoch\":0')",
        "DELETE FROM parts WHERE name = 'ring'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        assert!(!whole(folder.path(), change), "{change}");
    }
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    assert!(whole(folder.path(), "UPDATE core SET one = 1"), "unchanged, it is believed");
    let tenant: TenantId = "acme".parse().unwrap();
    let other = Snapshot::new(folder.path(), tenant, Zeroizing::new([8; 32]));
    assert!(other.open(true).unwrap().is_none(), "written under another key");
    assert!(!folder.path().join("acme.sqlite").exists());
}

#[test]
fn a_single_changed_row_is_noticed_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path());
    let mut world = World::new("acme".parse().unwrap(), Arc::clone(&kept), SMALL);
    let story = story(3, 30);
    for (record, position) in story.iter().zip(1..) {
        fold(&mut world, position, record);
    }
    flush(&mut world, &kept, 30);
    let file = Connection::open(folder.path().join("acme.sqlite")).unwrap();
    file.execute("UPDATE slots SET due = 5 WHERE entity = ?1", [&story[0].entity]).unwrap();
    assert!(kept.slot(&story[0].entity).is_err());
}

/// What is stored of a fixed story. Should this fail: count [`FOLD`] up, and put the new digest
/// beside the new version.
#[test]
fn what_is_stored_has_a_version() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path());
    let mut world = World::new("acme".parse().unwrap(), Arc::clone(&kept), SMALL);
    for (record, position) in story(11, 300).iter().zip(1..) {
        fold(&mut world, position, record);
    }
    flush(&mut world, &kept, 300);
    let core = kept.open(true).unwrap().unwrap().core;
    let digest = sha256(&serde_json::to_vec(&(core.sums, core.parts)).unwrap());
    assert_eq!((FOLD, digest.to_string().as_str()), (10, GOLDEN));
}

const GOLDEN: &str = "0fb0141f5a22726529d137b28bba8491c792cfcf6e19f9b2f51316fb01b5b7ff";

const DAY: u64 = 24 * 60 * 60;

/// A table of intents alone: each second one, made at that second, flushed at once.
struct Table {
    _folder: tempfile::TempDir,
    kept: Arc<Snapshot>,
    world: World,
    position: u64,
}

impl Table {
    fn new(most: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tenant: TenantId = "acme".parse().unwrap();
        let key = Zeroizing::new([9; 32]);
        let kept = Snapshot::keeping(folder.path(), tenant.clone(), key, most);
        let world = World::new(tenant, Arc::clone(&kept), SMALL);
        Self { _folder: folder, kept, world, position: 0 }
    }

    fn add(&mut self, intent: &IntentId, second: u64) {
        self.position += 1;
        let data = json!({"code": "not-json", "message": "x"});
        let event = event("actor.command-refused", &data);
        let (hash, actor): (String, ActorId) = (Hash([3; 32]).to_string(), "ada".parse().unwrap());
        let digest = sha256(intent.as_str().as_bytes());
        let time = Time(second as i64 * 1_000_000);
        self.world
            .fold(&Folded {
                position: self.position,
                hash: &hash,
                time,
                actor: &actor,
                intent: Some((intent, &digest)),
                entity: "actor/ada",
                event: &event,
                content_key: None,
            })
            .unwrap();
        let head = Head { position: self.position, hash: Hash([3; 32]), time, epoch: 1 };
        let change = Change {
            capture: self.world.capture(),
            head,
            founder: Hash([2; 32]),
            bytes: 0,
            ring: Some(ring()),
        };
        let floor = self.kept.write(&change).unwrap();
        self.world.flushed(self.position, floor);
    }

    fn known(&mut self, actor: &str, intent: &IntentId) -> Option<u64> {
        let actor = actor.parse().unwrap();
        loop {
            match self.world.answered(&actor, intent) {
                Ok(known) => return known.map(|k| k.position),
                Err(Need::Intent(key)) => self.world.recall(key).unwrap(),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    fn expired(&self, intent: &IntentId, second: u64) -> bool {
        self.world.expired(intent, Time(second as i64 * 1_000_000))
    }
}

fn made_at(second: u64, random: u128) -> IntentId {
    IntentId::from_parts(second * 1_000, random)
}

#[test]
fn a_full_table_forgets_the_oldest_and_refuses_what_is_as_old() {
    let (start, most) = (10 * DAY, 50);
    let mut table = Table::new(most);
    for second in start..start + 80 {
        table.add(&made_at(second, 1), second);
    }
    let now = start + 80;
    for second in start..start + 80 {
        let forgotten = second < start + 30;
        let known = table.known("ada", &made_at(second, 1));
        assert_eq!(known.is_none(), forgotten, "{second}");
        // What was forgotten cannot be told from what never was: both are refused.
        assert_eq!(table.expired(&made_at(second, 1), now), forgotten, "{second}");
        assert_eq!(table.expired(&made_at(second, 2), now), forgotten, "{second}");
    }
    assert!(!table.expired(&made_at(now, 3), now), "a new one is taken");
    assert_eq!(table.known("bob", &made_at(now - 1, 1)), None, "actors do not meet");
}

#[test]
fn a_day_is_remembered_and_no_more() {
    let start = 10 * DAY;
    let mut table = Table::new(1_000);
    for second in start..start + 10 {
        table.add(&made_at(second, 1), second);
    }
    assert_eq!(table.known("ada", &made_at(start, 1)), Some(1));
    let now = start + DAY + 5;
    assert!(table.expired(&made_at(start + 4, 1), now));
    assert!(!table.expired(&made_at(start + 5, 1), now));
    table.add(&made_at(now, 1), now);
    assert_eq!(table.known("ada", &made_at(start + 4, 1)), None);
    assert_eq!(table.known("ada", &made_at(start + 5, 1)), Some(6));
}

#[test]
fn the_first_answer_stands() {
    let mut table = Table::new(100);
    let one = made_at(2 * DAY, 1);
    for n in 0..9 {
        table.add(&made_at(2 * DAY + n, 1), 2 * DAY + n);
    }
    table.add(&one, 2 * DAY + 10);
    assert_eq!(table.known("ada", &one), Some(1));
}

#[test]
fn an_id_from_the_future_does_not_shut_out_the_present() {
    let start = 10 * DAY;
    let mut table = Table::new(4);
    for n in 0..8 {
        table.add(&made_at(start + 60, n), start);
    }
    assert!(!table.expired(&made_at(start + 1, 7), start + 1));
}

/// Between the write that forgets an intent and the moment at which memory hears of it.
#[test]
fn what_the_store_forgot_is_expired_and_not_new() {
    let folder = tempfile::tempdir().unwrap();
    let key = Zeroizing::new([9; 32]);
    let kept = Snapshot::keeping(folder.path(), "acme".parse().unwrap(), key, 20);
    let mut world = World::new("acme".parse().unwrap(), Arc::clone(&kept), SMALL);
    let told = story(3, 40);
    for (said, position) in told.iter().zip(1..) {
        fold(&mut world, position, said);
        if position == 15 {
            flush(&mut world, &kept, position);
        }
    }
    let head = Head { position: 40, hash: Hash([3; 32]), time: at(40), epoch: 1 };
    let (founder, bytes, ring) = (Hash([2; 32]), 4_000, Some(ring()));
    let change = Change { capture: world.capture(), head, founder, bytes, ring };
    assert!(kept.write(&change).unwrap() > 0, "forty intents where twenty are kept");
    // The floor is not told to the world: a command arrives just now.
    let (oldest, actor): (_, ActorId) = (&told[0].intent, "ada".parse().unwrap());
    assert!(!world.expired(oldest, at(41)), "memory alone takes it for a new one");
    let Err(Need::Intent(fingerprint)) = world.answered(&actor, oldest) else {
        panic!("only the store can say")
    };
    world.recall(fingerprint).unwrap();
    assert!(world.answered(&actor, oldest).unwrap().is_none());
    assert!(world.expired(oldest, at(41)), "a forgotten intent must not be decided again");
}
