//! Logs of several volumes: closing under a reader and a writer, losses, what is left out.

use std::time::Duration;

use canonry_nats::log::volumes::AFTER;
use canonry_nats::{Append, Connection, Log, Outgoing, ReadError};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::read::{collect, fill};
use crate::server::{Server, eventually, ledger};

/// Seals a volume and moves its subject aside, as provisioning does.
async fn close(conn: &Connection, stream: &str) -> u64 {
    let info = conn.js_request(&format!("STREAM.INFO.{stream}"), &Value::Null).await.unwrap();
    let mut config = info["config"].clone();
    config["sealed"] = json!(true);
    config["subjects"] = json!([format!("ledger._closed.{stream}")]);
    config.as_object_mut().unwrap().remove("republish");
    conn.js_request(&format!("STREAM.UPDATE.{stream}"), &config).await.unwrap();
    let info = conn.js_request(&format!("STREAM.INFO.{stream}"), &Value::Null).await.unwrap();
    assert_eq!(info["config"]["sealed"], true);
    info["state"]["last_seq"].as_u64().unwrap()
}

async fn open(conn: &Connection, number: u32, first: u64, after: Option<u64>) {
    let mut extra = json!({ "first_seq": first, "subjects": ["ledger.L.>"] });
    if let Some(after) = after {
        extra["metadata"] = json!({ AFTER: after.to_string() });
    }
    ledger(conn, &format!("L_v{number}"), extra).await;
}

async fn begin(server: &Server, count: u64) -> (Connection, Log) {
    let conn = server.connect().await;
    let republish = json!({ "republish": { "src": "ledger.L.>", "dest": "live.L.>" } });
    ledger(&conn, "L", republish).await;
    let log = Log::open(conn.clone(), "L").await.unwrap();
    fill(&log, 0, count).await;
    (conn, log)
}

fn one() -> Outgoing {
    Outgoing { subject: "ledger.L.a.b".to_owned(), headers: Vec::new(), body: "x".into() }
}

fn seqs(records: &[canonry_nats::Stored]) -> Vec<u64> {
    records.iter().map(|r| r.seq).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_volumes_read_as_one() {
    let server = Server::start();
    let (conn, held) = begin(&server, 10).await;
    let mut following = held.follow(9).await.unwrap();
    let last = close(&conn, "L").await;
    assert_eq!(last, 10);
    // Closed, and no next one yet: what there is reads, nothing can be written.
    let between = Log::open(conn.clone(), "L").await.unwrap();
    assert_eq!(collect(&between, 1, None).await.unwrap().len(), 10);
    assert_eq!(between.info().await.unwrap().last_seq, 10);
    let none = held.append(&[one()], 10, Duration::from_secs(1)).await;
    assert!(matches!(none, Append::Unknown { .. }), "{none:?}");

    open(&conn, 2, last + 1, None).await;
    // The handle of before goes on, and so does whoever follows.
    fill(&held, 10, 5).await;
    for log in [&held, &between, &Log::open(conn.clone(), "L").await.unwrap()] {
        assert_eq!(log.info().await.unwrap().last_seq, 15);
        assert_eq!(seqs(&collect(log, 1, None).await.unwrap()), (1..=15).collect::<Vec<_>>());
        assert_eq!(seqs(&collect(log, 10, Some(11)).await.unwrap()), [10, 11]);
        for seq in [1, 10, 11, 15] {
            assert_eq!(log.get(seq).await.unwrap().unwrap().seq, seq);
        }
        assert_eq!(log.get(16).await.unwrap(), None);
        assert!(!log.leaves_out(11));
    }
    for seq in 9..=15 {
        let next = tokio::time::timeout(Duration::from_secs(30), following.next()).await.unwrap();
        assert_eq!(next.unwrap().unwrap().seq, seq);
    }
    // A batch goes into the next one as well.
    fill(&held, 15, 50).await;
    assert_eq!(held.volumes().len(), 2);
}

#[tokio::test]
async fn an_old_guard_does_not_fit_the_next_volume() {
    let server = Server::start();
    let (conn, held) = begin(&server, 10).await;
    let last = close(&conn, "L").await;
    open(&conn, 2, last + 1, None).await;
    let late = held.append(&[one()], 9, Duration::from_secs(5)).await;
    assert!(matches!(late, Append::Conflict { .. }), "{late:?}");
    let right = held.append(&[one()], 10, Duration::from_secs(5)).await;
    assert_eq!(right, Append::Committed { last_seq: 11 });
}

#[tokio::test]
async fn what_a_later_volume_leaves_out_is_not_of_the_log() {
    let server = Server::start();
    let (conn, held) = begin(&server, 10).await;
    close(&conn, "L").await;
    open(&conn, 2, 101, Some(6)).await;
    fill(&held, 100, 3).await;
    let log = Log::open(conn.clone(), "L").await.unwrap();
    assert_eq!(seqs(&collect(&log, 5, None).await.unwrap()), [5, 6, 101, 102, 103]);
    // What is due after the last good one is where the log goes on.
    assert_eq!(seqs(&collect(&log, 7, None).await.unwrap()), [101, 102, 103]);
    assert_eq!(log.get(8).await.unwrap(), None);
    assert!(log.leaves_out(7) && log.leaves_out(100) && !log.leaves_out(6));
    let inside = collect(&log, 8, None).await;
    assert!(matches!(inside, Err(ReadError::Gap { expected: 8, found: Some(101) })), "{inside:?}");
    // It still lies in the old volume, for whoever asks there.
    let old = &log.volumes()[0];
    assert_eq!(log.get_in(old, 8).await.unwrap().unwrap().seq, 8);
}

#[tokio::test]
async fn a_lost_volume_is_a_gap() {
    let server = Server::start();
    let (conn, held) = begin(&server, 10).await;
    let last = close(&conn, "L").await;
    open(&conn, 2, last + 1, None).await;
    fill(&held, 10, 5).await;
    close(&conn, "L_v2").await;
    open(&conn, 3, 16, None).await;
    fill(&held, 15, 5).await;
    assert_eq!(collect(&held, 1, None).await.unwrap().len(), 20);
    conn.js_request("STREAM.DELETE.L_v2", &Value::Null).await.unwrap();
    let middle = Log::open(conn.clone(), "L").await.unwrap();
    let gap = collect(&middle, 1, None).await;
    assert!(matches!(gap, Err(ReadError::Gap { expected: 11, .. })), "{gap:?}");
    conn.js_request("STREAM.DELETE.L", &Value::Null).await.unwrap();
    let first = Log::open(conn.clone(), "L").await.unwrap();
    let gap = collect(&first, 1, None).await;
    assert!(matches!(gap, Err(ReadError::Gap { expected: 1, found: Some(16) })), "{gap:?}");
    // The last volume gone: nobody can read or write, and nothing says that all is well.
    conn.js_request("STREAM.DELETE.L_v3", &Value::Null).await.unwrap();
    let none = Log::open(conn.clone(), "L").await.unwrap_err();
    assert_eq!(none.api_code(), Some(canonry_nats::api::STREAM_NOT_FOUND));
    eventually(|| async { first.info().await.is_err().then_some(()) }).await;
}

/// Messages are found by their subject in every volume, a closed one too, but none that a later
/// volume leaves out.
#[tokio::test]
async fn the_next_of_a_subject_is_found_across_volumes() {
    let server = Server::start();
    let (conn, log) = begin(&server, 4).await;
    let put = async |log: &Log, head: u64| {
        let done = log.append(&[one()], head, Duration::from_secs(5)).await;
        assert!(matches!(done, Append::Committed { .. }), "{done:?}");
    };
    put(&log, 4).await;
    fill(&log, 5, 3).await;
    put(&log, 8).await;
    assert_eq!(close(&conn, "L").await, 9);
    // What stands beyond 7 is left out.
    open(&conn, 2, 21, Some(7)).await;
    let log = Log::open(conn.clone(), "L").await.unwrap();
    put(&log, 20).await;
    fill(&log, 21, 2).await;
    for (from, subject, wanted) in [
        (0, "ledger.L.a.b", Some(5)),
        (5, "ledger.L.a.b", Some(5)),
        (6, "ledger.L.a.b", Some(21)),
        (21, "ledger.L.a.*", Some(21)),
        (22, "ledger.L.a.b", None),
        (7, "ledger.L.thing.done", Some(7)),
        (8, "ledger.L.thing.done", Some(22)),
        (1, "ledger.L.>", Some(1)),
        (1, "ledger.L.a.c", None),
    ] {
        let found = log.next_of(from, subject).await.unwrap();
        assert_eq!(found.map(|s| s.seq), wanted, "{from} {subject}");
    }
}
