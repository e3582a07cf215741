//! The transparency log over HTTP: what is given as it is, and each refusal.

use crate::support::{NOTE, World};

#[tokio::test]
async fn checkpoint_tiles_and_proofs_are_given_as_they_are() {
    let w = World::new().await;
    let get = async |path: &str| w.get(&format!("/api/v1/tlog/{path}")).await;
    let checkpoint = get("checkpoint").await;
    assert_eq!(checkpoint.text, NOTE);
    assert_eq!(checkpoint.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(checkpoint.header("cache-control"), "no-store");
    for path in ["tile/0/000.p/3", "tile/entries/x001/234.p/3"] {
        let tile = get(path).await;
        assert_eq!(tile.text, path);
        assert_eq!(tile.header("content-type"), "application/octet-stream");
        assert!(tile.header("cache-control").contains("immutable"));
    }
    assert_eq!(get("inclusion?position=4").await.text, "proof of 4\n");
    let consistent = get("consistency?from=2&to=3").await.json;
    assert_eq!((&consistent["from"], &consistent["to"]), (&2.into(), &3.into()));
    assert_eq!(consistent["proof"][0], "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
}

#[tokio::test]
async fn each_wrong_question_has_its_code() {
    let w = World::new().await;
    for (path, status, code) in [
        ("tile/0/000", 404, "tile-unknown"),
        ("tile/0/0", 404, "tile-unknown"),
        ("tile/../secrets", 404, "tile-unknown"),
        ("inclusion", 400, "query-invalid"),
        ("inclusion?position=x", 400, "query-invalid"),
        ("inclusion?position=2", 404, "position-unknown"),
        ("inclusion?position=9", 404, "checkpoint-missing"),
        ("consistency?from=1", 400, "query-invalid"),
        ("consistency?from=0&to=3", 400, "query-invalid"),
        ("consistency?from=1&to=3&also=4", 400, "query-invalid"),
        ("consistency?from=1&to=9", 500, "internal"),
    ] {
        let reply = w.get(&format!("/api/v1/tlog/{path}")).await;
        reply.refused(status, code);
        assert!(!reply.text.contains("10.0.0.1"), "a cause is for the log: {}", reply.text);
    }
    w.send("GET", "/api/v1/tlog/checkpoint", None, &[], "").await.refused(401, "token-missing");
}
