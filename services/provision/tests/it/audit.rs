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
