//! Leases in the world: one record moves the lease, its run and its role together.

use canonry_domain::lease::{Lease, Leases};
use canonry_domain::{Applied, Decider as _, State};
use canonry_schemas::ids::{LeaseId, RoleId};
use canonry_schemas::lease::Event;

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
        self.change(&format!("role/{role}"), |slot| {
            if let Some(State::Role(role)) = slot.state.take() {
                slot.state = Some(State::Role(role.evolve_lease(id, event, applied.time)));
            }
        })?;
        let Event::Issued(e) = event else { return Ok(()) };
        let Some(old) = &e.renews else { return Ok(()) };
        self.change(&format!("lease/{old}"), |slot| {
            if let Some(State::Lease(lease)) = slot.state.take() {
                slot.state = Some(State::Lease(lease.replaced()));
            }
        })
    }

    /// A run that ended needs no place for its lease any more.
    pub(super) fn forget_lease(
        &mut self,
        role: &RoleId,
        lease: &LeaseId,
    ) -> Result<(), snapshot::Error> {
        self.change(&format!("role/{role}"), |slot| {
            if let Some(State::Role(role)) = &mut slot.state {
                role.leases.remove(lease);
            }
        })
    }
}
