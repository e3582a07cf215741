//! Server-sent events.

use axum::body::Body;
use axum::response::Response;
use canonry_schemas::limits::CHANGES_STREAMS;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::support::{NOW, World, bearer, id};

/// Reads whole events until as many have come, or the stream ends.
async fn take(response: Response, wanted: usize) -> Vec<(String, Value)> {
    let mut stream = response.into_body().into_data_stream();
    let mut text = String::new();
    while text.matches("data:").count() < wanted || !text.ends_with("\n\n") {
        let Some(chunk) = stream.next().await else { break };
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
        line.trim().to_owned()
    };
    text.split("\n\n")
        .filter(|event| event.contains("data:"))
        .map(|e| (field(e, "id:"), serde_json::from_str(&field(e, "data:")).unwrap()))
        .collect()
}

#[tokio::test]
async fn new_records_come_as_metadata_and_resume_without_loss() {
    let w = World::new().await;
    let token = w.bearer();
    let open = |headers: Vec<(&'static str, &'static str)>, path: &'static str| {
        let (w, token) = (&w, &token);
        async move { w.raw("GET", path, Some(token), &headers, Body::empty()).await }
    };
    let live = open(vec![], "/api/v1/changes").await;
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    let (events, _) = tokio::join!(take(live, 2), async {
        w.open_ticket(1, json!({})).await;
        w.open_ticket(2, json!({})).await;
    });
    assert_eq!(events[0].0, "2");
    assert_eq!(events[1].1["entity"], format!("ticket/{}", id("tkt_", 2)));
    assert_eq!(events[1].1["type"], "canonry.ticket.opened.v1");
    assert_eq!(events[1].1.get("data"), None, "no content leaves here");

    let resumed = open(vec![("last-event-id", "2")], "/api/v1/changes?after=0").await;
    assert_eq!(take(resumed, 1).await[0].0, "3");
    let filtered = open(vec![], "/api/v1/changes?after=0&type=tenant").await;
    assert_eq!(take(filtered, 1).await[0].1["type"], "canonry.tenant.founded.v1");
    assert_eq!(open(vec![("last-event-id", "x")], "/api/v1/changes").await.status(), 400);
}

#[tokio::test]
async fn streams_are_counted_and_bounded() {
    let w = World::new().await;
    let token = w.bearer();
    let open = || w.raw("GET", "/api/v1/changes", Some(&token), &[], Body::empty());
    let mut streams = Vec::new();
    for _ in 0..CHANGES_STREAMS {
        let stream = open().await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let metrics = async || w.send("GET", "/metrics", None, &[], "").await.text;
    let count = format!("canonry_changes_streams {CHANGES_STREAMS}\n");
    assert!(metrics().await.contains(&count));
    w.get("/api/v1/changes").await.refused(503, "streams-full");
    streams.pop();
    assert_eq!(open().await.status(), 200);
    streams.clear();
    assert!(metrics().await.contains("canonry_changes_streams 0\n"));
}

#[tokio::test(start_paused = true)]
async fn the_stream_ends_with_the_token() {
    let w = World::new().await;
    let token = bearer(&w.founder, "ada", "acme", NOW, NOW + 5);
    let path = "/api/v1/changes?after=0";
    let response = w.raw("GET", path, Some(&token), &[], Body::empty()).await;
    assert_eq!(take(response, 99).await.len(), 1, "it ended, or this would hang");
}
