//! Actions as the read models have them. Nothing here is
//! content: the sealed input stays in the ledger.

use axum::extract::State;
use canonry_projections::ActionFilter;
use canonry_schemas::refusal::Refusal;
use serde_json::json;

use crate::Api;
use crate::problem::{Problem, QUERY_INVALID};
use crate::query::{Actions, Pages, Plain};
use crate::read::{Answered, Asked, Id, answer};

/// Where an action can stand.
const STATUS: [&str; 8] =
    ["allowed", "held", "parked", "rejected", "routed", "denied", "settled", "lapsed"];

pub async fn actions(State(api): State<Api>, asked: Asked<Actions>) -> Answered {
    let q = &asked.query;
    if q.status.as_ref().is_some_and(|status| !STATUS.contains(&status.as_str())) {
        return Err(Problem::new(QUERY_INVALID, "status: there is no such status"));
    }
    let filter = ActionFilter {
        status: q.status.clone(),
        run: q.run.clone(),
        ticket: q.ticket.clone(),
        role: q.role.clone(),
        tool: q.tool.clone(),
    };
    let page = q.page();
    let (head, page) = asked.read(&api, move |s| s.actions(&filter, &page)).await?;
    Ok(answer(&head, json!(page)))
}

pub async fn action(State(api): State<Api>, Id(id): Id, asked: Asked<Plain>) -> Answered {
    let (head, action) = asked.read(&api, move |s| s.action(&id)).await?;
    Ok(answer(&head, json!(action.ok_or(Refusal::ActionUnknown)?)))
}

pub async fn approvers(State(api): State<Api>, asked: Asked<Pages>) -> Answered {
    let page = asked.query.page();
    let (head, page) = asked.read(&api, move |s| s.approvers(&page)).await?;
    Ok(answer(&head, json!(page)))
}
