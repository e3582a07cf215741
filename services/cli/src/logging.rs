//! Logs go to stderr: warnings, or what `$CANONRY_LOG` asks for (`info`, `canonry_decider=debug`).

use tracing_subscriber::EnvFilter;

/// Begins logging; a second call changes nothing.
pub fn init() {
    let filter = EnvFilter::try_from_env("CANONRY_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if let Err(error) = logs.try_init() {
        tracing::debug!(%error, "logging has begun before");
    }
}
