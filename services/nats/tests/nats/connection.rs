//! Connect, request, subscribe, violations, close.

use std::time::{Duration, Instant};

use canonry_nats::{Connect, Connection, ErrorKind, RequestError};
use serde_json::{Value, json};

use crate::server::{Server, eventually, ledger};

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
    let error = Connection::connect(connect).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
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

#[tokio::test]
async fn it_comes_back_after_the_server_slept() {
    let server = Server::start();
    let conn = server.connect().await;
    eventually(|| async { (conn.counts().connected == 1).then_some(()) }).await;
    server.freeze();
    let answer = conn.rtt();
    server.thaw();
    answer.await.unwrap();
    assert!(conn.is_connected());
    assert!(conn.server_version().starts_with("2."));
}
