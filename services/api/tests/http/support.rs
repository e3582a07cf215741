//! A tenant with a founder, her key, and a way to ask.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use canonry_api::{
    Api, Clear, Content, Evidence, EvidenceError, Health, Projections, StoredEvidence, Submission,
    Submit, SubmitError, Tlog, TlogError, router,
};
use canonry_projections::Recorded;
use canonry_record::encoding::base64url;
use canonry_record::jws::{self, Bearer, RequestToken};
use canonry_record::seal::Signer;
use canonry_record::{Hash, SigningKey};
use canonry_schemas::answer::Answer;
use canonry_schemas::event::Event;
use canonry_schemas::evidence::Attach;
use canonry_schemas::ids::{KeyedDigest, ObjectId, TenantId, generated};
use canonry_schemas::limits::CHANGES_STREAMS;
use canonry_schemas::time::Time;
use canonry_telemetry::Metrics;
use canonry_tlog::TilePath;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use crate::policies::Copies;

/// Seconds since 1970, as every test's clock says.
pub const NOW: i64 = 1_800_000_100;

pub fn id(prefix: &str, n: u128) -> String {
    generated(prefix, 1_800_000_000_000, n)
}

/// Remembers what was submitted and gives the answer it was told.
#[derive(Default)]
pub struct Decider {
    pub seen: Mutex<Vec<Submission>>,
    pub answer: Mutex<Option<Answer>>,
}

#[async_trait::async_trait]
impl Submit for Decider {
    async fn submit(&self, submission: Submission) -> Result<Answer, SubmitError> {
        self.seen.lock().unwrap().push(submission);
        self.answer.lock().unwrap().clone().ok_or(SubmitError::Retry)
    }
}

struct Keys;

impl Content for Keys {
    fn decrypt(&self, _: &TenantId, entity: &str, pointer: &str, text: &str) -> Option<String> {
        if let Some(json) = text.strip_prefix("x1:json:") {
            return Some(json.to_owned());
        }
        let clear = text.strip_prefix("x1:k:")?;
        Some(format!("{clear} of {entity}{pointer}"))
    }
}

/// A log of three records, with a gap at position 2.
struct Log;

pub const NOTE: &str = "canonry/acme\n3\nAAAA\n\n\u{2014} canonry/acme AAAAAAAA\n";

#[async_trait::async_trait]
impl Tlog for Log {
    async fn checkpoint(&self, tenant: &TenantId) -> Result<String, TlogError> {
        assert_eq!(tenant.as_str(), "acme");
        Ok(NOTE.to_owned())
    }

    async fn tile(&self, _: &TenantId, path: TilePath) -> Result<Vec<u8>, TlogError> {
        if path.width == 3 { Ok(path.to_string().into_bytes()) } else { Err(TlogError::NoTile) }
    }

    async fn inclusion(&self, _: &TenantId, position: u64) -> Result<String, TlogError> {
        match position {
            1 | 3 | 4 => Ok(format!("proof of {position}\n")),
            2 => Err(TlogError::NoRecord(2)),
            _ => Err(TlogError::NotCovered),
        }
    }

    async fn consistency(&self, _: &TenantId, from: u64, to: u64) -> Result<Vec<Hash>, TlogError> {
        match (from, to) {
            (0, _) => Err(TlogError::Sizes),
            (_, 4..) => Err(TlogError::Failed("the disk at 10.0.0.1".into())),
            _ => Ok(vec![Hash([1; 32])]),
        }
    }
}

/// No bucket: what needs one is tried on a real cell, in `tests/cli/evidence.rs`.
struct NoBucket;

#[async_trait::async_trait]
impl Evidence for NoBucket {
    async fn store(
        &self,
        _: &TenantId,
        _: &str,
        _: Clear,
    ) -> Result<StoredEvidence, EvidenceError> {
        Err(EvidenceError::Failed("no bucket".into()))
    }
    async fn discard(&self, _: &TenantId, _: &ObjectId, _: &KeyedDigest) {}
    async fn open(&self, _: &TenantId, _: &str, _: &Attach) -> Result<Clear, EvidenceError> {
        Err(EvidenceError::Missing)
    }
    fn sign(&self, _: &TenantId, _: u64, _: &ObjectId, _: u64) -> Result<String, EvidenceError> {
        Ok("signed".into())
    }
    fn holds(&self, _: &TenantId, _: u64, _: &ObjectId, _: u64, signature: &str) -> bool {
        signature == "signed"
    }
}

pub struct World {
    pub router: Router,
    pub projections: Arc<Projections>,
    pub decider: Arc<Decider>,
    pub tenant: TenantId,
    pub founder: Signer,
    records: Mutex<u64>,
    pub copies: Arc<Copies>,
    pub drafts: Arc<Semaphore>,
    _dir: tempfile::TempDir,
}

pub fn signer(seed: u8) -> Signer {
    Signer::new(SigningKey::from_bytes(&[seed; 32]))
}

pub fn public(signer: &Signer, actor: &str) -> Value {
    let public = base64url(signer.key.verifying_key().as_bytes());
    json!({"id": signer.id, "alg": "ed25519", "public": public, "use": ["member"], "actor": actor})
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let projections = Arc::new(Projections::new(dir.path()));
        let decider = Arc::new(Decider::default());
        let tenant: TenantId = "acme".parse().unwrap();
        assert_eq!(projections.open(&tenant).await.unwrap().position, 0);
        let counts = Metrics::new();
        let (copies, drafts) = (Arc::new(Copies::default()), Arc::new(Semaphore::new(2)));
        let api = Api {
            submit: decider.clone(),
            content: Arc::new(Keys),
            tlog: Arc::new(Log),
            evidence: Arc::new(NoBucket),
            policies: copies.clone(),
            checks: Arc::new(Semaphore::new(1)),
            drafts: drafts.clone(),
            transfers: Arc::new(Semaphore::new(1)),
            projections: projections.clone(),
            now: Arc::new(|| Time(NOW * 1_000_000)),
            health: Health {
                ready: Arc::new(|| Some(("store-unavailable", "no store".into()))),
                frozen: Arc::new(|| 0),
                metrics: Arc::new({
                    let counts = counts.clone();
                    move || counts.encode()
                }),
            },
            counts,
            streams: Arc::new(Semaphore::new(CHANGES_STREAMS)),
        };
        let world = Self {
            router: router(api),
            projections,
            decider,
            tenant,
            founder: signer(1),
            records: Mutex::new(0),
            copies,
            drafts,
            _dir: dir,
        };
        let founded = json!({
            "keys": [public(&world.founder, "ada")],
            "members": [{"actor": "ada", "parts": ["founder"]}],
        });
        world.record("ada", "tenant/acme", "tenant.founded", founded).await;
        world
    }

    /// Commits and projects one record.
    pub async fn record(&self, actor: &str, entity: &str, event: &str, data: Value) -> u64 {
        let position = {
            let mut records = self.records.lock().unwrap();
            *records += 1;
            *records
        };
        let (aggregate, name) = event.split_once('.').unwrap();
        let touches = data["ticket"].as_str().map(|t| format!("ticket/{t}")).into_iter().collect();
        let record = Recorded {
            position,
            hash: format!("{position:064x}"),
            id: format!("id{position}"),
            time: Time((1_800_000_000 + i64::try_from(position).unwrap()) * 1_000_000),
            actor: actor.into(),
            via: None,
            intentid: None,
            entity: entity.into(),
            touches,
            kind: format!("canonry.{event}.v1"),
            event: Event::parse(aggregate, name, 1, &data).unwrap().unwrap(),
            data: data.to_string(),
        };
        self.projections.apply(&self.tenant, vec![record], None).await.unwrap()
    }

    pub async fn open_ticket(&self, n: u128, more: Value) -> u64 {
        let mut data = json!({"title": "x1:k:title"});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.record("ada", &format!("ticket/{}", id("tkt_", n)), "ticket.opened", data).await
    }

    pub fn bearer(&self) -> String {
        bearer(&self.founder, "ada", "acme", NOW, NOW + 60)
    }

    pub fn request_token(&self, command: (&str, &str), body: &[u8], intent: &str) -> String {
        let claims = RequestToken {
            iss: "ada".into(),
            aud: "canonry/acme/request".into(),
            aggregate: command.0.into(),
            verb: command.1.into(),
            body: canonry_record::hash::sha256(body),
            intent: intent.into(),
            iat: NOW,
            exp: NOW + 60,
        };
        jws::sign(&claims, &self.founder)
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, Some(&self.bearer()), &[], "").await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let response = self.raw(method, path, token, headers, body.to_owned().into()).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.unwrap();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Reply { status: parts.status, headers: parts.headers, json, text }
    }

    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap()
    }
}

pub fn bearer(signer: &Signer, actor: &str, tenant: &str, iat: i64, exp: i64) -> String {
    let claims = Bearer {
        iss: actor.into(),
        aud: format!("canonry/{tenant}/api"),
        ten: tenant.into(),
        iat,
        exp,
        jti: "1".into(),
    };
    jws::sign(&claims, signer)
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Value,
    pub text: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Asserts a problem of this status and code.
    pub fn refused(&self, status: u16, code: &str) -> &Self {
        assert_eq!(
            (self.status.as_u16(), &self.json["code"]),
            (status, &json!(code)),
            "{}",
            self.text
        );
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json["type"], format!("schemas/errors/{code}.md"));
        self
    }
}
