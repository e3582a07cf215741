//! Deadlines: raised by the timer, once, soon, also when nobody was there at the moment.

use canonry_schemas::time::Time;
use serde_json::{Value, json};

use crate::harness::{Spine, id, until};

fn breaches(ledger: &[Value]) -> Vec<(String, i64)> {
    let breached = |b: &&Value| b["type"] == "canonry.ticket.deadline-breached.v1";
    let late = |b: &Value| {
        let micros = |v: &Value| serde_json::from_value::<Time>(v.clone()).unwrap().0;
        assert_eq!(b["actor"], "svc_decider");
        assert_eq!(b["entity"], format!("ticket/{}", b["data"]["id"].as_str().unwrap()));
        (
            b["data"]["id"].as_str().unwrap().to_owned(),
            micros(&b["time"]) - micros(&b["data"]["due"]),
        )
    };
    ledger.iter().filter(breached).map(late).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_are_raised_once_and_soon() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let due = |seconds: i64| Time(canonry_decider::holder::now().0 + seconds * 1_000_000);
    let open = |title: &'static str, due: Time| {
        let body = json!({"title": title, "due": due});
        founder.send("ticket", "open", body)
    };
    let mut want = Vec::new();
    for n in 0..9 {
        want.push(id(&open("soon", due(2 + n % 3)).await));
    }
    let ended = id(&open("ended", due(2)).await);
    assert!(founder.send("ticket", "cancel", json!({"id": ended})).await.ok);
    let moved = id(&open("moved", due(2)).await);
    let later = json!({"id": moved, "due": due(4)});
    assert!(founder.send("ticket", "amend", later).await.ok);
    want.push(moved.clone());
    let far = id(&open("far", due(3_600)).await);
    until("all raised", || async { breaches(&spine.ledger().await).len() >= want.len() }).await;
    let soon = breaches(&spine.ledger().await);
    let mut late: Vec<i64> = soon.iter().map(|(_, late)| *late).collect();
    late.sort_unstable();
    assert!(late[0] >= 0, "not before its time: {late:?}");
    // Half of them, so that a machine that stood still for a moment does not count.
    assert!(late[late.len() / 2] < 2_000_000, "within 2 s of ledger time: {late:?}");

    // Nobody is there when these two pass; one decider after another comes and raises each once.
    let asleep = [id(&open("asleep", due(2)).await), id(&open("asleep", due(2)).await)];
    want.extend(asleep);
    spine.stop().await;
    for name in ["decider-b", "decider-c"] {
        spine.decider = Some(spine.decider(name).await);
        spine.served().await;
        until("all raised", || async { breaches(&spine.ledger().await).len() >= want.len() }).await;
        spine.stop().await;
    }
    let mut raised: Vec<String> =
        breaches(&spine.ledger().await).into_iter().map(|(id, _)| id).collect();
    raised.sort();
    want.sort();
    assert_eq!(raised, want, "each once, and neither {ended} nor {far}");
}
