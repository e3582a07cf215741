//! Keys as they stand in records: the entries of `data.keys` and a change's authorization.
//! What makes a change lawful is decided in `canonry-record`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{ActorId, KeyId};
use crate::time::Time;

/// What a key may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// Authorises every change of keys; kept offline.
    Root,
    /// Authorises `member` and `login` keys, nothing else.
    Enrol,
    /// Signs records.
    Record,
    /// Signs heads and checkpoints.
    Checkpoint,
    /// Signs what a person asks for and decides.
    Member,
    /// Logs in to NATS and signs nothing else.
    Login,
    /// Cosigns checkpoints.
    Witness,
    /// Shows again, at a stronger level, who its person is; signs nothing else.
    StepUp,
}

/// The one algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Alg {
    /// RFC 8032.
    Ed25519,
}

/// One public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicKey {
    /// First 16 hex digits of SHA-256 of the 32 bytes.
    pub id: KeyId,
    /// Always `ed25519`.
    pub alg: Alg,
    /// The 32 bytes, base64url without padding.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{43}$"))]
    pub public: String,
    /// What it may do.
    #[serde(rename = "use")]
    #[schemars(length(min = 1, max = 7))]
    pub uses: Vec<Use>,
    /// Whose it is.
    pub actor: ActorId,
    /// Until when it holds: not for records, tokens and logins of a later time. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notafter: Option<Time>,
    /// The level that it reaches; there exactly where the use is `stepup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9))]
    pub level: Option<u8>,
}

/// Who allowed a change of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// Hash (hex) of the tenant's last record that changed keys.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub keyhead: String,
    /// `ed25519:<key id>:<base64url>`.
    #[schemars(regex(pattern = r"^ed25519:[0-9a-f]{16}:[A-Za-z0-9_-]{86}$"))]
    pub signature: String,
}

/// A change of keys, as it stands in a command and in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyChange {
    /// Keys that hold from the next position.
    #[schemars(length(max = 16))]
    pub keys: Vec<PublicKey>,
    /// Keys that end with this position.
    #[schemars(length(max = 16))]
    pub revoked: Vec<KeyId>,
    /// Who allowed it.
    pub authorization: Authorization,
}
