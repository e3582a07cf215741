//! The copies of all tenants of a cell: beats are heard from the bucket, each is held to the ledger,
//! and the policy that stands is asked.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use canonry_nats::{Connection, Entry, Kv, Log, Watched};
use canonry_policy::bundle::{self, Trust};
use canonry_policy::distributed::{Advice, Copy, Held, Standing, Unheard, View};
use canonry_policy::{Input, Policy};
use canonry_record::beat::{BeatLine, Unsound};
use canonry_record::record_hash;
use canonry_schemas::ids::{Digest, TenantId};
use canonry_schemas::limits::{BEAT_BYTES, BEATS_AT_ONCE, POLICIES_COMPILED};
use canonry_schemas::subject::{BUCKET_POLICIES, ledger_stream};
use canonry_schemas::time::Time;
use futures_util::StreamExt as _;
use lru::LruCache;
use tokio::sync::watch;

use crate::Clock;
use crate::trail::{Lost, Trail};

/// How long the feed rests after the bucket could not be read.
const REST: Duration = Duration::from_secs(1);

/// Why a beat does not count.
#[derive(Debug, thiserror::Error)]
pub enum Deaf {
    /// It is larger than a beat.
    #[error("it is larger than a beat may be")]
    TooLarge,
    /// It lies under another tenant's name.
    #[error("it is of another tenant")]
    Foreign,
    /// It is none, or not signed as it must be.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// The ledger as it is read here ends before it.
    #[error("the ledger ends before its head")]
    Beyond,
    /// The ledger as it is read here holds another record there.
    #[error("the ledger holds another record at its head")]
    Forked,
    /// It is too old, or says otherwise than is known.
    #[error(transparent)]
    Unheard(#[from] Unheard),
    /// The ledger could not be read.
    #[error("the ledger could not be read: {0}")]
    Lost(#[from] Lost),
}

impl From<canonry_nats::Error> for Deaf {
    fn from(error: canonry_nats::Error) -> Self {
        Self::Lost(Lost::Store(error))
    }
}

struct Kept {
    copy: Mutex<Copy>,
    trail: tokio::sync::Mutex<Trail>,
}

/// The copies of all tenants.
pub struct Feed {
    reader: Connection,
    clock: Clock,
    tenants: RwLock<HashMap<TenantId, Arc<Kept>>>,
    compiled: Mutex<LruCache<Digest, Option<Policy>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// With nothing heard. The connection may read the bucket and the ledgers.
    #[must_use]
    pub fn new(reader: Connection, clock: Clock) -> Self {
        let size = NonZeroUsize::new(POLICIES_COMPILED).unwrap_or(NonZeroUsize::MIN);
        let compiled = Mutex::new(LruCache::new(size));
        Self { reader, clock, tenants: RwLock::default(), compiled }
    }

    /// Hears beats until it is stopped.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        loop {
            let why = tokio::select! {
                why = Box::pin(self.listen()) => why,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            tracing::warn!(why, "beats of policies: listening again");
            tokio::select! {
                () = tokio::time::sleep(REST) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn listen(&self) -> String {
        let bucket = Kv::open(self.reader.clone(), BUCKET_POLICIES);
        let watching = match bucket {
            Ok(bucket) => bucket.with_reader_name("reader").watch(">").await,
            Err(error) => Err(error),
        };
        let mut watching = match watching {
            Ok(watching) => watching,
            Err(error) => return error.to_string(),
        };
        let mut under_way = futures_util::stream::FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                next = watching.next(), if under_way.len() < BEATS_AT_ONCE => match next {
                    Some(Ok(Watched::Entry(entry))) => under_way.push(self.told(entry)),
                    Some(Ok(Watched::UpToDate)) => {}
                    Some(Err(error)) => return error.to_string(),
                    None => return "the bucket ended".to_owned(),
                },
            }
        }
    }

    async fn told(&self, entry: Entry) {
        let Ok(tenant) = entry.key.parse::<TenantId>() else { return };
        if entry.deleted {
            return;
        }
        match Box::pin(self.hear(&tenant, &entry.value)).await {
            Ok(()) => {}
            // Every value is told again where listening begins again.
            Err(Deaf::Unheard(Unheard::Replayed)) => {}
            Err(error) => tracing::warn!(%tenant, %error, "a beat does not count"),
        }
    }

    fn kept(&self, tenant: &TenantId) -> Arc<Kept> {
        let known = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = known.get(tenant) {
            return Arc::clone(kept);
        }
        drop(known);
        let fresh = || {
            let trail = tokio::sync::Mutex::new(Trail::new(tenant.clone()));
            Arc::new(Kept { copy: Mutex::default(), trail })
        };
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tenants.entry(tenant.clone()).or_insert_with(fresh))
    }

    /// Takes a beat, as it lies in the bucket: held to the ledger before it counts.
    ///
    /// # Errors
    /// Why it does not count.
    pub async fn hear(&self, tenant: &TenantId, value: &[u8]) -> Result<(), Deaf> {
        if value.len() > BEAT_BYTES {
            return Err(Deaf::TooLarge);
        }
        let line = BeatLine::parse(value)?;
        let beat = &line.beat;
        if beat.tenant != *tenant {
            return Err(Deaf::Foreign);
        }
        let kept = self.kept(tenant);
        let mut trail = kept.trail.lock().await;
        let log = Log::open(self.reader.clone(), &ledger_stream(tenant)).await?;
        let log = log.with_reader_name("reader");
        let known = lock(&kept.copy).held().map(|held| held.published.position);
        let same_keys = trail.ring().is_some_and(|ring| ring.keyhead() == beat.keyhead);
        if !same_keys || known != beat.policy.as_ref().map(|policy| policy.position) {
            let read = Box::pin(trail.read_on(&log)).await;
            let news = trail.take_news();
            let mut copy = lock(&kept.copy);
            if news.again {
                copy.begin_again();
            }
            for held in news.policies {
                // What is read anew is older than what is known, or the same.
                if let Err(why) = copy.take(held) {
                    tracing::debug!(%tenant, %why, "a policy is not taken");
                }
            }
            drop(copy);
            read?;
        }
        line.check(trail.ring().ok_or(Unsound::Keys)?)?;
        let stored = log.get(beat.position).await?.ok_or(Deaf::Beyond)?;
        if record_hash(&stored.subject, &stored.body) != beat.hash {
            return Err(Deaf::Forked);
        }
        Ok(lock(&kept.copy).hear(beat, self.clock.now())?)
    }

    /// What is known of a tenant's policy now.
    #[must_use]
    pub fn view(&self, tenant: &TenantId) -> View {
        let known = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let Some(kept) = known.get(tenant) else { return View::nothing() };
        let (copy, now) = (lock(&kept.copy), self.clock.now());
        View {
            standing: copy.standing(now),
            held: copy.held().cloned(),
            age: copy.age(now),
            heard: copy.heard(),
        }
    }

    /// What the policy in force says of an input. It evaluates on this thread.
    #[must_use]
    pub fn advise(&self, tenant: &TenantId, input: &Input) -> Advice {
        let view = self.view(tenant);
        let Standing::Fresh(held) = &view.standing else {
            let code = view.standing.denies();
            return Advice { view, decision: None, code };
        };
        let Some(policy) = self.compiled(held) else {
            let code = Some(canonry_schemas::refusal::Denial::PolicyError.code());
            return Advice { view, decision: None, code };
        };
        let decision = policy.decide(input);
        let code = decision.codes.first().map(|code| code.code());
        Advice { view, decision: Some(decision), code }
    }

    fn compiled(&self, held: &Held) -> Option<Policy> {
        if let Some(known) = lock(&self.compiled).get(&held.published.digest) {
            return known.clone();
        }
        // Who signed it was looked at when it was read.
        let trust = Trust { key: &|_| true, now: Time(0), newest: None };
        let opened = bundle::open(&held.archive, &trust).ok();
        let policy = opened.and_then(|opened| Policy::compile(&opened.source).ok());
        lock(&self.compiled).put(held.published.digest.clone(), policy.clone());
        policy
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Feed")
    }
}
