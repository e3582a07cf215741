//! From what a policy said to one fact about an action: denied, routed, held for people, or allowed
//! with room on every account. Stages of an action are in [`crate::action`].

use canonry_schemas::action::{Allowed, Denied, Event, Held, Routed};
use canonry_schemas::budget::{Line, ModelPrice, Worst};
use canonry_schemas::decision::{Approvals, Decision, Group, Route};
use canonry_schemas::ids::{ActorId, KeyedDigest, Position, RoleId, RunId, TicketId};
use canonry_schemas::limits::{ACTION_GRACE, ACTION_WALL, ACTION_WALL_MOST, QUESTION_LIFE};
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Denial;
use canonry_schemas::text::{Content, Label};
use canonry_schemas::tier::Policy;
use canonry_schemas::time::Time;

use crate::books::Books;
use crate::budget::{self, Accounts};
use crate::facts::Facts;
use crate::prices::{self, Unpriced};
use crate::question::{Involved, Question, answerable};
use crate::role::Role;
use crate::run::Run;
use crate::ticket::Ticket;

/// What policies call the parts of members.
const PARTS: [(&str, Part); 4] = [
    ("founder", Part::Founder),
    ("approver", Part::Approver),
    ("operator", Part::Operator),
    ("auditor", Part::Auditor),
];
/// What policies call those whom a role's escalation names.
const ESCALATION: &str = "escalation";

/// What a policy asks of people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// So many of each group, by the name that the policy has for it.
    pub groups: Vec<(u32, Label)>,
    /// Whether whoever has to do with the action is left out.
    pub four_eyes: bool,
    /// The level that somebody must step up to.
    pub level: Option<u8>,
    /// How long the question is open.
    pub life_seconds: Option<u32>,
    /// After how long, each time, the next one is asked.
    pub escalate_after_seconds: Option<u32>,
}

/// What follows from a policy's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It may be done.
    Allow,
    /// It may not.
    Deny(Denial),
    /// Not now.
    Throttle {
        /// When to try again.
        after_seconds: u32,
    },
    /// People are asked first.
    Ask(Ask),
    /// It belongs elsewhere.
    Route(Vec<Route>),
}

/// What the policy said about an action, and the digests of what it saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// As it stands in the record.
    pub decision: Decision,
    /// What follows.
    pub ruling: Ruling,
    /// Keyed digest of tool, action and arguments.
    pub arguments_digest: KeyedDigest,
    /// Keyed digest of the input.
    pub input_digest: KeyedDigest,
    /// The input, sealed.
    pub input: Content,
}

/// Where an action belongs.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The run.
    pub run: (&'a RunId, &'a Run),
    /// Its ticket.
    pub ticket: &'a Ticket,
    /// Its role.
    pub role: (&'a RoleId, &'a Role),
}

/// What was proposed, where it belongs, and what the policy says of it.
pub(crate) struct Weighed<'a> {
    /// Where it belongs.
    pub place: Place<'a>,
    /// The ticket's id.
    pub ticket: TicketId,
    /// The tool.
    pub tool: Label,
    /// What the tool is to do.
    pub action: Label,
    /// The most that it can cost.
    pub worst: Worst,
    /// Who proposed it.
    pub proposer: &'a ActorId,
    /// What the policy said.
    pub judged: &'a Judged,
}

/// One of the four decided events: what they have in common, and what it has besides.
macro_rules! decided {
    ($kind:ident, $w:expr, { $($field:ident: $value:expr),* $(,)? }) => {
        Event::$kind(Box::new($kind {
            run: $w.place.run.0.clone(),
            ticket: $w.ticket,
            role: $w.place.role.0.clone(),
            tool: $w.tool,
            action: $w.action,
            worst: $w.worst,
            arguments_digest: $w.judged.arguments_digest.clone(),
            input_digest: $w.judged.input_digest.clone(),
            input: $w.judged.input.clone(),
            decision: $w.judged.decision.clone(),
            $($field: $value),*
        }))
    };
}

impl Weighed<'_> {
    fn deny(self, why: Denial) -> Event {
        self.no(why, None, None)
    }

    fn no(self, why: Denial, retry: Option<u32>, exceeded: Option<&Line>) -> Event {
        let (code, exceeded) = (Label(why.code().to_owned()), exceeded.map(label));
        decided!(Denied, self, { code: code, retry_after_seconds: retry, exceeded: exceeded })
    }

    /// The one event that comes of it. What people agreed to is there where it was asked before.
    pub fn conclude(self, facts: &Facts<'_>, agreed: Option<&Question>) -> Event {
        if !self.place.role.1.tools.contains(&self.tool) {
            return self.deny(Denial::ToolNotAllowed);
        }
        if !Policy::of(self.place.role.1.tier).may_act(&self.tool.0, &self.action.0) {
            return self.deny(Denial::TierTooLow);
        }
        let judged = self.judged;
        match (&judged.ruling, agreed) {
            (Ruling::Deny(why), _) => self.deny(*why),
            (Ruling::Throttle { after_seconds }, _) => {
                self.no(Denial::PolicyThrottled, Some(*after_seconds), None)
            }
            (Ruling::Route(to), _) => decided!(Routed, self, { to: to.clone() }),
            (Ruling::Allow, agreed) => self.allow(facts, agreed),
            (Ruling::Ask(ask), None) => self.hold(facts, ask),
            (Ruling::Ask(ask), Some(question)) => {
                let asks = self.approvals(facts, ask);
                if question.satisfies(&asks, facts.directory, &self.involved()) {
                    self.allow(facts, agreed)
                } else {
                    self.deny(Denial::ApprovalInsufficient)
                }
            }
        }
    }

    fn involved(&self) -> Involved<'_> {
        Involved {
            worker: &self.place.run.1.worker,
            proposer: self.proposer,
            opener: &self.place.ticket.opened_by,
        }
    }

    fn approvals(&self, facts: &Facts<'_>, ask: &Ask) -> Approvals {
        let (usual, most) = QUESTION_LIFE;
        let seconds = ask.life_seconds.unwrap_or(usual).clamp(1, most);
        let expires = Time(facts.now.0.saturating_add(i64::from(seconds) * 1_000_000));
        let escalation = match ask.escalate_after_seconds {
            Some(_) => self.place.role.1.escalation.clone(),
            None => Vec::new(),
        };
        Approvals {
            groups: ask.groups.iter().map(|(needed, name)| self.group(*needed, name)).collect(),
            four_eyes: ask.four_eyes,
            level: ask.level,
            expires,
            escalate_after_seconds: ask.escalate_after_seconds.map(|s| s.clamp(1, most)),
            escalation,
        }
    }

    /// Whom a policy means: a part, the role's escalation, or one member; else nobody.
    fn group(&self, needed: u32, name: &Label) -> Group {
        let part = PARTS.iter().find(|(word, _)| *word == name.0).map(|(_, part)| *part);
        let from = match part {
            Some(_) => None,
            None if name.0 == ESCALATION => Some(self.place.role.1.escalation.clone()),
            None => Some(name.0.parse().into_iter().collect()),
        };
        let needed = u16::try_from(needed).unwrap_or(u16::MAX);
        Group { needed, name: name.clone(), part, from }
    }

    fn hold(self, facts: &Facts<'_>, ask: &Ask) -> Event {
        let approvals = self.approvals(facts, ask);
        let involved = self.involved();
        if answerable(&approvals, facts.directory, &involved, facts.reaches) {
            decided!(Held, self, { approvals: approvals })
        } else {
            self.deny(Denial::ApproversNone)
        }
    }

    fn allow(self, facts: &Facts<'_>, agreed: Option<&Question>) -> Event {
        let none = Books::default();
        let books = facts.books.unwrap_or(&none);
        let priced = prices::worst(books.prices.as_ref(), &self.worst);
        let (need, cost) = match priced {
            Ok(priced) => priced,
            Err(Unpriced::Unknown) => return self.deny(Denial::PriceUnknown),
            Err(Unpriced::TooMuch) => return self.deny(Denial::BudgetExceeded),
        };
        let (role_id, role) = self.place.role;
        let (run_id, run) = self.place.run;
        let accounts = Accounts {
            tenant: &books.account,
            role: (role_id, &role.account, &role.budget),
            ticket: (&self.ticket, &self.place.ticket.account),
            run: (run_id, &run.account),
        };
        let reserved = match budget::reserve(&accounts, &need, facts.now) {
            Ok(reserved) => reserved,
            Err(exceeded) => return self.no(Denial::BudgetExceeded, None, Some(&exceeded.0)),
        };
        let price = self.worst.model.clone().zip(cost).map(|(model, cost)| ModelPrice {
            model,
            input_micros_per_million_tokens: cost.input,
            output_micros_per_million_tokens: cost.output,
        });
        let table = price.as_ref().and(books.prices.as_ref());
        let until = until(facts.now, self.worst.wall_seconds);
        let approved_by = agreed.map(Question::rests_on).unwrap_or_default();
        decided!(Allowed, self, {
            reserved: reserved.amount,
            prices: table.map(|prices| Position::of(prices.position)),
            price: price,
            warnings: reserved.warnings.iter().map(label).collect(),
            until: until,
            approved_by: approved_by.into_iter().map(Position::of).collect(),
        })
    }
}

/// A limit, as it stands in a record.
fn label(line: &Line) -> Label {
    Label(line.to_string())
}

/// By when an action that may take so long on the wall must be settled.
fn until(now: Time, wall_seconds: Option<u32>) -> Time {
    let wall =
        wall_seconds.map_or(ACTION_WALL.as_secs(), u64::from).min(ACTION_WALL_MOST.as_secs());
    let seconds = i64::try_from(wall + ACTION_GRACE.as_secs()).unwrap_or(i64::MAX);
    Time(now.0.saturating_add(seconds.saturating_mul(1_000_000)))
}
