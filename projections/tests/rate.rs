//! How fast the fold is beside a bare decode-and-insert loop; run by hand with `--ignored`.
#![expect(clippy::print_stdout, reason = "a measurement by hand")]

use std::time::Instant;

use canonry_projections::{Recorded, Store};
use canonry_schemas::event::Event;
use canonry_schemas::ids::generated;
use canonry_schemas::time::Time;
use serde_json::{Value, json};

const RECORDS: u64 = 100_000;

/// Five records a ticket: opened, run started, step, run completed, completed.
fn record(position: u64) -> (String, String, Value) {
    let n = u128::from(position / 5);
    let (ticket, run) = (generated("tkt_", position / 5, n), generated("run_", position / 5, n));
    let sealed = format!("x1:k:{}", "a".repeat(90));
    match position % 5 {
        0 => ("ticket.opened", format!("ticket/{ticket}"), json!({"title": sealed, "priority": 2})),
        1 => {
            let role = generated("rol_", 1, 1);
            ("run.started", format!("run/{run}"), json!({"ticket": ticket, "role": role}))
        }
        2 => {
            let data = json!({"id": run, "name": "guess", "outcome": "done", "summary": sealed});
            ("run.step-recorded", format!("run/{run}"), data)
        }
        3 => ("run.completed", format!("run/{run}"), json!({"id": run, "ticket": ticket})),
        _ => {
            ("ticket.completed", format!("ticket/{ticket}"), json!({"id": ticket, "evidence": "e"}))
        }
    }
    .into_parts()
}

trait Parts {
    fn into_parts(self) -> (String, String, Value);
}

impl Parts for (&str, String, Value) {
    fn into_parts(self) -> (String, String, Value) {
        (self.0.to_owned(), self.1, self.2)
    }
}

#[test]
#[ignore = "a measurement, to be run by hand in release"]
fn rate_of_the_fold() {
    let bodies: Vec<String> = (0..RECORDS)
        .map(|n| {
            let (event, entity, data) = record(n);
            json!({"event": event, "entity": entity, "data": data}).to_string()
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();

    let begun = Instant::now();
    let mut bare = rusqlite::Connection::open(dir.path().join("bare.sqlite")).unwrap();
    bare.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
        CREATE TABLE events (position INTEGER PRIMARY KEY, event TEXT, entity TEXT, data TEXT)",
    )
    .unwrap();
    for (chunk, at) in bodies.chunks(2_000).zip((1_i64..).step_by(2_000)) {
        let tx = bare.transaction().unwrap();
        for (body, position) in chunk.iter().zip(at..) {
            let v: Value = serde_json::from_str(body).unwrap();
            tx.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4)")
                .unwrap()
                .execute((position, v["event"].as_str(), v["entity"].as_str(), body))
                .unwrap();
        }
        tx.commit().unwrap();
    }
    let bare = begun.elapsed();

    let begun = Instant::now();
    let mut store = Store::open(&dir.path().join("full.sqlite")).unwrap();
    for (chunk, at) in bodies.chunks(2_000).zip((1..).step_by(2_000)) {
        let batch: Vec<Recorded> = chunk
            .iter()
            .zip(at..)
            .map(|(body, position)| {
                let mut v: Value = serde_json::from_str(body).unwrap();
                let data = v["data"].take();
                let event = v["event"].as_str().unwrap();
                let (aggregate, name) = event.split_once('.').unwrap();
                let touched = data["ticket"].as_str().map(|t| format!("ticket/{t}"));
                Recorded {
                    position,
                    hash: format!("{position:064x}"),
                    id: generated("", position, u128::from(position)),
                    time: Time(1_800_000_000_000_000 + i64::try_from(position).unwrap()),
                    actor: "bot".into(),
                    via: None,
                    intentid: Some(generated("", position, 7)),
                    entity: v["entity"].as_str().unwrap().into(),
                    touches: touched.into_iter().collect(),
                    kind: format!("canonry.{event}.v1"),
                    event: Event::parse(aggregate, name, 1, &data).unwrap().unwrap(),
                    data,
                }
            })
            .collect();
        store.apply(&batch, None).unwrap();
    }
    let full = begun.elapsed();
    println!(
        "bare {bare:?}, full {full:?}, ratio {} per mille",
        bare.as_micros() * 1_000 / full.as_micros()
    );
}
