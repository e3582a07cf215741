//! What may be registered, what may not, and what data then is.

use std::time::Instant;

use serde_json::json;

use super::*;

fn object(value: Value) -> Object {
    Object::new(value).unwrap()
}

fn compiled(properties: Value) -> Result<Compiled, Unfit> {
    let whole = json!({"type": "object", "additionalProperties": false, "properties": properties});
    Compiled::new(&object(whole))
}

#[test]
fn what_the_dialect_does_not_know_is_refused() {
    let deep = (0..EXT_DEPTH)
        .fold(json!({"type": "boolean"}), |inner, _| json!({"type": "array", "items": inner}));
    for (property, part) in [
        (json!({"$ref": "https://example.com/x.json"}), "type"),
        (json!({"type": "string", "$ref": "#/$defs/a"}), "$ref"),
        (json!({"type": "string", "$dynamicRef": "#a"}), "$dynamicRef"),
        (json!({"type": "string", "anyOf": [{"x-content": true}, {}]}), "anyOf"),
        (json!({"type": "string", "format": "email"}), "format"),
        (json!({"type": "string", "x-content": "yes"}), "x-content"),
        (json!({"type": "string", "minLength": "one"}), "one"),
        (json!({"type": "string", "pattern": "("}), "("),
        (json!({"type": "string", "pattern": "(?=a)b"}), "(?=a)b"),
        (json!({"type": "string", "pattern": "(a)\\1"}), "(a)"),
        (json!({"type": "string", "pattern": "((a{999}){999}){999}"}), "a{999}"),
        (json!({"type": "number"}), "integer"),
        (json!({"type": ["string", "integer"]}), "type"),
        (json!({"type": "integer", "const": {"a": 1}}), "const"),
        (json!({"type": "array"}), "items"),
        (json!({"type": "object", "properties": {}}), "additionalProperties"),
        (json!({"type": "object", "additionalProperties": false}), "properties"),
        (
            json!({"type": "object", "additionalProperties": false,
                "properties": {"a/b": {"type": "boolean"}}}),
            "name",
        ),
        (json!({"type": "string", "title": "t".repeat(EXT_SCHEMA_BYTES)}), "bytes"),
        (deep, "deeper"),
        (json!(true), "object"),
    ] {
        let wrong = compiled(json!({"a": property})).expect_err(&property.to_string());
        assert!(wrong.why.contains(part), "{property}: {wrong}");
    }
    let wrong = Compiled::new(&object(json!({"type": "string"}))).unwrap_err();
    assert!(wrong.why.contains("object"), "{wrong}");
    assert_eq!(Object::new(json!([])), None);
}

#[test]
fn data_is_held_to_its_schema() {
    let kind = compiled(json!({
        "sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]+$"},
        "count": {"type": "integer", "minimum": 1},
        "note": {"type": ["string", "null"], "x-content": true},
        "lines": {"type": "array", "maxItems": 2, "items": {
            "type": "object", "additionalProperties": false,
            "properties": {"who": {"type": "string", "x-content": true}}}},
    }))
    .unwrap();
    let good = json!({"sku": "ABC-1", "count": 2, "note": "hello", "lines": [{"who": "Ada"}]});
    kind.fits(&object(good.clone())).unwrap();
    for (name, value) in [
        ("sku", json!("abc")),
        ("count", json!(0)),
        ("note", json!(5)),
        ("other", json!(1)),
        ("lines", json!([{}, {}, {}])),
        ("lines", json!([{"whose": "x"}])),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        let wrong = kind.fits(&object(bad.clone())).expect_err(&bad.to_string());
        assert!(!wrong.to_string().contains("abc"), "it quotes: {wrong}");
    }
    let mut data = object(good);
    assert!(kind.content_within_bound(&data));
    let marks: Vec<_> =
        kind.content(&mut data).into_iter().map(|(at, t)| (at, t.clone())).collect();
    let expected = [("/lines/0/who", "Ada"), ("/note", "hello")];
    assert_eq!(marks, expected.map(|(at, t)| (at.to_owned(), t.to_owned())));
    for (_, text) in kind.content(&mut data) {
        *text = "x1:1-1:AAAA".to_owned();
    }
    assert_eq!(data.sealed(), ["x1:1-1:AAAA", "x1:1-1:AAAA"]);
    for long in [String::new(), "x".repeat(CONTENT_BYTES + 1)] {
        let data = object(json!({"note": long}));
        kind.fits(&data).unwrap();
        assert!(!kind.content_within_bound(&data));
    }
}

#[test]
fn what_is_no_content_is_a_label() {
    let kind = compiled(json!({"a": {"type": "string"}})).unwrap();
    kind.fits(&object(json!({"a": "x".repeat(LABEL_CHARS)}))).unwrap();
    for bad in ["x".repeat(LABEL_CHARS + 1), "a\nb".to_owned(), "x1:1-1:AAAA".to_owned()] {
        assert!(kind.fits(&object(json!({"a": bad}))).is_err(), "{bad}");
    }
}

/// With a backtracking engine this takes longer than the universe is old.
#[test]
fn a_pattern_does_not_explode() {
    let kind = compiled(json!({"a": {"type": "string", "x-content": true,
        "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}}))
    .unwrap();
    let begun = Instant::now();
    assert!(kind.fits(&object(json!({"a": "a".repeat(60_000)}))).is_err());
    assert!(begun.elapsed().as_secs() < 60);
}

#[test]
fn a_schema_is_remembered_as_it_was() {
    let schema = object(json!({"type": "object", "additionalProperties": false,
        "properties": {"a": {"type": "boolean"}}}));
    let text = SchemaText::from(&schema);
    let stored = serde_json::to_string(&text).unwrap();
    let read: SchemaText = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, text);
    let kind = Compiled::from_text(&read).unwrap();
    assert!(kind.fits(&object(json!({"a": true}))).is_ok());
    assert!(kind.fits(&object(json!({"a": 1}))).is_err());
}
