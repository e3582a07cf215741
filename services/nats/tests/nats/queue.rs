//! Jobs: delivered again until acknowledged.

use std::time::Duration;

use canonry_nats::{Connection, ErrorKind, Queue, QueueSettings};
use serde_json::json;

use crate::server::Server;

const WAIT: Duration = Duration::from_secs(5);
const BRIEF: Duration = Duration::from_millis(100);

async fn stream(server: &Server) -> Connection {
    let conn = server.connect().await;
    let config = json!({
        "name": "J", "subjects": ["intake.t.>"], "retention": "workqueue", "storage": "file",
        "discard": "new", "max_consumers": 1, "max_msgs": 50, "num_replicas": 1,
    });
    conn.create_stream(&config).await.unwrap();
    conn
}

fn settings() -> QueueSettings {
    let mut settings = QueueSettings::new("intake");
    settings.ack_wait = Duration::from_millis(500);
    settings.filter = Some("intake.t.>".to_owned());
    settings
}

#[tokio::test]
async fn acknowledged_jobs_go_others_come_again() {
    let server = Server::start();
    let conn = stream(&server).await;
    for i in 0..3 {
        let headers = [("Canonry-Intent-Id", "x")];
        let seq = conn.enqueue("intake.t.a", &headers, format!("{i}").into()).await.unwrap();
        assert_eq!(seq, i + 1);
    }
    let mut queue = Queue::open(conn.clone(), "J", &settings()).await.unwrap();
    let mut jobs = queue.next_batch(3, WAIT).await.unwrap().into_iter();
    let (first, second, third) = (jobs.next().unwrap(), jobs.next().unwrap(), jobs.next().unwrap());
    assert_eq!((&first.body[..], first.delivered, first.seq), (b"0".as_slice(), 1, 1));
    assert_eq!(first.headers.get("Canonry-Intent-Id"), Some("x"));
    assert_eq!(first.subject, "intake.t.a");
    first.ack().await.unwrap();
    second.nak(Duration::ZERO).await.unwrap();
    let again = queue.next_batch(1, WAIT).await.unwrap().remove(0);
    assert_eq!((&again.body[..], again.delivered), (b"1".as_slice(), 2));
    again.term().await.unwrap();
    // The third was dropped without a word: it comes again after its time.
    drop(third);
    let again = queue.next_batch(1, WAIT).await.unwrap().remove(0);
    assert_eq!((&again.body[..], again.delivered), (b"2".as_slice(), 2));
    again.ack().await.unwrap();
    assert!(queue.next_batch(5, BRIEF).await.unwrap().is_empty());
    let info = conn.stream_info("J").await.unwrap().unwrap();
    assert_eq!(info["state"]["messages"], 0);
}

#[tokio::test]
async fn after_so_many_deliveries_the_server_gives_up() {
    let server = Server::start();
    let conn = stream(&server).await;
    conn.enqueue("intake.t.a", &[], "x".into()).await.unwrap();
    let mut settings = settings();
    settings.max_deliver = 3;
    let mut queue = Queue::open(conn, "J", &settings).await.unwrap();
    for delivered in 1..=3 {
        let job = queue.next_batch(1, WAIT).await.unwrap().remove(0);
        assert_eq!(job.delivered, delivered);
        job.nak(Duration::ZERO).await.unwrap();
    }
    assert!(queue.next_batch(1, Duration::from_secs(1)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_batch_comes_short_when_there_is_no_more() {
    let server = Server::start();
    let conn = stream(&server).await;
    let mut queue = Queue::open(conn.clone(), "J", &settings()).await.unwrap();
    assert!(queue.next_batch(2, BRIEF).await.unwrap().is_empty());
    conn.enqueue("intake.t.a", &[], "x".into()).await.unwrap();
    let jobs = queue.next_batch(2, BRIEF).await.unwrap();
    assert_eq!(jobs.len(), 1);
    jobs[0].in_progress().await.unwrap();
}

#[tokio::test]
async fn other_settings_and_full_streams_are_refused() {
    let server = Server::start();
    let conn = stream(&server).await;
    Queue::open(conn.clone(), "J", &settings()).await.unwrap();
    Queue::open(conn.clone(), "J", &settings()).await.unwrap();
    let mut other = settings();
    other.max_deliver = 4;
    let error = Queue::open(conn.clone(), "J", &other).await.unwrap_err();
    assert_eq!(error.api_code(), Some(10148));
    for _ in 0..50 {
        conn.enqueue("intake.t.a", &[], "x".into()).await.unwrap();
    }
    let full = conn.enqueue("intake.t.a", &[], "x".into()).await.unwrap_err();
    assert_eq!(full.api_code(), Some(10077));
    let nobody = conn.enqueue("nowhere", &[], "x".into()).await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NoResponders);
}
