//! The account layout: which account exports and imports what. SYS administers, CANONRY holds the
//! streams and services, each tenant has an account that imports its own subjects alone, and
//! AUDIT reads mirrors, and INTAKE holds the user that stores and takes up durable intents. Claims
//! only; who logs in to them is in [`crate::users`].
//!
//! A requester chooses the reply subject. Inside CANONRY an answer of JetStream to `ledger.acme.x`
//! would be stored there; through an import it comes back under a subject that the server makes. In
//! the requester's own account it may set off another import, so an account has no import that one
//! of its users could not use by itself (ADR 7, ADR 14).

use nkeys::KeyPair;
use serde_json::{Map, Value, json};

use canonry_schemas::ids::TenantId;

use crate::error::Error;
use crate::jwt::{self, Kind, Life};
use crate::revocation::Revoked;
use crate::tiers::TierKey;

/// How long a reply may take to cross an account import, in nanoseconds: five minutes, beyond
/// every wait of a decider or client.
const RESPONSE_THRESHOLD_NANOS: u64 = 300_000_000_000;
/// Largest message, in bytes; equal to the server's `max_payload`.
const MAX_PAYLOAD_BYTES: i64 = 1_048_576;
/// Memory for consumers of CANONRY that keep their state in memory.
const JETSTREAM_MEMORY_BYTES: i64 = 268_435_456;
/// Connections of one tenant's people and workers.
const TENANT_CONNECTIONS: i64 = 4_096;
/// Connections of the cell's services, and of its auditors.
const CELL_CONNECTIONS: i64 = 1_024;
/// Subscriptions in one account.
const ACCOUNT_SUBSCRIPTIONS: i64 = 100_000;
/// More than any account of this layout has.
const IMPORTS_OR_EXPORTS: i64 = 32;

/// Services of CANONRY that tenants may import, with their own token second.
pub const SERVICES: [&str; 3] = ["command", "intent", "lease"];
/// Streams of messages that tenants may import, with their own token second.
pub const FEEDS: [&str; 2] = ["outcome", "live"];
/// The parts of the JetStream API that auditors use, below `$JS.API.`, and whether one request
/// has many answers.
pub const AUDIT_API: [(&str, bool); 6] = [
    ("STREAM.INFO.*", false),
    ("STREAM.MSG.GET.*", false),
    ("CONSUMER.CREATE.>", false),
    ("CONSUMER.MSG.NEXT.*.*", true),
    ("DIRECT.GET.*", true),
    ("DIRECT.GET.*.>", true),
];
/// What the checkpointer writes: tiles and checkpoints, and the flag that freezes a tenant.
pub const CHECKPOINTER: [(&str, &str); 2] = [("tlog", "tlog.*.>"), ("frozen", "$KV.frozen.*")];
/// Where evidence objects are written: chunks, and notes of whole objects. Exported to AUDIT, so
/// that who writes them cannot direct the server's reply anywhere (ADR 12).
pub const OBJECTS: [(&str, &str); 2] =
    [("evidence-chunks", "$O.*.C.*"), ("evidence-notes", "$O.*.M.*")];
/// Where an auditor finds that API.
pub const AUDIT_PREFIX: &str = "audit.api";

/// What the intake asks of the JetStream API, below `$JS.API.`: its own consumer, whose filter lets
/// nothing out of a stream that holds no intents.
pub const INTAKE_API: [&str; 2] =
    ["CONSUMER.CREATE.*.intake.intake.>", "CONSUMER.MSG.NEXT.*.intake"];
/// Where the intake finds that API.
pub const INTAKE_PREFIX: &str = "queue.api";
/// What the intake stores.
pub const INTAKE_STORES: [&str; 2] = ["intake", "dead"];
/// How its acknowledgements begin.
pub const INTAKE_ACKS: &str = "$JS.ACK.*.intake.>";

/// The public keys of the cell's own accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// The system account.
    pub sys: String,
    /// Streams and services.
    pub canonry: String,
    /// Auditors.
    pub audit: String,
    /// Durable intents.
    pub intake: String,
}

/// When claims say that they were issued: a server keeps the ones that were issued last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issued {
    /// Now.
    Now,
    /// Before everything that was ever pushed: for what a server is started with.
    First,
}

/// The operator's self-signed token.
///
/// # Errors
/// When the operator's key holds no seed.
pub fn operator(operator: &KeyPair, system_account: &str) -> Result<String, Error> {
    let nats = map(json!({ "system_account": system_account }));
    jwt::encode(Kind::Operator, operator, &operator.public_key(), "canonry", nats)
}

/// The system account: no exports, no streams.
///
/// # Errors
/// When the operator's key holds no seed.
pub fn sys(operator: &KeyPair, accounts: &Accounts) -> Result<String, Error> {
    let nats = map(json!({ "limits": limits(CELL_CONNECTIONS, 0, 0, false) }));
    jwt::encode(Kind::Account, operator, &accounts.sys, "SYS", nats)
}

/// CANONRY: the only account with JetStream; every export needs an activation token.
///
/// # Errors
/// When the operator's key holds no seed.
pub fn canonry(operator: &KeyPair, accounts: &Accounts) -> Result<String, Error> {
    let services = SERVICES.map(|name| service_export(name, &format!("{name}.*.>"), false));
    let feeds = FEEDS.map(|name| {
        json!({ "name": name, "subject": format!("{name}.*.>"), "type": "stream", "token_req": true })
    });
    let audit = AUDIT_API
        .map(|(api, many)| service_export(&audit_name(api), &format!("$JS.API.{api}"), many));
    let stores = INTAKE_STORES.map(|name| service_export(name, &format!("{name}.*.>"), false));
    let acks = [service_export("intake-acks", INTAKE_ACKS, false)];
    let writes = CHECKPOINTER.map(|(name, subject)| service_export(name, subject, false));
    let objects = OBJECTS.map(|(name, subject)| service_export(name, subject, false));
    let own = stores.into_iter().chain(acks).chain(writes).chain(objects);
    let exports: Vec<Value> = services.into_iter().chain(feeds).chain(audit).chain(own).collect();
    let nats = map(json!({
        "exports": exports,
        "limits": limits(CELL_CONNECTIONS, 0, IMPORTS_OR_EXPORTS, true),
    }));
    jwt::encode(Kind::Account, operator, &accounts.canonry, "CANONRY", nats)
}

/// A tenant's account: imports of its own subjects, nothing else, and the keys that sign the users
/// of leases, each with the permissions of its tier: what a lease may do stands here, not in the
/// token of its user.
///
/// # Errors
/// When a key holds no seed.
pub fn tenant(
    operator: &KeyPair,
    canonry: &KeyPair,
    account: &str,
    tenant: &TenantId,
    tiers: &[TierKey],
    revoked: &Revoked,
) -> Result<String, Error> {
    let services = SERVICES.map(|name| (name, "service"));
    let feeds = FEEDS.map(|name| (name, "stream"));
    let imports = services
        .into_iter()
        .chain(feeds)
        .map(|(name, kind)| {
            let subject = format!("{name}.{tenant}.>");
            import(canonry, account, name, kind, &subject, None)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let nats = revoked.written(map(json!({
        "imports": imports,
        "limits": limits(TENANT_CONNECTIONS, IMPORTS_OR_EXPORTS, 0, false),
        "signing_keys": tiers.iter().map(|key| key.scope(tenant)).collect::<Vec<_>>(),
    })));
    jwt::encode(Kind::Account, operator, account, tenant.as_str(), nats)
}

/// AUDIT: the reading half of the JetStream API under [`AUDIT_PREFIX`], the news of all tenants for
/// the cell's own reader, and what the checkpointer writes. A stream's name is one token, so `AUDIT_*` cannot be said here: each
/// auditor is held to its tenant's mirror. Nobody here chooses where an answer goes: an import maps
/// the reply (ADR 7).
///
/// # Errors
/// When a key holds no seed.
pub fn audit(
    operator: &KeyPair,
    canonry: &KeyPair,
    accounts: &Accounts,
    revoked: &Revoked,
    issued: Issued,
) -> Result<String, Error> {
    let imports = AUDIT_API
        .iter()
        .map(|(api, _)| {
            let (subject, local) = (format!("$JS.API.{api}"), format!("{AUDIT_PREFIX}.{api}"));
            import(canonry, &accounts.audit, &audit_name(api), "service", &subject, Some(&local))
        })
        .chain(CHECKPOINTER.iter().map(|(name, subject)| {
            import(canonry, &accounts.audit, name, "service", subject, None)
        }))
        .chain([import(canonry, &accounts.audit, "live", "stream", "live.*.>", None)])
        .chain(OBJECTS.iter().map(|(name, subject)| {
            import(canonry, &accounts.audit, name, "service", subject, None)
        }))
        .collect::<Result<Vec<_>, _>>()?;
    let nats = revoked.written(map(json!({
        "imports": imports,
        "limits": limits(CELL_CONNECTIONS, IMPORTS_OR_EXPORTS, 0, false),
    })));
    match issued {
        Issued::Now => jwt::encode(Kind::Account, operator, &accounts.audit, "AUDIT", nats),
        Issued::First => {
            let life = Life { issued: 1, until: None };
            jwt::encode_for(Kind::Account, operator, &accounts.audit, "AUDIT", nats, life)
        }
    }
}

/// INTAKE: the queues of every tenant, and of the API what concerns their consumer.
///
/// # Errors
/// When a key holds no seed.
pub fn intake(operator: &KeyPair, canonry: &KeyPair, accounts: &Accounts) -> Result<String, Error> {
    let service = |name: &str, subject: &str, local: Option<&str>| {
        import(canonry, &accounts.intake, name, "service", subject, local)
    };
    let api = INTAKE_API.iter().map(|api| {
        let (subject, local) = (format!("$JS.API.{api}"), format!("{INTAKE_PREFIX}.{api}"));
        service(&audit_name(api), &subject, Some(&local))
    });
    let stores = INTAKE_STORES.iter().map(|name| service(name, &format!("{name}.*.>"), None));
    let imports = api
        .chain(stores)
        .chain([service("intake-acks", INTAKE_ACKS, None)])
        .collect::<Result<Vec<_>, _>>()?;
    let nats = map(json!({
        "imports": imports,
        "limits": limits(CELL_CONNECTIONS, IMPORTS_OR_EXPORTS, 0, false),
    }));
    jwt::encode(Kind::Account, operator, &accounts.intake, "INTAKE", nats)
}

fn service_export(name: &str, subject: &str, many: bool) -> Value {
    json!({
        "name": name, "subject": subject, "type": "service", "token_req": true,
        "response_type": if many { "Stream" } else { "Singleton" },
        "response_threshold": RESPONSE_THRESHOLD_NANOS,
    })
}

fn import(
    canonry: &KeyPair,
    importer: &str,
    name: &str,
    kind: &str,
    subject: &str,
    local: Option<&str>,
) -> Result<Value, Error> {
    let activation = map(json!({ "subject": subject, "kind": kind }));
    let token = jwt::encode(Kind::Activation, canonry, importer, subject, activation)?;
    let mut import = json!({
        "name": name, "subject": subject, "account": canonry.public_key(), "token": token,
        "type": kind,
    });
    if let Some(local) = local {
        import["local_subject"] = local.into();
    }
    Ok(import)
}

fn limits(connections: i64, imports: i64, exports: i64, jetstream: bool) -> Value {
    let (memory, disk, streams) =
        if jetstream { (JETSTREAM_MEMORY_BYTES, -1, -1) } else { (0, 0, 0) };
    json!({
        "subs": ACCOUNT_SUBSCRIPTIONS, "data": -1, "payload": MAX_PAYLOAD_BYTES,
        "imports": imports, "exports": exports, "wildcards": exports != 0,
        "disallow_bearer": true, "conn": connections, "leaf": 0,
        "mem_storage": memory, "disk_storage": disk, "streams": streams, "consumer": streams,
    })
}

fn audit_name(api: &str) -> String {
    let words: Vec<&str> = api.split('.').filter(|t| !matches!(*t, "*" | ">")).collect();
    format!("audit-{}", words.join("-").to_lowercase())
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_imports_its_own_subjects_alone() {
        let (op, canonry) = (KeyPair::new_operator(), KeyPair::new_account());
        let account = KeyPair::new_account().public_key();
        let token = tenant(
            &op,
            &canonry,
            &account,
            &"acme".parse().expect("valid"),
            &[],
            &Revoked::default(),
        )
        .expect("valid");
        let claims = jwt::decode(&token).expect("valid");
        let imports = claims["nats"]["imports"].as_array().expect("valid");
        let subjects: Vec<_> =
            imports.iter().map(|i| i["subject"].as_str().expect("valid")).collect();
        assert_eq!(
            subjects,
            ["command.acme.>", "intent.acme.>", "lease.acme.>", "outcome.acme.>", "live.acme.>"]
        );
        for import in imports {
            let activation = jwt::decode(import["token"].as_str().expect("valid")).expect("valid");
            assert_eq!(activation["sub"], account);
            assert_eq!(activation["iss"], canonry.public_key());
            assert_eq!(activation["nats"]["subject"], import["subject"]);
        }
        assert_eq!(claims["nats"]["limits"]["disk_storage"], 0, "no JetStream in a tenant");
    }
}
