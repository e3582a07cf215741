//! `/healthz`, `/readyz` and `/metrics`: of the API, and alone for a process that serves nothing
//! else over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::Api;
use crate::problem::{METHOD_UNKNOWN, Problem, ROUTE_UNKNOWN};

/// `None` when ready, else a code and what is missing.
pub type Ready = Arc<dyn Fn() -> Option<(&'static str, String)> + Send + Sync>;
/// The metrics of a process as text.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// What these three routes need.
#[derive(Clone)]
pub struct Health {
    /// Whether the process can serve.
    pub ready: Ready,
    /// What it counts.
    pub metrics: MetricsText,
    /// How many tenants are frozen: they are read on, so the process is ready all the same.
    pub frozen: Arc<dyn Fn() -> usize + Send + Sync>,
}

impl axum::extract::FromRef<Api> for Health {
    fn from_ref(api: &Api) -> Self {
        api.health.clone()
    }
}

/// Whether the process lives.
pub async fn live() -> &'static str {
    "ok\n"
}

/// Whether it can serve.
pub async fn ready(State(health): State<Health>) -> Response {
    match (health.ready)() {
        None => match (health.frozen)() {
            0 => (StatusCode::OK, "ready\n").into_response(),
            some => (StatusCode::OK, format!("ready; frozen tenants: {some}\n")).into_response(),
        },
        Some((code, detail)) => Problem::new(code, detail).into_response(),
    }
}

/// What it counts, as OpenMetrics text.
pub async fn metrics(State(health): State<Health>) -> Response {
    let text =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(CONTENT_TYPE, text)], (health.metrics)()).into_response()
}

/// The three routes and nothing else.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(async || Problem::new(ROUTE_UNKNOWN, "there is no such route"))
        .method_not_allowed_fallback(async || {
            Problem::new(METHOD_UNKNOWN, "this route knows other methods")
        })
        .with_state(health)
}

/// Serves them until `stop` completes.
///
/// # Errors
/// The listener.
pub async fn serve(
    listener: tokio::net::TcpListener,
    health: Health,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(health)).with_graceful_shutdown(stop).await
}
