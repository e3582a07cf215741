//! The tenant: founded by provisioning, taken over by deciders, repaired with a root key. Its one
//! command changes the keys that are no member's.

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
    /// The last record that was verified before a loss.
    Verified {
        /// Its position, a decimal.
        #[schemars(regex(pattern = r"^[1-9][0-9]{0,19}$"))]
        position: String,
        /// Its hash.
        #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
        hash: String,
    }
    /// Positions without a record, the first and the last one.
    Lost {
        /// The first, a decimal.
        #[schemars(regex(pattern = r"^[1-9][0-9]{0,19}$"))]
        from: String,
        /// The last, a decimal.
        #[schemars(regex(pattern = r"^[1-9][0-9]{0,19}$"))]
        to: String,
    }
    /// The first record of a volume that was opened after a loss. It stands beyond every position
    /// that was ever given out, and its `prevhash` is that of the last verified record.
    Repaired {
        /// What it follows.
        after: Verified,
        /// What the ledger has no record for.
        lost: Lost,
        /// The highest position that anybody was known to have seen, a decimal: from there to the
        /// end of `lost` none was ever given out.
        #[schemars(regex(pattern = r"^[1-9][0-9]{0,19}$"))]
        given: String,
        /// The greatest content key that lost records may have used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(regex(pattern = r"^[0-9]{1,10}-[0-9]{1,3}$"))]
        content_key: Option<String>,
        /// By a root key, over everything else here: `ed25519:<key id>:<base64url>`.
        #[schemars(regex(pattern = r"^ed25519:[0-9a-f]{16}:[A-Za-z0-9_-]{86}$"))]
        authorization: String,
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
    /// Writing again after a loss.
    "repaired" v 1 => Repaired(Repaired),
}
