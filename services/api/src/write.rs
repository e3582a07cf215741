//! Writes: one command each, in the caller's name. A request-bound token pins the body, so the
//! body is handed on as it came; under a bearer the id of the path is put into it.

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts as _, Query, Request};
use axum::http::header::{CONTENT_LENGTH, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use canonry_schemas::answer::Answer;
use canonry_schemas::header::INTENT_ID;
use canonry_schemas::ids::IntentId;
use canonry_schemas::json;
use canonry_schemas::limits::COMMAND_BYTES;
use canonry_schemas::refusal::{Refusal, unrecorded};
use serde_json::{Map, Value};

use crate::Api;
use crate::auth::{Claims, authenticate, single};
use crate::ports::{Submission, SubmitError};
use crate::problem::Problem;
use crate::query::Plain;
use crate::read::{Id, POSITION};
use crate::routes::Write;
use crate::traced;

/// Does one write.
pub async fn handle(
    api: Api,
    route: &'static Write,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let Query(query): Query<Plain> = Query::try_from_uri(&parts.uri)?;
    let caller = authenticate(&api, &parts.headers, query.min_position).await?;
    let id = match route.id {
        Some(field) => Some((field, Id::from_request_parts(&mut parts, &()).await?.0)),
        None => None,
    };
    let body = bounded(&parts.headers, body, COMMAND_BYTES).await?;
    let given = intent(&parts.headers)?;
    let (body, intent) = match &caller.claims {
        Claims::Bearer(_) | Claims::Lease => (composed(body, id)?, given),
        Claims::Request(token) => {
            let intent = given.unwrap_or_else(|| token.intent.clone());
            let command = (route.aggregate, route.verb);
            token.check(caller.tenant.as_str(), command, &body, &intent, (api.now)().seconds())?;
            if let Some((field, id)) = id {
                same_id(&object(&body)?, field, &id)?;
            }
            (body, Some(intent))
        }
    };
    let submission = Submission {
        tenant: caller.tenant,
        actor: caller.actor,
        aggregate: route.aggregate,
        verb: route.verb,
        body,
        intent,
        under_lease: matches!(caller.claims, Claims::Lease),
        on_behalf_of: caller.token,
        traceparent: traced::handed_on(&parts.headers),
    };
    match api.submit.submit(submission).await {
        Ok(answer) if answer.ok => Ok(done(route, &answer)),
        Ok(answer) => Err(Problem::refused(&answer)),
        Err(e @ SubmitError::Retry) => Err(Problem::new(unrecorded::RETRY, e.to_string())),
        Err(e @ SubmitError::Failed(_)) => Err(Problem::internal(&e)),
    }
}

/// A body of at most so many bytes.
pub(crate) async fn bounded(
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<Bytes, Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > most as u64) {
        return Err(Refusal::BodyTooLarge.into());
    }
    // Whatever ends a body early, what is left of it is no command.
    to_bytes(body, most).await.map_err(|_| Refusal::BodyTooLarge.into())
}

fn intent(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(text) = single(headers, INTENT_ID)? else { return Ok(None) };
    text.parse::<IntentId>().map_err(|_| Refusal::BadIntentId)?;
    Ok(Some(text))
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    match json::parse(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::new(Refusal::SchemaViolation.code(), "the body is not an object")),
        Err(e) => Err(Problem::new(Refusal::NotJson.code(), e.to_string())),
    }
}

fn same_id(object: &Map<String, Value>, field: &str, id: &str) -> Result<(), Problem> {
    if object.get(field).and_then(Value::as_str) == Some(id) {
        return Ok(());
    }
    let detail = format!("the body's {field} is not the one of the path");
    Err(Problem::new(Refusal::SchemaViolation.code(), detail))
}

/// The same bytes for the same request, so that a repetition has the same digest.
fn composed(body: Bytes, id: Option<(&str, String)>) -> Result<Bytes, Problem> {
    let Some((field, id)) = id else { return Ok(body) };
    let mut object = if body.is_empty() { Map::new() } else { object(&body)? };
    if object.contains_key(field) {
        same_id(&object, field, &id)?;
    }
    object.insert(field.to_owned(), Value::String(id));
    Ok(Value::Object(object).to_string().into())
}

fn done(route: &Write, answer: &Answer) -> Response {
    let status = if route.creates { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, Json(answer)).into_response();
    let mut set = |name: HeaderName, value: Option<String>| {
        if let Some(value) = value.and_then(|v| HeaderValue::from_str(&v).ok()) {
            response.headers_mut().insert(name, value);
        }
    };
    set(POSITION, answer.position.clone());
    if route.creates {
        let place = answer.entity.as_deref().and_then(|e| match e.split_once('/')? {
            ("ticket", id) => Some(format!("/api/v1/tickets/{id}")),
            ("role", id) => Some(format!("/api/v1/roles/{id}")),
            ("action", id) => Some(format!("/api/v1/actions/{id}")),
            ("lease", id) => Some(format!("/api/v1/leases/{id}")),
            ("run", id) => Some(format!("/api/v1/exec/{id}/status")),
            _ => None,
        });
        set(LOCATION, place);
    }
    response
}
