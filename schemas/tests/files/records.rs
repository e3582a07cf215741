//! The schema of a record's whole body: the CloudEvents attributes and the event's data.

use std::collections::BTreeSet;

use canonry_schemas::event::Event;
use canonry_schemas::limits::RECORD_BYTES;
use canonry_schemas::ticket;
use schemars::Schema;
use serde_json::{Map, Value, json};

const HASH: &str = "^[0-9a-f]{64}$";
const TOKEN: &str = "^[a-z0-9][a-z0-9_-]{0,62}$";
const VISIBLE: &str = "^[!-~]{1,64}$";
const TIME: &str = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$";
const ENTITY: &str = "[a-z-]+/[a-z0-9][a-z0-9_-]{0,62}";

/// Attributes that every record has.
const REQUIRED: [&str; 15] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "tenant",
    "actor",
    "entity",
    "epoch",
    "position",
    "prevhash",
    "data",
];

fn text(pattern: &str, says: &str) -> Value {
    json!({ "type": "string", "pattern": pattern, "description": says })
}

/// The schema of one record's body.
pub fn body(aggregate: &str, event: &str, version: u32, data: Schema) -> Value {
    let Value::Object(mut data) = Value::from(data) else { unreachable!("no object schema") };
    let dialect = data.remove("$schema").unwrap_or_default();
    let defs = data.remove("$defs").unwrap_or_else(|| Value::Object(Map::new()));
    let name = format!("{aggregate}.{event}.v{version}");
    let mut all = json!({
        "$schema": dialect,
        "title": name,
        "description": format!("The body of a record, at most {RECORD_BYTES} bytes of strict JSON."),
        "type": "object",
        "additionalProperties": false,
        "required": REQUIRED,
        "dependentRequired": { "intentdigest": ["intentid"] },
        "properties": {
            "specversion": { "const": "1.0" },
            "id": text(VISIBLE, "The record's id."),
            "source": text("^canonry/[a-z0-9][a-z0-9-]{0,30}$", "`canonry/<tenant>`."),
            "type": { "const": format!("canonry.{name}") },
            "subject": text(
                &format!(r"^ledger\.[a-z0-9][a-z0-9-]{{0,30}}\.{aggregate}\.{event}$"),
                "The subject that the record is stored under.",
            ),
            "time": text(TIME, "The holder's time; no record's lies before the one before."),
            "datacontenttype": { "const": "application/json" },
            "dataschema": { "const": format!("schemas/records/{name}.json") },
            "traceparent": text(
                "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$", "W3C trace context.",
            ),
            "tenant": text("^[a-z0-9][a-z0-9-]{0,30}$", "The tenant."),
            "workspace": text(TOKEN, "The workspace, where there is one."),
            "actor": text(TOKEN, "Whose name stands on the command."),
            "via": text(TOKEN, "The service that sent it for the actor."),
            "authdigest": text(HASH, "SHA-256 of the token by which the actor let the service act."),
            "intentid": text("^[0-7][0-9A-HJKMNP-TV-Z]{25}$", "The command's idempotency id."),
            "intentdigest": text(HASH, "Keyed digest of the command's body."),
            "correlationid": text(VISIBLE, "What it belongs to, as the client named it."),
            "entity": text(&format!("^{ENTITY}$"), "The entity commanded, `<aggregate>/<id>`."),
            "touches": text(
                &format!("^{ENTITY}( {ENTITY})*$"),
                "Further entities that fold this record: sorted, none twice, one space between.",
            ),
            "epoch": text("^(0|[1-9][0-9]{0,19})$", "The holder's epoch."),
            "position": text("^[1-9][0-9]{0,19}$", "The record's number in its chain, from 1."),
            "prevhash": text(HASH, "Hash of the record before; zeros in record 1."),
            "data": data,
        },
    });
    if defs.as_object().is_some_and(|d| !d.is_empty()) {
        all["$defs"] = defs;
    }
    all
}

/// A body as the ledger has it.
fn opened() -> Value {
    json!({
        "specversion": "1.0", "id": "acme-7", "source": "canonry/acme",
        "type": "canonry.ticket.opened.v1", "subject": "ledger.acme.ticket.opened",
        "time": "2026-01-31T12:00:00.000000Z", "datacontenttype": "application/json",
        "dataschema": "schemas/records/ticket.opened.v1.json", "tenant": "acme", "actor": "ada",
        "entity": "ticket/tkt_01j0000000000000000000000a", "epoch": "1", "position": "7",
        "prevhash": "0".repeat(64), "data": { "title": "x1:abc" },
    })
}

#[test]
fn bodies_are_told_from_others() {
    let (name, version, data) = ticket::Event::schemas().swap_remove(0);
    let schema = body("ticket", name, version, data);
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    assert!(schema.is_valid(&opened()), "{:?}", schema.iter_errors(&opened()).collect::<Vec<_>>());
    let wrong: [(&str, Value); 8] = [
        ("position", json!("0")),
        ("position", json!(7)),
        ("prevhash", json!(format!("sha256:{}", "0".repeat(64)))),
        ("type", json!("canonry.ticket.opened.v2")),
        ("extra", json!("x")),
        ("data", json!({ "title": "x1:abc", "extra": 1 })),
        ("intentdigest", json!("0".repeat(64))),
        ("touches", json!("run/a  run/b")),
    ];
    for (name, value) in wrong {
        let mut bad = opened();
        bad[name] = value;
        assert!(!schema.is_valid(&bad), "{name}");
    }
    for name in opened().as_object().unwrap().keys() {
        let mut bad = opened();
        bad.as_object_mut().unwrap().remove(name);
        assert!(!schema.is_valid(&bad), "without {name}");
    }
}

/// The body that `canonry-record` keeps as written, with every optional attribute. Only its data
/// is made up.
#[test]
fn a_written_body_fits() {
    let golden = super::blessed::below("record/tests/golden/ticket-opened.v1.json");
    let mut golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    golden["data"] = json!({ "title": "x1:0001-1:AAAA" });
    let (name, version, data) = ticket::Event::schemas().swap_remove(0);
    let schema = body("ticket", name, version, data);
    let names = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&schema["properties"]), names(&golden));
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    assert!(schema.is_valid(&golden), "{:?}", schema.iter_errors(&golden).collect::<Vec<_>>());
}

#[test]
fn every_schema_compiles() {
    for (aggregate, event, version, data) in Event::schemas() {
        let schema = body(aggregate, &event, version, data);
        jsonschema::draft202012::new(&schema).unwrap();
        assert_eq!(schema["properties"]["data"]["type"], "object", "{aggregate}.{event}");
    }
}
