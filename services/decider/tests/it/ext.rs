//! Custom record types through a whole decider: registered, appended, refused, rebuilt.

use serde_json::{Value, json};

use crate::harness::{Person, Spine, id, intent, of_intent};

/// A kind with content at two depths.
fn parcel(version: u32) -> Value {
    json!({"kind": "parcel-left", "version": version, "schema": {
    "type": "object", "additionalProperties": false, "required": ["parcel"],
    "properties": {
        "parcel": {"type": "string", "pattern": "^P-[0-9]+$"},
        "note": {"type": "string", "x-content": true},
        "seen": {"type": "array", "maxItems": 100, "items": {
            "type": "object", "additionalProperties": false,
            "properties": {"by": {"type": "string", "x-content": true}}}},
    }}})
}

fn left(data: Value) -> Value {
    json!({"kind": "parcel-left", "version": 1, "data": data})
}

async fn refused(by: &Person, verb: &str, body: Value, code: &str) {
    let answer = by.send("ext", verb, body.clone()).await;
    assert_eq!(answer.code.as_deref(), Some(code), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_is_registered_and_appended_to() {
    let mut spine = Spine::start().await;
    let (founder, operator) = (spine.person("founder").await, spine.person("operator").await);
    refused(&operator, "append", left(json!({"parcel": "P-1"})), "kind-unknown").await;
    refused(&operator, "register", parcel(1), "founder-only").await;
    let body = parcel(1).to_string();
    let bare = founder.raw(&founder.subject("ext", "register"), &[], body).await.unwrap();
    assert_eq!(bare.code.as_deref(), Some("request-token-missing"));
    let answer = founder.send("ext", "register", parcel(1)).await;
    assert_eq!(answer.entity.as_deref(), Some("ext/parcel-left"), "{answer:?}");
    refused(&founder, "register", parcel(1), "kind-version-taken").await;
    let mut remote = parcel(2);
    remote["schema"]["properties"]["parcel"] = json!({"$ref": "https://example.com/p.json"});
    refused(&founder, "register", remote, "ext-schema-invalid").await;

    let ticket = id(&founder.send("ticket", "open", json!({"title": "Lost"})).await);
    let about = format!("ticket/{ticket}");
    let mut whole = left(json!({"parcel": "P-2", "note": "Canary one",
        "seen": [{"by": "Canary two"}, {}]}));
    let alone = intent();
    let answer = operator.send_as(&alone, "ext", "append", &whole).await;
    assert!(answer.ok && answer.entity.unwrap().starts_with("ext/ext_"));
    whole["entity"] = json!(about);
    let on_ticket = intent();
    let answer = operator.send_as(&on_ticket, "ext", "append", &whole).await;
    assert_eq!(answer.entity.as_ref(), Some(&about), "{answer:?}");
    for (data, code) in [
        (json!({}), "ext-data-invalid"),
        (json!({"parcel": "Q"}), "ext-data-invalid"),
        (json!({"parcel": "P-1", "other": 1}), "ext-data-invalid"),
        (json!({"parcel": "P-1", "note": "x".repeat(501)}), "content-too-long"),
        (json!({"parcel": "P-1", "note": ""}), "content-too-long"),
        (json!({"parcel": "P-1", "seen": vec![json!({"by": "a"}); 65]}), "ext-data-invalid"),
    ] {
        refused(&operator, "append", left(data), code).await;
    }
    let mut nowhere = whole.clone();
    nowhere["entity"] = json!("member/nobody");
    refused(&operator, "append", nowhere, "entity-unknown").await;
    refused(&founder, "append", json!({"kind": "Parcel"}), "schema-violation").await;

    let ledger = spine.ledger().await;
    let record = of_intent(&ledger, &on_ticket)[0];
    assert_eq!(
        (&record["entity"], &record["type"]),
        (&json!(about), &json!("canonry.ext.appended.v1"))
    );
    assert_eq!(record["subject"], "ledger.acme.ext.appended");
    assert_eq!(record["data"]["data"]["parcel"], "P-2", "what is no content is in clear");
    let opened = ledger.iter().find(|r| r["type"] == "canonry.ticket.opened.v1").unwrap();
    let key = |text: &Value| text.as_str().unwrap().rsplit_once(':').unwrap().0.to_owned();
    let of_ticket = key(&opened["data"]["title"]);
    assert_eq!(key(&record["data"]["data"]["note"]), of_ticket, "under the ticket's own key");
    let own = of_intent(&ledger, &alone)[0];
    let own_key = key(&own["data"]["data"]["note"]);
    assert_eq!(key(&own["data"]["data"]["seen"][0]["by"]), own_key);
    assert_ne!(own_key, of_ticket);
    assert!(!json!(ledger).to_string().contains("Canary"));
    spine.stop().await;
}

/// Kinds come back from the snapshot and from the records alone, and content keys go on behind
/// those that custom records use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_outlive_their_decider() {
    let mut spine = Spine::start().await;
    let founder = spine.person("founder").await;
    assert!(founder.send("ext", "register", parcel(1)).await.ok);
    let whole = left(json!({"parcel": "P-2", "note": "a note"}));
    for name in ["decider-a", "decider-b"] {
        assert!(founder.send("ext", "append", whole.clone()).await.ok);
        spine.stop().await;
        // The first goes on from its own snapshot, the second has none.
        spine.decider = Some(spine.decider(name).await);
        assert!(founder.send("ext", "append", whole.clone()).await.ok);
        refused(&founder, "register", parcel(1), "kind-version-taken").await;
        refused(&founder, "append", left(json!({"parcel": 1})), "ext-data-invalid").await;
    }
    assert!(founder.send("ext", "register", parcel(2)).await.ok);
    spine.stop().await;
    let mut keys = std::collections::BTreeSet::new();
    for record in spine.ledger().await {
        let Some(note) = record["data"]["data"]["note"].as_str() else { continue };
        assert!(keys.insert(note.rsplit_once(':').unwrap().0.to_owned()), "a key used twice");
    }
    assert_eq!(keys.len(), 4);
}
