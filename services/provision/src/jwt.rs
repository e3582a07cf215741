//! NATS JWTs, version 2, as `nsc` writes them: operator, account, user and activation claims,
//! signed with nkeys. Pure apart from the clock behind `iat`; what the claims say is decided in
//! [`crate::accounts`] and [`crate::users`].

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use nkeys::KeyPair;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512_256};

use crate::error::Error;

const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// The kinds of claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The operator's own, self-signed.
    Operator,
    /// An account's, signed by the operator.
    Account,
    /// A user's, signed by its account.
    User,
    /// Leave to import one subject, signed by the exporting account.
    Activation,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Account => "account",
            Self::User => "user",
            Self::Activation => "activation",
        }
    }
}

/// Signs claims: `nats` is the part that differs by kind; its `type` and `version` are set here.
///
/// # Errors
/// When the issuer holds no seed.
pub fn encode(
    kind: Kind,
    issuer: &KeyPair,
    subject: &str,
    name: &str,
    nats: Map<String, Value>,
) -> Result<String, Error> {
    encode_for(kind, issuer, subject, name, nats, Life::from_now(None))
}

/// When claims hold, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// From when; a server keeps the claims of an account that were issued last.
    pub issued: u64,
    /// Until when; none: for ever. A server ends the connections of a user whose time is over.
    pub until: Option<i64>,
}

impl Life {
    /// From now on.
    #[must_use]
    pub fn from_now(until: Option<i64>) -> Self {
        let issued = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Self { issued, until }
    }
}

/// As [`encode`], for a time.
///
/// # Errors
/// As [`encode`].
pub fn encode_for(
    kind: Kind,
    issuer: &KeyPair,
    subject: &str,
    name: &str,
    nats: Map<String, Value>,
    life: Life,
) -> Result<String, Error> {
    let mut nats = nats;
    nats.insert("type".into(), kind.as_str().into());
    nats.insert("version".into(), 2.into());
    let mut claims = json!({
        "iat": life.issued, "iss": issuer.public_key(), "name": name, "sub": subject, "nats": nats,
    });
    if let Some(until) = life.until {
        claims["exp"] = until.into();
    }
    let id = BASE32_NOPAD.encode(&Sha512_256::digest(claims.to_string().as_bytes()));
    claims["jti"] = id.into();
    let signed = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(HEADER.as_bytes()),
        BASE64URL_NOPAD.encode(claims.to_string().as_bytes())
    );
    let signature = issuer
        .sign(signed.as_bytes())
        .map_err(|e| Error::Nkey { name: name.to_owned(), why: e.to_string() })?;
    Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
}

/// The claims of a token whose signature by its own `iss` verifies; whether that issuer is to be
/// trusted is the caller's to say.
///
/// # Errors
/// [`Error::Jwt`] when it is not a token, or the signature does not verify.
pub fn decode(token: &str) -> Result<Value, Error> {
    let bad = Error::Jwt;
    let (signed, signature) = token.rsplit_once('.').ok_or(bad("no signature"))?;
    let (header, claims) = signed.split_once('.').ok_or(bad("no claims"))?;
    if BASE64URL_NOPAD.decode(header.as_bytes()).ok().as_deref() != Some(HEADER.as_bytes()) {
        return Err(bad("unknown header"));
    }
    let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).map_err(|_| bad("claims: base64url"))?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|_| bad("claims: JSON"))?;
    let issuer = claims["iss"].as_str().ok_or(bad("no issuer"))?;
    let issuer = KeyPair::from_public_key(issuer).map_err(|_| bad("issuer is no public key"))?;
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| bad("signature"))?;
    issuer.verify(signed.as_bytes(), &signature).map_err(|_| bad("signature does not verify"))?;
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_verifies_until_it_is_changed() {
        let operator = KeyPair::new_operator();
        let subject = KeyPair::new_account().public_key();
        let token = encode(Kind::Account, &operator, &subject, "ACME", Map::new()).expect("valid");
        let claims = decode(&token).expect("valid");
        assert_eq!(claims["nats"], json!({"type": "account", "version": 2}));
        assert_eq!(claims["iss"], operator.public_key());
        assert_eq!(claims["jti"].as_str().expect("valid").len(), 52);
        let (head, tail) = token.split_at(token.len() / 2);
        let swapped = if tail.starts_with('A') { "B" } else { "A" };
        assert!(decode(&format!("{head}{swapped}{}", &tail[1..])).is_err());
        assert!(decode("a.b").is_err());
    }
}
