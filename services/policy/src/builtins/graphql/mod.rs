//! `graphql.parse_query`, `.parse_schema` and `.schema_is_valid` (GraphQL, June 2018 and October 2021),
//! with syntax trees in the form that OPA gives them.
//!
//! Queries are not held against schemas here: that is `graphql.is_valid`, which is not supported.

mod query;
mod read;
mod schema;
mod valid;

use regorus::Value;

use super::{Answer, Builtin, text_of};

type Json = serde_json::Value;
type Object = serde_json::Map<String, Json>;

pub(super) const ALL: &[Builtin] = &[
    ("graphql.parse_query", 1, parse_query),
    ("graphql.parse_schema", 1, parse_schema),
    ("graphql.schema_is_valid", 1, schema_is_valid),
];

fn one(given: &[Value]) -> Result<&Value, String> {
    match given {
        [one] => Ok(one),
        _ => Err("one operand".to_owned()),
    }
}

fn parse_query(given: &[Value]) -> Answer {
    Ok(Value::from(query::document(text_of(one(given)?)?)?))
}

fn parse_schema(given: &[Value]) -> Answer {
    Ok(Value::from(schema::document(text_of(one(given)?)?)?))
}

fn schema_is_valid(given: &[Value]) -> Answer {
    let tree = match one(given)? {
        Value::String(text) => schema::document(text),
        tree @ Value::Object(_) => serde_json::to_value(tree).map_err(|e| e.to_string()),
        _ => return Err("operand must be one of {string, object}".to_owned()),
    };
    Ok(Value::from(tree.and_then(|tree| valid::schema(&tree)).is_ok()))
}

/// A node of a tree.
fn node(fields: &[(&str, Json)]) -> Object {
    fields.iter().map(|(name, field)| ((*name).to_owned(), field.clone())).collect()
}

/// Puts a list into a node, unless it is empty.
fn put(node: &mut Object, name: &str, list: Vec<Json>) {
    if !list.is_empty() {
        node.insert(name.to_owned(), Json::Array(list));
    }
}
