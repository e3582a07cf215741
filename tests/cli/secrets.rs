//! Metadata only: a name, an e-mail address and a secret go into every field of every command, over
//! every way in. Then they are looked for in everything that the program wrote, told or sent.

use std::fs;
use std::path::Path;

use canonry_schemas::event::Command;
use serde_json::{Value, json};

use crate::canary::{BIRD, birds, forms};
use crate::collector::Collector;
use crate::http::{ask, get};
use crate::program::{Ran, Up};
use crate::sample;

/// A person's name, an address, a secret.
const BIRDS: [&str; 3] = [BIRD, "canary.7q2xv9kqzj@mail.example", "sk-7Q2XV9KQZJ-canary-secret"];

/// Texts that an organisation writes as configuration or as a label. They are in clear by design;
/// a field that is not here and takes free text must be content.
const IN_CLEAR: [&str; 24] = [
    "action.propose /action",
    "action.propose /tool",
    "action.propose /worst/model",
    "action.settle /error",
    "budget.price /models/0/model",
    "ext.register /schema",
    "role.amend /boundaries/0",
    "role.amend /job",
    "role.amend /title",
    "role.amend /tools/0",
    "role.fingerprint /model",
    "role.hire /boundaries/0",
    "role.hire /job",
    "role.hire /title",
    "role.hire /tools/0",
    "run.record-step /name",
    "ticket.complete /evidence",
    "ticket.open /external",
    // The data of custom records, whose schemas say what is content: `custom_records` fills them.
    "ext.append /data",
    // Tokens: they bind and hold no content, and whatever else stands there is refused.
    "action.approve /approval",
    "action.reject /approval",
    "action.step-up /assertion",
    "ticket.approve /approval",
    "ticket.reject /approval",
];

/// What was planted, in one text.
fn text() -> String {
    format!("Ask {} <{}>, key {}", BIRDS[0], BIRDS[1], BIRDS[2])
}

/// What the program said, kept to be searched.
#[derive(Default)]
struct Heard(Vec<String>);

impl Heard {
    fn run(&mut self, up: &Up, words: &[&str]) -> Ran {
        let done = up.run(words);
        self.0.push(format!("{}\n{}", done.out, done.err));
        done
    }

    fn send(&mut self, up: &Up, aggregate: &str, verb: &str, body: &Value) -> Ran {
        self.run(up, &["--json", "submit", aggregate, verb, &body.to_string()])
    }

    /// Sends what must be accepted; the id of its entity.
    fn accepted(&mut self, up: &Up, aggregate: &str, verb: &str, body: &Value) -> String {
        let done = self.send(up, aggregate, verb, body);
        assert_eq!(done.code, 0, "{aggregate}.{verb}: {done:?}");
        let answer: Value = serde_json::from_str(&done.out).unwrap();
        answer["entity"].as_str().unwrap().split_once('/').unwrap().1.to_owned()
    }
}

/// The pointers of all texts in a value.
fn texts(value: &Value, pointer: &str, all: &mut Vec<String>) {
    match value {
        Value::String(_) => all.push(pointer.to_owned()),
        Value::Array(items) => {
            let each = items.iter().enumerate();
            each.for_each(|(n, item)| texts(item, &format!("{pointer}/{n}"), all));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| texts(field, &format!("{pointer}/{name}"), all));
        }
        _ => {}
    }
}

/// Plants in one field after the other, in bodies that are right but for that. Whether a field
/// takes free text is asked of the program: it must be content then, or one of [`IN_CLEAR`].
fn every_field(up: &Up, heard: &mut Heard) {
    let mut free = Vec::new();
    for (aggregate, verb, schema) in Command::schemas() {
        let schema = schema.to_value();
        let (whole, content) = (sample::whole(&schema), sample::content(&schema));
        let mut pointers = Vec::new();
        texts(&whole, "", &mut pointers);
        assert!(pointers.len() >= content.len(), "{aggregate}.{verb}: {whole}");
        for pointer in pointers {
            let name = format!("{aggregate}.{verb} {pointer}");
            let known = IN_CLEAR.contains(&name.as_str());
            let mut body = whole.clone();
            let planted = if known { "Harmless".to_owned() } else { text() };
            *body.pointer_mut(&pointer).unwrap() = planted.into();
            let done = heard.send(up, aggregate, verb, &body);
            let answer: Value = serde_json::from_str(&done.out).unwrap();
            let read = answer["code"] != "schema-violation";
            if read && !content.contains(&pointer) {
                free.push(name);
            }
        }
        // A field that nobody knows, and a body that is no JSON.
        let mut body = whole.clone();
        body[BIRD] = text().into();
        heard.send(up, aggregate, verb, &body);
        heard.run(up, &["--json", "submit", aggregate, verb, &format!("{{\"{BIRD}\":{}", text())]);
    }
    let unknown: Vec<_> = free.iter().filter(|name| !IN_CLEAR.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "free text that is neither content nor meant: {unknown:#?}");
}

/// Content that is accepted and stored, in every command that has some; the ticket.
fn every_content(up: &Up, heard: &mut Heard) -> String {
    let text = text();
    let role = json!({"title": "Triage", "job": "Route.", "boundaries": ["No payments."],
        "budget": {"per_ticket_micros": 1000, "per_day_micros": 100_000}, "tools": ["assign"],
        "escalation": ["operator"], "tier": "T1"});
    let role = heard.accepted(up, "role", "hire", &role);
    heard.accepted(up, "role", "pause", &json!({"id": role, "reason": text}));
    heard.accepted(up, "role", "resume", &json!({"id": role, "reason": text}));
    let open = json!({"title": text, "note": text, "role": role});
    let ticket = heard.accepted(up, "ticket", "open", &open);
    let run = heard.accepted(up, "run", "start", &json!({"ticket": ticket}));
    let step = json!({"id": run, "name": "look", "outcome": "done", "summary": text});
    heard.accepted(up, "run", "record-step", &step);
    heard.accepted(up, "run", "complete", &json!({"id": run, "reason": text}));
    heard.accepted(up, "ticket", "amend", &json!({"id": ticket, "title": text, "note": text}));
    let ask = json!({"id": ticket, "reason": text});
    heard.accepted(up, "ticket", "request-approval", &ask);
    assert_eq!(heard.run(up, &["reject", &ticket, "--reason", &text]).code, 0);
    heard.accepted(up, "ticket", "request-approval", &ask);
    assert_eq!(heard.run(up, &["approve", &ticket]).code, 0);
    let durable = json!({"title": text}).to_string();
    let words = ["--json", "submit", "ticket", "open", &durable, "--durable", "--wait"];
    assert_eq!(heard.run(up, &words).code, 0);
    ticket
}

/// Custom records, files, and what changes keys and members.
fn the_rest(up: &Up, heard: &mut Heard, ticket: &str) {
    let input = up.folder.path().join("input");
    fs::create_dir(&input).unwrap();
    let note = json!({"type": "string", "x-content": true});
    let schema = json!({"type": "object", "additionalProperties": false, "properties": {
        "note": note, "label": {"type": "string", "maxLength": 8}}});
    let file = |name: &str| input.join(name).to_str().unwrap().to_owned();
    fs::write(file("schema.json"), schema.to_string()).unwrap();
    let register = ["events", "register", "seen", "1", &file("schema.json")];
    assert_eq!(heard.run(up, &register).code, 0);
    let data = json!({"note": text()}).to_string();
    let about = format!("ticket/{ticket}");
    let append = ["events", "append", "seen", "1", &data, "--about", &about];
    assert_eq!(heard.run(up, &append).code, 0);
    for wrong in [json!({"label": text()}), json!({BIRD: text()}), json!({"note": [text()]})] {
        let refused = heard.run(up, &["events", "append", "seen", "1", &wrong.to_string()]);
        assert_eq!(refused.code, 1, "{refused:?}");
    }
    let name = format!("{BIRD}.txt");
    fs::write(file(&name), text().repeat(40_000)).unwrap();
    let added = heard.run(up, &["evidence", "add", ticket, &file(&name)]);
    assert_eq!(added.code, 0, "{added:?}");
    for words in [
        &["member", "enrol", "carol", "--part", "operator"][..],
        &["member", "rotate", "carol"],
        &["tenant", "rotate-key", "--use", "record"],
        &["member", "remove", "carol"],
    ] {
        let done = heard.run(up, words);
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
    }
}

/// The API, asked wrongly in every place where a client writes something.
fn over_http(up: &Up, heard: &mut Heard) {
    let bearer = format!("Bearer {}", up.run(&["token"]).out.trim());
    let own = ("authorization", bearer.as_str());
    let planted = format!("Bearer {BIRD}");
    let (json, bird) = (json!({"title": text(), BIRD: text()}).to_string(), BIRDS[0]);
    let tickets = "POST /api/v1/tickets".to_owned();
    let mut answers = vec![
        ask(up.api(), &tickets, &[own], &json),
        ask(up.api(), &tickets, &[own], &format!("{{{json}")),
        ask(up.api(), &tickets, &[("authorization", &planted)], &json),
        ask(up.api(), &tickets, &[own, ("Canonry-Intent-Id", bird)], &json),
        ask(up.api(), &tickets, &[own, ("Canonry-Request-Token", bird)], &json),
        ask(up.api(), &tickets, &[own, ("content-type", bird)], &json),
    ];
    for path in [
        format!("/api/v1/tickets/{bird}"),
        format!("/api/v1/tickets?status={bird}"),
        format!("/api/v1/tickets?cursor={bird}"),
        format!("/api/v1/tickets?sort={bird}&{bird}={bird}"),
        format!("/api/v1/events/{bird}/evidence"),
        format!("/api/v1/events?actor={}", BIRDS[1]),
        format!("/api/v1/tlog/tile/{bird}"),
        format!("/api/v1/tickets?limit={bird}&as_of={bird}"),
        format!("/api/v1/evidence/{bird}?tenant={bird}&{bird}=1"),
        format!("/api/v1/diff?from={bird}&to=1"),
        format!("/api/v1/{bird}"),
        format!("/{bird}"),
    ] {
        answers.push(ask(up.api(), &format!("GET {path}"), &[own], ""));
    }
    let accepted = ask(up.api(), &tickets, &[own], &json!({"title": text()}).to_string());
    assert_eq!(accepted.0, 201, "{accepted:?}");
    answers.push(accepted);
    assert!(answers.iter().filter(|answer| answer.0 >= 400).count() >= 12, "{answers:#?}");
    heard.0.extend(answers.into_iter().map(|(_, body)| body));
}

/// Everything that can be carried away.
fn carried_away(up: &Up, heard: &mut Heard, ticket: &str) {
    let out = up.folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let file = |name: &str| out.join(name).to_str().unwrap().to_owned();
    let place = format!("file://{}", out.join("place").display());
    for words in [
        &["evidence", "export", "--ticket", ticket, "--whole", "--out", &file("bundle.tar")][..],
        &["ledger", "export", "--out", &file("export.jsonl")],
        &["ledger", "prove", "5", "--out", &file("proof")],
        &["copy", "--once", "--to", &place],
        &["backup", "now", "--to", &place, "--tenant", up.identity()],
        &["ledger", "replay", "--from", "1"],
        &["ledger", "checkpoint"],
        &["tenant", "keys", "--all"],
        &["member", "list"],
    ] {
        let done = heard.run(up, words);
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
    }
}

/// Looks below a directory, after it was seen that the search finds every form.
fn search(folder: &Path, dirs: &[&Path]) -> String {
    let needles = folder.join("needles");
    let all: Vec<String> = BIRDS.iter().flat_map(|bird| forms(bird)).collect();
    fs::write(&needles, all.join("\n")).unwrap();
    let control = folder.join("control");
    fs::create_dir(&control).unwrap();
    for (n, form) in all.iter().enumerate() {
        fs::write(control.join(n.to_string()), [b"\0\xff{", form.as_bytes()].concat()).unwrap();
    }
    assert!(birds(&needles, &control).lines().count() >= all.len(), "the search finds them");
    dirs.iter().map(|dir| birds(&needles, dir)).collect()
}

#[test]
fn nothing_that_was_planted_stands_anywhere_in_clear() {
    let collector = Collector::start();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("CANONRY_LOG", "trace"),
    ];
    let up = Up::start_with(&["up"], &environment);
    let mut heard = Heard::default();
    let ticket = every_content(&up, &mut heard);
    the_rest(&up, &mut heard, &ticket);
    over_http(&up, &mut heard);
    every_field(&up, &mut heard);
    carried_away(&up, &mut heard, &ticket);
    let erased = heard.run(&up, &["content", "erase", &format!("ticket/{ticket}")]);
    assert_eq!(erased.code, 0, "{erased:?}");
    let (status, metrics) = get(up.api(), "/metrics");
    assert!(status == 200 && metrics.contains("canonry_"), "{metrics}");
    heard.0.push(metrics);
    collector.wait("a decision", |span| span.name == canonry_telemetry::names::SPAN_DECIDE);

    let folder = up.left();
    let told = folder.path().join("told");
    fs::create_dir(&told).unwrap();
    fs::write(told.join("traces"), collector.bytes()).unwrap();
    for (n, text) in heard.0.iter().enumerate() {
        fs::write(told.join(format!("answer-{n}")), text).unwrap();
    }
    let log = fs::read_to_string(folder.path().join("up.err")).unwrap();
    assert!(log.contains("DEBUG") && log.contains("serving"), "{log:.2000}");
    fs::write(told.join("log"), log).unwrap();
    let home = folder.path().join(".canonry");
    for part in ["nats/store", "projections"] {
        assert!(home.join(part).is_dir(), "{part} is searched");
    }
    let out = folder.path().join("out");
    let found = search(folder.path(), &[&home, &out, &told]);
    let lines: Vec<&str> = found.lines().take(40).collect();
    assert!(lines.is_empty(), "in clear: {lines:#?}");
}
