//! A cell with a server, a founded tenant and a decider, and clients of its people.

use std::collections::BTreeMap;
use std::time::Duration;

use canonry_decider::found::found;
use canonry_decider::serve::connect_cell;
use canonry_decider::{Config, Decider};
use canonry_nats::{Bytes, Connect, Connection, Log, ReadError};
use canonry_provision::CellUser;
use canonry_provision::server::Options;
use canonry_provision::testing::TestCell;
use canonry_record::hash::sha256;
use canonry_record::jws::{self, Approval, Decision, RequestToken};
use canonry_record::seal::Signer;
use canonry_record::{Line, Verifier, record, verify};
use canonry_schemas::address::Tls;
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::{ActorId, IntentId, TenantId};
use canonry_schemas::member::Part;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

pub struct Spine {
    pub test: TestCell,
    pub tenant: TenantId,
    pub decider: Option<Decider>,
    turn: Option<MutexGuard<'static, ()>>,
}

/// Three servers take most of a small machine: their tests run one after the other.
static CLUSTER: Mutex<()> = Mutex::const_new(());

pub fn now() -> u64 {
    canonry_decider::holder::now().millis()
}

pub fn intent() -> IntentId {
    let mut random = [0; 16];
    random.copy_from_slice(&canonry_decider::keeper::nonce()[..16]);
    IntentId::from_parts(now(), u128::from_le_bytes(random))
}

impl Spine {
    pub async fn start() -> Self {
        Self::on(TestCell::start().await.unwrap()).await
    }

    /// On three nodes.
    pub async fn cluster() -> Self {
        Self::guarded_cluster(Options::default(), Tls::default()).await
    }

    /// On three nodes with certificates.
    pub async fn guarded_cluster(options: Options, tls: Tls) -> Self {
        let turn = CLUSTER.lock().await;
        let mut spine = Self::on(TestCell::start_guarded(3, options, tls).await.unwrap()).await;
        spine.turn = Some(turn);
        spine
    }

    pub async fn on(test: TestCell) -> Self {
        let tenant: TenantId = "acme".parse().unwrap();
        let person = |name: &str, part| (name.parse::<ActorId>().unwrap(), vec![part]);
        let people = [
            person("founder", Part::Founder),
            person("approver", Part::Approver),
            person("operator", Part::Operator),
            person("auditor", Part::Auditor),
        ];
        found(&test.cell, &test.url(), &tenant, &people, test.replicas()).await.unwrap();
        let mut spine = Self { test, tenant, decider: None, turn: None };
        spine.decider = Some(spine.decider("decider-a").await);
        spine
    }

    pub fn config(&self, name: &str) -> Config {
        Config {
            url: self.test.url(),
            name: name.parse().unwrap(),
            keys: self.test.cell.key_store().clone(),
            more_keys: None,
            replicas: self.test.replicas(),
            metrics: canonry_telemetry::Metrics::new(),
            throttle: canonry_decider::throttle::Settings::default(),
        }
    }

    pub async fn decider(&self, name: &str) -> Decider {
        Decider::start(self.config(name)).await.unwrap()
    }

    /// A connection as one of the cell's users.
    pub async fn cell_user(&self, user: &CellUser) -> Connection {
        connect_cell(&self.test.url(), self.test.cell.key_store(), user).await.unwrap()
    }

    /// A service's own connection; its creds are made if they are not there.
    pub async fn service(&self, name: &str) -> Connection {
        let user = CellUser::Service(name.parse().unwrap());
        self.test.cell.cell_user(&user).unwrap();
        self.cell_user(&user).await
    }

    /// The ledger as its committer has it: able to append.
    pub async fn committer_log(&self) -> Log {
        let committer = self.cell_user(&CellUser::Committer).await;
        let log = Log::open(committer, &format!("LEDGER_{}", self.tenant)).await.unwrap();
        log.with_reader_name("committer")
    }

    /// Waits until the tenant is served.
    pub async fn served(&self) {
        let founder = self.person("founder").await;
        let answer = founder.send("ticket", "fly", json!({})).await;
        assert_eq!(answer.code.as_deref(), Some("unknown-command"));
        founder.connection.close().await;
    }

    pub async fn person(&self, actor: &str) -> Person {
        self.person_at(&self.test.url(), actor).await
    }

    pub async fn person_at(&self, url: &str, actor: &str) -> Person {
        let id: ActorId = actor.parse().unwrap();
        let keys = self.test.cell.key_store();
        let creds = keys.read_text(&keys.tenant_creds_path(&self.tenant, &id)).unwrap();
        let mut connect = Connect::new(url, actor);
        connect.creds = Some(creds.to_string());
        connect.inbox_prefix = format!("_INBOX.{actor}");
        let signer = Signer::new(keys.member_key(&self.tenant, &id).unwrap());
        let connection = Connection::connect(connect).await.unwrap();
        Person { tenant: self.tenant.clone(), actor: id, connection, signer }
    }

    pub async fn log(&self) -> Log {
        let keys = self.test.cell.key_store();
        let reader = connect_cell(&self.test.url(), keys, &CellUser::Reader).await.unwrap();
        let log = Log::open(reader, &format!("LEDGER_{}", self.tenant)).await.unwrap();
        log.with_reader_name("reader")
    }

    /// Verifies the whole ledger and returns its bodies.
    pub async fn ledger(&self) -> Vec<Value> {
        let log = self.log().await;
        // A node that was started again may swallow a request of the API, and a consumer ends with
        // the node that keeps it: read again.
        for _ in 0..6 {
            match self.whole(&log).await {
                Ok(bodies) => return bodies,
                Err(error @ ReadError::Gap { .. }) => panic!("{error}"),
                Err(error) => eprintln!("reading again: {error}"),
            }
        }
        panic!("the ledger could not be read")
    }

    async fn whole(&self, log: &Log) -> Result<Vec<Value>, ReadError> {
        let mut verifier = Verifier::new(self.tenant.clone(), verify::Pins::default());
        let mut bodies = Vec::new();
        let mut records = log.read(1, None).await?;
        while let Some(stored) = records.next().await {
            let stored = stored?;
            let line = Line {
                seq: stored.seq,
                subject: &stored.subject,
                headers: &stored.headers,
                body: &stored.body,
            };
            verifier.push(&line).unwrap();
            record::parse(&stored.body).unwrap();
            bodies.push(serde_json::from_slice(&stored.body).unwrap());
        }
        verifier.finish_live().unwrap();
        Ok(bodies)
    }

    pub async fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for body in self.ledger().await {
            *kinds.entry(body["type"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        kinds
    }

    pub async fn stop(&mut self) {
        if let Some(decider) = self.decider.take() {
            decider.stop().await;
        }
    }
}

pub struct Person {
    pub tenant: TenantId,
    pub actor: ActorId,
    pub connection: Connection,
    pub signer: Signer,
}

impl Person {
    /// One try, raw headers; `None` when nobody answers.
    pub async fn raw(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Option<Answer> {
        let wait = Duration::from_secs(10);
        let reply = self.connection.request(subject, headers, body.into(), wait).await.ok()?;
        Some(serde_json::from_slice(&reply.body).unwrap())
    }

    pub fn subject(&self, aggregate: &str, verb: &str) -> String {
        format!("command.{}.{}.{aggregate}.{verb}", self.tenant, self.actor)
    }

    pub fn request_token(&self, aggregate: &str, verb: &str, body: &[u8], id: &IntentId) -> String {
        let iat = now() as i64 / 1_000;
        let claims = RequestToken {
            iss: self.actor.to_string(),
            aud: format!("canonry/{}/request", self.tenant),
            aggregate: aggregate.to_owned(),
            verb: verb.to_owned(),
            body: sha256(body),
            intent: id.to_string(),
            iat,
            exp: iat + 300,
        };
        jws::sign(&claims, &self.signer)
    }

    pub fn approval(&self, entity: &str, yes: bool, receipt: &str, id: &IntentId) -> String {
        let mut parts = receipt.split('/').skip(1);
        let iat = now() as i64 / 1_000;
        let claims = Approval {
            iss: self.actor.to_string(),
            aud: format!("canonry/{}/approval", self.tenant),
            sub: entity.to_owned(),
            decision: if yes { Decision::Approve } else { Decision::Reject },
            intent: id.to_string(),
            iat,
            exp: iat + 300,
            position: parts.next().unwrap().parse().unwrap(),
            hash: parts.next().unwrap().parse().unwrap(),
        };
        jws::sign(&claims, &self.signer)
    }

    /// Sends with a request-bound token, and again with the same intent id while told to retry.
    pub async fn send_as(
        &self,
        id: &IntentId,
        aggregate: &str,
        verb: &str,
        body: &Value,
    ) -> Answer {
        let bytes = serde_json::to_vec(body).unwrap();
        let token = self.request_token(aggregate, verb, &bytes, id);
        let headers =
            [("Canonry-Intent-Id", id.as_str()), ("Canonry-Request-Token", token.as_str())];
        let until = std::time::Instant::now() + Duration::from_secs(40);
        loop {
            let answer = self.raw(&self.subject(aggregate, verb), &headers, bytes.clone()).await;
            match answer {
                Some(answer) if answer.code.as_deref() != Some("retry") => return answer,
                other => {
                    assert!(std::time::Instant::now() < until, "no answer: {other:?}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    pub async fn send(&self, aggregate: &str, verb: &str, body: Value) -> Answer {
        self.send_as(&intent(), aggregate, verb, &body).await
    }

    pub async fn hire(&self) -> String {
        let answer = self
            .send(
                "role",
                "hire",
                json!({
                    "title": "Triage", "job": "Route incidents.", "boundaries": ["No payments."],
                    "budget": {"per_ticket_micros": 1000, "per_day_micros": 100_000},
                    "tools": ["assign"], "escalation": ["operator"], "tier": "T1"
                }),
            )
            .await;
        assert!(answer.ok, "{answer:?}");
        answer.entity.unwrap().strip_prefix("role/").unwrap().to_owned()
    }
}

/// One bounded request as any user; `None` when nobody answers.
pub async fn ask(
    connection: &Connection,
    subject: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Option<Answer> {
    let reply = connection.request(subject, headers, body.into(), Duration::from_secs(10)).await;
    Some(serde_json::from_slice(&reply.ok()?.body).unwrap())
}

/// The records that answer an intent.
pub fn of_intent<'l>(ledger: &'l [Value], id: &IntentId) -> Vec<&'l Value> {
    ledger.iter().filter(|body| body["intentid"] == id.as_str()).collect()
}

/// Waits until something holds, with a bound that only a failure reaches.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(std::time::Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn id(answer: &Answer) -> String {
    answer.entity.as_deref().unwrap().split_once('/').unwrap().1.to_owned()
}
