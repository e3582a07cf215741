//! Connect, request, subscribe, violations, close.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use canonry_nats::{
    Append, Connect, Connection, ErrorKind, Event, Log, Outgoing, ReadError, RequestError,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::server::{Server, eventually, ledger};

const WAIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_request_that_nobody_serves_fails_at_once() {
    let server = Server::start();
    let conn = server.connect().await;
    let started = Instant::now();
    let answer = conn.request("nobody", &[], "x".into(), Duration::from_secs(5)).await;
    assert!(matches!(answer, Err(RequestError::NoResponders)));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_request_without_an_answer_times_out() {
    let server = Server::start();
    let conn = server.connect().await;
    let _silent = conn.subscribe("silent", None).await.unwrap();
    let answer = conn.request("silent", &[], "x".into(), Duration::from_millis(50)).await;
    assert!(matches!(answer, Err(RequestError::TimedOut)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_share_one_inbox() {
    let server = Server::start();
    let conn = server.connect().await;
    let mut echo = conn.subscribe("echo", Some("q")).await.unwrap();
    let answering = conn.clone();
    tokio::spawn(async move {
        while let Some(m) = echo.next().await {
            let kind = m.headers.get("Kind").unwrap_or("none").to_owned();
            let headers = [("Kind", kind.as_str())];
            answering.publish(&m.reply.unwrap(), &headers, m.body).await.unwrap();
        }
    });
    let ask = |i: u32| {
        let conn = conn.clone();
        async move {
            let body = i.to_string();
            let wait = Duration::from_secs(10);
            let reply = conn.request("echo", &[("Kind", "k")], body.clone().into(), wait).await;
            let reply = reply.unwrap();
            assert_eq!((&reply.body[..], reply.headers.get("Kind")), (body.as_bytes(), Some("k")));
        }
    };
    futures_util::future::join_all((0..2_000).map(ask)).await;
}

#[tokio::test]
async fn nobody_there_ends_within_the_patience() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut connect = Connect::new(format!("nats://{free}"), "test");
    connect.patience = Duration::from_millis(300);
    let error = Connection::connect(connect.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    // One of several is enough.
    let server = Server::start();
    connect.url = format!("nats://{free}, {}", server.url());
    assert!(Connection::connect(connect).await.is_ok());
}

#[tokio::test]
async fn close_sends_what_waits_and_ends_subscriptions() {
    let server = Server::start();
    let (one, two) = (server.connect().await, server.connect().await);
    let mut heard = two.subscribe("news", None).await.unwrap();
    two.rtt().await.unwrap();
    one.publish("news", &[("A", "1"), ("A", "2")], "body".into()).await.unwrap();
    let mut ended = one.subscribe("never", None).await.unwrap();
    one.close().await;
    assert!(ended.next().await.is_none());
    let message = heard.next().await.unwrap();
    assert_eq!(message.headers.get_all("A").collect::<Vec<_>>(), ["1", "2"]);
    let closed = one.publish("news", &[], "x".into()).await.unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn what_cannot_be_sent_is_an_error_not_a_panic() {
    let server = Server::start();
    let conn = server.connect().await;
    let bad_header = conn.publish("a", &[("A", "x\r\ny")], "".into()).await.unwrap_err();
    assert_eq!(bad_header.kind(), ErrorKind::Invalid);
    let bad_subject = conn.publish("a b", &[], "".into()).await.unwrap_err();
    assert_eq!(bad_subject.kind(), ErrorKind::Invalid);
    let large = vec![0; conn.max_payload() + 1];
    let too_large = conn.publish("a", &[], large.into()).await.unwrap_err();
    assert_eq!(too_large.kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn the_api_maps_the_servers_codes() {
    let server = Server::start();
    let conn = server.connect().await;
    assert!(conn.stream_info("NONE").await.unwrap().is_none());
    ledger(&conn, "L", json!({})).await;
    ledger(&conn, "L", json!({})).await;
    assert!(conn.stream_info("L").await.unwrap().is_some());
    let other = json!({ "name": "L", "subjects": ["else"], "storage": "file" });
    let error = conn.create_stream(&other).await.unwrap_err();
    assert_eq!(error.api_code(), Some(canonry_nats::api::STREAM_NAME_IN_USE));
    let info = conn.js_request("$JS.API.INFO", &Value::Null).await.unwrap();
    assert!(info["api"]["level"].as_u64().unwrap() >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_comes_back_after_a_restart_and_readers_start_again() {
    let mut server = Server::start();
    let conn = server.connect().await;
    assert!(conn.server_version().starts_with("2."));
    ledger(&conn, "L", json!({})).await;
    let log = Log::open(conn.clone(), "L").await.unwrap();
    log.append(&[record("one")], 0, WAIT).await;
    let mut following = log.follow(1).await.unwrap();
    assert_eq!(following.next().await.unwrap().unwrap().body, "one");
    server.restart();
    eventually(|| async { conn.rtt().await.ok() }).await;
    assert!(conn.counts().disconnected >= 1 && conn.counts().connected >= 2);
    let stored = eventually(|| async {
        match log.append(&[record("two")], 1, Duration::from_secs(1)).await {
            Append::Committed { .. } | Append::Conflict { .. } => Some(()),
            _ => None,
        }
    });
    stored.await;
    // The consumer lived in memory: the reader says where it stopped, and the next goes on.
    let end = tokio::time::timeout(WAIT * 2, following.next()).await.unwrap().unwrap();
    assert!(matches!(end, Err(ReadError::Interrupted { expected: 2, .. })), "{end:?}");
    let mut again = log.follow(2).await.unwrap();
    assert_eq!(again.next().await.unwrap().unwrap().body, "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_few_rights_reads_and_is_told_of_the_rest() {
    let server = Server::start_with(
        r#"authorization { users: [ { user: "only", password: "p", permissions: {
            subscribe: ["_INBOX.only.>"],
            publish: [
                "$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*",
                "$JS.API.CONSUMER.CREATE.*.*.ledger.>", "$JS.API.CONSUMER.MSG.NEXT.*.*",
                "ledger.L.thing.done",
            ],
        } } ] }
        no_auth_user: "only""#,
    );
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let mut connect = Connect::new(server.url(), "test");
    connect.inbox_prefix = "_INBOX.only".to_owned();
    connect.on_event = Some(Arc::new(move |event| listener.lock().unwrap().push(event.clone())));
    let conn = Connection::connect(connect).await.unwrap();
    ledger(&conn, "L", json!({})).await;
    let log = Log::open(conn.clone(), "L").await.unwrap().with_reader_name("only");
    let both = log.append(&[record("one"), record("two")], 0, WAIT).await;
    assert_eq!(both, Append::Committed { last_seq: 2 });
    let read = log.read(1, None).await.unwrap().collect::<Vec<_>>().await;
    assert_eq!(read.len(), 2);
    assert!(read.iter().all(Result::is_ok));
    let mut other = record("three");
    other.subject = "ledger.L.thing.denied".to_owned();
    let denied = log.append(&[other], 2, Duration::from_millis(200)).await;
    assert!(matches!(denied, Append::Unknown { .. }), "{denied:?}");
    eventually(|| async { (conn.counts().violations == 1).then_some(()) }).await;
    let named = |e: &Event| matches!(e, Event::PermissionViolation(t) if t.contains("denied"));
    assert!(told.lock().unwrap().iter().any(named));
}

#[tokio::test]
async fn a_refused_login_fails_at_once() {
    let server = Server::start_with(r#"authorization { user: "a", password: "b" }"#);
    let started = Instant::now();
    let refused = Connection::connect(Connect::new(server.url(), "test")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Connect);
    assert!(started.elapsed() < Duration::from_secs(5));
}

fn record(body: &'static str) -> Outgoing {
    let subject = "ledger.L.thing.done".to_owned();
    Outgoing { subject, headers: vec![("Nats-Msg-Id", body.to_owned())], body: body.into() }
}
