//! Canaries: whatever people write goes through every command, and is then looked for in every
//! file of the cell and in everything that was logged.

use std::io::Write;
use std::sync::{Arc, Mutex};

use canonry_nats::Micro;
use canonry_provision::CellUser;
use canonry_schemas::event::Command;
use canonry_schemas::time::Time;
use serde_json::{Value, json};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::acting::{REGO, TOOLS, archive, plan, publish};
use crate::canary::{BIRD, birds, forms};
use crate::harness::{Person, Spine, id, intent, of_intent, until};
use crate::tokens::{enrolment, removal};

/// All that is logged, at every level.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The content fields of every command, as the schemas say.
fn fields() -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (aggregate, verb, schema) in Command::schemas() {
        let schema = schema.to_value();
        for (name, field) in schema["properties"].as_object().unwrap() {
            if field["x-content"] == true {
                fields.push((format!("{aggregate}.{verb}"), name.clone()));
            }
        }
    }
    fields
}

#[derive(Default)]
struct Aviary {
    sent: Vec<(String, String)>,
}

impl Aviary {
    fn fill(&mut self, aggregate: &str, verb: &str, body: &mut Value) {
        let command = format!("{aggregate}.{verb}");
        for (of, name) in fields().into_iter().filter(|(of, _)| *of == command) {
            body[&name] = format!("{BIRD} {} \"é\u{7}{name} {of}", self.sent.len()).into();
            self.sent.push((of, name));
        }
    }

    /// Sends a command with a canary in each of its content fields.
    async fn send(&mut self, by: &Person, aggregate: &str, verb: &str, mut body: Value) -> String {
        self.fill(aggregate, verb, &mut body);
        let answer = by.send(aggregate, verb, body).await;
        assert!(answer.ok, "{aggregate}.{verb}: {answer:?}");
        id(&answer)
    }
}

async fn every_command(spine: &Spine, aviary: &mut Aviary) {
    let founder = spine.person("founder").await;
    let approver = spine.person("approver").await;
    let role = founder.hire().await;
    let of = json!({"id": role});
    aviary.send(&founder, "role", "pause", of.clone()).await;
    aviary.send(&founder, "role", "resume", of.clone()).await;

    let ticket = aviary.send(&founder, "ticket", "open", json!({"role": role})).await;
    let of = json!({"id": ticket});
    aviary.send(&founder, "ticket", "amend", of.clone()).await;
    for end in ["complete", "fail", "cancel"] {
        let run = aviary.send(&founder, "run", "start", json!({"ticket": ticket})).await;
        let step = json!({"id": run, "name": "look", "outcome": "done"});
        aviary.send(&founder, "run", "record-step", step).await;
        aviary.send(&founder, "run", end, json!({"id": run})).await;
    }
    let file = json!({"id": ticket, "object": "evd_00000000000000000000000001", "size": 1,
        "digest": "0".repeat(64), "media_type": "text/plain"});
    aviary.send(&founder, "evidence", "attach", file).await;
    let mut asked = of.clone();
    aviary.fill("ticket", "request-approval", &mut asked);
    let asked = founder.send("ticket", "request-approval", asked).await;
    let this = intent();
    let receipt = asked.receipt.as_deref().unwrap();
    let no = approver.approval(&format!("ticket/{ticket}"), false, receipt, &this);
    let mut no = json!({"id": ticket, "approval": no});
    aviary.fill("ticket", "reject", &mut no);
    let rejected = approver.send_as(&this, "ticket", "reject", &no).await;
    assert!(rejected.ok, "{rejected:?}");

    let done = aviary.send(&founder, "ticket", "open", json!({"role": role})).await;
    assert!(founder.send("ticket", "start", json!({"id": done})).await.ok);
    let complete = json!({"id": done, "evidence": "a receipt"});
    aviary.send(&founder, "ticket", "complete", complete).await;
    aviary.send(&founder, "ticket", "reopen", json!({"id": done})).await;
    aviary.send(&founder, "ticket", "cancel", json!({"id": done})).await;
    aviary.send(&founder, "role", "retire", json!({"id": role})).await;

    actions(aviary, &founder, &approver).await;
    custom_records(&founder, &ticket).await;
    let ines = enrolment(spine, "ines", json!({})).await;
    aviary.send(&founder, "member", "enrol", ines).await;
    let goes = removal(spine, "ines").await;
    aviary.send(&founder, "member", "remove", goes).await;
    for connection in [founder.connection, approver.connection] {
        connection.close().await;
    }
}

/// Arguments of actions, which are no field of any record, and what people say about them.
async fn actions(aviary: &mut Aviary, founder: &Person, approver: &Person) {
    let archive = archive(&plan(1, REGO, 3_600), &founder.signer);
    assert!(founder.send("policy", "publish", publish(1, &archive)).await.ok);
    let hire = json!({"title": "Clerk", "job": "Sort.", "boundaries": [], "tools": TOOLS,
        "budget": {"per_ticket_micros": 10, "per_day_micros": 10}, "escalation": ["founder"],
        "tier": "T1"});
    let role = id(&founder.send("role", "hire", hire).await);
    let ticket = id(&founder.send("ticket", "open", json!({"title": "t", "role": role})).await);
    let run = id(&founder.send("run", "start", json!({"ticket": ticket})).await);
    for tool in ["read", "other", "elsewhere", "write"] {
        let body = json!({"run": run, "tool": tool, "action": "read",
            "arguments": {"note": BIRD, BIRD: [{"deep": BIRD}]}, "worst": {}});
        let answer = founder.send("action", "propose", body).await;
        assert!(answer.receipt.is_some(), "{answer:?}");
        assert!(!serde_json::to_string(&answer).unwrap().contains(BIRD), "{answer:?}");
        if tool == "write" {
            let (this, action) = (intent(), id(&answer));
            let receipt = answer.receipt.as_deref().unwrap();
            let no = approver.approval(&format!("action/{action}"), false, receipt, &this);
            let mut no = json!({"id": action, "approval": no});
            aviary.fill("action", "reject", &mut no);
            let rejected = approver.send_as(&this, "action", "reject", &no).await;
            assert!(rejected.ok, "{rejected:?}");
        }
    }
    let large = json!({"run": run, "tool": "read", "action": "read", "worst": {},
        "arguments": {"note": format!("{BIRD}{}", "x".repeat(9_000))}});
    let answer = founder.send("action", "propose", large).await;
    assert_eq!(answer.code.as_deref(), Some("arguments-too-large"));
    let until = Time(canonry_decider::holder::now().0 + 600_000_000);
    aviary.send(approver, "member", "delegate", json!({"to": "operator", "until": until})).await;
    aviary.send(approver, "member", "end-delegation", json!({})).await;
}

/// Content that only a registered schema marks.
async fn custom_records(founder: &Person, ticket: &str) {
    let note = json!({"type": "string", "x-content": true});
    let kind = json!({"kind": "seen", "version": 1, "schema": {"type": "object",
        "additionalProperties": false, "properties": {"note": note, "notes":
            {"type": "array", "items": note}, "label": {"type": "string", "maxLength": 8}}}});
    assert!(founder.send("ext", "register", kind).await.ok);
    let data = json!({"note": BIRD, "notes": [format!("{BIRD} 1"), format!("x1:1-1:{BIRD}")]});
    let mut body = json!({"kind": "seen", "version": 1, "data": data});
    assert!(founder.send("ext", "append", body.clone()).await.ok);
    body["entity"] = json!(format!("ticket/{ticket}"));
    assert!(founder.send("ext", "append", body.clone()).await.ok);
    for (field, value) in [("label", json!(BIRD)), (BIRD, json!(1)), ("note", json!([BIRD]))] {
        let mut bad = body.clone();
        bad["data"][field] = value;
        let answer = founder.send("ext", "append", bad).await;
        assert_eq!(answer.code.as_deref(), Some("ext-data-invalid"));
        assert!(!serde_json::to_string(&answer).unwrap().contains(BIRD), "{answer:?}");
    }
}

/// What is refused, and what should have been no content: it is not kept either.
async fn every_refusal(spine: &Spine) {
    let founder = spine.person("founder").await;
    let open = founder.subject("ticket", "open");
    let long = format!(r#"{{"title":"{BIRD}{}"}}"#, "x".repeat(600));
    let big = format!(r#"{{"title":"{BIRD}{}"}}"#, "x".repeat(70_000));
    let body = format!(r#"{{"title":"{BIRD}"}}"#);
    for (subject, headers, body) in [
        (open.clone(), vec![], long),
        (open.clone(), vec![], big.clone()),
        (open.clone(), vec![], format!(r#"{{"title":"{BIRD}""#)),
        (open.clone(), vec![], format!(r#"{{"title":"a","{BIRD}":"{BIRD}"}}"#)),
        (open.clone(), vec![], format!(r#"{{"title":"a","role":"{BIRD}"}}"#)),
        (open.clone(), vec![("Canonry-Intent-Id", BIRD)], body.clone()),
        (open.clone(), vec![("Canonry-Request-Token", BIRD)], body.clone()),
        (open.clone(), vec![("Canonry-On-Behalf-Of", BIRD)], body.clone()),
        (founder.subject(BIRD, "open"), vec![], body.clone()),
        (founder.subject("ticket", BIRD), vec![], body.clone()),
        (founder.subject("ticket", "amend"), vec![], format!(r#"{{"id":"{BIRD}"}}"#)),
        ("intent.acme.founder.ticket.open".to_owned(), vec![], big),
        ("intent.acme.founder.ticket.open".to_owned(), vec![("Canonry-Intent-Id", BIRD)], body),
    ] {
        let answer = founder.raw(&subject, &headers, body).await.unwrap();
        assert!(!answer.ok, "{subject} {headers:?}");
        assert!(!serde_json::to_string(&answer).unwrap().contains(BIRD), "{answer:?}");
    }
    // What nobody reads may be anything.
    let headers = [("traceparent", BIRD), ("Canonry-Whatever", BIRD), ("Nats-Msg-Id", BIRD)];
    let answer = founder.raw(&open, &headers, r#"{"title":"a"}"#).await.unwrap();
    assert!(answer.ok, "{answer:?}");
    founder.connection.close().await;
}

/// One thread, so that everything that is logged comes to this subscriber.
#[tokio::test]
async fn content_stands_nowhere_in_clear() {
    let logged = Logged::default();
    let writer = logged.clone();
    // As `canonry` logs when everything is asked for.
    let layer =
        tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    let layer = layer.with_filter(filter_fn(canonry_telemetry::discreet));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    // With one subscriber alone, what other threads said first would be silenced for this one.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let mut spine = Spine::start().await;
    spine.served().await;
    let mut aviary = Aviary::default();
    every_command(&spine, &mut aviary).await;
    every_refusal(&spine).await;
    let mut sent = aviary.sent.clone();
    sent.sort();
    sent.dedup();
    let mut wanted = fields();
    wanted.sort();
    assert_eq!(sent, wanted, "every content field of every command");
    spine.stop().await;

    // Durable intents that wait: only the intake runs.
    let (responder, intake, committer) = (
        spine.cell_user(&CellUser::Responder).await,
        spine.cell_user(&CellUser::Intake).await,
        spine.cell_user(&CellUser::Committer).await,
    );
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let micro = Micro::start(responder, "decider", "0.0.1", "intake alone").await.unwrap();
    let keys = spine.test.cell.key_store().clone();
    let serve = canonry_decider::intake::serve(
        micro,
        intake,
        committer,
        keys,
        canonry_telemetry::Metrics::new(),
        stopped,
    );
    let serve = tokio::spawn(serve);
    let founder = spine.person("founder").await;
    let (waits, mut body) = (intent(), json!({}));
    aviary.fill("ticket", "open", &mut body);
    let headers = [("Canonry-Intent-Id", waits.as_str()), ("Canonry-Whatever", BIRD)];
    let subject = "intent.acme.founder.ticket.open";
    until("the intent is stored", || async {
        founder.raw(subject, &headers, body.to_string()).await.is_some_and(|a| a.ok)
    })
    .await;
    stop.send_replace(true);
    serve.await.unwrap();

    let scratch = spine.test.dir().join("search");
    std::fs::create_dir(&scratch).unwrap();
    let needles = scratch.join("needles");
    std::fs::write(&needles, forms(BIRD).join("\n")).unwrap();
    // The search finds what it should find.
    let control = scratch.join("control");
    std::fs::create_dir(&control).unwrap();
    for (n, form) in forms(BIRD).iter().enumerate() {
        std::fs::write(control.join(n.to_string()), [b"\0\xff{", form.as_bytes()].concat())
            .unwrap();
    }
    assert!(birds(&needles, &control).lines().count() >= forms(BIRD).len());
    let home = spine.test.dir().join("home");
    assert!(spine.test.server().store_dir().starts_with(&home), "the store is searched");
    assert_eq!(birds(&needles, &home), "", "in the files of the cell, an intent waiting");

    spine.decider = Some(spine.decider("decider-b").await);
    until("the intent is decided", || async {
        of_intent(&spine.ledger().await, &waits).len() == 1
    })
    .await;
    spine.stop().await;
    assert_eq!(birds(&needles, &home), "", "in the files of the cell");
    let text = logged.0.lock().unwrap().clone();
    let said = String::from_utf8_lossy(&text);
    for heard in ["serving", "gave up", "connected"] {
        assert!(said.contains(heard), "{heard}: {said:.2000}");
    }
    let told: Vec<&str> =
        said.lines().filter(|l| l.contains(BIRD)).map(|l| &l[..l.len().min(300)]).collect();
    assert!(told.is_empty(), "{told:#?}");
    let logs = scratch.join("logs");
    std::fs::create_dir(&logs).unwrap();
    std::fs::write(logs.join("trace"), &text).unwrap();
    assert_eq!(birds(&needles, &logs), "", "in what was logged");
}
