//! Schemas: definitions of types and directives, and their extensions.

use serde_json::json;

use super::read::{Reader, Token};
use super::{Json, Object, node, put};

/// Where a directive may stand.
const LOCATIONS: [&str; 19] = [
    "QUERY",
    "MUTATION",
    "SUBSCRIPTION",
    "FIELD",
    "FRAGMENT_DEFINITION",
    "FRAGMENT_SPREAD",
    "INLINE_FRAGMENT",
    "VARIABLE_DEFINITION",
    "SCHEMA",
    "SCALAR",
    "OBJECT",
    "FIELD_DEFINITION",
    "ARGUMENT_DEFINITION",
    "INTERFACE",
    "UNION",
    "ENUM",
    "ENUM_VALUE",
    "INPUT_OBJECT",
    "INPUT_FIELD_DEFINITION",
];

/// The tree of a document of definitions.
pub(super) fn document(text: &str) -> Result<Json, String> {
    let mut reader = Reader::new(text)?;
    let mut all = Object::new();
    let mut add = |name: &str, one: Json| match all.get_mut(name) {
        Some(Json::Array(list)) => list.push(one),
        _ => {
            all.insert(name.to_owned(), json!([one]));
        }
    };
    while *reader.peek() != Token::End {
        let described = matches!(reader.peek(), Token::Text(_) | Token::Block(_));
        let description = description(&mut reader);
        if reader.is_word("extend") && !described {
            reader.next();
            if reader.skip_word("schema") {
                add("SchemaExtension", schema(&mut reader, description, true)?);
            } else {
                add("Extensions", definition(&mut reader, description, true)?);
            }
        } else if reader.skip_word("schema") {
            add("Schema", schema(&mut reader, description, false)?);
        } else if reader.skip_word("directive") {
            add("Directives", directive(&mut reader, description)?);
        } else {
            add("Definitions", definition(&mut reader, description, false)?);
        }
    }
    Ok(Json::Object(all))
}

fn description(reader: &mut Reader) -> Json {
    match reader.peek().clone() {
        Token::Text(text) | Token::Block(text) => {
            reader.next();
            text.into()
        }
        _ => "".into(),
    }
}

fn schema(reader: &mut Reader, description: Json, extends: bool) -> Result<Json, String> {
    let mut one = node(&[("Description", description)]);
    put(&mut one, "Directives", reader.directives(true)?);
    let entry = |r: &mut Reader| {
        let name = r.name()?;
        r.expect(":")?;
        Ok(json!({"Operation": name, "Type": r.name()?}))
    };
    let entries = if extends {
        reader.perhaps(("{", "}"), entry)?
    } else {
        reader.some(("{", "}"), entry)?
    };
    put(&mut one, "OperationTypes", entries);
    if one.len() == 1 { reader.unexpected() } else { Ok(Json::Object(one)) }
}

fn definition(reader: &mut Reader, description: Json, extends: bool) -> Result<Json, String> {
    let kinds = [
        ("scalar", "SCALAR"),
        ("type", "OBJECT"),
        ("interface", "INTERFACE"),
        ("union", "UNION"),
        ("enum", "ENUM"),
        ("input", "INPUT_OBJECT"),
    ];
    let Some((_, kind)) = kinds.into_iter().find(|(word, _)| reader.is_word(word)) else {
        return reader.unexpected();
    };
    reader.next();
    let mut one = node(&[
        ("BuiltIn", false.into()),
        ("Description", description),
        ("Kind", kind.into()),
        ("Name", reader.name()?.into()),
    ]);
    let bare = one.len();
    if matches!(kind, "OBJECT" | "INTERFACE") && reader.skip_word("implements") {
        put(&mut one, "Interfaces", names(reader, "&")?);
    }
    put(&mut one, "Directives", reader.directives(true)?);
    match kind {
        "OBJECT" | "INTERFACE" => put(&mut one, "Fields", reader.perhaps(("{", "}"), field)?),
        "INPUT_OBJECT" => put(&mut one, "Fields", reader.perhaps(("{", "}"), input)?),
        "ENUM" => put(&mut one, "EnumValues", reader.perhaps(("{", "}"), enum_value)?),
        "UNION" if reader.skip("=") => put(&mut one, "Types", names(reader, "|")?),
        _ => {}
    }
    if extends && one.len() == bare { reader.unexpected() } else { Ok(Json::Object(one)) }
}

/// Names with a mark between them, and perhaps one before the first.
fn names(reader: &mut Reader, mark: &str) -> Result<Vec<Json>, String> {
    reader.skip(mark);
    let mut all = vec![reader.name()?.into()];
    while reader.skip(mark) {
        all.push(reader.name()?.into());
    }
    Ok(all)
}

fn field(reader: &mut Reader) -> Result<Json, String> {
    let mut one = node(&[("Description", description(reader)), ("Name", reader.name()?.into())]);
    put(&mut one, "Arguments", reader.perhaps(("(", ")"), input)?);
    reader.expect(":")?;
    one.insert("Type".to_owned(), reader.kind()?);
    put(&mut one, "Directives", reader.directives(true)?);
    Ok(Json::Object(one))
}

/// An argument of a field, or a field of an input.
fn input(reader: &mut Reader) -> Result<Json, String> {
    let mut one = node(&[("Description", description(reader)), ("Name", reader.name()?.into())]);
    reader.expect(":")?;
    one.insert("Type".to_owned(), reader.kind()?);
    reader.default(&mut one)?;
    put(&mut one, "Directives", reader.directives(true)?);
    Ok(Json::Object(one))
}

fn enum_value(reader: &mut Reader) -> Result<Json, String> {
    let mut one = node(&[("Description", description(reader)), ("Name", reader.name()?.into())]);
    put(&mut one, "Directives", reader.directives(true)?);
    Ok(Json::Object(one))
}

fn directive(reader: &mut Reader, description: Json) -> Result<Json, String> {
    reader.expect("@")?;
    let mut one = node(&[("Description", description), ("Name", reader.name()?.into())]);
    put(&mut one, "Arguments", reader.perhaps(("(", ")"), input)?);
    one.insert("IsRepeatable".to_owned(), reader.skip_word("repeatable").into());
    if !reader.skip_word("on") {
        return reader.unexpected();
    }
    let places = names(reader, "|")?;
    if let Some(wrong) = places.iter().find(|p| !LOCATIONS.iter().any(|l| *p == l)) {
        return Err(format!("Unexpected Name {wrong} in GraphQL string"));
    }
    put(&mut one, "Locations", places);
    Ok(Json::Object(one))
}
