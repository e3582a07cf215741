//! The writing of the read models alone: one batch of records into a file of its own, beside one
//! row each of the same records.
#![expect(clippy::unwrap_used, reason = "a bench may")]

use canonry_projections::{Recorded, Store};
use canonry_schemas::event::Event;
use canonry_schemas::ids::generated;
use canonry_schemas::time::Time;
use divan::Bencher;
use divan::counter::ItemsCount;
use serde_json::json;

fn main() {
    divan::main();
}

const START: i64 = 1_800_000_000_000_000;

/// Records of one transaction, as the projector has them.
const BATCH: usize = 1_000;

/// Batches of one file.
const BATCHES: usize = 20;

fn opened(n: usize) -> Recorded {
    let position = n as u64 + 1;
    let at = START / 1_000 + i64::try_from(n / 20).unwrap();
    let ticket = generated("tkt_", u64::try_from(at).unwrap(), n as u128 * 0x1234_5678_9abc);
    let data = json!({
        "title": format!("x1:{}", "k3J_".repeat(30)),
        "priority": 3,
        "external": format!("x1:{}", "pQ9a".repeat(24)),
    });
    let kind = "canonry.ticket.opened.v1".to_owned();
    Recorded {
        position,
        hash: format!("{:064x}", n as u128 * 0x9e37_79b9_7f4a_7c15),
        id: generated("", u64::try_from(at).unwrap(), n as u128 * 0x7654_3210),
        time: Time(START + i64::try_from(n).unwrap() * 50),
        actor: format!("agent-{}", n % 8),
        via: None,
        intentid: Some(generated("", u64::try_from(at).unwrap(), n as u128 * 0xabcd)),
        entity: format!("ticket/{ticket}"),
        touches: Vec::new(),
        kind,
        event: Event::parse("ticket", "opened", 1, &data).unwrap().unwrap(),
        data: data.to_string(),
    }
}

fn batches() -> Vec<Vec<Recorded>> {
    let all: Vec<Recorded> = (0..BATCH * BATCHES).map(opened).collect();
    all.chunks(BATCH).map(<[Recorded]>::to_vec).collect()
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn read_models(bencher: Bencher<'_, '_>) {
    let batches = batches();
    bencher
        .counter(ItemsCount::new(BATCH * BATCHES))
        .with_inputs(|| tempfile::tempdir().unwrap())
        .bench_values(|folder| {
            let mut store = Store::open(&folder.path().join("it.sqlite")).unwrap();
            for batch in &batches {
                store.apply(batch, None).unwrap();
            }
            store.index().unwrap();
            folder
        });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn one_row_each(bencher: Bencher<'_, '_>) {
    let batches = batches();
    bencher
        .counter(ItemsCount::new(BATCH * BATCHES))
        .with_inputs(|| tempfile::tempdir().unwrap())
        .bench_values(|folder| {
            let mut file = rusqlite::Connection::open(folder.path().join("it.sqlite")).unwrap();
            let tables = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
                CREATE TABLE r (position INTEGER PRIMARY KEY, type TEXT, entity TEXT, body BLOB)";
            file.execute_batch(tables).unwrap();
            for batch in &batches {
                let tx = file.transaction().unwrap();
                for r in batch {
                    let row = (i64::try_from(r.position).unwrap(), &r.kind, &r.entity, &r.data);
                    let insert = "INSERT INTO r VALUES (?1, ?2, ?3, ?4)";
                    tx.prepare_cached(insert).unwrap().execute(row).unwrap();
                }
                tx.commit().unwrap();
            }
            folder
        });
}
