//! The kinds of text in commands and facts: content (encrypted in records), governance text
//! (in clear, bounded) and labels (short metadata).

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::{CONTENT_BYTES, GOVERNANCE_TEXT_BYTES, LABEL_CHARS};

/// Content: clear in a command, `x1:…` in a record. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Content(pub String);

impl Content {
    /// Whether the clear text is within its bound (at most 500 bytes, counted before encryption).
    #[must_use]
    pub fn within_bound(&self) -> bool {
        !self.0.is_empty() && self.0.len() <= CONTENT_BYTES
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(…)")
    }
}

impl JsonSchema for Content {
    fn schema_name() -> Cow<'static, str> {
        "Content".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "x-content": true })
    }
}

macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $max:expr, $schema:tt, $ok:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                let ok: fn(&str) -> bool = $ok;
                if ok(&text) { Ok(Self(text)) } else {
                    Err(serde::de::Error::custom(concat!(stringify!($name), " out of bounds")))
                }
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> { stringify!($name).into() }
            fn inline_schema() -> bool { true }
            fn json_schema(_: &mut SchemaGenerator) -> Schema { json_schema!($schema) }
        }
    };
}

bounded_text!(
    /// Authored governance text: configuration, kept in clear.
    Governance, GOVERNANCE_TEXT_BYTES,
    { "type": "string", "minLength": 1, "maxLength": GOVERNANCE_TEXT_BYTES },
    |t| !t.is_empty() && t.len() <= GOVERNANCE_TEXT_BYTES
);
bounded_text!(
    /// A label: one line of printable metadata.
    Label, LABEL_CHARS,
    { "type": "string", "minLength": 1, "maxLength": LABEL_CHARS, "pattern": "^[^\\p{Cc}]+$" },
    |t| !t.is_empty() && t.chars().count() <= LABEL_CHARS && !t.chars().any(char::is_control)
);
