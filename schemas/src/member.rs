//! Members: the people and workers of a tenant, their parts and their keys.

use serde::{Deserialize, Serialize};

use crate::catalogue::{commands, data, events};
use crate::ids::{ActorId, KeyId, RoleId};
use crate::key::{Authorization, KeyChange, PublicKey};
use crate::text::Content;
use crate::time::Time;

/// What a member may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Hires roles, enrols members; everything else too.
    Founder,
    /// Answers approval requests.
    Approver,
    /// Runs the work queue.
    Operator,
    /// Reads.
    Auditor,
    /// Works for a role.
    Worker,
}

data! {
    /// Enrols a person or a worker.
    Enrol {
        /// The new member's token; never a service's.
        actor: ActorId,
        /// What they may do.
        #[schemars(length(min = 1, max = 5))]
        parts: Vec<Part>,
        /// The role that a worker works for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<RoleId>,
        /// The person's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<Content>,
        /// One `login` and one `member` key of the new member.
        #[schemars(length(min = 1, max = 16))]
        keys: Vec<PublicKey>,
        /// Empty on enrolment.
        #[schemars(length(max = 16))]
        revoked: Vec<KeyId>,
        /// By a root or enrol key.
        authorization: Authorization,
    }
    /// Removes a member: their keys end, their commands are refused.
    Remove {
        /// Who goes.
        actor: ActorId,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Content>,
        /// Empty on removal.
        #[schemars(length(max = 0))]
        keys: Vec<PublicKey>,
        /// All keys of the member that hold.
        #[schemars(length(max = 16))]
        revoked: Vec<KeyId>,
        /// By a root or enrol key.
        authorization: Authorization,
    }
    /// Replaces a member's keys.
    RotateKeys {
        /// Whose keys.
        actor: ActorId,
        /// The new keys.
        #[schemars(length(min = 1, max = 16))]
        keys: Vec<PublicKey>,
        /// The old ones.
        #[schemars(length(max = 16))]
        revoked: Vec<KeyId>,
        /// By a root or enrol key, or the member's old `member` key.
        authorization: Authorization,
    }
    /// An approver lets somebody answer in their place. A new delegation takes the place of the
    /// old one.
    Delegate {
        /// Who answers instead.
        to: ActorId,
        /// From when on; from now on when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Time>,
        /// Until when.
        until: Time,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Content>,
    }
    /// An approver is back.
    EndDelegation {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Content>,
    }
}

macro_rules! key_change {
    ($($name:ty),*) => {$(impl $name {
        /// The change of keys that this carries.
        #[must_use]
        pub fn key_change(&self) -> KeyChange {
            KeyChange {
                keys: self.keys.clone(),
                revoked: self.revoked.clone(),
                authorization: self.authorization.clone(),
            }
        }
    })*};
}
pub(crate) use key_change;
key_change!(Enrol, Remove, RotateKeys);

commands! { "member";
    /// Enrols.
    "enrol" => Enrol(Enrol),
    /// Removes.
    "remove" => Remove(Remove),
    /// Rotates keys.
    "rotate-keys" => RotateKeys(RotateKeys),
    /// Hands the right to approve over.
    "delegate" => Delegate(Delegate),
    /// Takes it back.
    "end-delegation" => EndDelegation(EndDelegation),
}

events! { "member";
    /// Enrolled.
    "enrolled" v 1 => Enrolled(Enrol),
    /// Removed.
    "removed" v 1 => Removed(Remove),
    /// Keys rotated.
    "keys-rotated" v 1 => KeysRotated(RotateKeys),
    /// Delegated by whose command it was.
    "delegated" v 1 => Delegated(Delegate),
    /// The delegation ended.
    "delegation-ended" v 1 => DelegationEnded(EndDelegation),
}
