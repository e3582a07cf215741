//! Custom records over HTTP: kinds listed, events filtered by kind, content opened at any depth.

use serde_json::{Value, json};

use crate::support::{World, id};

#[tokio::test]
async fn kinds_and_their_events_are_told() {
    let w = World::new().await;
    let schema = json!({"type": "object", "additionalProperties": false, "properties":
        {"a": {"type": "string", "x-content": true}}});
    for (kind, version) in [("left", 1), ("taken", 1), ("left", 2)] {
        let data = json!({"kind": kind, "version": version, "schema": schema});
        w.record("ada", &format!("ext/{kind}"), "ext.registered", data).await;
    }
    let kinds = w.get("/api/v1/events/kinds?kind=left").await;
    assert_eq!(kinds.json["items"].as_array().unwrap().len(), 2, "{}", kinds.text);
    assert_eq!(kinds.json["items"][1]["version"], 2);
    assert_eq!(kinds.json["items"][0]["schema"], schema);
    assert_eq!(kinds.json["items"][0]["registered_by"], "ada");

    let about = format!("ticket/{}", id("tkt_", 1));
    for (kind, entity) in [("left", about.as_str()), ("taken", "ext/ext_1")] {
        let data = json!({"kind": kind, "version": 1,
            "data": {"a": "x1:k:one", "b": [{"c": "x1:k:two", "d": "clear"}], "e": "x1:gone:x"}});
        w.record("ada", entity, "ext.appended", data).await;
    }
    let path = "/api/v1/events?kind=left";
    let sealed = w.get(path).await;
    assert_eq!(sealed.json["items"].as_array().unwrap().len(), 1, "{}", sealed.text);
    assert_eq!(sealed.json["items"][0]["data"]["data"]["a"], "x1:k:one");
    let opened = w.get(&format!("{path}&content=true")).await;
    let data = &opened.json["items"][0]["data"]["data"];
    assert_eq!(data["a"], format!("one of {about}/data/a"));
    assert_eq!(data["b"][0]["c"], format!("two of {about}/data/b/0/c"));
    assert_eq!((&data["b"][0]["d"], &data["e"]), (&json!("clear"), &Value::Null));
    let on_ticket = w.get(&format!("/api/v1/events?entity={about}")).await;
    assert_eq!(on_ticket.json["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn events_are_posted() {
    let w = World::new().await;
    let body = r#"{"kind":"left","version":1,"data":{}}"#;
    w.send("POST", "/api/v1/events", Some(&w.bearer()), &[], body).await.refused(503, "retry");
    let token = w.request_token(("ext", "register"), b"{}", "01JD0000000000000000000000");
    let path = "/api/v1/events/kinds";
    w.send("POST", path, Some(&token), &[], "{}").await.refused(503, "retry");
    let seen = w.decider.seen.lock().unwrap().clone();
    assert_eq!(
        (seen[0].aggregate, seen[0].verb, &*seen[0].body),
        ("ext", "append", body.as_bytes())
    );
    assert_eq!((seen[1].aggregate, seen[1].verb, &*seen[1].body), ("ext", "register", &b"{}"[..]));
}
