//! Many clients at once, one account: what is reserved and spent never passes the limit, at no
//! record of the ledger, and what is refused had no room.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::acting::{Work, said};
use crate::harness::{Person, id};

/// Clients, each with a connection of its own, and what each proposes.
const CLIENTS: usize = 8;
const EACH: usize = 270;
/// Proposals of one client that are on their way at once.
const AT_ONCE: usize = 16;
const NEED: u64 = 7;
/// Room for 2,000 actions at once, and a little that no action fits into.
const LIMIT: u64 = 2_000 * NEED + 3;

/// Proposes, and settles some of what was allowed; how often each answer came.
async fn works(person: &Person, proposal: &Value, settle: bool) -> BTreeMap<String, usize> {
    let one = |n: usize| async move {
        let mut answer = person.send("action", "propose", proposal.clone()).await;
        // As in `in_time`, whose future cannot be sent between threads.
        while said(&answer) == "policy-timeout" {
            answer = person.send("action", "propose", proposal.clone()).await;
        }
        if settle && answer.ok && n.is_multiple_of(2) {
            let used = json!({"money_micros": n as u64 % NEED});
            let body = json!({"id": id(&answer), "outcome": "done", "used": used});
            let settled = person.send("action", "settle", body).await;
            assert_eq!(said(&settled), "settled", "{settled:?}");
        }
        said(&answer).to_owned()
    };
    let answers = stream::iter(0..EACH).map(one).buffer_unordered(AT_ONCE);
    let mut said = BTreeMap::new();
    answers.collect::<Vec<_>>().await.into_iter().for_each(|a| *said.entry(a).or_insert(0) += 1);
    said
}

async fn all_work(
    people: &[Arc<Person>],
    proposal: &Value,
    settle: bool,
) -> BTreeMap<String, usize> {
    let tasks: Vec<_> = people
        .iter()
        .map(|person| {
            let (person, proposal) = (Arc::clone(person), proposal.clone());
            tokio::spawn(async move { Box::pin(works(&person, &proposal, settle)).await })
        })
        .collect();
    let mut said = BTreeMap::new();
    for task in tasks {
        for (answer, times) in task.await.unwrap() {
            *said.entry(answer).or_insert(0) += times;
        }
    }
    said
}

/// What the ledger says is used after each record, and that each refusal had its reason.
fn audit(ledger: &[Value], limit: u64) -> (u64, usize) {
    let (mut used, mut denied) = (0, 0);
    let money = |amount: &Value| amount["money_micros"].as_u64().unwrap();
    for record in ledger {
        let data = &record["data"];
        match record["type"].as_str().unwrap() {
            "canonry.action.allowed.v1" => used += money(&data["reserved"]),
            "canonry.action.settled.v1" => used -= money(&data["refunded"]),
            "canonry.action.denied.v1" if data["code"] == "budget-exceeded" => {
                assert!(used + NEED > limit, "refused with room: {used} of {limit}");
                denied += 1;
            }
            _ => {}
        }
        assert!(used <= limit, "{used} of {limit} at {}", record["position"]);
    }
    (used, denied)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_never_overspend_one_account() {
    let work = Work::begin().await;
    assert!(work.publish().await.ok);
    // The role's own budget stands aside, and the ticket's account alone is short.
    let most = 9_007_199_254_740_991_u64;
    let budget = json!({"id": work.role,
        "budget": {"per_ticket_micros": most, "per_day_micros": most}});
    assert!(work.founder.send("role", "amend", budget).await.ok);
    let scope = format!("ticket/{}", work.ticket);
    let limit = json!({"scope": scope, "period": "total", "money_micros": LIMIT});
    assert!(work.founder.send("budget", "limit", limit.clone()).await.ok);

    let mut people = Vec::new();
    for _ in 0..CLIENTS {
        people.push(Arc::new(work.spine.person("operator").await));
    }
    let proposal = work.proposal("read", &json!({}), NEED);
    let said = all_work(&people, &proposal, false).await;
    let (allowed, denied) = (said["allowed"], said["budget-exceeded"]);
    assert_eq!(allowed, 2_000, "the sum fits exactly: {said:?}");
    assert_eq!(allowed + denied, CLIENTS * EACH, "{said:?}");
    assert_eq!(audit(&work.spine.ledger().await, LIMIT), (2_000 * NEED, denied));

    // Twice the room, and half of what is allowed gives some of it back meanwhile.
    let mut more = limit;
    more["money_micros"] = json!(LIMIT + 500 * NEED);
    assert!(work.founder.send("budget", "limit", more).await.ok);
    let before = work.spine.ledger().await.len();
    let said = all_work(&people[..4], &proposal, true).await;
    assert!(said["allowed"] > 500, "{said:?}");
    let ledger = work.spine.ledger().await;
    let carried = json!({"type": "canonry.action.allowed.v1", "position": "0",
        "data": {"reserved": {"money_micros": 2_000 * NEED}}});
    let later = [&[carried], &ledger[before..]].concat();
    audit(&later, LIMIT + 500 * NEED);
    work.stop().await;
}
