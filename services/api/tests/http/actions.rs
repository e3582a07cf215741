//! Actions and the policy over HTTP: told as they stand, commands composed.

use serde_json::json;

use crate::support::{NOW, World, bearer, id, public, signer};

fn denied() -> serde_json::Value {
    json!({"run": id("run_", 1), "ticket": id("tkt_", 1), "role": id("rol_", 1), "tool": "mail",
        "action": "send", "worst": {}, "arguments_digest": "0".repeat(64),
        "input_digest": "0".repeat(64), "input": "x1:k:t", "code": "policy-undefined",
        "decision": {"engine": "e", "verdict": "DENY", "rules": [], "obligations": []}})
}

#[tokio::test]
async fn actions_and_the_policy_are_told() {
    let w = World::new().await;
    w.get("/api/v1/policy").await.refused(404, "policy-unknown");
    let action = id("act_", 1);
    w.get(&format!("/api/v1/actions/{action}")).await.refused(404, "action-unknown");
    let published = json!({"bundle": "AAAA", "revision": 3, "digest": "0".repeat(64),
        "version": "3", "expires": "2030-01-01T00:00:00.000000Z", "ttl_seconds": 600});
    w.record("ada", "policy/acme", "policy.published", published).await;
    let position = w.record("ada", &format!("action/{action}"), "action.denied", denied()).await;
    let policy = w.get("/api/v1/policy").await;
    assert_eq!((&policy.json["revision"], &policy.json["bundle"]), (&json!(3), &json!("AAAA")));
    let one = w.get(&format!("/api/v1/actions/{action}")).await;
    assert_eq!(one.header("canonry-position"), position.to_string());
    assert_eq!(
        (&one.json["status"], &one.json["code"]),
        (&json!("denied"), &json!("policy-undefined"))
    );
    assert!(!one.text.contains("x1:k:t"), "the sealed input stays in the ledger");
    // Who judges may see what a policy saw; who works may not.
    let path = "/api/v1/events?type=action&content=true";
    let opened = format!("t of action/{action}/input");
    assert_eq!(w.get(path).await.json["items"][0]["data"]["input"], opened);
    let worker = signer(9);
    let enrolled = json!({"actor": "bot", "parts": ["worker"], "role": id("rol_", 1),
        "keys": [public(&worker, "bot")], "revoked": [],
        "authorization": {"keyhead": "0".repeat(64), "signature": "ed25519:0000000000000000:AA"}});
    w.record("ada", "member/bot", "member.enrolled", enrolled).await;
    let token = bearer(&worker, "bot", "acme", NOW, NOW + 60);
    let seen = w.send("GET", path, Some(&token), &[], "").await;
    assert_eq!(seen.json["items"][0]["data"]["input"], "x1:k:t", "{}", seen.text);
    let list = w.get("/api/v1/actions?status=denied&tool=mail").await;
    assert_eq!(list.json["items"].as_array().unwrap().len(), 1, "{}", list.text);
    assert_eq!(w.get("/api/v1/actions?status=held").await.json, json!({"items": []}));
    w.get("/api/v1/actions?status=perhaps").await.refused(400, "query-invalid");
    w.get("/api/v1/actions?colour=red").await.refused(400, "query-invalid");
}

#[tokio::test]
async fn how_people_answer_is_told() {
    let w = World::new().await;
    assert_eq!(w.get("/api/v1/approvers").await.json, json!({"items": []}));
    let (ticket, this) = (format!("ticket/{}", id("tkt_", 1)), id("tkt_", 1));
    w.open_ticket(1, json!({"approval_required": true})).await;
    let asked = json!({"id": this, "reason": "x1:k:t"});
    w.record("bot", &ticket, "ticket.approval-requested", asked).await;
    w.record("ada", &ticket, "ticket.approved", json!({"id": this, "approval": "jwt"})).await;
    let told = w.get("/api/v1/approvers?limit=1").await;
    let ada = &told.json["items"][0];
    assert_eq!((&ada["approver"], &ada["approvals"]), (&json!("ada"), &json!(1)), "{}", told.text);
    assert!(ada["seconds_to_decide"].is_u64() && ada["later_reversals"] == 0, "{}", told.text);
    w.get("/api/v1/approvers?colour=red").await.refused(400, "query-invalid");
}

#[tokio::test]
async fn proposals_answers_and_bundles_are_commands() {
    let w = World::new().await;
    let action = id("act_", 1);
    let token = w.bearer();
    let settle = json!({"outcome": "done", "used": {}}).to_string();
    let path = format!("/api/v1/actions/{action}/settle");
    w.send("POST", &path, Some(&token), &[], &settle).await.refused(503, "retry");
    let bundle = json!({"bundle": "AAAA", "revision": 1}).to_string();
    let intent = "01JD0000000000000000000000";
    let bound = w.request_token(("policy", "publish"), bundle.as_bytes(), intent);
    w.send("PUT", "/api/v1/policy", Some(&bound), &[], &bundle).await.refused(503, "retry");
    let yes = json!({"id": action, "approval": "a.b.c"}).to_string();
    let bound = w.request_token(("action", "approve"), yes.as_bytes(), intent);
    let path = format!("/api/v1/actions/{action}/approve");
    w.send("POST", &path, Some(&bound), &[], &yes).await.refused(503, "retry");
    let seen = w.decider.seen.lock().unwrap().clone();
    let sent: Vec<_> = seen.iter().map(|s| (s.aggregate, s.verb)).collect();
    assert_eq!(sent, [("action", "settle"), ("policy", "publish"), ("action", "approve")]);
    let composed: serde_json::Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(composed, json!({"id": action, "outcome": "done", "used": {}}));
}
