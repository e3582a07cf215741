//! The guard, batches, conflicts and unknown outcomes.

use std::time::Duration;

use canonry_nats::{Append, Log, Outgoing};
use serde_json::json;

use crate::server::{Server, ledger};

const WAIT: Duration = Duration::from_secs(10);

fn messages(count: usize, tag: &str) -> Vec<Outgoing> {
    let message = |i| Outgoing {
        subject: "ledger.L.thing.done".to_owned(),
        headers: vec![("Nats-Msg-Id", format!("{tag}-{i}")), ("Canonry-Hash", "h".to_owned())],
        body: format!("{tag} {i}").into(),
    };
    (0..count).map(message).collect()
}

async fn open(server: &Server) -> Log {
    let conn = server.connect().await;
    ledger(&conn, "L", json!({})).await;
    Log::open(conn, "L").await.unwrap()
}

#[tokio::test]
async fn one_then_a_batch_then_a_large_batch() {
    let server = Server::start();
    let log = open(&server).await;
    assert_eq!(log.last().await.unwrap(), None);
    let one = log.append(&messages(1, "a"), 0, WAIT).await;
    assert_eq!(one, Append::Committed { last_seq: 1 });
    let ten = log.append(&messages(10, "b"), 1, WAIT).await;
    assert_eq!(ten, Append::Committed { last_seq: 11 });
    let many = log.append(&messages(500, "c"), 11, WAIT).await;
    assert_eq!(many, Append::Committed { last_seq: 511 });
    let info = log.info().await.unwrap();
    assert_eq!((info.first_seq, info.last_seq, info.messages), (1, 511, 511));
    assert_eq!(log.last().await.unwrap().unwrap().body, "c 499");
}

#[tokio::test]
async fn a_wrong_guard_is_a_conflict_and_stores_nothing() {
    let server = Server::start();
    let log = open(&server).await;
    log.append(&messages(3, "a"), 0, WAIT).await;
    for count in [1, 2, 100] {
        for guard in [0, 2, 4] {
            let lost = log.append(&messages(count, "b"), guard, WAIT).await;
            assert_eq!(lost, Append::Conflict { code: 10071 }, "{count} after {guard}");
        }
    }
    assert_eq!(log.info().await.unwrap().last_seq, 3);
}

#[tokio::test]
async fn sending_again_what_was_committed_is_a_conflict() {
    let server = Server::start();
    let log = open(&server).await;
    for count in [1, 5] {
        let head = log.info().await.unwrap().last_seq;
        let bytes = messages(count, &format!("t{count}"));
        let first = log.append(&bytes, head, WAIT).await;
        assert!(matches!(first, Append::Committed { .. }), "{first:?}");
        let again = log.append(&bytes, head, WAIT).await;
        assert!(matches!(again, Append::Conflict { .. }), "{again:?}");
        let ours = log.get(head + 1).await.unwrap().unwrap();
        assert_eq!(ours.body, bytes[0].body);
    }
    assert_eq!(log.info().await.unwrap().last_seq, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_racing_writers_one_wins_each_position() {
    let server = Server::start();
    let (one, conn) = (open(&server).await, server.connect().await);
    let two = Log::open(conn, "L").await.unwrap();
    let mut head = 0;
    for round in 0..50 {
        let a = messages(1 + round % 3, &format!("a{round}"));
        let b = messages(1 + round % 2, &format!("b{round}"));
        let raced = tokio::join!(one.append(&a, head, WAIT), two.append(&b, head, WAIT));
        head = match raced {
            (Append::Committed { last_seq }, Append::Conflict { .. })
            | (Append::Conflict { .. }, Append::Committed { last_seq }) => last_seq,
            other => panic!("round {round}: {other:?}"),
        };
    }
    assert_eq!(one.info().await.unwrap().last_seq, head);
}

#[tokio::test]
async fn no_answer_is_unknown_and_settled_by_looking() {
    let server = Server::start();
    let log = open(&server).await;
    log.append(&messages(1, "a"), 0, WAIT).await;
    for count in [1, 4] {
        let head = log.info().await.unwrap().last_seq;
        let bytes = messages(count, &format!("frozen{count}"));
        server.freeze();
        let outcome = log.append(&bytes, head, Duration::from_millis(300)).await;
        server.thaw();
        assert!(matches!(outcome, Append::Unknown { .. }), "{outcome:?}");
        // The first try arrives after all, or the second one stores it: never both.
        let again = log.append(&bytes, head, WAIT).await;
        let settled = matches!(again, Append::Committed { .. } | Append::Conflict { .. });
        assert!(settled, "{again:?}");
        let end = head + count as u64;
        assert_eq!(log.info().await.unwrap().last_seq, end);
        let stored = log.get(end).await.unwrap().unwrap();
        assert_eq!(stored.body, bytes[count - 1].body);
    }
}

#[tokio::test]
async fn refusals_carry_the_servers_code() {
    let server = Server::start();
    let conn = server.connect().await;
    ledger(&conn, "L", json!({ "max_bytes": 2_000 })).await;
    let log = Log::open(conn, "L").await.unwrap();
    let mut large = messages(1, "a");
    large[0].body = vec![b'x'; 3_000].into();
    let full = log.append(&large, 0, WAIT).await;
    assert!(matches!(full, Append::Refused { code: 10077, .. }), "{full:?}");
    large[0].body = vec![b'x'; 2_000_000].into();
    let huge = log.append(&large, 0, WAIT).await;
    assert!(matches!(huge, Append::Refused { code: 0, .. }), "{huge:?}");
    let none = log.append(&[], 0, WAIT).await;
    assert!(matches!(none, Append::Refused { code: 0, .. }), "{none:?}");
    let many = log.append(&messages(1_001, "m"), 0, WAIT).await;
    assert!(matches!(many, Append::Refused { code: 0, .. }), "{many:?}");
    let mut elsewhere = messages(1, "e");
    elsewhere[0].subject = "no.stream.here".to_owned();
    let nobody = log.append(&elsewhere, 0, WAIT).await;
    assert!(matches!(nobody, Append::Unknown { .. }), "{nobody:?}");
    assert_eq!(log.info().await.unwrap().last_seq, 0);
}

#[tokio::test]
async fn stored_headers_come_in_canonical_order_with_the_body_as_sent() {
    let server = Server::start();
    let log = open(&server).await;
    let outgoing = Outgoing {
        subject: "ledger.L.thing.done".to_owned(),
        headers: vec![
            ("zeta", "1".to_owned()),
            ("traceparent", "t".to_owned()),
            ("Canonry-Signature", "s".to_owned()),
            ("Canonry-Hash", "h1".to_owned()),
            ("Canonry-Hash", "h2".to_owned()),
            ("Nats-Msg-Id", "id".to_owned()),
        ],
        body: b"\x00 \xff bytes".as_slice().into(),
    };
    log.append(&[outgoing], 0, WAIT).await;
    let stored = log.get(1).await.unwrap().unwrap();
    let headers: Vec<_> = stored.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let want = [
        ("Nats-Msg-Id", "id"),
        ("Canonry-Hash", "h1"),
        ("Canonry-Hash", "h2"),
        ("Canonry-Signature", "s"),
        ("traceparent", "t"),
        ("Nats-Expected-Last-Sequence", "0"),
        ("zeta", "1"),
    ];
    assert_eq!(headers, want);
    assert_eq!(&stored.body[..], b"\x00 \xff bytes");
    assert_eq!(log.get(2).await.unwrap(), None);
    let skew = log.clock_skew().await.unwrap();
    assert!(skew.nanos.abs() < 1_000_000_000, "{skew:?}");
}
