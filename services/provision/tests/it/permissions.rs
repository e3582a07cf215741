//! Who may not do what: as a table over the allow-lists, and tried on a live server.

use canonry_provision::users::DESTROYING;
use canonry_provision::{CellUser, Permissions, TenantUser, streams, tiers};
use canonry_schemas::tier::TIERS;

use crate::support::{User, actor, auditor, cell_user, member, start, tenant};

/// Everyone who holds creds while a cell runs.
fn runtime_users() -> Vec<(String, Permissions)> {
    let mut users: Vec<(String, Permissions)> =
        cell_users().into_iter().map(|user| (user.name().to_owned(), user.permissions())).collect();
    for kind in [TenantUser::Member, TenantUser::Worker, TenantUser::Auditor] {
        users.push((format!("{kind:?}"), kind.permissions(&tenant("acme"), &actor("founder"))));
    }
    for tier in TIERS {
        users.push((format!("{tier:?}"), tiers::permissions(tier, &tenant("acme"), "w", "lse_1")));
    }
    users
}

fn cell_users() -> Vec<CellUser> {
    vec![
        CellUser::Committer,
        CellUser::Responder,
        CellUser::Intake,
        CellUser::Reader,
        CellUser::Checkpointer,
        CellUser::Evidence,
        CellUser::LeaseIssuer,
        CellUser::Warden,
        CellUser::Service(actor("svc_api")),
        CellUser::CellOperator,
    ]
}

/// A subject below each destroying pattern, in the form that the server listens on.
fn destroying_subjects() -> Vec<String> {
    DESTROYING
        .iter()
        .flat_map(|pattern| {
            let stem = pattern.strip_suffix('>').expect("every pattern ends with >");
            ["LEDGER_acme", "LEDGER_acme.x", "LEDGER_acme.x.ledger.acme.y"]
                .map(|rest| format!("{stem}{rest}"))
        })
        .chain(["audit.api.STREAM.DELETE.AUDIT_acme".to_owned()])
        .collect()
}

#[test]
fn no_runtime_user_may_destroy() {
    for (name, permissions) in runtime_users() {
        for subject in destroying_subjects() {
            assert!(!permissions.may_publish(&subject), "{name} may publish {subject}");
        }
        for pattern in &permissions.publish {
            assert!(!["$JS.>", "$JS.API.>", "$SYS.>", ">"].contains(&pattern.as_str()), "{name}");
        }
    }
}

#[test]
fn only_the_committer_may_write_ledgers_and_buckets() {
    for (name, permissions) in runtime_users() {
        for subject in [
            "ledger.acme.ticket.opened",
            "$KV.assign.acme",
            "$KV.content-keys-acme.k",
            "$KV.policies.acme",
        ] {
            assert_eq!(permissions.may_publish(subject), name == "committer", "{name} {subject}");
        }
        for subject in ["tlog.acme.checkpoint", "tlog.acme.tile/0/000"] {
            assert_eq!(permissions.may_publish(subject), name == "checkpointer", "{name}");
        }
        let freezes = ["committer", "checkpointer"].contains(&name.as_str());
        assert_eq!(permissions.may_publish("$KV.frozen.acme"), freezes, "{name}");
        for subject in ["$O.evidence-acme.C.evd_1", "$O.evidence-acme.M.eA=="] {
            assert_eq!(permissions.may_publish(subject), name == "evidence", "{name} {subject}");
        }
        for subject in ["intake.acme.founder", "dead.acme.1"] {
            assert_eq!(permissions.may_publish(subject), name == "intake", "{name} {subject}");
        }
        let next = "queue.api.CONSUMER.MSG.NEXT.INTENTS_acme.intake";
        assert_eq!(permissions.may_publish(next), name == "intake", "{name}");
        assert!(!permissions.may_publish("audit.api.CONSUMER.MSG.NEXT.INTENTS_acme.intake"));
        // Who has the API inside CANONRY chooses where an answer goes: into a ledger, say.
        for api in ["INFO", "STREAM.INFO.x", "STREAM.MSG.GET.x", "CONSUMER.MSG.NEXT.x.intake"] {
            let asks = permissions.may_publish(&format!("$JS.API.{api}"));
            assert!(!asks || name == "committer", "{name} {api}");
        }
    }
}

#[test]
fn nobody_hears_what_is_not_theirs() {
    for (name, permissions) in runtime_users() {
        for subject in
            [">", "ledger.>", "intake.>", "$KV.>", "_INBOX.>", "_R_.>", "$JS.>", "$SYS.>"]
        {
            assert!(!permissions.may_subscribe(subject), "{name} may subscribe to {subject}");
        }
        assert_eq!(permissions.may_subscribe("command.acme.>"), name == "responder", "{name}");
        let own = |inbox: &str| permissions.may_subscribe(inbox);
        assert_eq!(own("_INBOX.committer.x"), name == "committer", "{name}");
        assert_eq!(own("_INBOX.checkpointer.x"), name == "checkpointer", "{name}");
    }
}

#[tokio::test]
async fn the_server_refuses_each_runtime_user_what_destroys() {
    let (test, acme, _) = start().await;
    let mut users: Vec<(String, User)> = Vec::new();
    for user in cell_users() {
        users.push((user.name().to_owned(), cell_user(&test, user).await));
    }
    users.push(("member".to_owned(), member(&test, &acme, "founder").await));
    users.push(("auditor".to_owned(), auditor(&test, &acme, "auditor").await));
    for (name, user) in &mut users {
        for subject in destroying_subjects() {
            user.client.publish(subject.clone(), "{}".into()).await.unwrap();
            let violation = user.violation().await;
            assert!(violation.contains(&subject), "{name}: {subject}: {violation}");
        }
    }
    let reader = cell_user(&test, CellUser::Reader).await;
    let info = reader.json("audit.api.STREAM.INFO.LEDGER_acme", "").await;
    assert!(info.get("error").is_none(), "{info}");
}

#[tokio::test]
async fn the_committer_writes_the_ledger_and_the_responder_cannot() {
    let (test, ..) = start().await;
    let committer = cell_user(&test, CellUser::Committer).await;
    assert_eq!(committer.json("ledger.acme.ticket.opened", "{}").await["seq"], 1);
    for user in cell_users().into_iter().filter(|u| *u != CellUser::Committer) {
        let name = user.name().to_owned();
        let mut user = cell_user(&test, user).await;
        user.client.publish("ledger.acme.ticket.opened", "{}".into()).await.unwrap();
        assert!(user.violation().await.contains("ledger.acme.ticket.opened"), "{name}");
    }
    let info = committer.json("$JS.API.STREAM.INFO.LEDGER_acme", "").await;
    assert_eq!(info["state"]["messages"], 1);
}

#[tokio::test]
async fn readers_open_consumers_on_ledgers_and_not_on_intents() {
    let (test, ..) = start().await;
    let committer = cell_user(&test, CellUser::Committer).await;
    assert_eq!(committer.json("ledger.acme.ticket.opened", "{}").await["seq"], 1);
    let mut reader = cell_user(&test, CellUser::Reader).await;
    let consumer = |stream: &str, filter: &str| {
        format!(
            r#"{{"stream_name":"{stream}","config":{{"name":"r1","filter_subject":"{filter}",
               "ack_policy":"none","deliver_policy":"all"}}}}"#
        )
    };
    let create = "audit.api.CONSUMER.CREATE";
    let subject = format!("{create}.LEDGER_acme.r1.ledger.acme.>");
    let made = reader.json(&subject, &consumer("LEDGER_acme", "ledger.acme.>")).await;
    assert_eq!(made["name"], "r1", "{made}");
    let next = "audit.api.CONSUMER.MSG.NEXT.LEDGER_acme.r1";
    assert_eq!(reader.pull(next, "_INBOX.reader.pull", 1).await[0].payload, "{}");
    let subject = format!("{create}.INTENTS_acme.r1.ledger.acme.>");
    let refused = reader.json(&subject, &consumer("INTENTS_acme", "ledger.acme.>")).await;
    assert!(refused.get("error").is_some(), "{refused}");
    let subject = format!("{create}.INTENTS_acme.r1.intake.acme.>");
    reader.client.publish(subject.clone(), "{}".into()).await.unwrap();
    assert!(reader.violation().await.contains(&subject));
}

#[tokio::test]
async fn the_intake_stores_pulls_and_acknowledges() {
    let (test, acme, _) = start().await;
    let intake = cell_user(&test, CellUser::Intake).await;
    let stored = intake.json("intake.acme.founder", "sealed").await;
    assert_eq!(stored["stream"], "INTENTS_acme", "{stored}");
    let create = "queue.api.CONSUMER.CREATE.INTENTS_acme.intake.intake.acme.>";
    let made = intake.json(create, &streams::intake_consumer(&acme).to_string()).await;
    assert_eq!(made["name"], "intake", "{made}");
    let next = "queue.api.CONSUMER.MSG.NEXT.INTENTS_acme.intake";
    let message = intake.pull(next, "_INBOX.intake.pull", 1).await.remove(0);
    assert_eq!(message.payload, "sealed");
    let acknowledged = message.reply.unwrap();
    intake.request(acknowledged.as_str(), "+ACK").await;
    let committer = cell_user(&test, CellUser::Committer).await;
    let info = committer.json("$JS.API.STREAM.INFO.INTENTS_acme", "").await;
    assert_eq!(info["state"]["messages"], 0, "{info}");
    let dead = intake.json("dead.acme.founder", "sealed").await;
    assert_eq!(dead["stream"], "DEAD_acme", "{dead}");
}

#[tokio::test]
async fn the_intake_opens_no_consumer_on_a_ledger() {
    let (test, ..) = start().await;
    let mut intake = cell_user(&test, CellUser::Intake).await;
    let config = r#"{"stream_name":"LEDGER_acme","config":{"durable_name":"intake","name":"intake",
        "ack_policy":"explicit","filter_subject":"FILTER"}}"#;
    let create = "queue.api.CONSUMER.CREATE.LEDGER_acme.intake";
    for (subject, filter) in
        [(create.to_owned(), "ledger.acme.>"), (format!("{create}.ledger.acme.>"), "ledger.acme.>")]
    {
        let body = config.replace("FILTER", filter);
        intake.client.publish(subject.clone(), body.into()).await.unwrap();
        assert!(intake.violation().await.contains(&subject));
    }
    let subject = format!("{create}.intake.acme.>");
    let refused = intake.json(&subject, &config.replace("FILTER", "ledger.acme.>")).await;
    assert!(refused.get("error").is_some(), "{refused}");
    // The server takes a filter that fits nothing in the stream; nothing comes of it either.
    let committer = cell_user(&test, CellUser::Committer).await;
    committer.request("ledger.acme.ticket.opened", "{}").await;
    let made = intake.json(&subject, &config.replace("FILTER", "intake.acme.>")).await;
    assert_eq!((&made["num_pending"], &made["name"]), (&0.into(), &"intake".into()), "{made}");
    let next = "queue.api.CONSUMER.MSG.NEXT.LEDGER_acme.intake";
    let answer = intake.pull(next, "_INBOX.intake.pull", 1).await.remove(0);
    assert_eq!(answer.status, Some(async_nats::StatusCode::NOT_FOUND));
}

/// The one place in a work queue is the intake's from the founding on.
#[tokio::test]
async fn nobody_takes_the_intakes_place() {
    let (test, ..) = start().await;
    let reader = cell_user(&test, CellUser::Reader).await;
    let config = r#"{"stream_name":"INTENTS_acme","config":{"durable_name":"r1","name":"r1",
        "ack_policy":"explicit","filter_subject":"ledger.acme.>"}}"#;
    let create = "audit.api.CONSUMER.CREATE.INTENTS_acme.r1.ledger.acme.>";
    let made = reader.json(create, config).await;
    assert!(made.get("error").is_some(), "{made}");
}

#[tokio::test]
async fn a_reader_cannot_direct_an_answer_into_a_ledger() {
    let (test, ..) = start().await;
    let committer = cell_user(&test, CellUser::Committer).await;
    assert_eq!(committer.json("ledger.acme.ticket.opened", "{}").await["seq"], 1);
    let reader = cell_user(&test, CellUser::Reader).await;
    let (api, target) = ("audit.api.STREAM", "ledger.acme.ticket.opened");
    for subject in [format!("{api}.INFO.LEDGER_acme"), format!("{api}.MSG.GET.LEDGER_acme")] {
        let body = r#"{"seq":1}"#.into();
        reader.client.publish_with_reply(subject, target, body).await.unwrap();
    }
    let consumer = r#"{"stream_name":"LEDGER_acme","config":{"name":"r1","ack_policy":"none",
        "filter_subject":"ledger.acme.>","deliver_policy":"all"}}"#;
    let create = "audit.api.CONSUMER.CREATE.LEDGER_acme.r1.ledger.acme.>";
    assert_eq!(reader.json(create, consumer).await["name"], "r1");
    let next = "audit.api.CONSUMER.MSG.NEXT.LEDGER_acme.r1";
    reader.client.publish_with_reply(next, target, r#"{"batch":1}"#.into()).await.unwrap();
    reader.settle().await;
    let info = committer.json("$JS.API.STREAM.INFO.LEDGER_acme", "").await;
    assert_eq!(info["state"]["last_seq"], 1, "{info}");
}

#[tokio::test]
async fn the_checkpointer_writes_its_stream_and_cannot_direct_the_answer_into_a_ledger() {
    let (test, ..) = start().await;
    let committer = cell_user(&test, CellUser::Committer).await;
    assert_eq!(committer.json("ledger.acme.ticket.opened", "{}").await["seq"], 1);
    let mut checkpointer = cell_user(&test, CellUser::Checkpointer).await;
    let stored = checkpointer.json("tlog.acme.checkpoint", "note").await;
    assert_eq!((&stored["stream"], &stored["seq"]), (&"TLOG_acme".into(), &1.into()), "{stored}");
    let frozen = checkpointer.json("$KV.frozen.acme", "{}").await;
    assert_eq!(frozen["stream"], "KV_frozen", "{frozen}");
    for subject in ["tlog.acme.checkpoint", "$KV.frozen.acme"] {
        let target = "ledger.acme.ticket.opened";
        checkpointer.client.publish_with_reply(subject, target, "x".into()).await.unwrap();
    }
    checkpointer.settle().await;
    let info = committer.json("$JS.API.STREAM.INFO.LEDGER_acme", "").await;
    assert_eq!(info["state"]["last_seq"], 1, "{info}");
    let mut refused = cell_user(&test, CellUser::Committer).await;
    refused.client.publish("tlog.acme.checkpoint", "forged".into()).await.unwrap();
    assert!(refused.violation().await.contains("tlog.acme.checkpoint"));
    checkpointer.client.publish("ledger.acme.x.y", "{}".into()).await.unwrap();
    assert!(checkpointer.violation().await.contains("ledger.acme.x.y"));
}

/// Evidence is stored, read and removed through imports, so that no reply of the server's goes
/// into a ledger, and nothing but object buckets is read.
#[tokio::test]
async fn the_evidence_user_reaches_object_buckets_alone() {
    let (test, ..) = start().await;
    let committer = cell_user(&test, CellUser::Committer).await;
    assert_eq!(committer.json("ledger.acme.ticket.opened", "{}").await["seq"], 1);
    let mut evidence = cell_user(&test, CellUser::Evidence).await;
    let chunk = "$O.evidence-acme.C.evd_1";
    let stored = evidence.json(chunk, "sealed").await;
    assert_eq!((&stored["stream"], &stored["seq"]), (&"OBJ_evidence-acme".into(), &1.into()));
    let target = "ledger.acme.ticket.opened";
    evidence.client.publish_with_reply(chunk, target, "sealed".into()).await.unwrap();
    let consumer = |stream: &str, filter: &str| {
        format!(
            r#"{{"stream_name":"{stream}","config":{{"name":"e1","filter_subject":"{filter}",
               "ack_policy":"none","deliver_policy":"all"}}}}"#
        )
    };
    let create = "audit.api.CONSUMER.CREATE";
    let body = consumer("OBJ_evidence-acme", chunk);
    let made = evidence.json(&format!("{create}.OBJ_evidence-acme.e1.{chunk}"), &body).await;
    assert_eq!(made["name"], "e1", "{made}");
    let next = "audit.api.CONSUMER.MSG.NEXT.OBJ_evidence-acme.e1";
    assert_eq!(evidence.pull(next, "_INBOX.evidence.pull", 2).await[1].payload, "sealed");
    evidence.client.publish_with_reply(next, target, r#"{"batch":1}"#.into()).await.unwrap();
    // A ledger's subject is no object's: such a consumer has nothing to deliver.
    let body = consumer("LEDGER_acme", "$O.x");
    let made = evidence.json(&format!("{create}.LEDGER_acme.e1.$O.x"), &body).await;
    assert_eq!(made["num_pending"], 0, "{made}");
    evidence.settle().await;
    let info = committer.json("$JS.API.STREAM.INFO.LEDGER_acme", "").await;
    assert_eq!(info["state"]["last_seq"], 1, "{info}");
    for subject in [
        "audit.api.STREAM.MSG.GET.LEDGER_acme",
        "audit.api.CONSUMER.CREATE.LEDGER_acme.e1.ledger.acme.>",
        "audit.api.CONSUMER.CREATE.KV_content-keys-acme.e1.$KV.content-keys-acme.>",
    ] {
        evidence.client.publish(subject, "{}".into()).await.unwrap();
        assert!(evidence.violation().await.contains(subject), "{subject}");
    }
}
