//! The API's process: connections as `reader` and `svc_api`, a projector for each tenant of the
//! key store, and the HTTP listener.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use canonry_api::health::{Health, Ready};
use canonry_api::{Api, Projections};
use canonry_decider::serve::connect_cell;
use canonry_keystore::KeyStore;
use canonry_nats::Connection;
use canonry_policy_feed::{Clock, Feed};
use canonry_provision::CellUser;
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::{
    CHANGES_STREAMS, CHECKS_AT_ONCE, EVIDENCE_AT_ONCE, PROJECTOR_CONSUMERS, SIMULATIONS_AT_ONCE,
};
use canonry_schemas::refusal::http::CATCHING_UP;
use canonry_schemas::refusal::unrecorded;
use canonry_telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::content::Keys;
use crate::evidence::{InBucket, sweep_always};
use crate::lag::Lag;
use crate::policies::Copies;
use crate::projector::{Shared, follow};
use crate::submit::{OverNats, SERVICE};

/// How often new tenants are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the API needs.
pub struct Config {
    /// Addresses of the servers, joined by commas.
    pub url: String,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Creds and keys.
    pub keys: KeyStore,
    /// Where the read models lie; made if it is not there.
    pub projections: PathBuf,
    /// What is counted.
    pub metrics: Metrics,
    /// The decider, where it runs in the same process.
    pub decider: Option<canonry_decider::Health>,
}

/// A running API.
pub struct ApiServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl ApiServer {
    /// Connects, begins to project, and listens.
    ///
    /// # Errors
    /// A sentence: creds, connection, directory or listener.
    pub async fn start(config: Config) -> Result<Self, String> {
        std::fs::create_dir_all(&config.projections)
            .map_err(|e| format!("{}: {e}", config.projections.display()))?;
        let reader = connect_cell(&config.url, &config.keys, &CellUser::Reader).await?;
        let service = SERVICE.parse().map_err(|e| format!("{e}"))?;
        let objects = connect_cell(&config.url, &config.keys, &CellUser::Evidence).await?;
        let sender = connect_cell(&config.url, &config.keys, &CellUser::Service(service)).await?;
        let projections = Arc::new(Projections::new(&config.projections));
        let keys = Arc::new(Keys::new(reader.clone(), config.keys.clone()));
        let shared = Arc::new(Shared {
            connection: reader.clone(),
            projections: Arc::clone(&projections),
            keys: Arc::clone(&keys),
            reading: Semaphore::new(PROJECTOR_CONSUMERS),
            lag: Lag::new(config.metrics.clone()),
        });
        let (stop, stopped) = watch::channel(false);
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|e| format!("cannot listen on {}: {e}", config.listen))?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let counts = config.metrics;
        let looked = reader.clone();
        let feed = Arc::new(Feed::new(reader.clone(), Clock::system()));
        let health = Health {
            ready: readiness(
                [reader, sender.clone()],
                config.keys.tenants().unwrap_or_default(),
                &projections,
                config.decider.clone(),
            ),
            frozen: Arc::new({
                let decider = config.decider.clone();
                move || decider.as_ref().map_or(0, canonry_decider::Health::frozen)
            }),
            metrics: Arc::new({
                let (counts, decider) = (counts.clone(), config.decider);
                move || {
                    if let Some(decider) = &decider {
                        decider.measure();
                    }
                    counts.encode()
                }
            }),
        };
        let api = Api {
            submit: Arc::new(OverNats(sender)),
            tlog: Arc::new(crate::tlog::OverNats(looked)),
            content: Arc::clone(&keys) as Arc<dyn canonry_api::ports::Content>,
            evidence: Arc::new(InBucket::new(objects.clone(), config.keys.clone())),
            policies: Arc::new(Copies(Arc::clone(&feed))),
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            drafts: Arc::new(Semaphore::new(SIMULATIONS_AT_ONCE)),
            transfers: Arc::new(Semaphore::new(EVIDENCE_AT_ONCE)),
            projections,
            now: Arc::new(canonry_decider::holder::now),
            health,
            counts,
            streams: Arc::new(Semaphore::new(CHANGES_STREAMS)),
        };
        let listening = {
            let (feed, stopped) = (Arc::clone(&feed), stopped.clone());
            tokio::spawn(async move { Box::pin(feed.run(stopped)).await })
        };
        let sweeping = tokio::spawn(sweep_always(
            Arc::clone(&shared),
            InBucket::new(objects, config.keys.clone()),
            config.keys.clone(),
            stopped.clone(),
        ));
        let projecting = tokio::spawn(project(shared, keys, config.keys.clone(), stopped.clone()));
        let mut ended = stopped;
        let serving = tokio::spawn(async move {
            let until = async move {
                let _ = ended.wait_for(|stop| *stop).await;
            };
            if let Err(error) = canonry_api::serve(listener, api, until).await {
                tracing::error!(%error, "the API's listener ended");
            }
        });
        Ok(Self { address, stop, tasks: vec![projecting, listening, sweeping, serving] })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends in good order; open streams of changes are cut after two seconds.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for mut task in self.tasks {
            if tokio::time::timeout(Duration::from_secs(2), &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

/// Whether the API can serve: connected, every tenant that was there at the start read to the head
/// that its ledger had then, and the decider well where it runs here.
fn readiness(
    connections: [Connection; 2],
    at_start: Vec<TenantId>,
    projections: &Arc<Projections>,
    decider: Option<canonry_decider::Health>,
) -> Ready {
    at_start.iter().for_each(|tenant| projections.announce(tenant));
    let projections = Arc::clone(projections);
    Arc::new(move || {
        if connections.iter().any(|c| !c.is_connected()) {
            return Some((unrecorded::STORE, "the API has no connection to NATS".to_owned()));
        }
        if let Some(fault) = decider.as_ref().and_then(canonry_decider::Health::fault) {
            return Some(fault);
        }
        let behind = at_start.iter().filter(|t| projections.is_behind(t)).count();
        let why = || format!("{behind} tenants are not read yet to the head that they had");
        (behind > 0).then(|| (CATCHING_UP, why()))
    })
}

async fn project(
    shared: Arc<Shared>,
    keys: Arc<Keys>,
    store: KeyStore,
    mut stop: watch::Receiver<bool>,
) {
    let mut followed = BTreeMap::new();
    loop {
        for tenant in store.tenants().unwrap_or_default() {
            if followed.contains_key(&tenant) {
                continue;
            }
            shared.projections.announce(&tenant);
            if let Err(why) = keys.load_all(&tenant).await {
                tracing::debug!(%tenant, %why, "content keys are not there yet");
                continue;
            }
            let task = tokio::spawn(follow(Arc::clone(&shared), tenant.clone(), stop.clone()));
            followed.insert(tenant, task);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.changed() => break,
        }
    }
    for (_, task) in followed {
        let _ = task.await;
    }
}
