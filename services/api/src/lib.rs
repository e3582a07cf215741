//! HTTP over the read models and the commands: `/api/v1`.
//!
//! It decides nothing and keeps nothing: writes leave through [`ports::Submit`] in the caller's
//! name, reads come from [`Projections`], which the projector feeds. It does not know NATS. The
//! routes stand in one table ([`routes`]) that also yields the OpenAPI document; error codes and
//! their statuses stand in [`problem`].

mod actions;
mod auth;
mod changes;
mod content;
mod diff;
mod drafts;
mod evidence;
pub mod health;
mod openapi;
mod policy;
pub mod ports;
pub mod problem;
mod projections;
mod query;
mod read;
pub mod routes;
mod spend;
mod tlog;
mod traced;
mod write;

use std::sync::Arc;

use canonry_schemas::time::Time;
use canonry_telemetry::Metrics;
use tokio::sync::Semaphore;

pub use health::Health;
pub use openapi::document;
pub use ports::{
    Clear, Content, Evidence, EvidenceError, Policies, StoredEvidence, Submission, Submit,
    SubmitError, Tlog, TlogError,
};
pub use problem::Problem;
pub use projections::{Broken, Feed, Projections, ReadError};
pub use routes::router;

/// Everything that the routes need.
#[derive(Clone)]
pub struct Api {
    /// The way to the decider.
    pub submit: Arc<dyn Submit>,
    /// The way to content keys.
    pub content: Arc<dyn Content>,
    /// The way to the transparency logs.
    pub tlog: Arc<dyn Tlog>,
    /// The way to evidence objects.
    pub evidence: Arc<dyn Evidence>,
    /// The copies of policies.
    pub policies: Arc<dyn Policies>,
    /// A place for each question to a policy.
    pub checks: Arc<Semaphore>,
    /// A place for each draft of a policy that is at work.
    pub drafts: Arc<Semaphore>,
    /// A place for each upload and download that may go on.
    pub transfers: Arc<Semaphore>,
    /// The read models.
    pub projections: Arc<Projections>,
    /// The clock.
    pub now: Arc<dyn Fn() -> Time + Send + Sync>,
    /// Readiness and metrics.
    pub health: Health,
    /// Where requests and streams are counted.
    pub counts: Metrics,
    /// A place for each stream of changes that may be open.
    pub streams: Arc<Semaphore>,
}

/// Serves until `stop` completes; requests that go on are ended in order.
///
/// # Errors
/// The listener.
pub async fn serve(
    listener: tokio::net::TcpListener,
    api: Api,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(api)).with_graceful_shutdown(stop).await
}
