//! Rules of a ticket: from opened to completed or cancelled, with a person at the gate.

use canonry_schemas::ids::{ActorId, RoleId, RunId};
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::run;
use canonry_schemas::ticket::{Command, Event};
use canonry_schemas::time::Time;
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::action::Counts;
use crate::budget::OwnAccount;
use crate::facts::{Applied, Facts};

/// Where a ticket stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Waiting for work.
    Open,
    /// Being worked at, by a run or by hand.
    Started,
    /// Done.
    Completed,
    /// Not wanted any more.
    Cancelled,
}

/// What people said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gate {
    /// Nobody was asked.
    Unasked,
    /// Somebody must answer; the answer names this record.
    Asked {
        /// Who asked.
        by: ActorId,
        /// Position of the record that asked.
        position: u64,
        /// Its hash, hex.
        hash: String,
    },
    /// Yes.
    Approved,
    /// No.
    Rejected,
}

/// What a decision must know of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Where it stands.
    pub stage: Stage,
    /// What people said.
    pub gate: Gate,
    /// Whether it may be completed only after a yes.
    pub approval_required: bool,
    /// The role that owns it.
    pub role: Option<RoleId>,
    /// Who opened it.
    pub opened_by: ActorId,
    /// 1 (critical) to 4 (low).
    pub priority: u8,
    /// What its actions came to.
    pub counts: Counts,
    /// When it must be done.
    pub due: Option<Time>,
    /// Whether that was already reported missed.
    pub breached: bool,
    /// The run that goes on.
    pub run: Option<RunId>,
    /// How many runs it had.
    pub runs: u32,
    /// How many evidence objects belong to it.
    pub evidence: u32,
    /// What was spent on it, and what is reserved.
    #[serde(default, skip_serializing_if = "OwnAccount::is_fresh")]
    pub account: OwnAccount,
}

impl Ticket {
    /// Whether it is completed or cancelled.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(self.stage, Stage::Completed | Stage::Cancelled)
    }

    /// The deadline that the timer must watch.
    #[must_use]
    pub fn watched_due(&self) -> Option<Time> {
        self.due.filter(|_| !self.breached && !self.ended())
    }

    /// Folds a run's record, which this ticket is touched by.
    #[must_use]
    pub fn evolve_run(mut self, entity_id: &str, event: &run::Event) -> Self {
        match event {
            run::Event::Started(_) => {
                self.stage = Stage::Started;
                self.runs = self.runs.saturating_add(1);
                self.run = entity_id.parse().ok();
            }
            run::Event::Completed(_) => self.run = None,
            run::Event::Failed(_) | run::Event::Cancelled(_) => {
                self.run = None;
                if self.stage == Stage::Started {
                    self.stage = Stage::Open;
                }
            }
            run::Event::StepRecorded(_) => {}
        }
        self
    }
}

/// The rules.
pub struct Tickets;

/// A ticket's priority where none was given.
const PRIORITY: u8 = 3;

const WORKERS: &[Part] = &[Part::Operator, Part::Worker];

fn open_ticket(state: Option<&Ticket>) -> Result<&Ticket, Refusal> {
    let ticket = state.ok_or(Refusal::TicketUnknown)?;
    if ticket.ended() { Err(Refusal::TicketEnded) } else { Ok(ticket) }
}

fn future(facts: &Facts<'_>, due: Option<Time>) -> Result<(), Refusal> {
    if due.is_some_and(|due| due <= facts.now) { Err(Refusal::DeadlinePassed) } else { Ok(()) }
}

/// A worker touches only tickets of its own role: without a role, none.
pub(crate) fn own_work(facts: &Facts<'_>, ticket: &Ticket) -> Result<(), Refusal> {
    let own = facts.works_for.is_some() && facts.works_for == ticket.role.as_ref();
    if own || facts.may(&[Part::Operator]) { Ok(()) } else { Err(Refusal::OtherRole) }
}

fn answer(
    ticket: &Ticket,
    facts: &Facts<'_>,
    id: &impl std::fmt::Display,
    yes: bool,
) -> Result<(), Refusal> {
    let Gate::Asked { by, position, hash } = &ticket.gate else {
        return Err(Refusal::ApprovalNotPending);
    };
    if by == facts.actor {
        return Err(Refusal::SelfApproval);
    }
    if facts.answers(&format!("ticket/{id}"), yes, *position, hash) {
        Ok(())
    } else {
        Err(Refusal::ApprovalInvalid)
    }
}

impl Decider for Tickets {
    type State = Ticket;
    type Command = Command;
    type Event = Event;

    fn decide(
        state: Option<&Ticket>,
        facts: &Facts<'_>,
        command: Command,
    ) -> Result<Event, Refusal> {
        match command {
            Command::Open(c) => {
                facts.allow(WORKERS)?;
                future(facts, c.due)?;
                if c.role.is_some() {
                    let (_, role) = facts.role.ok_or(Refusal::RoleUnknown)?;
                    if role.retired() {
                        return Err(Refusal::RoleRetired);
                    }
                }
                Ok(Event::Opened(c))
            }
            Command::Amend(c) => {
                facts.allow(&[Part::Operator])?;
                if c.approval_required == Some(false) {
                    facts.founder()?;
                }
                open_ticket(state)?;
                future(facts, c.due)?;
                let nothing = c.title.is_none()
                    && c.note.is_none()
                    && c.priority.is_none()
                    && c.due.is_none()
                    && c.approval_required.is_none();
                if nothing { Err(Refusal::NothingChanged) } else { Ok(Event::Amended(c)) }
            }
            Command::Assign(c) => {
                facts.allow(&[Part::Operator])?;
                let ticket = open_ticket(state)?;
                if ticket.run.is_some() {
                    return Err(Refusal::TicketHasRun);
                }
                let (_, role) = facts.role.ok_or(Refusal::RoleUnknown)?;
                role.workable()?;
                Ok(Event::Assigned(c))
            }
            Command::RequestApproval(c) => {
                facts.allow(WORKERS)?;
                let ticket = open_ticket(state)?;
                own_work(facts, ticket)?;
                match ticket.gate {
                    Gate::Asked { .. } => Err(Refusal::ApprovalPending),
                    Gate::Unasked | Gate::Approved | Gate::Rejected => {
                        Ok(Event::ApprovalRequested(c))
                    }
                }
            }
            Command::Approve(c) => {
                facts.allow(&[Part::Approver])?;
                answer(open_ticket(state)?, facts, &c.id, true)?;
                Ok(Event::Approved(c))
            }
            Command::Reject(c) => {
                facts.allow(&[Part::Approver])?;
                answer(open_ticket(state)?, facts, &c.id, false)?;
                Ok(Event::Rejected(c))
            }
            Command::Start(c) => {
                facts.allow(&[Part::Operator])?;
                match open_ticket(state)?.stage {
                    Stage::Open => Ok(Event::Started(c)),
                    Stage::Started | Stage::Completed | Stage::Cancelled => {
                        Err(Refusal::TicketStarted)
                    }
                }
            }
            Command::Complete(c) => {
                facts.allow(WORKERS)?;
                let ticket = open_ticket(state)?;
                own_work(facts, ticket)?;
                if ticket.stage != Stage::Started {
                    return Err(Refusal::TicketNotStarted);
                }
                if ticket.run.is_some() {
                    return Err(Refusal::TicketHasRun);
                }
                match ticket.gate {
                    Gate::Approved => Ok(Event::Completed(c)),
                    Gate::Unasked if !ticket.approval_required => Ok(Event::Completed(c)),
                    Gate::Unasked | Gate::Asked { .. } | Gate::Rejected => {
                        Err(Refusal::ApprovalMissing)
                    }
                }
            }
            Command::Reopen(c) => {
                facts.allow(&[Part::Operator])?;
                let ticket = state.ok_or(Refusal::TicketUnknown)?;
                if ticket.ended() { Ok(Event::Reopened(c)) } else { Err(Refusal::TicketNotEnded) }
            }
            Command::Cancel(c) => {
                facts.allow(&[Part::Operator])?;
                let ticket = open_ticket(state)?;
                if ticket.run.is_some() {
                    return Err(Refusal::TicketHasRun);
                }
                Ok(Event::Cancelled(c))
            }
            Command::Breach(c) => {
                if !facts.timer {
                    return Err(Refusal::NotAllowed);
                }
                let ticket = open_ticket(state)?;
                if ticket.watched_due() == Some(c.due) && c.due <= facts.now {
                    Ok(Event::DeadlineBreached(c))
                } else {
                    Err(Refusal::DeadlineNotPassed)
                }
            }
        }
    }

    fn evolve(state: Option<Ticket>, applied: &Applied<'_>, event: &Event) -> Option<Ticket> {
        if let Event::Opened(e) = event {
            return Some(Ticket {
                stage: Stage::Open,
                gate: Gate::Unasked,
                approval_required: e.approval_required,
                role: e.role.clone(),
                opened_by: applied.actor.clone(),
                priority: e.priority.unwrap_or(PRIORITY),
                counts: Counts::default(),
                due: e.due,
                breached: false,
                run: None,
                runs: 0,
                evidence: 0,
                account: OwnAccount::default(),
            });
        }
        let mut ticket = state?;
        match event {
            Event::Opened(_) => {}
            Event::Amended(e) => {
                if e.due.is_some() {
                    ticket.due = e.due;
                    ticket.breached = false;
                }
                ticket.priority = e.priority.unwrap_or(ticket.priority);
                ticket.approval_required = e.approval_required.unwrap_or(ticket.approval_required);
            }
            Event::Assigned(e) => ticket.role = Some(e.role.clone()),
            Event::ApprovalRequested(_) => {
                ticket.gate = Gate::Asked {
                    by: applied.actor.clone(),
                    position: applied.position,
                    hash: applied.hash.to_owned(),
                };
            }
            Event::Approved(_) => ticket.gate = Gate::Approved,
            Event::Rejected(_) => ticket.gate = Gate::Rejected,
            Event::Started(_) => ticket.stage = Stage::Started,
            Event::Completed(_) => ticket.stage = Stage::Completed,
            Event::Reopened(_) => {
                ticket.stage = Stage::Open;
                ticket.gate = Gate::Unasked;
            }
            Event::Cancelled(_) => ticket.stage = Stage::Cancelled,
            Event::DeadlineBreached(_) => ticket.breached = true,
        }
        Some(ticket)
    }
}
