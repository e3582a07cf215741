//! An auditor reads its tenant's mirror under `audit.api`, and nothing else.

use canonry_provision::CellUser;

use crate::support::{User, auditor, cell_user, start};

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
