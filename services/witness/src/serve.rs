//! The HTTP of a witness: `POST /add-checkpoint`, with the statuses of the specification.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use canonry_record::seal::Signer;
use canonry_schemas::limits::WITNESS_REQUEST_BYTES;
use canonry_tlog::note::{NoteError, cosign};
use canonry_tlog::witness::{Refused, Request, Seen, check};
use canonry_tlog::{Kind, VerifierKey};
use tokio::net::TcpListener;

use crate::state::{Error, Home};

/// A witness, ready to serve.
#[derive(Debug)]
pub struct Witness {
    key: VerifierKey,
    signer: Signer,
    logs: Vec<VerifierKey>,
    /// Comparing with what was cosigned and keeping what is cosigned now is one act.
    home: Mutex<Home>,
}

/// Why it does not answer with a cosignature.
#[derive(Debug)]
enum No {
    Refused(Refused),
    Failed(Error),
}

impl Witness {
    /// With the key of its home, under a name, for these logs.
    ///
    /// # Errors
    /// The key cannot be read or made, or the name cannot stand in a note.
    pub fn new(home: Home, name: &str, logs: Vec<VerifierKey>) -> Result<Self, String> {
        let signer = home.key().map_err(|e| e.to_string())?;
        let key = VerifierKey::new(name, Kind::Witness, signer.key.verifying_key());
        let key = key.map_err(|e: NoteError| e.to_string())?;
        if logs.iter().any(|log| log.kind() != Kind::Log) {
            return Err("a key of a witness is no key of a log".to_owned());
        }
        Ok(Self { key, signer, logs, home: Mutex::new(home) })
    }

    /// Its key, for whoever checks cosignatures.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn add(&self, body: &str, now: u64) -> Result<String, No> {
        let request: Request = body.parse().map_err(No::Refused)?;
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        // A damaged file must not read as a log that was never seen.
        let mut failed = None;
        let checked = check(&request, &self.logs, |origin| {
            home.seen(origin).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        });
        if let Some(error) = failed {
            return Err(No::Failed(error));
        }
        let new = checked.map_err(|refused| {
            if let Refused::Conflict { .. } | Refused::Inconsistent = refused {
                tracing::warn!(note = request.note.text(), old = request.old, %refused, "not cosigned");
            }
            No::Refused(refused)
        })?;
        home.keep(&new.origin, Seen { size: new.size, root: new.root }).map_err(No::Failed)?;
        Ok(format!("{}\n", cosign(request.note.text(), self.key.name(), &self.signer, now)))
    }
}

async fn add(State(witness): State<Arc<Witness>>, body: String) -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let work = tokio::task::spawn_blocking(move || witness.add(&body, now));
    match work.await {
        Ok(Ok(line)) => line.into_response(),
        Ok(Err(No::Refused(Refused::Conflict { size }))) => {
            let kind = [(CONTENT_TYPE, "text/x.tlog.size")];
            (StatusCode::CONFLICT, kind, format!("{size}\n")).into_response()
        }
        Ok(Err(No::Refused(refused))) => {
            let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::BAD_REQUEST);
            (status, format!("{refused}\n")).into_response()
        }
        Ok(Err(No::Failed(error))) => {
            tracing::error!(%error, "the witness's state cannot be used");
            (StatusCode::INTERNAL_SERVER_ERROR, "the state cannot be used\n").into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a request was not ended");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Serves until `stop` completes.
///
/// # Errors
/// The listener.
pub async fn serve(
    listener: TcpListener,
    witness: Arc<Witness>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/add-checkpoint", post(add))
        .layer(DefaultBodyLimit::max(WITNESS_REQUEST_BYTES))
        .with_state(witness);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}
