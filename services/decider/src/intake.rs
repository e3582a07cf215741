//! Durable intents: the intake seals and stores them, a holder pulls and decides them. The body
//! lies in the stream only under a key of the tenant.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use canonry_keystore::KeyStore;
use canonry_nats::{Bytes, Connection, Incoming, Job, Kv, Micro, Queue, QueueSettings};
use canonry_record::content;
use canonry_schemas::answer::Answer;
use canonry_schemas::header::{INTENT_ID, ON_BEHALF_OF, REQUEST_TOKEN, TRACEPARENT};
use canonry_schemas::ids::{IntentId, TenantId};
use canonry_schemas::limits::{CLOCK_SKEW, COMMAND_BYTES, INTENT_DELIVERIES, JWT_BYTES};
use canonry_schemas::refusal::{Refusal, unrecorded};
use canonry_schemas::subject::{Inbound, content_bucket, intake, intents_stream, outcome};
use canonry_telemetry::Metrics;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc, watch};
use tracing::{Instrument as _, Span};
use zeroize::Zeroizing;

use crate::desk::Asked;
use crate::holder::{Message, Status, now};
use crate::keeper::{TENANT_SECRET, nonce, open_secret};
use crate::reply::Reply;
use crate::traced;

/// Intents that are being stored at once.
const STORING: usize = 64;

/// An intent as it lies in the stream, sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    subject: String,
    headers: Vec<(String, String)>,
    body: String,
}

async fn intake_key(
    committer: &Connection,
    keys: &KeyStore,
    tenant: &TenantId,
) -> Result<Zeroizing<[u8; 32]>, String> {
    let kek = keys.kek(tenant).map_err(|e| e.to_string())?;
    let bucket = Kv::open(committer.clone(), &content_bucket(tenant)).map_err(|e| e.to_string())?;
    let entry = bucket.get(TENANT_SECRET).await.map_err(|e| e.to_string())?;
    let entry = entry.ok_or("the tenant's secret is missing")?;
    let secret = open_secret(kek.as_bytes(), tenant, &entry.value).map_err(|e| format!("{e:?}"))?;
    Ok(content::derive(&secret, "intake"))
}

type IntakeKeys = Mutex<HashMap<TenantId, Arc<Zeroizing<[u8; 32]>>>>;

/// Stores intents of all tenants until stopped.
pub async fn serve(
    micro: Micro,
    connection: Connection,
    committer: Connection,
    keys: KeyStore,
    metrics: Metrics,
    mut stop: watch::Receiver<bool>,
) {
    let mut endpoint = match micro.serve("intent.*.>", "intake", "intent").await {
        Ok(endpoint) => endpoint,
        Err(error) => {
            tracing::error!(%error, "intents cannot be received");
            return;
        }
    };
    let known: Arc<IntakeKeys> = Arc::default();
    let places = Arc::new(tokio::sync::Semaphore::new(STORING));
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.next() => incoming,
            () = crate::serve::told(&mut stop) => None,
        };
        let Some(incoming) = incoming else { break };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let (connection, committer) = (connection.clone(), committer.clone());
        let (keys, known, metrics) = (keys.clone(), Arc::clone(&known), metrics.clone());
        let span = traced::store_intent(&incoming);
        let storing = async move {
            let stored = store(&connection, &committer, &keys, &known, &incoming).await;
            let code = stored.as_ref().err().map(|(code, _)| *code);
            traced::ended(&Span::current(), code);
            if let Some(code) = code {
                metrics.unrecorded(code);
            }
            let answer = match stored {
                Ok(intent) => Answer { ok: true, intent: Some(intent), ..Answer::default() },
                Err((code, why)) => Answer::unrecorded(code, why),
            };
            incoming.respond(Bytes::from(answer.to_bytes()), &[]);
            drop(place);
        };
        tokio::spawn(storing.instrument(span));
    }
}

/// The intent's id and the headers that the desk reads, checked as far as they can be without the
/// tenant's state: what is wrong with them is wrong at every delivery.
fn kept(incoming: &Incoming) -> Result<(IntentId, Vec<(String, String)>), Refusal> {
    let ours = [INTENT_ID, ON_BEHALF_OF, REQUEST_TOKEN, TRACEPARENT];
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in incoming.headers.iter() {
        let Some(name) = ours.into_iter().find(|n| n.eq_ignore_ascii_case(name)) else { continue };
        if value.len() > JWT_BYTES || headers.iter().any(|(n, _)| n == name) {
            return Err(Refusal::BadHeader);
        }
        headers.push((name.to_owned(), value.to_owned()));
    }
    let now = now().millis();
    let id = match headers.iter().find(|(n, _)| n == INTENT_ID) {
        Some((_, given)) => given.parse::<IntentId>().map_err(|_| Refusal::BadIntentId)?,
        None => {
            let mut random = [0; 16];
            random.copy_from_slice(&nonce()[..16]);
            let id = IntentId::from_parts(now, u128::from_le_bytes(random));
            headers.push((INTENT_ID.to_owned(), id.to_string()));
            id
        }
    };
    if id.millis() > now + CLOCK_SKEW.as_millis() as u64 {
        return Err(Refusal::BadIntentId);
    }
    Ok((id, headers))
}

/// Stores one intent; its id, or the code and the reason why it was not stored.
async fn store(
    connection: &Connection,
    committer: &Connection,
    keys: &KeyStore,
    known: &IntakeKeys,
    incoming: &Incoming,
) -> Result<String, (&'static str, String)> {
    let refused = |r: Refusal| (r.code(), r.message().to_owned());
    let retry = |why: String| (unrecorded::RETRY, why);
    let inbound =
        Inbound::parse(&incoming.subject).ok_or_else(|| refused(Refusal::UnknownCommand))?;
    if incoming.body.len() > COMMAND_BYTES {
        return Err(refused(Refusal::BodyTooLarge));
    }
    let (intent, headers) = kept(incoming).map_err(refused)?;
    let key = {
        let mut known = known.lock().await;
        match known.get(&inbound.tenant) {
            Some(key) => Arc::clone(key),
            None => {
                let key = intake_key(committer, keys, &inbound.tenant).await.map_err(retry)?;
                let key = Arc::new(key);
                known.insert(inbound.tenant.clone(), Arc::clone(&key));
                key
            }
        }
    };
    let body = String::from_utf8(incoming.body.to_vec()).map_err(|_| refused(Refusal::NotJson))?;
    let sealed = Sealed { subject: incoming.subject.clone(), headers, body };
    let clear = Zeroizing::new(serde_json::to_vec(&sealed).unwrap_or_default());
    let bytes = content::wrap(&key, &nonce(), inbound.tenant.as_str(), "intake", &clear);
    let stored = connection.enqueue(&intake(&inbound.tenant), &[], Bytes::from(bytes)).await;
    stored.map(|_| intent.to_string()).map_err(|e| retry(e.to_string()))
}

/// What the pulling of one tenant's intents needs.
pub struct Pull {
    /// Which tenant.
    pub tenant: TenantId,
    /// The intake's connection.
    pub connection: Connection,
    /// The committer's, to read the tenant's secret.
    pub committer: Connection,
    /// The responder's, for outcomes.
    pub responder: Connection,
    /// Keys.
    pub keys: KeyStore,
    /// The holder's.
    pub status: Arc<Status>,
}

/// How the intake's consumer is made. The server must not give a job up by itself: what was
/// delivered too often is put aside by us, and would otherwise lie in the stream unseen.
#[must_use]
pub fn settings(tenant: &TenantId) -> QueueSettings {
    QueueSettings {
        // Its user may open no consumer without this filter, which fits no other kind of stream.
        filter: Some(format!("intake.{tenant}.>")),
        max_deliver: 1_000_000,
        ..QueueSettings::new("intake")
    }
}

/// Pulls intents into the holder until aborted.
pub async fn pull(p: Pull, sender: mpsc::Sender<Message>) {
    loop {
        if let Err(why) = pull_on(&p, &sender).await {
            tracing::warn!(tenant = %p.tenant, %why, "intents cannot be pulled; trying again");
        }
        if sender.is_closed() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn pull_on(p: &Pull, sender: &mpsc::Sender<Message>) -> Result<(), String> {
    let key = intake_key(&p.committer, &p.keys, &p.tenant).await?;
    let stream = intents_stream(&p.tenant);
    let opened = Queue::open(p.connection.clone(), &stream, &settings(&p.tenant)).await;
    let mut queue = opened.map_err(|e| e.to_string())?;
    loop {
        let wait = Duration::from_millis(200);
        if p.status.stalled.load(Ordering::Relaxed) {
            // Deliveries are counted: none is spent on what cannot be decided now.
            tokio::time::sleep(wait).await;
            continue;
        }
        for job in queue.next_batch(256, wait).await.map_err(|e| e.to_string())? {
            if let Some(message) = open(p, &key, job).await
                && sender.send(message).await.is_err()
            {
                return Ok(());
            }
        }
    }
}

async fn open(p: &Pull, key: &[u8; 32], job: Job) -> Option<Message> {
    let tenant = p.tenant.as_str();
    let sealed: Option<Sealed> = content::unwrap(key, tenant, "intake", &job.body)
        .ok()
        .and_then(|clear| serde_json::from_slice(&clear).ok());
    let inbound = sealed.as_ref().and_then(|s| Inbound::parse(&s.subject));
    let (Some(sealed), Some(inbound)) = (sealed, inbound.filter(|i| i.tenant == p.tenant)) else {
        dead(p, job).await;
        return None;
    };
    if i64::try_from(job.delivered).unwrap_or(i64::MAX) > INTENT_DELIVERIES {
        dead(p, job).await;
        return None;
    }
    let intent = sealed.headers.iter().find(|(n, _)| n == INTENT_ID)?.1.parse().ok()?;
    let subject = outcome(&p.tenant, &inbound.actor, &intent);
    let asked = Asked {
        actor: inbound.actor,
        aggregate: inbound.aggregate,
        verb: inbound.verb,
        headers: sealed.headers,
        body: Bytes::from(sealed.body),
        timer: false,
    };
    let reply = Reply::Intent { job: Box::new(job), subject, by: p.responder.clone() };
    Some((Arc::new(asked), reply))
}

/// What cannot be decided is kept aside, still sealed.
async fn dead(p: &Pull, job: Job) {
    let subject = format!("dead.{}.intent", p.tenant);
    match p.connection.enqueue(&subject, &[], job.body.clone()).await {
        Ok(_) => drop(job.term().await),
        Err(error) => tracing::warn!(%error, "a dead letter could not be stored"),
    }
}
