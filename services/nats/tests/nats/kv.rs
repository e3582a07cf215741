//! Buckets: compare-and-set, markers, leases, watching.

use std::time::Duration;

use canonry_nats::{Cas, Connection, Entry, ErrorKind, Kv, Watch, Watched};
use futures_util::StreamExt as _;
use serde_json::json;

use crate::server::{Server, eventually};

async fn bucket(server: &Server) -> (Connection, Kv) {
    let conn = server.connect().await;
    let config = json!({
        "name": "KV_b", "subjects": ["$KV.b.>"], "storage": "file", "discard": "new",
        "max_msgs_per_subject": 1, "deny_delete": true, "allow_rollup_hdrs": true,
        "allow_direct": true, "allow_msg_ttl": true, "subject_delete_marker_ttl": 60_000_000_000_u64,
        "num_replicas": 1,
    });
    conn.create_stream(&config).await.unwrap();
    let kv = Kv::open(conn.clone(), "b").unwrap();
    (conn, kv)
}

async fn next(watch: &mut Watch) -> Watched {
    tokio::time::timeout(Duration::from_secs(10), watch.next()).await.unwrap().unwrap().unwrap()
}

async fn next_entry(watch: &mut Watch) -> Entry {
    match next(watch).await {
        Watched::Entry(entry) => entry,
        Watched::UpToDate => panic!("expected an entry"),
    }
}

#[tokio::test]
async fn compare_and_set() {
    let server = Server::start();
    let (_conn, kv) = bucket(&server).await;
    assert_eq!(kv.get("a.b").await.unwrap(), None);
    let Cas::Won(first) = kv.create("a.b", "1").await.unwrap() else { panic!("lost") };
    assert_eq!(kv.create("a.b", "2").await.unwrap(), Cas::Lost);
    assert_eq!(kv.update("a.b", "2", first + 1).await.unwrap(), Cas::Lost);
    let Cas::Won(second) = kv.update("a.b", "2", first).await.unwrap() else { panic!("lost") };
    let entry = kv.get("a.b").await.unwrap().unwrap();
    let seen = (entry.key.as_str(), &entry.value[..], entry.revision, entry.deleted);
    assert_eq!(seen, ("a.b", b"2".as_slice(), second, false));
    assert_eq!(kv.delete_at("a.b", first).await.unwrap(), Cas::Lost);
    let marker = kv.delete("a.b").await.unwrap();
    let entry = kv.get("a.b").await.unwrap().unwrap();
    assert!(entry.deleted && entry.revision == marker);
    assert!(matches!(kv.create("a.b", "3").await.unwrap(), Cas::Won(_)));
    kv.purge("a.b").await.unwrap();
    assert!(kv.get("a.b").await.unwrap().unwrap().deleted);
    assert!(matches!(kv.create("a.b", "4").await.unwrap(), Cas::Won(_)));
}

#[tokio::test]
async fn a_lease_ends_unless_renewed() {
    let server = Server::start();
    let (_conn, kv) = bucket(&server).await;
    let second = Duration::from_secs(1);
    let mut watch = kv.watch("lease").await.unwrap();
    assert_eq!(next(&mut watch).await, Watched::UpToDate);
    let taken = kv.put_with_ttl("lease", "me", second, Some(0)).await.unwrap();
    let Cas::Won(revision) = taken else { panic!("lost") };
    assert_eq!(kv.put_with_ttl("lease", "you", second, Some(0)).await.unwrap(), Cas::Lost);
    let renewed = kv.put_with_ttl("lease", "me", second, Some(revision)).await.unwrap();
    let Cas::Won(revision) = renewed else { panic!("lost") };
    // The first value may be overwritten before it is told.
    while next_entry(&mut watch).await.revision < revision {}
    // The server's own marker tells of the end.
    let end = next_entry(&mut watch).await;
    assert!(end.deleted && end.revision > revision);
    assert!(kv.get("lease").await.unwrap().unwrap().deleted);
    assert!(matches!(kv.create("lease", "you").await.unwrap(), Cas::Won(_)));
}

#[tokio::test]
async fn keys_and_watch() {
    let server = Server::start();
    let (_conn, kv) = bucket(&server).await;
    assert!(kv.keys().await.unwrap().is_empty());
    for key in ["t.a", "t.b", "u.a", "t.c"] {
        kv.put(key, key.to_owned()).await.unwrap();
    }
    kv.delete("t.b").await.unwrap();
    assert_eq!(kv.keys().await.unwrap(), ["t.a", "u.a", "t.c"]);
    let mut watch = kv.watch("t.>").await.unwrap();
    let initial = [next_entry(&mut watch).await, next_entry(&mut watch).await];
    assert_eq!(initial.each_ref().map(|e| e.key.as_str()), ["t.a", "t.c"]);
    let marker = next_entry(&mut watch).await;
    assert!(marker.deleted && marker.key == "t.b");
    assert_eq!(next(&mut watch).await, Watched::UpToDate);
    kv.put("u.z", "elsewhere").await.unwrap();
    kv.put("t.z", "here").await.unwrap();
    assert_eq!(next_entry(&mut watch).await.value, "here");
}

#[tokio::test]
async fn names_are_checked() {
    let server = Server::start();
    let (conn, kv) = bucket(&server).await;
    for key in ["", ".a", "a.", "a..b", "a b", "a*", ">"] {
        assert_eq!(kv.get(key).await.unwrap_err().kind(), ErrorKind::Invalid, "{key:?}");
    }
    assert!(Kv::open(conn.clone(), "a.b").is_err());
    let absent = Kv::open(conn, "absent").unwrap();
    assert_eq!(absent.put("a", "1").await.unwrap_err().kind(), ErrorKind::NoResponders);
    let gone = eventually(|| async { absent.get("a").await.err() }).await;
    assert_eq!(gone.api_code(), Some(canonry_nats::api::STREAM_NOT_FOUND));
}
