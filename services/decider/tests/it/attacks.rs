//! The attack table: each try is refused with its code, and the refusal stands on the ledger. The
//! tries are data; each is made against the same tenant, one after the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use canonry_record::jws::{self, Approval, Assertion, Decision};
use canonry_record::seal::Signer;
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::IntentId;
use serde_json::{Value, json};

use crate::acting::{REGO, Work, archive, plan, publish, said};
use crate::harness::{Person, id, intent, now};
use crate::strong::{assertion, given, step_up_key, steps_up};

/// A held action with the record that asked.
struct Held {
    action: String,
    receipt: String,
}

async fn held(work: &Work, tool: &str) -> Held {
    let answer = work.propose(tool, json!({"a": 1})).await;
    assert_eq!(said(&answer), "held", "{answer:?}");
    Held { action: id(&answer), receipt: answer.receipt.unwrap() }
}

/// An approval as it should be, to be changed.
fn approval(by: &Person, held: &Held, intent: &IntentId) -> Approval {
    let mut parts = held.receipt.split('/').skip(1);
    let iat = i64::try_from(now() / 1_000).unwrap();
    Approval {
        iss: by.actor.to_string(),
        aud: "canonry/acme/approval".to_owned(),
        sub: format!("action/{}", held.action),
        decision: Decision::Approve,
        intent: intent.to_string(),
        iat,
        exp: iat + 300,
        position: parts.next().unwrap().parse().unwrap(),
        hash: parts.next().unwrap().parse().unwrap(),
    }
}

type Change = fn(&mut Approval);

/// Approvals that are not what they must be, and what each is called.
const FORGED: [(&str, Change, &str); 11] = [
    (
        "for another action",
        |a| a.sub = "action/act_00000000000000000000000001".into(),
        "approval-invalid",
    ),
    ("for a ticket", |a| a.sub = a.sub.replace("action/", "ticket/"), "approval-invalid"),
    ("a no shown as a yes", |a| a.decision = Decision::Reject, "approval-invalid"),
    ("for another intent", |a| a.intent = "01ARZ3NDEKTSV4RRFFQ69G5FAV".into(), "approval-invalid"),
    ("of another position", |a| a.position += 1, "approval-invalid"),
    ("of another hash", |a| a.hash = canonry_record::Hash::ZERO, "approval-invalid"),
    ("of another tenant", |a| a.aud = "canonry/other/approval".into(), "token-invalid"),
    ("a bearer's audience", |a| a.aud = "canonry/acme/api".into(), "token-invalid"),
    ("expired", |a| (a.iat, a.exp) = (a.iat - 600, a.iat - 1), "token-expired"),
    ("from the future", |a| (a.iat, a.exp) = (a.iat + 3_600, a.exp + 3_600), "token-expired"),
    ("in another's name", |a| a.iss = "founder".into(), "token-invalid"),
];

async fn shown(by: &Person, held: &Held, this: &IntentId, token: &str) -> Answer {
    by.send_as(this, "action", "approve", &json!({"id": held.action, "approval": token})).await
}

/// Everybody who was refused, by what they tried.
#[derive(Default)]
struct Tried(Vec<(String, Answer, String)>);

impl Tried {
    fn note(&mut self, what: &str, answer: Answer, code: &str) {
        self.0.push((what.to_owned(), answer, code.to_owned()));
    }
}

async fn forged_approvals(work: &Work, tried: &mut Tried) {
    let held = held(work, "write").await;
    for (what, change, code) in FORGED {
        let this = intent();
        let mut claims = approval(&work.approver, &held, &this);
        change(&mut claims);
        let token = jws::sign(&claims, &work.approver.signer);
        tried.note(what, shown(&work.approver, &held, &this, &token).await, code);
    }
    let this = intent();
    let claims = approval(&work.approver, &held, &this);
    let stranger = Signer::from_seed(&[9; 32]);
    let token = jws::sign(&claims, &stranger);
    tried.note(
        "by a stranger's key",
        shown(&work.approver, &held, &this, &token).await,
        "key-unknown",
    );
    let mut token = jws::sign(&claims, &work.approver.signer);
    token.pop();
    let this = intent();
    tried.note("cut off", shown(&work.approver, &held, &this, &token).await, "token-invalid");
    // Somebody else's approval under one's own name.
    let this = intent();
    let token = jws::sign(&approval(&work.founder, &held, &this), &work.founder.signer);
    let stolen = shown(&work.approver, &held, &this, &token).await;
    tried.note("another's approval", stolen, "approval-invalid");
    // Without the token that binds the request.
    let this = intent();
    let token = jws::sign(&approval(&work.approver, &held, &this), &work.approver.signer);
    let body = json!({"id": held.action, "approval": token}).to_string();
    let subject = work.approver.subject("action", "approve");
    let headers = [("Canonry-Intent-Id", this.as_str())];
    let bare = work.approver.raw(&subject, &headers, body).await.unwrap();
    tried.note("not bound to the request", bare, "request-token-missing");
    let own = work.answer(&work.operator, &held.action, true, &held.receipt).await;
    tried.note("one's own action", own, "self-approval");
    let other = work.answer(&work.clerk, &held.action, true, &held.receipt).await;
    tried.note("by who is not asked", other, "not-an-approver");
}

async fn used_twice(work: &Work, tried: &mut Tried) {
    let first = held(work, "write").await;
    let this = intent();
    let token = jws::sign(&approval(&work.approver, &first, &this), &work.approver.signer);
    assert_eq!(said(&shown(&work.approver, &first, &this, &token).await), "approved");
    let again = shown(&work.approver, &first, &intent(), &token).await;
    tried.note("replayed under another intent", again, "approval-twice");
    let second = held(work, "write").await;
    let moved = shown(&work.approver, &second, &intent(), &token).await;
    tried.note("replayed on another action", moved, "approval-invalid");
    let changed = work.resume(&first.action, json!({"a": 2})).await;
    tried.note("other arguments than approved", changed, "approval-arguments-changed");
    assert_eq!(said(&work.resume(&first.action, json!({"a": 1})).await), "allowed");
    let twice = work.resume(&first.action, json!({"a": 1})).await;
    tried.note("one approval, two allowances", twice, "approval-not-pending");
    let early = work.resume(&second.action, json!({"a": 1})).await;
    tried.note("without an approval", early, "approval-missing");
}

type Asserted = fn(&mut Assertion);

/// Assertions that are not what they must be, and what each is called.
const ASSERTED: [(&str, Asserted, &str); 13] = [
    (
        "asserted for another action",
        |a| a.sub = "action/act_00000000000000000000000001".into(),
        "assertion-invalid",
    ),
    ("asserted for a run", |a| a.sub = a.sub.replace("action/", "run/"), "assertion-invalid"),
    (
        "asserted for another intent",
        |a| a.intent = "01ARZ3NDEKTSV4RRFFQ69G5FAV".into(),
        "assertion-invalid",
    ),
    ("asserted at another position", |a| a.position += 1, "assertion-invalid"),
    ("asserted at another hash", |a| a.hash = canonry_record::Hash::ZERO, "assertion-invalid"),
    ("asserted to another tenant", |a| a.aud = "canonry/other/step-up".into(), "assertion-invalid"),
    ("asserted as an approval", |a| a.aud = "canonry/acme/approval".into(), "assertion-invalid"),
    ("asserted in another's name", |a| a.iss = "approver".into(), "assertion-invalid"),
    ("asserted long ago", |a| (a.iat, a.exp) = (a.iat - 180, a.iat - 61), "assertion-expired"),
    ("asserted for three minutes", |a| a.exp = a.iat + 180, "assertion-expired"),
    (
        "asserted in the future",
        |a| (a.iat, a.exp) = (a.iat + 600, a.iat + 700),
        "assertion-expired",
    ),
    ("a lower level", |a| a.level = 1, "assertion-level-too-low"),
    ("a level beyond the key's", |a| a.level = 4, "assertion-level-too-low"),
];

async fn assertions(work: &Work, tried: &mut Tried) {
    let (key, entry) = step_up_key(61, "founder", 3);
    given(work, "founder", entry).await;
    let strong = held(work, "strong").await;
    let send = async |by: &Person, this: &IntentId, action: &str, token: &str| {
        by.send_as(this, "action", "step-up", &json!({"id": action, "assertion": token})).await
    };
    let made = |this: &IntentId| assertion(&work.founder, &strong.action, &strong.receipt, this);
    for (what, change, code) in ASSERTED {
        let this = intent();
        let mut claims = made(&this);
        change(&mut claims);
        let token = jws::sign(&claims, &key);
        tried.note(what, send(&work.founder, &this, &strong.action, &token).await, code);
    }
    for (what, signer) in [
        ("stepped up with a member key", &work.founder.signer),
        ("stepped up with a stranger's key", &Signer::from_seed(&[9; 32])),
    ] {
        let this = intent();
        let token = jws::sign(&made(&this), signer);
        tried.note(what, send(&work.founder, &this, &strong.action, &token).await, "key-unknown");
    }
    let this = intent();
    let token = jws::sign(&made(&this), &key);
    let stolen = send(&work.approver, &this, &strong.action, &token).await;
    tried.note("another's assertion", stolen, "assertion-invalid");
    // The key that steps up signs no approval.
    let write = held(work, "write").await;
    let this = intent();
    let token = jws::sign(&approval(&work.founder, &write, &this), &key);
    let yes = shown(&work.founder, &write, &this, &token).await;
    tried.note("approved with a stepup key", yes, "key-unknown");
    let no_level = steps_up(&work.founder, &key, &write.action, &write.receipt).await;
    tried.note("no level asked", no_level, "assertion-not-asked");
    let this = intent();
    let body = json!({"id": strong.action, "assertion": jws::sign(&made(&this), &key)}).to_string();
    let subject = work.founder.subject("action", "step-up");
    let headers = [("Canonry-Intent-Id", this.as_str())];
    let bare = work.founder.raw(&subject, &headers, body).await.unwrap();
    tried.note("a step-up not bound to the request", bare, "request-token-missing");

    let this = intent();
    let token = jws::sign(&made(&this), &key);
    assert_eq!(said(&send(&work.founder, &this, &strong.action, &token).await), "stepped-up");
    let again = send(&work.founder, &intent(), &strong.action, &token).await;
    tried.note("an assertion replayed", again, "assertion-not-asked");
    let other = held(work, "strong").await;
    let moved = send(&work.founder, &intent(), &other.action, &token).await;
    tried.note("an assertion replayed on another action", moved, "assertion-invalid");
    assert_eq!(said(&work.resume(&strong.action, json!({"a": 1})).await), "allowed");
    let twice = work.resume(&strong.action, json!({"a": 1})).await;
    tried.note("one step-up, two allowances", twice, "approval-not-pending");

    let both = held(work, "both").await;
    let own = steps_up(&work.operator, &key, &both.action, &both.receipt).await;
    tried.note("stepped up with another's key", own, "assertion-invalid");
    let (theirs, entry) = step_up_key(62, "operator", 3);
    given(work, "operator", entry).await;
    let own = steps_up(&work.operator, &theirs, &both.action, &both.receipt).await;
    tried.note("stepped up for one's own action", own, "self-approval");
    let (theirs, entry) = step_up_key(63, "clerk", 3);
    given(work, "clerk", entry).await;
    let clerk = steps_up(&work.clerk, &theirs, &both.action, &both.receipt).await;
    tried.note("stepped up by who is not asked", clerk, "not-an-approver");
}

async fn bundles(work: &Work, tried: &mut Tried) {
    let mut send = async |what: &str, by: &Person, revision: u64, bytes: &[u8], code: &str| {
        let answer = by.send("policy", "publish", publish(revision, bytes)).await;
        tried.note(what, answer, code);
    };
    let (founder, operator) = (&work.founder, &work.operator);
    let good = plan(9, REGO, 3_600);
    let unsigned = canonry_policy::bundle::build::build(&good, None).unwrap();
    send("a bundle without a signature", founder, 9, &unsigned, "bundle-unsigned").await;
    let theirs = archive(&good, &operator.signer);
    send("signed by an operator", founder, 9, &theirs, "bundle-signature-invalid").await;
    let signed = archive(&good, &founder.signer);
    send("published by an operator", operator, 9, &signed, "founder-only").await;
    send("under another revision", founder, 10, &signed, "bundle-invalid").await;
    let old = archive(&plan(1, REGO, 3_600), &founder.signer);
    send("rolled back", founder, 1, &old, "bundle-rolled-back").await;
    let ended = archive(&plan(9, REGO, -60), &founder.signer);
    send("expired", founder, 9, &ended, "bundle-expired").await;
    let missing = "package canonry.acts\n\n\
        decisions contains {\"rule\": \"m\", \"verdict\": \"ALLOW\"} if {\n    \
        not input.action.args.force\n}\n";
    let missing = archive(&plan(9, missing, 3_600), &founder.signer);
    send("a rule that a missing field matches", founder, 9, &missing, "policy-negation").await;
    let mut bytes = signed.clone();
    bytes.truncate(signed.len() / 2);
    send("cut in half", founder, 9, &bytes, "bundle-malformed").await;
    let body = json!({"bundle": "!!!!", "revision": 9});
    let answer = founder.send("policy", "publish", body).await;
    tried.note("no base64", answer, "schema-violation");
    let large = STANDARD.encode(vec![0_u8; 32_769]);
    let answer = founder.send("policy", "publish", json!({"bundle": large, "revision": 9})).await;
    tried.note("too large", answer, "bundle-too-large");
}

async fn proposals(work: &Work, tried: &mut Tried) {
    let money = |n| work.proposal("read", &json!({}), n);
    let send = async |body: Value| work.operator.send("action", "propose", body).await;
    tried.note("more than a ticket may cost", send(money(1_001)).await, "budget-exceeded");
    tried.note(
        "more than can be counted",
        send(money(9_007_199_254_740_991)).await,
        "budget-exceeded",
    );
    let mut model = money(0);
    model["worst"]["model"] = json!("unpriced");
    tried.note("a model without a price", send(model).await, "price-unknown");
    let mut large = money(0);
    large["arguments"] = json!({"a": "x".repeat(8_200)});
    tried.note("arguments too large", send(large).await, "arguments-too-large");
    tried.note("a tool of another role", work.propose("rm", json!({})).await, "tool-not-allowed");
    // The field that the rule asks for is missing: nothing matches.
    tried.note("a field left out", work.propose("careful", json!({})).await, "policy-undefined");
    let forced = work.propose("careful", json!({"force": true})).await;
    tried.note("a forbidden field", forced, "policy-denied");
    let by_approver = work.approver.send("action", "propose", money(1)).await;
    tried.note("proposed by an approver", by_approver, "not-allowed");
    let lapse =
        json!({"id": "act_00000000000000000000000001", "at": "2030-01-01T00:00:00.000000Z"});
    let timer = work.founder.send("action", "lapse", lapse).await;
    tried.note("the timer's word by somebody else", timer, "not-allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_try_is_refused_and_recorded() {
    let work = Work::begin().await;
    assert!(work.publish().await.ok);
    let mut tried = Tried::default();
    forged_approvals(&work, &mut tried).await;
    used_twice(&work, &mut tried).await;
    assertions(&work, &mut tried).await;
    bundles(&work, &mut tried).await;
    proposals(&work, &mut tried).await;
    assert!(tried.0.len() >= 65, "{} tries", tried.0.len());
    let ledger = work.spine.ledger().await;
    for (what, answer, code) in &tried.0 {
        assert_eq!(answer.code.as_deref(), Some(code.as_str()), "{what}: {answer:?}");
        assert!(!answer.ok, "{what}");
        let position = answer.position.as_deref().unwrap_or_else(|| panic!("{what}: no record"));
        let record = ledger.iter().find(|b| b["position"] == position).unwrap();
        assert_eq!(record["data"]["code"], code.as_str(), "{what}");
        let kind = record["type"].as_str().unwrap();
        let no = kind.ends_with("-refused.v1") || kind == "canonry.action.denied.v1";
        assert!(no, "{what}: {kind}");
    }
    work.stop().await;
}

/// Two reservations that would not fit together: one of them is turned away, whoever is first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_racing_reservations_one_fits() {
    let work = Work::begin().await;
    assert!(work.publish().await.ok);
    let body = work.proposal("read", &json!({}), 600);
    let other = work.spine.person("operator").await;
    let (one, two) = tokio::join!(
        work.operator.send("action", "propose", body.clone()),
        other.send("action", "propose", body),
    );
    let mut both = [said(&one).to_owned(), said(&two).to_owned()];
    both.sort();
    assert_eq!(both, ["allowed", "budget-exceeded"]);
    work.stop().await;
}
