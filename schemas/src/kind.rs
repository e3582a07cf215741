//! What the schema of a custom record type may say, and data held to it. The dialect is a closed
//! part of JSON Schema 2020-12: each value is reached by exactly one subschema, so that it is never
//! in doubt what is content; there are no references, no combinations, and patterns run in an
//! engine without backtracking. Nothing is stored here; the commands are in [`crate::ext`].

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::limits::{CONTENT_BYTES, EXT_DEPTH, EXT_PATTERN_BYTES, EXT_SCHEMA_BYTES, LABEL_CHARS};

/// How sealed content begins: no clear string of a custom record may.
const SEALED: &str = "x1:";

/// A JSON object. Never printed by `Debug`: it may hold content.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Object(Value);

impl Object {
    /// An object; `None` for any other value.
    #[must_use]
    pub fn new(value: Value) -> Option<Self> {
        value.is_object().then_some(Self(value))
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.0
    }

    /// Every string inside that is sealed content.
    #[must_use]
    pub fn sealed(&self) -> Vec<&str> {
        fn walk<'a>(value: &'a Value, all: &mut Vec<&'a str>) {
            match value {
                Value::String(text) if text.starts_with(SEALED) => all.push(text),
                Value::Array(items) => items.iter().for_each(|item| walk(item, all)),
                Value::Object(fields) => fields.values().for_each(|field| walk(field, all)),
                Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        let mut all = Vec::new();
        walk(&self.0, &mut all);
        all
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Object(…)")
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Map::deserialize(d).map(|fields| Self(Value::Object(fields)))
    }
}

impl JsonSchema for Object {
    fn schema_name() -> Cow<'static, str> {
        "Object".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

/// A registered schema as deciders remember it: its text, shared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct SchemaText(Arc<str>);

impl From<String> for SchemaText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<SchemaText> for String {
    fn from(text: SchemaText) -> Self {
        text.0.as_ref().to_owned()
    }
}

impl From<&Object> for SchemaText {
    fn from(schema: &Object) -> Self {
        Self(schema.0.to_string().into())
    }
}

/// Why a schema cannot be registered, or data does not fit: where, and what is wrong there. For
/// whoever wrote it; no record quotes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", if at.is_empty() { "/" } else { at })]
pub struct Unfit {
    /// JSON pointer.
    pub at: String,
    /// What is wrong.
    pub why: String,
}

fn unfit<T>(at: &str, why: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit { at: at.to_owned(), why: why.into() })
}

/// Keywords that any subschema may have.
const ANY: [&str; 3] = ["type", "title", "description"];

/// The keywords of each type.
fn keywords(of: &str) -> Option<&'static [&'static str]> {
    Some(match of {
        "object" => &["properties", "required", "additionalProperties"],
        "array" => &["items", "minItems", "maxItems"],
        "string" => &["minLength", "maxLength", "pattern", "enum", "const", "x-content"],
        "integer" => &[
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
            "enum",
            "const",
        ],
        "boolean" => &["enum", "const"],
        _ => return None,
    })
}

/// The one type of a subschema, `null` left aside.
fn kind_of(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(name) => Some(name),
        Value::Array(names) => match names.as_slice() {
            [Value::String(name), Value::String(null)] if null == "null" => Some(name),
            _ => None,
        },
        _ => None,
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
    name.len() <= 63
        && name.bytes().next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_')
        && name.bytes().all(plain)
}

fn dialect(schema: &Value, at: &str, depth: usize) -> Result<(), Unfit> {
    let Some(fields) = schema.as_object() else { return unfit(at, "a schema is an object") };
    if depth == 0 {
        return unfit(at, format!("nested deeper than {EXT_DEPTH}"));
    }
    let Some((kind, known)) = kind_of(schema).and_then(|k| Some((k, keywords(k)?))) else {
        let types = "object, array, string, integer or boolean, or a list of one and \"null\"";
        return unfit(at, format!("\"type\" must be {types}"));
    };
    for word in fields.keys() {
        let root = at.is_empty() && word == "$schema";
        if !root && !ANY.contains(&word.as_str()) && !known.contains(&word.as_str()) {
            return unfit(at, format!("{word:?} is no keyword of type {kind} here"));
        }
    }
    for word in ["enum", "const"] {
        let values = schema.get(word).map_or(&[][..], |v| match v {
            Value::Array(values) => values,
            one => std::slice::from_ref(one),
        });
        if values.iter().any(|v| v.is_object() || v.is_array()) {
            return unfit(at, format!("{word:?} holds texts, integers, truths and null only"));
        }
    }
    match kind {
        "object" => object(schema, at, depth),
        "array" => match schema.get("items") {
            Some(items) => dialect(items, &format!("{at}/items"), depth - 1),
            None => unfit(at, "\"items\" is missing"),
        },
        "string" if schema.get("x-content").is_some_and(|mark| mark != true) => {
            unfit(at, "\"x-content\" is true or not there")
        }
        _ => Ok(()),
    }
}

fn object(schema: &Value, at: &str, depth: usize) -> Result<(), Unfit> {
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        return unfit(at, "\"additionalProperties\" must be false");
    }
    let Some(properties) = schema["properties"].as_object() else {
        return unfit(at, "\"properties\" is missing");
    };
    for (name, property) in properties {
        let at = format!("{at}/properties/{name}");
        if !is_name(name) {
            return unfit(&at, "a property's name is [A-Za-z_][A-Za-z0-9_-]{0,62}");
        }
        dialect(property, &at, depth - 1)?;
    }
    Ok(())
}

/// A schema, ready to hold data to.
#[derive(Debug)]
pub struct Compiled {
    schema: Value,
    validator: Validator,
}

impl Compiled {
    /// Compiles a schema.
    ///
    /// # Errors
    /// It is larger or deeper than it may be, says something outside the dialect, or is no schema.
    pub fn new(schema: &Object) -> Result<Self, Unfit> {
        let schema = schema.0.clone();
        let bytes = schema.to_string().len();
        if bytes > EXT_SCHEMA_BYTES {
            return unfit("", format!("{bytes} bytes, {EXT_SCHEMA_BYTES} at the most"));
        }
        if schema["type"] != "object" {
            return unfit("", "the data is an object: \"type\" must be \"object\"");
        }
        let draft = "https://json-schema.org/draft/2020-12/schema";
        if schema.get("$schema").is_some_and(|named| named != draft) {
            return unfit("", format!("\"$schema\" is {draft} or not there"));
        }
        dialect(&schema, "", EXT_DEPTH)?;
        let patterns =
            PatternOptions::regex().size_limit(EXT_PATTERN_BYTES).dfa_size_limit(EXT_PATTERN_BYTES);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(patterns)
            .build(&schema)
            .map_err(|e| Unfit { at: e.instance_path().to_string(), why: e.to_string() })?;
        Ok(Self { schema, validator })
    }

    /// From a remembered text.
    ///
    /// # Errors
    /// As [`Compiled::new`].
    pub fn from_text(text: &SchemaText) -> Result<Self, Unfit> {
        let value = serde_json::from_str(&text.0)
            .map_err(|e| Unfit { at: String::new(), why: e.to_string() })?;
        Self::new(&Object(value))
    }

    /// Whether clear data fits, and each of its strings is content or short metadata.
    ///
    /// # Errors
    /// The first place where it does not.
    pub fn fits(&self, data: &Object) -> Result<(), Unfit> {
        if let Err(e) = self.validator.validate(&data.0) {
            let why = e.masked().to_string();
            return unfit(&e.instance_path().to_string(), why);
        }
        let mut wrong = None;
        walk(&self.schema, &data.0, "", &mut |at, text, content| {
            let label = text.chars().count() <= LABEL_CHARS
                && !text.chars().any(char::is_control)
                && !text.starts_with(SEALED);
            if !content && !label && wrong.is_none() {
                wrong = Some(Unfit {
                    at: at.to_owned(),
                    why: format!(
                        "a text that is not content has no control characters, does not begin \
                         with {SEALED} and has {LABEL_CHARS} characters at the most"
                    ),
                });
            }
        });
        wrong.map_or(Ok(()), Err)
    }

    /// Whether every content field that is there has text, and not too much of it.
    #[must_use]
    pub fn content_within_bound(&self, data: &Object) -> bool {
        let mut within = true;
        walk(&self.schema, &data.0, "", &mut |_, text, content| {
            within &= !content || (!text.is_empty() && text.len() <= CONTENT_BYTES);
        });
        within
    }

    /// The content fields of fitting data, with their JSON pointers in it.
    #[must_use]
    pub fn content<'a>(&self, data: &'a mut Object) -> Vec<(String, &'a mut String)> {
        let mut all = Vec::new();
        marked(&self.schema, &mut data.0, "", &mut all);
        all
    }
}

/// Every string of the data, with its pointer and whether it is marked content.
fn walk(schema: &Value, data: &Value, at: &str, see: &mut impl FnMut(&str, &str, bool)) {
    match data {
        Value::String(text) => see(at, text, schema["x-content"] == true),
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                walk(&schema["items"], item, &format!("{at}/{n}"), see);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                walk(&schema["properties"][name], field, &format!("{at}/{name}"), see);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn marked<'a>(
    schema: &Value,
    data: &'a mut Value,
    at: &str,
    all: &mut Vec<(String, &'a mut String)>,
) {
    match data {
        Value::String(text) if schema["x-content"] == true => all.push((at.to_owned(), text)),
        Value::Array(items) => {
            for (n, item) in items.iter_mut().enumerate() {
                marked(&schema["items"], item, &format!("{at}/{n}"), all);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                marked(&schema["properties"][name], field, &format!("{at}/{name}"), all);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
