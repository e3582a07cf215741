//! Rules of evidence: whoever may work at a ticket or run may attach to it, at any stage, so that
//! what comes to light late has its place too. Nothing is taken away here.

use canonry_schemas::evidence::{Command, Event};
use canonry_schemas::ids::WorkId;
use canonry_schemas::limits::EVIDENCE_PER_WORK;
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;

use crate::Decider;
use crate::facts::{Applied, Facts};
use crate::state::State;
use crate::ticket::own_work;

/// The rules. The state is that of the ticket or run, which folds the record itself.
pub struct Evidences;

fn unknown(id: &WorkId) -> Refusal {
    if id.aggregate() == "ticket" { Refusal::TicketUnknown } else { Refusal::RunUnknown }
}

impl Decider for Evidences {
    type State = State;
    type Command = Command;
    type Event = Event;

    fn decide(
        state: Option<&State>,
        facts: &Facts<'_>,
        Command::Attach(c): Command,
    ) -> Result<Event, Refusal> {
        facts.allow(&[Part::Operator, Part::Worker])?;
        let count = match state {
            Some(State::Ticket(ticket)) => {
                own_work(facts, ticket)?;
                ticket.evidence
            }
            Some(State::Run(run)) => {
                if &run.worker != facts.actor && !facts.may(&[Part::Operator]) {
                    return Err(Refusal::RunOfAnother);
                }
                run.evidence
            }
            Some(
                State::Role(_)
                | State::Kind(_)
                | State::Books(_)
                | State::Policy(_)
                | State::Action(_)
                | State::Lease(_)
                | State::Tiers(_),
            )
            | None => return Err(unknown(&c.id)),
        };
        if count >= EVIDENCE_PER_WORK {
            return Err(Refusal::EvidenceFull);
        }
        Ok(Event::Attached(c))
    }

    fn evolve(state: Option<State>, _: &Applied<'_>, event: &Event) -> Option<State> {
        let Event::Attached(_) = event;
        let mut state = state?;
        match &mut state {
            State::Ticket(ticket) => ticket.evidence = ticket.evidence.saturating_add(1),
            State::Run(run) => run.evidence = run.evidence.saturating_add(1),
            State::Role(_)
            | State::Kind(_)
            | State::Books(_)
            | State::Policy(_)
            | State::Action(_)
            | State::Lease(_)
            | State::Tiers(_) => {}
        }
        Some(state)
    }
}
