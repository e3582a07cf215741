//! A value for any schema of ours, with every field filled, so that a test sees fields that
//! nobody thought of. What it makes fits the schema; a pattern it does not know stops the test.

use serde_json::{Map, Value, json};

/// The patterns in our schemas, and a text that fits each and can be read by its type.
const TEXTS: [(&str, &str); 23] = [
    (
        "^(member|role|ticket|run|action|ext)/[a-z0-9][a-z0-9_-]{0,62}$",
        "ticket/tkt_01hzy3v7m8q6k4n2r9s5t1w0xa",
    ),
    ("^lse_[0-7][0-9a-hjkmnp-tv-z]{25}$", "lse_01hzy3v7m8q6k4n2r9s5t1w0xa"),
    ("^[0-9]{1,10}-[0-9]{1,3}$", "3-17"),
    ("^[a-z0-9][a-z0-9-]{0,30}$", "acme"),
    ("^[a-z0-9][a-z0-9_-]{0,62}$", "ada"),
    ("^rol_[0-7][0-9a-hjkmnp-tv-z]{25}$", "rol_01hzy3v7m8q6k4n2r9s5t1w0xa"),
    ("^tkt_[0-7][0-9a-hjkmnp-tv-z]{25}$", "tkt_01hzy3v7m8q6k4n2r9s5t1w0xa"),
    ("^run_[0-7][0-9a-hjkmnp-tv-z]{25}$", "run_01hzy3v7m8q6k4n2r9s5t1w0xa"),
    ("^act_[0-7][0-9a-hjkmnp-tv-z]{25}$", "act_01hzy3v7m8q6k4n2r9s5t1w0xa"),
    ("^[A-Za-z0-9+/]+={0,2}$", "H4sIAAAAAAAA/w=="),
    ("^(tkt|run)_[0-7][0-9a-hjkmnp-tv-z]{25}$", "tkt_01hzy3v7m8q6k4n2r9s5t1w0xa"),
    (
        "^(tenant|role/rol_[0-7][0-9a-hjkmnp-tv-z]{25}|ticket/tkt_[0-7][0-9a-hjkmnp-tv-z]{25}|run/run_[0-7][0-9a-hjkmnp-tv-z]{25})$",
        "role/rol_01hzy3v7m8q6k4n2r9s5t1w0xa",
    ),
    ("^[A-Z]{3}$", "EUR"),
    ("^evd_[0-7][0-9a-hjkmnp-tv-z]{25}$", "evd_01hzy3v7m8q6k4n2r9s5t1w0xa"),
    ("^(application|audio|font|image|model|text|video)/[a-z0-9][a-z0-9.+-]*$", "image/png"),
    ("^[0-9a-f]{16}$", "0123456789abcdef"),
    ("^[A-Za-z0-9_-]{43}$", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ("^[0-9a-f]{64}$", "0000000000000000000000000000000000000000000000000000000000000000"),
    (r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$", "2030-01-31T12:00:00.000000Z"),
    ("^[^\\p{Cc}]+$", "label"),
    ("^[a-z][a-z0-9-]{0,62}$", "invoice-paid"),
    ("^(member|role|ticket|run)/[a-z0-9][a-z0-9_-]{0,62}$", "member/ada"),
    ("^[1-9][0-9]{0,19}$", "42"),
];
const SIGNATURE: &str = "^ed25519:[0-9a-f]{16}:[A-Za-z0-9_-]{86}$";

/// A value that fits, with every optional field there and every list as short as it may be, but
/// not empty where it may hold something. Content fields hold their own JSON pointer.
pub fn whole(schema: &Value) -> Value {
    value(schema, schema, "")
}

fn value(root: &Value, schema: &Value, pointer: &str) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect(reference);
        return value(root, target, pointer);
    }
    if let Some(fixed) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return fixed.clone();
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(first) = schema[choice].get(0) {
            return value(root, first, pointer);
        }
    }
    match schema["type"].as_str().or_else(|| schema["type"][0].as_str()).expect(pointer) {
        "object" => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let fill = |(name, field): (&String, &Value)| {
                (name.clone(), value(root, field, &format!("{pointer}/{name}")))
            };
            Value::Object(fields.map(fill).collect::<Map<_, _>>())
        }
        "array" if schema["maxItems"] == 0 => json!([]),
        "array" => {
            let item = value(root, &schema["items"], &format!("{pointer}/0"));
            let count = schema["minItems"].as_u64().unwrap_or(1).max(1);
            (0..count).map(|_| item.clone()).collect()
        }
        "integer" => schema.get("minimum").cloned().unwrap_or_else(|| json!(0)),
        "boolean" => json!(true),
        "string" if schema["x-content"] == true => json!(pointer),
        "string" => json!(text(schema)),
        other => panic!("{pointer}: no sample of type {other}"),
    }
}

fn text(schema: &Value) -> String {
    let Some(pattern) = schema["pattern"].as_str() else { return "text".to_owned() };
    if pattern == SIGNATURE {
        return format!("ed25519:0123456789abcdef:{}", "A".repeat(86));
    }
    let known = TEXTS.iter().find(|(p, _)| *p == pattern);
    known.unwrap_or_else(|| panic!("add a text for the pattern {pattern}")).1.to_owned()
}

/// The JSON pointers of all fields marked `x-content`, sorted; an item of a list is `/0`.
pub fn content(schema: &Value) -> Vec<String> {
    let mut all = Vec::new();
    marked(schema, schema, "", &mut all);
    all.sort();
    all
}

fn marked(root: &Value, schema: &Value, pointer: &str, all: &mut Vec<String>) {
    if schema["x-content"] == true {
        all.push(pointer.to_owned());
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect(reference);
        marked(root, target, pointer, all);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        marked(root, field, &format!("{pointer}/{name}"), all);
    }
    if let Some(items) = schema.get("items") {
        marked(root, items, &format!("{pointer}/0"), all);
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        for one in schema[choice].as_array().into_iter().flatten() {
            marked(root, one, pointer, all);
        }
    }
}

#[test]
fn marks_are_found_wherever_they_stand() {
    let mark = json!({ "type": "string", "x-content": true });
    let schema = json!({
        "type": "object",
        "properties": {
            "a": mark, "b": { "$ref": "#/$defs/B" }, "c": { "type": "string" },
            "d": { "type": "array", "items": { "anyOf": [{ "type": "null" }, mark] } },
        },
        "$defs": { "B": { "type": "object", "properties": { "x": mark } } },
    });
    assert_eq!(content(&schema), ["/a", "/b/x", "/d/0"]);
    let whole = whole(&json!({ "$defs": schema["$defs"], "$ref": "#/$defs/B" }));
    assert_eq!(whole, json!({ "x": "/x" }));
}
