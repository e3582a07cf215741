//! Leases over HTTP: listed as the ledger has them, and their tokens at the door.

use canonry_record::encoding::base64url;
use canonry_record::jws::{self, LeaseToken};
use canonry_record::seal::Signer;
use serde_json::{Value, json};

use crate::support::{NOW, World, id, signer};

const LATER: &str = "2099-01-01T00:00:00.000000Z";
const PAST: &str = "2001-01-01T00:00:00.000000Z";

/// The nth lease, of the nth run, by ada.
async fn issued(w: &World, n: u128, key: &Signer, expires: &str, renews: Option<u128>) -> u64 {
    let mut data = json!({
        "run": id("run_", n), "ticket": id("tkt_", 1), "role": id("rol_", 1), "worker": "ada",
        "tier": "T1", "login": "A".repeat(43), "key": base64url(&key.public()),
        "key_id": key.id, "expires": expires,
    });
    if let Some(old) = renews {
        data["renews"] = json!(id("lse_", old));
    }
    w.record("ada", &format!("lease/{}", id("lse_", n)), "lease.issued", data).await
}

fn claims(n: u128) -> LeaseToken {
    LeaseToken {
        iss: "ada".to_owned(),
        aud: "canonry/acme/lease".to_owned(),
        lease: id("lse_", n),
        run: id("run_", n),
        iat: NOW,
        exp: NOW + 600,
        jti: "x".to_owned(),
    }
}

#[tokio::test]
async fn leases_are_told_as_they_stand() {
    let w = World::new().await;
    let key = signer(7);
    for n in 1..=4 {
        issued(&w, n, &key, LATER, None).await;
    }
    let ended = |event: &str, n: u128, more: Value| {
        let event = event.to_owned();
        let mut data = json!({"id": id(if event.starts_with("run") { "run_" } else { "lse_" }, n)});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (event, data)
    };
    let cause = json!({"run": id("run_", 1), "role": id("rol_", 1), "cause": "violation"});
    let (event, data) = ended("lease.revoked", 1, cause);
    w.record("ada", &format!("lease/{}", id("lse_", 1)), &event, data).await;
    let (event, data) = ended("run.failed", 2, json!({"ticket": id("tkt_", 1)}));
    w.record("ada", &format!("run/{}", id("run_", 2)), &event, data).await;
    issued(&w, 5, &key, LATER, Some(3)).await;
    let all = w.get("/api/v1/leases").await;
    let items = all.json["items"].as_array().unwrap();
    let status: Vec<_> = items.iter().map(|l| l["status"].as_str().unwrap()).collect();
    assert_eq!(status, ["revoked", "ended", "replaced", "issued", "issued"], "{}", all.text);
    assert!(items[0]["ended_at"].is_string() && items[3].get("ended_at").is_none());
    for (query, count) in [
        ("status=issued".to_owned(), 2),
        (format!("run={}", id("run_", 2)), 1),
        (format!("role={}", id("rol_", 1)), 5),
        ("worker=eve".to_owned(), 0),
    ] {
        let found = w.get(&format!("/api/v1/leases?{query}")).await;
        assert_eq!(found.json["items"].as_array().unwrap().len(), count, "{query}");
    }
    let one = w.get(&format!("/api/v1/leases/{}", id("lse_", 4))).await;
    assert_eq!((&one.json["tier"], &one.json["worker"]), (&json!("T1"), &json!("ada")));
    w.get(&format!("/api/v1/leases/{}", id("lse_", 9))).await.refused(404, "lease-unknown");
    w.get("/api/v1/leases?nothing=1").await.refused(400, "query-invalid");
}

#[tokio::test]
async fn a_leases_token_is_let_in_while_it_holds_and_handed_on_as_one() {
    let w = World::new().await;
    let (key, other) = (signer(7), signer(8));
    issued(&w, 1, &key, LATER, None).await;
    issued(&w, 2, &key, PAST, None).await;
    issued(&w, 3, &key, LATER, None).await;
    let cause = json!({"id": id("lse_", 3), "run": id("run_", 3), "role": id("rol_", 1),
        "cause": "other"});
    w.record("ada", &format!("lease/{}", id("lse_", 3)), "lease.revoked", cause).await;
    let token = jws::sign(&claims(1), &key);
    let path = "/api/v1/tickets";
    assert_eq!(w.send("GET", path, Some(&token), &[], "").await.status, 200);
    type Change = fn(&mut LeaseToken);
    let wrong: [(Change, &Signer, &str); 9] = [
        (|_| {}, &other, "token-invalid"),
        (|t| t.iss = "eve".into(), &key, "token-invalid"),
        (|t| t.run = "run_x".into(), &key, "token-invalid"),
        (|t| t.aud = "canonry/other/lease".into(), &key, "token-invalid"),
        (|t| t.exp = NOW + 100_000, &key, "token-expired"),
        (|t| (t.iat, t.exp) = (NOW - 90, NOW - 1), &key, "token-expired"),
        (|t| *t = claims(2), &key, "lease-expired"),
        (|t| *t = claims(3), &key, "lease-revoked"),
        (|t| t.lease = String::new(), &key, "lease-unknown"),
    ];
    for (n, (change, by, code)) in wrong.into_iter().enumerate() {
        let mut claims = claims(1);
        change(&mut claims);
        let token = jws::sign(&claims, by);
        let reply = w.send("GET", path, Some(&token), &[], "").await;
        assert_eq!(reply.json["code"], code, "{n}: {}", reply.text);
    }
    // A write goes to the decider as one under a lease.
    let path = format!("/api/v1/exec/{}/steps", id("run_", 1));
    let body = r#"{"name":"sort","outcome":"done"}"#;
    w.send("POST", &path, Some(&token), &[], body).await;
    let last = w.decider.seen.lock().unwrap().last().cloned().unwrap();
    assert!(last.under_lease && last.on_behalf_of == token, "{last:?}");
    w.send("POST", &path, Some(&w.bearer()), &[], body).await;
    assert!(!w.decider.seen.lock().unwrap().last().unwrap().under_lease);
}
