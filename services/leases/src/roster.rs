//! The leases of a tenant, folded from its records: which live, and which are over while the token
//! of their user could still be let in. It says the same as the decider's rules; a test holds both
//! to each other. Pure.

use std::collections::{BTreeMap, BTreeSet};

use canonry_schemas::event::Event;
use canonry_schemas::ids::{ActorId, LeaseId, RoleId, RunId};
use canonry_schemas::role::Tier;
use canonry_schemas::time::Time;
use canonry_schemas::{lease, member, role, run};

/// A lease as it was issued, and whether it was ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its run.
    pub run: RunId,
    /// Its role.
    pub role: RoleId,
    /// Who works.
    pub worker: ActorId,
    /// What it may do.
    pub tier: Tier,
    /// The key that logs in, base64url.
    pub login: String,
    /// Until when.
    pub expires: Time,
    /// Whether it was revoked or replaced, or its run ended: for good.
    pub ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Post {
    tier: Tier,
    active: bool,
}

/// All of a tenant's leases that have not expired, and what they rest on.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    leases: BTreeMap<LeaseId, Known>,
    roles: BTreeMap<RoleId, Post>,
    removed: BTreeSet<ActorId>,
}

impl Roster {
    /// Folds one record. What the decider refused changes nothing.
    pub fn fold(&mut self, id: &str, event: &Event, time: Time) {
        match event {
            Event::Lease(e) => self.lease(id, e, time),
            Event::Run(
                run::Event::Completed(_) | run::Event::Failed(_) | run::Event::Cancelled(_),
            ) => self.end(|lease| lease.run.as_str() == id),
            Event::Member(member::Event::Removed(e)) => {
                self.removed.insert(e.actor.clone());
            }
            Event::Role(e) => self.role(id, e),
            _ => {}
        }
    }

    fn lease(&mut self, id: &str, event: &lease::Event, time: Time) {
        match event {
            lease::Event::Issued(e) => {
                self.leases.retain(|_, known| time < known.expires);
                if let Some(old) = &e.renews {
                    self.end_one(old);
                }
                let Ok(id) = id.parse() else { return };
                let known = Known {
                    run: e.run.clone(),
                    role: e.role.clone(),
                    worker: e.worker.clone(),
                    tier: e.tier,
                    login: e.login.clone(),
                    expires: e.expires,
                    ended: false,
                };
                self.leases.insert(id, known);
            }
            lease::Event::Revoked(e) => self.end_one(&e.id),
        }
    }

    fn role(&mut self, id: &str, event: &role::Event) {
        let Ok(id) = id.parse::<RoleId>() else { return };
        let mut tier = |tier| {
            if let Some(post) = self.roles.get_mut(&id) {
                post.tier = tier;
            }
        };
        match event {
            role::Event::Fingerprinted(e) => return tier(e.tier),
            role::Event::Promoted(e) | role::Event::Demoted(e) => return tier(e.to),
            role::Event::Amended(e) => return e.tier.into_iter().for_each(tier),
            _ => {}
        }
        let mut active = |active| {
            if let Some(post) = self.roles.get_mut(&id) {
                post.active = active;
            }
        };
        match event {
            role::Event::Hired(e) => {
                self.roles.insert(id, Post { tier: e.tier, active: true });
            }
            role::Event::Paused(_) | role::Event::Retired(_) => active(false),
            role::Event::Resumed(_) => active(true),
            role::Event::Amended(_)
            | role::Event::Fingerprinted(_)
            | role::Event::Promoted(_)
            | role::Event::Demoted(_)
            | role::Event::PromotionProposed(_) => {}
        }
    }

    fn end_one(&mut self, id: &LeaseId) {
        if let Some(known) = self.leases.get_mut(id) {
            known.ended = true;
        }
    }

    fn end(&mut self, which: impl Fn(&Known) -> bool) {
        self.leases.values_mut().filter(|known| which(known)).for_each(|known| known.ended = true);
    }

    /// A lease that has not expired before the last one was issued.
    #[must_use]
    pub fn get(&self, id: &LeaseId) -> Option<&Known> {
        self.leases.get(id)
    }

    /// Whether a lease holds, but for its time.
    #[must_use]
    pub fn holds(&self, known: &Known) -> bool {
        let post = self.roles.get(&known.role);
        !known.ended
            && !self.removed.contains(&known.worker)
            && post.is_some_and(|post| post.active && post.tier >= known.tier)
    }

    /// Leases that hold no more, while the token of their user could still be let in.
    pub fn over(&self, now: Time) -> impl Iterator<Item = (&LeaseId, &Known)> {
        self.leases.iter().filter(move |(_, known)| now < known.expires && !self.holds(known))
    }
}
