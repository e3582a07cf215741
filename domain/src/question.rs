//! The question that a held action puts to people: who may answer, who has, and when it ends.
//!
//! *Invariant:* each person counts once, for themselves or for one other; an answer names the
//! position and hash of the record that put the question last.

use canonry_schemas::decision::Approvals;
use canonry_schemas::ids::ActorId;
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::text::Label;
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

/// Whether a member may answer in their own right: named by the policy, or of the part that it
/// names; a worker never.
fn named(asks: &Approvals, directory: &Directory, actor: &ActorId) -> bool {
    let Some(member) = directory.member(actor).filter(|m| !m.removed) else { return false };
    if member.parts.contains(&Part::Worker) {
        return false;
    }
    let part = asks.part.or(asks.from.is_none().then_some(Part::Approver));
    let by_part = part.is_some_and(|part| member.parts.contains(&part))
        || (part.is_some() && member.parts.contains(&Part::Founder));
    by_part || asks.from.as_ref().is_some_and(|from| from.contains(actor))
}

/// How many may answer a question in their own right.
#[must_use]
pub fn approvers(asks: &Approvals, directory: &Directory, involved: &Involved<'_>) -> usize {
    let may = |actor: &ActorId| {
        named(asks, directory, actor) && !(asks.four_eyes && involved.is(actor))
    };
    directory.members().filter(|(actor, _)| may(actor)).count()
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

    /// Whether everybody who is needed has agreed.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.given.len() >= usize::from(self.asks.needed)
    }

    /// Whether this member may answer in their own right: also those whom the escalation reached.
    fn may(&self, directory: &Directory, actor: &ActorId) -> bool {
        let reached = self.asks.escalation.iter().take(usize::from(self.escalated));
        let there = || {
            let member = directory.member(actor).filter(|m| !m.removed);
            member.is_some_and(|m| !m.parts.contains(&Part::Worker))
        };
        named(&self.asks, directory, actor) || (reached.clone().any(|a| a == actor) && there())
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
        let counted = |actor: &ActorId| {
            self.given.iter().any(|g| &g.by == actor || g.right() == actor)
        };
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
        // Whom the escalation reached agreed in the place of those who did not answer.
        let reached: Vec<&ActorId> =
            self.asks.escalation.iter().take(usize::from(self.escalated)).collect();
        let counts = |given: &&Given| {
            let right = given.right();
            let out = asks.four_eyes && (involved.is(&given.by) || involved.is(right));
            !out && (named(asks, directory, right) || reached.contains(&right))
        };
        let given = self.given.iter().filter(counts).count();
        given >= usize::from(asks.needed) && self.level_reached(asks.level.as_ref())
    }

    fn level_reached(&self, level: Option<&Label>) -> bool {
        // Nobody steps up yet: a level that is asked for was not reached.
        level.is_none()
    }
}
