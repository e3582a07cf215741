//! The policy in force: shown with how sure this process is of it, and asked for advice. What may be
//! done only a decider says, in a record; a copy that nobody confirmed denies (ADR 26).

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::{Json, response::IntoResponse as _};
use bytes::Bytes;
use canonry_policy::distributed::{Advice, Standing, View};
use canonry_policy::recorded::recorded;
use canonry_policy::{Input, input};
use canonry_projections::acts;
use canonry_schemas::decision::{Obligation, Verdict};
use canonry_schemas::limits::INPUT_BYTES;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::time::Time;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Api;
use crate::auth::{Caller, Claims, authenticate};
use crate::problem::{POLICY_STALE, Problem};
use crate::query::{Plain, PolicyNow};
use crate::read::{Answered, Asked, answer};
use crate::write::bounded;

/// What a copy is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Worth {
    /// The holder confirmed it within the bundle's `ttl_seconds`.
    Fresh,
    /// Nobody did: everything is denied.
    Stale,
    /// The holder says that no policy was published: everything is denied.
    Missing,
    /// It has expired: everything is denied.
    Expired,
}

/// How sure this process is of which policy is in force.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Confirmed {
    /// What its copy is worth now.
    worth: Worth,
    /// Seconds since the holder said last what is in force; absent before the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
    /// The position at which the holder stood when it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<u64>,
    /// When it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_time: Option<Time>,
}

impl From<&View> for Confirmed {
    fn from(view: &View) -> Self {
        Self {
            worth: match view.standing {
                Standing::Fresh(_) => Worth::Fresh,
                Standing::Stale => Worth::Stale,
                Standing::Missing => Worth::Missing,
                Standing::Expired => Worth::Expired,
            },
            age_seconds: view.age.map(|age| age.as_secs()),
            confirmed_at: view.heard.map(|(position, _)| position),
            confirmed_time: view.heard.map(|(_, time)| time),
        }
    }
}

/// The policy that was published last, and how sure this process is that it is in force.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InForce {
    #[serde(flatten)]
    policy: acts::Policy,
    /// Of this process's own copy, which may know of another policy already.
    copy: Confirmed,
}

/// Which policy was asked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Which {
    /// Where it was published.
    position: u64,
    /// SHA-256 of its bundle.
    digest: String,
    /// Its revision.
    revision: u64,
    /// Its version, for people.
    version: String,
    /// When it expires.
    expires: Time,
    /// For how long a copy may be used after it was confirmed.
    ttl_seconds: u64,
}

/// What the copy of the policy says. Advice: it allows nothing.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Checked {
    /// Always true: only a decision that a decider recorded allows anything.
    advisory: bool,
    /// The verdict.
    verdict: Verdict,
    /// Why it is DENY though no rule said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The rules that matched.
    rules: Vec<String>,
    /// What whoever carries it out would have to do.
    obligations: Vec<Obligation>,
    /// What the verdict has beside it, such as `approvals`, `retry_after` or `to`.
    members: Map<String, Value>,
    /// The policy; absent where none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Which>,
    /// How sure this process is of it.
    copy: Confirmed,
}

impl Checked {
    fn of(advice: &Advice) -> Self {
        let said = advice.decision.as_ref().map(|said| (said, recorded(said, None, None)));
        let mut members = match said.as_ref().map(|(said, _)| json!(said.verdict)) {
            Some(Value::Object(members)) => members,
            _ => Map::new(),
        };
        members.remove("verdict");
        let policy = advice.view.held.as_ref().map(|held| {
            let p = &held.published;
            Which {
                position: p.position,
                digest: p.digest.as_str().to_owned(),
                revision: p.revision,
                version: p.version.0.clone(),
                expires: p.expires,
                ttl_seconds: p.ttl_seconds,
            }
        });
        let decision = said.map(|(_, decision)| decision);
        Self {
            advisory: true,
            verdict: decision.as_ref().map_or(Verdict::Deny, |d| d.verdict),
            code: advice.code.map(str::to_owned),
            rules: decision.iter().flat_map(|d| d.rules.iter().map(|r| r.0.clone())).collect(),
            obligations: decision.map(|d| d.obligations).unwrap_or_default(),
            members,
            policy,
            copy: Confirmed::from(&advice.view),
        }
    }
}

/// Who sent a body that is no command, and the body, of at most so many bytes.
pub async fn sent(api: &Api, request: Request, most: usize) -> Result<(Caller, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    let caller = reads(api, &parts).await?;
    Ok((caller, bounded(&parts.headers, body, most).await?))
}

/// Who asks, under a token for reads; waits for `min_position`.
async fn reads(api: &Api, parts: &Parts) -> Result<Caller, Problem> {
    let Query(query): Query<Plain> = Query::try_from_uri(&parts.uri)?;
    let caller = authenticate(api, &parts.headers, query.min_position).await?;
    if let Claims::Request(_) = caller.claims {
        return Err(Refusal::TokenInvalid.into());
    }
    if let Some(position) = query.min_position {
        api.projections.wait(&caller.tenant, position).await?;
    }
    Ok(caller)
}

/// The policy that was published last.
pub async fn in_force(State(api): State<Api>, asked: Asked<PolicyNow>) -> Answered {
    let view = api.policies.view(&asked.caller.tenant);
    if asked.query.fresh == Some(true)
        && let Some(code) = view.standing.denies()
    {
        let told = match code {
            POLICY_STALE => "nobody confirmed within its time to live that it is in force",
            _ => "no policy decides: everything is denied",
        };
        return Err(Problem::new(code, told));
    }
    let (head, policy) = asked.read(&api, |s| s.policy()).await?;
    let policy = policy.ok_or(Refusal::PolicyUnknown)?;
    Ok(answer(&head, json!(InForce { policy, copy: Confirmed::from(&view) })))
}

/// The input as it was sent: fields that are left out are empty, but who is asked and when.
fn completed(api: &Api, caller: &Caller, body: &[u8]) -> Result<Input, Problem> {
    let invalid = |why: String| Problem::new(Refusal::SchemaViolation.code(), why);
    // What does not read is not told in its own words: it may be content.
    let mut input = input::completed(body).map_err(|_| invalid("not an input document".into()))?;
    if input.tenant.is_empty() {
        caller.tenant.as_str().clone_into(&mut input.tenant);
    }
    if input.tenant != caller.tenant.as_str() {
        return Err(invalid("the input is of another tenant".to_owned()));
    }
    if input.time == 0 {
        input.time = u64::try_from((api.now)().0).unwrap_or_default();
    }
    Ok(input)
}

/// Asks the copy of the policy about an input.
pub async fn check(State(api): State<Api>, request: Request) -> Answered {
    let (caller, body) = sent(&api, request, INPUT_BYTES).await?;
    let input = completed(&api, &caller, &body)?;
    let places = Arc::clone(&api.checks);
    let place = places.acquire_owned().await.map_err(|e| Problem::internal(&e))?;
    let policies = Arc::clone(&api.policies);
    let asked = tokio::task::spawn_blocking(move || {
        let advice = policies.advise(&caller.tenant, &input);
        drop(place);
        Checked::of(&advice)
    });
    let checked = asked.await.map_err(|e| Problem::internal(&e))?;
    Ok(([("cache-control", "no-store")], Json(checked)).into_response())
}
