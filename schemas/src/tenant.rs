//! The tenant: founded by provisioning, taken over by deciders. Its one command changes the keys
//! that are no member's.

use serde::{Deserialize, Serialize};

use crate::catalogue::{commands, data, events};
use crate::ids::{ActorId, KeyId};
use crate::key::{Authorization, KeyChange, PublicKey};
use crate::member::{Part, key_change};

data! {
    /// A person or worker who is there from the first record on.
    FirstMember {
        /// Whose token.
        actor: ActorId,
        /// What they may do.
        #[schemars(length(min = 1, max = 5))]
        parts: Vec<Part>,
    }
    /// Record 1: the trust that everything later rests on.
    Founded {
        /// The first keys: root, enrol, record, checkpoint, and those of the first members.
        #[schemars(length(min = 4, max = 64))]
        keys: Vec<PublicKey>,
        /// The first members.
        #[schemars(length(min = 1, max = 32))]
        members: Vec<FirstMember>,
    }
    /// A new holder's first record.
    TakenOver {
        /// The decider's name, of this process only.
        decider: ActorId,
        /// Why the hand-over happened.
        reason: Reason,
    }
    /// Adds and revokes `root`, `enrol`, `record`, `checkpoint` and `witness` keys.
    RotateKeys {
        /// Keys that hold from the next position.
        #[schemars(length(max = 16))]
        keys: Vec<PublicKey>,
        /// Keys that end with this position.
        #[schemars(length(max = 16))]
        revoked: Vec<KeyId>,
        /// By a root key.
        authorization: Authorization,
    }
}
key_change!(RotateKeys);

/// Why a tenant changed hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nobody held it.
    Unheld,
    /// The holder's liveness ended.
    HolderGone,
    /// The same decider began again.
    Restarted,
}

commands! { "tenant";
    /// Changes the tenant's own keys.
    "rotate-keys" => RotateKeys(RotateKeys),
}

events! { "tenant";
    /// Record 1.
    "founded" v 1 => Founded(Founded),
    /// A hand-over.
    "taken-over" v 1 => TakenOver(TakenOver),
    /// The tenant's own keys changed.
    "keys-rotated" v 1 => KeysRotated(RotateKeys),
}
