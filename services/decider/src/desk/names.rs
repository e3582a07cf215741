//! Which entity a command names, and what a client's body names.

use canonry_schemas::event::{Command, known};
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::limits::COMMAND_BYTES;
use canonry_schemas::{budget, content, evidence, ext, json, lease, member, role, run, ticket};

use super::Asked;

/// The aggregate and id that a body names.
pub(super) fn named(asked: &Asked) -> Option<(&'static str, String)> {
    if asked.body.len() > COMMAND_BYTES {
        return None;
    }
    let (aggregate, _) = known(&asked.aggregate, &asked.verb)?;
    let body = json::parse(&asked.body).ok()?;
    if aggregate == "content" {
        let (aggregate, id) = body.get("entity")?.as_str()?.split_once('/')?;
        let aggregate = ["member", "role", "ticket", "run", "action", "ext"]
            .into_iter()
            .find(|a| *a == aggregate)?;
        return Some((aggregate, id.to_owned()));
    }
    if aggregate == "budget" {
        let (aggregate, id) = body.get("scope")?.as_str()?.split_once('/')?;
        let aggregate = ["role", "ticket", "run"].into_iter().find(|a| *a == aggregate)?;
        return Some((aggregate, id.to_owned()));
    }
    let id = body.get("id").or_else(|| body.get("actor"))?.as_str()?;
    Some((home(aggregate, id), id.to_owned()))
}

/// The aggregate of the entity that a command names: evidence has none of its own, it belongs to
/// a ticket or run.
pub(super) fn home(aggregate: &'static str, id: &str) -> &'static str {
    match aggregate {
        "evidence" if id.starts_with(prefix("ticket")) => "ticket",
        "evidence" => "run",
        own => own,
    }
}

/// The entity whose account a command limits; prices are the tenant's.
pub(super) fn limited(command: &budget::Command, tenant: &TenantId) -> String {
    match command {
        budget::Command::Limit(c) if c.scope.entity().is_some() => c.scope.to_string(),
        budget::Command::Limit(_) | budget::Command::Price(_) => format!("tenant/{tenant}"),
    }
}

/// Whether a client's string could be an id at all, before anything is looked up by it.
pub(super) fn is_token(id: &str) -> bool {
    id.parse::<ActorId>().is_ok()
}

pub(super) fn prefix(aggregate: &str) -> &'static str {
    match aggregate {
        "role" => "rol_",
        "ticket" => "tkt_",
        "ext" => "ext_",
        "action" => "act_",
        "lease" => "lse_",
        _ => "run_",
    }
}

/// The id that a command names; `None` for those that create, and for what is appended: that is
/// of another aggregate's entity, or of none.
#[must_use]
pub fn target(command: &Command) -> Option<String> {
    Some(match command {
        // The tenant is the whole; content names its entity by itself: see `Desk::command`.
        Command::Tenant(_) | Command::Policy(_) | Command::Tier(_) => return None,
        Command::Content(content::Command::Erase(c)) => {
            c.entity.as_str().split_once('/').map(|(_, id)| id.to_owned())?
        }
        Command::Member(c) => match c {
            member::Command::Enrol(c) => c.actor.to_string(),
            member::Command::Remove(c) => c.actor.to_string(),
            member::Command::RotateKeys(c) => c.actor.to_string(),
            member::Command::Delegate(_) | member::Command::EndDelegation(_) => return None,
        },
        Command::Role(c) => match c {
            role::Command::Hire(_) => return None,
            role::Command::Amend(c) => c.id.to_string(),
            role::Command::Fingerprint(c) => c.id.to_string(),
            role::Command::Review(c) => c.id.to_string(),
            role::Command::Pause(c) | role::Command::Resume(c) | role::Command::Retire(c) => {
                c.id.to_string()
            }
        },
        Command::Ticket(c) => match c {
            ticket::Command::Open(_) => return None,
            ticket::Command::Amend(c) => c.id.to_string(),
            ticket::Command::Assign(c) => c.id.to_string(),
            ticket::Command::RequestApproval(c) => c.id.to_string(),
            ticket::Command::Approve(c) => c.id.to_string(),
            ticket::Command::Reject(c) => c.id.to_string(),
            ticket::Command::Start(c) => c.id.to_string(),
            ticket::Command::Complete(c) => c.id.to_string(),
            ticket::Command::Reopen(c) | ticket::Command::Cancel(c) => c.id.to_string(),
            ticket::Command::Breach(c) => c.id.to_string(),
        },
        Command::Run(c) => match c {
            run::Command::Start(_) => return None,
            run::Command::RecordStep(c) => c.id.to_string(),
            run::Command::Complete(c) | run::Command::Fail(c) | run::Command::Cancel(c) => {
                c.id.to_string()
            }
        },
        Command::Ext(c) => match c {
            ext::Command::Register(c) => c.kind.to_string(),
            ext::Command::Append(_) => return None,
        },
        Command::Action(c) => c.action()?.to_string(),
        Command::Evidence(evidence::Command::Attach(c)) => c.id.to_string(),
        Command::Budget(budget::Command::Limit(c)) => c.scope.entity()?.1.to_owned(),
        Command::Budget(budget::Command::Price(_)) => return None,
        Command::Lease(c) => match c {
            lease::Command::Issue(_) => return None,
            lease::Command::Revoke(c) => c.id.to_string(),
        },
    })
}
