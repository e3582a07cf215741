//! A person or worker of a tenant over NATS: submits commands with the intent id kept over every
//! retry, and signs what has to be signed. It decides nothing and reads no ledger.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use canonry_keystore::KeyStore;
use canonry_nats::{Bytes, Connect, Connection, ErrorKind, RequestError};
use canonry_record::Hash;
use canonry_record::hash::sha256;
use canonry_record::jws::{self, Approval, Assertion, Bearer, Decision, RequestToken};
use canonry_record::seal::Signer;
use canonry_schemas::answer::Answer;
use canonry_schemas::event::known;
use canonry_schemas::header;
use canonry_schemas::ids::{ActorId, IntentId, TenantId};
use canonry_schemas::limits::{ASSERTION_LIFE, CLIENT_RETRY};
use canonry_schemas::refusal::unrecorded::RETRY;
use canonry_schemas::subject::{Inbound, Way, outcome};
use canonry_schemas::tier::inbox;
use canonry_secrets::DeviceKey;
use canonry_telemetry::{Context, exports, names};
use tracing::{Span, info_span};

use crate::failure::{Failure, chain};
use crate::lease::Kept;

/// How long a token for one request or approval lives, in seconds.
const TOKEN_SECONDS: i64 = 300;
/// How long a token of a lease lives.
const LEASE_TOKEN_MINUTES: u32 = 5;
/// How long one try waits for its answer.
const TRY: Duration = Duration::from_secs(10);
/// First and longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Milliseconds since 1970.
#[must_use]
pub fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn now_seconds() -> i64 {
    i64::try_from(now_millis() / 1_000).unwrap_or(i64::MAX)
}

/// A fresh intent id.
///
/// # Errors
/// The operating system gives no randomness.
pub fn new_intent() -> Result<IntentId, Failure> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(Failure::unavailable)?;
    Ok(IntentId::from_parts(now_millis(), u128::from_le_bytes(random)))
}

/// What an actor signs with its `member` key; needs no connection.
#[derive(Debug, Clone)]
pub struct Pen {
    /// The tenant.
    pub tenant: TenantId,
    /// Who signs.
    pub actor: ActorId,
    signer: Signer,
}

impl Pen {
    /// Takes the actor's key from the key store.
    ///
    /// # Errors
    /// It is not there, or exposed.
    pub fn open(keys: &KeyStore, tenant: &TenantId, actor: &ActorId) -> Result<Self, Failure> {
        let key = keys.member_key(tenant, actor).map_err(Failure::config)?;
        Ok(Self { tenant: tenant.clone(), actor: actor.clone(), signer: Signer::new(key) })
    }

    /// The key itself.
    #[must_use]
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// A token for exactly one request.
    #[must_use]
    pub fn request_token(
        &self,
        (aggregate, verb): (&str, &str),
        body: &[u8],
        id: &IntentId,
    ) -> String {
        let iat = now_seconds();
        let claims = RequestToken {
            iss: self.actor.to_string(),
            aud: format!("canonry/{}/request", self.tenant),
            aggregate: aggregate.to_owned(),
            verb: verb.to_owned(),
            body: sha256(body),
            intent: id.to_string(),
            iat,
            exp: iat + TOKEN_SECONDS,
        };
        jws::sign(&claims, &self.signer)
    }

    /// A bearer for reads and ordinary writes.
    #[must_use]
    pub fn bearer(&self, minutes: u32, id: &IntentId) -> String {
        let iat = now_seconds();
        let claims = Bearer {
            iss: self.actor.to_string(),
            aud: format!("canonry/{}/api", self.tenant),
            ten: self.tenant.to_string(),
            iat,
            exp: iat + i64::from(minutes) * 60,
            jti: id.to_string(),
        };
        jws::sign(&claims, &self.signer)
    }

    /// A decision about what the record at `asked` asked for.
    #[must_use]
    pub fn approval(
        &self,
        entity: &str,
        decision: Decision,
        asked: (u64, Hash),
        id: &IntentId,
    ) -> String {
        let iat = now_seconds();
        let claims = Approval {
            iss: self.actor.to_string(),
            aud: format!("canonry/{}/approval", self.tenant),
            sub: entity.to_owned(),
            decision,
            intent: id.to_string(),
            iat,
            exp: iat + TOKEN_SECONDS,
            position: asked.0,
            hash: asked.1,
        };
        jws::sign(&claims, &self.signer)
    }
}

/// That somebody has just shown again who they are, for what the record at `asked` asked.
#[must_use]
pub fn assertion(key: &DeviceKey, entity: &str, asked: (u64, Hash), id: &IntentId) -> String {
    let iat = now_seconds();
    let claims = Assertion {
        iss: key.actor.to_string(),
        aud: format!("canonry/{}/step-up", key.tenant),
        sub: entity.to_owned(),
        level: key.level,
        intent: id.to_string(),
        iat,
        exp: iat + ASSERTION_LIFE.as_secs().cast_signed(),
        position: asked.0,
        hash: asked.1,
    };
    jws::sign(&claims, &Signer::new(key.key.clone()))
}

/// A connection in an actor's name.
#[derive(Debug, Clone)]
pub struct Client {
    /// The connection, for subscriptions.
    pub connection: Connection,
    /// The tenant.
    pub tenant: TenantId,
    /// The actor.
    pub actor: ActorId,
    pen: Option<Pen>,
    /// The token of the lease that commands are sent under, instead of one by the pen.
    lease: Option<String>,
}

impl Client {
    /// Connects with the credentials of a lease; what is sent is sent under it.
    ///
    /// # Errors
    /// The credentials are no more, or no server.
    pub async fn under_lease(url: &str, creds: String, kept: &Kept) -> Result<Self, Failure> {
        let mut connect = Connect::new(url, kept.worker.as_str());
        connect.creds = Some(creds);
        connect.inbox_prefix = inbox(&kept.worker, &kept.lease);
        let connection = Connection::connect(connect).await;
        let connection = connection.map_err(|e| Failure::unavailable(chain(&e)))?;
        let (tenant, actor) = (kept.tenant.clone(), kept.worker.clone());
        let lease = Some(kept.token(LEASE_TOKEN_MINUTES)?);
        Ok(Self { connection, tenant, actor, pen: None, lease })
    }

    /// Connects with the actor's creds; its `member` key is used where it is at hand.
    ///
    /// # Errors
    /// No creds, or no server.
    pub async fn connect(
        url: &str,
        keys: &KeyStore,
        tenant: &TenantId,
        actor: &ActorId,
    ) -> Result<Self, Failure> {
        let path = keys.tenant_creds_path(tenant, actor);
        let creds = keys.read_text(&path).map_err(Failure::config)?;
        let mut connect = Connect::new(url, actor.as_str());
        connect.creds = Some(creds.to_string());
        connect.inbox_prefix = format!("_INBOX.{actor}");
        let connection = Connection::connect(connect).await.map_err(|e| match e.kind() {
            ErrorKind::Invalid => Failure::config(format!("creds of {actor}: {}", chain(&e))),
            _ => Failure::unavailable(chain(&e)),
        })?;
        let pen = Pen::open(keys, tenant, actor).ok();
        Ok(Self { connection, tenant: tenant.clone(), actor: actor.clone(), pen, lease: None })
    }

    /// What signs for the actor.
    ///
    /// # Errors
    /// The `member` key is not in the key store.
    pub fn pen(&self) -> Result<&Pen, Failure> {
        let missing = || Failure::config(format!("no member key of {} here", self.actor));
        self.pen.as_ref().ok_or_else(missing)
    }

    /// Submits a command and waits for the answer after its commit. `retry` and nobody there are
    /// tried again with the same intent id for [`CLIENT_RETRY`].
    ///
    /// # Errors
    /// No answer; the intent's id is in the message, so that it can be asked again.
    pub async fn submit(
        &self,
        aggregate: &str,
        verb: &str,
        body: &[u8],
        id: &IntentId,
    ) -> Result<Answer, Failure> {
        self.send(Way::Command, aggregate, verb, body, id).await
    }

    /// Hands a command over durably: the answer says that it is stored.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub async fn hand_over(
        &self,
        aggregate: &str,
        verb: &str,
        body: &[u8],
        id: &IntentId,
    ) -> Result<Answer, Failure> {
        self.send(Way::Intent, aggregate, verb, body, id).await
    }

    /// Hands a command over and waits for its outcome.
    ///
    /// # Errors
    /// As [`Self::submit`], and when no outcome comes within `patience`.
    pub async fn hand_over_and_wait(
        &self,
        (aggregate, verb): (&str, &str),
        body: &[u8],
        id: &IntentId,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let subject = outcome(&self.tenant, &self.actor, id);
        let heard = self.connection.subscribe(&subject, None).await;
        let mut heard = heard.map_err(|e| Failure::unavailable(chain(&e)))?;
        let stored = self.hand_over(aggregate, verb, body, id).await?;
        if !stored.ok {
            return Ok(stored);
        }
        match tokio::time::timeout(patience, heard.next()).await {
            Ok(Some(message)) => read_answer(&message.body),
            _ => Err(Failure::unavailable(format!("intent {id} is stored; no outcome yet"))),
        }
    }

    async fn send(
        &self,
        way: Way,
        aggregate: &str,
        verb: &str,
        body: &[u8],
        id: &IntentId,
    ) -> Result<Answer, Failure> {
        let (tenant, actor) = (self.tenant.clone(), self.actor.clone());
        let (aggregate, verb) = (aggregate.to_owned(), verb.to_owned());
        let inbound = Inbound { way, tenant, actor, aggregate, verb };
        let named = (inbound.aggregate.as_str(), inbound.verb.as_str());
        let token = self.pen.as_ref().map(|pen| pen.request_token(named, body, id));
        let span = traced(&inbound);
        let trace = Context::of(&span).map(|context| context.traceparent());
        let mut headers = vec![(header::INTENT_ID, id.as_str())];
        headers.extend(token.as_deref().map(|token| (header::REQUEST_TOKEN, token)));
        headers.extend(self.lease.as_deref().map(|token| (header::LEASE, token)));
        headers.extend(trace.as_deref().map(|trace| (header::TRACEPARENT, trace)));
        let (subject, body) = (inbound.print(), Bytes::copy_from_slice(body));
        let until = Instant::now() + CLIENT_RETRY;
        let mut pause = PAUSE.0;
        loop {
            let wait = TRY.min(until.saturating_duration_since(Instant::now()).max(PAUSE.1));
            let why = match self.connection.request(&subject, &headers, body.clone(), wait).await {
                Ok(reply) => {
                    let answer = read_answer(&reply.body)?;
                    if answer.code.as_deref() != Some(RETRY) {
                        span.record("code", answer.code.as_deref().unwrap_or("ok"));
                        return Ok(answer);
                    }
                    answer.message.unwrap_or_else(|| RETRY.to_owned())
                }
                Err(RequestError::NoResponders) => "nobody serves this tenant".to_owned(),
                Err(RequestError::TimedOut) => "no answer".to_owned(),
                Err(RequestError::Other(error)) => return Err(Failure::refused(chain(&error))),
            };
            if Instant::now() + pause >= until {
                return Err(Failure::unavailable(format!(
                    "{why}; the outcome of intent {id} is unknown: ask again with the same id"
                )));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

/// The command's span, where spans are exported; its context goes with the command.
fn traced(inbound: &Inbound) -> Span {
    if !exports() {
        return Span::none();
    }
    let (aggregate, verb) = known(&inbound.aggregate, &inbound.verb).unzip();
    let (tenant, code) = (&inbound.tenant, tracing::field::Empty);
    info_span!(names::SPAN_COMMAND, %tenant, aggregate, verb, code)
}

fn read_answer(body: &[u8]) -> Result<Answer, Failure> {
    serde_json::from_slice(body).map_err(|e| Failure::refused(format!("not an answer: {e}")))
}
