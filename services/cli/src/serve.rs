//! `canonry serve …`: one service alone, against a running NATS. `canonry up` starts the same
//! services in one process.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use canonry_api::health::Health;
use canonry_api_host::ApiServer;
use canonry_checkpoints::{Checkpointer, Witness};
use canonry_decider::{Config, Decider};
use canonry_keystore::{KeySource, KeyStore};
use canonry_schemas::ids::ActorId;
use canonry_telemetry::Metrics;
use clap::Subcommand;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::Nats;
use crate::client::Pen;
use crate::context::{Context, both};
use crate::failure::Failure;
use crate::lock::Lock;
use crate::{http, output};

/// How long the read models may take to know the people of the tenants.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const READ_POLL: Duration = Duration::from_millis(20);

/// `canonry serve`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry serve decider --nats nats://127.0.0.1:4222 --name decider-b")]
pub enum Command {
    /// Serve commands: takes over every tenant of the key store that nobody holds
    Decider(DeciderArgs),
    /// Serve the HTTP API, with a projector and read models of its own
    Api(ApiArgs),
    /// Copy every tenant continuously, and back each up daily
    Backup(crate::backup::serve::Args),
    /// Sign checkpoints of every ledger while it grows, and have witnesses cosign them
    Checkpoints(CheckpointsArgs),
}

/// Sign checkpoints.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Several may run: one signs for each tenant, and another goes on when it ends. It writes no ledger.

EXAMPLES:
    canonry serve checkpoints --name checkpoints-a --listen 127.0.0.1:8083
    canonry serve checkpoints --witness \"http://w:8082,$(cat w.key)\"")]
pub struct CheckpointsArgs {
    /// The name of this process, different for each that runs at the same time
    #[arg(long, default_value = "checkpoints-1", value_name = "NAME")]
    name: ActorId,
    #[command(flatten)]
    witnesses: Witnesses,
    /// Where /healthz, /readyz and /metrics are served; nowhere without it
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    nats: Nats,
}

/// Who cosigns.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Witnesses {
    /// A witness that is asked to cosign: its address, a comma, its key; may be repeated
    #[arg(long, value_name = "URL,KEY")]
    witness: Vec<Witness>,
}

/// Starts a checkpointer in this process.
///
/// # Errors
/// Creds are missing, or the server does not answer.
pub async fn checkpointer(
    url: &str,
    keys: KeyStore,
    name: &str,
    witnesses: Witnesses,
) -> Result<Checkpointer, Failure> {
    let config = canonry_checkpoints::Config {
        url: url.to_owned(),
        name: name.to_owned(),
        keys,
        witnesses: witnesses.witness,
        metrics: metrics(),
    };
    Checkpointer::start(config).await.map_err(Failure::unavailable)
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
    /// Where its read models lie, for this process alone; without it, in the home
    #[arg(long, value_name = "DIR")]
    projections: Option<PathBuf>,
    #[command(flatten)]
    nats: Nats,
}

/// Serve commands.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Several may run: each tenant has one holder, and another takes over when it goes.

EXAMPLES:
    canonry serve decider --name decider-a --listen 127.0.0.1:8081
    canonry serve decider --nats nats://n1:4222,nats://n2:4222 --name decider-b --replicas 3
    canonry serve decider --keys secret://vault/keys")]
pub struct DeciderArgs {
    /// The name of this process, different for each that runs at the same time
    #[arg(long, default_value = "decider-1", value_name = "NAME")]
    name: ActorId,
    /// Replicas that the streams must have
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    /// Where /healthz, /readyz and /metrics are served; nowhere without it
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    keys: crate::secrets::Keys,
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
    more_keys: Option<Arc<dyn KeySource>>,
) -> Result<Decider, Failure> {
    let config = Config {
        url: url.to_owned(),
        name,
        keys,
        more_keys,
        replicas,
        metrics: metrics(),
        throttle: canonry_decider::throttle::Settings::default(),
    };
    Decider::start(config).await.map_err(Failure::unavailable)
}

/// Whether the API could listen there now.
///
/// # Errors
/// The address is taken, or not of this machine.
pub fn can_listen(listen: SocketAddr) -> Result<(), Failure> {
    let tried = TcpListener::bind(listen).map(drop);
    tried.map_err(|e| Failure::config(format!("--listen {listen}: {e}")))
}

/// The HTTP API in this process, and its read models.
pub struct Api {
    server: ApiServer,
    _lock: Lock,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl Api {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Ends it in good order.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// Starts the HTTP API in this process, with read models in `projections`; `decider` is the health
/// of the one that runs here too.
///
/// # Errors
/// Creds are missing, the server does not answer, the address is taken, or another process uses
/// the read models.
pub async fn mount_api(
    url: &str,
    keys: KeyStore,
    listen: SocketAddr,
    projections: &Path,
    decider: Option<canonry_decider::Health>,
) -> Result<Api, Failure> {
    let failed = |e: std::io::Error| Failure::config(format!("{}: {e}", projections.display()));
    std::fs::create_dir_all(projections).map_err(failed)?;
    let lock = Lock::take(projections, "api", "an API")?;
    let config = canonry_api_host::Config {
        url: url.to_owned(),
        listen,
        keys,
        projections: projections.to_owned(),
        metrics: metrics(),
        decider,
    };
    let store = config.keys.clone();
    let server = ApiServer::start(config).await.map_err(Failure::unavailable)?;
    wait_until_read(&format!("http://{}", server.address()), &store).await;
    Ok(Api { server, _lock: lock })
}

/// Waits until the API knows the people of the tenants: its read models begin empty, and who asks
/// too early is told that the key is unknown. A person whose key is not at hand cannot be asked
/// for; the wait is bounded, because a key at hand may have been revoked.
async fn wait_until_read(api: &str, keys: &KeyStore) {
    let until = tokio::time::Instant::now() + READ_WITHIN;
    for tenant in keys.tenants().unwrap_or_default() {
        let people = crate::tenant::first_people().unwrap_or_default();
        let pen = people.iter().find_map(|(who, _)| Pen::open(keys, &tenant, who).ok());
        let Some(pen) = pen else { continue };
        let query = [("limit", "1".to_owned())];
        while let Err(failure) = http::get(api, "/api/v1/tickets", &query, &pen).await {
            if tokio::time::Instant::now() >= until {
                tracing::warn!(%tenant, error = %failure, "the read models are not there yet");
                return;
            }
            tokio::time::sleep(READ_POLL).await;
        }
    }
}

/// Ctrl-C and the signal to terminate, heard from the moment that this is made: before anybody is
/// told that it can be stopped.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Begins to listen.
    ///
    /// # Errors
    /// Signals cannot be heard.
    pub fn hear() -> Result<Self, Failure> {
        let hear = |kind| signal(kind).map_err(Failure::unavailable);
        let interrupt = hear(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: hear(SignalKind::terminate())? })
    }

    /// Waits for the first of them.
    pub async fn wait(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Runs it.
///
/// # Errors
/// It cannot start.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Decider(args) => {
            let whole = both(context.nats(args.nats.named()), context.keys());
            let ((url, keys), ()) = both(whole, args.listen.map_or(Ok(()), can_listen))?;
            Box::pin(serve_decider(&url, keys, args)).await
        }
        Command::Backup(args) => Box::pin(crate::backup::serve::run(context, args)).await,
        Command::Api(args) => {
            let whole = both(context.nats(args.nats.named()), context.keys());
            let ((url, keys), ()) = both(whole, can_listen(args.listen))?;
            let projections = args.projections.unwrap_or_else(|| context.projections());
            let api = mount_api(&url, keys, args.listen, &projections, None).await?;
            let stop = StopSignals::hear()?;
            output::say(format!("http://{} serves {url}; ctrl-c stops it", api.address()));
            stop.wait().await;
            api.stop().await;
            Ok(())
        }
        Command::Checkpoints(args) => {
            let whole = both(context.nats(args.nats.named()), context.keys());
            let ((url, keys), ()) = both(whole, args.listen.map_or(Ok(()), can_listen))?;
            let name = args.name.as_str();
            let watched = match args.listen {
                Some(listen) => Some(Watched::start(listen, always_ready()).await?),
                None => None,
            };
            let checkpointer = checkpointer(&url, keys, name, args.witnesses).await?;
            let stop = StopSignals::hear()?;
            if let Some(watched) = &watched {
                output::say(format!("http://{} tells its health", watched.address()));
            }
            output::say(format!("{name} signs checkpoints at {url}; ctrl-c stops it"));
            stop.wait().await;
            checkpointer.stop().await;
            if let Some(watched) = watched {
                watched.stop();
            }
            Ok(())
        }
    }
}

async fn serve_decider(url: &str, keys: KeyStore, args: DeciderArgs) -> Result<(), Failure> {
    let more = args.keys.open(keys.home())?;
    let decider = decider(url, keys, args.name.clone(), args.replicas, more).await?;
    let watched = match args.listen {
        Some(listen) => match Watched::start(listen, health_of(decider.health())).await {
            Ok(watched) => Some(watched),
            Err(failure) => {
                decider.stop().await;
                return Err(failure);
            }
        },
        None => None,
    };
    let stop = StopSignals::hear()?;
    if let Some(watched) = &watched {
        output::say(format!("http://{} tells its health", watched.address()));
    }
    output::say(format!("{} serves {url}; ctrl-c stops it", args.name));
    stop.wait().await;
    decider.stop().await;
    if let Some(watched) = watched {
        watched.stop();
    }
    Ok(())
}

/// The health of a service that is ready as long as it lives, and counts.
pub(crate) fn always_ready() -> Health {
    Health {
        ready: Arc::new(|| None),
        metrics: Arc::new(|| metrics().encode()),
        frozen: Arc::new(|| 0),
    }
}

fn health_of(decider: canonry_decider::Health) -> Health {
    let (asked, held) = (decider.clone(), decider.clone());
    Health {
        frozen: Arc::new(move || held.frozen()),
        ready: Arc::new(move || asked.fault()),
        metrics: Arc::new(move || {
            decider.measure();
            metrics().encode()
        }),
    }
}

/// What tells a service's health over HTTP; to its end, so that a stop is seen too.
pub(crate) struct Watched {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Watched {
    /// Begins to tell it.
    ///
    /// # Errors
    /// The address is taken.
    pub(crate) async fn start(listen: SocketAddr, health: Health) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::config(format!("--listen {listen}: {e}"));
        let listener = tokio::net::TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let task = tokio::spawn(async move {
            let served = canonry_api::health::serve(listener, health, std::future::pending());
            if let Err(error) = served.await {
                tracing::error!(%error, "health is not told any more");
            }
        });
        Ok(Self { address, task })
    }

    /// Where.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        self.task.abort();
    }
}

/// What this process counts, one set for all its services.
pub(crate) fn metrics() -> Metrics {
    static METRICS: std::sync::OnceLock<Metrics> = std::sync::OnceLock::new();
    METRICS.get_or_init(Metrics::new).clone()
}
