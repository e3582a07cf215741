//! `canonry serve backup`, and the same inside `canonry up`.

use std::net::SocketAddr;
use std::time::Duration;

use canonry_backup::{Place, Service, Settings};
use canonry_decider::serve::connect_cell;
use canonry_keystore::KeyStore;
use canonry_provision::CellUser;

use super::failure;
use crate::args::{Nats, duration};
use crate::context::{Context, both};
use crate::failure::Failure;
use crate::output;
use crate::serve::{StopSignals, Watched, always_ready, can_listen, metrics};

/// Copy every tenant of the home continuously, and back each up daily.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is new is copied every minute; once a day everything in the place is verified and a backup is \
made. Failures are logged with their code and counted in /metrics.

EXAMPLES:
    canonry serve backup --to file:///srv/backups
    canonry serve backup --to s3://ledgers/cell-1 --every 12h --listen 127.0.0.1:8082")]
pub struct Args {
    /// Where to: file:///folder or s3://bucket/prefix
    #[arg(long, env = "CANONRY_BACKUP", value_name = "URL")]
    to: String,
    /// How often a backup is made
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = duration)]
    every: Duration,
    /// How often what is new is copied
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = duration)]
    copy_every: Duration,
    /// Where /healthz, /readyz and /metrics are served; nowhere without it
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    nats: Nats,
}

/// Starts the service in this process.
///
/// # Errors
/// The place is none, or the server does not answer.
pub async fn mount(
    url: &str,
    keys: KeyStore,
    to: &str,
    (every, copy_every): (Duration, Duration),
) -> Result<Service, Failure> {
    let place = Place::make(to).map_err(|e| failure(&e))?;
    let reader = connect_cell(url, &keys, &CellUser::Reader).await.map_err(Failure::unavailable)?;
    let tenants = move || {
        keys.tenants().unwrap_or_else(|error| {
            tracing::error!(%error, "the key store cannot be read");
            Vec::new()
        })
    };
    let settings = Settings {
        place,
        copy_every,
        backup_every: every,
        tenants: Box::new(tenants),
        now: canonry_decider::holder::now,
        metrics: metrics(),
    };
    Ok(Service::start(reader, settings))
}

/// Runs it until it is stopped.
///
/// # Errors
/// It cannot start.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let whole = both(context.nats(args.nats.named()), context.keys());
    let ((url, keys), ()) = both(whole, args.listen.map_or(Ok(()), can_listen))?;
    let stop = StopSignals::hear()?;
    let watched = match args.listen {
        Some(listen) => Some(Watched::start(listen, always_ready()).await?),
        None => None,
    };
    let service = mount(&url, keys, &args.to, (args.every, args.copy_every)).await?;
    if let Some(watched) = &watched {
        output::say(format!("http://{} tells its health", watched.address()));
    }
    output::say(format!("copying {url} to {}; ctrl-c stops it", args.to));
    stop.wait().await;
    service.stop().await;
    if let Some(watched) = watched {
        watched.stop();
    }
    Ok(())
}
