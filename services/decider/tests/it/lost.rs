//! Answers of the store that are lost on the way, and a holder that was cut off and comes back.

use std::time::Duration;

use canonry_decider::Decider;
use canonry_nats::Kv;
use canonry_provision::CellUser;
use serde_json::json;

use crate::harness::{Spine, until};
use crate::proxy::{Plan, Proxy};
use crate::race::{one_outcome_each, under_way};

const COMMITTER: Plan = Plan { only: Some("committer"), rewrite: None };

/// Starts a decider behind proxies, one before each server.
async fn behind(spine: &Spine, name: &str, plan: &Plan) -> (Decider, Vec<Proxy>) {
    let mut proxies = Vec::new();
    for url in spine.test.urls() {
        proxies.push(Proxy::before(&url, plan.clone()).await);
    }
    let mut config = spine.config(name);
    config.url = proxies.iter().map(|p| p.url.as_str()).collect::<Vec<_>>().join(",");
    (Decider::start(config).await.unwrap(), proxies)
}

async fn acknowledgements_are_lost(spine: &mut Spine) {
    spine.served().await;
    spine.stop().await;
    let (decider, proxies) = behind(spine, "decider-p", &COMMITTER).await;
    spine.served().await;
    let log = spine.log().await;
    for round in 0..3 {
        let before = log.info().await.unwrap().last_seq;
        proxies.iter().for_each(Proxy::swallow);
        let tasks = under_way(spine, 70).await;
        // Some commit was stored, and its acknowledgement was not heard.
        until("a commit behind the proxy", || async {
            log.info().await.unwrap().last_seq > before
        })
        .await;
        until("an answer swallowed", || async { proxies.iter().any(|p| p.swallowed() > 0) }).await;
        proxies.iter().for_each(Proxy::cut);
        proxies.iter().for_each(Proxy::pass);
        one_outcome_each(spine, tasks).await;
        let opened = spine.kinds().await["canonry.ticket.opened.v1"];
        assert_eq!(opened, 70 * (round + 1));
    }
    decider.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 210);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acknowledgements_leave_one_record_each() {
    acknowledgements_are_lost(&mut Spine::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acknowledgements_leave_one_record_each_on_three_nodes() {
    acknowledgements_are_lost(&mut Spine::cluster().await).await;
}

/// The committer of one holder is cut off under load until another took over, then comes back with
/// its old epoch and a commit that it still wants to make.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_holder_comes_back() {
    let mut spine = Spine::start().await;
    spine.served().await;
    spine.stop().await;
    let (stale, proxies) = behind(&spine, "decider-stale", &COMMITTER).await;
    spine.served().await;
    let tasks = under_way(&spine, 100).await;
    proxies.iter().for_each(Proxy::hold);
    let fresh = spine.decider("decider-fresh").await;
    until("the other took over", || async { fresh.serving() == [spine.tenant.clone()] }).await;
    assert_eq!(stale.serving(), [spine.tenant.clone()], "it does not know yet");
    let more = under_way(&spine, 50).await;
    one_outcome_each(&spine, more).await;
    proxies.iter().for_each(Proxy::pass);
    until("the stale one gives up", || async { stale.serving().is_empty() }).await;
    one_outcome_each(&spine, tasks).await;
    assert_eq!(fresh.serving(), [spine.tenant.clone()]);
    stale.stop().await;
    fresh.stop().await;
    let kinds = spine.kinds().await;
    assert_eq!(kinds["canonry.ticket.opened.v1"], 150);
    assert_eq!(kinds["canonry.tenant.taken-over.v1"], 3);
}

async fn assign(kv: &Kv, decider: &str, epoch: u64) {
    let value = json!({"decider": decider, "epoch": epoch}).to_string();
    kv.put("acme", value).await.unwrap();
}

async fn assigned(kv: &Kv) -> (String, u64) {
    let entry = kv.get("acme").await.unwrap().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&entry.value).unwrap();
    (value["decider"].as_str().unwrap().to_owned(), value["epoch"].as_u64().unwrap())
}

/// Somebody rewrites the assignment to an epoch that was used before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assignment_that_falls_is_not_served() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let kv = Kv::open(spine.cell_user(&CellUser::Committer).await, "assign").unwrap();
    assign(&kv, "decider-a", 40).await;
    let above = |epoch: u64| {
        let spine = &spine;
        until("an epoch above", move || async move {
            spine.served().await;
            let ledger = spine.ledger().await;
            ledger.last().unwrap()["epoch"].as_str().unwrap().parse::<u64>().unwrap() > epoch
        })
    };
    above(40).await;
    for lower in [38, 1, 0] {
        let before = spine.ledger().await.last().unwrap()["epoch"].clone();
        let before: u64 = before.as_str().unwrap().parse().unwrap();
        assign(&kv, "decider-a", lower).await;
        above(before).await;
        let (decider, epoch) = assigned(&kv).await;
        assert!(decider == "decider-a" && epoch > before, "{decider} {epoch}");
    }
    spine.stop().await;
    let ledger = spine.ledger().await;
    let epochs: Vec<u64> =
        ledger.iter().map(|b| b["epoch"].as_str().unwrap().parse().unwrap()).collect();
    assert!(epochs.is_sorted(), "{epochs:?}");
}

/// The assignment is thrown to and fro between two deciders, much faster than either can follow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_deciders_fight_for_a_tenant() {
    let mut spine = Spine::start().await;
    let second = spine.decider("decider-b").await;
    spine.served().await;
    let kv = Kv::open(spine.cell_user(&CellUser::Committer).await, "assign").unwrap();
    let tasks = under_way(&spine, 300).await;
    for turn in 0..40 {
        let (_, epoch) = assigned(&kv).await;
        assign(&kv, if turn % 2 == 0 { "decider-b" } else { "decider-a" }, epoch + 1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let more = under_way(&spine, 50).await;
    one_outcome_each(&spine, tasks).await;
    one_outcome_each(&spine, more).await;
    spine.stop().await;
    second.stop().await;
    let kinds = spine.kinds().await;
    assert_eq!(kinds["canonry.ticket.opened.v1"], 350);
    assert!(kinds["canonry.tenant.taken-over.v1"] > 2, "{kinds:?}");
}

/// A header that is not UTF-8 ends the responder's connection in the client library: what was
/// under way is lost there, and everybody is served again as soon as it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_is_not_text_stops_nobody_for_long() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let (from, to): (&[u8], &[u8]) = (b"HOSTILE-BYTES", b"HOSTILE-\xff\xfe\xc0\x80\xff");
    let plan = Plan { only: None, rewrite: Some((from, to)) };
    let proxy = Proxy::before(&spine.test.url(), plan).await;
    let hostile = spine.person_at(&proxy.url, "operator").await;
    let tasks = under_way(&spine, 50).await;
    for kind in ["command", "intent"] {
        let subject = format!("{kind}.acme.operator.ticket.open");
        let headers = [("Canonry-Whatever", "HOSTILE-BYTES")];
        let body = canonry_nats::Bytes::from_static(br#"{"title":"x"}"#);
        hostile.connection.publish(&subject, &headers, body).await.unwrap();
    }
    hostile.connection.flush().await.unwrap();
    one_outcome_each(&spine, tasks).await;
    spine.served().await;
    spine.stop().await;
    assert!(spine.kinds().await["canonry.ticket.opened.v1"] >= 50);
}
