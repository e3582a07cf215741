//! JSON values as YAML that people can read: block style, keys in the order of their names,
//! strings in double quotes, which YAML reads as JSON writes them.

use std::collections::BTreeMap;

use serde_json::Value;

/// The text of a document.
pub fn emit(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(all) if !all.is_empty() => {
            for (name, value) in all.iter().collect::<BTreeMap<_, _>>() {
                out.push_str(&format!("{indent}{}:", key(name)));
                nested(value, depth, out);
            }
        }
        Value::Array(all) if !all.is_empty() => {
            for value in all {
                out.push_str(&format!("{indent}-"));
                nested(value, depth, out);
            }
        }
        // Empty lists and objects, and scalars: JSON is YAML.
        other => out.push_str(&format!("{indent}{other}\n")),
    }
}

/// A value after `name:` or `-`.
fn nested(value: &Value, depth: usize, out: &mut String) {
    let empty = value.as_object().is_some_and(serde_json::Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty);
    if (value.is_object() || value.is_array()) && !empty {
        out.push('\n');
        block(value, depth + 1, out);
    } else {
        out.push_str(&format!(" {value}\n"));
    }
}

/// A key in plain style where no reader can take it for something else.
fn key(name: &str) -> String {
    const TAKEN: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let head = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let taken = TAKEN.contains(&name.to_ascii_lowercase().as_str());
    if head && !taken && name.chars().skip(1).all(plain) {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    }
}

#[test]
fn what_is_written_is_yaml() {
    let value = serde_json::json!({
        "b": [1, { "x": null, "a": [] }, ["y"]],
        "a": {}, "on": true, "$ref": "#/a: \"b\"\n", "1": -1,
    });
    let wanted = r##"$ref: "#/a: \"b\"\n"
"1": -1
a: {}
b:
  - 1
  -
    a: []
    x: null
  -
    - "y"
"on": true
"##;
    assert_eq!(emit(&value), wanted);
}
