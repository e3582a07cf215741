//! `schemas/asyncapi.yaml`: the subjects of Canonry, made of the catalogue of commands and events,
//! so that no command or record is missing. Bodies are the JSON Schema files beside it. Which
//! user may do what is in `services/provision`, the bytes of a record in `docs/record-format.md`.

use std::collections::BTreeSet;
use std::path::Path;

use canonry_schemas::event::{Command, Event};
use canonry_schemas::header;
use canonry_schemas::ids::{ActorId, IntentId, TenantId};
use canonry_schemas::limits::{COMMAND_BYTES, INTENT_AGE, JWT_BYTES, RECORD_BYTES};
use canonry_schemas::subject::{Inbound, Way, ledger, outcome, parse_ledger};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::blessed::{below, folder, hold_file};
use super::{content, yaml};

const COMMAND: &str = "command.{tenant}.{actor}.{aggregate}.{verb}";
const INTENT: &str = "intent.{tenant}.{actor}.{aggregate}.{verb}";
const CREDENTIALS: &str = "lease.{tenant}.{actor}.credentials";
const OUTCOME: &str = "outcome.{tenant}.{actor}.{intent}";
const LIVE: &str = "live.{tenant}.{aggregate}.{event}";
const LEDGER: &str = "ledger.{tenant}.{aggregate}.{event}";

/// The reading half of the JetStream API as auditors have it, below `audit.api.`.
const AUDIT: [(&str, &str, &str); 4] = [
    ("auditInfo", "STREAM.INFO.{stream}", "The state of the mirror."),
    ("auditGet", "STREAM.MSG.GET.{stream}", "One record by its position."),
    (
        "auditConsume",
        "CONSUMER.CREATE.{stream}",
        "A consumer of the mirror; its name and filter may follow as further tokens.",
    ),
    (
        "auditNext",
        "CONSUMER.MSG.NEXT.{stream}.{consumer}",
        "Records of a consumer, one message each on the reply subject.",
    ),
];

fn reference(to: impl AsRef<str>) -> Value {
    json!({ "$ref": to.as_ref() })
}

fn pattern<T: JsonSchema>() -> Value {
    let mut schema = Value::from(schemars::schema_for!(T));
    schema["pattern"].take()
}

fn header_of(pattern: impl Into<Value>, says: &str) -> Value {
    json!({ "type": "string", "pattern": pattern.into(), "description": says })
}

fn traceparent() -> Value {
    header_of("^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$", "W3C trace context; else ignored.")
}

fn token(says: &str) -> Value {
    json!({ "type": "string", "maxLength": JWT_BYTES, "description": says })
}

/// The headers of a command, by who sends it.
fn command_headers() -> Value {
    json!({
        "type": "object",
        "description": "Names in any case, none twice. Other headers are ignored.",
        "properties": {
            header::INTENT_ID: header_of(
                pattern::<IntentId>(),
                "The idempotency id: the same id with the same bytes gets the first answer. A \
                 fresh one without it.",
            ),
            header::REQUEST_TOKEN: token(
                "Of a member or worker: a JWT (EdDSA) by the member key over tenant, aggregate, \
                 verb, body and intent id. Needed where a message says x-request-bound.",
            ),
            header::ON_BEHALF_OF: token(
                "Of a service, which must send it and alone may: the person's bearer, or their \
                 request-bound token where a message says x-request-bound.",
            ),
            header::LEASE: token(
                "Of a worker: a JWT (EdDSA) by the key of its lease. Instead of the two above; a \
                 service may hand it on.",
            ),
            header::TRACEPARENT: traceparent(),
        },
    })
}

fn record_headers() -> Value {
    json!({
        "type": "object",
        "description": "In exact case, each once. NATS adds headers of its own.",
        "required": [header::RECORD_ID, header::RECORD_HASH, header::RECORD_SIGNATURE],
        "properties": {
            header::RECORD_ID: header_of("^[!-~]{1,64}$", "The body's id."),
            header::RECORD_HASH: header_of("^sha256:[0-9a-f]{64}$", "Over subject and body."),
            header::RECORD_SIGNATURE: header_of(
                "^ed25519:[0-9a-f]{16}:[A-Za-z0-9_-]{86}$", "Over the hash, by the record key.",
            ),
            header::TRACEPARENT: header_of(
                "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
                "The body's traceparent, where it has one.",
            ),
        },
    })
}

fn command_message(aggregate: &str, verb: &str, schema: &Value) -> Value {
    let (command, _) = content::filled(aggregate, verb, schema);
    json!({
        "name": format!("{aggregate}.{verb}"),
        "title": format!("{aggregate} {verb}"),
        "summary": schema["description"],
        "headers": reference("#/components/schemas/commandHeaders"),
        "payload": reference(format!("commands/{aggregate}.{verb}.json")),
        "x-subject": format!("command.{{tenant}}.{{actor}}.{aggregate}.{verb}"),
        "x-founder-only": command.founder_only(),
        "x-request-bound": command.request_bound(),
    })
}

fn record_message(aggregate: &str, event: &str, version: u32, data: &Value) -> Value {
    let name = format!("{aggregate}.{event}.v{version}");
    json!({
        "name": format!("canonry.{name}"),
        "title": format!("{aggregate} {event}"),
        "summary": data["description"],
        "headers": reference("#/components/schemas/recordHeaders"),
        "payload": reference(format!("records/{name}.json")),
        "x-subject": format!("ledger.{{tenant}}.{aggregate}.{event}"),
    })
}

fn answer_message(summary: &str) -> Value {
    json!({ "name": "answer", "summary": summary, "payload": reference("answer.json") })
}

/// The messages of every command, and of every record, by component name.
fn catalogue() -> (Map<String, Value>, Map<String, Value>) {
    let commands = Command::schemas().into_iter().map(|(a, verb, schema)| {
        (format!("{a}.{verb}"), command_message(a, verb, &Value::from(schema)))
    });
    let records = Event::schemas().into_iter().map(|(a, event, v, data)| {
        (format!("{a}.{event}.v{v}"), record_message(a, &event, v, &Value::from(data)))
    });
    (commands.collect(), records.collect())
}

fn parameters(address: &str) -> Value {
    let names = address.split(['{', '}']).skip(1).step_by(2);
    let all = names.map(|n| (n.to_owned(), reference(format!("#/components/parameters/{n}"))));
    Value::Object(all.collect())
}

/// A channel whose messages are these components.
fn channel<'a>(
    address: &str,
    description: &str,
    messages: impl IntoIterator<Item = &'a String>,
) -> Value {
    let one = |m: &String| (m.clone(), reference(format!("#/components/messages/{m}")));
    json!({
        "address": address,
        "description": description,
        "parameters": parameters(address),
        "messages": messages.into_iter().map(one).collect::<Map<_, _>>(),
    })
}

fn reply(description: &str, message: &str) -> Value {
    json!({
        "address": null,
        "description": description,
        "messages": { message: reference(format!("#/components/messages/{message}")) },
    })
}

fn channels(commands: &Map<String, Value>, records: &Map<String, Value>) -> Map<String, Value> {
    let hours = INTENT_AGE.as_secs() / 3_600;
    let mut all = Map::new();
    let mut add = |name: &str, channel: Value| drop(all.insert(name.to_owned(), channel));
    let text = format!(
        "A command, answered after its commit. The body has at most {COMMAND_BYTES} bytes of \
         strict JSON and is digested as sent. A user may publish under its own actor token only, \
         and only in its own tenant."
    );
    add("command", channel(COMMAND, &text, commands.keys()));
    let text = format!(
        "The same commands, handed over durably: answered when stored, decided later; the outcome \
         follows. An intent waits at most {hours} hours."
    );
    add("intent", channel(INTENT, &text, commands.keys()));
    let text = "The answer to a durable intent, byte for byte as the answer to a command. Not \
                stored: who misses it asks again with the same intent id.";
    add("outcome", channel(OUTCOME, text, [&"answer".to_owned()]));
    let text = "Asks for the token of a lease's NATS user. The token is no secret: the seed that it \
                is worth something with stays with the worker.";
    add("credentials", channel(CREDENTIALS, text, [&"askCredentials".to_owned()]));
    add("issued", reply("The reply subject of such a request.", "credentials"));
    let text = "Records, republished by the server once stored. A message seen here proves \
                nothing: a receipt is read from the ledger.";
    add("live", channel(LIVE, text, records.keys()));
    let text = format!(
        "Where records are stored, one stream a tenant, stream sequence equal to position. Read \
         only: nothing but the committer may publish here. A body has at most {RECORD_BYTES} bytes."
    );
    add("ledger", channel(LEDGER, &text, records.keys()));
    let text = "The reply subject of a command's request.";
    add("answers", reply(text, "answer"));
    add("stored", reply("The reply subject of an intent's request.", "stored"));
    add("auditAnswers", reply("The reply subject of an auditor's request.", "jetstreamReply"));
    for (name, api, says) in AUDIT {
        let message = "jetstreamRequest".to_owned();
        add(name, channel(&format!("audit.api.{api}"), says, [&message]));
    }
    all
}

fn operations() -> Map<String, Value> {
    let channel = |name: &str| reference(format!("#/channels/{name}"));
    let mut all = Map::new();
    let mut add = |name: &str, action: &str, on: &str, answers: Option<&str>, says: &str| {
        let mut one = json!({ "action": action, "channel": channel(on), "summary": says });
        if let Some(answers) = answers {
            one["reply"] = json!({ "channel": channel(answers) });
        }
        all.insert(name.to_owned(), one);
    };
    add("decide", "receive", "command", Some("answers"), "Turns a command into one record.");
    add("storeIntent", "receive", "intent", Some("stored"), "Keeps a command until it is decided.");
    add("issue", "receive", "credentials", Some("issued"), "Signs for an issued lease.");
    add("tellOutcome", "send", "outcome", None, "Says what became of a stored intent.");
    add("tellLive", "send", "live", None, "Says that a record was stored.");
    add("commit", "send", "ledger", None, "Appends a record; the committer alone.");
    for (name, _, says) in AUDIT {
        add(&format!("serve-{name}"), "receive", name, Some("auditAnswers"), says);
    }
    all
}

fn component_parameters() -> Value {
    let commands = Command::schemas();
    let events = Event::schemas();
    let aggregates: BTreeSet<_> = events.iter().map(|(a, ..)| *a).collect();
    let verbs: BTreeSet<_> = commands.iter().map(|(_, verb, _)| *verb).collect();
    let names: BTreeSet<_> = events.iter().map(|(_, event, ..)| event.as_str()).collect();
    let text = |says: String| json!({ "description": says });
    let form = |says: &str, pattern: Value| {
        text(format!("{says}, `{}`.", pattern.as_str().unwrap_or_default()))
    };
    json!({
        "tenant": form("The tenant", pattern::<TenantId>()),
        "actor": form("Whose name stands on the command", pattern::<ActorId>()),
        "intent": form("The intent's id", pattern::<IntentId>()),
        "aggregate": {
            "enum": aggregates,
            "description": "What it is about; `actor` and `tenant` have records, no commands.",
        },
        "verb": { "enum": verbs, "description": "What is asked for; each message names its own." },
        "event": { "enum": names, "description": "What happened; each message names its own." },
        "stream": text("The mirror of the auditor's tenant, `AUDIT_<tenant>`.".to_owned()),
        "consumer": text("The consumer's name.".to_owned()),
    })
}

/// The whole document.
fn document() -> Value {
    let (commands, records) = catalogue();
    let channels = channels(&commands, &records);
    let foreign = |name: &str, summary: &str| {
        let payload = json!({ "type": "object" });
        json!({ "name": name, "summary": summary, "payload": payload })
    };
    let mut messages: Map<String, Value> = commands.into_iter().chain(records).collect();
    let mut add = |name: &str, message: Value| drop(messages.insert(name.to_owned(), message));
    add("answer", answer_message("What became of a command: a receipt, or a stable code."));
    add("stored", answer_message("That an intent was stored, under which id, or a stable code."));
    for (name, file, says) in [
        ("askCredentials", "ask-credentials.json", "Names a lease of the one who asks."),
        ("credentials", "credentials.json", "The token, or a stable code."),
    ] {
        add(name, json!({ "name": name, "summary": says, "payload": reference(file) }));
    }
    add("jetstreamRequest", foreign("jetstreamRequest", "A request of the JetStream API of NATS."));
    add(
        "jetstreamReply",
        foreign("jetstreamReply", "An answer of the JetStream API of NATS, or a stored record."),
    );
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Canonry over NATS",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every subject that people, workers, services and auditors use, seen \
                from Canonry: it receives commands and sends records. Bodies are JSON Schema \
                2020-12. Stable codes have a page each in errors/. Made of the Rust catalogue: \
                CANONRY_BLESS=1 cargo test -p canonry-schemas.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations(),
        "components": {
            "messages": messages,
            "parameters": component_parameters(),
            "schemas": {
                "commandHeaders": command_headers(),
                "recordHeaders": record_headers(),
            },
        },
    })
}

/// Every `$ref` in a value.
fn references<'a>(value: &'a Value, all: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(object) => {
            all.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|v| references(v, all));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, all)),
        _ => {}
    }
}

/// Whether a reference leads somewhere: into the document, or to a file beside it.
fn resolves(document: &Value, beside: &Path, reference: &str) -> bool {
    match reference.strip_prefix('#') {
        Some(pointer) => document.pointer(pointer).is_some(),
        None => beside.join(reference).is_file(),
    }
}

#[test]
fn the_document_is_what_the_catalogue_says() {
    hold_file(&below("asyncapi.yaml"), &yaml::emit(&document()));
}

#[test]
fn every_reference_resolves_and_every_schema_is_referred_to() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        assert!(resolves(&document, folder(), reference), "{reference} leads nowhere");
    }
    assert!(!resolves(&document, folder(), "#/components/messages/ticket.fly"));
    assert!(!resolves(&document, folder(), "commands/ticket.fly.json"));
    for part in ["commands", "records"] {
        for name in super::blessed::found(&below(part)).keys() {
            assert!(found.contains(format!("{part}/{name}").as_str()), "{part}/{name} is unused");
        }
    }
    for kind in ["messages", "parameters", "schemas"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let pointer = format!("#/components/{kind}/{name}");
            assert!(found.contains(pointer.as_str()), "{pointer} is unused");
        }
    }
}

/// The addresses with their parameters filled are the subjects that the types print and parse.
#[test]
fn addresses_are_the_subjects_of_the_types() {
    let (tenant, actor): (TenantId, ActorId) = ("acme".parse().unwrap(), "ada".parse().unwrap());
    let intent = IntentId::from_parts(1, 2);
    let fill = |address: &str, aggregate: &str, last: &str| {
        address
            .replace("{tenant}", "acme")
            .replace("{actor}", "ada")
            .replace("{aggregate}", aggregate)
            .replace("{intent}", intent.as_str())
            .replace("{verb}", last)
            .replace("{event}", last)
    };
    for (aggregate, verb, _) in Command::schemas() {
        for (address, way) in [(COMMAND, Way::Command), (INTENT, Way::Intent)] {
            let inbound = Inbound {
                way,
                tenant: tenant.clone(),
                actor: actor.clone(),
                aggregate: aggregate.to_owned(),
                verb: verb.to_owned(),
            };
            assert_eq!(fill(address, aggregate, verb), inbound.print());
        }
    }
    for (aggregate, event, ..) in Event::schemas() {
        let subject = fill(LEDGER, aggregate, &event);
        assert_eq!(subject, ledger(&tenant, aggregate, &event));
        assert_eq!(parse_ledger(&subject), Some((tenant.clone(), aggregate, event.as_str())));
        assert_eq!(fill(LIVE, aggregate, &event).replacen("live", "ledger", 1), subject);
    }
    assert_eq!(fill(OUTCOME, "", ""), outcome(&tenant, &actor, &intent));
}
