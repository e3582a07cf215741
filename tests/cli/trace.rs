//! One trace from the sender to the read models, and nothing of it where nobody asked.

use canonry_telemetry::names;
use serde_json::Value;

use crate::collector::{Collector, Span};
use crate::http::ask;
use crate::program::{Ran, Up, canonry, ran};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const TICKET: &str = r#"{"title":"Printer on fire"}"#;

fn run(up: &Up, environment: &[(&str, &str)], words: &[&str]) -> Ran {
    ran(canonry(up.folder.path(), words).envs(environment.iter().copied()))
}

/// Sends over NATS; the answer.
fn submit(up: &Up, environment: &[(&str, &str)], words: &[&str]) -> Value {
    let done = run(up, environment, &[&["--json", "submit"], words].concat());
    serde_json::from_str(&done.out).unwrap_or_else(|e| panic!("{e}: {done:?}"))
}

/// Opens a ticket over HTTP; the answer.
fn post(up: &Up, headers: &[(&str, &str)]) -> Value {
    post_as(up, &format!("Bearer {}", up.run(&["token"]).out.trim()), headers)
}

fn post_as(up: &Up, bearer: &str, headers: &[(&str, &str)]) -> Value {
    let headers = [headers, &[("authorization", bearer)]].concat();
    let (status, body) = ask(up.api(), "POST /api/v1/tickets", &headers, TICKET);
    assert_eq!(status, 201, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The trace context of the record that an answer names.
fn recorded(up: &Up, answer: &Value) -> Option<String> {
    let shown = up.run(&["--json", "ledger", "show", answer["position"].as_str().unwrap()]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    let found = shown.pointer("/body/traceparent").or_else(|| shown.get("traceparent"));
    found.map(|t| t.as_str().unwrap().to_owned())
}

/// Waits for the span of this name that says this of itself.
fn find(collector: &Collector, name: &str, says: &[(&str, &str)]) -> Span {
    let says = |s: &Span| says.iter().all(|(n, v)| s.attributes.get(*n).is_some_and(|a| a == v));
    collector.wait(name, |span| span.name == name && says(span))
}

/// Waits for the span of this name under a parent.
fn child(collector: &Collector, name: &str, trace: &str, parent: &str) -> Span {
    let is = |s: &Span| s.name == name && s.trace == trace && s.parent == parent;
    collector.wait(&format!("{name} under {parent} in {trace}"), is)
}

/// Decision, commit and projection of the record that an answer names, in this trace.
fn follows(collector: &Collector, answer: &Value, trace: &str, sender: &str) {
    let position = answer["position"].as_str().unwrap();
    let decide = child(collector, names::SPAN_DECIDE, trace, sender);
    for (name, value) in [
        ("tenant", "acme"),
        ("aggregate", "ticket"),
        ("verb", "open"),
        ("code", "ok"),
        ("position", position),
    ] {
        assert_eq!(decide.attributes.get(name).map(String::as_str), Some(value), "{decide:?}");
    }
    let commit = child(collector, names::SPAN_COMMIT, trace, &decide.id);
    let of = |name: &str| commit.attributes.get(name).map(String::as_str);
    assert_eq!((of("count"), of("way")), (Some("1"), Some("plain")));
    let project = child(collector, names::SPAN_PROJECT, trace, sender);
    assert_eq!(project.attributes.get("position").map(String::as_str), Some(position));
}

#[test]
fn a_command_is_one_trace_from_its_sender_to_the_read_models() {
    let collector = Collector::start();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let up = Up::start_with(&["up"], &environment);

    // Over NATS.
    let answer = submit(&up, &environment, &["ticket", "open", TICKET]);
    let sent = find(&collector, names::SPAN_COMMAND, &[("verb", "open")]);
    assert_eq!(sent.parent, "");
    follows(&collector, &answer, &sent.trace, &sent.id);
    assert_eq!(recorded(&up, &answer).unwrap(), format!("00-{}-{}-01", sent.trace, sent.id));

    // Over HTTP, in a trace of the client's: what it sent is what the record keeps.
    let given = format!("00-{TRACE}-{PARENT}-01");
    let answer = post(&up, &[("traceparent", &given)]);
    let http = child(&collector, names::SPAN_HTTP, TRACE, PARENT);
    let of = |name: &str| http.attributes.get(name).map(String::as_str);
    assert_eq!(
        (of("route"), of("method"), of("status")),
        (Some("/api/v1/tickets"), Some("POST"), Some("201"))
    );
    follows(&collector, &answer, TRACE, PARENT);
    assert_eq!(recorded(&up, &answer).unwrap(), given);

    // Over HTTP without one: the request is the root.
    let answer = post(&up, &[]);
    let trace = recorded(&up, &answer).unwrap();
    let (trace, root) = (&trace[3..35], &trace[36..52]);
    let http = collector.wait("the request", |s| s.name == names::SPAN_HTTP && s.id == root);
    assert_eq!((http.trace.as_str(), http.parent.as_str()), (trace, ""));
    follows(&collector, &answer, trace, root);

    // Handed over durably: stored and decided under the same span.
    let durable = ["role", "pause", r#"{"id":"rol_00000000000000000000000000"}"#];
    submit(&up, &environment, &[&durable[..], &["--durable", "--wait"]].concat());
    let sent = find(&collector, names::SPAN_COMMAND, &[("verb", "pause")]);
    child(&collector, names::SPAN_STORE_INTENT, &sent.trace, &sent.id);
    let decide = child(&collector, names::SPAN_DECIDE, &sent.trace, &sent.id);
    assert_eq!(decide.attributes["code"], "role-unknown");

    // No word of the client becomes an attribute.
    let unknown = submit(&up, &environment, &["dragon", "fly", "{}"]);
    assert_eq!(unknown["code"], "unknown-command");
    let decide = find(&collector, names::SPAN_DECIDE, &[("code", "unknown-command")]);
    assert!(!decide.attributes.contains_key("verb"), "{decide:?}");
    let spans = collector.spans();
    assert!(spans.iter().all(|s| names::SPANS.contains(&s.name.as_str())), "{spans:#?}");
    let texts = |s: &Span| s.attributes.values().cloned().collect::<Vec<_>>();
    for word in ["dragon", "fly", "Printer"] {
        assert!(!spans.iter().any(|s| texts(s).iter().any(|t| t == word)), "{word}");
    }
}

#[test]
fn every_decision_leads_to_the_commit_that_it_was_part_of() {
    const SENDERS: usize = 64;
    let collector = Collector::start();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let up = Up::start_with(&["up"], &environment);
    let bearer = format!("Bearer {}", up.run(&["token"]).out.trim());
    let trace = |n: usize| format!("{:032x}", n + 1);
    std::thread::scope(|scope| {
        for n in 0..SENDERS {
            let (up, bearer, given) = (&up, &bearer, format!("00-{}-{PARENT}-01", trace(n)));
            scope.spawn(move || post_as(up, bearer, &[("traceparent", &given)]));
        }
    });
    let mut decided = 0;
    for n in 0..SENDERS {
        let decide = child(&collector, names::SPAN_DECIDE, &trace(n), PARENT);
        let commit = collector.wait("the commit of a decision", |span| {
            span.name == names::SPAN_COMMIT
                && (span.parent == decide.id || span.links.contains(&decide.id))
        });
        decided += usize::from(commit.parent == decide.id);
        assert_eq!(commit.attributes["count"], (commit.links.len() + 1).to_string(), "{commit:?}");
    }
    let spans = collector.spans();
    let took_over = |id: &str| spans.iter().any(|s| s.name == names::SPAN_TAKE_OVER && s.id == id);
    let commits = spans.iter().filter(|s| s.name == names::SPAN_COMMIT && !took_over(&s.parent));
    assert_eq!(commits.count(), decided, "each commit is under one decision: {spans:#?}");
}

#[test]
fn without_an_endpoint_nothing_is_exported_and_records_keep_what_came() {
    let collector = Collector::start();
    let up = Up::start(&["up"]);
    let off = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("OTEL_SDK_DISABLED", "true"),
    ];
    for environment in [&[][..], &off] {
        let answer = submit(&up, environment, &["ticket", "open", TICKET]);
        assert_eq!(recorded(&up, &answer), None, "nobody sent one");
    }
    let given = format!("00-{TRACE}-{PARENT}-01");
    assert_eq!(recorded(&up, &post(&up, &[("traceparent", &given)])), Some(given));
    assert_eq!(recorded(&up, &post(&up, &[("traceparent", "00-not-a-trace")])), None);
    assert_eq!(recorded(&up, &post(&up, &[])), None);
    assert!(collector.spans().is_empty());
}
