//! The decider as a process of its own, killed without warning under load: another takes over,
//! and every intent has exactly one outcome.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use canonry_schemas::limits::{LIVENESS_TTL, LOOK_EVERY, TAKE_OVER};
use serde_json::json;

use crate::harness::{Person, Spine, intent};

/// Callers at once; each asks for its next ticket when it has the answer to the last.
const CALLERS: usize = 64;
/// The first is killed after so many answers.
const BEFORE: usize = 300;

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn decider(spine: &Spine, name: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_canonry"));
    command.arg("--home").arg(spine.test.cell.key_store().home());
    command.args(["serve", "decider", "--name", name, "--nats", &spine.test.url()]);
    Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// What a caller saw: intent and receipt of each of its tickets, and how often it had no answer
/// or was told to retry.
#[derive(Default)]
struct Seen {
    tickets: Vec<(String, String)>,
    again: usize,
}

async fn calls(founder: Arc<Person>, answered: Arc<AtomicUsize>, over: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let subject = founder.subject("ticket", "open");
    while !over.load(Ordering::Relaxed) {
        let id = intent();
        let body = json!({"title": format!("ticket of {id}")}).to_string();
        let headers = [("Canonry-Intent-Id", id.as_str())];
        let answer = loop {
            match founder.raw(&subject, &headers, body.clone()).await {
                Some(answer) if answer.code.as_deref() != Some("retry") => break answer,
                _ => seen.again += 1,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(answer.ok, "{answer:?}");
        // Asked again, it is the same answer: nothing is decided twice.
        if answered.fetch_add(1, Ordering::Relaxed).is_multiple_of(16) {
            let again = founder.raw(&subject, &headers, body).await;
            assert!(
                again.as_ref().is_none_or(|a| *a == answer || a.code.as_deref() == Some("retry")),
                "{again:?}"
            );
        }
        seen.tickets.push((id.to_string(), answer.receipt.unwrap()));
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decider_is_killed_under_load() {
    // What a caller waits at most for another decider, when nothing else is slow.
    const { assert!(LIVENESS_TTL.as_secs() + 2 * LOOK_EVERY.as_secs() < TAKE_OVER.as_secs()) };
    let mut spine = Spine::start().await;
    spine.stop().await;
    let first = decider(&spine, "process-a");
    let founder = Arc::new(spine.person("founder").await);
    assert!(founder.send("ticket", "open", json!({"title": "first"})).await.ok);
    let second = decider(&spine, "process-b");
    let (answered, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| tokio::spawn(calls(Arc::clone(&founder), answered.clone(), over.clone())))
        .collect();
    while answered.load(Ordering::Relaxed) < BEFORE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(first);
    let before = answered.load(Ordering::Relaxed);
    while answered.load(Ordering::Relaxed) < before + BEFORE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    over.store(true, Ordering::Relaxed);
    let (mut receipts, mut again) = (BTreeMap::new(), 0);
    for task in tasks {
        let seen = task.await.unwrap();
        again += seen.again;
        receipts.extend(seen.tickets);
    }
    assert!(again > 0, "nobody noticed: there was no load at the time of the kill");
    drop(second);

    let mut outcomes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut holders = Vec::new();
    for body in spine.ledger().await {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        match text("type").as_str() {
            "canonry.ticket.opened.v1" => {
                outcomes.entry(text("intentid")).or_default().push(text("position"));
            }
            "canonry.tenant.taken-over.v1" => {
                holders.push(body["data"]["decider"].as_str().unwrap().to_owned());
            }
            _ => {}
        }
    }
    // The harness's own decider was stopped at once, before or after it took over.
    holders.retain(|name| name.starts_with("process-"));
    assert_eq!(holders, ["process-a", "process-b"]);
    assert_eq!(outcomes.len(), receipts.len() + 1);
    for (id, receipt) in receipts {
        assert_eq!(outcomes[&id].len(), 1, "{id}: {:?}", outcomes[&id]);
        assert_eq!(receipt.split('/').nth(1), Some(outcomes[&id][0].as_str()));
    }
}
