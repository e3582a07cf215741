//! Rules of a role: hired, amended, paused, resumed, retired.

use std::collections::BTreeMap;

use canonry_schemas::ids::{ActorId, LeaseId};
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::role::{Budget, Command, Event, Tier};
use canonry_schemas::text::Label;
use canonry_schemas::time::Time;
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::action::Counts;
use crate::budget::OwnAccount;
use crate::facts::{Applied, Facts};
use crate::tier::{self, Standing};

/// Where a role stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Runs may start.
    Active,
    /// No run may start.
    Paused,
    /// Ended for good.
    Retired,
}

/// What a decision must know of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Where it stands.
    pub stage: Stage,
    /// What it is called.
    pub title: Label,
    /// Tools it may use.
    pub tools: Vec<Label>,
    /// Who is asked in turn.
    pub escalation: Vec<ActorId>,
    /// What its actions came to.
    pub counts: Counts,
    /// How far it is trusted.
    pub tier: Tier,
    /// What it may spend.
    pub budget: Budget,
    /// What was spent for it, and what is reserved.
    #[serde(default, skip_serializing_if = "OwnAccount::is_fresh")]
    pub account: OwnAccount,
    /// Leases of its runs that nobody revoked, and until when; some may have expired.
    pub leases: BTreeMap<LeaseId, Time>,
    /// What its runs came to.
    pub standing: Box<Standing>,
}

impl Role {
    /// Whether it has ended.
    #[must_use]
    pub fn retired(&self) -> bool {
        self.stage == Stage::Retired
    }

    /// Whether work may begin for it.
    ///
    /// # Errors
    /// `role-paused` or `role-retired`.
    pub fn workable(&self) -> Result<(), Refusal> {
        match self.stage {
            Stage::Active => Ok(()),
            Stage::Paused => Err(Refusal::RolePaused),
            Stage::Retired => Err(Refusal::RoleRetired),
        }
    }
}

fn escalation(facts: &Facts<'_>, list: &[ActorId]) -> Result<(), Refusal> {
    let known = |a| facts.directory.member(a).is_some_and(|m| !m.removed);
    if list.iter().all(known) { Ok(()) } else { Err(Refusal::EscalationUnknown) }
}

/// The rules.
pub struct Roles;

impl Decider for Roles {
    type State = Role;
    type Command = Command;
    type Event = Event;

    fn decide(state: Option<&Role>, facts: &Facts<'_>, command: Command) -> Result<Event, Refusal> {
        if let Command::Hire(c) = command {
            facts.founder()?;
            escalation(facts, &c.escalation)?;
            return Ok(Event::Hired(c));
        }
        if let Command::Fingerprint(c) = &command {
            facts.allow(&[Part::Operator, Part::Worker])?;
            if !facts.may(&[Part::Operator]) && facts.works_for != Some(&c.id) {
                return Err(Refusal::OtherRole);
            }
        } else if matches!(command, Command::Review(_)) {
            if !facts.timer {
                return Err(Refusal::NotAllowed);
            }
        } else {
            if !matches!(command, Command::Pause(_)) {
                facts.founder()?;
            }
            facts.allow(&[Part::Operator])?;
        }
        let role = state.ok_or(Refusal::RoleUnknown)?;
        if role.retired() {
            return Err(Refusal::RoleRetired);
        }
        match command {
            Command::Hire(_) => Err(Refusal::NothingChanged),
            Command::Amend(c) => {
                let nothing = c.title.is_none()
                    && c.job.is_none()
                    && c.boundaries.is_none()
                    && c.budget.is_none()
                    && c.tools.is_none()
                    && c.escalation.is_none()
                    && c.tier.is_none();
                if nothing {
                    return Err(Refusal::NothingChanged);
                }
                escalation(facts, c.escalation.as_deref().unwrap_or_default())?;
                Ok(Event::Amended(c))
            }
            Command::Pause(c) => match role.stage {
                Stage::Active => Ok(Event::Paused(c)),
                Stage::Paused | Stage::Retired => Err(Refusal::RolePaused),
            },
            Command::Resume(c) => match role.stage {
                Stage::Paused => Ok(Event::Resumed(c)),
                Stage::Active | Stage::Retired => Err(Refusal::RoleNotPaused),
            },
            Command::Retire(c) => Ok(Event::Retired(c)),
            Command::Fingerprint(c) => tier::fingerprint(role, facts, c),
            Command::Review(c) => tier::review(role, facts, c.id),
        }
    }

    fn evolve(state: Option<Role>, _: &Applied<'_>, event: &Event) -> Option<Role> {
        let state = state.map(|mut role| {
            role.evolve_tier(event);
            role
        });
        let stage = |stage| state.clone().map(|role| Role { stage, ..role });
        match event {
            Event::Hired(e) => Some(Role {
                stage: Stage::Active,
                title: e.title.clone(),
                tools: e.tools.clone(),
                escalation: e.escalation.clone(),
                counts: Counts::default(),
                tier: e.tier,
                budget: e.budget.clone(),
                account: OwnAccount::default(),
                leases: BTreeMap::new(),
                standing: Box::default(),
            }),
            // Its tier is folded with everything else that moves it, above.
            Event::Amended(e) => state.clone().map(|role| Role {
                title: e.title.clone().unwrap_or(role.title),
                tools: e.tools.clone().unwrap_or(role.tools),
                escalation: e.escalation.clone().unwrap_or(role.escalation),
                budget: e.budget.clone().unwrap_or(role.budget),
                ..role
            }),
            Event::Paused(_) => stage(Stage::Paused),
            Event::Resumed(_) => stage(Stage::Active),
            Event::Retired(_) => stage(Stage::Retired),
            Event::Fingerprinted(_)
            | Event::Promoted(_)
            | Event::Demoted(_)
            | Event::PromotionProposed(_) => state,
        }
    }
}
