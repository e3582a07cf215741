//! Leases at the decider: what is asked under one is judged by what was decided before, whatever
//! the connection; a revoked one lets nothing pass.

use std::time::Duration;

use canonry_provision::TenantUser;
use canonry_record::encoding::base64url;
use canonry_record::jws::{self, LeaseToken};
use canonry_record::seal::Signer;
use canonry_schemas::answer::Answer;
use canonry_schemas::header::{LEASE, ON_BEHALF_OF, REQUEST_TOKEN};
use canonry_schemas::ids::IntentId;
use serde_json::{Value, json};

use crate::harness::{Person, Spine, ask, id, intent, now, of_intent};
use crate::tokens::enrolment;

/// A role at work: the founder, the worker with base creds, a ticket, a run.
pub struct Post {
    pub spine: Spine,
    pub founder: Person,
    pub operator: Person,
    pub worker: Person,
    pub role: String,
    pub ticket: String,
    pub run: String,
}

/// A lease and the key that shows it.
pub struct Held {
    pub id: String,
    signer: Signer,
    run: String,
}

fn signer() -> Signer {
    let mut seed = [0; 32];
    seed[..24].copy_from_slice(&canonry_decider::keeper::nonce());
    Signer::from_seed(&seed)
}

impl Post {
    pub async fn open() -> Self {
        Box::pin(Self::opened()).await
    }

    async fn opened() -> Self {
        let spine = Spine::start().await;
        let (founder, operator) = (spine.person("founder").await, spine.person("operator").await);
        let role = founder.hire().await;
        let actor = "clerk".parse().unwrap();
        spine.test.cell.tenant_user(&spine.tenant, &actor, TenantUser::Worker).unwrap();
        spine.test.cell.member_key(&spine.tenant, &actor).unwrap();
        let body = enrolment(&spine, "clerk", json!({"parts": ["worker"], "role": role})).await;
        let answer = founder.send("member", "enrol", body).await;
        assert!(answer.ok, "{answer:?}");
        let worker = spine.person("clerk").await;
        let body = json!({"title": "Sort the post", "role": role});
        let ticket = id(&operator.send("ticket", "open", body).await);
        let run = id(&plain(&worker, "run", "start", &json!({ "ticket": ticket })).await);
        Self { spine, founder, operator, worker, role, ticket, run }
    }

    pub async fn lease(&self, renews: Option<&str>) -> (Held, Answer) {
        let (login, key) = (signer(), signer());
        let mut body = json!({
            "run": self.run, "login": base64url(&login.public()), "key": base64url(&key.public()),
        });
        if let Some(old) = renews {
            body["renews"] = json!(old);
        }
        let answer = plain(&self.worker, "lease", "issue", &body).await;
        let held = if answer.ok { id(&answer) } else { String::new() };
        (Held { id: held, signer: key, run: self.run.clone() }, answer)
    }
}

/// Sent as it is, without a token.
pub async fn plain(person: &Person, aggregate: &str, verb: &str, body: &Value) -> Answer {
    sent(person, aggregate, verb, body, &[]).await
}

async fn sent(
    person: &Person,
    aggregate: &str,
    verb: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> Answer {
    let subject = person.subject(aggregate, verb);
    loop {
        let answer = person.raw(&subject, headers, body.to_string()).await;
        match answer {
            Some(answer) if answer.code.as_deref() != Some("retry") => return answer,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

impl Held {
    fn claims(&self) -> LeaseToken {
        let iat = i64::try_from(now() / 1_000).unwrap();
        LeaseToken {
            iss: "clerk".to_owned(),
            aud: "canonry/acme/lease".to_owned(),
            lease: self.id.clone(),
            run: self.run.clone(),
            iat,
            exp: iat + 600,
            jti: intent().to_string(),
        }
    }

    fn token(&self) -> String {
        jws::sign(&self.claims(), &self.signer)
    }

    pub async fn send(&self, worker: &Person, aggregate: &str, verb: &str, body: &Value) -> Answer {
        sent(worker, aggregate, verb, body, &[(LEASE, &self.token())]).await
    }

    pub async fn step(&self, worker: &Person) -> Answer {
        let body = json!({"id": self.run, "name": "sort", "outcome": "done"});
        self.send(worker, "run", "record-step", &body).await
    }
}

pub fn code(answer: &Answer) -> &str {
    answer.code.as_deref().unwrap_or("fact")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_lease_lets_nothing_pass() {
    let post = Post::open().await;
    let (held, answer) = post.lease(None).await;
    assert!(answer.ok, "{answer:?}");
    assert!(held.step(&post.worker).await.ok);
    // About its run and ticket alone, and nothing that its tier may not.
    for (aggregate, verb, body, said) in [
        ("run", "start", json!({"ticket": post.ticket}), "tier-too-low"),
        ("role", "pause", json!({"id": post.role}), "tier-too-low"),
        ("ticket", "open", json!({"title": "x"}), "tier-too-low"),
        ("run", "complete", json!({"id": "run_01hzy3v7m8q6k4n2r9s5t1w0xa"}), "lease-foreign"),
    ] {
        let answer = held.send(&post.worker, aggregate, verb, &body).await;
        assert_eq!(code(&answer), said, "{aggregate}.{verb}");
        assert!(answer.position.is_some(), "the refusal is on the ledger");
    }
    let (_, second) = post.lease(None).await;
    assert_eq!(code(&second), "lease-living");

    let revoke = json!({"id": held.id, "cause": "compromised"});
    let revoked = post.operator.send("lease", "revoke", revoke.clone()).await;
    assert!(revoked.ok, "{revoked:?}");
    let refused = held.step(&post.worker).await;
    assert_eq!(code(&refused), "lease-revoked");
    let place = |a: &Answer| a.position.as_ref().unwrap().parse::<u64>().unwrap();
    assert!(place(&refused) > place(&revoked));
    let again = post.operator.send("lease", "revoke", revoke).await;
    assert_eq!(code(&again), "lease-revoked");

    // Every decision after the revocation's position refused.
    let ledger = post.spine.ledger().await;
    let at = usize::try_from(place(&revoked)).unwrap();
    let of_run = |body: &&Value| body["entity"] == format!("run/{}", post.run);
    assert!(ledger[at..].iter().all(|b| b["type"] != "canonry.run.step-recorded.v1"));
    let issued = &ledger[..at].iter().find(|b| b["type"] == "canonry.lease.issued.v1").unwrap();
    assert_eq!(issued["touches"], format!("role/{} run/{}", post.role, post.run));
    assert_eq!(issued["entity"], format!("lease/{}", held.id));
    assert_eq!(issued["data"]["worker"], "clerk");
    assert_eq!(issued["data"]["tier"], "T1");
    let step = ledger.iter().filter(of_run).find(|b| b["type"] == "canonry.run.step-recorded.v1");
    assert!(step.unwrap()["authdigest"].is_string(), "the record says by which token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lease_rests_on_ends_it() {
    let post = Post::open().await;
    let (first, _) = post.lease(None).await;
    let (second, answer) = post.lease(Some(&first.id)).await;
    assert!(answer.ok, "{answer:?}");
    assert_eq!(code(&first.step(&post.worker).await), "lease-revoked");
    assert!(second.step(&post.worker).await.ok);

    assert!(post.founder.send("role", "pause", json!({"id": post.role})).await.ok);
    assert_eq!(code(&second.step(&post.worker).await), "role-paused");
    assert!(post.founder.send("role", "resume", json!({"id": post.role})).await.ok);
    assert!(second.step(&post.worker).await.ok);
    let amend = json!({"id": post.role, "tier": "T0"});
    assert!(post.founder.send("role", "amend", amend).await.ok);
    assert_eq!(code(&second.step(&post.worker).await), "tier-too-low");
    let amend = json!({"id": post.role, "tier": "T1"});
    assert!(post.founder.send("role", "amend", amend).await.ok);
    let done = json!({"id": post.run});
    assert!(second.send(&post.worker, "run", "complete", &done).await.ok);
    assert_eq!(code(&second.step(&post.worker).await), "run-ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_shown_by_its_own_key_and_no_other() {
    let post = Post::open().await;
    let (held, _) = post.lease(None).await;
    let body = json!({"id": post.run, "name": "sort", "outcome": "done"});
    type Change = Box<dyn Fn(&mut LeaseToken)>;
    let wrong: Vec<(&str, Change, &str)> = vec![
        ("audience", Box::new(|t| t.aud = "canonry/acme/api".into()), "token-invalid"),
        ("tenant", Box::new(|t| t.aud = "canonry/other/lease".into()), "token-invalid"),
        ("worker", Box::new(|t| t.iss = "operator".into()), "token-invalid"),
        ("run", Box::new(|t| t.run = "run_01hzy3v7m8q6k4n2r9s5t1w0xa".into()), "token-invalid"),
        ("lease", Box::new(|t| t.lease = "lse_01hzy3v7m8q6k4n2r9s5t1w0xa".into()), "lease-unknown"),
        ("no lease", Box::new(|t| t.lease = "../x".into()), "token-invalid"),
        ("ended", Box::new(|t| (t.iat, t.exp) = (t.iat - 90, t.iat - 1)), "token-expired"),
        ("long", Box::new(|t| t.exp = t.iat + 3_601), "token-expired"),
    ];
    for (name, change, said) in wrong {
        let mut claims = held.claims();
        change(&mut claims);
        let token = jws::sign(&claims, &held.signer);
        let answer = sent(&post.worker, "run", "record-step", &body, &[(LEASE, &token)]).await;
        assert_eq!(code(&answer), said, "{name}");
    }
    for (name, key) in [("the member key", &post.worker.signer), ("any key", &signer())] {
        let token = jws::sign(&held.claims(), key);
        let answer = sent(&post.worker, "run", "record-step", &body, &[(LEASE, &token)]).await;
        assert_eq!(code(&answer), "token-invalid", "{name}");
    }
    // Another's connection, two headers, and beside another token.
    let token = held.token();
    let answer = sent(&post.operator, "run", "record-step", &body, &[(LEASE, &token)]).await;
    assert_eq!(code(&answer), "token-invalid");
    for other in [LEASE, REQUEST_TOKEN, ON_BEHALF_OF] {
        let headers = [(LEASE, token.as_str()), (other, token.as_str())];
        let answer = sent(&post.worker, "run", "record-step", &body, &headers).await;
        assert_eq!(code(&answer), "bad-header", "{other}");
    }
    // A service hands it on; the record names the worker.
    let service = post.spine.service("svc_api").await;
    let subject = "command.acme.svc_api.run.record-step";
    let id: IntentId = intent();
    let headers = [(LEASE, token.as_str()), ("Canonry-Intent-Id", id.as_str())];
    let answer = ask(&service, subject, &headers, body.to_string()).await.unwrap();
    assert!(answer.ok, "{answer:?}");
    let ledger = post.spine.ledger().await;
    let record = of_intent(&ledger, &id)[0];
    assert_eq!((&record["actor"], &record["via"]), (&json!("clerk"), &json!("svc_api")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_leases_are_fresh_and_sound() {
    let post = Post::open().await;
    let (a, b) = (base64url(&signer().public()), base64url(&signer().public()));
    let member = base64url(&post.operator.signer.public());
    let weak = base64url(&[0; 32]);
    for (name, login, key) in [
        ("one key for both", &a, &a),
        ("a key of the ledger logs in", &member, &b),
        ("a key of the ledger signs", &a, &member),
        ("a weak key logs in", &weak, &b),
        ("a weak key signs", &a, &weak),
    ] {
        let body = json!({"run": post.run, "login": login, "key": key});
        let answer = plain(&post.worker, "lease", "issue", &body).await;
        assert_eq!(code(&answer), "keys-invalid", "{name}");
    }
}

/// A decider that begins anew judges as the one before, from its snapshot and the tail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_take_over_forgets_no_lease() {
    let mut post = Post::open().await;
    let (kept, _) = post.lease(None).await;
    let revoked = post.lease(Some(&kept.id)).await.0;
    post.spine.stop().await;
    post.spine.decider = Some(post.spine.decider("decider-b").await);
    post.spine.served().await;
    assert_eq!(code(&kept.step(&post.worker).await), "lease-revoked");
    assert!(revoked.step(&post.worker).await.ok);
    assert_eq!(code(&post.lease(None).await.1), "lease-living");
}
