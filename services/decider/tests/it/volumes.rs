//! Volumes and repair with real servers: closing, and the whole drill after a damage.

use canonry_decider::closing::{Refused, close_volume};
use canonry_decider::fence::Fence;
use canonry_decider::repair::{Done, Wanted, repair};
use canonry_decider::serve::OverNats;
use canonry_nats::Stored;
use canonry_provision::volumes::{Closed, standing};
use canonry_provision::{CellUser, Error, check_streams};
use canonry_record::repair::hides;
use canonry_record::{Line, Verifier, verify};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::faults::{answered_with, ledger_block, load, truncate};
use crate::harness::{Spine, intent, until};
use crate::race::{one_outcome_each, under_way};

async fn provisioner(spine: &Spine) -> OverNats {
    OverNats(spine.cell_user(&CellUser::ProvisionStreams).await)
}

pub async fn mend(spine: &Spine, beyond: u64) -> Result<Done, String> {
    let wanted = Wanted { tenant: spine.tenant.clone(), seen: beyond, replicas: 1 };
    let keys = spine.test.cell.key_store();
    Box::pin(repair(keys, &spine.test.url(), &wanted, |_| {})).await
}

/// Everything that stands, verified.
async fn verified(spine: &Spine) -> (Verifier, Vec<Stored>) {
    let mut verifier = Verifier::new(spine.tenant.clone(), verify::Pins::default());
    let mut records = spine.log().await.read(1, None).await.unwrap();
    let mut all = Vec::new();
    while let Some(stored) = records.next().await {
        let stored = stored.unwrap();
        verifier.push(&line(&stored)).unwrap();
        all.push(stored);
    }
    (verifier, all)
}

fn line(s: &Stored) -> Line<'_> {
    Line { seq: s.seq, subject: &s.subject, headers: &s.headers, body: &s.body }
}

pub async fn close(spine: &Spine) -> Result<Closed, Refused> {
    let keys = spine.test.cell.key_store();
    Box::pin(close_volume(keys, &spine.test.url(), &spine.tenant, 1, |_| ())).await
}

/// Closed while two deciders run and commands come: no answer that was given lacks its record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_are_closed_under_load() {
    let mut spine = Spine::start().await;
    let second = spine.decider("decider-b").await;
    load(&spine, 50).await;
    let log = spine.log().await;
    for round in 1..=4 {
        let before = log.info().await.unwrap().last_seq;
        let tasks = under_way(&spine, 400).await;
        until("some of them are stored", || async {
            log.info().await.unwrap().last_seq > before + 20 * u64::from(round)
        })
        .await;
        let done = close(&spine).await.unwrap();
        assert_eq!((done.closed, done.open), (Some(round), round + 1));
        one_outcome_each(&spine, tasks).await;
        let last = spine.ledger().await;
        let fence = &last[usize::try_from(done.first).unwrap() - 2];
        assert_eq!(fence["type"], "canonry.tenant.taken-over.v1");
        assert!(fence["data"]["decider"].as_str().unwrap().starts_with("fence_"), "{fence}");
    }
    spine.stop().await;
    second.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 1_650);
    let (verifier, _) = verified(&spine).await;
    assert_eq!(verifier.state().unwrap().repairs, []);
    assert_eq!(spine.log().await.volumes().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_are_closed_while_no_decider_lives() {
    let mut spine = Spine::start().await;
    load(&spine, 50).await;
    for round in 1..=2 {
        spine.stop().await;
        let done = close(&spine).await.unwrap();
        assert_eq!((done.closed, done.open), (Some(round), round + 1));
        // With its snapshot, and without one.
        let name = ["decider-a", "decider-b"][round as usize - 1];
        spine.decider = Some(spine.decider(name).await);
        let tasks = under_way(&spine, 150).await;
        one_outcome_each(&spine, tasks).await;
    }
    let held = spine.kinds().await;
    assert_eq!(held["canonry.ticket.opened.v1"], 350);
    // Three deciders, and twice whoever closed.
    assert_eq!(held["canonry.tenant.taken-over.v1"], 5);
    assert_eq!(spine.log().await.volumes().len(), 3);
    spine.stop().await;
    let checker = OverNats(spine.cell_user(&CellUser::Committer).await);
    check_streams(&checker, &spine.tenant, 1).await.unwrap();
    // A frozen tenant is for the repair.
    let frozen = spine.cell_user(&CellUser::Committer).await;
    let frozen = canonry_nats::Kv::open(frozen, "frozen").unwrap();
    frozen.create("acme", r#"{"position":1,"why":"x"}"#).await.unwrap();
    assert!(matches!(close(&spine).await, Err(Refused::Frozen(_))));
}

/// Who takes the tenant over while a volume is being closed keeps it from being closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_somebody_passed_closes_nothing() {
    let mut spine = Spine::start().await;
    load(&spine, 5).await;
    let log = spine.committer_log().await;
    let sources = std::sync::Arc::new(spine.test.cell.key_store().clone());
    let signers = || canonry_decider::signers::Signers::new(spine.tenant.clone(), sources.clone());
    let raise = || Fence::raise(&log, &spine.tenant, signers(), &|_| ());
    let fence = Box::pin(raise()).await.unwrap();
    let last = log.info().await.unwrap().last_seq;
    assert_eq!(fence.stands(None).await, Ok(()));
    assert_eq!(fence.stands(Some(last)).await, Ok(()));
    assert!(fence.stands(Some(last + 1)).await.is_err(), "a record behind it");
    let other = Box::pin(raise()).await.unwrap();
    assert!(fence.stands(None).await.unwrap_err().contains("took the tenant over"));
    fence.lift().await;
    assert_eq!(other.stands(None).await, Ok(()), "it gives up what is its own alone");
    other.lift().await;
    load(&spine, 5).await;
    spine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_is_finished_by_the_next_run() {
    let mut spine = Spine::start().await;
    load(&spine, 5).await;
    spine.stop().await;
    let streams = provisioner(&spine).await;
    let tenant = &spine.tenant;
    let head = spine.log().await.info().await.unwrap().last_seq;
    // It ended after the first step: nothing can be written, everything can be read.
    let live = standing(&streams, tenant).await.unwrap();
    canonry_provision::volumes::close(&streams, tenant, &live[0]).await.unwrap();
    let checker = OverNats(spine.cell_user(&CellUser::Committer).await);
    let none = check_streams(&checker, tenant, 1).await;
    assert!(matches!(none, Err(Error::NoVolume(_))), "{none:?}");
    assert_eq!(spine.ledger().await.len() as u64, head);
    let done = close(&spine).await.unwrap();
    assert_eq!(done, Closed { closed: None, open: 2, first: head + 1 });
    // Again: an empty volume is not closed.
    assert_eq!(close(&spine).await.unwrap(), done);
    assert_eq!(standing(&streams, tenant).await.unwrap().len(), 2);
    check_streams(&checker, tenant, 1).await.unwrap();
    spine.decider = Some(spine.decider("decider-b").await);
    load(&spine, 5).await;
    // A closed volume is as it was, whoever asks.
    let mut config = live[0].clone();
    config.closed = false;
    let again = canonry_provision::volumes::close(&streams, tenant, &config).await;
    assert!(again.is_ok_and(|v| v.closed && v.last == head));
    spine.stop().await;
    let log = spine.committer_log().await;
    let first = log.get(1).await.unwrap().unwrap();
    let message = canonry_nats::Outgoing {
        subject: "ledger._closed.acme.v1".to_owned(),
        headers: Vec::new(),
        body: first.body,
    };
    let into = log.append(&[message], head, std::time::Duration::from_secs(5)).await;
    assert!(matches!(into, canonry_nats::Append::Refused { .. }), "sealed: {into:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auditors_and_the_mirror_go_on_in_the_next_volume() {
    let mut spine = Spine::start().await;
    load(&spine, 5).await;
    spine.stop().await;
    let first = close(&spine).await.unwrap().first;
    spine.decider = Some(spine.decider("decider-b").await);
    load(&spine, 5).await;
    spine.stop().await;
    let head = spine.log().await.info().await.unwrap().last_seq;
    let auditor = auditor(&spine).await;
    until("the mirror holds the second volume", || async {
        let info = auditor.js_request("STREAM.INFO.AUDIT_acme_v2", &Value::Null).await.unwrap();
        info["state"]["last_seq"] == head && info["state"]["first_seq"] == first
    })
    .await;
    for (stream, seq) in [("AUDIT_acme", 1), ("AUDIT_acme_v2", first)] {
        let subject = format!("STREAM.MSG.GET.{stream}");
        let got = auditor.js_request(&subject, &json!({ "seq": seq })).await.unwrap();
        assert_eq!(got["message"]["seq"], seq, "{got}");
    }
    assert_eq!(mirrored(auditor).await, (1..=head).collect::<Vec<_>>());
}

/// The positions that an auditor reads, over all mirrors, verified.
async fn mirrored(auditor: canonry_nats::Connection) -> Vec<u64> {
    let log = canonry_nats::Log::open(auditor, "AUDIT_acme").await.unwrap();
    let log = log.with_reader_name("audit");
    let mut verifier = Verifier::new("acme".parse().unwrap(), verify::Pins::default());
    let mut records = log.read(1, None).await.unwrap();
    let mut positions = Vec::new();
    while let Some(stored) = records.next().await {
        let stored = stored.unwrap();
        verifier.push(&line(&stored)).unwrap();
        positions.push(stored.seq);
    }
    positions
}

async fn auditor(spine: &Spine) -> canonry_nats::Connection {
    let keys = spine.test.cell.key_store();
    let creds = keys.tenant_creds_path(&spine.tenant, &"auditor".parse().unwrap());
    let mut connect = canonry_nats::Connect::new(spine.test.url(), "auditor");
    connect.creds = Some(keys.read_text(&creds).unwrap().to_string());
    connect.inbox_prefix = format!("_INBOX.{}.auditor", spine.tenant);
    connect.js_prefix = "audit.api".to_owned();
    canonry_nats::Connection::connect(connect).await.unwrap()
}

/// Damages the store of a ledger with a known command near its end; the tenant is frozen then.
async fn damaged(
    change: impl FnOnce(&std::path::Path),
) -> (Spine, canonry_schemas::ids::IntentId, u64) {
    let mut spine = Spine::start().await;
    load(&spine, 200).await;
    let founder = spine.person("founder").await;
    let lost = intent();
    let answer = founder.send_as(&lost, "ticket", "open", &json!({"title": "lost"})).await;
    let seen: u64 = answer.position.unwrap().parse().unwrap();
    spine.stop().await;
    spine.test.server_mut().stop().await.unwrap();
    change(&ledger_block(&spine));
    spine.test.server_mut().start_again().await.unwrap();
    spine.decider = Some(spine.decider("decider-b").await);
    answered_with(&spine, "tenant-frozen").await;
    (spine, lost, seen)
}

/// The whole drill.
async fn drill(change: impl FnOnce(&std::path::Path)) {
    let (mut spine, lost, seen) = damaged(change).await;
    // Reads go on, up to the damage.
    assert!(spine.log().await.get(1).await.unwrap().is_some());
    let streams = provisioner(&spine).await;
    let done = mend(&spine, 0).await.unwrap();
    let repair = done.repair.clone().unwrap();
    assert!(repair.after < seen && seen <= repair.given, "{repair:?}, seen {seen}");
    assert_eq!(repair.position, repair.given + canonry_schemas::limits::REPAIR_MARGIN + 1);
    assert_eq!((repair.from, repair.to), (repair.after + 1, repair.position - 1));
    // The decider comes back by itself, and what was lost may be sent again.
    let founder = spine.person("founder").await;
    until("commands are served again", || async {
        let subject = founder.subject("ticket", "fly");
        let answer = founder.raw(&subject, &[], "{}").await;
        answer.is_some_and(|a| a.code.as_deref() == Some("unknown-command"))
    })
    .await;
    let again = founder.send_as(&lost, "ticket", "open", &json!({"title": "lost"})).await;
    assert!(again.ok, "{again:?}");
    let position: u64 = again.position.clone().unwrap().parse().unwrap();
    assert!(position > repair.position);
    let repeat = founder.send_as(&lost, "ticket", "open", &json!({"title": "lost"})).await;
    assert_eq!(repeat, again);
    load(&spine, 20).await;
    // A decider whose snapshot saw what was lost throws it away.
    spine.stop().await;
    spine.decider = Some(spine.decider("decider-a").await);
    spine.served().await;
    load(&spine, 5).await;
    spine.stop().await;
    // Everybody verifies, and is told.
    let (verifier, all) = verified(&spine).await;
    let state = verifier.state().unwrap();
    assert_eq!(state.repairs, std::slice::from_ref(&repair));
    assert_eq!(all.len() as u64, state.position - (repair.to - repair.from + 1));
    for volume in spine.log().await.volumes().iter() {
        let log = spine.log().await;
        if let Ok(Some(held)) = log.get_in(volume, repair.from).await {
            assert!(!hides(&repair, &state.ring, &line(&held)));
        }
    }
    let mirror = standing(&streams, &spine.tenant).await.unwrap().len();
    assert_eq!(mirror, 2);
    let auditor = auditor(&spine).await;
    until("the mirror holds the repair", || async {
        let info = auditor.js_request("STREAM.INFO.AUDIT_acme_v2", &Value::Null).await.unwrap();
        info["state"]["first_seq"] == repair.position && info["state"]["last_seq"] == state.position
    })
    .await;
    assert_eq!(mirrored(auditor).await, all.iter().map(|s| s.seq).collect::<Vec<_>>());
    // A whole ledger has nothing to repair.
    let no = mend(&spine, 0).await.unwrap_err();
    assert!(no.contains("not frozen"), "{no}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drill_after_a_flipped_byte() {
    Box::pin(drill(|block| {
        let mut bytes = std::fs::read(block).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(block, bytes).unwrap();
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drill_after_a_truncation() {
    Box::pin(drill(truncate)).await;
}

/// A closed volume is damaged: what follows it is whole, but goes on from what is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drill_after_the_truncation_of_a_closed_volume() {
    let mut spine = Spine::start().await;
    load(&spine, 200).await;
    spine.stop().await;
    let second = close(&spine).await.unwrap().first;
    spine.decider = Some(spine.decider("decider-a").await);
    load(&spine, 20).await;
    spine.stop().await;
    let head = spine.log().await.info().await.unwrap().last_seq;
    spine.test.server_mut().stop().await.unwrap();
    truncate(&ledger_block(&spine));
    spine.test.server_mut().start_again().await.unwrap();
    spine.decider = Some(spine.decider("decider-b").await);
    answered_with(&spine, "tenant-frozen").await;
    let repair = mend(&spine, 0).await.unwrap().repair.unwrap();
    assert!(repair.after < second - 1, "{repair:?}");
    assert!(repair.given >= head);
    until("commands are served again", || async {
        let founder = spine.person("founder").await;
        let answer = founder.raw(&founder.subject("ticket", "fly"), &[], "{}").await;
        answer.is_some_and(|a| a.code.as_deref() == Some("unknown-command"))
    })
    .await;
    load(&spine, 20).await;
    spine.stop().await;
    let (verifier, all) = verified(&spine).await;
    assert_eq!(verifier.state().unwrap().repairs, std::slice::from_ref(&repair));
    assert_eq!(all[repair.after as usize].seq, repair.position);
    // The second volume is still there, and of the ledger no more.
    let log = spine.log().await;
    assert_eq!(log.get(second).await.unwrap(), None);
    assert!(log.leaves_out(second) && log.leaves_out(head));
    assert!(log.get_in(&log.volumes()[1], second).await.unwrap().is_some());
    // The ledger of this decider's snapshot is that of before: it begins again.
    spine.decider = Some(spine.decider("decider-a").await);
    load(&spine, 5).await;
    spine.stop().await;
}

/// Each step of a repair may be the last one of a run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_is_finished_by_the_next_run() {
    let (mut spine, _, seen) = damaged(truncate).await;
    spine.stop().await;
    let streams = provisioner(&spine).await;
    let tenant = spine.tenant.clone();
    // Without the root key nothing is touched.
    let offline = spine.test.cell.key_store().home().join("tenants/acme/offline");
    let away = offline.with_file_name("away");
    std::fs::rename(&offline, &away).unwrap();
    let no = mend(&spine, 0).await.unwrap_err();
    assert!(no.contains("root key"), "{no}");
    assert!(!standing(&streams, &tenant).await.unwrap()[0].closed);
    std::fs::rename(&away, &offline).unwrap();
    // It ended after it had closed the damaged volume, and after it had opened the next one.
    let live = standing(&streams, &tenant).await.unwrap();
    let closed = canonry_provision::volumes::close(&streams, &tenant, &live[0]).await.unwrap();
    let first = seen + 5_000_000;
    let after = closed.last;
    canonry_provision::volumes::open(&streams, &tenant, 2, first, Some(after), 1).await.unwrap();
    let done = mend(&spine, 0).await.unwrap();
    let repair = done.repair.unwrap();
    assert_eq!((repair.after, repair.position), (after, first));
    // It ended after the record was stored: the flag is still there.
    let frozen = spine.cell_user(&CellUser::Committer).await;
    let frozen = canonry_nats::Kv::open(frozen, "frozen").unwrap();
    frozen.create("acme", r#"{"position":1,"why":"still"}"#).await.unwrap();
    let done = mend(&spine, 0).await.unwrap();
    assert_eq!((done.repair, done.head.0), (None, first));
    assert_eq!(standing(&streams, &tenant).await.unwrap().len(), 2);
    spine.decider = Some(spine.decider("decider-c").await);
    spine.served().await;
    load(&spine, 5).await;
    // A second loss later is a second repair.
    spine.stop().await;
    frozen.create("acme", r#"{"position":1,"why":"seen elsewhere"}"#).await.unwrap();
    let head = spine.log().await.info().await.unwrap().last_seq;
    let again = mend(&spine, head + 7).await.unwrap().repair.unwrap();
    assert_eq!((again.after, again.given), (head, head + 7));
    let (verifier, _) = verified(&spine).await;
    assert_eq!(verifier.state().unwrap().repairs, [repair, again]);
}
