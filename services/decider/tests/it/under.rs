//! Actions under leases: what a worker does needs the lease of its run and no more than its tier, and
//! what it may not do lowers its role, which ends the lease at the next command.

use canonry_schemas::answer::Answer;
use serde_json::{Value, json};

use crate::acting::{REGO, TOOLS, archive, in_time, plan, publish, said};
use crate::harness::{id, until};
use crate::lease::{Held, Post, plain};

/// A worker of T1 with a policy and tools, of a tenant that wants leases.
async fn wanted() -> Post {
    let post = Post::open().await;
    let archive = archive(&plan(1, REGO, 3_600), &post.founder.signer);
    assert!(post.founder.send("policy", "publish", publish(1, &archive)).await.ok);
    let tools = json!({"id": post.role, "tools": TOOLS});
    assert!(post.founder.send("role", "amend", tools).await.ok);
    let set = json!({"leases": "required", "automatic": true, "floor": "T0", "violations": 1,
        "promotions": []});
    assert!(post.founder.send("tier", "configure", set).await.ok);
    post
}

fn proposal(run: &str, tool: &str, action: &str, money: u64) -> Value {
    json!({"run": run, "tool": tool, "action": action, "arguments": {},
        "worst": {"money_micros": money}})
}

async fn acts(post: &Post, held: &Held, verb: &str, body: &Value) -> Answer {
    in_time(async || held.send(&post.worker, "action", verb, body).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_acts_under_the_lease_of_its_run() {
    let mut post = wanted().await;
    let read = proposal(&post.run, "read", "read", 1);
    let bare = plain(&post.worker, "action", "propose", &read).await;
    assert_eq!(said(&bare), "lease-missing");
    let (held, answer) = post.lease(None).await;
    assert!(answer.ok, "{answer:?}");
    let allowed = acts(&post, &held, "propose", &read).await;
    assert_eq!(said(&allowed), "allowed", "{allowed:?}");
    let settle = json!({"id": id(&allowed), "outcome": "done", "used": {}});
    let bare = plain(&post.worker, "action", "settle", &settle).await;
    assert_eq!(said(&bare), "lease-missing");
    assert_eq!(said(&acts(&post, &held, "settle", &settle).await), "settled");

    // Another run of the same role, and what it may do.
    let ticket = json!({"title": "Other post", "role": post.role});
    let ticket = id(&post.operator.send("ticket", "open", ticket).await);
    let other = json!({ "ticket": ticket });
    let other = id(&plain(&post.worker, "run", "start", &other).await);
    let foreign = proposal(&other, "read", "read", 1);
    assert_eq!(said(&acts(&post, &held, "propose", &foreign).await), "lease-foreign");
    let theirs = in_time(async || post.operator.send("action", "propose", foreign.clone()).await);
    let settle = json!({"id": id(&theirs.await), "outcome": "done", "used": {}});
    assert_eq!(said(&acts(&post, &held, "settle", &settle).await), "lease-foreign");
    // Nobody agrees to anything under a lease: its token binds no request.
    let asked = acts(&post, &held, "propose", &proposal(&post.run, "write", "read", 1)).await;
    assert_eq!(said(&asked), "held", "{asked:?}");
    let agree = json!({"id": id(&asked), "approval": "a.b.c"});
    assert_eq!(said(&acts(&post, &held, "approve", &agree).await), "request-token-missing");

    let revoke = json!({"id": held.id, "cause": "compromised"});
    assert!(post.operator.send("lease", "revoke", revoke).await.ok);
    assert_eq!(said(&acts(&post, &held, "propose", &read).await), "lease-revoked");
    post.spine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_may_not_do_lowers_its_role() {
    let mut post = wanted().await;
    let (held, answer) = post.lease(None).await;
    assert!(answer.ok, "{answer:?}");
    // No money for it: that breaks no rule.
    let dear = acts(&post, &held, "propose", &proposal(&post.run, "read", "read", 1 << 50)).await;
    assert_eq!(said(&dear), "budget-exceeded");
    // The policy allows the tool; a role of T1 sends nothing with it.
    let sent = acts(&post, &held, "propose", &proposal(&post.run, "read", "send", 1)).await;
    assert_eq!((sent.ok, said(&sent)), (false, "tier-too-low"));
    let told = async |kind: &str| {
        let kind = format!("canonry.{kind}.v1");
        let ledger = post.spine.ledger().await;
        ledger.into_iter().rfind(|body| body["type"] == kind.as_str())
    };
    let denied = told("action.denied").await.unwrap();
    assert_eq!(denied["position"], sent.position.clone().unwrap());
    assert_eq!(denied["data"]["decision"]["verdict"], "ALLOW");
    until("it is demoted", || async { told("role.demoted").await.is_some() }).await;
    let moved = told("role.demoted").await.unwrap();
    assert_eq!(moved["actor"], canonry_decider::ACTOR);
    assert_eq!((&moved["data"]["from"], &moved["data"]["to"]), (&json!("T1"), &json!("T0")));
    assert_eq!(moved["data"]["counted"], denied["position"]);
    let counted = json!({"runs": 0, "compliant": 0, "consecutive": 0, "violations": 1});
    assert_eq!(moved["data"]["counters"], counted);

    // The lease was for T1: over. One for T0 takes its place and reads on.
    let read = proposal(&post.run, "read", "read", 1);
    assert_eq!(said(&acts(&post, &held, "propose", &read).await), "tier-too-low");
    let (lower, answer) = post.lease(Some(&held.id)).await;
    assert!(answer.ok, "{answer:?}");
    assert_eq!(said(&acts(&post, &lower, "propose", &read).await), "allowed");
    post.spine.stop().await;
}
