//! Tokens: compact JWS with EdDSA by a `member` key, and the claims that Canonry knows.
//! A token binds; it never carries content. Which key must have signed is the caller's to know.

use canonry_schemas::ids::KeyId;
use canonry_schemas::json;
use canonry_schemas::limits::{
    ASSERTION_LIFE, BEARER_LIFE, CLOCK_SKEW, JWT_BYTES, LEASE_LIFE, REQUEST_LIFE,
};
use ed25519_dalek::{Signer as _, VerifyingKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::encoding::{base64url, unbase64url, unbase64url_exact};
use crate::hash::{Hash, key_id, sha256};
use crate::seal::{Signer, verify_strict};

/// Why a token is refused; the text of [`TokenError::code`] is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a compact JWS of ours, too long, or with claims of another kind.
    #[error("not a token: malformed, too long, or with other claims than expected")]
    Malformed,
    /// Another algorithm than EdDSA, or a header that we do not know.
    #[error("the token's header is not {{alg: EdDSA, typ: JWT, kid}} of this key")]
    Header,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// Its time lies ahead, or it lives too long.
    #[error("the token begins in the future or lives too long")]
    Lifetime,
    /// Made for something else.
    #[error("the token is for another audience or request")]
    Audience,
}

impl TokenError {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "token-malformed",
            Self::Header => "token-header",
            Self::Signature => "token-signature",
            Self::Expired => "token-expired",
            Self::Lifetime => "token-lifetime",
            Self::Audience => "token-audience",
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: KeyId,
}

/// What a token says before anything is verified: enough to look its key up.
#[derive(Debug, Clone, PartialEq)]
pub struct Peek {
    /// The key that is said to have signed.
    pub kid: KeyId,
    /// The claims.
    pub claims: Value,
}

/// Makes a token.
#[must_use]
pub fn sign(claims: &impl Serialize, signer: &Signer) -> String {
    let header = Header { alg: "EdDSA".into(), typ: "JWT".into(), kid: signer.id.clone() };
    let header = serde_json::to_vec(&header).expect("a header is strings");
    let claims = serde_json::to_vec(claims).expect("claims are plain structs");
    let mut token = format!("{}.{}", base64url(&header), base64url(&claims));
    let signature = signer.key.sign(token.as_bytes()).to_bytes();
    token.push('.');
    token.push_str(&base64url(&signature));
    token
}

struct Parts<'a> {
    signed: &'a str,
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: [u8; 64],
}

fn parts(token: &str) -> Result<Parts<'_>, TokenError> {
    let split = || {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        Some(Parts {
            signed,
            header: unbase64url(header)?,
            payload: unbase64url(payload)?,
            signature: unbase64url_exact(signature)?,
        })
    };
    if token.len() > JWT_BYTES { None } else { split() }.ok_or(TokenError::Malformed)
}

fn header(parts: &Parts<'_>) -> Result<Header, TokenError> {
    let header: Header = json::typed(&parts.header).map_err(|_| TokenError::Header)?;
    let ours = header.alg == "EdDSA" && header.typ == "JWT";
    if ours { Ok(header) } else { Err(TokenError::Header) }
}

/// Reads a token without trust.
///
/// # Errors
/// It is malformed or has another header than ours.
pub fn peek(token: &str) -> Result<Peek, TokenError> {
    let parts = parts(token)?;
    let kid = header(&parts)?.kid;
    let claims = json::parse(&parts.payload).map_err(|_| TokenError::Malformed)?;
    Ok(Peek { kid, claims })
}

/// The payload of any compact EdDSA JWS by this key; RFC 8037 and nothing more.
///
/// # Errors
/// It is malformed, of another algorithm, or wrongly signed.
pub fn open(token: &str, key: &VerifyingKey) -> Result<Vec<u8>, TokenError> {
    let parts = parts(token)?;
    let header = json::parse(&parts.header).map_err(|_| TokenError::Header)?;
    if header["alg"] != "EdDSA" || header.get("crit").is_some() {
        return Err(TokenError::Header);
    }
    if verify_strict(key, parts.signed.as_bytes(), &parts.signature) {
        Ok(parts.payload)
    } else {
        Err(TokenError::Signature)
    }
}

/// The claims of a token by this key.
///
/// # Errors
/// It is malformed, has another header than ours, or is wrongly signed.
pub fn verify(token: &str, key: &VerifyingKey) -> Result<Value, TokenError> {
    if header(&parts(token)?)?.kid != key_id(key.as_bytes()) {
        return Err(TokenError::Header);
    }
    let claims = json::parse(&open(token, key)?).map_err(|_| TokenError::Malformed)?;
    if claims.is_object() { Ok(claims) } else { Err(TokenError::Malformed) }
}

/// As [`verify`], with the claims as one of the structs below.
///
/// # Errors
/// As [`verify`], and where the claims are of another kind.
pub fn verify_as<T: DeserializeOwned>(token: &str, key: &VerifyingKey) -> Result<T, TokenError> {
    serde_json::from_value(verify(token, key)?).map_err(|_| TokenError::Malformed)
}

/// SHA-256 of a token: the envelope's `authdigest`.
#[must_use]
pub fn digest(token: &str) -> Hash {
    sha256(token.as_bytes())
}

/// Lets a service read and do ordinary writes for its issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bearer {
    /// The actor.
    pub iss: String,
    /// `canonry/<tenant>/api`.
    pub aud: String,
    /// The tenant.
    pub ten: String,
    /// Made at, in seconds since 1970.
    pub iat: i64,
    /// Ends at.
    pub exp: i64,
    /// The token's id.
    pub jti: String,
}

/// Stands for one request and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestToken {
    /// The actor.
    pub iss: String,
    /// `canonry/<tenant>/request`.
    pub aud: String,
    /// The command's aggregate.
    pub aggregate: String,
    /// The command's verb.
    pub verb: String,
    /// SHA-256 of the command's raw body.
    pub body: Hash,
    /// The command's intent id.
    pub intent: String,
    /// Made at.
    pub iat: i64,
    /// Ends at.
    pub exp: i64,
}

/// What an approver decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It may go on.
    Approve,
    /// It may not.
    Reject,
}

/// An approver's decision about what one record asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The approver.
    pub iss: String,
    /// `canonry/<tenant>/approval`.
    pub aud: String,
    /// The entity decided about, `<aggregate>/<id>`.
    pub sub: String,
    /// The decision.
    pub decision: Decision,
    /// The command's intent id.
    pub intent: String,
    /// Made at.
    pub iat: i64,
    /// Ends at.
    pub exp: i64,
    /// Position of the record that asked.
    pub position: u64,
    /// Hash of the record that asked.
    pub hash: Hash,
}

/// A person's word that they have just shown again who they are, at a level, for what one record
/// asked. Signed by their `stepup` key, which signs nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// The person.
    pub iss: String,
    /// `canonry/<tenant>/step-up`.
    pub aud: String,
    /// The entity that it is for, `<aggregate>/<id>`.
    pub sub: String,
    /// The level that was reached.
    pub level: u8,
    /// The command's intent id.
    pub intent: String,
    /// Made at.
    pub iat: i64,
    /// Ends at.
    pub exp: i64,
    /// Position of the record that asked.
    pub position: u64,
    /// Hash of the record that asked.
    pub hash: Hash,
}

/// Shows that its holder has the key of a lease. Signed by that key, which is no member's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseToken {
    /// The worker.
    pub iss: String,
    /// `canonry/<tenant>/lease`.
    pub aud: String,
    /// The lease.
    pub lease: String,
    /// The lease's run.
    pub run: String,
    /// Made at.
    pub iat: i64,
    /// Ends at.
    pub exp: i64,
    /// The token's id.
    pub jti: String,
}

fn lives(iat: i64, exp: i64, life: std::time::Duration, now: i64) -> Result<(), TokenError> {
    let whole = |d: std::time::Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    if exp <= now {
        return Err(TokenError::Expired);
    }
    let ahead = iat > now.saturating_add(whole(CLOCK_SKEW));
    if ahead || iat < 0 || exp <= iat || exp - iat > whole(life) {
        return Err(TokenError::Lifetime);
    }
    Ok(())
}

fn meant(ok: bool) -> Result<(), TokenError> {
    if ok { Ok(()) } else { Err(TokenError::Audience) }
}

impl Bearer {
    /// Whether it holds for this tenant's API now (seconds since 1970).
    ///
    /// # Errors
    /// Another audience, expired, or outside the bounds of a bearer's life.
    pub fn check(&self, tenant: &str, now: i64) -> Result<(), TokenError> {
        meant(self.aud == format!("canonry/{tenant}/api") && self.ten == tenant)?;
        lives(self.iat, self.exp, BEARER_LIFE, now)
    }
}

impl LeaseToken {
    /// Whether it holds for this tenant now; whether its lease does is for the ledger to say.
    ///
    /// # Errors
    /// Another audience, expired, or outside the bounds of a lease's life.
    pub fn check(&self, tenant: &str, now: i64) -> Result<(), TokenError> {
        meant(self.aud == format!("canonry/{tenant}/lease"))?;
        lives(self.iat, self.exp, LEASE_LIFE, now)
    }
}

impl RequestToken {
    /// Whether it holds for exactly this request now.
    ///
    /// # Errors
    /// Another request, expired, or outside the bounds of a request's life.
    pub fn check(
        &self,
        tenant: &str,
        (aggregate, verb): (&str, &str),
        body: &[u8],
        intent: &str,
        now: i64,
    ) -> Result<(), TokenError> {
        meant(self.aud == format!("canonry/{tenant}/request"))?;
        meant(self.aggregate == aggregate && self.verb == verb && self.intent == intent)?;
        meant(self.body == sha256(body))?;
        lives(self.iat, self.exp, REQUEST_LIFE, now)
    }
}

impl Approval {
    /// Whether it decides so about what this record asked for, by this intent, now.
    ///
    /// # Errors
    /// Another entity, decision, intent or record, expired, or outside the bounds of its life.
    pub fn check(
        &self,
        tenant: &str,
        (entity, decision): (&str, Decision),
        intent: &str,
        (position, hash): (u64, Hash),
        now: i64,
    ) -> Result<(), TokenError> {
        meant(self.aud == format!("canonry/{tenant}/approval"))?;
        meant(self.sub == entity && self.decision == decision && self.intent == intent)?;
        meant(self.position == position && self.hash == hash)?;
        lives(self.iat, self.exp, REQUEST_LIFE, now)
    }
}

impl Assertion {
    /// Whether it is of this tenant and about what this record asked, by this intent, now. Whether
    /// its level is enough, and its key reaches it, is the caller's to know.
    ///
    /// # Errors
    /// Another tenant, entity, intent or record, expired, or outside the bounds of its life.
    pub fn check(
        &self,
        tenant: &str,
        entity: &str,
        intent: &str,
        (position, hash): (u64, Hash),
        now: i64,
    ) -> Result<(), TokenError> {
        meant(self.aud == format!("canonry/{tenant}/step-up"))?;
        meant(self.sub == entity && self.intent == intent)?;
        meant(self.position == position && self.hash == hash)?;
        lives(self.iat, self.exp, ASSERTION_LIFE, now)
    }
}
