//! The question that a held action puts to people: who may answer, who has, and when it ends.
//!
//! *Invariant:* each person counts once, for themselves or for one other; an answer names the
//! position and hash of the record that put the question last.

use canonry_schemas::decision::{Approvals, Group};
use canonry_schemas::ids::ActorId;
use canonry_schemas::limits::APPROVERS;
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::time::Time;
use serde::{Deserialize, Serialize};

use crate::directory::Directory;
use crate::facts::{Applied, Facts};

/// One yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Who answered.
    pub by: ActorId,
    /// For whom they stood in.
    pub stood_in_for: Option<ActorId>,
    /// Position of the answer.
    pub position: u64,
}

impl Given {
    /// In whose right the answer was given.
    #[must_use]
    pub fn right(&self) -> &ActorId {
        self.stood_in_for.as_ref().unwrap_or(&self.by)
    }
}

/// That somebody showed again who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stepped {
    /// Who.
    pub by: ActorId,
    /// The level that they reached.
    pub level: u8,
    /// Position of the record that says so.
    pub position: u64,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Position of the record that put it last.
    pub position: u64,
    /// That record's hash, hex.
    pub hash: String,
    /// When that was.
    pub put: Time,
    /// Who must agree; `expires` is that of the last time it was put.
    pub asks: Approvals,
    /// How long it is open each time, microseconds.
    pub life: i64,
    /// How many of the escalation were asked too.
    pub escalated: u16,
    /// Who has agreed.
    pub given: Vec<Given>,
    /// Who has stepped up.
    #[serde(default)]
    pub stepped: Option<Stepped>,
}

/// Those who have to do with an action: with four eyes none of them answers.
#[derive(Debug, Clone, Copy)]
pub struct Involved<'a> {
    /// Whose run it is.
    pub worker: &'a ActorId,
    /// Who proposed it.
    pub proposer: &'a ActorId,
    /// Who opened the ticket.
    pub opener: &'a ActorId,
}

impl Involved<'_> {
    fn is(&self, actor: &ActorId) -> bool {
        actor == self.worker || actor == self.proposer || actor == self.opener
    }
}

/// Whether a member is of a group: named in it, or of its part; a worker never.
fn belongs(group: &Group, directory: &Directory, actor: &ActorId) -> bool {
    let Some(member) = directory.member(actor).filter(|m| !m.removed) else { return false };
    if member.parts.contains(&Part::Worker) {
        return false;
    }
    let part = group
        .part
        .is_some_and(|part| member.parts.contains(&part) || member.parts.contains(&Part::Founder));
    part || group.from.as_ref().is_some_and(|from| from.contains(actor))
}

/// Whether a member is one of those who step up where a policy names no groups: whoever answers for
/// what is done, never a worker.
fn answers_for(directory: &Directory, actor: &ActorId) -> bool {
    let member = directory.member(actor).filter(|m| !m.removed && !m.parts.contains(&Part::Worker));
    let parts = [Part::Founder, Part::Approver, Part::Operator];
    member.is_some_and(|m| m.parts.iter().any(|part| parts.contains(part)))
}

/// Whether a member may step up, by part and group; whom the escalation reached comes on top.
fn steps_up(asks: &Approvals, directory: &Directory, actor: &ActorId) -> bool {
    let asked = || asks.groups.iter().any(|group| belongs(group, directory, actor));
    answers_for(directory, actor) && (asks.groups.is_empty() || asked())
}

/// Whether there are people enough to answer a question, group by group, and one whose key reaches
/// the level. `reaches` names the level of each member's keys.
#[must_use]
pub fn answerable(
    asks: &Approvals,
    directory: &Directory,
    involved: &Involved<'_>,
    reaches: &[(ActorId, u8)],
) -> bool {
    let enough = |group: &Group| {
        let may = |actor: &ActorId| {
            belongs(group, directory, actor) && !(asks.four_eyes && involved.is(actor))
        };
        let there = directory.members().filter(|(actor, _)| may(actor)).count();
        there >= usize::from(group.needed) && group.needed <= APPROVERS
    };
    let steps = |(actor, reach): &(ActorId, u8), level: u8| {
        *reach >= level
            && (steps_up(asks, directory, actor)
                || (asks.escalation.contains(actor) && answers_for(directory, actor)))
            && !(asks.four_eyes && involved.is(actor))
    };
    let reached = asks.level.is_none_or(|level| reaches.iter().any(|key| steps(key, level)));
    let asked = !asks.groups.is_empty() || asks.level.is_some();
    let few = asks.groups.len() <= usize::from(APPROVERS);
    asked && few && asks.groups.iter().all(enough) && reached
}

impl Question {
    /// As it is put by a record.
    #[must_use]
    pub fn put(applied: &Applied<'_>, asks: &Approvals) -> Self {
        Self {
            position: applied.position,
            hash: applied.hash.to_owned(),
            put: applied.time,
            life: asks.expires.0.saturating_sub(applied.time.0),
            asks: asks.clone(),
            escalated: 0,
            given: Vec::new(),
            stepped: None,
        }
    }

    /// As it is put again: nobody has answered yet.
    #[must_use]
    pub fn put_again(self, applied: &Applied<'_>, expires: Time) -> Self {
        let asks = Approvals { expires, ..self.asks };
        Self { life: self.life, ..Self::put(applied, &asks) }
    }

    /// When somebody else is to be asked too; none when it ends before.
    #[must_use]
    pub fn escalates(&self) -> Option<Time> {
        let after = i64::from(self.asks.escalate_after_seconds?).saturating_mul(1_000_000);
        let step = i64::from(self.escalated) + 1;
        self.asks.escalation.get(usize::from(self.escalated))?;
        let at = Time(self.put.0.saturating_add(after.saturating_mul(step)));
        (at < self.asks.expires).then_some(at)
    }

    /// Who is to be asked next.
    #[must_use]
    pub fn next(&self) -> Option<&ActorId> {
        self.asks.escalation.get(usize::from(self.escalated))
    }

    /// Whether every group has agreed.
    #[must_use]
    pub fn agreed_to(&self, directory: &Directory) -> bool {
        self.asks.groups.iter().all(|group| self.agreed(group, directory, |_| true))
    }

    /// Whether all that was asked for is there: every group has agreed, and the level was reached.
    #[must_use]
    pub fn answered(&self, directory: &Directory) -> bool {
        let level = self.asks.level;
        self.agreed_to(directory) && (level.is_none() || self.reached_level(directory) >= level)
    }

    /// The level that was reached, by somebody who still may.
    #[must_use]
    pub fn reached_level(&self, directory: &Directory) -> Option<u8> {
        let stepped = self.stepped.as_ref()?;
        self.lets_step_up(directory, &stepped.by).then_some(stepped.level)
    }

    fn lets_step_up(&self, directory: &Directory, actor: &ActorId) -> bool {
        steps_up(&self.asks, directory, actor)
            || (self.reached(actor) && answers_for(directory, actor))
    }

    /// Whether the actor may step up for it.
    ///
    /// # Errors
    /// `self-approval`, `not-an-approver`.
    pub fn may_step_up(&self, facts: &Facts<'_>, involved: &Involved<'_>) -> Result<(), Refusal> {
        if self.asks.four_eyes && involved.is(facts.actor) {
            return Err(Refusal::SelfApproval);
        }
        let may = self.lets_step_up(facts.directory, facts.actor);
        if may { Ok(()) } else { Err(Refusal::NotAnApprover) }
    }

    /// Positions of the answers that an allowance rests on, ascending.
    #[must_use]
    pub fn rests_on(&self) -> Vec<u64> {
        let given = self.given.iter().map(|given| given.position);
        let mut all: Vec<u64> = given.chain(self.stepped.iter().map(|s| s.position)).collect();
        all.sort_unstable();
        all
    }

    /// How many must agree, of all groups together.
    #[must_use]
    pub fn needed(&self) -> u16 {
        self.asks.groups.iter().fold(0, |sum, group| sum.saturating_add(group.needed))
    }

    /// Those whom the escalation reached: they answer in the place of whoever did not.
    fn reached(&self, actor: &ActorId) -> bool {
        self.asks.escalation.iter().take(usize::from(self.escalated)).any(|a| a == actor)
    }

    /// Whether enough of a group have agreed: each person counts in each group that they are of.
    fn agreed(
        &self,
        group: &Group,
        directory: &Directory,
        counts: impl Fn(&Given) -> bool,
    ) -> bool {
        let of = |given: &&Given| {
            belongs(group, directory, given.right()) || self.reached(given.right())
        };
        let given = self.given.iter().filter(of).filter(|given| counts(given)).count();
        given >= usize::from(group.needed)
    }

    /// Whether this member may answer in their own right: also those whom the escalation reached.
    fn may(&self, directory: &Directory, actor: &ActorId) -> bool {
        let there = || {
            let member = directory.member(actor).filter(|m| !m.removed);
            member.is_some_and(|m| !m.parts.contains(&Part::Worker))
        };
        // Where nobody is to agree, those who may step up may still say no.
        (self.asks.groups.is_empty() && steps_up(&self.asks, directory, actor))
            || self.asks.groups.iter().any(|group| belongs(group, directory, actor))
            || (self.reached(actor) && there())
    }

    /// In whose right the actor answers: their own, or that of one who delegated to them.
    ///
    /// # Errors
    /// `self-approval`, `approval-twice`, `not-an-approver`.
    pub fn right(
        &self,
        facts: &Facts<'_>,
        involved: &Involved<'_>,
    ) -> Result<Option<ActorId>, Refusal> {
        let out = |actor: &ActorId| self.asks.four_eyes && involved.is(actor);
        if out(facts.actor) {
            return Err(Refusal::SelfApproval);
        }
        let counted =
            |actor: &ActorId| self.given.iter().any(|g| &g.by == actor || g.right() == actor);
        if counted(facts.actor) {
            return Err(Refusal::ApprovalTwice);
        }
        if self.may(facts.directory, facts.actor) {
            return Ok(None);
        }
        let absent = facts.directory.delegators(facts.actor, facts.now);
        let mut absent = absent.filter(|a| self.may(facts.directory, a) && !out(a)).peekable();
        absent.peek().ok_or(Refusal::NotAnApprover)?;
        let free = absent.find(|actor| !counted(actor));
        free.map(|actor| Some(actor.clone())).ok_or(Refusal::ApprovalTwice)
    }

    /// Whether what was agreed to is enough for what a policy asks now: as many of those whom it
    /// names, and the level that was reached.
    #[must_use]
    pub fn satisfies(
        &self,
        asks: &Approvals,
        directory: &Directory,
        involved: &Involved<'_>,
    ) -> bool {
        let counts = |given: &Given| {
            !(asks.four_eyes && (involved.is(&given.by) || involved.is(given.right())))
        };
        asks.groups.iter().all(|group| self.agreed(group, directory, counts))
            && asks.level.is_none_or(|level| {
                let by = self.stepped.as_ref().map(|stepped| &stepped.by);
                let out = by.is_some_and(|by| asks.four_eyes && involved.is(by));
                !out && self.reached_level(directory) >= Some(level)
            })
    }
}
