//! Who asks: the decider's timer, a worker under a lease, a member by their connection or by a token
//! that they signed.

use canonry_record::Hash;
use canonry_schemas::header::{ON_BEHALF_OF, REQUEST_TOKEN};
use canonry_schemas::ids::{ActorId, IntentId, RoleId};
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;

use super::lease::Under;
use super::{Asked, Desk, Stop};
use crate::tokens;

/// Who asks, once that is known.
pub(super) struct Who {
    pub(super) actor: ActorId,
    pub(super) via: Option<ActorId>,
    pub(super) authdigest: Option<Hash>,
    pub(super) parts: Vec<Part>,
    pub(super) works_for: Option<RoleId>,
    /// Whether the token was bound to this request.
    pub(super) bound: bool,
    /// The lease that it is asked under.
    pub(super) under: Option<Under>,
}

/// The one header of this name.
pub(super) fn one<'h>(
    headers: &'h [(String, String)],
    name: &str,
) -> Result<Option<&'h str>, Refusal> {
    let mut found = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let first = found.next().map(|(_, v)| v.as_str());
    if found.next().is_some() { Err(Refusal::BadHeader) } else { Ok(first) }
}

impl Desk<'_> {
    pub(super) fn who(&self, asked: &Asked, intent: &IntentId) -> Result<Who, Stop> {
        if asked.timer {
            return Ok(Who {
                actor: asked.actor.clone(),
                via: None,
                authdigest: None,
                parts: Vec::new(),
                works_for: None,
                bound: true,
                under: None,
            });
        }
        if !asked.actor.is_service() {
            self.world.directory.admit(&asked.actor)?;
        }
        if let Some(who) = self.leased(asked)? {
            return Ok(who);
        }
        let behalf = one(&asked.headers, ON_BEHALF_OF)?;
        let own = one(&asked.headers, REQUEST_TOKEN)?;
        let token = if asked.actor.is_service() {
            if own.is_some() {
                return Err(Refusal::BadHeader.into());
            }
            Some(behalf.ok_or(Refusal::OnBehalfOfMissing)?)
        } else {
            if behalf.is_some() {
                return Err(Refusal::OnBehalfOfForeign.into());
            }
            own
        };
        let shown = token
            .map(|token| {
                let request = tokens::Request {
                    tenant: self.tenant,
                    aggregate: &asked.aggregate,
                    verb: &asked.verb,
                    body: &asked.body,
                    intent,
                    now: self.now,
                };
                tokens::check(self.ring, token, &request)
            })
            .transpose()?;
        let (actor, via) = match (&shown, asked.actor.is_service()) {
            (Some(shown), true) => (shown.actor.clone(), Some(asked.actor.clone())),
            (Some(shown), false) if shown.actor != asked.actor => {
                return Err(Refusal::TokenInvalid.into());
            }
            _ => (asked.actor.clone(), None),
        };
        // A key on the ledger whose actor is no member is a service's.
        let member = self.world.directory.admit(&actor).map_err(|refusal| match refusal {
            Refusal::ActorUnknown => Refusal::TokenInvalid,
            other => other,
        })?;
        Ok(Who {
            actor,
            via,
            authdigest: shown.as_ref().map(|s| s.digest),
            parts: member.parts.clone(),
            works_for: member.role.clone(),
            bound: shown.is_some_and(|s| s.bound),
            under: None,
        })
    }
}
