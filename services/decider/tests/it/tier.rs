//! Tiers at the decider: the holder's own timer moves a role by what its runs came to, a founder's
//! thresholds say when, and a tenant that wants leases takes no work without.

use serde_json::{Value, json};

use crate::harness::{Spine, id, until};
use crate::lease::{Post, code, plain};

fn thresholds(leases: &str, automatic: bool) -> Value {
    json!({"leases": leases, "automatic": automatic, "floor": "T0", "violations": 1,
        "promotions": [{"to": "T2", "runs": 2, "compliant_per_mille": 1_000, "consecutive": 2}]})
}

async fn told(spine: &Spine, kind: &str) -> Vec<Value> {
    let kind = format!("canonry.role.{kind}.v1");
    spine.ledger().await.into_iter().filter(|b| b["type"] == kind.as_str()).collect()
}

/// A run of the role that is begun and completed.
async fn run(post: &Post) {
    let open = json!({"title": "More post", "role": post.role});
    let ticket = id(&post.operator.send("ticket", "open", open).await);
    let run = id(&plain(&post.worker, "run", "start", &json!({ "ticket": ticket })).await);
    let done = plain(&post.worker, "run", "complete", &json!({ "id": run })).await;
    assert!(done.ok, "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_promoted_by_what_it_did_and_demoted_by_a_violation() {
    let mut post = Post::open().await;
    let set = post.founder.send("tier", "configure", thresholds("optional", true)).await;
    assert!(set.ok, "{set:?}");
    run(&post).await;
    assert!(told(&post.spine, "promoted").await.is_empty());
    run(&post).await;
    until("it is promoted", || async { told(&post.spine, "promoted").await.len() == 1 }).await;
    let moved = told(&post.spine, "promoted").await.remove(0);
    assert_eq!((&moved["data"]["from"], &moved["data"]["to"]), (&json!("T1"), &json!("T2")));
    assert_eq!(moved["actor"], canonry_decider::ACTOR);
    assert_eq!(moved["data"]["thresholds"], set.position.unwrap());
    let counted = json!({"runs": 2, "compliant": 2, "consecutive": 2, "violations": 0});
    assert_eq!(moved["data"]["counters"], counted);

    // A lease of the new tier, ended for a violation by whoever watches.
    let (held, answer) = post.lease(None).await;
    assert!(answer.ok, "{answer:?}");
    let revoke = json!({"id": held.id, "cause": "violation"});
    assert!(post.operator.send("lease", "revoke", revoke).await.ok);
    until("it is demoted", || async { told(&post.spine, "demoted").await.len() == 1 }).await;
    let moved = told(&post.spine, "demoted").await.remove(0);
    assert_eq!((&moved["data"]["from"], &moved["data"]["to"]), (&json!("T2"), &json!("T1")));
    assert_eq!(moved["data"]["counters"]["violations"], 1);

    // What works in it changes: the floor, and the counters begin anew.
    let print = |model: &str| {
        json!({"id": post.role, "model": model, "prompt_digest": "0".repeat(64),
            "tools_digest": "1".repeat(64)})
    };
    assert!(plain(&post.worker, "role", "fingerprint", &print("m1")).await.ok);
    assert!(plain(&post.worker, "role", "fingerprint", &print("m2")).await.ok);
    let lowered = told(&post.spine, "fingerprinted").await.remove(1);
    assert_eq!(
        (&lowered["data"]["tier"], &lowered["data"]["lowered_from"]),
        (&json!("T0"), &json!("T1"))
    );
    let again = plain(&post.worker, "role", "fingerprint", &print("m2")).await;
    assert_eq!(code(&again), "nothing-changed");
    // Nobody but the timer asks for a review.
    let review = post.founder.send("role", "review", json!({"id": post.role})).await;
    assert_eq!(code(&review), "not-allowed");
    post.spine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_earned_is_proposed_and_survives_a_hand_over() {
    let mut post = Post::open().await;
    assert!(post.founder.send("tier", "configure", thresholds("optional", false)).await.ok);
    run(&post).await;
    post.spine.stop().await;
    post.spine.decider = Some(post.spine.decider("decider-b").await);
    post.spine.served().await;
    run(&post).await;
    let proposed = || async { told(&post.spine, "promotion-proposed").await.len() };
    until("it is proposed", || async { proposed().await == 1 }).await;
    run(&post).await;
    // The founder gives it; what was counted before earns nothing more.
    let give = json!({"id": post.role, "tier": "T2"});
    assert!(post.founder.send("role", "amend", give).await.ok);
    run(&post).await;
    assert_eq!(proposed().await, 1, "once");
    assert!(told(&post.spine, "promoted").await.is_empty());
    post.spine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_wants_leases_takes_no_work_without() {
    let post = Post::open().await;
    let step = json!({"id": post.run, "name": "sort", "outcome": "done"});
    assert!(plain(&post.worker, "run", "record-step", &step).await.ok);
    let wrong = json!({"leases": "required", "automatic": true, "floor": "T0", "violations": 1,
        "promotions": [{"to": "T0", "runs": 1, "compliant_per_mille": 0, "consecutive": 0}]});
    let wrong = post.founder.send("tier", "configure", wrong).await;
    assert_eq!(code(&wrong), "tiers-invalid");
    assert!(post.founder.send("tier", "configure", thresholds("required", true)).await.ok);
    let bare = plain(&post.worker, "run", "record-step", &step).await;
    assert_eq!(code(&bare), "lease-missing");
    assert_eq!(bare.entity, Some(format!("run/{}", post.run)));
    // Those who watch need none, and a run is started without.
    assert!(plain(&post.operator, "run", "record-step", &step).await.ok);
    let (held, _) = post.lease(None).await;
    assert!(held.step(&post.worker).await.ok);
    let done = held.send(&post.worker, "run", "complete", &json!({"id": post.run})).await;
    assert!(done.ok, "{done:?}");
    let again = plain(&post.worker, "run", "start", &json!({"ticket": post.ticket})).await;
    assert!(again.ok, "{again:?}");
}
