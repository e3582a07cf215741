//! Who asks: a bearer or a request-bound token by a `member` key of the tenant it names, or the
//! token of a worker's lease. What they may do is for the decider to say; every member may read.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, AsHeaderName};
use canonry_projections::rows::Key;
use canonry_record::VerifyingKey;
use canonry_record::encoding::unbase64url_exact;
use canonry_record::jws::{self, Bearer, LeaseToken, Peek, RequestToken, TokenError};
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::key::Use;
use canonry_schemas::refusal::Refusal;

use crate::Api;
use crate::problem::{CATCHING_UP, Problem, TOKEN_MISSING};
use crate::projections::ReadError;

/// A person whose token holds.
#[derive(Debug, Clone)]
pub struct Caller {
    pub tenant: TenantId,
    pub actor: ActorId,
    /// The token itself, to be handed on.
    pub token: String,
    pub claims: Claims,
    /// The key that signed.
    pub key: String,
}

impl Caller {
    /// Whether it is a worker under a lease.
    pub const fn is_leased(&self) -> bool {
        matches!(self.claims, Claims::Lease)
    }
}

/// What kind of token it is.
#[derive(Debug, Clone)]
pub enum Claims {
    /// For reads and ordinary writes, until this moment (seconds since 1970).
    Bearer(i64),
    /// For one request only.
    Request(RequestToken),
    /// Of a worker's lease.
    Lease,
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let refusal = match error {
            TokenError::Expired | TokenError::Lifetime => Refusal::TokenExpired,
            _ => Refusal::TokenInvalid,
        };
        Self::new(refusal.code(), error.to_string())
    }
}

/// A header that must not come twice.
pub fn single(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value.to_owned())),
        _ => Err(Refusal::BadHeader.into()),
    }
}

/// Reads and verifies the token. A key that is not known yet is looked for again once the read
/// models have come to `min_position`.
pub async fn authenticate(
    api: &Api,
    headers: &HeaderMap,
    min_position: Option<u64>,
) -> Result<Caller, Problem> {
    let header = single(headers, &AUTHORIZATION)?;
    let missing = || Problem::new(TOKEN_MISSING, "send Authorization: Bearer <token>");
    let header = header.ok_or_else(missing)?;
    let (scheme, token) = header.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    let peek = jws::peek(token)?;
    let audience = peek.claims["aud"].as_str().unwrap_or_default();
    let (tenant, kind) = audience
        .strip_prefix("canonry/")
        .and_then(|rest| rest.split_once('/'))
        .filter(|(_, kind)| ["api", "request", "lease"].contains(kind))
        .ok_or(TokenError::Audience)?;
    let bound = kind == "request";
    let of_lease = kind == "lease";
    let tenant: TenantId = tenant.parse().map_err(|_| TokenError::Audience)?;
    if of_lease {
        return leased(api, tenant, token, &peek, min_position).await;
    }
    let kid = peek.kid.to_string();
    let key = match (find(api, &tenant, kid.clone()).await, min_position) {
        (Err(problem), Some(position)) if problem.code() == Refusal::KeyUnknown.code() => {
            api.projections.wait(&tenant, position).await?;
            find(api, &tenant, kid).await?
        }
        (found, _) => found?,
    };
    let now = (api.now)();
    if key.notafter.as_deref().is_some_and(|end| now.to_string().as_str() > end) {
        return Err(Refusal::KeyExpired.into());
    }
    let public = unbase64url_exact::<32>(&key.public)
        .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
        .ok_or(Refusal::KeyUnknown)?;
    let (issuer, claims) = if bound {
        let claims: RequestToken = jws::verify_as(token, &public)?;
        (claims.iss.clone(), Claims::Request(claims))
    } else {
        let claims: Bearer = jws::verify_as(token, &public)?;
        claims.check(tenant.as_str(), now.seconds())?;
        (claims.iss, Claims::Bearer(claims.exp))
    };
    if issuer != key.actor {
        return Err(Refusal::TokenInvalid.into());
    }
    let actor = issuer.parse().map_err(|_| Refusal::TokenInvalid)?;
    Ok(Caller { tenant, actor, token: token.to_owned(), claims, key: key.id })
}

/// A worker under a lease that lives as far as was read. Whether it does the decider says anew at
/// every command.
async fn leased(
    api: &Api,
    tenant: TenantId,
    token: &str,
    peek: &Peek,
    min_position: Option<u64>,
) -> Result<Caller, Problem> {
    if let Some(position) = min_position {
        api.projections.wait(&tenant, position).await?;
    }
    let id = peek.claims["lease"].as_str().ok_or(Refusal::TokenInvalid)?.to_owned();
    let look = api.projections.read(&tenant, move |s| {
        let Some(lease) = s.lease(&id)? else { return Ok(None) };
        let present = s.is_member(&lease.worker)?;
        Ok(Some((lease, present)))
    });
    let found = match look.await {
        Ok((_, found)) => found,
        Err(ReadError::UnknownTenant) if api.projections.is_behind(&tenant) => None,
        Err(error) => return Err(error.into()),
    };
    let Some((lease, present)) = found else {
        return Err(if api.projections.is_behind(&tenant) {
            Problem::new(CATCHING_UP, "the read models are still being brought up to date")
        } else {
            Refusal::LeaseUnknown.into()
        });
    };
    let public = unbase64url_exact::<32>(&lease.key)
        .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
        .ok_or(Refusal::KeyUnknown)?;
    let claims: LeaseToken = jws::verify_as(token, &public)?;
    let now = (api.now)();
    claims.check(tenant.as_str(), now.seconds())?;
    if claims.iss != lease.worker || claims.run != lease.run {
        return Err(Refusal::TokenInvalid.into());
    }
    let over = match (present, lease.status.as_str()) {
        (false, _) => Some(Refusal::ActorRemoved),
        (true, "issued") if now.to_string() < lease.expires => None,
        (true, "issued") => Some(Refusal::LeaseExpired),
        (true, "ended") => Some(Refusal::RunEnded),
        _ => Some(Refusal::LeaseRevoked),
    };
    if let Some(refusal) = over {
        return Err(refusal.into());
    }
    let actor = claims.iss.parse().map_err(|_| Refusal::TokenInvalid)?;
    let (token, key) = (token.to_owned(), peek.kid.to_string());
    Ok(Caller { tenant, actor, token, claims: Claims::Lease, key })
}

/// A key that may sign now, of a member who is still there.
async fn find(api: &Api, tenant: &TenantId, kid: String) -> Result<Key, Problem> {
    let look = api.projections.read(tenant, move |s| {
        let Some(key) = s.key(&kid)? else { return Ok(None) };
        let present = s.is_member(&key.actor)?;
        Ok(Some((key, present)))
    });
    let look = match look.await {
        Ok((_, found)) => found,
        Err(ReadError::UnknownTenant) if api.projections.is_behind(tenant) => None,
        Err(error) => return Err(error.into()),
    };
    match look {
        Some((key, true)) if !key.revoked && key.uses.contains(&Use::Member) => Ok(key),
        Some((key, false)) if !key.revoked => Err(Refusal::ActorRemoved.into()),
        // The enrolment may stand among what was not read yet.
        None if api.projections.is_behind(tenant) => {
            Err(Problem::new(CATCHING_UP, "the read models are still being brought up to date"))
        }
        _ => Err(Refusal::KeyUnknown.into()),
    }
}
