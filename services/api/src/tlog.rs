//! A tenant's transparency log over HTTP: checkpoint and tiles as C2SP tlog-tiles serves them, and
//! proofs made of them. The caller's tenant is the log; nothing here is trusted by who checks a
//! proof, so it is given as it is stored.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use canonry_record::Hash;
use canonry_record::encoding::base64_padded;
use canonry_tlog::TilePath;
use schemars::JsonSchema;
use serde::Serialize;

use crate::Api;
use crate::ports::TlogError;
use crate::problem::{CHECKPOINT_MISSING, POSITION_UNKNOWN, Problem, QUERY_INVALID, TILE_UNKNOWN};
use crate::query::{Consistency, Inclusion, Plain};
use crate::read::{Asked, Id};

type Answered = Result<Response, Problem>;

const NOTE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const TILE: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// A full or partial tile never changes once a checkpoint covers it, and it is one tenant's.
const FOR_EVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-store");

impl From<TlogError> for Problem {
    fn from(error: TlogError) -> Self {
        let code = match &error {
            TlogError::NotCovered => CHECKPOINT_MISSING,
            TlogError::NoTile => TILE_UNKNOWN,
            TlogError::NoRecord(_) => POSITION_UNKNOWN,
            TlogError::Sizes => QUERY_INVALID,
            TlogError::Failed(_) => return Self::internal(&error),
        };
        Self::new(code, error.to_string())
    }
}

/// That an old tree begins a new one.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConsistencyProof {
    /// Leaves of the old tree.
    from: u64,
    /// Leaves of the new one.
    to: u64,
    /// Hashes in base64, in the order of RFC 6962.
    proof: Vec<String>,
}

fn text(body: String) -> Response {
    ([(CONTENT_TYPE, NOTE), (CACHE_CONTROL, NOT_KEPT)], body).into_response()
}

pub async fn checkpoint(State(api): State<Api>, asked: Asked<Plain>) -> Answered {
    Ok(text(api.tlog.checkpoint(&asked.caller.tenant).await?))
}

pub async fn tile(State(api): State<Api>, asked: Asked<Plain>, Id(path): Id) -> Answered {
    let path: TilePath = format!("tile/{path}").parse().map_err(|_| TlogError::NoTile)?;
    let bytes = api.tlog.tile(&asked.caller.tenant, path).await?;
    Ok(([(CONTENT_TYPE, TILE), (CACHE_CONTROL, FOR_EVER)], bytes).into_response())
}

pub async fn inclusion(State(api): State<Api>, asked: Asked<Inclusion>) -> Answered {
    let missing = || Problem::new(QUERY_INVALID, "name the record: ?position=<position>");
    let position = asked.query.position.ok_or_else(missing)?;
    Ok(text(api.tlog.inclusion(&asked.caller.tenant, position).await?))
}

pub async fn consistency(State(api): State<Api>, asked: Asked<Consistency>) -> Answered {
    let missing = || Problem::new(QUERY_INVALID, "name both sizes: ?from=<size>&to=<size>");
    let (from, to) = asked.query.from.zip(asked.query.to).ok_or_else(missing)?;
    let hashes = api.tlog.consistency(&asked.caller.tenant, from, to).await?;
    let proof = hashes.iter().map(|Hash(bytes)| base64_padded(bytes)).collect();
    Ok(([(CACHE_CONTROL, NOT_KEPT)], Json(ConsistencyProof { from, to, proof })).into_response())
}
