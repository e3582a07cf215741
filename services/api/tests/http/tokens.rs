//! Who is let in.

use canonry_record::jws;
use serde_json::json;

use crate::support::{NOW, World, bearer, public, signer};

#[tokio::test]
async fn only_tokens_of_members_that_hold_now_are_let_in() {
    let w = World::new().await;
    let ada = &w.founder;
    assert_eq!(w.get("/api/v1/tickets").await.status, 200);
    let none = w.send("GET", "/api/v1/tickets", None, &[], "").await;
    none.refused(401, "token-missing");
    assert!(none.header("www-authenticate").starts_with("Bearer"));
    let mut tampered = w.bearer();
    tampered.replace_range(tampered.len() - 6.., "AAAAAA");
    for (token, code) in [
        (bearer(ada, "ada", "acme", NOW - 90, NOW - 1), "token-expired"),
        (bearer(ada, "ada", "acme", NOW, NOW + 100_000), "token-expired"),
        (bearer(ada, "ada", "acme", NOW + 1_000, NOW + 1_060), "token-expired"),
        (bearer(ada, "eve", "acme", NOW, NOW + 60), "token-invalid"),
        (bearer(ada, "ada", "other", NOW, NOW + 60), "token-invalid"),
        (bearer(&signer(9), "ada", "acme", NOW, NOW + 60), "key-unknown"),
        (jws::sign(&json!({"aud": "canonry/acme/else"}), ada), "token-invalid"),
        (jws::sign(&json!({"aud": "canonry/acme/api"}), ada), "token-invalid"),
        (w.request_token(("ticket", "open"), b"{}", "x"), "token-invalid"),
        (tampered, "token-invalid"),
        ("a.b.c".into(), "token-invalid"),
    ] {
        w.send("GET", "/api/v1/tickets", Some(&token), &[], "").await.refused(401, code);
    }
    let twice = [("authorization", "Bearer x")];
    let token = w.bearer();
    w.send("GET", "/api/v1/tickets", Some(&token), &twice, "").await.refused(400, "bad-header");
}

#[tokio::test]
async fn nobody_is_unknown_before_the_enrolment_could_be_read() {
    let w = World::new().await;
    let ask = async |signer, tenant| {
        let token = bearer(signer, "bob", tenant, NOW, NOW + 60);
        w.send("GET", "/api/v1/members", Some(&token), &[], "").await
    };
    let (bob, fresh) = (signer(2), "fresh".parse().unwrap());
    w.projections.announce(&w.tenant);
    w.projections.announce(&fresh);
    let early = ask(&bob, "acme").await;
    assert_eq!(early.refused(503, "catching-up").header("retry-after"), "1");
    ask(&bob, "fresh").await.refused(503, "catching-up");
    assert_eq!(w.get("/api/v1/tickets").await.status, 200, "who is known is served");
    w.projections.caught_up(&w.tenant);
    w.projections.caught_up(&fresh);
    ask(&bob, "acme").await.refused(401, "key-unknown");
    ask(&bob, "fresh").await.refused(401, "token-invalid");
}

#[tokio::test]
async fn keys_come_and_go_with_the_ledger() {
    let w = World::new().await;
    let bob = signer(2);
    let token = bearer(&bob, "bob", "acme", NOW, NOW + 60);
    let ask = |path| w.send("GET", path, Some(&token), &[], "");
    ask("/api/v1/members").await.refused(401, "key-unknown");

    let authorization = json!({"keyhead": "0".repeat(64), "signature": format!("ed25519:{}:{}", "0".repeat(16), "A".repeat(86))});
    let enrol = json!({"actor": "bob", "parts": ["auditor"], "keys": [public(&bob, "bob")],
        "revoked": [], "authorization": authorization});
    let (early, at) = tokio::join!(
        ask("/api/v1/members?min_position=2"),
        w.record("ada", "member/bob", "member.enrolled", enrol)
    );
    assert_eq!((early.status.as_u16(), at), (200, 2), "{}", early.text);
    assert_eq!(early.json["items"].as_array().unwrap().len(), 2);

    let next = signer(3);
    let rotate = json!({"actor": "bob", "keys": [public(&next, "bob")], "revoked": [bob.id],
        "authorization": authorization});
    w.record("bob", "member/bob", "member.keys-rotated", rotate).await;
    ask("/api/v1/members").await.refused(401, "key-unknown");
    let token = bearer(&next, "bob", "acme", NOW, NOW + 60);
    let ask = || w.send("GET", "/api/v1/members", Some(&token), &[], "");
    assert_eq!(ask().await.status, 200);

    let remove = json!({"actor": "bob", "keys": [], "revoked": [], "authorization": authorization});
    w.record("ada", "member/bob", "member.removed", remove).await;
    ask().await.refused(401, "actor-removed");
}
