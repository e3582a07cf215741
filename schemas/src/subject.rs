//! Subjects as types, each with one printer and one strict parser. `nats-config` and the users'
//! permissions must match what can be printed here.

use crate::ids::{ActorId, IntentId, TenantId};

/// Which way a command came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `command.…`: answered after the commit.
    Command,
    /// `intent.…`: answered when stored, decided later.
    Intent,
}

/// `command|intent.<tenant>.<actor>.<aggregate>.<verb>`, split but with the last two tokens as
/// the client wrote them: they may name nothing that exists, or be absent. What has an actor can be
/// refused in its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Answered after the commit, or when stored.
    pub way: Way,
    /// The tenant, which the server's import has already checked.
    pub tenant: TenantId,
    /// The actor's token, which the user's permissions have already checked.
    pub actor: ActorId,
    /// What the client wrote as aggregate; empty where the subject ends before it.
    pub aggregate: String,
    /// What the client wrote as verb; further tokens stay joined and match no verb.
    pub verb: String,
}

impl Inbound {
    /// Reads a subject.
    #[must_use]
    pub fn parse(subject: &str) -> Option<Self> {
        let mut tokens = subject.splitn(5, '.');
        let way = match tokens.next()? {
            "command" => Way::Command,
            "intent" => Way::Intent,
            _ => return None,
        };
        Some(Self {
            way,
            tenant: tokens.next()?.parse().ok()?,
            actor: tokens.next()?.parse().ok()?,
            aggregate: tokens.next().unwrap_or_default().to_owned(),
            verb: tokens.next().unwrap_or_default().to_owned(),
        })
    }

    /// Writes the subject.
    #[must_use]
    pub fn print(&self) -> String {
        let way = match self.way {
            Way::Command => "command",
            Way::Intent => "intent",
        };
        let mut subject = format!("{way}.{}.{}", self.tenant, self.actor);
        for token in [&self.aggregate, &self.verb] {
            if !token.is_empty() {
                subject.push('.');
                subject.push_str(token);
            }
        }
        subject
    }
}

/// `ledger.<tenant>.<aggregate>.<event>`: where a record is stored.
#[must_use]
pub fn ledger(tenant: &TenantId, aggregate: &str, event: &str) -> String {
    format!("ledger.{tenant}.{aggregate}.{event}")
}

/// The tenant, aggregate and event of a ledger subject.
#[must_use]
pub fn parse_ledger(subject: &str) -> Option<(TenantId, &str, &str)> {
    let mut tokens = subject.split('.');
    if tokens.next()? != "ledger" {
        return None;
    }
    let tenant = tokens.next()?.parse().ok()?;
    let (aggregate, event) = (tokens.next()?, tokens.next()?);
    let plain = |s: &str| !s.is_empty() && s.bytes().all(|c| c.is_ascii_lowercase() || c == b'-');
    (tokens.next().is_none() && plain(aggregate) && plain(event))
        .then_some((tenant, aggregate, event))
}

/// `outcome.<tenant>.<actor>.<intent id>`: where the answer to a durable intent is sent.
#[must_use]
pub fn outcome(tenant: &TenantId, actor: &ActorId, intent: &IntentId) -> String {
    format!("outcome.{tenant}.{actor}.{intent}")
}

/// `intake.<tenant>.intent`: where the intake stores a sealed intent.
#[must_use]
pub fn intake(tenant: &TenantId) -> String {
    format!("intake.{tenant}.intent")
}

/// The ledger stream of a tenant's first volume.
#[must_use]
pub fn ledger_stream(tenant: &TenantId) -> String {
    format!("LEDGER_{tenant}")
}

/// The stream of a volume of a tenant's ledger.
#[must_use]
pub fn ledger_volume_stream(tenant: &TenantId, volume: u32) -> String {
    if volume == 1 { ledger_stream(tenant) } else { format!("LEDGER_{tenant}_v{volume}") }
}

/// The mirror of a volume of a tenant's ledger, which auditors read.
#[must_use]
pub fn audit_volume_stream(tenant: &TenantId, volume: u32) -> String {
    if volume == 1 { format!("AUDIT_{tenant}") } else { format!("AUDIT_{tenant}_v{volume}") }
}

/// The work-queue stream of a tenant's durable intents.
#[must_use]
pub fn intents_stream(tenant: &TenantId) -> String {
    format!("INTENTS_{tenant}")
}

/// The KV bucket of a tenant's content keys.
#[must_use]
pub fn content_bucket(tenant: &TenantId) -> String {
    format!("content-keys-{tenant}")
}

/// The stream of a tenant's tiles and its newest checkpoint.
#[must_use]
pub fn tlog_stream(tenant: &TenantId) -> String {
    format!("TLOG_{tenant}")
}

/// `tlog.<tenant>`: what stands before a key in that stream.
#[must_use]
pub fn tlog_prefix(tenant: &TenantId) -> String {
    format!("tlog.{tenant}")
}

/// The object bucket of a tenant's evidence.
#[must_use]
pub fn evidence_bucket(tenant: &TenantId) -> String {
    format!("evidence-{tenant}")
}

/// KV bucket of assignments, one key a tenant.
pub const BUCKET_ASSIGN: &str = "assign";
/// KV bucket of signed heads, one key a tenant.
pub const BUCKET_HEADS: &str = "heads";
/// KV bucket of signed beats, one key a tenant: which policy is in force.
pub const BUCKET_POLICIES: &str = "policies";
/// KV bucket of deciders' liveness, one key a decider.
pub const BUCKET_LIVENESS: &str = "liveness";
/// KV bucket of frozen tenants, one key a tenant.
pub const BUCKET_FROZEN: &str = "frozen";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read(
            way in prop_oneof![Just(Way::Command), Just(Way::Intent)],
            tenant in "[a-z0-9][a-z0-9-]{0,30}", actor in "[a-z0-9][a-z0-9_-]{0,62}",
            aggregate in "[a-z]{1,12}", verb in "[a-z-]{1,20}",
        ) {
            let one = Inbound {
                way, tenant: tenant.parse().unwrap(), actor: actor.parse().unwrap(), aggregate, verb,
            };
            prop_assert_eq!(Inbound::parse(&one.print()), Some(one));
        }

        #[test]
        fn ledger_subjects_are_read(
            tenant in "[a-z0-9][a-z0-9-]{0,30}", aggregate in "[a-z]{1,12}", event in "[a-z-]{1,20}",
        ) {
            let t: TenantId = tenant.parse().unwrap();
            let s = ledger(&t, &aggregate, &event);
            prop_assert_eq!(parse_ledger(&s), Some((t, aggregate.as_str(), event.as_str())));
        }
    }

    #[test]
    fn what_ends_early_or_goes_on_still_has_an_actor() {
        for (subject, aggregate, verb) in [
            ("command.acme.ada", "", ""),
            ("intent.acme.ada.ticket", "ticket", ""),
            ("command.acme.ada.ticket.open.wide", "ticket", "open.wide"),
        ] {
            let inbound = Inbound::parse(subject).unwrap();
            assert_eq!((inbound.aggregate.as_str(), inbound.verb.as_str()), (aggregate, verb));
            assert_eq!(inbound.print(), subject);
        }
    }

    #[test]
    fn strangers_are_not_subjects() {
        for bad in [
            "command",
            "command.A.f.x.y",
            "ledger.acme.ticket.opened",
            "command.a",
            "command.a.B",
            "",
        ] {
            assert_eq!(Inbound::parse(bad), None, "{bad}");
        }
        for bad in ["ledger.a.b", "ledger.a.b.c.d", "live.a.b.c", "ledger.a.*.c", "ledger.a.b."] {
            assert_eq!(parse_ledger(bad), None, "{bad}");
        }
    }
}
