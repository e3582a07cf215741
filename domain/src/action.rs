//! Rules of actions: what a policy decided becomes one fact, an allowance is backed by every
//! budget, and what people agreed to is done once, with the arguments that they saw.
//!
//! The policy itself is evaluated by the host; its answer arrives in [`Facts::judged`]. Who answers
//! a question is in [`crate::question`].

use canonry_schemas::action::{
    Allowed, Approved, AskAgain, AskedAgain, Command, Denied, Due, Escalated, Event, Held, Lapsed,
    Outcome, Propose, Rejected, Routed, Settle, Settled, StepUp, SteppedUp,
};
use canonry_schemas::budget::Worst;
use canonry_schemas::ids::{ActorId, KeyedDigest, RoleId, RunId, TicketId};
use canonry_schemas::limits::ACTIONS_PER_RUN;
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::text::Label;
use canonry_schemas::time::Time;
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::budget::{self, Account, Day};
use crate::facts::{Applied, Facts};
use crate::prices::Cost;
use crate::question::{Given, Involved, Question, Stepped};
use crate::run::Run;
use crate::tier::violates;
use crate::weigh::{Place, Weighed};

/// How often something was asked, how often the answer was no, and what went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Actions that were allowed.
    pub actions: u32,
    /// Actions that were held for people.
    pub held: u32,
    /// Actions that were routed elsewhere.
    pub routed: u32,
    /// Actions that were denied.
    pub denied: u32,
    /// Actions that were settled as failed.
    #[serde(default, skip_serializing_if = "none")]
    pub failed: u32,
    /// How many of these told the same error, up to the last and without another between them.
    #[serde(default, skip_serializing_if = "none")]
    pub same_error: u32,
    /// The error that was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<str>>,
    /// What broke a rule ([`violates`]).
    #[serde(default, skip_serializing_if = "none")]
    pub violations: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn none(count: &u32) -> bool {
    *count == 0
}

impl Counts {
    /// Folds an action's event.
    pub fn hear(&mut self, event: &Event) {
        self.violations = self.violations.saturating_add(u32::from(violates(event)));
        let count = match event {
            Event::Allowed(_) => &mut self.actions,
            Event::Held(_) => &mut self.held,
            Event::Routed(_) => &mut self.routed,
            Event::Denied(_) => &mut self.denied,
            Event::Settled(e) if e.outcome == Outcome::Failed => {
                let error = e.error.as_ref().map(|error| error.0.as_str());
                let again = self.failed > 0 && self.error.as_deref() == error;
                self.same_error = if again { self.same_error.saturating_add(1) } else { 1 };
                self.error = error.map(Into::into);
                &mut self.failed
            }
            _ => return,
        };
        *count = count.saturating_add(1);
    }

    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u32 {
        let some = self.actions.saturating_add(self.held);
        some.saturating_add(self.routed).saturating_add(self.denied)
    }
}

/// Where an action stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// People are asked.
    Held(Box<Question>),
    /// Nobody answered in time; it can be asked again.
    Parked(Box<Question>),
    /// It may be done, and is to be settled.
    Allowed {
        /// What is reserved for it.
        held: Box<budget::Held>,
        /// When it was allowed.
        at: Time,
        /// By when it must be settled.
        until: Time,
    },
    /// Denied, routed, rejected, settled or lapsed.
    Over,
}

/// What a decision must know of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// The run that it is part of.
    pub run: RunId,
    /// The run's ticket.
    pub ticket: TicketId,
    /// The run's role.
    pub role: RoleId,
    /// Who proposed it.
    pub proposer: ActorId,
    /// The tool.
    pub tool: Label,
    /// What the tool is to do.
    pub action: Label,
    /// The most that it can cost.
    pub worst: Worst,
    /// Keyed digest of what was proposed.
    pub arguments_digest: KeyedDigest,
    /// Where it stands.
    pub stage: Stage,
}

/// What the decider's timer is to do next about an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wake {
    /// Park the question.
    Expire,
    /// Ask the next one.
    Escalate,
    /// Charge what nobody settled.
    Lapse,
}

impl Action {
    /// The moment that the timer must watch, and what it is to do then.
    #[must_use]
    pub fn watched(&self) -> Option<(Time, Wake)> {
        match &self.stage {
            Stage::Held(question) => Some(match question.escalates() {
                Some(at) => (at, Wake::Escalate),
                None => (question.asks.expires, Wake::Expire),
            }),
            Stage::Allowed { until, .. } => Some((*until, Wake::Lapse)),
            Stage::Parked(_) | Stage::Over => None,
        }
    }
}

/// The rules.
pub struct Actions;

fn own<'a>(facts: &Facts<'a>) -> Result<(&'a RunId, &'a Run), Refusal> {
    facts.allow(&[Part::Operator, Part::Worker])?;
    let (id, run) = facts.run.ok_or(Refusal::RunUnknown)?;
    if &run.worker != facts.actor && !facts.may(&[Part::Operator]) {
        return Err(Refusal::RunOfAnother);
    }
    Ok((id, run))
}

/// Whether anything may be asked for this run at all.
fn place<'a>(facts: &Facts<'a>) -> Result<Place<'a>, Refusal> {
    let run = own(facts)?;
    if run.1.ended {
        return Err(Refusal::RunEnded);
    }
    if run.1.counts.all() >= ACTIONS_PER_RUN {
        return Err(Refusal::RunsFull);
    }
    let ticket = facts.ticket.ok_or(Refusal::TicketUnknown)?;
    let role = facts.role.ok_or(Refusal::RoleUnknown)?;
    role.1.workable()?;
    Ok(Place { run, ticket, role })
}

/// Whether a policy is to be asked: what stands against an action whatever a policy says.
///
/// # Errors
/// The refusal that [`Decider::decide`] would give.
pub fn ready(action: Option<&Action>, facts: &Facts<'_>, command: &Command) -> Result<(), Refusal> {
    match command {
        Command::Resume(_) => resumable(action, facts).map(drop),
        _ => place(facts).map(drop),
    }
}

/// A question that everybody needed has agreed to, in time.
fn resumable<'a>(
    action: Option<&'a Action>,
    facts: &Facts<'_>,
) -> Result<(&'a Action, &'a Question), Refusal> {
    facts.allow(&[Part::Operator, Part::Worker])?;
    let action = action.ok_or(Refusal::ActionUnknown)?;
    place(facts)?;
    let question = open(action, facts)?;
    if question.answered(facts.directory) {
        Ok((action, question))
    } else {
        Err(Refusal::ApprovalMissing)
    }
}

/// The question that an answer is for, and in whose right it is given.
fn answer<'a>(
    action: Option<&'a Action>,
    facts: &Facts<'_>,
    id: &impl std::fmt::Display,
    yes: bool,
) -> Result<(&'a Question, Option<ActorId>), Refusal> {
    facts.allow(&[Part::Approver, Part::Operator, Part::Auditor])?;
    let action = action.ok_or(Refusal::ActionUnknown)?;
    let (question, involved) = (open(action, facts)?, involved(action, facts)?);
    let right = question.right(facts, &involved)?;
    if yes && question.agreed_to(facts.directory) {
        return Err(Refusal::ApprovalNotPending);
    }
    let entity = format!("action/{id}");
    if facts.answers(&entity, yes, question.position, &question.hash) {
        Ok((question, right))
    } else {
        Err(Refusal::ApprovalInvalid)
    }
}

/// The question that an action puts, if it can be answered now.
fn open<'a>(action: &'a Action, facts: &Facts<'_>) -> Result<&'a Question, Refusal> {
    match &action.stage {
        Stage::Held(question) if facts.now < question.asks.expires => Ok(question),
        Stage::Held(_) | Stage::Parked(_) => Err(Refusal::ApprovalExpired),
        Stage::Allowed { .. } | Stage::Over => Err(Refusal::ApprovalNotPending),
    }
}

fn involved<'a>(action: &'a Action, facts: &Facts<'a>) -> Result<Involved<'a>, Refusal> {
    let (_, run) = facts.run.ok_or(Refusal::RunUnknown)?;
    let ticket = facts.ticket.ok_or(Refusal::TicketUnknown)?;
    Ok(Involved { worker: &run.worker, proposer: &action.proposer, opener: &ticket.opened_by })
}

/// A person reaches the level that is asked for. Nobody does it in another's place: it is about who
/// is there.
fn step_up(action: Option<&Action>, facts: &Facts<'_>, c: StepUp) -> Result<Event, Refusal> {
    facts.allow(&[Part::Approver, Part::Operator])?;
    let action = action.ok_or(Refusal::ActionUnknown)?;
    let (question, involved) = (open(action, facts)?, involved(action, facts)?);
    question.may_step_up(facts, &involved)?;
    let asked = question.asks.level.ok_or(Refusal::AssertionNotAsked)?;
    if question.reached_level(facts.directory).is_some() {
        return Err(Refusal::AssertionNotAsked);
    }
    let entity = format!("action/{}", c.id);
    let given = facts.asserts(&entity, question.position, &question.hash);
    let given = given.ok_or(Refusal::AssertionInvalid)?;
    if given.level < asked || given.level > given.reach {
        return Err(Refusal::AssertionLevel);
    }
    Ok(Event::SteppedUp(SteppedUp { id: c.id, assertion: c.assertion, level: given.level }))
}

/// The action that the timer speaks of, if the moment it names is the one that is watched.
fn due<'a>(
    action: Option<&'a Action>,
    facts: &Facts<'_>,
    due: &Due,
    wake: Wake,
) -> Result<&'a Action, Refusal> {
    if !facts.timer {
        return Err(Refusal::NotAllowed);
    }
    let action = action.ok_or(Refusal::ActionUnknown)?;
    if action.watched() == Some((due.at, wake)) && due.at <= facts.now {
        Ok(action)
    } else {
        Err(Refusal::DeadlineNotPassed)
    }
}

fn propose(facts: &Facts<'_>, c: Propose) -> Result<Event, Refusal> {
    let place = place(facts)?;
    let judged = facts.judged?;
    let ticket = place.run.1.ticket.clone();
    let (tool, action, worst) = (c.tool, c.action, c.worst);
    let proposer = facts.actor;
    let weighed = Weighed { place, ticket, tool, action, worst, proposer, judged };
    Ok(weighed.conclude(facts, None))
}

fn resume(action: Option<&Action>, facts: &Facts<'_>) -> Result<Event, Refusal> {
    let (held, question) = resumable(action, facts)?;
    let judged = facts.judged?;
    if judged.arguments_digest != held.arguments_digest {
        return Err(Refusal::ApprovalArgumentsChanged);
    }
    let weighed = Weighed {
        place: place(facts)?,
        ticket: held.ticket.clone(),
        tool: held.tool.clone(),
        action: held.action.clone(),
        worst: held.worst.clone(),
        proposer: &held.proposer,
        judged,
    };
    Ok(weighed.conclude(facts, Some(question)))
}

fn settle(action: Option<&Action>, facts: &Facts<'_>, c: Settle) -> Result<Event, Refusal> {
    facts.allow(&[Part::Operator, Part::Worker])?;
    let action = action.ok_or(Refusal::ActionUnknown)?;
    own(facts)?;
    let Stage::Allowed { held, at, .. } = &action.stage else {
        return Err(Refusal::ActionNotOpen);
    };
    let settlement = budget::settle(held, &c.used);
    Ok(Event::Settled(Box::new(Settled {
        id: c.id,
        run: action.run.clone(),
        ticket: action.ticket.clone(),
        role: action.role.clone(),
        outcome: c.outcome,
        error: c.error,
        used: c.used,
        reserved: held.amount,
        charged: settlement.charged,
        refunded: settlement.refunded,
        overrun: settlement.overrun,
        allowed_at: *at,
    })))
}

fn lapse(action: Option<&Action>, facts: &Facts<'_>, c: Due) -> Result<Event, Refusal> {
    let action = due(action, facts, &c, Wake::Lapse)?;
    let Stage::Allowed { held, at, .. } = &action.stage else {
        return Err(Refusal::ActionNotOpen);
    };
    Ok(Event::Lapsed(Lapsed {
        id: c.id,
        at: c.at,
        run: action.run.clone(),
        ticket: action.ticket.clone(),
        role: action.role.clone(),
        charged: budget::lapse(held).charged,
        allowed_at: *at,
    }))
}

fn escalate(action: Option<&Action>, facts: &Facts<'_>, c: Due) -> Result<Event, Refusal> {
    let action = due(action, facts, &c, Wake::Escalate)?;
    let question = match &action.stage {
        Stage::Held(question) => question,
        _ => return Err(Refusal::DeadlineNotPassed),
    };
    let to = question.next().ok_or(Refusal::DeadlineNotPassed)?.clone();
    Ok(Event::Escalated(Escalated { id: c.id, at: c.at, to, step: question.escalated + 1 }))
}

fn ask_again(action: Option<&Action>, facts: &Facts<'_>, c: AskAgain) -> Result<Event, Refusal> {
    facts.allow(&[Part::Operator, Part::Worker])?;
    let action = action.ok_or(Refusal::ActionUnknown)?;
    place(facts)?;
    let Stage::Parked(question) = &action.stage else { return Err(Refusal::ActionNotParked) };
    let expires = Time(facts.now.0.saturating_add(question.life));
    Ok(Event::AskedAgain(AskedAgain { id: c.id, expires }))
}

impl Decider for Actions {
    type State = Action;
    type Command = Command;
    type Event = Event;

    fn decide(
        state: Option<&Action>,
        facts: &Facts<'_>,
        command: Command,
    ) -> Result<Event, Refusal> {
        match command {
            Command::Propose(c) => propose(facts, c),
            Command::Approve(c) => {
                let (question, right) = answer(state, facts, &c.id, true)?;
                Ok(Event::Approved(Approved {
                    id: c.id,
                    approval: c.approval,
                    of: question.needed(),
                    given: u16::try_from(question.given.len()).unwrap_or(u16::MAX - 1) + 1,
                    stood_in_for: right,
                }))
            }
            Command::Reject(c) => {
                let (_, stood_in_for) = answer(state, facts, &c.id, false)?;
                let (reason, approval) = (c.reason, c.approval);
                Ok(Event::Rejected(Rejected { id: c.id, reason, approval, stood_in_for }))
            }
            Command::StepUp(c) => step_up(state, facts, c),
            Command::Resume(_) => resume(state, facts),
            Command::AskAgain(c) => ask_again(state, facts, c),
            Command::Settle(c) => settle(state, facts, c),
            Command::Expire(c) => due(state, facts, &c, Wake::Expire).map(|_| Event::Expired(c)),
            Command::Escalate(c) => escalate(state, facts, c),
            Command::Lapse(c) => lapse(state, facts, c),
        }
    }

    fn evolve(state: Option<Action>, applied: &Applied<'_>, event: &Event) -> Option<Action> {
        match event {
            Event::Allowed(e) => {
                Some(begun(state, applied, &Begun::of_allowed(e), allowed(e, applied)))
            }
            Event::Held(e) => {
                let question = Box::new(Question::put(applied, &e.approvals));
                Some(begun(state, applied, &Begun::of_held(e), Stage::Held(question)))
            }
            Event::Routed(e) => Some(begun(state, applied, &Begun::of_routed(e), Stage::Over)),
            Event::Denied(e) => Some(begun(state, applied, &Begun::of_denied(e), Stage::Over)),
            later => state.map(|action| moved(action, applied, later)),
        }
    }
}

/// What a decided event says of a new action.
struct Begun<'a> {
    run: &'a RunId,
    ticket: &'a TicketId,
    role: &'a RoleId,
    tool: &'a Label,
    action: &'a Label,
    worst: &'a Worst,
    digest: &'a KeyedDigest,
}

macro_rules! begun_of {
    ($($name:ident($kind:ident)),*) => {impl<'a> Begun<'a> {$(
        fn $name(e: &'a $kind) -> Self {
            Self {
                run: &e.run,
                ticket: &e.ticket,
                role: &e.role,
                tool: &e.tool,
                action: &e.action,
                worst: &e.worst,
                digest: &e.arguments_digest,
            }
        }
    )*}};
}
begun_of!(of_allowed(Allowed), of_held(Held), of_routed(Routed), of_denied(Denied));

/// A new action, or one that was held and goes on: that keeps who proposed it.
fn begun(old: Option<Action>, applied: &Applied<'_>, e: &Begun<'_>, stage: Stage) -> Action {
    match old {
        Some(action) => Action { stage, ..action },
        None => Action {
            run: e.run.clone(),
            ticket: e.ticket.clone(),
            role: e.role.clone(),
            proposer: applied.actor.clone(),
            tool: e.tool.clone(),
            action: e.action.clone(),
            worst: e.worst.clone(),
            arguments_digest: e.digest.clone(),
            stage,
        },
    }
}

fn allowed(e: &Allowed, applied: &Applied<'_>) -> Stage {
    let held = budget::Held {
        worst: e.worst.clone(),
        cost: e.price.as_ref().map(Cost::from),
        amount: e.reserved,
        day: Day::of(applied.time),
    };
    Stage::Allowed { held: Box::new(held), at: applied.time, until: e.until }
}

fn moved(mut action: Action, applied: &Applied<'_>, event: &Event) -> Action {
    action.stage = match (action.stage, event) {
        (Stage::Held(mut question), Event::Approved(e)) => {
            question.given.push(Given {
                by: applied.actor.clone(),
                stood_in_for: e.stood_in_for.clone(),
                position: applied.position,
            });
            Stage::Held(question)
        }
        (Stage::Held(mut question), Event::SteppedUp(e)) => {
            let (by, position) = (applied.actor.clone(), applied.position);
            question.stepped = Some(Stepped { by, level: e.level, position });
            Stage::Held(question)
        }
        (Stage::Held(mut question), Event::Escalated(e)) => {
            question.escalated = e.step;
            Stage::Held(question)
        }
        (Stage::Held(question), Event::Expired(_)) => Stage::Parked(question),
        (Stage::Parked(question), Event::AskedAgain(e)) => {
            Stage::Held(Box::new(question.put_again(applied, e.expires)))
        }
        (Stage::Held(_), Event::Rejected(_))
        | (Stage::Allowed { .. }, Event::Settled(_) | Event::Lapsed(_)) => Stage::Over,
        (stage, _) => stage,
    };
    action
}

/// How an account folds an action's event.
pub fn book(account: &mut Account, applied: &Applied<'_>, event: &Event) {
    match event {
        Event::Allowed(e) => account.hold(&e.reserved, Day::of(applied.time)),
        Event::Settled(e) => account.release(&e.reserved, &e.charged, Day::of(e.allowed_at)),
        Event::Lapsed(e) => account.release(&e.charged, &e.charged, Day::of(e.allowed_at)),
        Event::Held(_)
        | Event::Routed(_)
        | Event::Denied(_)
        | Event::Approved(_)
        | Event::Rejected(_)
        | Event::SteppedUp(_)
        | Event::AskedAgain(_)
        | Event::Expired(_)
        | Event::Escalated(_) => {}
    }
}
