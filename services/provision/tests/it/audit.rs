//! An auditor reads its tenant's mirror under `audit.api`, and nothing else.

use canonry_provision::CellUser;
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::support::{PATIENCE, User, auditor, cell_user, member, start};

/// Reads the mirror until it holds `count` records.
async fn mirrored(auditor: &User, count: u64) -> serde_json::Value {
    loop {
        let info = auditor.json("audit.api.STREAM.INFO.AUDIT_acme", "").await;
        if info["state"]["messages"] == count {
            return info;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_auditor_reads_the_mirror_of_its_tenant() {
    let (test, acme, _) = start().await;
    let committer = cell_user(&test, CellUser::Committer).await;
    for payload in ["one", "two"] {
        committer.request("ledger.acme.ticket.opened", payload).await;
    }
    let auditor = auditor(&test, &acme, "auditor").await;
    let info = mirrored(&auditor, 2).await;
    assert_eq!(info["config"]["mirror"]["name"], "LEDGER_acme");
    let got = auditor.json("audit.api.STREAM.MSG.GET.AUDIT_acme", r#"{"seq":2}"#).await;
    assert_eq!(got["message"]["data"], "dHdv", "{got}");
    let config = r#"{"stream_name":"AUDIT_acme","config":{"name":"a1","ack_policy":"none",
                     "deliver_policy":"all"}}"#;
    let made = auditor.json("audit.api.CONSUMER.CREATE.AUDIT_acme.a1", config).await;
    assert_eq!(made["name"], "a1", "{made}");
    let next = "audit.api.CONSUMER.MSG.NEXT.AUDIT_acme.a1";
    let pulled = auditor.pull(next, "_INBOX.acme.auditor.pull", 2).await;
    let payloads: Vec<_> = pulled.iter().map(|m| &m.payload[..]).collect();
    assert_eq!(payloads, [b"one", b"two"], "one request, several answers");
}

#[tokio::test]
async fn an_auditor_reaches_no_other_stream() {
    let (test, acme, _) = start().await;
    let mut auditor = auditor(&test, &acme, "auditor").await;
    for stream in ["AUDIT_other", "LEDGER_acme", "INTENTS_acme", "KV_content-keys-acme"] {
        for api in ["STREAM.INFO", "STREAM.MSG.GET", "CONSUMER.CREATE"] {
            let subject = format!("audit.api.{api}.{stream}");
            auditor.client.publish(subject.clone(), "{}".into()).await.unwrap();
            assert!(auditor.violation().await.contains(&subject), "{subject}");
        }
    }
    for subject in ["$JS.API.STREAM.INFO.AUDIT_acme", "command.acme.auditor.x"] {
        auditor.client.publish(subject, "{}".into()).await.unwrap();
        assert!(auditor.violation().await.contains(subject), "{subject}");
    }
}

#[tokio::test]
async fn a_push_consumer_of_an_auditor_delivers_nowhere() {
    let (test, acme, _) = start().await;
    let committer = cell_user(&test, CellUser::Committer).await;
    committer.request("ledger.acme.ticket.opened", "one").await;
    let auditor = auditor(&test, &acme, "auditor").await;
    mirrored(&auditor, 1).await;
    let responder = cell_user(&test, CellUser::Responder).await;
    let mut heard = responder.listen("command.acme.>").await;
    // The server takes any deliver subject and publishes to it inside CANONRY, but only once
    // somebody subscribes to exactly that subject. What streams and responders listen on has
    // wildcards, and must keep them.
    let targets = ["ledger.other.ticket.opened", "$KV.assign.other", "command.acme.founder.x"];
    for (number, target) in targets.into_iter().enumerate() {
        let config = format!(
            r#"{{"stream_name":"AUDIT_acme","config":{{"durable_name":"p{number}",
               "name":"p{number}","ack_policy":"none","deliver_subject":"{target}"}}}}"#
        );
        let api = format!("audit.api.CONSUMER.CREATE.AUDIT_acme.p{number}");
        let made = auditor.json(&api, &config).await;
        assert_eq!(made["num_pending"], 1, "{made}");
    }
    committer.request("ledger.acme.ticket.opened", "two").await;
    mirrored(&auditor, 2).await;
    for number in 0..targets.len() {
        let api = format!("$JS.API.CONSUMER.INFO.AUDIT_acme.p{number}");
        let info = committer.json(&api, "").await;
        assert_eq!(info["delivered"]["consumer_seq"], 0, "{info}");
    }
    let founder = member(&test, &acme, "founder").await;
    founder.client.publish("command.acme.founder.last", "".into()).await.unwrap();
    let first = timeout(PATIENCE, heard.next()).await.unwrap().unwrap();
    assert_eq!(first.subject.as_str(), "command.acme.founder.last", "nothing came before it");
}

/// The whole JetStream API, with the auditor's own mirror in it: six calls are answered, under
/// their prefix alone, and the server refuses the rest.
#[tokio::test]
async fn an_auditor_has_six_calls_and_no_more() {
    const MAY: [&str; 6] = [
        "STREAM.INFO.AUDIT_acme",
        "STREAM.MSG.GET.AUDIT_acme",
        "CONSUMER.CREATE.AUDIT_acme.a1",
        "CONSUMER.MSG.NEXT.AUDIT_acme.a1",
        "DIRECT.GET.AUDIT_acme",
        "DIRECT.GET.AUDIT_acme.ledger.acme.ticket.opened",
    ];
    const MAY_NOT: [&str; 27] = [
        "INFO",
        "STREAM.NAMES",
        "STREAM.LIST",
        "STREAM.CREATE.AUDIT_acme",
        "STREAM.UPDATE.AUDIT_acme",
        "STREAM.DELETE.AUDIT_acme",
        "STREAM.PURGE.AUDIT_acme",
        "STREAM.MSG.DELETE.AUDIT_acme",
        "STREAM.SNAPSHOT.AUDIT_acme",
        "STREAM.RESTORE.AUDIT_acme",
        "STREAM.PEER.REMOVE.AUDIT_acme",
        "STREAM.LEADER.STEPDOWN.AUDIT_acme",
        "CONSUMER.DURABLE.CREATE.AUDIT_acme.a1",
        "CONSUMER.INFO.AUDIT_acme.a1",
        "CONSUMER.NAMES.AUDIT_acme",
        "CONSUMER.LIST.AUDIT_acme",
        "CONSUMER.DELETE.AUDIT_acme.a1",
        "CONSUMER.PAUSE.AUDIT_acme.a1",
        "CONSUMER.UNPIN.AUDIT_acme.a1",
        "CONSUMER.LEADER.STEPDOWN.AUDIT_acme.a1",
        "DIRECT.GET.LEDGER_acme",
        "DIRECT.GET.LEDGER_acme.ledger.acme.ticket.opened",
        "ACCOUNT.PURGE.AUDIT",
        "META.LEADER.STEPDOWN",
        "SERVER.REMOVE",
        "CONSUMER.MSG.NEXT.LEDGER_acme.a1",
        "CONSUMER.CREATE.LEDGER_acme.a1.ledger.acme.>",
    ];
    let (test, acme, _) = start().await;
    let committer = cell_user(&test, CellUser::Committer).await;
    committer.request("ledger.acme.ticket.opened", "one").await;
    let mut auditor = auditor(&test, &acme, "auditor").await;
    let before = mirrored(&auditor, 1).await;
    let own = MAY_NOT.map(|call| format!("audit.api.{call}"));
    let direct = MAY.iter().chain(&MAY_NOT).map(|call| format!("$JS.API.{call}"));
    for subject in own.into_iter().chain(direct) {
        auditor.client.publish(subject.clone(), "{}".into()).await.unwrap();
        assert!(auditor.violation().await.contains(&subject), "{subject}");
    }
    let config = r#"{"stream_name":"AUDIT_acme","config":{"name":"a1","ack_policy":"none",
        "deliver_policy":"all"}}"#;
    for (call, body) in MAY.into_iter().zip(["", r#"{"seq":1}"#, config]) {
        let answer = auditor.json(&format!("audit.api.{call}"), body).await;
        assert!(answer.get("error").is_none(), "{call}: {answer}");
    }
    let next = format!("audit.api.{}", MAY[3]);
    assert_eq!(auditor.pull(&next, "_INBOX.acme.auditor.p", 1).await[0].payload, "one");
    for (call, body) in [(MAY[4], r#"{"seq":1}"#), (MAY[5], "")] {
        let got = auditor.request(&format!("audit.api.{call}"), body).await;
        assert_eq!(got.payload, "one", "{call}");
    }
    let after = mirrored(&auditor, 1).await;
    assert_eq!((&before["config"], &before["created"]), (&after["config"], &after["created"]));
}

/// As `nats stream view` pages: a consumer that vanishes, from a position on, filtered, read twice.
#[tokio::test]
async fn an_auditor_pages_through_the_mirror_again_and_again() {
    let (test, acme, _) = start().await;
    let committer = cell_user(&test, CellUser::Committer).await;
    for (kind, payload) in [("opened", "one"), ("opened", "two"), ("closed", "three")] {
        committer.request(&format!("ledger.acme.ticket.{kind}"), payload).await;
    }
    let auditor = auditor(&test, &acme, "auditor").await;
    mirrored(&auditor, 3).await;
    for (name, filter, start, wanted) in [
        ("v1", "ledger.acme.>", 1, vec!["one", "two", "three"]),
        ("v2", "ledger.acme.>", 2, vec!["two", "three"]),
        ("v3", "ledger.acme.ticket.closed", 1, vec!["three"]),
    ] {
        let body = serde_json::json!({"stream_name": "AUDIT_acme", "config": {
            "name": name, "ack_policy": "none", "deliver_policy": "by_start_sequence",
            "opt_start_seq": start, "filter_subject": filter, "inactive_threshold": 60_000_000_000_u64,
        }});
        let api = format!("audit.api.CONSUMER.CREATE.AUDIT_acme.{name}.{filter}");
        let made = auditor.json(&api, &body.to_string()).await;
        assert_eq!(made["num_pending"], wanted.len(), "{made}");
        let next = format!("audit.api.CONSUMER.MSG.NEXT.AUDIT_acme.{name}");
        let inbox = format!("_INBOX.acme.auditor.{name}");
        let pulled = auditor.pull(&next, &inbox, wanted.len()).await;
        let payloads: Vec<_> = pulled.iter().map(|m| m.payload.as_ref()).collect();
        assert_eq!(payloads, wanted.iter().map(|w| w.as_bytes()).collect::<Vec<_>>());
    }
}
