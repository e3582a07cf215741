//! A cell with a decider, an issuer and a warden, and people who send commands.

use std::time::{Duration, Instant};

use canonry_decider::found::found;
use canonry_decider::{Config, Decider};
use canonry_leases::Leases;
use canonry_nats::{Bytes, Connect, Connection, Log};
use canonry_provision::testing::TestCell;
use canonry_provision::{CellUser, creds};
use canonry_record::encoding::base64url;
use canonry_record::hash::sha256;
use canonry_record::jws::{self, LeaseToken, RequestToken};
use canonry_record::seal::Signer;
use canonry_schemas::answer::Answer;
use canonry_schemas::header::{INTENT_ID, LEASE, REQUEST_TOKEN};
use canonry_schemas::ids::{ActorId, IntentId, LeaseId, TenantId};
use canonry_schemas::lease::Credentials;
use canonry_schemas::member::Part;
use canonry_schemas::tier::inbox;
use futures_util::StreamExt as _;
use nkeys::KeyPair;
use serde_json::{Value, json};

pub struct Bed {
    // Services end before their server.
    pub leases: Option<Leases>,
    pub decider: Decider,
    pub tenant: TenantId,
    pub test: TestCell,
}

pub struct Person {
    tenant: TenantId,
    actor: ActorId,
    pub connection: Connection,
    signer: Signer,
}

/// A lease as its worker holds it.
pub struct Held {
    pub id: LeaseId,
    pub position: u64,
    pub run: String,
    login: KeyPair,
    key: Signer,
}

pub fn now_millis() -> u64 {
    canonry_decider::holder::now().millis()
}

pub fn intent() -> IntentId {
    let mut random = [0; 16];
    random.copy_from_slice(&canonry_decider::keeper::nonce()[..16]);
    IntentId::from_parts(now_millis(), u128::from_le_bytes(random))
}

pub fn id(answer: &Answer) -> String {
    answer.entity.as_deref().unwrap().split_once('/').unwrap().1.to_owned()
}

pub fn position(answer: &Answer) -> u64 {
    answer.position.as_deref().unwrap().parse().unwrap()
}

/// Waits until something holds, with a bound that only a failure reaches.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl Bed {
    pub async fn start(nodes: u8) -> Self {
        let test = match nodes {
            1 => TestCell::start().await.unwrap(),
            _ => TestCell::start_cluster(nodes).await.unwrap(),
        };
        let tenant: TenantId = "acme".parse().unwrap();
        let person =
            |name: &str, parts: &[Part]| (name.parse::<ActorId>().unwrap(), parts.to_vec());
        let people = [
            person("founder", &[Part::Founder]),
            person("operator", &[Part::Operator]),
            person("clerk", &[Part::Worker, Part::Operator]),
        ];
        found(&test.cell, &test.url(), &tenant, &people, test.replicas()).await.unwrap();
        let config = Config {
            url: test.url(),
            name: "decider-a".parse().unwrap(),
            keys: test.cell.key_store().clone(),
            replicas: test.replicas(),
            metrics: canonry_telemetry::Metrics::new(),
            throttle: canonry_decider::throttle::Settings::default(),
            more_keys: None,
        };
        let decider = Decider::start(config).await.unwrap();
        let mut bed = Self { leases: None, decider, tenant, test };
        bed.leases = Some(bed.issue_and_watch().await);
        bed
    }

    pub async fn issue_and_watch(&self) -> Leases {
        let keys = self.test.cell.key_store().clone();
        Leases::start(canonry_leases::Config { url: self.test.url(), keys }).await.unwrap()
    }

    pub fn ended(&self) -> u64 {
        self.leases.as_ref().unwrap().ended()
    }

    pub async fn person(&self, name: &str) -> Person {
        let actor: ActorId = name.parse().unwrap();
        let keys = self.test.cell.key_store();
        let text = keys.read_text(&keys.tenant_creds_path(&self.tenant, &actor)).unwrap();
        let connection = self.connect(&text, &format!("_INBOX.{name}")).await.unwrap();
        let signer = Signer::new(keys.member_key(&self.tenant, &actor).unwrap());
        Person { tenant: self.tenant.clone(), actor, connection, signer }
    }

    async fn connect(&self, creds: &str, inbox: &str) -> Result<Connection, String> {
        let mut connect = Connect::new(self.test.url(), "test");
        connect.creds = Some(creds.to_owned());
        connect.inbox_prefix = inbox.to_owned();
        Connection::connect(connect).await.map_err(|e| format!("{e:?}"))
    }

    /// The lease's own connection.
    pub async fn connect_lease(&self, held: &Held, jwt: &str) -> Result<Connection, String> {
        let text = creds::text(jwt, &held.login.seed().unwrap());
        self.connect(&text, &inbox(&"clerk".parse().unwrap(), &held.id)).await
    }

    pub async fn ledger(&self) -> Vec<Value> {
        let keys = self.test.cell.key_store();
        let connect = canonry_decider::serve::connect_cell;
        let reader = connect(&self.test.url(), keys, &CellUser::Reader).await.unwrap();
        let log = Log::open(reader, "LEDGER_acme").await.unwrap().with_reader_name("reader");
        let mut records = log.read(1, None).await.unwrap();
        let mut bodies = Vec::new();
        while let Some(stored) = records.next().await {
            bodies.push(serde_json::from_slice(&stored.unwrap().body).unwrap());
        }
        bodies
    }

    /// A run that the clerk works at; with its role.
    pub async fn run(&self, founder: &Person, clerk: &Person) -> (String, String) {
        let hire = json!({
            "title": "Clerk", "job": "Sort the post.", "boundaries": [], "tools": [],
            "budget": {"per_ticket_micros": 1, "per_day_micros": 1},
            "escalation": ["operator"], "tier": "T1"
        });
        let role = id(&founder.send("role", "hire", hire).await);
        let open = json!({"title": "Sort the post", "role": role});
        let ticket = id(&founder.send("ticket", "open", open).await);
        let run = id(&clerk.send("run", "start", json!({ "ticket": ticket })).await);
        (role, run)
    }
}

async fn again(
    connection: &Connection,
    subject: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let (body, wait) = (Bytes::copy_from_slice(body), Duration::from_secs(2));
        if let Ok(reply) = connection.request(subject, headers, body, wait).await {
            let answer: Answer = serde_json::from_slice(&reply.body).unwrap();
            if answer.code.as_deref() != Some("retry") {
                return answer;
            }
        }
        assert!(Instant::now() < end, "no answer on {subject}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Person {
    pub async fn send(&self, aggregate: &str, verb: &str, body: Value) -> Answer {
        let (body, id) = (body.to_string().into_bytes(), intent());
        let iat = i64::try_from(now_millis() / 1_000).unwrap();
        let claims = RequestToken {
            iss: self.actor.to_string(),
            aud: format!("canonry/{}/request", self.tenant),
            aggregate: aggregate.to_owned(),
            verb: verb.to_owned(),
            body: sha256(&body),
            intent: id.to_string(),
            iat,
            exp: iat + 300,
        };
        let token = jws::sign(&claims, &self.signer);
        let headers = [(INTENT_ID, id.as_str()), (REQUEST_TOKEN, token.as_str())];
        let subject = format!("command.{}.{}.{aggregate}.{verb}", self.tenant, self.actor);
        again(&self.connection, &subject, &headers, &body).await
    }

    pub async fn lease(&self, run: &str) -> Held {
        let (login, mut seed) = (KeyPair::new_user(), [0; 32]);
        seed[..24].copy_from_slice(&canonry_decider::keeper::nonce());
        let key = Signer::from_seed(&seed);
        let (_, public) = nkeys::from_public_key(&login.public_key()).unwrap();
        let body = json!({
            "run": run, "login": base64url(&public), "key": base64url(&key.public()),
        });
        let answer = self.send("lease", "issue", body).await;
        assert!(answer.ok, "{answer:?}");
        let (lease, position) = (id(&answer).parse().unwrap(), position(&answer));
        Held { id: lease, position, run: run.to_owned(), login, key }
    }

    /// Asks the issuer.
    pub async fn credentials(&self, body: &Value) -> Credentials {
        let subject = format!("lease.{}.{}.credentials", self.tenant, self.actor);
        let (body, wait) = (Bytes::from(body.to_string()), Duration::from_secs(20));
        let reply = self.connection.request(&subject, &[], body, wait).await.unwrap();
        serde_json::from_slice(&reply.body).unwrap()
    }

    pub async fn token_of(&self, held: &Held) -> String {
        let ask = json!({"lease": held.id, "position": held.position.to_string()});
        let given = self.credentials(&ask).await;
        assert!(given.ok, "{given:?}");
        given.jwt.unwrap()
    }
}

impl Held {
    /// A command under the lease, over any connection that may send it; `None` without an answer.
    pub async fn step(&self, over: &Connection) -> Option<Answer> {
        let iat = i64::try_from(now_millis() / 1_000).unwrap();
        let claims = LeaseToken {
            iss: "clerk".to_owned(),
            aud: "canonry/acme/lease".to_owned(),
            lease: self.id.to_string(),
            run: self.run.clone(),
            iat,
            exp: iat + 600,
            jti: intent().to_string(),
        };
        let token = jws::sign(&claims, &self.key);
        let body = json!({"id": self.run, "name": "sort", "outcome": "done"}).to_string();
        let (subject, wait) = ("command.acme.clerk.run.record-step", Duration::from_millis(500));
        let reply =
            over.request(subject, &[(LEASE, &token)], Bytes::from(body), wait).await.ok()?;
        Some(serde_json::from_slice(&reply.body).unwrap())
    }
}
