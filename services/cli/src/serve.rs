//! `canonry serve …`: one service alone, against a running NATS. `canonry up` starts the same
//! services in one process.

use std::net::SocketAddr;
use std::sync::Arc;

use canonry_api_host::ApiServer;
use canonry_decider::{Config, Decider};
use canonry_keystore::KeyStore;
use canonry_schemas::ids::ActorId;
use canonry_telemetry::Metrics;
use clap::Subcommand;

use crate::args::Nats;
use crate::context::{Context, both};
use crate::failure::Failure;
use crate::output;
use crate::upkeep::PROJECTIONS;

/// `canonry serve`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry serve decider --nats nats://127.0.0.1:4222 --name decider-b")]
pub enum Command {
    /// Serve commands: takes over every tenant of the key store that nobody holds
    Decider(DeciderArgs),
    /// Serve the HTTP API, with a projector and read models of its own
    Api(ApiArgs),
}

/// Serve the HTTP API.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
    canonry serve api --listen 127.0.0.1:8080
    canonry serve api --nats nats://n1:4222,nats://n2:4222 --listen 0.0.0.0:8080")]
pub struct ApiArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    #[command(flatten)]
    nats: Nats,
}

/// Serve commands.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Several may run: each tenant has one holder, and another takes over when it goes.

EXAMPLES:
    canonry serve decider --name decider-a
    canonry serve decider --nats nats://n1:4222,nats://n2:4222 --name decider-b --replicas 3")]
pub struct DeciderArgs {
    /// The name of this process, different for each that runs at the same time
    #[arg(long, default_value = "decider-1", value_name = "NAME")]
    name: ActorId,
    /// Replicas that the streams must have
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    #[command(flatten)]
    nats: Nats,
}

/// Starts a decider in this process.
///
/// # Errors
/// Creds are missing, or the server does not answer.
pub async fn decider(
    url: &str,
    keys: KeyStore,
    name: ActorId,
    replicas: u8,
) -> Result<Decider, Failure> {
    let config = Config {
        url: url.to_owned(),
        name,
        keys,
        replicas,
        metrics: metrics(),
        summary_every: canonry_schemas::limits::THROTTLE_SUMMARY,
    };
    Decider::start(config).await.map_err(Failure::unavailable)
}

/// Starts the HTTP API in this process.
///
/// # Errors
/// Creds are missing, the server does not answer, or the address is taken.
pub async fn mount_api(
    context: &Context,
    url: &str,
    keys: KeyStore,
    listen: SocketAddr,
) -> Result<ApiServer, Failure> {
    let config = canonry_api_host::Config {
        url: url.to_owned(),
        listen,
        keys,
        projections: context.home.join(PROJECTIONS),
        metrics: Arc::new(|| metrics().encode()),
    };
    ApiServer::start(config).await.map_err(Failure::unavailable)
}

/// Waits for ctrl-c or the signal to terminate.
///
/// # Errors
/// Signals cannot be heard.
pub async fn until_stopped() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::unavailable)?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Runs it.
///
/// # Errors
/// It cannot start.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Decider(args) => {
            let (url, keys) = both(context.nats(args.nats.named()), context.keys())?;
            let decider = decider(&url, keys, args.name.clone(), args.replicas).await?;
            output::say(format!("{} serves {url}; ctrl-c stops it", args.name));
            until_stopped().await?;
            decider.stop().await;
            Ok(())
        }
        Command::Api(args) => {
            let (url, keys) = both(context.nats(args.nats.named()), context.keys())?;
            let api = mount_api(context, &url, keys, args.listen).await?;
            output::say(format!("http://{} serves {url}; ctrl-c stops it", api.address()));
            until_stopped().await?;
            api.stop().await;
            Ok(())
        }
    }
}

/// What this process counts, one set for all its services.
fn metrics() -> Metrics {
    static METRICS: std::sync::OnceLock<Metrics> = std::sync::OnceLock::new();
    METRICS.get_or_init(Metrics::new).clone()
}
