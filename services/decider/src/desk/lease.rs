//! Commands under a lease: the token is one of the lease's own key, and the lease holds at this
//! position, on everything that was decided before.

use canonry_domain::lease::{Ground, Lease, wanted};
use canonry_domain::tier::Tiers;
use canonry_record::encoding::unbase64url_exact;
use canonry_record::jws::{self, LeaseToken};
use canonry_record::ring::public_key;
use canonry_record::{Hash, VerifyingKey};
use canonry_schemas::event::Command;
use canonry_schemas::header::{LEASE, ON_BEHALF_OF, REQUEST_TOKEN};
use canonry_schemas::ids::{ActorId, KeyId, LeaseId};
use canonry_schemas::key::Use;
use canonry_schemas::lease::{self, Issue};
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::role;

use super::who::{Who, one};
use super::{Asked, Desk, Stop};
use crate::tokens::refusal;
use crate::world::Need;

/// A lease that was shown and holds.
pub(super) struct Under {
    pub(super) id: LeaseId,
    pub(super) lease: Lease,
}

impl Desk<'_> {
    /// Who asks under a lease; `None` where none is shown.
    pub(super) fn leased(&self, asked: &Asked) -> Result<Option<Who>, Stop> {
        let Some(token) = one(&asked.headers, LEASE)? else { return Ok(None) };
        let others = one(&asked.headers, ON_BEHALF_OF)?.or(one(&asked.headers, REQUEST_TOKEN)?);
        if others.is_some() {
            return Err(Refusal::BadHeader.into());
        }
        let (under, digest) = self.shown(token)?;
        let service = asked.actor.is_service();
        if !service && asked.actor != under.lease.worker {
            return Err(Refusal::TokenInvalid.into());
        }
        let worker: ActorId = under.lease.worker.clone();
        let member = self.world.directory.admit(&worker)?;
        // Under a lease nobody is more than who works.
        let works = |part: &Part| match part {
            Part::Founder | Part::Operator => Some(Part::Operator),
            Part::Worker => Some(Part::Worker),
            Part::Approver | Part::Auditor => None,
        };
        Ok(Some(Who {
            actor: worker,
            via: service.then(|| asked.actor.clone()),
            authdigest: Some(digest),
            parts: member.parts.iter().filter_map(works).collect(),
            works_for: member.role.clone(),
            bound: false,
            under: Some(under),
        }))
    }

    fn shown(&self, token: &str) -> Result<(Under, Hash), Stop> {
        let claims = jws::peek(token).map_err(refusal)?.claims;
        let id: Option<LeaseId> = claims["lease"].as_str().and_then(|id| id.parse().ok());
        let id = id.ok_or(Refusal::TokenInvalid)?;
        let lease = self.world.lease(id.as_str())?.ok_or(Refusal::LeaseUnknown)?;
        let key = unbase64url_exact::<32>(&lease.key)
            .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
            .ok_or(Refusal::KeyUnknown)?;
        let claims: LeaseToken = jws::verify_as(token, &key).map_err(refusal)?;
        claims.check(self.tenant.as_str(), self.now.seconds()).map_err(refusal)?;
        if claims.iss != lease.worker.as_str() || claims.run != lease.run.as_str() {
            return Err(Refusal::TokenInvalid.into());
        }
        let ground = Ground {
            run: self.world.run(lease.run.as_str())?,
            role: self.world.role(lease.role.as_str())?,
            directory: &self.world.directory,
            now: self.now,
        };
        lease.standing(&ground)?;
        Ok((Under { id, lease: lease.clone() }, jws::digest(token)))
    }

    /// Whether a command may be asked under the lease that was shown, or without one.
    pub(super) fn within_lease(&self, who: &Who, command: &Command) -> Result<(), Stop> {
        if let Some(under) = &who.under {
            let named = match command {
                Command::Action(c) => match c.action() {
                    Some(id) => self.world.action(id.as_str())?,
                    None => None,
                },
                _ => None,
            };
            let role = self.world.role(under.lease.role.as_str())?.ok_or(Refusal::RoleUnknown)?;
            return Ok(under.lease.covers(&under.id, command, named, role.tier)?);
        }
        let works = who.parts == [Part::Worker] && wanted(command);
        if works && self.world.tiers()?.is_some_and(Tiers::want_leases) {
            return Err(Refusal::LeaseMissing.into());
        }
        Ok(())
    }

    /// What moves roles, where the rules look at it.
    pub(super) fn tiers_for(&self, command: &Command) -> Result<Tiers, Need> {
        use role::Command as R;
        Ok(match command {
            Command::Role(R::Fingerprint(_) | R::Review(_)) => {
                self.world.tiers()?.cloned().unwrap_or_default()
            }
            _ => Tiers::default(),
        })
    }

    /// The id of the key that a lease is asked for: both keys are usable, two, and nobody's yet.
    pub(super) fn lease_key(&self, command: &Command) -> Result<KeyId, Refusal> {
        let Command::Lease(lease::Command::Issue(Issue { login, key, .. })) = command else {
            return Err(Refusal::KeysInvalid);
        };
        let nobody: ActorId = crate::ACTOR.parse().expect("the decider's token is a token");
        let id = |text: &str, uses: Use| {
            let bytes = unbase64url_exact::<32>(text).ok_or(Refusal::KeysInvalid)?;
            let key = public_key(&bytes, vec![uses], nobody.clone());
            if !canonry_record::ring::is_usable(&key) || self.ring.key(&key.id).is_some() {
                return Err(Refusal::KeysInvalid);
            }
            Ok(key.id)
        };
        let (login, key) = (id(login, Use::Login)?, id(key, Use::Member)?);
        if login == key { Err(Refusal::KeysInvalid) } else { Ok(key) }
    }
}

/// The entities beside the lease that fold its record, sorted.
pub(super) fn touches(event: &lease::Event) -> Vec<String> {
    let (run, role, renews) = match event {
        lease::Event::Issued(e) => (&e.run, &e.role, e.renews.as_ref()),
        lease::Event::Revoked(e) => (&e.run, &e.role, None),
    };
    let renewed = renews.map(|old| format!("lease/{old}"));
    renewed.into_iter().chain([format!("role/{role}"), format!("run/{run}")]).collect()
}
