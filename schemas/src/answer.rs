//! The answer to a command, and the body of an outcome: the same bytes. Its JSON Schema is
//! `schemas/answer.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `{"ok","receipt","position","entity","code"?,"message"?}`; what was never recorded has no
/// receipt, position or entity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// Whether the command became a fact.
    pub ok: bool,
    /// `<tenant>/<position>/<record hash>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        regex(pattern = r"^[a-z0-9][a-z0-9-]{0,30}/[1-9][0-9]{0,19}/[0-9a-f]{64}$")
    )]
    pub receipt: Option<String>,
    /// Where the record stands, a decimal string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[1-9][0-9]{0,19}$"))]
    pub position: Option<String>,
    /// `<aggregate>/<id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[a-z-]+/[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub entity: Option<String>,
    /// Which event an action's command became: `allowed` is the only one that lets anything be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[a-z]+(-[a-z]+)*$"))]
    pub event: Option<String>,
    /// The stable code of a refusal; its page is `schemas/errors/<code>.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[a-z]+(-[a-z]+)*$"))]
    pub code: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub message: Option<String>,
    /// The intent's id, where the answer is that it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"))]
    pub intent: Option<String>,
}

impl Answer {
    /// An answer to something that left no record.
    #[must_use]
    pub fn unrecorded(code: &str, message: impl Into<String>) -> Self {
        Self {
            ok: false,
            receipt: None,
            position: None,
            entity: None,
            event: None,
            code: Some(code.to_owned()),
            message: Some(message.into()),
            intent: None,
        }
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
