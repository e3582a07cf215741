//! Actions: what a worker wants to do with a tool or a model, before it has an effect. Each becomes
//! one decision: allowed, held for people, routed, or denied.
//!
//! The arguments never stand in clear: records hold a keyed digest of them, and the whole input of
//! the policy as sealed content. Next: [`crate::decision`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::budget::{Amount, ModelPrice, Used, Worst};
use crate::catalogue::{commands, data, events};
use crate::decision::{Approvals, Decision, Route};
use crate::ids::{ActionId, ActorId, KeyedDigest, Position, RoleId, RunId, TicketId};
use crate::kind::Object;
use crate::text::{Content, Label};
use crate::time::Time;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did what it should.
    Done,
    /// It failed.
    Failed,
}

data! {
    /// Asks whether an action may be done.
    Propose {
        /// The run that it is part of.
        run: RunId,
        /// The tool.
        tool: Label,
        /// What the tool is to do.
        action: Label,
        /// With what, at most 8192 bytes of canonical JSON.
        arguments: Object,
        /// The most that it can cost.
        worst: Worst,
    }
    /// A person's yes to a held action.
    Approve {
        /// Which action.
        id: ActionId,
        /// JWT (EdDSA) by the approver's `member` key over what is decided.
        #[schemars(length(max = 4096))]
        approval: String,
    }
    /// A person's no to a held action.
    Reject {
        /// Which action.
        id: ActionId,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Content>,
        /// JWT (EdDSA) by the approver's `member` key over what is decided.
        #[schemars(length(max = 4096))]
        approval: String,
    }
    /// A person has just shown again, at a stronger level, who they are.
    StepUp {
        /// Which action.
        id: ActionId,
        /// JWT (EdDSA) by the person's `stepup` key over what was asked.
        #[schemars(length(max = 4096))]
        assertion: String,
    }
    /// The worker goes on with an action that people agreed to.
    Resume {
        /// Which action.
        id: ActionId,
        /// The arguments that they agreed to.
        arguments: Object,
    }
    /// Puts a question anew that was parked.
    AskAgain {
        /// Which action.
        id: ActionId,
    }
    /// What became of an allowed action, and what it has cost.
    Settle {
        /// Which action.
        id: ActionId,
        /// How the call ended.
        outcome: Outcome,
        /// What went wrong, as a code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Label>,
        /// What it has cost.
        used: Used,
    }
    /// The timer's word that a moment has come.
    Due {
        /// Which action.
        id: ActionId,
        /// The moment that passed.
        at: Time,
    }
    /// People agreed: one of them, and how many of how many by now.
    Approved {
        /// Which action.
        id: ActionId,
        /// JWT by the approver's `member` key.
        #[schemars(length(max = 4096))]
        approval: String,
        /// How many are needed, of all groups together.
        #[schemars(range(max = 256))]
        of: u16,
        /// How many people have agreed by now.
        #[schemars(range(max = 256))]
        given: u16,
        /// For whom the approver stood in.
        #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
        stood_in_for: Option<ActorId>,
    }
    /// A person said no: the action is over.
    Rejected {
        /// Which action.
        id: ActionId,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Content>,
        /// JWT by the approver's `member` key.
        #[schemars(length(max = 4096))]
        approval: String,
        /// For whom the approver stood in.
        #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
        stood_in_for: Option<ActorId>,
    }
    /// The level that was asked for was reached.
    SteppedUp {
        /// Which action.
        id: ActionId,
        /// JWT by the person's `stepup` key.
        #[schemars(length(max = 4096))]
        assertion: String,
        /// The level that was reached.
        #[schemars(range(min = 1, max = 9))]
        level: u8,
    }
    /// The question is put anew: answers name this record from now on.
    AskedAgain {
        /// Which action.
        id: ActionId,
        /// When it is parked again.
        expires: Time,
    }
    /// The next person of the escalation is asked too.
    Escalated {
        /// Which action.
        id: ActionId,
        /// The moment that passed.
        at: Time,
        /// Who may answer from now on.
        to: ActorId,
        /// Which one of the escalation, from 1.
        #[schemars(range(min = 1, max = 64))]
        step: u16,
    }
    /// What an allowed action has cost; its role, run and ticket and the tenant fold this too.
    Settled {
        /// Which action.
        id: ActionId,
        /// Its run.
        run: RunId,
        /// Its ticket.
        ticket: TicketId,
        /// Its role.
        role: RoleId,
        /// How the call ended.
        outcome: Outcome,
        /// What went wrong, as a code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Label>,
        /// What was said that it has cost.
        used: Used,
        /// What was reserved for it.
        reserved: Amount,
        /// What is charged.
        charged: Amount,
        /// What goes back.
        refunded: Amount,
        /// Whether it has cost more than was reserved.
        overrun: bool,
        /// When it was allowed: the day that is charged.
        allowed_at: Time,
    }
    /// Nobody said in time what an allowed action has cost: all of it is charged.
    Lapsed {
        /// Which action.
        id: ActionId,
        /// The moment that passed.
        at: Time,
        /// Its run.
        run: RunId,
        /// Its ticket.
        ticket: TicketId,
        /// Its role.
        role: RoleId,
        /// What is charged: all that was reserved.
        charged: Amount,
        /// When it was allowed: the day that is charged.
        allowed_at: Time,
    }
}

/// A decision's record: what was proposed, its digests, the sealed input and what the policy said,
/// the same in all four, and what each has besides.
macro_rules! decided {
    ($($(#[$doc:meta])* $name:ident { $($more:tt)* })*) => {data! {$(
        $(#[$doc])*
        $name {
            /// The run that it is part of.
            run: RunId,
            /// The run's ticket.
            ticket: TicketId,
            /// The run's role.
            role: RoleId,
            /// The tool.
            tool: Label,
            /// What the tool is to do.
            action: Label,
            /// The most that it can cost, as proposed.
            worst: Worst,
            /// Keyed digest of tool, action and arguments.
            arguments_digest: KeyedDigest,
            /// Keyed digest of the policy's input.
            input_digest: KeyedDigest,
            /// The policy's input, canonical JSON.
            input: Content,
            /// What the policy decided.
            decision: Decision,
            $($more)*
        }
    )*}};
}

decided! {
    /// It may be done once, until `until`: the receipt of this record is what a gateway needs.
    Allowed {
        /// What is set aside for it in every account.
        reserved: Amount,
        /// Position of the price table that its money was computed with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prices: Option<Position>,
        /// What the model costs by that table: what it has cost is computed with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        price: Option<ModelPrice>,
        /// Limits that came to four fifths with this: `<account> <period> <dimension>`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 64))]
        warnings: Vec<Label>,
        /// What it has cost must be said by then.
        until: Time,
        /// Positions of the answers that it rests on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 64))]
        approved_by: Vec<Position>,
    }
    /// People must agree first. Answers name this record.
    Held {
        /// Who, and until when.
        approvals: Approvals,
    }
    /// It is for another tool, model or queue: to be proposed there.
    Routed {
        /// Where; one of a kind.
        #[schemars(length(min = 1, max = 3))]
        to: Vec<Route>,
    }
    /// It may not be done. Answered as a refusal with this code.
    Denied {
        /// Why, a stable code.
        code: Label,
        /// When it is worth a new try.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 2_592_000))]
        retry_after_seconds: Option<u32>,
        /// The limit that has no room: `<account> <period> <dimension>`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exceeded: Option<Label>,
    }
}

commands! { "action";
    /// Asks for a decision.
    "propose" => Propose(Propose),
    /// Approves.
    "approve" => Approve(Approve),
    /// Rejects.
    "reject" => Reject(Reject),
    /// Steps up.
    "step-up" => StepUp(StepUp),
    /// Goes on after the approvals.
    "resume" => Resume(Resume),
    /// Asks anew after the question was parked.
    "ask-again" => AskAgain(AskAgain),
    /// Says what it has cost.
    "settle" => Settle(Settle),
    /// The question expired; only the decider's timer.
    "expire" => Expire(Due),
    /// The next person is to be asked; only the decider's timer.
    "escalate" => Escalate(Due),
    /// Nobody settled; only the decider's timer.
    "lapse" => Lapse(Due),
}

events! { "action";
    /// Allowed; the id is in `entity`.
    "allowed" v 1 => Allowed(Box<Allowed>),
    /// Held.
    "held" v 1 => Held(Box<Held>),
    /// Routed.
    "routed" v 1 => Routed(Box<Routed>),
    /// Denied.
    "denied" v 1 => Denied(Box<Denied>),
    /// Approved.
    "approved" v 1 => Approved(Approved),
    /// Rejected.
    "rejected" v 1 => Rejected(Rejected),
    /// Stepped up.
    "stepped-up" v 1 => SteppedUp(SteppedUp),
    /// Asked again.
    "asked-again" v 1 => AskedAgain(AskedAgain),
    /// Settled.
    "settled" v 1 => Settled(Box<Settled>),
    /// Expired: parked until it is asked again.
    "expired" v 1 => Expired(Due),
    /// Escalated.
    "escalated" v 1 => Escalated(Escalated),
    /// Lapsed.
    "lapsed" v 1 => Lapsed(Lapsed),
}

impl Event {
    /// The policy's input, sealed, where this is a decision.
    #[must_use]
    pub fn input(&self) -> Option<&Content> {
        match self {
            Self::Allowed(e) => Some(&e.input),
            Self::Held(e) => Some(&e.input),
            Self::Routed(e) => Some(&e.input),
            Self::Denied(e) => Some(&e.input),
            Self::Approved(_)
            | Self::Rejected(_)
            | Self::SteppedUp(_)
            | Self::AskedAgain(_)
            | Self::Settled(_)
            | Self::Expired(_)
            | Self::Escalated(_)
            | Self::Lapsed(_) => None,
        }
    }

    /// Every other entity whose state folds this, sorted: role, run and ticket of a decision, and
    /// the tenant too where it moves money.
    #[must_use]
    pub fn touches(&self, tenant: &str) -> Vec<String> {
        let moves = |role: &RoleId, run: &RunId, ticket: &TicketId, money: bool| {
            let mut all = vec![format!("role/{role}"), format!("run/{run}")];
            all.extend(money.then(|| format!("tenant/{tenant}")));
            all.push(format!("ticket/{ticket}"));
            all
        };
        match self {
            Self::Allowed(e) => moves(&e.role, &e.run, &e.ticket, true),
            Self::Held(e) => moves(&e.role, &e.run, &e.ticket, false),
            Self::Routed(e) => moves(&e.role, &e.run, &e.ticket, false),
            Self::Denied(e) => moves(&e.role, &e.run, &e.ticket, false),
            Self::Settled(e) => moves(&e.role, &e.run, &e.ticket, true),
            Self::Lapsed(e) => moves(&e.role, &e.run, &e.ticket, true),
            Self::Approved(_)
            | Self::Rejected(_)
            | Self::SteppedUp(_)
            | Self::AskedAgain(_)
            | Self::Expired(_)
            | Self::Escalated(_) => Vec::new(),
        }
    }
}

impl Command {
    /// The action that it names; none where it makes one.
    #[must_use]
    pub const fn action(&self) -> Option<&ActionId> {
        Some(match self {
            Self::Propose(_) => return None,
            Self::Approve(c) => &c.id,
            Self::Reject(c) => &c.id,
            Self::StepUp(c) => &c.id,
            Self::Resume(c) => &c.id,
            Self::AskAgain(c) => &c.id,
            Self::Settle(c) => &c.id,
            Self::Expire(c) | Self::Escalate(c) | Self::Lapse(c) => &c.id,
        })
    }
}
