//! The policy in force over HTTP: what a copy is worth, advice, drafts. The feed is played; the copy,
//! the engine and the read models are real.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use canonry_api::Policies;
use canonry_policy::bundle::build::{Plan, Signing, build};
use canonry_policy::bundle::{self, Trust};
use canonry_policy::distributed::{Advice, Copy, Held, Moment, Standing, View};
use canonry_policy::{Input, Policy, digest};
use canonry_record::Hash;
use canonry_record::beat::{Beat, Published};
use canonry_record::encoding::base64_padded;
use canonry_schemas::ids::TenantId;
use canonry_schemas::time::Time;
use serde_json::{Value, json};

use crate::support::{NOW, World, bearer, id, public, signer};

pub const REGO: &str = "package canonry.acts\n\ndecisions contains {\"rule\": \"read\", \
    \"verdict\": \"ALLOW\", \"obligations\": {\"redact\": [\"/secret\"]}} if input.action.tool == \"read\"\n\n\
    decisions contains {\"rule\": \"slow\", \"verdict\": \"THROTTLE\", \"retry_after\": 30} \
    if input.action.tool == \"slow\"\n";

/// A copy, and the seconds that passed since its beat.
#[derive(Default)]
pub struct Copies {
    copy: Mutex<Copy>,
    passed: Mutex<u64>,
}

impl Copies {
    fn now(&self) -> Moment {
        let passed = *self.passed.lock().unwrap();
        Moment { since: Duration::from_secs(passed), wall: Time(NOW * 1_000_000) }
    }

    fn published(&self, archive: &[u8]) {
        let held = Held { published: published(archive), archive: archive.to_vec() };
        self.copy.lock().unwrap().take(held).unwrap();
    }

    fn heard(&self, policy: Option<Published>) {
        let beat = Beat {
            tenant: "acme".parse().unwrap(),
            epoch: 1,
            position: 9,
            hash: Hash::ZERO,
            keyhead: Hash::ZERO,
            time: Time(NOW * 1_000_000),
            policy,
        };
        self.copy.lock().unwrap().hear(&beat, self.now()).unwrap();
    }
}

impl Policies for Copies {
    fn view(&self, _: &TenantId) -> View {
        let (copy, now) = (self.copy.lock().unwrap(), self.now());
        View {
            standing: copy.standing(now),
            held: copy.held().cloned(),
            age: copy.age(now),
            heard: copy.heard(),
        }
    }

    fn advise(&self, tenant: &TenantId, input: &Input) -> Advice {
        let view = self.view(tenant);
        let Standing::Fresh(held) = &view.standing else {
            let code = view.standing.denies();
            return Advice { view, decision: None, code };
        };
        let trust = Trust { key: &|_| true, now: Time(0), newest: None };
        let source = bundle::open(&held.archive, &trust).unwrap().source;
        let decision = Policy::compile(&source).unwrap().decide(input);
        let code = decision.codes.first().map(|code| code.code());
        Advice { view, decision: Some(decision), code }
    }
}

fn archive() -> Vec<u8> {
    let files = BTreeMap::from([("acts.rego".to_owned(), REGO.as_bytes().to_vec())]);
    let expires = Time((NOW + 3_600) * 1_000_000);
    let plan = Plan { files, revision: 3, expires, roots: vec!["canonry".to_owned()] };
    let by = signer(1);
    let sign = |message: &[u8]| by.sign_raw(message).to_vec();
    build(&plan, Some(&Signing { key: by.id.as_str(), algorithm: "EdDSA", sign: &sign })).unwrap()
}

fn published(archive: &[u8]) -> Published {
    Published {
        position: 2,
        hash: Hash::ZERO,
        digest: digest(archive).parse().unwrap(),
        revision: 3,
        version: canonry_schemas::text::Label("3".to_owned()),
        expires: Time((NOW + 3_600) * 1_000_000),
        ttl_seconds: 300,
    }
}

async fn asked(w: &World, input: &Value) -> Value {
    let token = w.bearer();
    let reply = w.send("POST", "/api/v1/policy/check", Some(&token), &[], &input.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json
}

/// A tenant whose policy is published and heard.
async fn in_force() -> (World, Vec<u8>) {
    let w = World::new().await;
    let archive = archive();
    let record = json!({"bundle": base64_padded(&archive), "revision": 3,
        "digest": digest(&archive), "version": "3",
        "expires": Time((NOW + 3_600) * 1_000_000), "ttl_seconds": 300});
    w.record("ada", "policy/acme", "policy.published", record).await;
    w.copies.published(&archive);
    w.copies.heard(Some(published(&archive)));
    (w, archive)
}

#[tokio::test]
async fn advice_says_what_it_rests_on_and_denies_when_that_is_nothing() {
    let w = World::new().await;
    let read = json!({"action": {"tool": "read"}});
    let nothing = asked(&w, &read).await;
    assert_eq!((&nothing["verdict"], &nothing["code"]), (&json!("DENY"), &json!("policy-stale")));
    assert_eq!(nothing["copy"], json!({"worth": "stale"}));
    w.get("/api/v1/policy?fresh=true").await.refused(503, "policy-stale");
    drop(w);

    let (w, archive) = in_force().await;
    let allowed = asked(&w, &read).await;
    assert_eq!(allowed["advisory"], true);
    assert_eq!((&allowed["verdict"], &allowed["rules"]), (&json!("ALLOW"), &json!(["read"])));
    assert_eq!(allowed["obligations"], json!([{"kind": "redact", "path": "/secret"}]));
    assert_eq!(allowed["policy"]["digest"], digest(&archive));
    assert_eq!(
        (&allowed["copy"]["worth"], &allowed["copy"]["age_seconds"]),
        (&json!("fresh"), &json!(0))
    );
    let later = asked(&w, &json!({"action": {"tool": "slow"}})).await;
    assert_eq!(
        (&later["verdict"], &later["members"]),
        (&json!("THROTTLE"), &json!({"retry_after": 30}))
    );
    let other = asked(&w, &json!({"action": {"tool": "other"}})).await;
    assert_eq!(other["code"], "policy-undefined");
    let known = w.get("/api/v1/policy?fresh=true").await.json;
    assert_eq!((&known["revision"], &known["copy"]["worth"]), (&json!(3), &json!("fresh")));

    *w.copies.passed.lock().unwrap() = 299;
    assert_eq!(asked(&w, &read).await["verdict"], "ALLOW");
    *w.copies.passed.lock().unwrap() = 300;
    let stale = asked(&w, &read).await;
    assert_eq!((&stale["verdict"], &stale["code"]), (&json!("DENY"), &json!("policy-stale")));
    assert_eq!((&stale["rules"], &stale["copy"]["age_seconds"]), (&json!([]), &json!(300)));
    w.get("/api/v1/policy?fresh=true").await.refused(503, "policy-stale");
    assert_eq!(w.get("/api/v1/policy").await.json["copy"]["worth"], "stale");
}

#[tokio::test]
async fn what_is_no_input_is_refused_without_its_words() {
    let (w, _) = in_force().await;
    let token = w.bearer();
    for (body, status, code) in [
        ("{", 422, "schema-violation"),
        (r#"{"action": {"tool": "hunter2", "colour": "red"}}"#, 422, "schema-violation"),
        (r#"{"tenant": "globex"}"#, 422, "schema-violation"),
    ] {
        let reply = w.send("POST", "/api/v1/policy/check", Some(&token), &[], body).await;
        reply.refused(status, code);
        assert!(!reply.text.contains("hunter2") && !reply.text.contains("red"), "{}", reply.text);
    }
    let long = format!("{{\"phase\": \"{}\"}}", "x".repeat(17_000));
    let reply = w.send("POST", "/api/v1/policy/check", Some(&token), &[], &long).await;
    reply.refused(413, "body-too-large");
    w.send("POST", "/api/v1/policy/check", None, &[], "{}").await.refused(401, "token-missing");
    w.send("GET", "/api/v1/policy/check", Some(&token), &[], "")
        .await
        .refused(405, "method-unknown");
}

#[tokio::test]
async fn a_draft_is_compared_and_asked_about_the_past() {
    let (w, archive) = in_force().await;
    let token = w.bearer();
    let send = async |path: &str, token: &str, body: &Value| {
        w.send("POST", path, Some(token), &[], &body.to_string()).await
    };
    let mut asked = Input::default();
    "read".clone_into(&mut asked.action.tool);
    let asked = json!(asked);
    let denied = json!({"run": id("run_", 1), "ticket": id("tkt_", 1), "role": id("rol_", 1),
        "tool": "read", "action": "send", "worst": {}, "arguments_digest": "0".repeat(64),
        "input_digest": "0".repeat(64), "input": format!("x1:json:{asked}"), "code": "policy-denied",
        "decision": {"engine": "e", "verdict": "DENY", "rules": ["old"], "obligations": []}});
    let action = format!("action/{}", id("act_", 1));
    let position = w.record("ada", &action, "action.denied", denied).await;
    let draft = json!({"files": {"acts.rego": REGO}});
    let simulated = send("/api/v1/policy/simulate", &token, &json!({"draft": draft})).await;
    assert_eq!(simulated.status, 200, "{}", simulated.text);
    let one = &simulated.json["changed"][0];
    assert_eq!((&one["position"], &one["was"]["verdict"]), (&json!(position), &json!("DENY")));
    assert_eq!(one["now"]["verdict"], "ALLOW", "{one}");
    assert_eq!(
        (&simulated.json["decisions"], &simulated.json["complete"]),
        (&json!(1), &json!(true))
    );

    // The same as the policy in force, as a bundle; and something else, as files.
    let same = json!({"draft": {"bundle": base64_padded(&archive)}});
    let same = send("/api/v1/policy/diff", &token, &same).await;
    assert_eq!(
        (&same.json["files"], &same.json["rules"]),
        (&json!([]), &json!(2)),
        "{}",
        same.text
    );
    let other = json!({"draft": {"files": {"acts.rego": REGO.replace("read", "look")}}});
    let other = send("/api/v1/policy/diff", &token, &other).await.json;
    assert_eq!(
        (&other["published"]["revision"], &other["files"][0]["change"]),
        (&json!(3), &json!("changed"))
    );
    assert!(other["files"][0]["diff"].as_str().unwrap().contains("\"look\""), "{other}");

    // A worker reads no inputs through a draft that tells them.
    let worker = signer(9);
    let enrolled = json!({"actor": "bot", "parts": ["worker"], "role": id("rol_", 1),
        "keys": [public(&worker, "bot")], "revoked": [],
        "authorization": {"keyhead": "0".repeat(64), "signature": "ed25519:0000000000000000:AA"}});
    w.record("ada", "member/bot", "member.enrolled", enrolled).await;
    let bot = bearer(&worker, "bot", "acme", NOW, NOW + 60);
    send("/api/v1/policy/simulate", &bot, &json!({"draft": draft}))
        .await
        .refused(403, "not-allowed");

    for (path, body, status, code) in [
        ("diff", json!({"draft": {}}), 422, "schema-violation"),
        ("diff", json!({"draft": {"files": {"a.rego": "package"}}}), 422, "policy-syntax"),
        ("diff", json!({"draft": draft, "at": 1}), 404, "policy-unknown"),
        ("simulate", json!({"draft": draft, "last": 0}), 422, "schema-violation"),
        ("simulate", json!({"draft": draft, "last": 1_001}), 422, "schema-violation"),
        ("simulate", json!({"draft": {"bundle": "AAAA"}}), 422, "bundle-malformed"),
    ] {
        let reply = send(&format!("/api/v1/policy/{path}"), &token, &body).await;
        reply.refused(status, code);
    }
    let both = w.drafts.clone().acquire_many_owned(2).await.unwrap();
    let busy = send("/api/v1/policy/diff", &token, &json!({"draft": draft})).await;
    busy.refused(503, "policy-busy");
    drop(both);
}
