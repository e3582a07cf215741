//! A worker with a lease, and how it ends.

use std::time::Instant;

use canonry_nats::Connection;
use canonry_schemas::answer::Answer;
use serde_json::json;

use crate::bed::{Bed, position, until};

fn code(answer: &Answer) -> &str {
    answer.code.as_deref().unwrap_or("fact")
}

/// Waits until the server has ended the connection at least once.
async fn cut(connection: &Connection) {
    until("the connection is cut", || async { connection.counts().disconnected > 0 }).await;
}

async fn a_revoked_lease(nodes: u8) {
    let bed = Bed::start(nodes).await;
    let (founder, clerk) = (bed.person("founder").await, bed.person("clerk").await);
    let operator = bed.person("operator").await;
    let (_, run) = bed.run(&founder, &clerk).await;
    let held = clerk.lease(&run).await;
    let jwt = clerk.token_of(&held).await;
    let open = bed.connect_lease(&held, &jwt).await.unwrap();
    let first = held.step(&open).await.unwrap();
    assert!(first.ok, "{first:?}");
    // Another of the worker's leases stays.
    let (_, other) = bed.run(&founder, &clerk).await;
    let stays = clerk.lease(&other).await;
    let kept = bed.connect_lease(&stays, &clerk.token_of(&stays).await).await.unwrap();
    assert!(stays.step(&kept).await.unwrap().ok);

    let began = Instant::now();
    let revoke = json!({"id": held.id, "cause": "compromised"});
    let revoked = operator.send("lease", "revoke", revoke).await;
    assert!(revoked.ok, "{revoked:?}");
    let committed = began.elapsed();
    cut(&open).await;
    eprintln!(
        "{nodes} node(s): revocation committed after {} ms, connection cut after {} ms",
        committed.as_millis(),
        began.elapsed().as_millis()
    );
    // Its client comes back by itself as long as the token lives, and is cut again and again;
    // whatever it gets through meanwhile is refused.
    until("it comes back and is cut again", || async {
        let answer = held.step(&open).await;
        assert!(answer.as_ref().is_none_or(|a| code(a) == "lease-revoked"), "{answer:?}");
        bed.ended() >= 2
    })
    .await;
    // Over any connection that still stands, too.
    let refused = held.step(&clerk.connection).await.unwrap();
    assert_eq!(code(&refused), "lease-revoked");
    let again = clerk.credentials(&json!({"lease": held.id})).await;
    assert_eq!((again.ok, again.code.as_deref()), (false, Some("lease-revoked")));

    assert!(stays.step(&kept).await.unwrap().ok);
    assert_eq!(kept.counts().disconnected, 0, "the other lease's connection was cut");
    assert_eq!(clerk.connection.counts().disconnected, 0, "the worker's own connection was cut");

    let ledger = bed.ledger().await;
    let at = usize::try_from(position(&revoked)).unwrap();
    let (before, after) = ledger.split_at(at);
    let steps = |part: &[serde_json::Value]| {
        let of = |b: &&serde_json::Value| b["entity"] == format!("run/{run}");
        part.iter().filter(of).filter(|b| b["type"] == "canonry.run.step-recorded.v1").count()
    };
    assert_eq!((steps(before), steps(after)), (1, 0), "nothing passed after the revocation");
    open.close().await;
    bed.leases.unwrap().stop().await;
    bed.decider.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_lease_is_revoked_is_cut_and_lets_nothing_pass() {
    Box::pin(a_revoked_lease(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_on_three_nodes() {
    Box::pin(a_revoked_lease(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_ends_a_lease_ends_its_connection() {
    let bed = Bed::start(1).await;
    let (founder, clerk) = (bed.person("founder").await, bed.person("clerk").await);
    for end in ["pause", "complete", "tier", "renew"] {
        let (role, run) = bed.run(&founder, &clerk).await;
        let held = clerk.lease(&run).await;
        let open = bed.connect_lease(&held, &clerk.token_of(&held).await).await.unwrap();
        assert!(held.step(&open).await.unwrap().ok);
        let done = match end {
            "pause" => founder.send("role", "pause", json!({ "id": role })).await,
            "complete" => clerk.send("run", "complete", json!({ "id": run })).await,
            "tier" => founder.send("role", "amend", json!({"id": role, "tier": "T0"})).await,
            _ => {
                let body = json!({"run": run, "login": "A".repeat(43), "key": "B".repeat(43)});
                let weak = clerk.send("lease", "issue", body).await;
                assert_eq!(code(&weak), "keys-invalid");
                let body = json!({"id": held.id, "cause": "returned"});
                clerk.send("lease", "revoke", body).await
            }
        };
        assert!(done.ok, "{end}: {done:?}");
        cut(&open).await;
        open.close().await;
        if end == "pause" {
            // Back at work with the lease that it had.
            assert!(founder.send("role", "resume", json!({ "id": role })).await.ok);
            let jwt = clerk
                .credentials(&json!({"lease": held.id,
                "position": bed.ledger().await.len().to_string()}))
                .await;
            let open = bed.connect_lease(&held, &jwt.jwt.unwrap()).await.unwrap();
            assert!(held.step(&open).await.unwrap().ok);
            open.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_issuer_answers_the_worker_alone_and_a_warden_that_comes_late_cuts_too() {
    let mut bed = Bed::start(1).await;
    let (founder, clerk) = (bed.person("founder").await, bed.person("clerk").await);
    let operator = bed.person("operator").await;
    let (_, run) = bed.run(&founder, &clerk).await;
    let held = clerk.lease(&run).await;
    let jwt = clerk.token_of(&held).await;
    for (who, body, said) in [
        (&operator, json!({"lease": held.id}), "lease-unknown"),
        (&clerk, json!({"lease": "lse_01hzy3v7m8q6k4n2r9s5t1w0xa"}), "lease-unknown"),
        (&clerk, json!({"lease": "../x"}), "schema-violation"),
        (&clerk, json!({"lease": held.id, "more": 1}), "schema-violation"),
        (&clerk, json!({"lease": held.id, "position": "99999999999999999999"}), "schema-violation"),
        (&clerk, json!({"lease": held.id, "position": "1000000"}), "retry"),
    ] {
        let answer = who.credentials(&body).await;
        assert_eq!(answer.code.as_deref(), Some(said), "{body}");
        assert!(!answer.ok && answer.jwt.is_none() && answer.message.is_some());
    }
    let open = bed.connect_lease(&held, &jwt).await.unwrap();
    assert!(held.step(&open).await.unwrap().ok);
    // Nobody watches: the connection stays, and the decider refuses all the same.
    bed.leases.take().unwrap().stop().await;
    let revoke = json!({"id": held.id, "cause": "other"});
    assert!(operator.send("lease", "revoke", revoke).await.ok);
    assert_eq!(code(&held.step(&open).await.unwrap()), "lease-revoked");
    assert_eq!(open.counts().disconnected, 0);
    bed.leases = Some(bed.issue_and_watch().await);
    cut(&open).await;
}
