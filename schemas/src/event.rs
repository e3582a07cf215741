//! All aggregates together: one command type, one event type, and the content inside.

use serde_json::Value;

use crate::refusal::Denial;
use crate::text::Content;
use crate::{
    action, actor, budget, content, evidence, ext, lease, member, policy, role, run, tenant,
    ticket, tier,
};

/// A command of any aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Of the tenant.
    Tenant(tenant::Command),
    /// Of content, whatever its entity.
    Content(content::Command),
    /// Of a member.
    Member(member::Command),
    /// Of a role.
    Role(role::Command),
    /// Of a ticket.
    Ticket(ticket::Command),
    /// Of a run.
    Run(run::Command),
    /// Of a custom record type.
    Ext(ext::Command),
    /// Of evidence.
    Evidence(evidence::Command),
    /// Of the tenant's policy.
    Policy(policy::Command),
    /// Of an action.
    Action(action::Command),
    /// Of budgets and prices.
    Budget(budget::Command),
    /// Of a worker's lease.
    Lease(lease::Command),
    /// Of trust tiers.
    Tier(tier::Command),
}

/// Why no command came of a subject and a body.
#[derive(Debug)]
pub enum NotACommand {
    /// No such aggregate or verb.
    Unknown,
    /// The body does not fit.
    Body(serde_json::Error),
}

impl Command {
    /// Reads a command.
    ///
    /// # Errors
    /// No such aggregate or verb, or a body that does not fit.
    pub fn parse(aggregate: &str, verb: &str, body: Value) -> Result<Self, NotACommand> {
        let parsed = match aggregate {
            "tenant" => tenant::Command::parse(verb, body).map(|r| r.map(Self::Tenant)),
            "content" => content::Command::parse(verb, body).map(|r| r.map(Self::Content)),
            "member" => member::Command::parse(verb, body).map(|r| r.map(Self::Member)),
            "role" => role::Command::parse(verb, body).map(|r| r.map(Self::Role)),
            "ticket" => ticket::Command::parse(verb, body).map(|r| r.map(Self::Ticket)),
            "run" => run::Command::parse(verb, body).map(|r| r.map(Self::Run)),
            "ext" => ext::Command::parse(verb, body).map(|r| r.map(Self::Ext)),
            "evidence" => evidence::Command::parse(verb, body).map(|r| r.map(Self::Evidence)),
            "policy" => policy::Command::parse(verb, body).map(|r| r.map(Self::Policy)),
            "action" => action::Command::parse(verb, body).map(|r| r.map(Self::Action)),
            "budget" => budget::Command::parse(verb, body).map(|r| r.map(Self::Budget)),
            "lease" => lease::Command::parse(verb, body).map(|r| r.map(Self::Lease)),
            "tier" => tier::Command::parse(verb, body).map(|r| r.map(Self::Tier)),
            _ => None,
        };
        parsed.ok_or(NotACommand::Unknown)?.map_err(NotACommand::Body)
    }

    /// The aggregate and verb.
    #[must_use]
    pub const fn name(&self) -> (&'static str, &'static str) {
        match self {
            Self::Tenant(c) => ("tenant", c.verb()),
            Self::Content(c) => ("content", c.verb()),
            Self::Member(c) => ("member", c.verb()),
            Self::Role(c) => ("role", c.verb()),
            Self::Ticket(c) => ("ticket", c.verb()),
            Self::Run(c) => ("run", c.verb()),
            Self::Ext(c) => ("ext", c.verb()),
            Self::Evidence(c) => ("evidence", c.verb()),
            Self::Policy(c) => ("policy", c.verb()),
            Self::Action(c) => ("action", c.verb()),
            Self::Budget(c) => ("budget", c.verb()),
            Self::Lease(c) => ("lease", c.verb()),
            Self::Tier(c) => ("tier", c.verb()),
        }
    }

    /// Every aggregate with its verbs and the schema of each body.
    #[must_use]
    pub fn schemas() -> Vec<(&'static str, &'static str, schemars::Schema)> {
        let all = [
            ("tenant", tenant::Command::schemas()),
            ("content", content::Command::schemas()),
            ("member", member::Command::schemas()),
            ("role", role::Command::schemas()),
            ("ticket", ticket::Command::schemas()),
            ("run", run::Command::schemas()),
            ("ext", ext::Command::schemas()),
            ("evidence", evidence::Command::schemas()),
            ("policy", policy::Command::schemas()),
            ("action", action::Command::schemas()),
            ("budget", budget::Command::schemas()),
            ("lease", lease::Command::schemas()),
            ("tier", tier::Command::schemas()),
        ];
        all.into_iter()
            .flat_map(|(a, v)| v.into_iter().map(move |(verb, s)| (a, verb, s)))
            .collect()
    }

    /// Whether only a founder may send it.
    #[must_use]
    pub const fn founder_only(&self) -> bool {
        use member::Command as M;
        use role::Command as R;
        match self {
            Self::Tenant(_)
            | Self::Content(_)
            | Self::Policy(_)
            | Self::Budget(_)
            | Self::Tier(_) => true,
            Self::Role(c) => matches!(c, R::Hire(_) | R::Amend(_) | R::Resume(_) | R::Retire(_)),
            Self::Member(c) => matches!(c, M::Enrol(_) | M::Remove(_)),
            // To lift the need for an approval opens the gate; to demand one does not.
            Self::Ticket(ticket::Command::Amend(c)) => matches!(c.approval_required, Some(false)),
            Self::Ext(c) => matches!(c, ext::Command::Register(_)),
            Self::Ticket(_)
            | Self::Run(_)
            | Self::Evidence(_)
            | Self::Action(_)
            | Self::Lease(_) => false,
        }
    }

    /// Whether it must come with a request-bound token.
    #[must_use]
    pub const fn request_bound(&self) -> bool {
        use action::Command as A;
        use ticket::Command as T;
        self.founder_only()
            || matches!(self, Self::Member(_))
            || matches!(self, Self::Ticket(T::Approve(_) | T::Reject(_)))
            || matches!(self, Self::Action(A::Approve(_) | A::Reject(_) | A::StepUp(_)))
    }

    /// The content fields, with their JSON pointers in the body. What is content in the data of a
    /// custom type only its registered schema says: [`crate::kind::Compiled::content`].
    pub fn content(&mut self) -> Vec<(&'static str, &mut Content)> {
        match self {
            Self::Member(member::Command::Enrol(c)) => content([("/name", c.name.as_mut())]),
            Self::Member(member::Command::Remove(c)) => content([("/reason", c.reason.as_mut())]),
            Self::Member(member::Command::Delegate(c)) => content([("/reason", c.reason.as_mut())]),
            Self::Member(member::Command::EndDelegation(c)) => {
                content([("/reason", c.reason.as_mut())])
            }
            Self::Member(member::Command::RotateKeys(_)) | Self::Tenant(_) | Self::Content(_) => {
                Vec::new()
            }
            Self::Role(c) => match c {
                role::Command::Hire(_)
                | role::Command::Amend(_)
                | role::Command::Fingerprint(_)
                | role::Command::Review(_) => Vec::new(),
                role::Command::Pause(c) | role::Command::Resume(c) | role::Command::Retire(c) => {
                    content([("/reason", c.reason.as_mut())])
                }
            },
            Self::Ticket(c) => match c {
                ticket::Command::Open(c) => {
                    content([("/title", Some(&mut c.title)), ("/note", c.note.as_mut())])
                }
                ticket::Command::Amend(c) => {
                    content([("/title", c.title.as_mut()), ("/note", c.note.as_mut())])
                }
                ticket::Command::RequestApproval(c) => content([("/reason", Some(&mut c.reason))]),
                ticket::Command::Reject(c) => content([("/reason", Some(&mut c.reason))]),
                ticket::Command::Complete(c) => content([("/result", c.result.as_mut())]),
                ticket::Command::Reopen(c) | ticket::Command::Cancel(c) => {
                    content([("/reason", c.reason.as_mut())])
                }
                ticket::Command::Assign(_)
                | ticket::Command::Approve(_)
                | ticket::Command::Start(_)
                | ticket::Command::Breach(_) => Vec::new(),
            },
            Self::Run(c) => match c {
                run::Command::Start(_) => Vec::new(),
                run::Command::RecordStep(c) => content([("/summary", c.summary.as_mut())]),
                run::Command::Complete(c) | run::Command::Fail(c) | run::Command::Cancel(c) => {
                    content([("/reason", c.reason.as_mut())])
                }
            },
            // The arguments of an action are no field of its record: see `Event::content`.
            Self::Action(action::Command::Reject(c)) => content([("/reason", c.reason.as_mut())]),
            Self::Ext(_)
            | Self::Policy(_)
            | Self::Action(_)
            | Self::Budget(_)
            | Self::Lease(_)
            | Self::Tier(_) => Vec::new(),
            Self::Evidence(evidence::Command::Attach(c)) => {
                content([("/secret", Some(&mut c.secret)), ("/name", c.name.as_mut())])
            }
        }
    }
}

impl Event {
    /// The content fields, as they stand in the record: sealed. No other text of a record is
    /// content, whatever it looks like; in the data of a custom type nothing else may look so.
    #[must_use]
    pub fn content(&self) -> Vec<&str> {
        let found: [Option<&Content>; 2] = match self {
            Self::Member(member::Event::Enrolled(e)) => [e.name.as_ref(), None],
            Self::Member(member::Event::Removed(e)) => [e.reason.as_ref(), None],
            Self::Member(member::Event::Delegated(e)) => [e.reason.as_ref(), None],
            Self::Member(member::Event::DelegationEnded(e)) => [e.reason.as_ref(), None],
            Self::Role(
                role::Event::Paused(e) | role::Event::Resumed(e) | role::Event::Retired(e),
            ) => [e.reason.as_ref(), None],
            Self::Ticket(e) => match e {
                ticket::Event::Opened(e) => [Some(&e.title), e.note.as_ref()],
                ticket::Event::Amended(e) => [e.title.as_ref(), e.note.as_ref()],
                ticket::Event::ApprovalRequested(e) => [Some(&e.reason), None],
                ticket::Event::Rejected(e) => [Some(&e.reason), None],
                ticket::Event::Completed(e) => [e.result.as_ref(), None],
                ticket::Event::Reopened(e) | ticket::Event::Cancelled(e) => {
                    [e.reason.as_ref(), None]
                }
                ticket::Event::Assigned(_)
                | ticket::Event::Approved(_)
                | ticket::Event::Started(_)
                | ticket::Event::DeadlineBreached(_) => [None, None],
            },
            Self::Run(e) => match e {
                run::Event::Started(_) => [None, None],
                run::Event::StepRecorded(e) => [e.summary.as_ref(), None],
                run::Event::Completed(e) | run::Event::Failed(e) | run::Event::Cancelled(e) => {
                    [e.reason.as_ref(), None]
                }
            },
            Self::Ext(ext::Event::Appended(e)) => return e.data.sealed(),
            Self::Evidence(evidence::Event::Attached(e)) => [Some(&e.secret), e.name.as_ref()],
            Self::Action(e) => match e {
                action::Event::Rejected(e) => [e.reason.as_ref(), None],
                // Made by the decider: the command had the arguments alone.
                e => [e.input(), None],
            },
            Self::Policy(_)
            | Self::Budget(_)
            | Self::Ext(ext::Event::Registered(_))
            | Self::Member(member::Event::KeysRotated(_))
            | Self::Role(
                role::Event::Hired(_)
                | role::Event::Amended(_)
                | role::Event::Fingerprinted(_)
                | role::Event::Promoted(_)
                | role::Event::Demoted(_)
                | role::Event::PromotionProposed(_),
            )
            | Self::Tier(_)
            | Self::Tenant(_)
            | Self::Content(_)
            | Self::Lease(_)
            | Self::Actor(_)
            | Self::Refused { .. } => [None, None],
        };
        found.into_iter().flatten().map(|c| c.0.as_str()).collect()
    }
}

fn content<'a, const N: usize>(
    fields: [(&'static str, Option<&'a mut Content>); N],
) -> Vec<(&'static str, &'a mut Content)> {
    fields.into_iter().filter_map(|(p, c)| c.map(|c| (p, c))).collect()
}

/// An event of any aggregate, refusals included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Of the tenant.
    Tenant(tenant::Event),
    /// Of content, whatever its entity.
    Content(content::Event),
    /// Of a member.
    Member(member::Event),
    /// Of a role.
    Role(role::Event),
    /// Of a ticket.
    Ticket(ticket::Event),
    /// Of a run.
    Run(run::Event),
    /// Of a custom record type.
    Ext(ext::Event),
    /// Of evidence.
    Evidence(evidence::Event),
    /// Of the tenant's policy.
    Policy(policy::Event),
    /// Of an action.
    Action(action::Event),
    /// Of budgets and prices.
    Budget(budget::Event),
    /// Of a worker's lease.
    Lease(lease::Event),
    /// Of trust tiers.
    Tier(tier::Event),
    /// Of an actor.
    Actor(actor::Event),
    /// `<verb>-refused` of a known aggregate and verb.
    Refused {
        /// The aggregate.
        aggregate: &'static str,
        /// The verb that was refused.
        verb: &'static str,
        /// Code and message.
        data: actor::Refused,
    },
}

impl Event {
    /// The aggregate, as it stands in the subject.
    #[must_use]
    pub const fn aggregate(&self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenant",
            Self::Content(_) => "content",
            Self::Member(_) => "member",
            Self::Role(_) => "role",
            Self::Ticket(_) => "ticket",
            Self::Run(_) => "run",
            Self::Ext(_) => "ext",
            Self::Evidence(_) => "evidence",
            Self::Policy(_) => "policy",
            Self::Action(_) => "action",
            Self::Budget(_) => "budget",
            Self::Lease(_) => "lease",
            Self::Tier(_) => "tier",
            Self::Actor(_) => "actor",
            Self::Refused { aggregate, .. } => aggregate,
        }
    }

    /// The event's name, as it stands in the subject.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Tenant(e) => e.name().to_owned(),
            Self::Content(e) => e.name().to_owned(),
            Self::Member(e) => e.name().to_owned(),
            Self::Role(e) => e.name().to_owned(),
            Self::Ticket(e) => e.name().to_owned(),
            Self::Run(e) => e.name().to_owned(),
            Self::Ext(e) => e.name().to_owned(),
            Self::Evidence(e) => e.name().to_owned(),
            Self::Policy(e) => e.name().to_owned(),
            Self::Action(e) => e.name().to_owned(),
            Self::Budget(e) => e.name().to_owned(),
            Self::Lease(e) => e.name().to_owned(),
            Self::Tier(e) => e.name().to_owned(),
            Self::Actor(e) => e.name().to_owned(),
            Self::Refused { verb, .. } => format!("{verb}-refused"),
        }
    }

    /// The version of its data.
    #[must_use]
    pub const fn version(&self) -> u32 {
        match self {
            Self::Tenant(e) => e.version(),
            Self::Content(e) => e.version(),
            Self::Member(e) => e.version(),
            Self::Role(e) => e.version(),
            Self::Ticket(e) => e.version(),
            Self::Run(e) => e.version(),
            Self::Ext(e) => e.version(),
            Self::Evidence(e) => e.version(),
            Self::Policy(e) => e.version(),
            Self::Action(e) => e.version(),
            Self::Budget(e) => e.version(),
            Self::Lease(e) => e.version(),
            Self::Tier(e) => e.version(),
            Self::Actor(e) => e.version(),
            Self::Refused { .. } => 1,
        }
    }

    /// The data as JSON text.
    ///
    /// # Errors
    /// Never in practice: the data has string keys only.
    pub fn data(&self) -> serde_json::Result<String> {
        match self {
            Self::Tenant(e) => e.data(),
            Self::Content(e) => e.data(),
            Self::Member(e) => e.data(),
            Self::Role(e) => e.data(),
            Self::Ticket(e) => e.data(),
            Self::Run(e) => e.data(),
            Self::Ext(e) => e.data(),
            Self::Evidence(e) => e.data(),
            Self::Policy(e) => e.data(),
            Self::Action(e) => e.data(),
            Self::Budget(e) => e.data(),
            Self::Lease(e) => e.data(),
            Self::Tier(e) => e.data(),
            Self::Actor(e) => e.data(),
            Self::Refused { data, .. } => serde_json::to_string(data),
        }
    }

    /// The code and message that it is answered with, where it is answered `ok: false`: a refusal,
    /// or a fact that says no.
    #[must_use]
    pub fn no(&self) -> Option<(&str, &str)> {
        match self {
            Self::Refused { data, .. } | Self::Actor(actor::Event::CommandRefused(data)) => {
                Some((&data.code.0, &data.message.0))
            }
            Self::Action(action::Event::Denied(e)) => {
                let known = Denial::ALL.iter().find(|d| d.code() == e.code.0);
                Some((&e.code.0, known.map_or("the action was denied", |d| d.message())))
            }
            _ => None,
        }
    }

    /// Whether it is a refusal.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Actor(actor::Event::CommandRefused(_)))
    }

    /// Reads an event; `None` where aggregate, name or version is unknown: the reader stops.
    #[must_use]
    pub fn parse(
        aggregate: &str,
        name: &str,
        version: u32,
        data: &Value,
    ) -> Option<serde_json::Result<Self>> {
        Self::read(aggregate, name, version, data)
    }

    /// As [`Self::parse`], from the data's text in a record that was read strictly: nothing stands
    /// behind it, and no key stands twice.
    #[must_use]
    pub fn parse_text(
        aggregate: &str,
        name: &str,
        version: u32,
        data: &str,
    ) -> Option<serde_json::Result<Self>> {
        Self::read(aggregate, name, version, &mut serde_json::Deserializer::from_str(data))
    }

    fn read<'de, D: serde::Deserializer<'de>>(
        aggregate: &str,
        name: &str,
        version: u32,
        data: D,
    ) -> Option<Result<Self, D::Error>> {
        use serde::Deserialize as _;
        if let Some(verb) = name.strip_suffix("-refused").filter(|_| aggregate != "actor") {
            let (aggregate, verb) = known(aggregate, verb).filter(|_| version == 1)?;
            return Some(actor::Refused::deserialize(data).map(|data| Self::Refused {
                aggregate,
                verb,
                data,
            }));
        }
        match aggregate {
            "tenant" => tenant::Event::named(name, version, data).map(|r| r.map(Self::Tenant)),
            "content" => content::Event::named(name, version, data).map(|r| r.map(Self::Content)),
            "member" => member::Event::named(name, version, data).map(|r| r.map(Self::Member)),
            "role" => role::Event::named(name, version, data).map(|r| r.map(Self::Role)),
            "ticket" => ticket::Event::named(name, version, data).map(|r| r.map(Self::Ticket)),
            "run" => run::Event::named(name, version, data).map(|r| r.map(Self::Run)),
            "ext" => ext::Event::named(name, version, data).map(|r| r.map(Self::Ext)),
            "evidence" => {
                evidence::Event::named(name, version, data).map(|r| r.map(Self::Evidence))
            }
            "policy" => policy::Event::named(name, version, data).map(|r| r.map(Self::Policy)),
            "action" => action::Event::named(name, version, data).map(|r| r.map(Self::Action)),
            "budget" => budget::Event::named(name, version, data).map(|r| r.map(Self::Budget)),
            "tier" => tier::Event::named(name, version, data).map(|r| r.map(Self::Tier)),
            "lease" => lease::Event::named(name, version, data).map(|r| r.map(Self::Lease)),
            "actor" => actor::Event::named(name, version, data).map(|r| r.map(Self::Actor)),
            _ => None,
        }
    }

    /// Every event's aggregate, name, version and the schema of its data.
    #[must_use]
    pub fn schemas() -> Vec<(&'static str, String, u32, schemars::Schema)> {
        let named = [
            ("tenant", tenant::Event::schemas()),
            ("content", content::Event::schemas()),
            ("member", member::Event::schemas()),
            ("role", role::Event::schemas()),
            ("ticket", ticket::Event::schemas()),
            ("run", run::Event::schemas()),
            ("ext", ext::Event::schemas()),
            ("evidence", evidence::Event::schemas()),
            ("policy", policy::Event::schemas()),
            ("action", action::Event::schemas()),
            ("budget", budget::Event::schemas()),
            ("lease", lease::Event::schemas()),
            ("tier", tier::Event::schemas()),
            ("actor", actor::Event::schemas()),
        ];
        let mut all: Vec<_> = named
            .into_iter()
            .flat_map(|(a, v)| v.into_iter().map(move |(n, ver, s)| (a, n.to_owned(), ver, s)))
            .collect();
        for (aggregate, verb) in verbs() {
            all.push((
                aggregate,
                format!("{verb}-refused"),
                1,
                schemars::schema_for!(actor::Refused),
            ));
        }
        all
    }
}

/// Every aggregate and verb that can be commanded.
pub fn verbs() -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        ("tenant", tenant::Command::VERBS),
        ("content", content::Command::VERBS),
        ("member", member::Command::VERBS),
        ("role", role::Command::VERBS),
        ("ticket", ticket::Command::VERBS),
        ("run", run::Command::VERBS),
        ("ext", ext::Command::VERBS),
        ("evidence", evidence::Command::VERBS),
        ("policy", policy::Command::VERBS),
        ("action", action::Command::VERBS),
        ("budget", budget::Command::VERBS),
        ("lease", lease::Command::VERBS),
        ("tier", tier::Command::VERBS),
    ]
    .into_iter()
    .flat_map(|(a, verbs)| verbs.iter().map(move |v| (a, *v)))
}

/// The static names of an aggregate and verb that a client wrote.
#[must_use]
pub fn known(aggregate: &str, verb: &str) -> Option<(&'static str, &'static str)> {
    verbs().find(|(a, v)| *a == aggregate && *v == verb)
}
