//! The OpenAPI 3.1 document, made of the tables of routes and the schemas of commands and rows.

use std::sync::LazyLock;

use canonry_schemas::answer::Answer;
use canonry_schemas::event::Command;
use canonry_schemas::header;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::evidence::NAME;
use crate::routes::{ASKS, Ask, Method, READS, Read, UPLOADS, Upload, WRITES, Write};

const PREFIX: &str = "#/components/schemas/";
static DOCUMENT: LazyLock<Value> = LazyLock::new(generate);

/// The document.
#[must_use]
pub fn document() -> Value {
    DOCUMENT.clone()
}

/// What every refused request gives.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; the problem is written field by field")]
struct Problem {
    /// The page of the code, `schemas/errors/<code>.md`.
    r#type: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The stable code.
    code: String,
    /// What happened.
    detail: String,
    /// The receipt, where the refusal is a record.
    receipt: Option<String>,
    /// Its position.
    position: Option<String>,
    /// What was refused.
    entity: Option<String>,
}

fn generate() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.definitions_path = "/components/schemas".into();
        s.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<Problem>();
    generator.subschema_for::<Answer>();
    let mut paths = Map::new();
    for route in READS {
        place(&mut paths, route.path, "get", read(route, &mut generator));
    }
    for route in ASKS {
        place(&mut paths, route.path, "post", ask(route, &mut generator));
    }
    let mut schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    for (aggregate, verb, schema) in Command::schemas() {
        let schema = hoist(Value::from(schema), &mut schemas);
        schemas.insert(format!("{aggregate}.{verb}"), schema);
    }
    for route in WRITES {
        let method = match route.method {
            Method::Post => "post",
            Method::Patch => "patch",
            Method::Put => "put",
        };
        place(&mut paths, route.path, method, write(route, &schemas));
    }
    for route in UPLOADS {
        place(&mut paths, route.path, "post", upload(route));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Canonry",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Reads come from projections, writes are commands to the decider.",
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT (EdDSA)",
                "description": "By a member key: aud canonry/<tenant>/api, or for one write \
                    canonry/<tenant>/request.",
            } },
        },
    })
}

fn place(paths: &mut Map<String, Value>, path: &str, method: &str, operation: Value) {
    let path = path.replace("{*id}", "{id}");
    paths.entry(path).or_insert_with(|| json!({}))[method] = operation;
}

fn path_parameters(path: &str) -> Vec<Value> {
    let id =
        json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
    // A path of its own, slashes included: OpenAPI knows no such parameter by name.
    if path.contains("{id}") || path.contains("{*id}") { vec![id] } else { Vec::new() }
}

fn problem() -> Value {
    let schema = json!({ "$ref": format!("{PREFIX}Problem") });
    json!({
        "description": "A problem with a stable code",
        "content": { "application/problem+json": { "schema": schema } },
    })
}

fn position() -> Value {
    json!({ "Canonry-Position": {
        "description": "The position that the answer belongs to",
        "schema": { "type": "string" },
    } })
}

fn ask(route: &Ask, generator: &mut SchemaGenerator) -> Value {
    let [sent, answer] = route.schemas.map(|schema| schema(generator));
    let content = json!({ "application/json": { "schema": answer } });
    json!({
        "operationId": operation_id("post", route.path),
        "summary": route.summary,
        "parameters": [min_position()],
        "requestBody": {
            "required": true, "content": { "application/json": { "schema": sent } },
        },
        "responses": {
            "200": { "description": route.summary, "content": content }, "default": problem(),
        },
    })
}

fn read(route: &Read, generator: &mut SchemaGenerator) -> Value {
    let mut parameters = path_parameters(route.path);
    if let Some(query) = route.query {
        // Parameters are told one by one, so the query's own schema is made apart.
        let mut apart = SchemaGenerator::default();
        let schema = Value::from(query(&mut apart));
        let name = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()).unwrap_or_default();
        let whole = apart.definitions().get(name).cloned().unwrap_or(schema.clone());
        for (name, schema) in whole["properties"].as_object().into_iter().flatten() {
            parameters.push(json!({ "name": name, "in": "query", "schema": schema }));
        }
    }
    let (media, answer) = route.answer;
    let content = json!({ media: { "schema": answer(generator) } });
    let mut ok = json!({ "description": route.summary, "content": content });
    if route.bearer {
        ok["headers"] = position();
    }
    let mut operation = json!({
        "operationId": operation_id("get", route.path),
        "summary": route.summary,
        "parameters": parameters,
        "responses": { "200": ok, "default": problem() },
    });
    if !route.bearer {
        operation["security"] = json!([]);
    }
    operation
}

fn write(route: &Write, schemas: &Map<String, Value>) -> Value {
    let name = format!("{}.{}", route.aggregate, route.verb);
    let mut body = json!({ "$ref": format!("{PREFIX}{name}") });
    if let Some(field) = route.id {
        // Under a bearer the path gives the id; a request-bound body holds it too.
        body = schemas.get(&name).cloned().unwrap_or_default();
        if let Some(required) = body["required"].as_array_mut() {
            required.retain(|r| r != field);
        }
    }
    let mut parameters = path_parameters(route.path);
    parameters
        .push(header(header::INTENT_ID, "A ULID; the same id gives the same answer for 24 hours"));
    parameters.push(min_position());
    let status = if route.creates { "201" } else { "200" };
    let ok = committed();
    let method = if route.method == Method::Post { "post" } else { "patch" };
    json!({
        "operationId": operation_id(method, route.path),
        "summary": format!("The command {} {}", route.aggregate, route.verb),
        "parameters": parameters,
        "requestBody": { "content": { "application/json": { "schema": body } } },
        "responses": { status: ok, "default": problem() },
    })
}

fn header(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "header", "schema": { "type": "string" },
        "description": description })
}

fn min_position() -> Value {
    json!({ "name": "min_position", "in": "query", "schema": { "type": "integer" },
        "description": "Where the signing key was enrolled, if only now" })
}

fn committed() -> Value {
    json!({
        "description": "Committed",
        "headers": position(),
        "content": { "application/json": { "schema": { "$ref": format!("{PREFIX}Answer") } } },
    })
}

fn upload(route: &Upload) -> Value {
    let mut parameters = path_parameters(route.path);
    parameters.push(header(header::INTENT_ID, "A ULID of this upload alone"));
    parameters.push(header(NAME, "The file's name, base64url of UTF-8; kept sealed"));
    parameters.push(min_position());
    let bytes = json!({ "schema": { "type": "string", "format": "binary" } });
    json!({
        "operationId": operation_id("post", route.path),
        "summary": format!("Attaches the body to a {}; its media type is kept", route.aggregate),
        "parameters": parameters,
        "requestBody": { "required": true, "content": { "*/*": bytes } },
        "responses": { "201": committed(), "default": problem() },
    })
}

fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    words.fold(method.to_owned(), |id, word| format!("{id}_{word}"))
}

/// Moves a schema's own definitions among the components and points its references there.
fn hoist(mut schema: Value, schemas: &mut Map<String, Value>) -> Value {
    let mut definitions = Map::new();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        if let Some(Value::Object(own)) = object.remove("$defs") {
            definitions = own;
        }
    }
    for (name, mut definition) in definitions {
        point(&mut definition);
        let known = schemas.entry(name).or_insert_with(|| definition.clone());
        debug_assert_eq!(*known, definition, "two types of one name");
    }
    point(&mut schema);
    schema
}

fn point(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                *reference = format!("{PREFIX}{name}");
            }
            object.values_mut().for_each(point);
        }
        Value::Array(items) => items.iter_mut().for_each(point),
        _ => {}
    }
}
