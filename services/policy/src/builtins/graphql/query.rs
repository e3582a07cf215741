//! Queries: operations and fragments.

use super::read::{Reader, Token};
use super::{Json, Object, node, put};

/// The tree of a document of queries.
pub(super) fn document(text: &str) -> Result<Json, String> {
    let mut reader = Reader::new(text)?;
    let (mut operations, mut fragments) = (Vec::new(), Vec::new());
    while *reader.peek() != Token::End {
        if reader.is("{") {
            let mut one = node(&[("Name", "".into()), ("Operation", "query".into())]);
            put(&mut one, "SelectionSet", selections(&mut reader)?);
            operations.push(Json::Object(one));
        } else if reader.skip_word("fragment") {
            fragments.push(fragment(&mut reader)?);
        } else {
            operations.push(operation(&mut reader)?);
        }
    }
    let mut all = Object::new();
    put(&mut all, "Operations", operations);
    put(&mut all, "Fragments", fragments);
    Ok(Json::Object(all))
}

fn operation(reader: &mut Reader) -> Result<Json, String> {
    let kinds = ["query", "mutation", "subscription"];
    let Some(kind) = kinds.into_iter().find(|k| reader.is_word(k)) else {
        return reader.unexpected();
    };
    reader.next();
    let name = if matches!(reader.peek(), Token::Name(_)) { reader.name()? } else { String::new() };
    let mut one = node(&[("Name", name.into()), ("Operation", kind.into())]);
    put(&mut one, "VariableDefinitions", reader.perhaps(("(", ")"), variable)?);
    put(&mut one, "Directives", reader.directives(false)?);
    put(&mut one, "SelectionSet", selections(reader)?);
    Ok(Json::Object(one))
}

fn variable(reader: &mut Reader) -> Result<Json, String> {
    reader.expect("$")?;
    let mut one = node(&[("Variable", reader.name()?.into()), ("Used", false.into())]);
    reader.expect(":")?;
    one.insert("Type".to_owned(), reader.kind()?);
    reader.default(&mut one)?;
    put(&mut one, "Directives", reader.directives(false)?);
    Ok(Json::Object(one))
}

fn fragment(reader: &mut Reader) -> Result<Json, String> {
    if reader.is_word("on") {
        return reader.unexpected();
    }
    let mut one = node(&[("Name", reader.name()?.into())]);
    put(&mut one, "VariableDefinition", reader.perhaps(("(", ")"), variable)?);
    if !reader.skip_word("on") {
        return reader.unexpected();
    }
    one.insert("TypeCondition".to_owned(), reader.name()?.into());
    put(&mut one, "Directives", reader.directives(false)?);
    put(&mut one, "SelectionSet", selections(reader)?);
    Ok(Json::Object(one))
}

fn selections(reader: &mut Reader) -> Result<Vec<Json>, String> {
    reader.some(("{", "}"), |r| if r.skip("...") { spread(r) } else { field(r) })
}

fn spread(reader: &mut Reader) -> Result<Json, String> {
    if matches!(reader.peek(), Token::Name(_)) && !reader.is_word("on") {
        let mut one = node(&[("Name", reader.name()?.into())]);
        put(&mut one, "Directives", reader.directives(false)?);
        return Ok(Json::Object(one));
    }
    let on = if reader.skip_word("on") { reader.name()? } else { String::new() };
    let mut one = node(&[("TypeCondition", on.into())]);
    put(&mut one, "Directives", reader.directives(false)?);
    put(&mut one, "SelectionSet", selections(reader)?);
    Ok(Json::Object(one))
}

fn field(reader: &mut Reader) -> Result<Json, String> {
    let alias = reader.name()?;
    let name = if reader.skip(":") { reader.name()? } else { alias.clone() };
    let mut one = node(&[("Alias", alias.into()), ("Name", name.into())]);
    put(&mut one, "Arguments", reader.arguments(false)?);
    put(&mut one, "Directives", reader.directives(false)?);
    if reader.is("{") {
        put(&mut one, "SelectionSet", selections(reader)?);
    }
    Ok(Json::Object(one))
}
