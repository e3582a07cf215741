//! Who may publish and subscribe to what: one function for each kind of user, as data. No person
//! or worker may publish to a subject that a stream or bucket captures, and no runtime user may
//! call what destroys a stream ([`DESTROYING`]).
//!
//! A stream's name is one token, so a permission cannot say `LEDGER_*`. Where that matters the
//! filter of a consumer says it: `CONSUMER.CREATE.*.*.ledger.>` can be said of any stream, but
//! nothing comes out of one that is no ledger or mirror. So that such a consumer takes no place
//! either, the only stream with one place has its consumer from the founding on.

use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::limits::AUDITED_VOLUMES;
use canonry_schemas::subject::audit_volume_stream;

use crate::accounts::{
    AUDIT_PREFIX, INTAKE_ACKS, INTAKE_API, INTAKE_PREFIX, INTAKE_STORES, OBJECTS,
};
use crate::permission::Permissions;

/// The parts of the API that destroy data or undo WORM. No runtime user may publish to them.
pub const DESTROYING: [&str; 18] = [
    "$JS.API.STREAM.CREATE.>",
    "$JS.API.STREAM.UPDATE.>",
    "$JS.API.STREAM.DELETE.>",
    "$JS.API.STREAM.PURGE.>",
    "$JS.API.STREAM.MSG.DELETE.>",
    "$JS.API.STREAM.RESTORE.>",
    "$JS.API.STREAM.SNAPSHOT.>",
    "$JS.API.STREAM.PEER.>",
    "$JS.API.STREAM.LEADER.>",
    "$JS.API.CONSUMER.DELETE.>",
    "$JS.API.CONSUMER.LEADER.>",
    "$JS.API.CONSUMER.PAUSE.>",
    "$JS.API.CONSUMER.UNPIN.>",
    "$JS.API.CONSUMER.RESET.>",
    "$JS.API.ACCOUNT.>",
    "$JS.API.META.>",
    "$JS.API.SERVER.>",
    "$SYS.>",
];

/// The durable consumer of every `INTENTS_<tenant>`; only the intake user may pull from it.
pub const INTAKE_CONSUMER: &str = "intake";

/// A user of the cell itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CellUser {
    /// Alone may write ledgers and buckets; answers nobody.
    Committer,
    /// Hears commands and intents, answers them; writes no stream.
    Responder,
    /// Stores and takes up durable intents. The user of INTAKE, under [`INTAKE_PREFIX`].
    Intake,
    /// Reads ledgers and buckets: projectors, the API. A user of AUDIT, under
    /// [`AUDIT_PREFIX`].
    Reader,
    /// Reads ledgers as the reader does, writes tiles and checkpoints, and may set the flag that
    /// freezes a tenant; a user of AUDIT as well. It writes no ledger.
    Checkpointer,
    /// Stores, reads and removes evidence objects, which it sees sealed. A user of AUDIT, under
    /// [`AUDIT_PREFIX`].
    Evidence,
    /// A service that sends commands under its own `svc_` token.
    Service(ActorId),
    /// Answers workers who ask for the credentials of their leases; writes nothing.
    LeaseIssuer,
    /// Ends connections of leases that are over. A user of SYS that can do nothing else.
    Warden,
    /// `nats micro` for whoever runs the cell.
    CellOperator,
    /// Offline: pushes account claims.
    ProvisionSys,
    /// Offline: makes streams and buckets.
    ProvisionStreams,
}

impl CellUser {
    /// The name of its creds file, of its inbox and in the server's log.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Committer => "committer",
            Self::Responder => "responder",
            Self::Intake => "intake",
            Self::Reader => "reader",
            Self::Checkpointer => "checkpointer",
            Self::Evidence => "evidence",
            Self::Service(actor) => actor.as_str(),
            Self::LeaseIssuer => "svc_lease",
            Self::Warden => "warden",
            Self::CellOperator => "cell-operator",
            Self::ProvisionSys => "provision-sys",
            Self::ProvisionStreams => "provision-streams",
        }
    }

    /// Whether its creds are kept apart, to be taken off the machine.
    #[must_use]
    pub const fn is_offline(&self) -> bool {
        matches!(self, Self::ProvisionSys | Self::ProvisionStreams)
    }

    /// The prefix under which it has the JetStream API.
    #[must_use]
    pub const fn api_prefix(&self) -> &'static str {
        match self {
            Self::Reader | Self::Checkpointer | Self::Evidence => AUDIT_PREFIX,
            Self::Intake => INTAKE_PREFIX,
            _ => "$JS.API",
        }
    }

    /// What it may do.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        match self {
            Self::Committer => committer(),
            Self::Responder => responder(),
            Self::Intake => intake(),
            Self::Reader => everything(self.name()),
            Self::Checkpointer => checkpointer(self.name()),
            Self::Evidence => evidence(),
            Self::Service(actor) => service(actor),
            Self::LeaseIssuer => lease_issuer(),
            Self::Warden => warden(),
            Self::CellOperator => cell_operator(),
            Self::ProvisionSys => provision_sys(),
            Self::ProvisionStreams => provision_streams(),
        }
    }
}

/// What a person or worker of a tenant is to NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantUser {
    /// A founder, approver or operator: sends commands, hears its tenant.
    Member,
    /// Works for a role under a lease; the same reach as a member.
    Worker,
    /// Reads its tenant's mirror from the account AUDIT; sends nothing.
    Auditor,
}

impl TenantUser {
    /// What it may do.
    #[must_use]
    pub fn permissions(self, tenant: &TenantId, actor: &ActorId) -> Permissions {
        match self {
            Self::Member | Self::Worker => member(tenant, actor),
            Self::Auditor => auditor(tenant, actor),
        }
    }
}

/// Reading ledgers and buckets, for the committer.
const READING: [&str; 10] = [
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.DIRECT.GET.*",
    "$JS.API.DIRECT.GET.*.>",
    "$JS.API.CONSUMER.CREATE.*.*.ledger.>",
    "$JS.API.CONSUMER.CREATE.*.*.$KV.>",
    "$JS.API.CONSUMER.INFO.*.*",
    "$JS.API.CONSUMER.MSG.NEXT.*.*",
    "$JS.FC.>",
];

/// Pulling waiting intents is the intake's alone.
fn not_the_intake() -> Vec<String> {
    vec![format!("$JS.API.CONSUMER.MSG.NEXT.*.{INTAKE_CONSUMER}")]
}

fn committer() -> Permissions {
    let mut publish = owned(&["ledger.>", "$KV.>"]);
    publish.extend(owned(&READING));
    Permissions {
        publish,
        deny_publish: not_the_intake(),
        subscribe: owned(&["_INBOX.committer.>", "live.>"]),
    }
}

fn responder() -> Permissions {
    Permissions {
        publish: owned(&["_R_.>", "_INBOX.>", "outcome.>"]),
        deny_publish: Vec::new(),
        subscribe: owned(&["command.*.>", "intent.*.>", "$SRV.>", "_INBOX.responder.>"]),
    }
}

/// In INTAKE, behind imports, like the reader.
fn intake() -> Permissions {
    let mut publish: Vec<String> =
        INTAKE_API.iter().map(|api| format!("{INTAKE_PREFIX}.{api}")).collect();
    publish.extend(INTAKE_STORES.iter().map(|name| format!("{name}.*.>")));
    publish.push(INTAKE_ACKS.to_owned());
    Permissions { publish, deny_publish: Vec::new(), subscribe: owned(&["_INBOX.intake.>"]) }
}

/// In AUDIT, behind imports: what it asks for can be answered to itself alone.
fn reader(name: &str) -> Permissions {
    let api = |tail: &str| format!("{AUDIT_PREFIX}.{tail}");
    Permissions {
        publish: vec![
            api("STREAM.INFO.*"),
            api("STREAM.MSG.GET.*"),
            api("CONSUMER.CREATE.*.*.ledger.>"),
            api("CONSUMER.CREATE.*.*.$KV.>"),
            api("CONSUMER.MSG.NEXT.*.*"),
        ],
        deny_publish: vec![api(&format!("CONSUMER.MSG.NEXT.*.{INTAKE_CONSUMER}"))],
        subscribe: vec![format!("_INBOX.{name}.>"), "live.>".to_owned()],
    }
}

/// The reader proper: evidence objects too, which it sees sealed. Backups copy them.
fn everything(name: &str) -> Permissions {
    let mut permissions = reader(name);
    permissions.publish.push(format!("{AUDIT_PREFIX}.CONSUMER.CREATE.*.*.$O.>"));
    permissions
}

/// In AUDIT too, so that it cannot direct the answer to a write into a ledger either.
fn checkpointer(name: &str) -> Permissions {
    let mut permissions = reader(name);
    permissions.publish.extend(owned(&["tlog.>", "$KV.frozen.*"]));
    permissions
}

/// In AUDIT, behind imports, as the reader.
fn evidence() -> Permissions {
    let api = |tail: &str| format!("{AUDIT_PREFIX}.{tail}");
    let mut publish = OBJECTS.map(|(_, subject)| subject.to_owned()).to_vec();
    publish.extend([api("CONSUMER.CREATE.*.*.$O.>"), api("CONSUMER.MSG.NEXT.*.*")]);
    Permissions {
        publish,
        deny_publish: vec![api(&format!("CONSUMER.MSG.NEXT.*.{INTAKE_CONSUMER}"))],
        subscribe: owned(&["_INBOX.evidence.>"]),
    }
}

fn service(actor: &ActorId) -> Permissions {
    Permissions {
        publish: vec![format!("command.*.{actor}.>"), format!("intent.*.{actor}.>")],
        deny_publish: Vec::new(),
        subscribe: vec![
            format!("_INBOX.{actor}.>"),
            format!("outcome.*.{actor}.>"),
            "live.>".to_owned(),
        ],
    }
}

/// Answers cross an import, to a subject that the server made.
fn lease_issuer() -> Permissions {
    Permissions {
        publish: owned(&["_R_.>"]),
        deny_publish: Vec::new(),
        subscribe: owned(&["lease.*.*.credentials", "_INBOX.svc_lease.>"]),
    }
}

/// What ends a connection: who is connected where, and the end itself. It hears who comes, so that
/// who comes back is ended again.
fn warden() -> Permissions {
    Permissions {
        publish: owned(&["$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.*.KICK"]),
        deny_publish: Vec::new(),
        subscribe: owned(&["$SYS.ACCOUNT.*.CONNECT", "_INBOX.warden.>"]),
    }
}

fn cell_operator() -> Permissions {
    Permissions {
        publish: owned(&["$SRV.>"]),
        deny_publish: Vec::new(),
        subscribe: owned(&["_INBOX.cell-operator.>"]),
    }
}

fn provision_sys() -> Permissions {
    Permissions {
        publish: owned(&[
            "$SYS.REQ.CLAIMS.UPDATE",
            "$SYS.REQ.CLAIMS.LIST",
            "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
        ]),
        deny_publish: Vec::new(),
        subscribe: owned(&["_INBOX.provision-sys.>"]),
    }
}

fn provision_streams() -> Permissions {
    Permissions {
        publish: owned(&[
            "$JS.API.INFO",
            "$JS.API.STREAM.CREATE.*",
            "$JS.API.STREAM.UPDATE.*",
            "$JS.API.STREAM.INFO.*",
            "$JS.API.STREAM.NAMES",
            "$JS.API.STREAM.LIST",
            "$JS.API.CONSUMER.CREATE.*.intake.intake.>",
        ]),
        deny_publish: Vec::new(),
        subscribe: owned(&["_INBOX.provision-streams.>"]),
    }
}

fn member(tenant: &TenantId, actor: &ActorId) -> Permissions {
    Permissions {
        publish: vec![
            format!("command.{tenant}.{actor}.>"),
            format!("intent.{tenant}.{actor}.>"),
            format!("lease.{tenant}.{actor}.credentials"),
        ],
        deny_publish: Vec::new(),
        subscribe: vec![
            format!("_INBOX.{actor}.>"),
            format!("outcome.{tenant}.{actor}.>"),
            format!("live.{tenant}.>"),
        ],
    }
}

/// The mirrors that a tenant's auditor may ask for: so many volumes ahead (ADR 8).
fn auditor(tenant: &TenantId, actor: &ActorId) -> Permissions {
    let api = |volume| {
        let stream = audit_volume_stream(tenant, volume);
        [
            format!("{AUDIT_PREFIX}.STREAM.INFO.{stream}"),
            format!("{AUDIT_PREFIX}.STREAM.MSG.GET.{stream}"),
            format!("{AUDIT_PREFIX}.CONSUMER.CREATE.{stream}"),
            format!("{AUDIT_PREFIX}.CONSUMER.CREATE.{stream}.>"),
            format!("{AUDIT_PREFIX}.CONSUMER.MSG.NEXT.{stream}.*"),
            format!("{AUDIT_PREFIX}.DIRECT.GET.{stream}"),
            format!("{AUDIT_PREFIX}.DIRECT.GET.{stream}.>"),
        ]
    };
    Permissions {
        publish: (1..=AUDITED_VOLUMES).flat_map(api).collect(),
        deny_publish: Vec::new(),
        // Two tenants may have an auditor of the same name: the inbox holds the tenant as well.
        subscribe: vec![format!("{}.>", auditor_inbox(tenant, actor))],
    }
}

/// The inbox prefix of an auditor.
#[must_use]
pub fn auditor_inbox(tenant: &TenantId, actor: &ActorId) -> String {
    format!("_INBOX.{tenant}.{actor}")
}

fn owned(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(|&p| p.to_owned()).collect()
}
