//! Which entity a command names, and how the ids of new ones begin.

use canonry_schemas::event::Command;
use canonry_schemas::{ext, member, role, run, ticket};

/// How generated ids of an aggregate begin.
pub(super) fn prefix(aggregate: &str) -> &'static str {
    match aggregate {
        "role" => "rol_",
        "ticket" => "tkt_",
        "ext" => "ext_",
        _ => "run_",
    }
}

/// The id that a command names; `None` for those that create, and for what is appended: that is
/// of another aggregate's entity, or of none.
#[must_use]
pub fn target(command: &Command) -> Option<String> {
    Some(match command {
        Command::Member(c) => match c {
            member::Command::Enrol(c) => c.actor.to_string(),
            member::Command::Remove(c) => c.actor.to_string(),
            member::Command::RotateKeys(c) => c.actor.to_string(),
        },
        Command::Role(c) => match c {
            role::Command::Hire(_) => return None,
            role::Command::Amend(c) => c.id.to_string(),
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
    })
}
