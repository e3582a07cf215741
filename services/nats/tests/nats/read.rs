//! Reading in order, gaps, following.

use std::time::Duration;

use canonry_nats::{Append, Log, Outgoing, ReadError, Stored};
use futures_util::StreamExt as _;
use serde_json::json;

use crate::server::{Server, ledger};

const WAIT: Duration = Duration::from_secs(10);

async fn filled(server: &Server, count: u64, extra: serde_json::Value) -> Log {
    let conn = server.connect().await;
    ledger(&conn, "L", extra).await;
    let log = Log::open(conn, "L").await.unwrap().with_reader_name("tester");
    fill(&log, 0, count).await;
    log
}

pub async fn fill(log: &Log, mut head: u64, count: u64) {
    let end = head + count;
    while head < end {
        let next = (head + 1..=end).take(500).map(|seq| Outgoing {
            subject: "ledger.L.thing.done".to_owned(),
            headers: vec![("Nats-Msg-Id", format!("id-{seq}"))],
            body: format!("body {seq}").into(),
        });
        let outcome = log.append(&next.collect::<Vec<_>>(), head, WAIT).await;
        let Append::Committed { last_seq } = outcome else { panic!("{outcome:?}") };
        head = last_seq;
    }
}

pub async fn collect(log: &Log, from: u64, upto: Option<u64>) -> Result<Vec<Stored>, ReadError> {
    let reading = log.read(from, upto).await?.collect::<Vec<_>>();
    tokio::time::timeout(WAIT * 3, reading).await.unwrap().into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_in_order() {
    let server = Server::start();
    let log = filled(&server, 5_000, json!({})).await;
    let all = collect(&log, 1, None).await.unwrap();
    assert_eq!(all.len(), 5_000);
    assert!(all.iter().zip(1..).all(|(m, seq)| m.seq == seq && m.body == format!("body {seq}")));
    // A read message and a fetched one are the same.
    let fetched = log.get(4_321).await.unwrap().unwrap();
    assert_eq!(all[4_320], fetched);
    let part = collect(&log, 2_500, Some(2_600)).await.unwrap();
    assert_eq!((part.len(), part[0].seq), (101, 2_500));
    assert!(collect(&log, 5_001, None).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_stay_within_the_bytes_of_a_pull() {
    let server = Server::start();
    let log = filled(&server, 0, json!({})).await;
    for head in 0..30 {
        let outgoing = Outgoing {
            subject: "ledger.L.thing.done".to_owned(),
            headers: Vec::new(),
            body: vec![b'x'; 1_000_000].into(),
        };
        let done = log.append(&[outgoing], head, WAIT).await;
        assert_eq!(done, Append::Committed { last_seq: head + 1 });
    }
    assert_eq!(collect(&log, 1, None).await.unwrap().len(), 30);
}

#[tokio::test]
async fn a_message_that_is_gone_is_a_gap() {
    let server = Server::start();
    let log = filled(&server, 20, json!({ "deny_delete": false })).await;
    for seq in [7, 20] {
        let body = json!({ "seq": seq });
        log.connection().js_request("STREAM.MSG.DELETE.L", &body).await.unwrap();
    }
    let mut reading = log.read(1, None).await.unwrap();
    for seq in 1..=6 {
        assert_eq!(reading.next().await.unwrap().unwrap().seq, seq);
    }
    let gap = reading.next().await.unwrap();
    assert!(matches!(gap, Err(ReadError::Gap { expected: 7, found: Some(8) })), "{gap:?}");
    assert!(reading.next().await.is_none());
    // The last one is gone as well: the server still counts it.
    let tail = collect(&log, 8, None).await;
    assert!(matches!(tail, Err(ReadError::Gap { expected: 20, found: None })), "{tail:?}");
    let only = collect(&log, 20, Some(20)).await;
    assert!(matches!(only, Err(ReadError::Gap { expected: 20, found: None })), "{only:?}");
    assert_eq!(log.last().await.unwrap(), None);
}

#[tokio::test]
async fn a_later_volume_begins_where_it_begins() {
    let server = Server::start();
    let conn = server.connect().await;
    ledger(&conn, "L", json!({ "first_seq": 101 })).await;
    let log = Log::open(conn, "L").await.unwrap();
    assert_eq!(log.info().await.unwrap().last_seq, 100);
    fill(&log, 100, 3).await;
    assert_eq!(collect(&log, 101, None).await.unwrap().len(), 3);
    let before = collect(&log, 99, None).await;
    let gap = matches!(before, Err(ReadError::Gap { expected: 99, found: Some(101) }));
    assert!(gap, "{before:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_waits_for_what_comes() {
    let server = Server::start();
    let log = filled(&server, 10, json!({})).await;
    let mut following = log.follow(9).await.unwrap();
    for seq in [9, 10] {
        assert_eq!(following.next().await.unwrap().unwrap().seq, seq);
    }
    let nothing = tokio::time::timeout(Duration::from_millis(200), following.next()).await;
    assert!(nothing.is_err());
    fill(&log, 10, 3_000).await;
    for seq in 11..=3_010 {
        let next = tokio::time::timeout(WAIT, following.next()).await.unwrap();
        assert_eq!(next.unwrap().unwrap().seq, seq);
    }
    // Beyond the next position: somebody believes in records that this stream does not have.
    let beyond = log.follow(4_000).await.err().unwrap();
    assert!(matches!(beyond, ReadError::Gap { expected: 4_000, found: None }), "{beyond:?}");
    assert!(log.follow(3_011).await.is_ok());
}

#[tokio::test]
async fn a_lost_connection_interrupts_and_says_where() {
    let server = Server::start();
    let log = filled(&server, 3, json!({})).await;
    let mut following = log.follow(2).await.unwrap();
    following.next().await.unwrap().unwrap();
    following.next().await.unwrap().unwrap();
    log.connection().close().await;
    let end = tokio::time::timeout(WAIT, following.next()).await.unwrap().unwrap();
    assert!(matches!(end, Err(ReadError::Interrupted { expected: 4, .. })), "{end:?}");
    assert!(following.next().await.is_none());
}
