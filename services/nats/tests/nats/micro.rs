//! Micro services: the queue group, discovery, fullness, stopping.

use std::time::Duration;

use canonry_nats::{Connection, Endpoint, ErrorKind, Micro, Reply, RequestError, ServeOptions};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::server::{Server, eventually};

const WAIT: Duration = Duration::from_secs(10);

async fn service(server: &Server) -> (Connection, Micro) {
    let conn = server.connect().await;
    let micro = Micro::start(conn.clone(), "decider", "1.0.0", "decides").await.unwrap();
    (conn, micro)
}

/// Answers every request with `tag`, until the endpoint ends.
fn answer_with(mut endpoint: Endpoint, tag: &'static str) {
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.next().await {
            incoming.respond(tag, &[("Kind", "answer")]);
        }
    });
}

async fn ask(conn: &Connection, subject: &str) -> Result<Reply, RequestError> {
    conn.request(subject, &[("A", "1")], "question".into(), WAIT).await
}

async fn discover(conn: &Connection, subject: &str) -> Value {
    serde_json::from_slice(&ask(conn, subject).await.unwrap().body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_of_a_group_share_the_requests() {
    let server = Server::start();
    let ((one, a), (two, b)) = (service(&server).await, service(&server).await);
    answer_with(a.serve("command.t.>", "t", "commands").await.unwrap(), "a");
    answer_with(b.serve("command.t.>", "t", "commands").await.unwrap(), "b");
    for conn in [one, two] {
        conn.rtt().await.unwrap();
    }
    let client = server.connect().await;
    let asked = (0..2_000).map(|_| ask(&client, "command.t.x"));
    let answers = futures_util::future::join_all(asked).await;
    let of_a = answers.iter().filter(|r| r.as_ref().unwrap().body == "a").count();
    assert!((1..2_000).contains(&of_a), "{of_a} of 2,000");
    assert_eq!(answers[0].as_ref().unwrap().headers.get("Kind"), Some("answer"));
    // Each was counted once, by one of the two.
    let mut requests = 0;
    for micro in [&a, &b] {
        let stats = discover(&client, &format!("$SRV.STATS.decider.{}", micro.id())).await;
        assert_eq!(stats["type"], "io.nats.micro.v1.stats_response");
        assert_eq!(stats["endpoints"][0]["num_errors"], 0);
        requests += stats["endpoints"][0]["num_requests"].as_u64().unwrap();
    }
    assert_eq!(requests, 2_000);
}

#[tokio::test]
async fn discovery_tells_of_every_instance() {
    let server = Server::start();
    let ((_one, a), (_two, b)) = (service(&server).await, service(&server).await);
    let _endpoint = a.serve("command.t.>", "t", "commands").await.unwrap();
    let client = server.connect().await;
    let mut inbox = client.subscribe("answers", None).await.unwrap();
    client.publish_with_reply("$SRV.PING", "answers", &[], "".into()).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let message = tokio::time::timeout(WAIT, inbox.next()).await.unwrap().unwrap();
        let ping: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(ping["type"], "io.nats.micro.v1.ping_response");
        ids.push(ping["id"].as_str().unwrap().to_owned());
    }
    ids.sort();
    let mut want = [a.id().to_owned(), b.id().to_owned()];
    want.sort();
    assert_eq!(ids, want);
    let info = discover(&client, &format!("$SRV.INFO.decider.{}", a.id())).await;
    assert_eq!(info["description"], "decides");
    assert_eq!(info["endpoints"][0]["queue_group"], "t");
    assert_eq!(info["endpoints"][0]["subject"], "command.t.>");
    drop(b);
    eventually(|| async {
        let gone = ask(&client, &format!("$SRV.PING.decider.{}", want[0])).await.is_err();
        let other = ask(&client, &format!("$SRV.PING.decider.{}", want[1])).await.is_err();
        (gone || other).then_some(())
    })
    .await;
}

#[tokio::test]
async fn requests_come_with_all_they_carry_and_errors_are_counted() {
    let server = Server::start();
    let (_conn, micro) = service(&server).await;
    let mut endpoint = micro.serve("ask", "q", "ask").await.unwrap();
    let client = server.connect().await;
    let (answer, ()) = tokio::join!(ask(&client, "ask"), async {
        let incoming = endpoint.next().await.unwrap();
        assert_eq!(
            (incoming.subject.as_str(), &incoming.body[..]),
            ("ask", b"question".as_slice())
        );
        assert_eq!(incoming.headers.get("A"), Some("1"));
        incoming.respond_error(400, "bad", "why");
    });
    let answer = answer.unwrap();
    assert_eq!(answer.headers.get("Nats-Service-Error-Code"), Some("400"));
    assert_eq!(&answer.body[..], b"why");
    client.publish("ask", &[], "no reply wanted".into()).await.unwrap();
    drop(endpoint.next().await.unwrap());
    let stats = discover(&client, "$SRV.STATS.decider").await;
    let endpoint = &stats["endpoints"][0];
    assert_eq!((&endpoint["num_requests"], &endpoint["num_errors"]), (&2.into(), &2.into()));
    assert_eq!(endpoint["last_error"], "dropped without an answer");
    assert!(stats["started"].as_str().unwrap().contains('T'));
}

#[tokio::test]
async fn a_full_endpoint_answers_busy_at_once() {
    let server = Server::start();
    let (_conn, micro) = service(&server).await;
    let mut options = ServeOptions::new("ask", "q", "ask");
    options.capacity = 4;
    options.busy = "busy".into();
    let mut endpoint = micro.serve_with(options).await.unwrap();
    let client = server.connect().await;
    let mut asked: futures_util::stream::FuturesUnordered<_> =
        (0..10).map(|_| ask(&client, "ask")).collect();
    for _ in 0..6 {
        let busy = asked.next().await.unwrap().unwrap();
        assert_eq!(&busy.body[..], b"busy");
        assert_eq!(busy.headers.get("Nats-Service-Error-Code"), Some("503"));
    }
    // Four are held; answering them makes room again.
    for _ in 0..4 {
        endpoint.next().await.unwrap().respond("done", &[]);
        assert_eq!(&asked.next().await.unwrap().unwrap().body[..], b"done");
    }
    let (answer, ()) = tokio::join!(ask(&client, "ask"), async {
        endpoint.next().await.unwrap().respond("again", &[]);
    });
    assert_eq!(&answer.unwrap().body[..], b"again");
}

#[tokio::test]
async fn a_stopped_endpoint_ends_and_leaves_the_group() {
    let server = Server::start();
    let (_conn, micro) = service(&server).await;
    let mut endpoint = micro.serve("ask", "q", "ask").await.unwrap();
    let client = server.connect().await;
    let (answer, ()) = tokio::join!(ask(&client, "ask"), async {
        let incoming = endpoint.next().await.unwrap();
        endpoint.stopper().stop();
        assert!(tokio::time::timeout(WAIT, endpoint.next()).await.unwrap().is_none());
        // What was taken before may still be answered.
        incoming.respond("late", &[]);
    });
    assert_eq!(&answer.unwrap().body[..], b"late");
    assert!(matches!(ask(&client, "ask").await, Err(RequestError::NoResponders)));
    let stats = discover(&client, "$SRV.STATS.decider").await;
    assert!(stats["endpoints"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn names_are_checked() {
    let server = Server::start();
    let (conn, micro) = service(&server).await;
    for (name, version) in [("a b", "1.0.0"), ("", "1.0.0"), ("a", "1.0"), ("a", "x.1.2")] {
        let error = Micro::start(conn.clone(), name, version, "").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    assert!(micro.serve("a b", "q", "n").await.is_err());
    assert!(micro.serve("a", "q q", "n").await.is_err());
}
