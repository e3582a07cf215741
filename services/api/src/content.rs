//! Clear content for those who may read: opens the content fields of a row on its way out. What
//! cannot be opened any more is `null`, and so is everything of an entity that was erased,
//! whatever keys are still in memory.

use canonry_schemas::ids::TenantId;
use serde_json::Value;

use crate::ports::Content;

/// A field of a row, and the pointer that its content was sealed with.
pub type Field = (&'static str, &'static str);

pub const TICKET: &[Field] = &[
    ("/title", "/title"),
    ("/note", "/note"),
    ("/result", "/result"),
    ("/reason", "/reason"),
    ("/asked/reason", "/reason"),
    ("/answered/reason", "/reason"),
];
pub const ROLE: &[Field] = &[("/reason", "/reason")];
pub const RUN: &[Field] = &[("/reason", "/reason")];
pub const STEP: &[Field] = &[("/summary", "/summary")];
pub const MEMBER: &[Field] = &[("/name", "/name")];
pub const EVENT: &[Field] = &[
    ("/data/title", "/title"),
    ("/data/note", "/note"),
    ("/data/result", "/result"),
    ("/data/reason", "/reason"),
    ("/data/summary", "/summary"),
];
/// Never `/data/secret`: who may read gets the file, not what opens it.
pub const EVIDENCE_EVENT: &[Field] = &[("/data/name", "/name")];
/// What a policy was told, so that others can ask another one the same.
pub const ACTION_EVENT: &[Field] = &[("/data/input", "/input"), ("/data/reason", "/reason")];
pub const MEMBER_EVENT: &[Field] = &[("/data/name", "/name"), ("/data/reason", "/reason")];

/// Opens everything sealed in the data of a custom record: nothing else in it looks so.
pub fn open_data(content: &dyn Content, tenant: &TenantId, entity: &str, row: &mut Value) {
    fn walk(value: &mut Value, at: &str, open: &impl Fn(&str, &str) -> Option<String>) {
        match value {
            Value::String(text) if text.starts_with("x1:") => *value = open(at, text).into(),
            Value::Array(items) => {
                for (n, item) in items.iter_mut().enumerate() {
                    walk(item, &format!("{at}/{n}"), open);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    walk(field, &format!("{at}/{name}"), open);
                }
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let open = |at: &str, text: &str| content.decrypt(tenant, entity, at, text);
    walk(&mut row["data"]["data"], "/data", &open);
}

/// Opens the fields of one row.
pub fn open(
    content: &dyn Content,
    tenant: &TenantId,
    entity: &str,
    fields: &[Field],
    row: &mut Value,
) {
    let erased = row.get("erased_at").is_some_and(Value::is_string);
    for (place, pointer) in fields {
        if let Some(field) = row.pointer_mut(place)
            && let Value::String(text) = &*field
            && text.starts_with("x1:")
        {
            let clear = if erased { None } else { content.decrypt(tenant, entity, pointer, text) };
            *field = clear.into();
        }
    }
}
