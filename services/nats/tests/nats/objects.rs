//! Objects: stored chunk by chunk, read back in order, removed.

use canonry_nats::{Connection, Error, Note, Objects};
use futures_util::StreamExt as _;
use serde_json::json;

use crate::server::Server;

async fn bucket(server: &Server) -> (Connection, Objects) {
    let conn = server.connect().await;
    let config = json!({
        "name": "OBJ_b", "subjects": ["$O.b.C.>", "$O.b.M.>"], "storage": "file",
        "discard": "new", "deny_delete": true, "allow_rollup_hdrs": true, "num_replicas": 1,
    });
    conn.create_stream(&config).await.unwrap();
    let objects = Objects::open(conn.clone(), "b", "test").unwrap();
    (conn, objects)
}

async fn read(objects: &Objects, object: &str) -> Vec<Vec<u8>> {
    let chunks = objects.read(object).await.unwrap();
    chunks
        .map(|chunk| chunk.map(|c| c.to_vec()))
        .collect::<Vec<Result<_, Error>>>()
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

fn note(object: &str, name: &str) -> Note {
    Note {
        object: object.to_owned(),
        name: name.to_owned(),
        size: 3,
        chunks: 3,
        sha256: [7; 32],
        time: "2030-01-31T12:00:00.000000Z".to_owned(),
    }
}

#[tokio::test]
async fn objects_come_back_in_order_and_apart() {
    let server = Server::start();
    let (_conn, objects) = bucket(&server).await;
    for n in 0..40_u8 {
        objects.append("one", vec![n; 300_000]).await.unwrap();
        objects.append("two", vec![n]).await.unwrap();
    }
    let one = read(&objects, "one").await;
    assert_eq!(one.len(), 40);
    assert!(one.iter().enumerate().all(|(n, c)| *c == vec![n as u8; 300_000]));
    assert_eq!(read(&objects, "two").await, (0..40).map(|n| vec![n]).collect::<Vec<_>>());
    assert_eq!(read(&objects, "three").await, Vec::<Vec<u8>>::new());
    for bad in ["", "a.b", ">", "a b"] {
        assert!(objects.append(bad, vec![1]).await.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn what_is_removed_is_gone_and_no_longer_listed() {
    let server = Server::start();
    let (conn, objects) = bucket(&server).await;
    for object in ["kept", "noted", "bare"] {
        objects.append(object, vec![1; 100_000]).await.unwrap();
        objects.append(object, vec![2]).await.unwrap();
    }
    objects.note(&note("kept", "k")).await.unwrap();
    objects.note(&note("noted", "n")).await.unwrap();
    let held = |held: Vec<canonry_nats::Held>| {
        let mut names: Vec<_> = held.into_iter().map(|h| h.object).collect();
        names.sort();
        names
    };
    assert_eq!(held(objects.held().await.unwrap()), ["bare", "kept", "noted"]);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(objects.noted().await.unwrap(), [pair("k", "kept"), pair("n", "noted")]);
    objects.remove("noted", Some("n")).await.unwrap();
    objects.remove("bare", None).await.unwrap();
    assert_eq!(held(objects.held().await.unwrap()), ["kept"]);
    assert_eq!(objects.noted().await.unwrap(), [pair("k", "kept")]);
    assert_eq!(read(&objects, "noted").await.len() + read(&objects, "bare").await.len(), 0);
    assert_eq!(read(&objects, "kept").await.len(), 2);
    let info = conn.stream_info("OBJ_b").await.unwrap().unwrap();
    assert!(info["state"]["bytes"].as_u64().unwrap() < 150_000, "the bytes are gone: {info}");
}
