//! Runs: one attempt each at a ticket, and the steps inside.

use serde::{Deserialize, Serialize};

use crate::catalogue::{commands, data, events};
use crate::ids::{RoleId, RunId, TicketId};
use crate::text::{Content, Label};

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    /// It did what it should.
    Done,
    /// It failed.
    Failed,
    /// It was not needed.
    Skipped,
}

data! {
    /// Begins a run at a ticket.
    Start {
        /// The ticket.
        ticket: TicketId,
    }
    /// A run that began; the ticket folds this record too.
    Started {
        /// The ticket.
        ticket: TicketId,
        /// The role that works.
        role: RoleId,
    }
    /// Records a step.
    RecordStep {
        /// Which run.
        id: RunId,
        /// The step's name.
        name: Label,
        /// How it ended.
        outcome: StepOutcome,
        /// What came of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<Content>,
        /// How sure the worker is, per mille.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 1000))]
        confidence: Option<u16>,
    }
    /// Ends a run.
    End {
        /// Which run.
        id: RunId,
        /// What came of it, or why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Content>,
    }
    /// A run that ended; the ticket folds this record too.
    Ended {
        /// Which run.
        id: RunId,
        /// Its ticket.
        ticket: TicketId,
        /// What came of it, or why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Content>,
    }
}

commands! { "run";
    /// Begins.
    "start" => Start(Start),
    /// Records a step.
    "record-step" => RecordStep(RecordStep),
    /// Ends well.
    "complete" => Complete(End),
    /// Ends badly.
    "fail" => Fail(End),
    /// Is stopped.
    "cancel" => Cancel(End),
}

events! { "run";
    /// Started; the id is in `entity`.
    "started" v 1 => Started(Started),
    /// A step was recorded.
    "step-recorded" v 1 => StepRecorded(RecordStep),
    /// Completed.
    "completed" v 1 => Completed(Ended),
    /// Failed.
    "failed" v 1 => Failed(Ended),
    /// Cancelled.
    "cancelled" v 1 => Cancelled(Ended),
}
