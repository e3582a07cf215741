//! The rules of `domain`, each given the facts that it looks at.

use canonry_domain::Approval;
use canonry_domain::books::Budgets;
use canonry_domain::evidence::Evidences;
use canonry_domain::ext::Exts;
use canonry_domain::lease::Leases;
use canonry_domain::policy::Policies;
use canonry_domain::role::Roles;
use canonry_domain::run::{Run, Runs};
use canonry_domain::ticket::Tickets;
use canonry_schemas::event::{Command, Event};
use canonry_schemas::ids::{IntentId, TicketId};
use canonry_schemas::refusal::Refusal;
use canonry_schemas::{ext as custom, lease as leases, member, role, run, ticket};

use super::who::Who;
use super::{Desk, Stop, ext, lease};
use crate::hosted::{self, OwnFacts};
use crate::tokens;

impl Desk<'_> {
    /// What the rules make of a command, and which further entities fold it.
    pub(super) fn apply_rules(
        &self,
        who: &Who,
        intent: &IntentId,
        command: Command,
        entity: &str,
        found: &ext::Found,
    ) -> Result<(Event, Vec<String>), Stop> {
        let id = entity.split_once('/').map_or("", |(_, id)| id);
        // An entity that was named just now is not there yet.
        let run = match &command {
            Command::Run(run::Command::Start(_)) => None,
            Command::Run(_) => self.world.run(id)?,
            _ => None,
        };
        let leased = match &command {
            Command::Lease(leases::Command::Issue(c)) => {
                self.world.run(c.run.as_str())?.map(|run| (&c.run, run))
            }
            _ => None,
        };
        let ticket_id = match &command {
            Command::Run(run::Command::Start(c)) => Some(c.ticket.clone()),
            Command::Ext(_) => found.ticket.clone(),
            _ => run.or(leased.map(|(_, run)| run)).map(|run| run.ticket.clone()),
        };
        let run_ticket = match &ticket_id {
            Some(ticket) => self.world.ticket(ticket.as_str())?,
            None => None,
        };
        let role_id = match &command {
            Command::Member(member::Command::Enrol(c)) => c.role.clone(),
            Command::Ticket(ticket::Command::Open(c)) => c.role.clone(),
            Command::Ticket(ticket::Command::Assign(c)) => Some(c.role.clone()),
            Command::Run(run::Command::Start(_)) => run_ticket.and_then(|t| t.role.clone()),
            Command::Lease(_) => leased.map(|(_, run)| run.role.clone()),
            _ => None,
        };
        let role = match &role_id {
            Some(id) => self.world.role(id.as_str())?.map(|role| (id, role)),
            None => None,
        };
        let leased = leased.map(|(id, run)| (id.clone(), run.clone()));
        let approval = self.approval(&command)?;
        let command = match self.own(who, intent, role, entity, command)? {
            Ok(done) => return Ok(done),
            Err(command) => command,
        };
        let facts = OwnFacts {
            approval,
            role: role.map(|(id, role)| (id.clone(), role.clone())),
            ticket: run_ticket.cloned(),
            run: leased,
            lease_key: self.lease_key(&command),
            tiers: self.tiers_for(&command)?,
            appended: found.appended,
            ..self.facts(who, intent)
        };
        self.ruled(command, facts, entity, run, ticket_id)
    }

    /// The rules of one aggregate.
    fn ruled(
        &self,
        command: Command,
        facts: OwnFacts,
        entity: &str,
        run: Option<&Run>,
        ticket: Option<TicketId>,
    ) -> Result<(Event, Vec<String>), Stop> {
        let id = entity.split_once('/').map_or("", |(_, id)| id);
        Ok(match command {
            Command::Member(_)
            | Command::Tenant(_)
            | Command::Content(_)
            | Command::Action(_)
            | Command::Tier(_) => {
                return Err(Refusal::UnknownCommand.into());
            }
            Command::Policy(c) => {
                let facts = OwnFacts { bundle: self.bundle(&c), ..facts };
                let event = hosted::decide::<Policies>(self.world.policy()?, facts, c)?;
                (Event::Policy(event), Vec::new())
            }
            Command::Role(c) => {
                let role = match &c {
                    role::Command::Hire(_) => None,
                    _ => self.world.role(id)?,
                };
                (Event::Role(hosted::decide::<Roles>(role, facts, c)?), Vec::new())
            }
            Command::Ticket(c) => {
                let ticket = match &c {
                    ticket::Command::Open(_) => None,
                    _ => self.world.ticket(id)?,
                };
                (Event::Ticket(hosted::decide::<Tickets>(ticket, facts, c)?), Vec::new())
            }
            Command::Run(c) => {
                let event = hosted::decide::<Runs>(run, facts, c)?;
                let touches = match (&event, ticket) {
                    (run::Event::StepRecorded(_), _) | (_, None) => Vec::new(),
                    (_, Some(ticket)) => vec![format!("ticket/{ticket}")],
                };
                (Event::Run(event), touches)
            }
            Command::Ext(c) => {
                let (custom::Command::Register(custom::Register { kind, .. })
                | custom::Command::Append(custom::Append { kind, .. })) = &c;
                let kind = self.world.kind(kind.as_str())?;
                (Event::Ext(hosted::decide::<Exts>(kind, facts, c)?), Vec::new())
            }
            Command::Evidence(c) => {
                let work = self.world.slot(entity)?.state.as_ref();
                (Event::Evidence(hosted::decide::<Evidences>(work, facts, c)?), Vec::new())
            }
            Command::Budget(c) => {
                let limited = self.world.slot(entity)?.state.as_ref();
                (Event::Budget(hosted::decide::<Budgets>(limited, facts, c)?), Vec::new())
            }
            Command::Lease(c) => {
                let lease = match &c {
                    leases::Command::Issue(_) => None,
                    leases::Command::Revoke(_) => self.world.lease(id)?,
                };
                let event = hosted::decide::<Leases>(lease, facts, c)?;
                let touches = lease::touches(&event);
                (Event::Lease(event), touches)
            }
        })
    }

    fn approval(&self, command: &Command) -> Result<Option<Approval>, Refusal> {
        match command {
            Command::Ticket(ticket::Command::Approve(c)) => {
                tokens::approval(self.ring, self.tenant, &c.approval, self.now).map(Some)
            }
            Command::Ticket(ticket::Command::Reject(c)) => {
                tokens::approval(self.ring, self.tenant, &c.approval, self.now).map(Some)
            }
            _ => Ok(None),
        }
    }
}
