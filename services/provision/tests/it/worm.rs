//! Each call that destroys or forges, tried as each user of a cell on a live server: refused, and
//! every stream is afterwards what it was. Printed as a table (`--nocapture`).

use std::fmt::Write as _;

use canonry_provision::{CellUser, TenantUser, streams};
use canonry_schemas::ids::TenantId;
use serde_json::{Value, json};

use crate::leases;
use crate::support::{User, actor, auditor, cell_user, person, start, tenant};
use canonry_provision::testing::TestCell;

const LEDGER: &str = "ledger.acme.ticket.opened";
/// What must stay as it is.
const STREAMS: [&str; 6] =
    ["LEDGER_acme", "AUDIT_acme", "INTENTS_acme", "DEAD_acme", "KV_assign", "KV_content-keys-acme"];

/// One thing to try.
struct Call {
    what: String,
    subject: String,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

fn call(what: &str, subject: &str, body: impl Into<String>) -> Call {
    Call {
        what: what.to_owned(),
        subject: subject.to_owned(),
        headers: Vec::new(),
        body: body.into(),
    }
}

/// Updates that the server itself would take.
fn updates() -> Vec<(&'static str, Value)> {
    vec![
        ("max_msgs", json!(1)),
        ("max_msgs_per_subject", json!(1)),
        ("max_age", json!(1_000_000_000)),
        ("max_bytes", json!(1)),
        ("allow_msg_ttl", json!(true)),
        ("retention", json!("interest")),
        ("subjects", json!(["elsewhere.acme.>"])),
        ("sealed", json!(true)),
        ("deny_delete", json!(false)),
    ]
}

fn updated(of: &TenantId, field: &str, value: Value) -> String {
    let mut config = streams::ledger(of, 1);
    config[field] = value;
    config.to_string()
}

fn stream_calls() -> Vec<Call> {
    let acme = tenant("acme");
    let mut calls: Vec<Call> = updates()
        .into_iter()
        .map(|(field, value)| {
            let body = updated(&acme, field, value);
            call(&format!("update {field}"), "$JS.API.STREAM.UPDATE.LEDGER_acme", body)
        })
        .collect();
    let mirror = json!({"name": "COPY", "mirror": {"name": "LEDGER_acme"}}).to_string();
    let thief = json!({"name": "THIEF", "subjects": ["ledger.third.>"]}).to_string();
    for (what, api, body) in [
        ("create a copy", "STREAM.CREATE.COPY", mirror.as_str()),
        ("create over ledgers", "STREAM.CREATE.THIEF", thief.as_str()),
        ("delete a stream", "STREAM.DELETE.LEDGER_acme", ""),
        ("delete a bucket", "STREAM.DELETE.KV_content-keys-acme", ""),
        ("purge", "STREAM.PURGE.LEDGER_acme", ""),
        ("purge a bucket", "STREAM.PURGE.KV_assign", ""),
        ("delete a message", "STREAM.MSG.DELETE.LEDGER_acme", r#"{"seq":1}"#),
        ("restore", "STREAM.RESTORE.LEDGER_acme", "{}"),
        ("snapshot", "STREAM.SNAPSHOT.LEDGER_acme", r#"{"deliver_subject":"_INBOX.x"}"#),
        ("remove a peer", "STREAM.PEER.REMOVE.LEDGER_acme", r#"{"peer":"canonry-1"}"#),
        ("step down", "STREAM.LEADER.STEPDOWN.LEDGER_acme", ""),
        ("delete the queue", "CONSUMER.DELETE.INTENTS_acme.intake", ""),
        ("pause the queue", "CONSUMER.PAUSE.INTENTS_acme.intake", "{}"),
        ("unpin the queue", "CONSUMER.UNPIN.INTENTS_acme.intake", "{}"),
        ("consumer steps down", "CONSUMER.LEADER.STEPDOWN.INTENTS_acme.intake", ""),
        ("old consumer API", "CONSUMER.DURABLE.CREATE.INTENTS_acme.intake", "{}"),
        ("purge an account", "ACCOUNT.PURGE.CANONRY", ""),
        ("move a stream", "ACCOUNT.STREAM.MOVE.CANONRY.LEDGER_acme", "{}"),
        ("meta steps down", "META.LEADER.STEPDOWN", ""),
        ("remove a server", "SERVER.REMOVE", r#"{"peer":"canonry-1"}"#),
        ("take up intents", "CONSUMER.MSG.NEXT.INTENTS_acme.intake", r#"{"batch":1}"#),
    ] {
        calls.push(call(what, &format!("$JS.API.{api}"), body));
    }
    calls
}

fn other_calls() -> Vec<Call> {
    let plain = |what: &str, subject: &str| call(what, subject, "{}");
    let with = |what: &str, subject: &str, name: &'static str, value: &'static str| {
        let headers = vec![(name, value)];
        Call { headers, ..plain(what, subject) }
    };
    vec![
        plain("$SYS claims update", "$SYS.REQ.CLAIMS.UPDATE"),
        plain("$SYS claims delete", "$SYS.REQ.CLAIMS.DELETE"),
        plain("$SYS claims pack", "$SYS.REQ.CLAIMS.PACK"),
        plain("$SYS reload", "$SYS.REQ.SERVER.X.RELOAD"),
        plain("$SYS kick", "$SYS.REQ.SERVER.X.KICK"),
        plain("$SYS ping", "$SYS.REQ.SERVER.PING"),
        plain("write a ledger", LEDGER),
        plain("write a volume's ledger", "ledger.acme.x.y.z"),
        with("roll up all", LEDGER, "Nats-Rollup", "all"),
        with("roll up a subject", LEDGER, "Nats-Rollup", "sub"),
        with("a TTL", LEDGER, "Nats-TTL", "1s"),
        with("expected message id", LEDGER, "Nats-Expected-Last-Msg-Id", "x"),
        with("a schedule", LEDGER, "Nats-Schedule", "@every 1s"),
        with("a counter", LEDGER, "Nats-Incr", "1"),
        plain("write a bucket", "$KV.assign.acme"),
        with("purge a key", "$KV.content-keys-acme.g1", "KV-Operation", "PURGE"),
        plain("store an intent", "intake.acme.x"),
        plain("store a dead letter", "dead.acme.x"),
        plain("acknowledge an intent", "$JS.ACK.INTENTS_acme.intake.1.1.1.1.0"),
        plain("forge news", "live.acme.ticket.opened"),
        plain("forge an outcome", "outcome.acme.founder.01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        plain("ask as another", "command.acme.somebody.ticket.open"),
        plain("answer for the issuer", "_R_.x.y"),
        plain("a lease of another", "lease.acme.somebody.credentials"),
        plain("audit: delete", "audit.api.STREAM.DELETE.AUDIT_acme"),
        plain("audit: purge", "audit.api.STREAM.PURGE.AUDIT_acme"),
        plain("audit: take up intents", "audit.api.CONSUMER.MSG.NEXT.INTENTS_acme.intake"),
        plain("audit: another tenant", "audit.api.STREAM.MSG.GET.AUDIT_other"),
        plain("queue: open a ledger", "queue.api.CONSUMER.CREATE.LEDGER_acme.intake"),
        plain("queue: read a ledger", "queue.api.CONSUMER.MSG.NEXT.LEDGER_acme.other"),
        plain("queue: delete", "queue.api.CONSUMER.DELETE.INTENTS_acme.intake"),
    ]
}

/// What is a user's own job, and so not tried here.
fn own(user: &str, call: &Call) -> bool {
    let begins = |what: &str| call.subject.starts_with(what);
    match user {
        "committer" => (begins("ledger.") && call.headers.is_empty()) || begins("$KV."),
        "responder" => begins("outcome.") || begins("_R_."),
        "svc_lease" => begins("_R_."),
        "intake" => begins("intake.") || begins("dead.") || begins("$JS.ACK.INTENTS_acme.intake."),
        // The cell's reader serves every tenant.
        "reader" => call.subject.ends_with("MSG.GET.AUDIT_other"),
        "warden" => call.subject == "$SYS.REQ.SERVER.X.KICK",
        "provision-sys" => call.subject == "$SYS.REQ.CLAIMS.UPDATE",
        "provision-streams" => begins("$JS.API.STREAM.CREATE") || begins("$JS.API.STREAM.UPDATE"),
        _ => false,
    }
}

async fn everybody(test: &TestCell, acme: &TenantId) -> Vec<(String, User)> {
    let mut users = Vec::new();
    for user in [
        CellUser::Committer,
        CellUser::Responder,
        CellUser::Intake,
        CellUser::Reader,
        CellUser::Service(actor("svc_api")),
        CellUser::Service(actor("svc_runner")),
        CellUser::Service(actor("svc_timer")),
        CellUser::LeaseIssuer,
        CellUser::Warden,
        CellUser::CellOperator,
        CellUser::ProvisionSys,
        CellUser::ProvisionStreams,
    ] {
        users.push((user.name().to_owned(), cell_user(test, user).await));
    }
    users.push(("member".to_owned(), person(test, acme, "founder", TenantUser::Member).await));
    users.push(("worker".to_owned(), person(test, acme, "clerk", TenantUser::Worker).await));
    users.push(("auditor".to_owned(), auditor(test, acme, "auditor").await));
    users.push(("lease".to_owned(), leases::most_trusted(test, acme).await));
    users
}

/// Something in every stream.
async fn fill(test: &TestCell) -> User {
    let committer = cell_user(test, CellUser::Committer).await;
    for body in ["one", "two", "three"] {
        committer.request(LEDGER, body).await;
    }
    for key in ["$KV.assign.acme", "$KV.content-keys-acme.g1"] {
        committer.request(key, "value").await;
    }
    let intake = cell_user(test, CellUser::Intake).await;
    intake.request("intake.acme.intent", "sealed").await;
    intake.request("dead.acme.intent", "sealed").await;
    loop {
        let info = committer.json("$JS.API.STREAM.INFO.AUDIT_acme", "").await;
        if info["state"]["messages"] == 3 {
            return committer;
        }
        tokio::task::yield_now().await;
    }
}

/// Configuration, state and first message of a stream.
async fn state(by: &User, stream: &str) -> Value {
    let mut info = by.json(&format!("$JS.API.STREAM.INFO.{stream}"), "").await;
    let first = by.json(&format!("$JS.API.STREAM.MSG.GET.{stream}"), r#"{"seq":1}"#).await;
    info["state"]["consumer_count"] = Value::Null;
    json!([info["config"], info["state"], info["created"], first["message"]])
}

async fn states(by: &User) -> Vec<Value> {
    let mut all = Vec::new();
    for stream in STREAMS {
        all.push(state(by, stream).await);
    }
    let info = by.json("$JS.API.CONSUMER.INFO.INTENTS_acme.intake", "").await;
    all.push(json!([info["config"], info["delivered"], info["ack_floor"]]));
    all
}

/// How one call ended.
async fn ended(name: &str, user: &mut User, call: &Call) -> &'static str {
    if own(name, call) {
        return "own";
    }
    let mut headers = async_nats::HeaderMap::new();
    call.headers.iter().for_each(|(name, value)| headers.insert(*name, *value));
    let body = call.body.clone().into();
    if name == "committer" && call.subject.starts_with("ledger.") {
        let answer = user.client.request_with_headers(call.subject.clone(), headers, body).await;
        let answer: Value = serde_json::from_slice(&answer.unwrap().payload).unwrap();
        assert!(answer.get("error").is_some(), "{name}: {}: {answer}", call.what);
        return "STREAM";
    }
    let reply = "_INBOX.nobody".to_owned();
    let sent =
        user.client.publish_with_reply_and_headers(call.subject.clone(), reply, headers, body);
    sent.await.unwrap();
    let violation = user.violation().await;
    assert!(violation.contains(&call.subject), "{name}: {}: {violation}", call.what);
    "-"
}

#[tokio::test]
async fn nobody_destroys_and_nobody_forges() {
    let (test, acme, _) = start().await;
    let committer = fill(&test).await;
    let before = states(&committer).await;
    let mut users = everybody(&test, &acme).await;
    let calls: Vec<Call> = stream_calls().into_iter().chain(other_calls()).collect();
    let mut table = format!("{:25}", "- refused, STREAM by it");
    users.iter().for_each(|(name, _)| write!(table, " {name:17}").unwrap());
    for call in &calls {
        write!(table, "\n{:25}", call.what).unwrap();
        for (name, user) in &mut users {
            write!(table, " {:17}", ended(name, user, call).await).unwrap();
        }
    }
    eprintln!("{table}");
    for (name, user) in &users {
        user.settle().await;
        assert_eq!(states(&committer).await, before, "after {name}");
    }
    let refused = table.matches(" - ").count();
    assert!(refused > users.len() * calls.len() * 9 / 10, "{refused}\n{table}");
}

/// The refusals above are the permissions' doing: the server itself takes such an update, from the
/// one user who may send it, and that user is kept offline.
#[tokio::test]
async fn the_offline_user_alone_can_undo_worm() {
    let (test, ..) = start().await;
    let committer = cell_user(&test, CellUser::Committer).await;
    for body in ["one", "two", "three"] {
        committer.request("ledger.other.ticket.opened", body).await;
    }
    assert!(CellUser::ProvisionStreams.is_offline() && CellUser::ProvisionSys.is_offline());
    let offline = cell_user(&test, CellUser::ProvisionStreams).await;
    let body = updated(&tenant("other"), "max_age", json!(200_000_000));
    let answer = offline.json("$JS.API.STREAM.UPDATE.LEDGER_other", &body).await;
    assert!(answer.get("error").is_none(), "{answer}");
    // What was acknowledged is gone; the test would wait for ever if it were not.
    while committer.json("$JS.API.STREAM.INFO.LEDGER_other", "").await["state"]["messages"] != 0 {
        tokio::task::yield_now().await;
    }
}

/// What each user may ask for at all, with a body that has it answered.
fn asked(name: &str) -> Vec<(&'static str, String)> {
    let queue = streams::intake_consumer(&tenant("acme")).to_string();
    const CONSUMER: &str = r#"{"stream_name":"LEDGER_acme","config":{"name":"r1",
        "ack_policy":"none","filter_subject":"ledger.acme.>","deliver_policy":"all"}}"#;
    const AUDIT: &str = r#"{"stream_name":"AUDIT_acme","config":{"name":"a1","ack_policy":"none",
        "deliver_policy":"all"}}"#;
    match name {
        "responder" => vec![("outcome.acme.founder.1", "x".to_owned()), ("_R_.x", "x".to_owned())],
        "intake" => vec![
            ("queue.api.CONSUMER.CREATE.INTENTS_acme.intake.intake.acme.>", queue),
            ("queue.api.CONSUMER.MSG.NEXT.INTENTS_acme.intake", r#"{"batch":1}"#.to_owned()),
            ("queue.api.CONSUMER.MSG.NEXT.INTENTS_none.intake", r#"{"batch":1}"#.to_owned()),
            ("intake.acme.intent", "sealed".to_owned()),
            ("dead.acme.intent", "sealed".to_owned()),
            ("$JS.ACK.INTENTS_acme.intake.1.1.1.1.0", "+NXT".to_owned()),
        ],
        "reader" => vec![
            ("audit.api.STREAM.INFO.LEDGER_acme", "".to_owned()),
            ("audit.api.STREAM.MSG.GET.LEDGER_acme", r#"{"seq":1}"#.to_owned()),
            ("audit.api.CONSUMER.CREATE.LEDGER_acme.r1.ledger.acme.>", CONSUMER.to_owned()),
            ("audit.api.CONSUMER.MSG.NEXT.LEDGER_acme.r1", r#"{"batch":2}"#.to_owned()),
        ],
        "svc_api" => vec![
            ("command.acme.svc_api.x", "".to_owned()),
            ("intent.acme.svc_api.x", "".to_owned()),
        ],
        "cell-operator" => vec![("$SRV.PING", "".to_owned())],
        "member" => vec![
            ("command.acme.founder.x", "".to_owned()),
            ("intent.acme.founder.x", "".to_owned()),
        ],
        "worker" => {
            vec![("command.acme.clerk.x", "".to_owned()), ("intent.acme.clerk.x", "".to_owned())]
        }
        "auditor" => vec![
            ("audit.api.STREAM.INFO.AUDIT_acme", "".to_owned()),
            ("audit.api.STREAM.MSG.GET.AUDIT_acme", r#"{"seq":1}"#.to_owned()),
            ("audit.api.CONSUMER.CREATE.AUDIT_acme.a1", AUDIT.to_owned()),
            ("audit.api.CONSUMER.MSG.NEXT.AUDIT_acme.a1", r#"{"batch":2}"#.to_owned()),
        ],
        _ => Vec::new(),
    }
}

/// A requester chooses where the answer goes. Nobody's answers come into a ledger, a bucket or the
/// API, whoever gives them.
#[tokio::test]
async fn no_answer_is_stored() {
    const INTO: [&str; 4] =
        [LEDGER, "$KV.assign.acme", "$KV.content-keys-acme.g1", "$JS.API.STREAM.DELETE.DEAD_acme"];
    // The intake itself may store intents and dead letters.
    const KEPT: [&str; 4] = ["LEDGER_acme", "AUDIT_acme", "KV_assign", "KV_content-keys-acme"];
    let (test, acme, _) = start().await;
    let committer = fill(&test).await;
    let responder = cell_user(&test, CellUser::Responder).await;
    for subject in ["command.acme.>", "intent.acme.>", "$SRV.PING"] {
        responder.serve(subject, "poison").await;
    }
    let mut before = Vec::new();
    for stream in KEPT {
        before.push(state(&committer, stream).await);
    }
    for (name, user) in everybody(&test, &acme).await {
        for (subject, body) in asked(&name) {
            for into in INTO {
                let sent = user.client.publish_with_reply(subject, into, body.clone().into());
                sent.await.unwrap();
            }
        }
        user.settle().await;
        // Answered in the order of the requests: what they left behind is there now.
        responder.settle().await;
        for (stream, before) in KEPT.iter().zip(&before) {
            assert_eq!(&state(&committer, stream).await, before, "{stream} after {name}");
        }
        let dead = committer.json("$JS.API.STREAM.INFO.DEAD_acme", "").await;
        assert!(dead.get("error").is_none(), "after {name}: {dead}");
    }
    // That it could be seen: inside CANONRY, where the offline user alone is left beside the
    // committer, the answer is stored.
    let offline = cell_user(&test, CellUser::ProvisionStreams).await;
    let info = "$JS.API.STREAM.INFO.LEDGER_acme";
    offline.client.publish_with_reply(info, LEDGER, "".into()).await.unwrap();
    offline.settle().await;
    while state(&committer, KEPT[0]).await == before[0] {
        tokio::task::yield_now().await;
    }
}
