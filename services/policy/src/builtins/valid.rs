//! `json.is_valid` and `yaml.is_valid`, which are false for what is no text; and JSON Schema:
//! `json.verify_schema` and `json.match_schema`.
//!
//! A value of a wrong type is told in OPA's words, other faults in those of the library. Nothing is
//! fetched: a schema that refers to another place is refused.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use regorus::Value;
use serde_json::json;

use super::{Answer, Builtin};

type Json = serde_json::Value;

pub(super) const ALL: &[Builtin] = &[
    ("json.is_valid", 1, is_json),
    ("yaml.is_valid", 1, is_yaml),
    ("json.verify_schema", 1, verify_schema),
    ("json.match_schema", 2, match_schema),
];

fn is_json(given: &[Value]) -> Answer {
    let [one] = given else { return Err("one operand".to_owned()) };
    let read = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    Ok(Value::from(one.as_string().is_ok_and(|text| read(text))))
}

fn is_yaml(given: &[Value]) -> Answer {
    let [one] = given else { return Err("one operand".to_owned()) };
    Ok(Value::from(one.as_string().is_ok_and(|text| Value::from_yaml_str(text).is_ok())))
}

/// A document: itself, or the text of one.
fn document(value: &Value) -> Result<Json, String> {
    match value {
        Value::String(text) => serde_json::from_str(text).map_err(|e| e.to_string()),
        Value::Object(_) => serde_json::to_value(value).map_err(|e| e.to_string()),
        _ => Err("operand must be one of {string, object}".to_owned()),
    }
}

fn validator(schema: &Json) -> Result<jsonschema::Validator, String> {
    if let Some(wrong) = unknown_type(schema) {
        let known = "[array boolean integer number null object string]";
        return Err(format!(
            "has a primitive type that is NOT VALID -- given: /{wrong}/ Expected valid values \
             are:{known}"
        ));
    }
    jsonschema::validator_for(schema).map_err(|e| e.to_string())
}

/// A type that is none, where a schema names one, or where those of its properties do.
fn unknown_type(schema: &Json) -> Option<&str> {
    const TYPES: [&str; 7] = ["array", "boolean", "integer", "number", "null", "object", "string"];
    let own = schema.get("type").and_then(Json::as_str).filter(|t| !TYPES.contains(t));
    let properties = schema.get("properties").and_then(Json::as_object);
    own.or_else(|| properties.and_then(|all| all.values().find_map(unknown_type)))
}

fn verify_schema(given: &[Value]) -> Answer {
    let [schema] = given else { return Err("one operand".to_owned()) };
    let fault = document(schema).and_then(|s| validator(&s)).err();
    let told = fault.as_ref().map_or(Value::Null, |e| Value::from(format!("jsonschema: {e}")));
    Ok(Value::from(vec![Value::from(fault.is_none()), told]))
}

fn match_schema(given: &[Value]) -> Answer {
    let [one, schema] = given else { return Err("two operands".to_owned()) };
    let (one, validator) = (document(one)?, validator(&document(schema)?)?);
    let faults: Vec<Json> = validator.iter_errors(&one).map(|e| told(&e)).collect();
    Ok(Value::from(json!([faults.is_empty(), faults])))
}

/// A fault, in the form of OPA.
fn told(fault: &jsonschema::ValidationError<'_>) -> Json {
    let place = fault.instance_path().as_str().trim_start_matches('/').replace('/', ".");
    let place = if place.is_empty() { "(root)".to_owned() } else { place };
    let (kind, desc) = match fault.kind() {
        ValidationErrorKind::Type { kind: TypeKind::Single(wanted) } => {
            let given = match &**fault.instance() {
                Json::Null => "null",
                Json::Bool(_) => "boolean",
                Json::Number(n) if n.is_f64() => "number",
                Json::Number(_) => "integer",
                Json::String(_) => "string",
                Json::Array(_) => "array",
                Json::Object(_) => "object",
            };
            ("invalid_type", format!("Invalid type. Expected: {wanted}, given: {given}"))
        }
        kind => (kind.keyword(), fault.to_string()),
    };
    json!({"desc": desc, "error": format!("{place}: {desc}"), "field": place, "type": kind})
}
