//! Drafts of policies: what differs from the policy in force, and what a draft would have decided
//! otherwise. What is found and how is `canonry_policy::draft`, as for the command line.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use canonry_policy::bundle::{self, Trust};
use canonry_policy::draft::{Differs, Simulated, differences};
use canonry_policy::{Policy, Refused, Source};
use canonry_projections::{EventFilter, PageRequest, rows};
use canonry_record::encoding::unbase64_padded;
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::{
    BUNDLE_BYTES, DRAFT_BYTES, PAGE_MAX, SIMULATED_AT_ONCE, SIMULATION_TIME,
};
use canonry_schemas::refusal::Refusal;
use canonry_schemas::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::Api;
use crate::auth::Caller;
use crate::content;
use crate::policy::sent;
use crate::problem::{POLICY_BUSY, Problem};
use crate::read::Answered;

/// A draft: a bundle, or the files of an author. It does not come into force.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// A bundle's archive, base64. Who signed it is not asked.
    #[serde(default)]
    bundle: Option<String>,
    /// Rego files and `data.json`s by their names.
    #[serde(default)]
    files: Option<BTreeMap<String, String>>,
}

/// A draft, and what to ask it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Simulate {
    draft: Draft,
    /// How many decisions, the newest first.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000))]
    last: Option<u64>,
}

/// A draft, and what to compare it with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    draft: Draft,
    /// Position of the record that published the policy to compare with; else the one in force.
    #[serde(default)]
    #[schemars(range(min = 1))]
    at: Option<u64>,
}

/// What a draft would have decided otherwise.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Told {
    #[serde(flatten)]
    found: Simulated,
    /// Whether all was asked; else the time was over.
    complete: bool,
}

/// What differs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Compared {
    /// The policy that the draft was compared with; null where none was published.
    published: Option<ComparedWith>,
    /// Rules of the draft that decide.
    rules: usize,
    /// The files that differ.
    files: Vec<Differs>,
}

/// A policy that was published.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ComparedWith {
    position: u64,
    revision: u64,
    digest: String,
}

fn invalid(why: &str) -> Problem {
    Problem::new(Refusal::SchemaViolation.code(), why)
}

fn refused(refused: &Refused) -> Problem {
    Problem::new(refused.code.code(), refused.detail.clone())
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Problem> {
    let value = canonry_schemas::json::parse(body)
        .map_err(|e| Problem::new(Refusal::NotJson.code(), e.to_string()))?;
    // What does not fit is not told in its own words.
    serde_json::from_value(value).map_err(|_| invalid("the body has other members than it may"))
}

impl Draft {
    fn source(self) -> Result<Source, Problem> {
        match (self.bundle, self.files) {
            (Some(text), None) => {
                let archive = unbase64_padded(&text).ok_or_else(|| invalid("not base64"))?;
                if archive.len() > BUNDLE_BYTES {
                    return Err(Refusal::BundleTooLarge.into());
                }
                opened(&archive)
            }
            (None, Some(files)) => {
                let files = files.into_iter().map(|(name, text)| (name, text.into_bytes()));
                bundle::source(&files.collect()).map_err(|e| refused(&e))
            }
            _ => Err(invalid("a draft has either a bundle or files")),
        }
    }
}

/// A bundle that nobody puts in force by it: who signed it, and until when, is not asked.
fn opened(archive: &[u8]) -> Result<Source, Problem> {
    let trust = Trust { key: &|_| true, now: Time(0), newest: None };
    Ok(bundle::open(archive, &trust).map_err(|e| refused(&e))?.source)
}

/// A place for the work of one draft; none waits for one.
fn place(api: &Api) -> Result<OwnedSemaphorePermit, Problem> {
    let busy = |_| Problem::new(POLICY_BUSY, "as many drafts are at work as may be");
    Arc::clone(&api.drafts).try_acquire_owned().map_err(busy)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Problem::internal(&e))?
}

/// Inputs of actions are not for workers, as with `/events?content=true`.
async fn may_judge(api: &Api, caller: &Caller) -> Result<(), Problem> {
    let actor = caller.actor.to_string();
    let (_, member) = api.projections.read(&caller.tenant, move |s| s.member(&actor)).await?;
    let works = caller.is_leased() || member.is_none_or(|m| m.parts == json!(["worker"]));
    if works { Err(Refusal::NotAllowed.into()) } else { Ok(()) }
}

/// Asks a draft about the last decisions.
pub async fn simulate(State(api): State<Api>, request: Request) -> Answered {
    let (caller, body) = sent(&api, request, DRAFT_BYTES).await?;
    may_judge(&api, &caller).await?;
    let asked: Simulate = read(&body)?;
    let last = asked.last.unwrap_or(200);
    if !(1..=SIMULATED_AT_ONCE).contains(&last) {
        return Err(invalid("last: 1 to 1000"));
    }
    let place = place(&api)?;
    let begun = Instant::now();
    let draft = blocking(move || Policy::compile(&asked.draft.source()?).map_err(|e| refused(&e)));
    let draft = draft.await?;
    let (mut found, mut cursor) = (Simulated::default(), None);
    let complete = loop {
        let (rows, next) = decisions(&api, &caller.tenant, cursor.take()).await?;
        let draft = draft.clone();
        let asking = blocking(move || {
            for row in &rows {
                if found.decisions >= last || begun.elapsed() >= SIMULATION_TIME {
                    break;
                }
                let unread = |why: String| Problem::internal(&std::io::Error::other(why));
                found.take(&draft, row).map_err(unread)?;
            }
            Ok(found)
        });
        found = asking.await?;
        let in_time = begun.elapsed() < SIMULATION_TIME || found.decisions >= last;
        match next {
            Some(next) if found.decisions < last && in_time => cursor = Some(next),
            _ => break in_time,
        }
    };
    drop(place);
    Ok(([("cache-control", "no-store")], Json(Told { found, complete })).into_response())
}

/// A page of decisions about actions, the newest first, with what each policy was told.
async fn decisions(
    api: &Api,
    tenant: &TenantId,
    cursor: Option<String>,
) -> Result<(Vec<Value>, Option<String>), Problem> {
    let filter = EventFilter {
        kind: Some("action".to_owned()),
        refusal: Some(false),
        newest_first: true,
        ..EventFilter::default()
    };
    let page = PageRequest { limit: Some(PAGE_MAX), cursor };
    let (_, page) = api.projections.read(tenant, move |s| s.events(&filter, &page)).await?;
    let open = |event: &rows::Event| {
        let mut row = json!(event);
        content::open(&*api.content, tenant, &event.entity, content::ACTION_EVENT, &mut row);
        row
    };
    Ok((page.items.iter().map(open).collect(), page.next))
}

/// Compares a draft with the policy in force.
pub async fn diff(State(api): State<Api>, request: Request) -> Answered {
    let (caller, body) = sent(&api, request, DRAFT_BYTES).await?;
    let asked: Compare = read(&body)?;
    let place = place(&api)?;
    let old = published(&api, &caller.tenant, asked.at).await?;
    let compared = blocking(move || {
        let draft = asked.draft.source()?;
        let rules = Policy::compile(&draft).map_err(|e| refused(&e))?.rules();
        let files = differences(old.as_ref().map(|(_, source)| source), &draft);
        drop(place);
        Ok(Compared { published: old.map(|(published, _)| published), rules, files })
    });
    Ok(([("cache-control", "no-store")], Json(compared.await?)).into_response())
}

/// The policy in force, or the one that this record published.
async fn published(
    api: &Api,
    tenant: &TenantId,
    at: Option<u64>,
) -> Result<Option<(ComparedWith, Source)>, Problem> {
    let filter = EventFilter {
        kind: Some("canonry.policy.published.v1".to_owned()),
        from_position: at,
        to_position: at,
        newest_first: true,
        ..EventFilter::default()
    };
    let page = PageRequest { limit: Some(1), cursor: None };
    let (_, page) = api.projections.read(tenant, move |s| s.events(&filter, &page)).await?;
    let Some(event) = page.items.first() else {
        return if at.is_some() { Err(Refusal::PolicyUnknown.into()) } else { Ok(None) };
    };
    let archive = event.data["bundle"].as_str().and_then(unbase64_padded).unwrap_or_default();
    let source = opened(&archive)?;
    let with = ComparedWith {
        position: event.position,
        revision: event.data["revision"].as_u64().unwrap_or_default(),
        digest: source.digest.clone(),
    };
    Ok(Some((with, source)))
}
