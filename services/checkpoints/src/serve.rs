//! The process's part: a connection, a task for each tenant of the key store, news from `live.>`,
//! the pace of signing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use canonry_decider::serve::connect_cell;
use canonry_keystore::{KeyStore, KeyUse};
use canonry_nats::{Connection, Kv};
use canonry_provision::CellUser;
use canonry_record::seal::Signer;
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::{CHECKPOINT_EVERY, CHECKPOINTED_AT_ONCE, WITNESSES};
use canonry_schemas::subject::BUCKET_FROZEN;
use canonry_telemetry::Metrics;
use canonry_tlog::{Checkpoint, Note};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::follow::{Follower, Stop, freezes, raise};
use crate::lease::Lease;
use crate::store::{ALARM, Store, StoreError};
use crate::told::Told;
use crate::witnesses::{Asker, WITNESS_REFUSES, Witness, client};

/// How often new tenants are looked for, and a ledger of which no news came.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often a lease that another holds is asked for.
const SEEK_EVERY: Duration = Duration::from_secs(1);
/// How long a tenant rests after something failed.
const REST: Duration = Duration::from_secs(2);

/// What a checkpointer needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses of the servers, joined by commas.
    pub url: String,
    /// Its name, different for each that runs at the same time.
    pub name: String,
    /// Creds, and the tenants' checkpoint keys.
    pub keys: KeyStore,
    /// Who is asked to cosign.
    pub witnesses: Vec<Witness>,
    /// What is counted.
    pub metrics: Metrics,
}

/// What all tenants of a process share.
struct Shop {
    config: Config,
    connection: Connection,
    client: reqwest::Client,
    /// Ledgers that are read at once.
    places: Semaphore,
    told: Told,
}

/// A running checkpointer.
pub struct Checkpointer {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Checkpointer {
    /// Connects and begins to follow every tenant of the key store.
    ///
    /// # Errors
    /// A sentence: creds, connection, too many witnesses.
    pub async fn start(config: Config) -> Result<Self, String> {
        if config.witnesses.len() > WITNESSES {
            return Err(format!("at most {WITNESSES} witnesses are asked"));
        }
        let connection = connect_cell(&config.url, &config.keys, &CellUser::Checkpointer).await?;
        let places = Semaphore::new(CHECKPOINTED_AT_ONCE);
        let told = Told::new(config.metrics.clone());
        let shop = Arc::new(Shop { config, connection, client: client()?, places, told });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(all(shop, stopped));
        Ok(Self { stop, task })
    }

    /// Ends in good order.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(Duration::from_secs(10), &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

async fn ended(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn all(shop: Arc<Shop>, mut stop: watch::Receiver<bool>) {
    let mut followed: BTreeMap<TenantId, JoinHandle<()>> = BTreeMap::new();
    loop {
        for tenant in shop.config.keys.tenants().unwrap_or_default() {
            followed
                .entry(tenant.clone())
                .or_insert_with(|| tokio::spawn(one(Arc::clone(&shop), tenant, stop.clone())));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = ended(&mut stop) => break,
        }
    }
    for (_, task) in followed {
        let _ = task.await;
    }
    shop.connection.close().await;
}

/// One tenant, until stopped: again from the beginning whenever something failed.
async fn one(shop: Arc<Shop>, tenant: TenantId, mut stop: watch::Receiver<bool>) {
    let Ok(store) = Store::open(shop.connection.clone(), &tenant) else { return };
    let news = Arc::new(Notify::new());
    let hears = tokio::spawn(hear(shop.connection.clone(), tenant.clone(), Arc::clone(&news)));
    let mut lease = Lease::new(shop.config.name.clone());
    loop {
        let turn = Box::pin(turn(&shop, &tenant, &store, &mut lease, &news));
        let rest = tokio::select! {
            over = turn => match over {
                Stop::Again(why) => {
                    tracing::info!(%tenant, %why, "checkpoints: trying again");
                    REST
                }
                Stop::Wrong(alarm) => {
                    shop.told.is_wrong(&tenant);
                    raise(&shop.connection, &store, &tenant, &alarm).await;
                    // Until somebody looked into it there is nothing to sign.
                    if !freezes(&alarm) {
                        break ended(&mut stop).await;
                    }
                    tokio::select! {
                        () = lifted(&shop.connection, &tenant) => REST,
                        () = ended(&mut stop) => break,
                    }
                }
            },
            () = ended(&mut stop) => break,
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = ended(&mut stop) => break,
        }
    }
    lease.release(&store).await;
    hears.abort();
}

/// Waits until a repair has lifted the freeze.
async fn lifted(connection: &Connection, tenant: &TenantId) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let flag = match Kv::open(connection.clone(), BUCKET_FROZEN) {
            Ok(frozen) => frozen.get(tenant.as_str()).await,
            Err(error) => Err(error),
        };
        match flag {
            Ok(flag) if flag.as_ref().is_none_or(|flag| flag.deleted) => return,
            Ok(_) => {}
            Err(error) => tracing::debug!(%tenant, %error, "the frozen flag cannot be read"),
        }
    }
}

/// An alarm of before is no more: the ledger was read again and is what was signed.
async fn all_clear(store: &Store) -> Result<(), StoreError> {
    let told = store.alarm().await?;
    if told.is_some_and(|alarm| alarm.code != WITNESS_REFUSES) {
        store.kv().delete(ALARM).await?;
    }
    Ok(())
}

async fn hear(connection: Connection, tenant: TenantId, news: Arc<Notify>) {
    match connection.subscribe(&format!("live.{tenant}.>"), None).await {
        Ok(mut live) => {
            while live.next().await.is_some() {
                news.notify_one();
            }
        }
        Err(error) => tracing::warn!(%error, %tenant, "no news: looking every two seconds"),
    }
}

/// Holds the lease, reads, signs; ends only when something is wrong.
async fn turn(
    shop: &Arc<Shop>,
    tenant: &TenantId,
    store: &Store,
    lease: &mut Lease,
    news: &Notify,
) -> Stop {
    let again = |error: &dyn std::fmt::Display| Stop::Again(error.to_string());
    loop {
        match lease.hold(store).await {
            Ok(true) => break,
            Ok(false) => {
                shop.told.leaves(tenant);
                tokio::time::sleep(SEEK_EVERY).await;
            }
            Err(error) => return again(&error),
        }
    }
    shop.told.begins(tenant);
    let signer = match shop.config.keys.signing_key(tenant, KeyUse::Checkpoint) {
        Ok(key) => Signer::new(key),
        Err(error) => return again(&error),
    };
    let mut follower = match Follower::open(&shop.connection, tenant, signer).await {
        Ok(follower) => follower,
        Err(stop) => return stop,
    };
    // One sender to one task, which asks for the newest only: a slow witness delays no checkpoint.
    let (newest, asked) = watch::channel(None);
    let mut cleared = false;
    let asking = Asking(tokio::spawn(ask(Arc::clone(shop), tenant.clone(), store.clone(), asked)));
    loop {
        let pace = tokio::time::Instant::now() + CHECKPOINT_EVERY;
        if let Err(stop) = step(shop, tenant, &mut follower, &newest).await {
            drop(asking);
            return stop;
        }
        if !cleared && let Err(error) = all_clear(store).await {
            return again(&error);
        }
        cleared = true;
        tokio::select! {
            () = news.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        tokio::time::sleep_until(pace).await;
        match lease.hold(store).await {
            Ok(true) => {}
            Ok(false) => return Stop::Again("another checkpointer signs".to_owned()),
            Err(error) => return again(&error),
        }
    }
}

/// The task that asks witnesses ends with whoever started it.
struct Asking(JoinHandle<()>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type Newest = Option<(Note, Checkpoint)>;

async fn step(
    shop: &Shop,
    tenant: &TenantId,
    follower: &mut Follower,
    newest: &watch::Sender<Newest>,
) -> Result<(), Stop> {
    let place = shop.places.acquire().await;
    let _place = place.map_err(|e| Stop::Again(e.to_string()))?;
    follower.catch_up().await?;
    let signed = follower.sign().await?;
    if let Some((_, at)) = &signed {
        shop.told.covers(tenant, at.size);
    }
    newest.send_if_modified(|now| {
        let moved = now.as_ref().map(|(_, at)| at.size) != signed.as_ref().map(|(_, at)| at.size);
        if moved {
            *now = signed;
        }
        moved
    });
    Ok(())
}

async fn ask(shop: Arc<Shop>, tenant: TenantId, store: Store, mut newest: watch::Receiver<Newest>) {
    if shop.config.witnesses.is_empty() {
        return;
    }
    let mut asker =
        Asker::new(shop.client.clone(), tenant.clone(), store, shop.config.witnesses.clone());
    loop {
        if newest.changed().await.is_err() {
            return;
        }
        let now = newest.borrow_and_update().clone();
        if let Some((note, at)) = now {
            let refuses = asker.ask(&note, &at).await;
            shop.told.refuses(&tenant, refuses);
        }
    }
}
