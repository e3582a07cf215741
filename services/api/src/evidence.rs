//! Evidence over HTTP: uploads, signed addresses, downloads. Bytes flow through a chunk at a
//! time; the record is asked for only when the object is stored whole, and what is then refused
//! is removed again.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts as _, Query, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use canonry_projections::rows::Event;
use canonry_record::encoding::unbase64url;
use canonry_schemas::evidence::{Attach, MediaType};
use canonry_schemas::header::INTENT_ID;
use canonry_schemas::ids::{IntentId, TenantId, WorkId};
use canonry_schemas::limits::{
    EVIDENCE_BYTES, EVIDENCE_READ_OFF, EVIDENCE_READ_OFF_WAIT, EVIDENCE_URL_LIFE,
};
use canonry_schemas::refusal::{Refusal, unrecorded};
use canonry_schemas::text::Content;
use canonry_schemas::time::Time;
use futures_util::StreamExt as _;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use crate::Api;
use crate::auth::{Caller, Claims, authenticate, single};
use crate::ports::{Clear, EvidenceError, StoredEvidence, Submission, SubmitError};
use crate::problem::{
    EVIDENCE_BUSY, EVIDENCE_ERASED, EVIDENCE_INVALID, EVIDENCE_MISSING, EVIDENCE_UNKNOWN, Problem,
    QUERY_INVALID, URL_EXPIRED, URL_INVALID,
};
use crate::query::{EvidenceUrl, Plain, Signed};
use crate::read::{Answered, Asked, Id, POSITION, answer};
use crate::routes::Upload;
use crate::traced;

/// The file's name, base64url of UTF-8: a header's own bytes cannot hold every name.
pub const NAME: &str = "Canonry-Evidence-Name";

impl From<EvidenceError> for Problem {
    fn from(error: EvidenceError) -> Self {
        match &error {
            EvidenceError::Invalid(why) => Self::new(EVIDENCE_INVALID, *why),
            EvidenceError::Missing => Self::new(EVIDENCE_MISSING, error.to_string()),
            EvidenceError::Failed(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "evidence bucket");
                Self::new(unrecorded::STORE, error.to_string())
            }
        }
    }
}

fn invalid(why: impl Into<String>) -> Problem {
    Problem::new(EVIDENCE_INVALID, why)
}

fn place(api: &Api) -> Result<OwnedSemaphorePermit, Problem> {
    let busy = "as many uploads and downloads go on as may";
    let place = std::sync::Arc::clone(&api.transfers).try_acquire_owned();
    place.map_err(|_| Problem::new(EVIDENCE_BUSY, busy))
}

/// What the headers of an upload say.
struct Told {
    media_type: MediaType,
    name: Option<Content>,
    intent: Option<String>,
}

fn told(parts: &Parts) -> Result<Told, Problem> {
    let headers = &parts.headers;
    let media_type = match single(headers, CONTENT_TYPE)? {
        Some(text) => text.parse().map_err(|e: canonry_schemas::evidence::InvalidMediaType| {
            invalid(format!("Content-Type: {e}"))
        })?,
        None => MediaType::unknown(),
    };
    let name = single(headers, NAME)?.map(|text| {
        let clear = unbase64url(&text).and_then(|bytes| String::from_utf8(bytes).ok());
        clear.map(Content).filter(Content::within_bound)
    });
    let name = match name {
        Some(None) => return Err(invalid(format!("{NAME}: base64url of 1 to 500 bytes of UTF-8"))),
        other => other.flatten(),
    };
    let intent = single(headers, INTENT_ID)?;
    if let Some(text) = &intent {
        text.parse::<IntentId>().map_err(|_| Refusal::BadIntentId)?;
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length == 0 || length > EVIDENCE_BYTES) {
        return Err(invalid(format!("expected 1 to {EVIDENCE_BYTES} bytes")));
    }
    Ok(Told { media_type, name, intent })
}

/// The ticket or run, if it is there: nothing is stored for what is not.
async fn work(api: &Api, caller: &Caller, route: &Upload, id: &str) -> Result<WorkId, Problem> {
    let ticket = route.aggregate == "ticket";
    let unknown = if ticket { Refusal::TicketUnknown } else { Refusal::RunUnknown };
    let work: WorkId = id.parse().map_err(|_| unknown)?;
    if work.aggregate() != route.aggregate {
        return Err(unknown.into());
    }
    let id = id.to_owned();
    let look = api.projections.read(&caller.tenant, move |s| {
        Ok(if ticket { s.ticket(&id)?.is_some() } else { s.run(&id)?.is_some() })
    });
    let (_, there) = look.await?;
    if there { Ok(work) } else { Err(unknown.into()) }
}

/// Takes a file.
pub async fn upload(
    api: Api,
    route: &'static Upload,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let (caller, told, work, _place) = match admit(&api, route, &mut parts).await {
        Ok(admitted) => admitted,
        Err(problem) => {
            read_off(body).await;
            return Err(problem);
        }
    };
    let clear: Clear = Box::pin(body.into_data_stream().map(|bytes| {
        bytes.map_err(|_| EvidenceError::Invalid("the upload ended before it was whole"))
    }));
    let stored = api.evidence.store(&caller.tenant, &work.entity(), clear).await?;
    let trace = traced::handed_on(&parts.headers);
    attach(&api, caller, work, told, stored, trace).await
}

/// All that can be said before the first byte of the file.
async fn admit(
    api: &Api,
    route: &'static Upload,
    parts: &mut Parts,
) -> Result<(Caller, Told, WorkId, OwnedSemaphorePermit), Problem> {
    let Query(query): Query<Plain> = Query::try_from_uri(&parts.uri)?;
    let caller = authenticate(api, &parts.headers, query.min_position).await?;
    if let Claims::Request(_) = caller.claims {
        // It binds a command's body, which nobody knows before the file is stored.
        return Err(Refusal::TokenInvalid.into());
    }
    if let Some(position) = query.min_position {
        api.projections.wait(&caller.tenant, position).await?;
    }
    let id = Id::from_request_parts(parts, &()).await?.0;
    let told = told(parts)?;
    let work = work(api, &caller, route, &id).await?;
    let place = place(api)?;
    Ok((caller, told, work, place))
}

/// Reads the beginning of a file that is not taken: a client that is still sending would find the
/// connection closed instead of the answer.
async fn read_off(body: Body) {
    let mut stream = body.into_data_stream();
    let reading = async {
        let mut left = EVIDENCE_READ_OFF;
        while let Some(Ok(bytes)) = stream.next().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                break;
            }
        }
    };
    drop(tokio::time::timeout(EVIDENCE_READ_OFF_WAIT, reading).await);
}

/// Asks for the record; an object that it will not name is removed.
async fn attach(
    api: &Api,
    caller: Caller,
    id: WorkId,
    told: Told,
    stored: StoredEvidence,
    traceparent: Option<String>,
) -> Result<Response, Problem> {
    let StoredEvidence { object, digest, size, secret } = stored;
    let command = Attach {
        id,
        object: object.clone(),
        digest: digest.clone(),
        size,
        media_type: told.media_type,
        secret: Content(secret),
        name: told.name,
    };
    let body = serde_json::to_vec(&command).map_err(|e| Problem::internal(&e))?;
    let tenant = caller.tenant.clone();
    let submission = Submission {
        tenant: caller.tenant,
        actor: caller.actor,
        aggregate: "evidence",
        verb: "attach",
        body: body.into(),
        intent: told.intent,
        on_behalf_of: caller.token,
        traceparent,
    };
    match api.submit.submit(submission).await {
        Ok(answer) if answer.ok => {
            let mut response = (StatusCode::CREATED, Json(&answer)).into_response();
            let position = answer.position.as_deref().and_then(|p| HeaderValue::from_str(p).ok());
            if let Some(position) = position {
                response.headers_mut().insert(POSITION, position);
            }
            Ok(response)
        }
        Ok(answer) => {
            api.evidence.discard(&tenant, &object, &digest).await;
            Err(Problem::refused(&answer))
        }
        // It may be on the ledger: the object stays, and is looked at when it is old.
        Err(e @ SubmitError::Retry) => Err(Problem::new(unrecorded::RETRY, e.to_string())),
        Err(e @ SubmitError::Failed(_)) => Err(Problem::internal(&e)),
    }
}

/// A signed address and what it leads to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Address {
    /// Path and query, to be joined to this API's own address; whoever has it may read.
    url: String,
    /// Until when it holds.
    expires_at: Time,
    /// Position of the record.
    position: u64,
    /// The ticket or run.
    entity: String,
    /// The object.
    object: String,
    /// Bytes in clear.
    size: u64,
    /// What it is.
    media_type: MediaType,
    /// The file's name, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

fn unknown() -> Problem {
    Problem::new(EVIDENCE_UNKNOWN, "no record with this id attached evidence")
}

fn attached(row: &Event) -> Result<Attach, Problem> {
    serde_json::from_value(row.data.clone()).map_err(|e| Problem::internal(&e))
}

fn opened(api: &Api, tenant: &TenantId, row: &Event, pointer: &str, text: &str) -> Option<String> {
    api.content.decrypt(tenant, &row.entity, pointer, text)
}

fn secret(api: &Api, tenant: &TenantId, row: &Event, found: &Attach) -> Result<String, Problem> {
    let erased = || Problem::new(EVIDENCE_ERASED, "the key that it was sealed under was shredded");
    opened(api, tenant, row, "/secret", &found.secret.0).ok_or_else(erased)
}

/// Gives a signed address.
pub async fn address(State(api): State<Api>, Id(id): Id, asked: Asked<EvidenceUrl>) -> Answered {
    let (usual, most) = EVIDENCE_URL_LIFE;
    let seconds = asked.query.seconds.unwrap_or(usual);
    if !(1..=most).contains(&seconds) {
        return Err(Problem::new(QUERY_INVALID, format!("seconds: 1 to {most}")));
    }
    let (head, row) = asked.read(&api, move |s| s.evidence(&id)).await?;
    let row = row.ok_or_else(unknown)?;
    let (tenant, found) = (&asked.caller.tenant, attached(&row)?);
    secret(&api, tenant, &row, &found)?;
    let now = u64::try_from((api.now)().seconds()).unwrap_or_default();
    let expires = now + u64::from(seconds);
    let signature = api.evidence.sign(tenant, row.position, &found.object, expires)?;
    let position = row.position;
    let name = found.name.as_ref().and_then(|n| opened(&api, tenant, &row, "/name", &n.0));
    let address = Address {
        url: format!(
            "/api/v1/evidence/{position}?tenant={tenant}&expires={expires}&signature={signature}"
        ),
        expires_at: Time(i64::try_from(expires * 1_000_000).unwrap_or(i64::MAX)),
        position,
        entity: row.entity.clone(),
        object: found.object.to_string(),
        size: found.size,
        media_type: found.media_type,
        name,
    };
    Ok(answer(&head, json!(address)))
}

/// Gives the bytes behind a signed address.
pub async fn download(
    State(api): State<Api>,
    Id(id): Id,
    signed: Result<Query<Signed>, QueryRejection>,
) -> Answered {
    let invalid = || Problem::new(URL_INVALID, "this address was not made here, or was changed");
    let Query(signed) = signed.map_err(|_| invalid())?;
    let tenant: TenantId = signed.tenant.parse().map_err(|_| invalid())?;
    let position: u64 = id.parse().map_err(|_| invalid())?;
    // Strangers learn nothing of what is there before the signature holds.
    let row = api.projections.read(&tenant, move |s| s.evidence(&position.to_string())).await;
    let (_, row) = row.map_err(|_| invalid())?;
    let row = row.ok_or_else(invalid)?;
    let mut found = attached(&row)?;
    let (object, expires) = (&found.object, signed.expires);
    if !api.evidence.holds(&tenant, position, object, expires, &signed.signature) {
        return Err(invalid());
    }
    if expires < u64::try_from((api.now)().seconds()).unwrap_or(u64::MAX) {
        return Err(Problem::new(URL_EXPIRED, "this address has expired: ask for a new one"));
    }
    found.secret = Content(secret(&api, &tenant, &row, &found)?);
    let place = place(&api)?;
    let clear = api.evidence.open(&tenant, &row.entity, &found).await?;
    // The place is given back when the last byte was taken, or nobody wants more.
    let body = Body::from_stream(clear.inspect(move |_| {
        let _held = &place;
    }));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_str(found.media_type.as_str());
    headers.insert(CONTENT_TYPE, media_type.map_err(|e| Problem::internal(&e))?);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(found.size));
    // Somebody else's file must not run as a page of this origin.
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(POSITION, HeaderValue::from(row.position));
    Ok(response)
}
