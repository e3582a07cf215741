//! A cell, a server, a founded tenant, a decider; a triage role and a worker for it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use canonry_decider::found::found;
use canonry_decider::{Config, Decider};
use canonry_keystore::KeyUse;
use canonry_nats::Log;
use canonry_provision::server::{Options, Server};
use canonry_provision::{Cell, CellUser, TenantUser};
use canonry_record::ring::{authorize, public_key};
use canonry_record::seal::Signer;
use canonry_record::{Hash, Line, Verifier, verify};
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::{RoleId, TenantId};
use canonry_schemas::key::Use;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::people::{self, WORKER};
use crate::client::{Client, new_intent};
use crate::failure::{Failure, chain};

/// Where `--keep` leaves the cell.
const KEPT: &str = ".canonry-demo";

/// Whether a demo may be kept here.
///
/// # Errors
/// An earlier one was.
pub fn nothing_kept() -> Result<(), Failure> {
    if !std::path::Path::new(KEPT).exists() {
        return Ok(());
    }
    Err(Failure::config(format!(
        "{KEPT} exists: an earlier demo was kept there; look at it with \
         `canonry --home {KEPT} up`, or delete it"
    )))
}

/// A running demo.
pub struct Demo {
    cell: Cell,
    server: Server,
    decider: Option<Decider>,
    // Last, so that its files go after the server.
    _folder: Option<tempfile::TempDir>,
    /// The tenant.
    pub tenant: TenantId,
    /// The tenant's identity.
    pub identity: Hash,
    /// Who opens tickets.
    pub operator: Client,
    /// Who works.
    pub worker: Client,
    /// Who answers.
    pub approver: Client,
    /// The triage role.
    pub role: RoleId,
    /// Commands sent so far.
    pub sent: AtomicUsize,
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::unavailable(error)
}

impl Demo {
    /// Sets everything up.
    ///
    /// # Errors
    /// No server, or a refusal.
    pub async fn start(keep: bool) -> Result<Self, Failure> {
        let folder = if keep { None } else { Some(tempfile::tempdir().map_err(Failure::config)?) };
        let home = match &folder {
            Some(folder) => folder.path().join("home"),
            None => std::path::absolute(KEPT).map_err(Failure::config)?,
        };
        let cell = Cell::create(&home).map_err(|e| Failure::config(chain(&e)))?;
        let server = cell.start_server(Options::default()).await;
        let server = server.map_err(|e| Failure::unavailable(chain(&e)))?;
        let (tenant, url) = (people::tenant(), server.url());
        let founding = found(&cell, &url, &tenant, &people::first(), 1).await.map_err(failed)?;
        let keys = cell.key_store().clone();
        let config = Config {
            url: url.clone(),
            name: people::actor("demo"),
            keys,
            more_keys: None,
            replicas: 1,
            metrics: canonry_telemetry::Metrics::new(),
            throttle: canonry_decider::throttle::Settings::default(),
        };
        let decider = Decider::start(config).await.map_err(failed)?;
        let keys = cell.key_store();
        let client = |name: &str| {
            let name = people::actor(name);
            let (url, tenant) = (url.clone(), tenant.clone());
            async move { Client::connect(&url, keys, &tenant, &name).await }
        };
        let founder = client("founder").await?;
        let role = hire(&founder).await?;
        enrol(&cell, &url, &tenant, &founder, &role).await?;
        founder.connection.close().await;
        let (operator, worker, approver) =
            (client("operator").await?, client(WORKER).await?, client("approver").await?);
        Ok(Self {
            cell,
            server,
            decider: Some(decider),
            _folder: folder,
            tenant,
            identity: founding.identity,
            operator,
            worker,
            approver,
            role,
            sent: AtomicUsize::new(2),
        })
    }

    /// Sends one command; the count is of commands, not of tries.
    ///
    /// # Errors
    /// No answer.
    pub async fn send(
        &self,
        by: &Client,
        aggregate: &str,
        verb: &str,
        body: &Value,
    ) -> Result<Answer, Failure> {
        self.send_as(by, aggregate, verb, body, &new_intent()?).await
    }

    /// Sends one command under a given intent id.
    ///
    /// # Errors
    /// No answer.
    pub async fn send_as(
        &self,
        by: &Client,
        aggregate: &str,
        verb: &str,
        body: &Value,
        intent: &canonry_schemas::ids::IntentId,
    ) -> Result<Answer, Failure> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        by.submit(aggregate, verb, body.to_string().as_bytes(), intent).await
    }

    /// The ledger, with the reader's creds.
    ///
    /// # Errors
    /// No server.
    pub async fn log(&self) -> Result<Log, Failure> {
        reader(&self.cell, &self.server.url(), &self.tenant).await
    }

    /// Ends the decider in good order, so that its last signed head is at the end.
    pub async fn stop_decider(&mut self) {
        if let Some(decider) = self.decider.take() {
            decider.stop().await;
        }
    }

    /// The server's process.
    #[must_use]
    pub fn server_pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Where the cell lies.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.cell.key_store().home().to_owned()
    }

    /// Ends the server; the cell goes too, unless it is to be kept.
    ///
    /// # Errors
    /// The server cannot be stopped.
    pub async fn end(mut self) -> Result<(), Failure> {
        for client in [&self.operator, &self.worker, &self.approver] {
            client.connection.close().await;
        }
        self.server.stop().await.map_err(|e| Failure::unavailable(chain(&e)))
    }
}

async fn reader(cell: &Cell, url: &str, tenant: &TenantId) -> Result<Log, Failure> {
    let keys = cell.key_store();
    let user = CellUser::Reader;
    let connection =
        canonry_decider::serve::connect_cell(url, keys, &user).await.map_err(failed)?;
    let stream = canonry_schemas::subject::ledger_stream(tenant);
    let log = Log::open(connection, &stream).await.map_err(failed)?;
    Ok(log.with_reader_name("reader"))
}

async fn hire(founder: &Client) -> Result<RoleId, Failure> {
    let body = json!({
        "title": "Incident triage",
        "job": "Propose the assignment group of each incident, compute its priority, \
                and ask a person where it is urgent or the proposal is unsure.",
        "boundaries": ["Writes nothing outside the ticket.", "Never decides an urgent incident alone."],
        "budget": {"per_ticket_micros": 50_000, "per_day_micros": 500_000_000},
        "tools": ["baseline.propose"],
        "escalation": ["approver", "founder"],
        "tier": "T1"
    });
    let answer =
        founder.submit("role", "hire", body.to_string().as_bytes(), &new_intent()?).await?;
    let entity = answer.entity.filter(|_| answer.ok);
    let id = entity.as_deref().and_then(|e| e.strip_prefix("role/")).and_then(|id| id.parse().ok());
    id.ok_or_else(|| Failure::refused(format!("the role was not hired: {:?}", answer.code)))
}

async fn enrol(
    cell: &Cell,
    url: &str,
    tenant: &TenantId,
    founder: &Client,
    role: &RoleId,
) -> Result<(), Failure> {
    let worker = people::actor(WORKER);
    let login = cell.tenant_user(tenant, &worker, TenantUser::Worker).map_err(failed)?;
    let member = cell.member_key(tenant, &worker).map_err(failed)?;
    let keys = vec![
        public_key(&login.public, vec![Use::Login], worker.clone()),
        public_key(&member.key.verifying_key().to_bytes(), vec![Use::Member], worker.clone()),
    ];
    let log = reader(cell, url, tenant).await?;
    let mut verifier = Verifier::new(tenant.clone(), verify::Pins::default());
    let mut records = log.read(1, None).await.map_err(failed)?;
    while let Some(stored) = records.next().await {
        let s = stored.map_err(failed)?;
        let line = Line { seq: s.seq, subject: &s.subject, headers: &s.headers, body: &s.body };
        verifier.push(&line).map_err(|b| Failure::refused(b.why))?;
    }
    log.connection().close().await;
    let keyhead = verifier
        .state()
        .map(|s| s.ring.keyhead())
        .ok_or_else(|| Failure::refused("the ledger has no first record"))?;
    let enrol = cell.key_store().signing_key(tenant, KeyUse::Enrol).map_err(failed)?;
    let change = authorize(tenant, &keyhead, keys, Vec::new(), &Signer::new(enrol));
    let body = json!({
        "actor": worker, "parts": ["worker"], "role": role, "keys": change.keys,
        "revoked": change.revoked, "authorization": change.authorization
    });
    let bytes = body.to_string();
    let answer = founder.submit("member", "enrol", bytes.as_bytes(), &new_intent()?).await?;
    if answer.ok {
        Ok(())
    } else {
        Err(Failure::refused(format!("the worker was not enrolled: {:?}", answer.code)))
    }
}
