//! Rules of a run: one attempt at a ticket, by one worker, step after step.

use canonry_schemas::ids::{ActorId, RoleId, TicketId};
use canonry_schemas::limits::{RUNS_PER_TICKET, STEPS_PER_RUN};
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::run::{Command, End, Ended, Event, Started};
use canonry_schemas::text::Label;
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::action::Counts;
use crate::budget::OwnAccount;
use crate::facts::{Applied, Facts};
use crate::lease::Held;

/// What a decision must know of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its ticket.
    pub ticket: TicketId,
    /// The role that it is done for.
    pub role: RoleId,
    /// Who works.
    pub worker: ActorId,
    /// How many steps it recorded.
    pub steps: u32,
    /// The name of the last one.
    pub phase: Option<Label>,
    /// What its actions came to.
    pub counts: Counts,
    /// How many evidence objects belong to it.
    pub evidence: u32,
    /// Whether it has ended.
    pub ended: bool,
    /// What was spent in it, and what is reserved.
    #[serde(default, skip_serializing_if = "OwnAccount::is_fresh")]
    pub account: OwnAccount,
    /// Its newest lease that nobody revoked; it may have expired.
    pub lease: Option<Held>,
    /// Violations that were counted in it.
    pub violations: u32,
}

/// The rules.
pub struct Runs;

fn going_on<'a>(state: Option<&'a Run>, facts: &Facts<'_>) -> Result<&'a Run, Refusal> {
    facts.allow(&[Part::Operator, Part::Worker])?;
    let run = state.ok_or(Refusal::RunUnknown)?;
    if run.ended {
        return Err(Refusal::RunEnded);
    }
    if &run.worker != facts.actor && !facts.may(&[Part::Operator]) {
        return Err(Refusal::RunOfAnother);
    }
    Ok(run)
}

fn ended(run: &Run, c: End) -> Ended {
    Ended { id: c.id, ticket: run.ticket.clone(), reason: c.reason }
}

impl Decider for Runs {
    type State = Run;
    type Command = Command;
    type Event = Event;

    fn decide(state: Option<&Run>, facts: &Facts<'_>, command: Command) -> Result<Event, Refusal> {
        match command {
            Command::Start(c) => {
                facts.allow(&[Part::Operator, Part::Worker])?;
                let ticket = facts.ticket.ok_or(Refusal::TicketUnknown)?;
                if ticket.ended() {
                    return Err(Refusal::TicketEnded);
                }
                if ticket.run.is_some() {
                    return Err(Refusal::TicketHasRun);
                }
                if ticket.runs >= RUNS_PER_TICKET {
                    return Err(Refusal::RunsFull);
                }
                let owner = ticket.role.as_ref().ok_or(Refusal::TicketUnassigned)?;
                let (id, role) = facts.role.ok_or(Refusal::RoleUnknown)?;
                if id != owner {
                    return Err(Refusal::RoleUnknown);
                }
                role.workable()?;
                if !facts.may(&[Part::Operator]) && facts.works_for != Some(owner) {
                    return Err(Refusal::OtherRole);
                }
                Ok(Event::Started(Started { ticket: c.ticket, role: owner.clone() }))
            }
            Command::RecordStep(c) => {
                if going_on(state, facts)?.steps >= STEPS_PER_RUN {
                    return Err(Refusal::RunsFull);
                }
                Ok(Event::StepRecorded(c))
            }
            Command::Complete(c) => Ok(Event::Completed(ended(going_on(state, facts)?, c))),
            Command::Fail(c) => Ok(Event::Failed(ended(going_on(state, facts)?, c))),
            Command::Cancel(c) => Ok(Event::Cancelled(ended(going_on(state, facts)?, c))),
        }
    }

    fn evolve(state: Option<Run>, applied: &Applied<'_>, event: &Event) -> Option<Run> {
        match event {
            Event::Started(e) => Some(Run {
                ticket: e.ticket.clone(),
                role: e.role.clone(),
                worker: applied.actor.clone(),
                steps: 0,
                phase: None,
                counts: Counts::default(),
                evidence: 0,
                ended: false,
                account: OwnAccount::default(),
                lease: None,
                violations: 0,
            }),
            Event::StepRecorded(e) => state.map(|run| Run {
                steps: run.steps.saturating_add(1),
                phase: Some(e.name.clone()),
                ..run
            }),
            Event::Completed(_) | Event::Failed(_) | Event::Cancelled(_) => {
                state.map(|run| Run { ended: true, lease: None, ..run })
            }
        }
    }
}
