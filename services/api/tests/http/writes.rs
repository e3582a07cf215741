//! Writes: what leaves for the decider, and how its answers come back.

use canonry_schemas::answer::Answer;
use canonry_schemas::limits::COMMAND_BYTES;
use serde_json::{Value, json};

use crate::support::{World, id};

const INTENT: &str = "01JD0000000000000000000000";

fn yes(entity: &str) -> Option<Answer> {
    Some(Answer {
        ok: true,
        receipt: Some(format!("acme/7/{}", "0".repeat(64))),
        position: Some("7".into()),
        entity: Some(entity.into()),
        event: None,
        code: None,
        message: None,
        intent: None,
    })
}

#[tokio::test]
async fn a_bearer_gets_its_command_composed() {
    let w = World::new().await;
    let ticket = id("tkt_", 1);
    *w.decider.answer.lock().unwrap() = yes(&format!("ticket/{ticket}"));
    let token = w.bearer();
    let trace = format!("00-{}-{}-01", "a".repeat(32), "b".repeat(16));
    let headers = [("canonry-intent-id", INTENT), ("traceparent", &*trace)];
    let body = r#"{ "title":"Printer" }"#;
    let reply = w.send("POST", "/api/v1/tickets", Some(&token), &headers, body).await;
    assert_eq!((reply.status.as_u16(), reply.header("canonry-position")), (201, "7"));
    assert_eq!(reply.header("location"), format!("/api/v1/tickets/{ticket}"));
    assert_eq!(reply.json["ok"], true);
    let path = format!("/api/v1/tickets/{ticket}");
    let headers = [("traceparent", "nonsense")];
    let reply = w.send("PATCH", &path, Some(&token), &headers, r#"{"priority":1}"#).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let path = format!("/api/v1/exec/start/{ticket}");
    assert_eq!(w.send("POST", &path, Some(&token), &[], "").await.status, 201);

    let seen = w.decider.seen.lock().unwrap().clone();
    assert_eq!(
        (seen[0].aggregate, seen[0].verb, &*seen[0].body),
        ("ticket", "open", body.as_bytes())
    );
    assert_eq!(
        (seen[0].intent.as_deref(), seen[0].traceparent.as_deref()),
        (Some(INTENT), Some(&*trace))
    );
    assert_eq!((seen[0].actor.as_str(), &seen[0].on_behalf_of), ("ada", &token));
    assert_eq!((seen[1].verb, &seen[1].traceparent, &seen[1].intent), ("amend", &None, &None));
    let body: Value = serde_json::from_slice(&seen[1].body).unwrap();
    assert_eq!(body, json!({"id": ticket, "priority": 1}));
    assert_eq!((seen[2].aggregate, seen[2].verb), ("run", "start"));
    assert_eq!(&*seen[2].body, json!({"ticket": ticket}).to_string().as_bytes());
}

#[tokio::test]
async fn a_request_bound_body_is_handed_on_as_it_came() {
    let w = World::new().await;
    let ticket = id("tkt_", 1);
    *w.decider.answer.lock().unwrap() = yes(&format!("ticket/{ticket}"));
    let body = format!(r#"{{ "approval":"jwt",  "id":"{ticket}" }}"#);
    let token = w.request_token(("ticket", "approve"), body.as_bytes(), INTENT);
    let path = format!("/api/v1/tickets/{ticket}/approve");
    let reply = w.send("POST", &path, Some(&token), &[], &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let seen = w.decider.seen.lock().unwrap().pop().unwrap();
    assert_eq!((&*seen.body, seen.intent.as_deref()), (body.as_bytes(), Some(INTENT)));

    let other = format!("/api/v1/tickets/{}/approve", id("tkt_", 2));
    w.send("POST", &other, Some(&token), &[], &body).await.refused(422, "schema-violation");
    let changed = body.replace("jwt", "jwu");
    w.send("POST", &path, Some(&token), &[], &changed).await.refused(401, "token-invalid");
    let reject = format!("/api/v1/tickets/{ticket}/reject");
    w.send("POST", &reject, Some(&token), &[], &body).await.refused(401, "token-invalid");
    let intent = [("canonry-intent-id", "01JD0000000000000000000001")];
    w.send("POST", &path, Some(&token), &intent, &body).await.refused(401, "token-invalid");
    assert!(w.decider.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_command_goes_no_further() {
    let w = World::new().await;
    let token = w.bearer();
    let path = format!("/api/v1/tickets/{}", id("tkt_", 1));
    let big = format!("{{\"title\":\"{}\"}}", "x".repeat(COMMAND_BYTES));
    let lower = INTENT.to_lowercase();
    for (method, path, headers, body, status, code) in [
        ("PATCH", &*path, vec![], "{", 400, "not-json"),
        ("PATCH", &path, vec![], r#"{"a":1,"a":2}"#, 400, "not-json"),
        ("PATCH", &path, vec![], "[]", 422, "schema-violation"),
        ("PATCH", &path, vec![], r#"{"id":"tkt_other"}"#, 422, "schema-violation"),
        ("POST", "/api/v1/tickets", vec![], &big, 413, "body-too-large"),
        (
            "POST",
            "/api/v1/tickets",
            vec![("content-length", "99999999")],
            "{}",
            413,
            "body-too-large",
        ),
        (
            "POST",
            "/api/v1/tickets",
            vec![("canonry-intent-id", &*lower)],
            "{}",
            400,
            "bad-intent-id",
        ),
        (
            "POST",
            "/api/v1/tickets",
            vec![("canonry-intent-id", INTENT), ("canonry-intent-id", INTENT)],
            "{}",
            400,
            "bad-header",
        ),
    ] {
        w.send(method, path, Some(&token), &headers, body).await.refused(status, code);
    }
    w.send("POST", "/api/v1/tickets", None, &[], "{}").await.refused(401, "token-missing");
    assert!(w.decider.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn refusals_become_problems_with_their_receipt() {
    let w = World::new().await;
    let token = w.bearer();
    let send = || w.send("POST", "/api/v1/roles", Some(&token), &[], "{}");
    let retry = send().await;
    retry.refused(503, "retry");
    for (code, status, retry_after) in [
        ("founder-only", 403, ""),
        ("role-unknown", 404, ""),
        ("ticket-ended", 409, ""),
        ("schema-violation", 422, ""),
        ("throttled", 429, "1"),
        ("tenant-frozen", 503, "1"),
        ("store-unavailable", 503, "1"),
        ("quota-exceeded", 507, ""),
    ] {
        let answer = Answer {
            ok: false,
            code: Some(code.into()),
            message: Some("no".into()),
            ..yes("role/x").unwrap()
        };
        *w.decider.answer.lock().unwrap() = Some(answer);
        let reply = send().await;
        reply.refused(status, code);
        assert_eq!(reply.header("retry-after"), retry_after, "{code}");
        assert_eq!((reply.header("canonry-position"), &reply.json["detail"]), ("7", &json!("no")));
        assert_eq!(reply.json["receipt"], format!("acme/7/{}", "0".repeat(64)));
    }
}
