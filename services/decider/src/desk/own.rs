//! The commands that no hosted aggregate decides: of members, of the tenant itself, and of content.
//! Their rules are in `canonry-domain`, reached without cqrs-es.

use canonry_domain::role::Role;
use canonry_domain::tier::{self, Tiers};
use canonry_domain::{Facts, erasure, tenant as rules};
use canonry_schemas::event::{Command, Event};
use canonry_schemas::ids::{ContentKeyId, IntentId, RoleId};
use canonry_schemas::key::{KeyChange, Use};
use canonry_schemas::refusal::Refusal;
use canonry_schemas::{content, member, tenant};

use super::{Desk, Stop, Who};
use crate::tokens;
use crate::world::Need;

/// A decided event with the further entities that fold it, or the command given back.
type Own = Result<(Event, Vec<String>), Command>;

impl Desk<'_> {
    /// Decides what is decided here; any other command is given back.
    pub(super) fn own(
        &self,
        who: &Who,
        intent: &IntentId,
        role: Option<(&RoleId, &Role)>,
        entity: &str,
        command: Command,
    ) -> Result<Own, Stop> {
        let keys = match &command {
            Command::Member(c) => self.members_keys(c),
            Command::Tenant(c) => self.own_keys(c)?,
            _ => Ok(()),
        };
        let facts = Facts {
            now: self.now,
            actor: &who.actor,
            intent: intent.as_str(),
            parts: &who.parts,
            works_for: who.works_for.as_ref(),
            timer: who.actor.as_str() == crate::ACTOR && who.via.is_none(),
            directory: &self.world.directory,
            keys,
            approval: None,
            assertion: None,
            reaches: &[],
            role,
            ticket: None,
            lease_key: Err(Refusal::KeysInvalid),
            tiers: &Tiers::default(),
            appended: Ok(()),
            run: None,
            books: None,
            judged: Err(Refusal::ArgumentsTooLarge),
            bundle: Err(Refusal::BundleInvalid),
        };
        Ok(Ok(match command {
            Command::Member(c) => {
                let event = self.world.directory.decide(&facts, c)?;
                (Event::Member(event), vec![format!("tenant/{}", self.tenant)])
            }
            Command::Tenant(c) => (Event::Tenant(rules::decide(&facts, c)?), Vec::new()),
            Command::Tier(c) => (Event::Tier(tier::decide(&facts, c)?), Vec::new()),
            Command::Content(c) => {
                let sealed = self.sealed(entity, &c)?;
                (Event::Content(erasure::decide(&facts, &sealed, c)?), Vec::new())
            }
            other => return Ok(Err(other)),
        }))
    }

    fn members_keys(&self, command: &member::Command) -> Result<(), Refusal> {
        let (subject, change) = match command {
            member::Command::Enrol(c) => (&c.actor, c.key_change()),
            member::Command::Remove(c) => (&c.actor, c.key_change()),
            member::Command::RotateKeys(c) => (&c.actor, c.key_change()),
            member::Command::Delegate(_) | member::Command::EndDelegation(_) => return Ok(()),
        };
        let parts = self.world.directory.member(subject).map_or(&[][..], |m| &m.parts);
        tokens::key_change(self.ring, subject, &change, (command, parts), self.now)
    }

    /// Whether a change of the tenant's own keys is lawful, and this decider can go on with it.
    fn own_keys(&self, command: &tenant::Command) -> Result<Result<(), Refusal>, Need> {
        let tenant::Command::RotateKeys(c) = command;
        let change = c.key_change();
        let lawful = tokens::tenant_change(self.ring, &change, self.now);
        if lawful.is_err() {
            return Ok(lawful);
        }
        self.openable(&change)
    }

    fn openable(&self, change: &KeyChange) -> Result<Result<(), Refusal>, Need> {
        let signs = |uses: &[Use]| uses.contains(&Use::Record) || uses.contains(&Use::Checkpoint);
        for key in change.keys.iter().filter(|key| signs(&key.uses)) {
            match self.signers.known(&key.id) {
                Some(true) => {}
                Some(false) => return Ok(Err(Refusal::KeyNotStored)),
                None => return Err(Need::Key(key.id.clone())),
            }
        }
        Ok(Ok(()))
    }

    /// What is known of the entity whose content is to go.
    fn sealed(&self, entity: &str, command: &content::Command) -> Result<erasure::Sealed, Need> {
        let content::Command::Erase(c) = command;
        let slot = self.world.slot(entity)?;
        let member = c.entity.as_str().strip_prefix("member/").and_then(|id| id.parse().ok());
        let enrolled = member.is_some_and(|id| self.world.directory.member(&id).is_some());
        Ok(erasure::Sealed {
            // A custom record of its own has content and no state.
            exists: enrolled || slot.state.is_some() || slot.content_key.is_some(),
            erased: slot.erased,
            key: slot.content_key.and_then(|key| key.to_string().parse::<ContentKeyId>().ok()),
        })
    }
}
