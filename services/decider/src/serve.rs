//! The process around the holders: connections, liveness, taking tenants over, giving them up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use canonry_keystore::{Environment, KEYS_VARIABLE, KeySource, KeyStore, Sources};
use canonry_nats::log::Skew;
use canonry_nats::{Bytes, Connect, Connection, Kv, Log, Micro, ServeOptions};
use canonry_provision::{BoxError, Bus, CellUser, check_streams};
use canonry_record::Hash;
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::limits::{FOLLOWED_AT_ONCE, HOLDER_CLOCK, LIVENESS_EVERY, LOOK_EVERY};
use canonry_schemas::refusal::unrecorded;
use canonry_schemas::subject::{BUCKET_FROZEN, ledger_stream};
use canonry_schemas::tenant::Reason;
use canonry_schemas::validate::Commands;
use canonry_telemetry::Metrics;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::assign::Assignments;
use crate::follow::{Place, Standby};
use crate::holder::{Holder, Message, Over, Setup, Status, inbox};
use crate::intake;
use crate::keeper::Keeper;
use crate::patrol;
use crate::rebuild::Standing;
use crate::signers::Signers;
use crate::snapshot::Snapshot;
use crate::throttle;
use crate::traced;

mod health;
mod requests;

pub use health::Health;
use requests::{hand_in, refuse_frozen};

/// How often the live configuration of a held tenant's streams is compared.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// How long a decider that is too old for a tenant leaves it to others.
const UNKNOWN_AGAIN: Duration = Duration::from_secs(60);

/// What a decider needs.
#[derive(Clone)]
pub struct Config {
    /// Addresses of the servers, joined by commas.
    pub url: String,
    /// The name of this process, different for each that runs at the same time.
    pub name: ActorId,
    /// Creds and keys.
    pub keys: KeyStore,
    /// Where private keys are looked for that lie neither there nor in `$CANONRY_KEYS`.
    pub more_keys: Option<Arc<dyn KeySource>>,
    /// Replicas that the streams must have.
    pub replicas: u8,
    /// What is counted.
    pub metrics: Metrics,
    /// How often what was throttled is summed into a record:
    /// How much one actor may send; other than the default only in tests.
    pub throttle: throttle::Settings,
}

/// A connection as provisioning wants it.
pub struct OverNats(pub Connection);

impl Bus for OverNats {
    async fn request(&self, subject: &str, payload: Vec<u8>) -> Result<Vec<u8>, BoxError> {
        let wait = Duration::from_secs(10);
        let reply = self.0.request(subject, &[], Bytes::from(payload), wait).await?;
        Ok(reply.body.to_vec())
    }
}

/// Connects as a user of the cell.
///
/// # Errors
/// The creds cannot be read, or no server answers.
pub async fn connect_cell(
    url: &str,
    keys: &KeyStore,
    user: &CellUser,
) -> Result<Connection, String> {
    let name = user.name().to_owned();
    let path =
        if user.is_offline() { keys.offline_creds_path(&name) } else { keys.creds_path(&name) };
    let creds = path.and_then(|p| keys.read_text(&p)).map_err(|e| e.to_string())?;
    let mut connect = Connect::new(url, name.as_str());
    connect.creds = Some(creds.to_string());
    connect.inbox_prefix = format!("_INBOX.{name}");
    connect.js_prefix = user.api_prefix().to_owned();
    Connection::connect(connect).await.map_err(|e| format!("{name}: {e}"))
}

/// A held tenant: what it says of itself, and the way in.
type Held = (Arc<Status>, mpsc::Sender<Message>);

/// The shared part of all holders.
struct Shop {
    config: Config,
    committer: Connection,
    responder: Connection,
    intake: Connection,
    micro: Micro,
    commands: Arc<Commands>,
    /// Where private keys are opened from.
    sources: Arc<dyn KeySource>,
    held: Mutex<BTreeMap<TenantId, Held>>,
    /// Tenants whose commands are refused here.
    frozen: Mutex<BTreeSet<TenantId>>,
    stop: watch::Sender<bool>,
    /// How many tenants are followed at once, and how many are checked.
    followed: Arc<Semaphore>,
    patrolled: Arc<Semaphore>,
}

/// A running decider.
pub struct Decider {
    shop: Arc<Shop>,
    task: JoinHandle<()>,
}

impl Decider {
    /// Connects and begins to take tenants over.
    ///
    /// # Errors
    /// Creds, connection or buckets are missing.
    pub async fn start(config: Config) -> Result<Self, String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let committer = connect_cell(&config.url, &config.keys, &CellUser::Committer).await?;
        let responder = connect_cell(&config.url, &config.keys, &CellUser::Responder).await?;
        let intake = connect_cell(&config.url, &config.keys, &CellUser::Intake).await?;
        let about = "turns commands into signed records";
        let version = env!("CARGO_PKG_VERSION");
        let micro = Micro::start(responder.clone(), "decider", version, about)
            .await
            .map_err(|e| text(&e))?;
        let commands = Arc::new(Commands::new().map_err(|e| text(&e))?);
        let assignments =
            Assignments::open(&committer, config.name.clone()).map_err(|e| text(&e))?;
        let given = std::env::var(KEYS_VARIABLE).unwrap_or_default();
        let given = Environment::parse(&given).map_err(|e| text(&e))?;
        let sources = Sources::new(config.keys.clone(), given).with(config.more_keys.clone());
        let sources = Arc::new(sources);
        let (stop, _) = watch::channel(false);
        let shop = Arc::new(Shop {
            config,
            committer,
            responder,
            intake,
            micro,
            commands,
            sources,
            held: Mutex::default(),
            frozen: Mutex::default(),
            stop,
            followed: Arc::new(Semaphore::new(FOLLOWED_AT_ONCE)),
            patrolled: patrol::places(),
        });
        let task = tokio::spawn(look(Arc::clone(&shop), Arc::new(assignments)));
        Ok(Self { shop, task })
    }

    /// Which tenants are served now.
    #[must_use]
    pub fn serving(&self) -> Vec<TenantId> {
        let held = self.shop.held.lock().unwrap_or_else(PoisonError::into_inner);
        let serves = |s: &Status| s.serving.load(Ordering::Relaxed);
        held.iter().filter(|(_, (status, _))| serves(status)).map(|(t, _)| t.clone()).collect()
    }

    /// Whether some tenant's store gives no answer.
    #[must_use]
    pub fn store_unavailable(&self) -> bool {
        self.health().store_unavailable()
    }

    /// What readiness and metrics ask, for as long as they like.
    #[must_use]
    pub fn health(&self) -> Health {
        Health(Arc::clone(&self.shop))
    }

    /// The way into a holder for a caller in this process.
    #[must_use]
    pub fn inbox(&self, tenant: &TenantId) -> Option<mpsc::Sender<Message>> {
        let held = self.shop.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(tenant).map(|(_, sender)| sender.clone())
    }

    /// Ends in good order: commits in flight end, the rest is answered `retry`.
    pub async fn stop(self) {
        self.shop.stop.send_replace(true);
        let _ = self.task.await;
        for connection in [&self.shop.committer, &self.shop.intake, &self.shop.responder] {
            connection.close().await;
        }
    }
}

/// Waits until told to stop, also when that was said before anybody waited; or until nobody is
/// left who could say it.
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn look(shop: Arc<Shop>, assignments: Arc<Assignments>) {
    let mut stop = shop.stop.subscribe();
    let mut holders: BTreeMap<TenantId, JoinHandle<()>> = BTreeMap::new();
    let mut standbys: BTreeMap<TenantId, Standby> = BTreeMap::new();
    let alive = tokio::spawn(renew(Arc::clone(&assignments)));
    let intake = tokio::spawn(intake::serve(
        shop.micro.clone(),
        shop.intake.clone(),
        shop.committer.clone(),
        shop.config.keys.clone(),
        shop.config.metrics.clone(),
        shop.stop.subscribe(),
    ));
    loop {
        holders.retain(|_, task| !task.is_finished());
        standbys.retain(|_, standby| !standby.is_over());
        match shop.config.keys.tenants() {
            Ok(tenants) => {
                for tenant in tenants {
                    if holders.contains_key(&tenant) {
                        continue;
                    }
                    match assignments.take(&tenant).await {
                        Ok(Some((epoch, reason))) => {
                            let (shop, a) = (Arc::clone(&shop), Arc::clone(&assignments));
                            let name = tenant.clone();
                            let standby = standbys.remove(&tenant);
                            let run = async move {
                                let standing = match standby {
                                    Some(standby) => standby.hand_over().await,
                                    None => None,
                                };
                                Box::pin(hold(&shop, &a, &name, epoch, reason, standing)).await
                            };
                            holders.insert(tenant, tokio::spawn(run));
                        }
                        Ok(None) => {
                            standbys.entry(tenant.clone()).or_insert_with(|| {
                                let followed = Arc::clone(&shop.followed);
                                Standby::start(place(Arc::clone(&shop), tenant), followed)
                            });
                        }
                        Err(error) => tracing::debug!(%error, %tenant, "assignment unreadable"),
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the key store cannot be read"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = told(&mut stop) => break,
        }
    }
    for (_, task) in holders {
        let _ = task.await;
    }
    for (_, standby) in standbys {
        drop(standby.hand_over().await);
    }
    intake.abort();
    alive.abort();
    drop(alive.await);
    assignments.leave().await;
}

/// Renews liveness, whatever else this process waits for.
async fn renew(assignments: Arc<Assignments>) {
    loop {
        if let Err(error) = assignments.renew().await {
            tracing::warn!(%error, "liveness could not be renewed");
        }
        tokio::time::sleep(LIVENESS_EVERY).await;
    }
}

/// Rests, unless the process is told to end.
async fn rest(shop: &Shop, pause: Duration) {
    let mut ended = shop.stop.subscribe();
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = told(&mut ended) => {}
    }
}

async fn hold(
    shop: &Arc<Shop>,
    assignments: &Arc<Assignments>,
    tenant: &TenantId,
    epoch: u64,
    reason: Reason,
    standing: Option<Standing>,
) {
    let (sender, receiver) = inbox();
    let status = Arc::new(Status::default());
    // Before it serves: a take-over that waits for the store must show in readiness.
    let entry = (Arc::clone(&status), sender.clone());
    shop.held.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), entry);
    let taking = Box::pin(ready(shop, tenant, epoch, reason, &status, standing));
    let taking = taking.instrument(traced::take_over(tenant, epoch));
    let mut ended = shop.stop.subscribe();
    // A store that does not answer must not keep the process from ending; a commit that was sent
    // is settled by whoever takes over next.
    let taken = tokio::select! {
        taken = taking => taken,
        () = told(&mut ended) => Err(Over::Stopped),
    };
    let over = match taken {
        Ok(served) => {
            tracing::info!(%tenant, epoch, "serving");
            Box::pin(attend(shop, assignments, tenant, epoch, served, sender, receiver)).await
        }
        Err(over) => over,
    };
    shop.held.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    match over {
        Over::Stopped => tracing::info!(%tenant, epoch, "gave up"),
        Over::Behind(used) => {
            tracing::warn!(%tenant, epoch, used, "the assignment's epoch is not new");
            if let Err(error) = assignments.lift(tenant, epoch, used).await {
                tracing::warn!(%tenant, %error, "the assignment could not be lifted");
            }
        }
        Over::Failed(why) => {
            tracing::warn!(%tenant, epoch, %why, "cannot serve; trying again");
            rest(shop, Duration::from_secs(1)).await;
        }
        Over::TooNew { position } => {
            tracing::error!(
                %tenant, position,
                "a record of a type or version that this program does not know: upgrade it; \
                 the tenant is left to others"
            );
            if let Err(error) = assignments.release(tenant, epoch).await {
                tracing::warn!(%tenant, %error, "the tenant could not be given up");
            }
            rest(shop, UNKNOWN_AGAIN).await;
        }
        Over::Frozen { position, why } => {
            tracing::error!(%tenant, position, %why, "frozen");
            if let Ok(keeper) = keeper(shop, tenant).await {
                keeper.freeze(position, &why).await;
                let frozen = || shop.frozen.lock().unwrap_or_else(PoisonError::into_inner);
                frozen().insert(tenant.clone());
                if let Err(error) = refuse_frozen(shop, assignments, tenant, epoch, &keeper).await {
                    tracing::warn!(%tenant, %error, "commands to a frozen tenant get no answer");
                }
                frozen().remove(tenant);
            }
        }
    }
}

async fn keeper(shop: &Shop, tenant: &TenantId) -> Result<Keeper, Over> {
    let failed = |e: canonry_keystore::Error| Over::Failed(e.to_string());
    let kek = shop.config.keys.kek(tenant).map_err(failed)?;
    Keeper::open(&shop.committer, tenant, kek.as_bytes()).await
}

/// The tenant's ledger, as the committer reads and writes it.
async fn ledger(shop: &Shop, tenant: &TenantId) -> Result<Log, Over> {
    let log = Log::open(shop.committer.clone(), &ledger_stream(tenant)).await;
    Ok(log.map_err(|e| Over::Failed(e.to_string()))?.with_reader_name("committer"))
}

/// This decider's snapshot store of a tenant.
fn snapshot(shop: &Shop, tenant: &TenantId, keeper: &Keeper) -> Arc<Snapshot> {
    let folder = shop.config.keys.home().join("deciders").join(shop.config.name.as_str());
    Snapshot::new(&folder, tenant.clone(), keeper.snapshot_key())
}

/// Where a tenant of another decider is followed.
async fn place(shop: Arc<Shop>, tenant: TenantId) -> Result<Place, Over> {
    let keeper = keeper(&shop, &tenant).await?;
    let log = ledger(&shop, &tenant).await?;
    let store = snapshot(&shop, &tenant, &keeper);
    Ok(Place { tenant, log, store })
}

/// A holder that has taken over, and what its snapshot let it skip.
struct Served {
    holder: Holder,
    log: Log,
    trusted: Option<(u64, Hash)>,
}

async fn ready(
    shop: &Shop,
    tenant: &TenantId,
    epoch: u64,
    reason: Reason,
    status: &Arc<Status>,
    standing: Option<Standing>,
) -> Result<Served, Over> {
    let failed = |e: &dyn std::fmt::Display| Over::Failed(e.to_string());
    let keeper = keeper(shop, tenant).await?;
    if let Some(frozen) = keeper.frozen().await? {
        return Err(Over::Frozen { position: frozen.position, why: frozen.why });
    }
    let bus = OverNats(shop.committer.clone());
    check_streams(&bus, tenant, shop.config.replicas).await.map_err(|e| failed(&e))?;
    let log = ledger(shop, tenant).await?;
    let skew = log.clock_skew().await.map_err(|e| failed(&e))?;
    if is_skewed(&skew) {
        return Err(Over::Failed(format!("this clock is {} ns from the server's", skew.nanos)));
    }
    let standing = match standing {
        Some(standing) => standing,
        None => Standing::open(&log, tenant, snapshot(shop, tenant, &keeper), true).await?,
    };
    let (trusted, store) = (standing.trusted, standing.store());
    let setup = Setup {
        tenant: tenant.clone(),
        me: shop.config.name.clone(),
        log: log.clone(),
        signers: Signers::new(tenant.clone(), Arc::clone(&shop.sources)),
        keeper,
        store,
        commands: Arc::clone(&shop.commands),
        epoch,
        reason,
        status: Arc::clone(status),
        metrics: shop.config.metrics.clone(),
        throttle: shop.config.throttle,
    };
    Ok(Served { holder: Holder::take_over(setup, standing).await?, log, trusted })
}

/// Serves, with everything that feeds the holder beside it.
async fn attend(
    shop: &Arc<Shop>,
    assignments: &Arc<Assignments>,
    tenant: &TenantId,
    epoch: u64,
    served: Served,
    sender: mpsc::Sender<Message>,
    receiver: mpsc::Receiver<Message>,
) -> Over {
    let Served { holder, log, trusted } = served;
    let (stop, stopped) = watch::channel(false);
    let stop = Arc::new(stop);
    let broken: Arc<Mutex<Option<Over>>> = Arc::default();
    let watched = log.clone();
    let patrol = trusted.map(|trusted| {
        let (stop, broken) = (Arc::clone(&stop), Arc::clone(&broken));
        let (tenant, places) = (tenant.clone(), Arc::clone(&shop.patrolled));
        tokio::spawn(async move {
            if let Err(over) = patrol::check(&log, &tenant, trusted, &places).await {
                *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(over);
                stop.send_replace(true);
            }
        })
    });
    let subject = format!("command.{tenant}.>");
    let (queue, name) = (format!("holders-{tenant}"), format!("command-{tenant}"));
    let mut options = ServeOptions::new(subject, queue, name);
    let busy = Answer::unrecorded(unrecorded::RETRY, "too many commands are waiting");
    options.busy = Bytes::from(busy.to_bytes());
    let endpoint = match shop.micro.serve_with(options).await {
        Ok(endpoint) => endpoint,
        Err(error) => return Over::Failed(error.to_string()),
    };
    let stopper = endpoint.stopper();
    let requests = tokio::spawn(hand_in(endpoint, sender.clone(), shop.config.metrics.clone()));
    let held = shop.held.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned();
    let pull = intake::Pull {
        status: held.map(|(status, _)| status).unwrap_or_default(),
        tenant: tenant.clone(),
        connection: shop.intake.clone(),
        committer: shop.committer.clone(),
        responder: shop.responder.clone(),
        keys: shop.config.keys.clone(),
    };
    let intents = tokio::spawn(intake::pull(pull, sender));
    let guard = tokio::spawn(guard(
        Arc::clone(shop),
        Arc::clone(assignments),
        tenant.clone(),
        epoch,
        watched,
        stop,
    ));
    let over = Box::pin(holder.serve(receiver, stopped)).await;
    stopper.stop();
    intents.abort();
    guard.abort();
    if let Some(patrol) = patrol {
        patrol.abort();
    }
    let _ = requests.await;
    let broken = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
    broken.unwrap_or(over)
}

/// Whether somebody else, such as the checkpointer, found the ledger wrong.
async fn frozen_meanwhile(shop: &Shop, tenant: &TenantId) -> bool {
    let Ok(bucket) = Kv::open(shop.committer.clone(), BUCKET_FROZEN) else { return false };
    matches!(bucket.get(tenant.as_str()).await, Ok(Some(entry)) if !entry.deleted)
}

fn is_skewed(skew: &Skew) -> bool {
    skew.nanos.abs() - skew.uncertainty > HOLDER_CLOCK.as_nanos() as i128
}

/// Ends the holder when it is told to stop, deposed, or the stream's configuration changed.
async fn guard(
    shop: Arc<Shop>,
    assignments: Arc<Assignments>,
    tenant: TenantId,
    epoch: u64,
    log: Log,
    stop: Arc<watch::Sender<bool>>,
) {
    let mut ended = shop.stop.subscribe();
    let mut compared = tokio::time::Instant::now();
    let bus = OverNats(shop.committer.clone());
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = told(&mut ended) => break,
        }
        if let Ok(Some((a, _))) = assignments.read(&tenant).await
            && (a.epoch != epoch || a.decider != shop.config.name)
        {
            break;
        }
        if compared.elapsed() >= COMPARE_EVERY {
            compared = tokio::time::Instant::now();
            if let Err(error @ canonry_provision::Error::Differs { .. }) =
                check_streams(&bus, &tenant, shop.config.replicas).await
            {
                tracing::error!(%tenant, %error, "a stream was changed: this decider stops serving");
                break;
            }
            if frozen_meanwhile(&shop, &tenant).await {
                tracing::error!(%tenant, "the tenant was frozen: this decider stops serving");
                break;
            }
            // A clock that jumped would stand in every later record.
            if let Ok(skew) = log.clock_skew().await
                && is_skewed(&skew)
            {
                tracing::error!(%tenant, nanos = skew.nanos, "this clock is not the server's");
                break;
            }
        }
    }
    stop.send_replace(true);
}
