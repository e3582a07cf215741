//! What changed between two positions. Both sides are waited for like `min_position`, bounded, and
//! their content is opened before they are compared.

use axum::extract::State;
use axum::response::Response;
use canonry_projections::diff::{Changed, fields};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Api;
use crate::content::{self, Field};
use crate::problem::{Problem, QUERY_INVALID};
use crate::query::Diff;
use crate::read::{Asked, answer};

/// What changed after one position and up to another.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Difference {
    /// The earlier position.
    from: u64,
    /// The later one.
    to: u64,
    /// The entities that facts touched, in the order of the first.
    entities: Vec<EntityDifference>,
}

/// One entity.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EntityDifference {
    /// `<aggregate>/<id>`.
    entity: String,
    /// `created`, `changed`, or `recorded` where no field differs.
    change: &'static str,
    /// Facts between the positions that are its own or touch it.
    facts: u64,
    /// By name: `before` and `after`, absent where the field was absent.
    fields: Map<String, Value>,
}

const fn content_of(aggregate: &str) -> &'static [Field] {
    match aggregate.as_bytes() {
        b"role" => content::ROLE,
        b"ticket" => content::TICKET,
        b"run" => content::RUN,
        b"member" => content::MEMBER,
        _ => &[],
    }
}

pub async fn diff(State(api): State<Api>, asked: Asked<Diff>) -> Result<Response, Problem> {
    let (Some(from), Some(to)) = (asked.query.from, asked.query.to) else {
        return Err(Problem::new(QUERY_INVALID, "from and to: both positions are needed"));
    };
    if from > to {
        return Err(Problem::new(QUERY_INVALID, "from must not lie behind to"));
    }
    api.projections.wait(&asked.caller.tenant, to).await?;
    let (head, found) = asked.read(&api, move |s| s.changed(from, to)).await?;
    let entities = found.into_iter().map(|one| difference(&api, &asked, one)).collect();
    Ok(answer(&head, json!(Difference { from, to, entities })))
}

fn difference(api: &Api, asked: &Asked<Diff>, one: Changed) -> EntityDifference {
    let Changed { entity, facts, mut before, mut after } = one;
    let aggregate = entity.split_once('/').map_or("", |(aggregate, _)| aggregate);
    for row in before.iter_mut().chain(after.iter_mut()) {
        let tenant = &asked.caller.tenant;
        content::open(&*api.content, tenant, &entity, content_of(aggregate), row);
    }
    let fields = fields(before.as_ref(), after.as_ref());
    let change = match (&before, &after) {
        (None, Some(_)) => "created",
        _ if fields.is_empty() => "recorded",
        _ => "changed",
    };
    EntityDifference { entity, change, facts, fields }
}
