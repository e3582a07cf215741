//! Tickets: pieces of work with owner, deadline, priority, approval and evidence.

use crate::catalogue::{commands, data, events};
use crate::ids::{RoleId, TicketId};
use crate::text::{Content, Label};
use crate::time::Time;

data! {
    /// Opens a ticket.
    Open {
        /// What is wanted, in a line.
        title: Content,
        /// More about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Content>,
        /// 1 (critical) to 4 (low); 3 when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1, max = 4))]
        priority: Option<u8>,
        /// When it must be done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<Time>,
        /// The role that owns it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<RoleId>,
        /// Whether it may be completed only after an approval.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        approval_required: bool,
        /// The ticket's number in another system.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external: Option<Label>,
    }
    /// Changes a ticket; what is absent stays.
    Amend {
        /// Which ticket.
        id: TicketId,
        /// A new title.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<Content>,
        /// A new note.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Content>,
        /// A new priority.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1, max = 4))]
        priority: Option<u8>,
        /// A new deadline.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<Time>,
        /// Whether an approval is needed; it can be demanded, and lifted only by a founder.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval_required: Option<bool>,
    }
    /// Gives a ticket to a role.
    Assign {
        /// Which ticket.
        id: TicketId,
        /// Which role.
        role: RoleId,
    }
    /// Asks a person.
    RequestApproval {
        /// Which ticket.
        id: TicketId,
        /// What is to be approved.
        reason: Content,
    }
    /// A person's yes.
    Approve {
        /// Which ticket.
        id: TicketId,
        /// JWT (EdDSA) by the approver's `member` key over what is decided.
        #[schemars(length(max = 4096))]
        approval: String,
    }
    /// A person's no.
    Reject {
        /// Which ticket.
        id: TicketId,
        /// Why.
        reason: Content,
        /// JWT (EdDSA) by the approver's `member` key over what is decided.
        #[schemars(length(max = 4096))]
        approval: String,
    }
    /// Begins work without a run.
    Start {
        /// Which ticket.
        id: TicketId,
    }
    /// Ends a ticket well.
    Complete {
        /// Which ticket.
        id: TicketId,
        /// What came of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Content>,
        /// Where the evidence lies.
        evidence: Label,
    }
    /// Takes up an ended ticket again, or ends one that is not wanted.
    Change {
        /// Which ticket.
        id: TicketId,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Content>,
    }
    /// The timer's word that the deadline has passed.
    Breach {
        /// Which ticket.
        id: TicketId,
        /// The deadline that passed.
        due: Time,
    }
}

commands! { "ticket";
    /// Opens.
    "open" => Open(Open),
    /// Amends.
    "amend" => Amend(Amend),
    /// Assigns to a role.
    "assign" => Assign(Assign),
    /// Asks for approval.
    "request-approval" => RequestApproval(RequestApproval),
    /// Approves.
    "approve" => Approve(Approve),
    /// Rejects.
    "reject" => Reject(Reject),
    /// Starts.
    "start" => Start(Start),
    /// Completes.
    "complete" => Complete(Complete),
    /// Reopens.
    "reopen" => Reopen(Change),
    /// Cancels.
    "cancel" => Cancel(Change),
    /// The deadline passed; only the decider's timer.
    "breach" => Breach(Breach),
}

events! { "ticket";
    /// Opened; the id is in `entity`.
    "opened" v 1 => Opened(Open),
    /// Amended.
    "amended" v 1 => Amended(Amend),
    /// Assigned.
    "assigned" v 1 => Assigned(Assign),
    /// Approval requested.
    "approval-requested" v 1 => ApprovalRequested(RequestApproval),
    /// Approved.
    "approved" v 1 => Approved(Approve),
    /// Rejected.
    "rejected" v 1 => Rejected(Reject),
    /// Started.
    "started" v 1 => Started(Start),
    /// Completed.
    "completed" v 1 => Completed(Complete),
    /// Reopened.
    "reopened" v 1 => Reopened(Change),
    /// Cancelled.
    "cancelled" v 1 => Cancelled(Change),
    /// Deadline breached.
    "deadline-breached" v 1 => DeadlineBreached(Breach),
}
