//! Leases and tiers in the world: one record moves the lease, its run and its role together, and the
//! end of a run the counters of its role.

use canonry_domain::lease::{Lease, Leases};
use canonry_domain::role::Role;
use canonry_domain::run::Run;
use canonry_domain::tier::Tiers;
use canonry_domain::{Applied, Decider as _, State};
use canonry_schemas::ids::RoleId;
use canonry_schemas::lease::{Cause, Event};
use canonry_schemas::run;

use super::{Folded, Need, World};
use crate::snapshot;

impl World {
    /// A lease.
    ///
    /// # Errors
    /// As [`World::slot`].
    pub fn lease(&self, id: &str) -> Result<Option<&Lease>, Need> {
        Ok(match &self.slot(&format!("lease/{id}"))?.state {
            Some(State::Lease(lease)) => Some(lease),
            _ => None,
        })
    }

    pub(super) fn fold_lease(
        &mut self,
        r: &Folded<'_>,
        applied: &Applied<'_>,
        event: &Event,
    ) -> Result<(), snapshot::Error> {
        let id = r.entity.split_once('/').map_or("", |(_, id)| id);
        self.change(r.entity, |slot| {
            let old = match slot.state.take() {
                Some(State::Lease(lease)) => Some(lease),
                _ => None,
            };
            slot.state = Leases::evolve(old, applied, event).map(State::Lease);
        })?;
        let (run, role) = match event {
            Event::Issued(e) => (&e.run, &e.role),
            Event::Revoked(e) => (&e.run, &e.role),
        };
        self.change(&format!("run/{run}"), |slot| {
            if let Some(State::Run(run)) = slot.state.take() {
                slot.state = Some(State::Run(run.evolve_lease(id, event)));
            }
        })?;
        let tiers = self.tiers_now()?;
        let violated = matches!(event, Event::Revoked(e) if e.cause == Cause::Violation);
        self.change_role(role, |role| {
            let mut role = role.evolve_lease(id, event, applied.time);
            if violated {
                role.standing.violated(applied);
            }
            role.reviewed(&tiers, applied.time)
        })?;
        let Event::Issued(e) = event else { return Ok(()) };
        let Some(old) = &e.renews else { return Ok(()) };
        self.change(&format!("lease/{old}"), |slot| {
            if let Some(State::Lease(lease)) = slot.state.take() {
                slot.state = Some(State::Lease(lease.replaced()));
            }
        })
    }

    /// What holds for tiers now.
    ///
    /// # Errors
    /// As [`World::slot`].
    pub fn tiers(&self) -> Result<Option<&Tiers>, Need> {
        Ok(match &self.slot(&format!("tier/{}", self.tenant))?.state {
            Some(State::Tiers(tiers)) => Some(tiers),
            _ => None,
        })
    }

    pub(super) fn tiers_now(&mut self) -> Result<Tiers, snapshot::Error> {
        self.warm(&format!("tier/{}", self.tenant))?;
        Ok(self.tiers().ok().flatten().cloned().unwrap_or_default())
    }

    fn change_role(
        &mut self,
        id: &RoleId,
        change: impl FnOnce(Role) -> Role,
    ) -> Result<(), snapshot::Error> {
        self.change_watched(&format!("role/{id}"), |state| match state {
            Some(State::Role(role)) => Some(State::Role(change(role))),
            other => other,
        })
    }

    /// A run that ended counts for its role, and needs no place for its lease any more.
    pub(super) fn run_ended(
        &mut self,
        role: &RoleId,
        before: Option<Run>,
        applied: &Applied<'_>,
        event: &run::Event,
    ) -> Result<(), snapshot::Error> {
        let Some(before) = before.filter(|run| !run.ended) else { return Ok(()) };
        let tiers = self.tiers_now()?;
        let completed = matches!(event, run::Event::Completed(_));
        self.change_role(role, |mut role| {
            if let Some(held) = &before.lease {
                role.leases.remove(&held.id);
            }
            role.standing.ran(completed && before.violations == 0, applied);
            role.reviewed(&tiers, applied.time)
        })
    }
}
