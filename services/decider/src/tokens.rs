//! Tokens at the desk: who signed, for what, until when. Signatures are checked strictly
//! (RFC 8032), always against the tenant's key ring at this position.

use canonry_domain::{Approval, Assertion};
use canonry_record::jws::{self, Bearer, Decision, RequestToken, TokenError};
use canonry_record::ring::Entry;
use canonry_record::{Hash, KeyRing};
use canonry_schemas::ids::{ActorId, IntentId, KeyId, TenantId};
use canonry_schemas::key::{KeyChange, PublicKey, Use};
use canonry_schemas::member::{self, Part};
use canonry_schemas::refusal::Refusal;
use canonry_schemas::time::Time;

/// What a token is shown for.
pub struct Request<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// What the client wrote as aggregate.
    pub aggregate: &'a str,
    /// What the client wrote as verb.
    pub verb: &'a str,
    /// The body as sent.
    pub body: &'a [u8],
    /// The intent.
    pub intent: &'a IntentId,
    /// Expiry is judged by this.
    pub now: Time,
}

/// What a token shows.
#[derive(Debug)]
pub struct Shown {
    /// Who signed it.
    pub actor: ActorId,
    /// SHA-256 of the token.
    pub digest: Hash,
    /// Whether it is bound to this request.
    pub bound: bool,
}

/// What is answered to a token that does not hold.
pub(crate) fn refusal(error: TokenError) -> Refusal {
    match error {
        TokenError::Expired | TokenError::Lifetime => Refusal::TokenExpired,
        TokenError::Malformed
        | TokenError::Header
        | TokenError::Signature
        | TokenError::Audience => Refusal::TokenInvalid,
    }
}

/// The key of this use that is said to have signed a token, if it holds.
fn holding<'r>(
    ring: &'r KeyRing,
    kid: &KeyId,
    wanted: Use,
    now: Time,
) -> Result<&'r Entry, Refusal> {
    let entry = ring.key(kid).ok_or(Refusal::KeyUnknown)?;
    if !entry.is_current() || !entry.may(wanted) {
        return Err(Refusal::KeyUnknown);
    }
    if entry.has_expired(now) { Err(Refusal::KeyExpired) } else { Ok(entry) }
}

/// The `member` key that signed a token, if it holds and is its issuer's.
fn signer<'r>(
    ring: &'r KeyRing,
    token: &str,
    now: Time,
) -> Result<(&'r Entry, serde_json::Value), Refusal> {
    let peek = jws::peek(token).map_err(refusal)?;
    let entry = holding(ring, &peek.kid, Use::Member, now)?;
    let claims = jws::verify(token, &entry.verifying).map_err(refusal)?;
    if claims.get("iss").and_then(serde_json::Value::as_str) != Some(entry.key.actor.as_str()) {
        return Err(Refusal::TokenInvalid);
    }
    Ok((entry, claims))
}

/// Checks a bearer or a request-bound token.
///
/// # Errors
/// `token-invalid`, `token-expired`, `key-unknown`, `key-expired`.
pub fn check(ring: &KeyRing, token: &str, request: &Request<'_>) -> Result<Shown, Refusal> {
    let (entry, claims) = signer(ring, token, request.now)?;
    let (tenant, now) = (request.tenant.as_str(), request.now.seconds());
    let bound = claims.get("aggregate").is_some();
    if bound {
        let token: RequestToken =
            serde_json::from_value(claims).map_err(|_| Refusal::TokenInvalid)?;
        let named = (request.aggregate, request.verb);
        token.check(tenant, named, request.body, request.intent.as_str(), now).map_err(refusal)?;
    } else {
        let token: Bearer = serde_json::from_value(claims).map_err(|_| Refusal::TokenInvalid)?;
        token.check(tenant, now).map_err(refusal)?;
    }
    Ok(Shown { actor: entry.key.actor.clone(), digest: jws::digest(token), bound })
}

/// Checks the signature, audience and life of an approval; what it is for is the domain's rule.
///
/// # Errors
/// `token-invalid`, `token-expired`, `key-unknown`, `key-expired`, `approval-invalid`.
pub fn approval(
    ring: &KeyRing,
    tenant: &TenantId,
    token: &str,
    now: Time,
) -> Result<Approval, Refusal> {
    let (entry, claims) = signer(ring, token, now)?;
    let a: jws::Approval = serde_json::from_value(claims).map_err(|_| Refusal::ApprovalInvalid)?;
    let own = (a.sub.as_str(), a.decision);
    a.check(tenant.as_str(), own, &a.intent, (a.position, a.hash), now.seconds())
        .map_err(refusal)?;
    Ok(Approval {
        by: entry.key.actor.clone(),
        entity: a.sub,
        approve: a.decision == Decision::Approve,
        intent: a.intent,
        position: a.position,
        hash: a.hash.to_string(),
    })
}

/// Checks the signature, audience and life of an assertion; what it is for, and whether its level is
/// enough, is the domain's rule.
///
/// # Errors
/// `assertion-invalid`, `assertion-expired`, `key-unknown`, `key-expired`.
pub fn assertion(
    ring: &KeyRing,
    tenant: &TenantId,
    token: &str,
    now: Time,
) -> Result<Assertion, Refusal> {
    let refusal = |error| match error {
        TokenError::Expired | TokenError::Lifetime => Refusal::AssertionExpired,
        _ => Refusal::AssertionInvalid,
    };
    let kid = jws::peek(token).map_err(refusal)?.kid;
    let entry = holding(ring, &kid, Use::StepUp, now)?;
    let a: jws::Assertion = jws::verify_as(token, &entry.verifying).map_err(refusal)?;
    if a.iss != entry.key.actor.as_str() {
        return Err(Refusal::AssertionInvalid);
    }
    a.check(tenant.as_str(), &a.sub, &a.intent, (a.position, a.hash), now.seconds())
        .map_err(refusal)?;
    Ok(Assertion {
        by: entry.key.actor.clone(),
        entity: a.sub,
        level: a.level,
        reach: entry.key.level.unwrap_or(0),
        intent: a.intent,
        position: a.position,
        hash: a.hash.to_string(),
    })
}

/// The level that each member's `stepup` keys reach now.
#[must_use]
pub fn reaches(ring: &KeyRing, now: Time) -> Vec<(ActorId, u8)> {
    let holding = ring.with_use(Use::StepUp).filter(|entry| !entry.has_expired(now));
    holding.filter_map(|entry| Some((entry.key.actor.clone(), entry.key.level?))).collect()
}

/// Whether a change of keys is authorised, and only of the member it names. What one steps up with
/// comes by a rotation only, for people only; which key may authorise it the ring knows.
///
/// # Errors
/// `keys-moved`, `keys-unauthorized`, `keys-invalid`.
pub fn key_change(
    ring: &KeyRing,
    subject: &ActorId,
    change: &KeyChange,
    (command, parts): (&member::Command, &[Part]),
    now: Time,
) -> Result<(), Refusal> {
    let rotates = matches!(command, member::Command::RotateKeys(_));
    let steps_up = rotates && !parts.contains(&Part::Worker);
    let fits = |k: &PublicKey| match k.uses[..] {
        [Use::Member | Use::Login] => &k.actor == subject,
        [Use::StepUp] => &k.actor == subject && steps_up,
        _ => false,
    };
    let fits = change.keys.iter().all(fits);
    let own_ids =
        change.revoked.iter().all(|id| ring.key(id).is_some_and(|e| &e.key.actor == subject));
    if !fits || !own_ids {
        return Err(Refusal::KeysInvalid);
    }
    if matches!(command, member::Command::Remove(_)) {
        let mut held = ring.entries().filter(|e| e.is_current() && &e.key.actor == subject);
        if held.any(|e| !change.revoked.contains(&e.key.id)) {
            return Err(Refusal::KeysInvalid);
        }
    }
    let own = rotates.then_some(subject);
    lawful(ring, change, own, now)
}

fn lawful(
    ring: &KeyRing,
    change: &KeyChange,
    own: Option<&ActorId>,
    now: Time,
) -> Result<(), Refusal> {
    ring.check_change(change, own, now).map_err(|error| match error.code() {
        "keys-moved" => Refusal::KeysMoved,
        "record-key-count" => Refusal::RecordKeyMissing,
        "root-key-missing" => Refusal::RootKeyMissing,
        code if code.starts_with("authorization-") => Refusal::KeysUnauthorized,
        _ => Refusal::KeysInvalid,
    })?;
    // Nothing that has ended already is enrolled.
    let ended = |key: &PublicKey| key.notafter.is_some_and(|end| end <= now);
    if change.keys.iter().any(ended) { Err(Refusal::KeysInvalid) } else { Ok(()) }
}

/// Whether a change of the tenant's own keys is authorised, touches no member's keys, and leaves
/// the tenant with a record, a checkpoint and a root key that do not expire: a record key that
/// expired could not even sign the record that replaces it.
///
/// # Errors
/// `keys-moved`, `keys-unauthorized`, `keys-invalid`, `record-key-missing`,
/// `checkpoint-key-missing`, `root-key-missing`.
pub fn tenant_change(ring: &KeyRing, change: &KeyChange, now: Time) -> Result<(), Refusal> {
    let personal = |key: &PublicKey| {
        key.uses.iter().any(|u| matches!(u, Use::Member | Use::Login | Use::StepUp))
    };
    let ends_personal =
        change.revoked.iter().any(|id| ring.key(id).is_some_and(|e| personal(&e.key)));
    if ends_personal || change.keys.iter().any(personal) {
        return Err(Refusal::KeysInvalid);
    }
    lawful(ring, change, None, now)?;
    let kept = || {
        let current = ring.entries().filter(|e| e.is_current()).map(|e| &e.key);
        let current = current.filter(|key| !change.revoked.contains(&key.id));
        current.chain(&change.keys).filter(|key| key.notafter.is_none())
    };
    for (wanted, refusal) in [
        (Use::Record, Refusal::RecordKeyMissing),
        (Use::Checkpoint, Refusal::CheckpointKeyMissing),
        (Use::Root, Refusal::RootKeyMissing),
    ] {
        if !kept().any(|key| key.uses.contains(&wanted)) {
            return Err(refusal);
        }
    }
    Ok(())
}
