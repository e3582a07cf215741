//! A change of keys: what the verified ledger says now, who authorises, what is sent. Which keys
//! come and go is up to the caller.

use canonry_keystore::{KeyStore, KeyUse, StoredKey};
use canonry_record::KeyRing;
use canonry_record::ring::{authorize, public_key};
use canonry_record::seal::Signer;
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::{ActorId, KeyId};
use canonry_schemas::key::{KeyChange, PublicKey, Use};
use canonry_schemas::member::Part;
use serde_json::Value;

use super::rotate::take_up;
use crate::args::{Nats, Who};
use crate::client::{Client, new_intent};
use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::ledger;

/// What a change of keys needs.
pub(crate) struct Change {
    /// The keys of this home.
    pub keys: KeyStore,
    /// The keys of the ledger.
    pub ring: KeyRing,
    /// What the member may do; nothing where there is none.
    pub parts: Vec<Part>,
    client: Client,
}

impl Change {
    /// Reads the verified ledger, then connects in the asking actor's name.
    pub async fn begin(
        context: &Context,
        who: &Who,
        nats: &Nats,
        member: &ActorId,
    ) -> Result<Self, Failure> {
        let keys = context.keys()?;
        let (ring, parts) = ledger::standing(context, nats.named(), &who.tenant, member).await?;
        for actor in [&who.actor, member] {
            take_up(&keys, &ring, actor)?;
        }
        let client = context.client(nats.named(), &who.tenant, &who.actor).await?;
        Ok(Self { keys, ring, parts, client })
    }

    /// Authorised by the enrol key; where it is not at hand, by the member's own old key.
    pub fn authorized(
        &self,
        keys: Vec<PublicKey>,
        revoked: Vec<KeyId>,
        own: Option<&ActorId>,
    ) -> Result<KeyChange, Failure> {
        let tenant = &self.client.tenant;
        let signer = match (self.holding(KeyUse::Enrol, Use::Enrol), own) {
            (Err(_), Some(member)) => {
                let key = self.keys.member_key(tenant, member);
                Signer::new(key.map_err(Failure::config)?)
            }
            (enrol, _) => enrol?,
        };
        Ok(authorize(tenant, &self.ring.keyhead(), keys, revoked, &signer))
    }

    /// Authorised by a root key of this home.
    pub fn authorized_by_root(
        &self,
        keys: Vec<PublicKey>,
        revoked: Vec<KeyId>,
    ) -> Result<KeyChange, Failure> {
        let signer = self.holding(KeyUse::Root, Use::Root)?;
        Ok(authorize(&self.client.tenant, &self.ring.keyhead(), keys, revoked, &signer))
    }

    /// A key of this home with this use that the ledger says holds.
    fn holding(&self, stored: KeyUse, wanted: Use) -> Result<Signer, Failure> {
        let tenant = &self.client.tenant;
        let now = canonry_decider::holder::now();
        let here = self.keys.keys_for(tenant, stored).map_err(|e| Failure::config(chain(&e)))?;
        let holds = |id: &KeyId| {
            self.ring.key(id).is_some_and(|entry| {
                entry.is_current() && entry.may(wanted) && !entry.has_expired(now)
            })
        };
        let key = here.into_iter().find(|key| holds(&key.id()));
        let home = self.keys.home().display();
        let missing =
            || Failure::config(format!("no {stored} key of {tenant} that holds is on {home}"));
        key.map(|stored| Signer::new(stored.key)).ok_or_else(missing)
    }

    /// Sends it.
    pub async fn submit(
        &self,
        aggregate: &str,
        verb: &str,
        mut body: Value,
        change: &KeyChange,
    ) -> Result<Answer, Failure> {
        let change = serde_json::to_value(change).map_err(Failure::refused)?;
        if let (Some(body), Value::Object(change)) = (body.as_object_mut(), change) {
            body.extend(change);
            // An optional member that is not given is absent, never null.
            body.retain(|_, value| !value.is_null());
        }
        let body = serde_json::to_vec(&body).map_err(Failure::refused)?;
        self.client.submit(aggregate, verb, &body, &new_intent()?).await
    }
}

/// The ledger's entry for a `member` key.
pub(super) fn member_entry(key: &StoredKey) -> PublicKey {
    let public = key.key.verifying_key().to_bytes();
    public_key(&public, vec![Use::Member], key.actor.clone())
}
