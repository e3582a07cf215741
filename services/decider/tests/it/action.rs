//! Actions end to end: a policy is published, a worker proposes, people agree, the worker goes on
//! and settles. What each verdict comes to, who may answer, and what the timer does.

use canonry_decider::keeper::Keeper;
use canonry_provision::CellUser;
use canonry_record::content;
use canonry_schemas::ids::TenantId;
use serde_json::{Value, json};

use crate::acting::{Work, archive, plan, publish, said};
use crate::harness::{id, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_acts_under_a_policy() {
    let work = Work::begin().await;
    // Without a policy everything is denied, and that is a fact.
    let early = work.propose("read", json!({})).await;
    assert_eq!((early.ok, said(&early)), (false, "policy-missing"));
    let record = work.record(&id(&early)).await;
    assert_eq!(record["type"], "canonry.action.denied.v1");
    assert_eq!(record["data"]["decision"]["verdict"], "DENY");
    assert!(record["data"]["decision"].get("bundle").is_none());

    let published = work.publish().await;
    assert!(published.ok, "{published:?}");
    assert_eq!(published.entity.as_deref(), Some("policy/acme"));

    let allowed = work.propose("read", json!({"path": "/etc/hosts"})).await;
    assert_eq!((allowed.ok, said(&allowed)), (true, "allowed"), "{allowed:?}");
    let record = work.record(&id(&allowed)).await;
    let data = &record["data"];
    let decision = &data["decision"];
    assert_eq!(decision["verdict"], "ALLOW");
    assert_eq!(decision["rules"], json!(["read"]));
    assert_eq!(decision["obligations"], json!([{"kind": "redact", "path": "/secret"}]));
    assert_eq!(decision["policy"], published.position.as_deref().unwrap());
    assert_eq!(data["reserved"]["money_micros"], 1);
    let touches = format!("role/{} run/{} tenant/acme ticket/{}", work.role, work.run, work.ticket);
    assert_eq!(record["touches"], touches);

    for (tool, event) in [
        ("slow", "policy-throttled"),
        ("nobody", "approvers-none"),
        ("odd", "policy-unknown-decision"),
        ("other", "policy-undefined"),
        ("unlisted", "tool-not-allowed"),
        ("elsewhere", "routed"),
        ("careful", "policy-undefined"),
    ] {
        let answer = work.propose(tool, json!({})).await;
        assert_eq!(said(&answer), event, "{tool}: {answer:?}");
        assert!(answer.receipt.is_some(), "{tool}");
    }
    assert_eq!(said(&work.propose("read", json!({"force": true})).await), "policy-denied");
    assert_eq!(said(&work.propose("careful", json!({"force": false})).await), "allowed");

    let settle = json!({"id": id(&allowed), "outcome": "done", "used": {"money_micros": 0}});
    let settled = work.operator.send("action", "settle", settle.clone()).await;
    assert_eq!(said(&settled), "settled", "{settled:?}");
    let record = work.record(&id(&allowed)).await;
    assert_eq!(record["data"]["refunded"]["money_micros"], 1);
    let again = work.operator.send("action", "settle", settle).await;
    assert_eq!(said(&again), "action-not-open");

    // Beyond what the role may spend on a ticket.
    let dear = work.operator.send("action", "propose", work.proposal("read", &json!({}), 1_000));
    let dear = dear.await;
    assert_eq!(said(&dear), "budget-exceeded");
    let record = work.record(&id(&dear)).await;
    assert_eq!(record["data"]["decision"]["verdict"], "ALLOW", "the policy had nothing against it");
    assert_eq!(record["data"]["exceeded"], format!("ticket/{} total money_micros", work.ticket));
    work.stop().await;
}

/// The input of a record, opened as whoever has the content keys opens it.
async fn opened(work: &Work, record: &Value) -> Value {
    let sealed = record["data"]["input"].as_str().unwrap();
    let key = content::key_id_of(sealed).unwrap().to_owned();
    let tenant: TenantId = "acme".parse().unwrap();
    let kek = work.spine.test.cell.key_store().kek(&tenant).unwrap();
    let committer = work.spine.cell_user(&CellUser::Committer).await;
    let keeper = Keeper::open(&committer, &tenant, kek.as_bytes()).await.unwrap();
    let (group, index) = key.split_once('-').unwrap();
    let group = keeper.group(group.parse().unwrap()).await.unwrap();
    let at = index.parse::<usize>().unwrap() * 32;
    let own: [u8; 32] = group[at..at + 32].try_into().unwrap();
    let entity = record["entity"].as_str().unwrap();
    let clear = content::decrypt(&own, "acme", entity, "/input", sealed).unwrap();
    serde_json::from_str(&clear).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_computes_the_verdict_again() {
    let work = Work::begin().await;
    assert!(work.publish().await.ok);
    let held = work.propose("write", json!({"path": "/etc/hosts", "mode": 420})).await;
    assert_eq!(said(&held), "held");
    let ledger = work.spine.ledger().await;
    let record = work.record(&id(&held)).await;
    let position = record["data"]["decision"]["policy"].as_str().unwrap();
    let published = ledger.iter().find(|b| b["position"] == position).unwrap();
    let input = opened(&work, &record).await;
    assert_eq!(input["action"]["args"], json!({"path": "/etc/hosts", "mode": 420}));
    assert_eq!(input["ticket"]["opened_by"], "operator");
    assert_eq!(input["worst"]["money_micros"], 1);

    // From the ledger alone: the bundle, and the input that was opened.
    let bundle = published["data"]["bundle"].as_str().unwrap();
    let archive = canonry_record::encoding::unbase64_padded(bundle).unwrap();
    assert_eq!(canonry_policy::digest(&archive), record["data"]["decision"]["bundle"]);
    let trust = canonry_policy::bundle::Trust {
        key: &|_| true,
        now: canonry_schemas::time::Time(0),
        newest: None,
    };
    let bundle = canonry_policy::bundle::open(&archive, &trust).unwrap();
    let policy = canonry_policy::Policy::compile(&bundle.source).unwrap();
    let again = policy.decide(&serde_json::from_value(input).unwrap());
    assert_eq!(again.verdict.name(), record["data"]["decision"]["verdict"]);
    assert_eq!(json!(again.rules), record["data"]["decision"]["rules"]);
    assert_eq!(json!(again.engine), record["data"]["decision"]["engine"]);
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_agree_and_the_worker_goes_on() {
    let work = Work::begin().await;
    assert!(work.publish().await.ok);
    let arguments = json!({"path": "/etc/hosts"});
    let held = work.propose("write", arguments.clone()).await;
    let action = id(&held);
    let receipt = held.receipt.clone().unwrap();
    assert_eq!(said(&work.resume(&action, arguments.clone()).await), "approval-missing");
    let approved = work.answer(&work.approver, &action, true, &receipt).await;
    assert_eq!(said(&approved), "approved", "{approved:?}");
    let changed = work.resume(&action, json!({"path": "/etc/passwd"})).await;
    assert_eq!(said(&changed), "approval-arguments-changed");
    let allowed = work.resume(&action, arguments.clone()).await;
    assert_eq!(said(&allowed), "allowed", "{allowed:?}");
    let record = work.record(&action).await;
    assert_eq!(record["data"]["approved_by"], json!([approved.position.unwrap()]));
    assert_eq!(said(&work.resume(&action, arguments).await), "approval-not-pending");
    let settle = json!({"id": action, "outcome": "done", "used": {}});
    assert_eq!(said(&work.operator.send("action", "settle", settle).await), "settled");

    // Two people are two people.
    let wipe = work.propose("wipe", json!({})).await;
    let (action, receipt) = (id(&wipe), wipe.receipt.unwrap());
    assert_eq!(said(&work.answer(&work.approver, &action, true, &receipt).await), "approved");
    let twice = work.answer(&work.approver, &action, true, &receipt).await;
    assert_eq!(said(&twice), "approval-twice");
    assert_eq!(said(&work.resume(&action, json!({})).await), "approval-missing");
    assert_eq!(said(&work.answer(&work.founder, &action, true, &receipt).await), "approved");
    assert_eq!(said(&work.resume(&action, json!({})).await), "allowed");

    // What a newer policy forbids is not done, whoever agreed before.
    let held = work.propose("write", json!({})).await;
    let (action, receipt) = (id(&held), held.receipt.unwrap());
    assert_eq!(said(&work.answer(&work.approver, &action, true, &receipt).await), "approved");
    let stricter = "package canonry.acts\n\n\
        decisions contains {\"rule\": \"none\", \"verdict\": \"DENY\"} if {\n    \
        input.action.tool == \"write\"\n}\n";
    let bundle = archive(&plan(2, stricter, 3_600), &work.founder.signer);
    assert!(work.founder.send("policy", "publish", publish(2, &bundle)).await.ok);
    assert_eq!(said(&work.resume(&action, json!({})).await), "policy-denied");
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_escalate_expire_and_are_asked_again() {
    let mut work = Work::begin().await;
    assert!(work.publish().await.ok);
    let held = work.propose("soon", json!({})).await;
    let (action, receipt) = (id(&held), held.receipt.unwrap());
    assert_eq!(held.event.as_deref(), Some("held"));
    let is = async |work: &Work, kind: &str| {
        work.record(&action).await["type"] == format!("canonry.action.{kind}.v1")
    };
    // The next decider keeps the watch: what it must do stands on the ledger.
    work.spine.stop().await;
    work.spine.decider = Some(work.spine.decider("decider-b").await);
    work.spine.served().await;
    until("the question is parked", || is(&work, "expired")).await;
    let ledger = work.spine.ledger().await;
    let escalated: Vec<_> =
        ledger.iter().filter(|b| b["type"] == "canonry.action.escalated.v1").collect();
    assert_eq!(escalated.len(), 1, "one person stands in the escalation");
    assert_eq!(escalated[0]["data"]["to"], "clerk");
    let late = work.answer(&work.approver, &action, true, &receipt).await;
    assert_eq!(said(&late), "approval-expired");

    let again = work.operator.send("action", "ask-again", json!({"id": action})).await;
    assert_eq!(said(&again), "asked-again", "{again:?}");
    let old = work.answer(&work.approver, &action, true, &receipt).await;
    assert_eq!(said(&old), "approval-invalid", "an answer to the first question");
    let new = again.receipt.unwrap();
    // Whom the escalation reaches may answer; before that, not.
    until("the clerk is asked", || is(&work, "escalated")).await;
    let answer = work.answer(&work.clerk, &action, true, &new).await;
    assert_eq!(said(&answer), "approved", "{answer:?}");
    assert_eq!(said(&work.resume(&action, json!({})).await), "allowed");
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_absent_has_somebody_stand_in() {
    let work = Work::begin().await;
    assert!(work.publish().await.ok);
    let held = work.propose("write", json!({})).await;
    let (action, receipt) = (id(&held), held.receipt.unwrap());
    let early = work.answer(&work.clerk, &action, true, &receipt).await;
    assert_eq!(said(&early), "not-an-approver");
    let until_when = canonry_schemas::time::Time(canonry_decider::holder::now().0 + 600_000_000);
    let body = json!({"to": "clerk", "until": until_when, "reason": "on leave"});
    let delegated = work.approver.send("member", "delegate", body).await;
    assert!(delegated.ok, "{delegated:?}");
    assert_eq!(delegated.entity.as_deref(), Some("member/approver"));
    let answer = work.answer(&work.clerk, &action, true, &receipt).await;
    assert_eq!(said(&answer), "approved", "{answer:?}");
    assert_eq!(work.record(&action).await["data"]["for"], "approver");
    assert!(work.approver.send("member", "end-delegation", json!({})).await.ok);
    let next = work.propose("write", json!({})).await;
    let late = work.answer(&work.clerk, &id(&next), true, next.receipt.as_deref().unwrap()).await;
    assert_eq!(said(&late), "not-an-approver");
    work.stop().await;
}

/// A run that fails twice in the same way is stopped by a policy that counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_sees_what_went_wrong_before() {
    const COUNTING: &str = "package canonry.acts\n\n\
        decisions contains {\"rule\": \"read\", \"verdict\": \"ALLOW\"} if \
        input.action.tool == \"read\"\n\n\
        decisions contains {\"rule\": \"same\", \"verdict\": \"DENY\"} if \
        input.counts.run.same_error >= 2\n";
    let work = Work::begin().await;
    let bundle = archive(&plan(1, COUNTING, 3_600), &work.founder.signer);
    let published = work.founder.send("policy", "publish", publish(1, &bundle)).await;
    assert!(published.ok, "{published:?}");
    let fail = async |error: &str| {
        let allowed = work.propose("read", json!({})).await;
        assert_eq!(said(&allowed), "allowed", "{allowed:?}");
        let settle = json!({"id": id(&allowed), "outcome": "failed", "error": error, "used": {}});
        assert_eq!(said(&work.operator.send("action", "settle", settle).await), "settled");
    };
    fail("timeout").await;
    fail("refused").await;
    fail("refused").await;
    let stopped = work.propose("read", json!({})).await;
    assert_eq!(said(&stopped), "policy-denied", "{stopped:?}");
    let record = work.record(&id(&stopped)).await;
    let input = opened(&work, &record).await;
    let counts = json!({"actions": 3, "denied": 0, "failed": 3, "held": 0, "routed": 0,
        "same_error": 2, "violations": 0});
    assert_eq!(input["counts"]["run"], counts);
    work.stop().await;
}
