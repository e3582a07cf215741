//! What the world knows of actions: the tenant's policy and books, the actions themselves, and how
//! an action's record moves its role, run, ticket and the tenant besides.

use canonry_domain::action::{Action, Actions};
use canonry_domain::books::Books;
use canonry_domain::policy::{Policies, Policy};
use canonry_domain::tier::violates;
use canonry_domain::{Applied, Decider as _, State};
use canonry_schemas::{action, policy};

use super::{Folded, Need, World};
use crate::snapshot;

impl World {
    /// The tenant's policy.
    ///
    /// # Errors
    /// As [`World::slot`].
    pub fn policy(&self) -> Result<Option<&Policy>, Need> {
        Ok(match &self.slot(&format!("policy/{}", self.tenant))?.state {
            Some(State::Policy(policy)) => Some(policy),
            _ => None,
        })
    }

    /// The tenant's account and prices.
    ///
    /// # Errors
    /// As [`World::slot`].
    pub fn books(&self) -> Result<Option<&Books>, Need> {
        Ok(match &self.slot(&format!("tenant/{}", self.tenant))?.state {
            Some(State::Books(books)) => Some(books),
            _ => None,
        })
    }

    /// An action.
    ///
    /// # Errors
    /// As [`World::slot`].
    pub fn action(&self, id: &str) -> Result<Option<&Action>, Need> {
        Ok(match &self.slot(&format!("action/{id}"))?.state {
            Some(State::Action(action)) => Some(&**action),
            _ => None,
        })
    }

    pub(super) fn fold_policy(
        &mut self,
        r: &Folded<'_>,
        applied: &Applied<'_>,
        e: &policy::Event,
    ) -> Result<(), snapshot::Error> {
        self.change(r.entity, |slot| {
            let old = match slot.state.take() {
                Some(State::Policy(policy)) => Some(policy),
                _ => None,
            };
            slot.state = Policies::evolve(old, applied, e).map(State::Policy);
        })
    }

    pub(super) fn fold_action(
        &mut self,
        r: &Folded<'_>,
        applied: &Applied<'_>,
        e: &action::Event,
    ) -> Result<(), snapshot::Error> {
        self.change_watched(r.entity, |state| {
            let old = match state {
                Some(State::Action(action)) => Some(*action),
                _ => None,
            };
            Actions::evolve(old, applied, e).map(|action| State::Action(Box::new(action)))
        })?;
        let tiers = if violates(e) { Some(self.tiers_now()?) } else { None };
        for entity in e.touches(self.tenant.as_str()) {
            let books = entity.starts_with("tenant/");
            if let Some(tiers) = tiers.as_ref().filter(|_| entity.starts_with("role/")) {
                self.change_watched(&entity, |state| {
                    let mut state = state?;
                    state.hear(applied, e);
                    Some(match state {
                        State::Role(role) => State::Role(role.reviewed(tiers, applied.time)),
                        other => other,
                    })
                })?;
                continue;
            }
            self.change(&entity, |slot| {
                if slot.state.is_none() && books {
                    slot.state = Some(State::Books(Books::default()));
                }
                if let Some(state) = &mut slot.state {
                    state.hear(applied, e);
                }
            })?;
        }
        Ok(())
    }
}
