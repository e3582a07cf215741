//! What may be spent and what was: accounts with their limits, and sums of the actions' records.

use axum::extract::State;
use canonry_projections::{By, PageRequest, SpendFilter, page::Page, rows};
use canonry_schemas::ids::Scope;
use canonry_schemas::time::Time;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::Api;
use crate::problem::{Problem, QUERY_INVALID};
use crate::query::{Budgets, Spend};
use crate::read::{Answered, Asked, answer};

/// A page of accounts, and the price table in force.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Accounts {
    #[serde(flatten)]
    accounts: Page<rows::Account>,
    /// Absent before the first table.
    #[serde(skip_serializing_if = "Option::is_none")]
    prices: Option<rows::Prices>,
}

/// A day as it was asked for: `2026-01-31`.
fn day(name: &str, given: Option<&String>) -> Result<Option<String>, Problem> {
    let wrong = || Problem::new(QUERY_INVALID, format!("{name}: a day such as 2026-01-31"));
    given
        .map(|day| {
            let midnight: Time = format!("{day}T00:00:00.000000Z").parse().map_err(|_| wrong())?;
            Ok(midnight.to_string()[..10].to_owned())
        })
        .transpose()
}

pub async fn budgets(State(api): State<Api>, asked: Asked<Budgets>) -> Answered {
    let q = &asked.query;
    if q.scope.as_ref().is_some_and(|scope| scope.parse::<Scope>().is_err()) {
        let told = "scope: tenant, or role/, ticket/ or run/ and an id";
        return Err(Problem::new(QUERY_INVALID, told));
    }
    let today = || (api.now)().to_string()[..10].to_owned();
    let (scope, day) = (q.scope.clone(), day("day", q.day.as_ref())?.unwrap_or_else(today));
    let page: PageRequest = q.page();
    let (head, found) = asked
        .read(&api, move |s| {
            let accounts = s.budgets(scope.as_deref(), &day, &page)?;
            Ok(Accounts { accounts, prices: s.prices()? })
        })
        .await?;
    Ok(answer(&head, json!(found)))
}

pub async fn spend(State(api): State<Api>, asked: Asked<Spend>) -> Answered {
    let q = &asked.query;
    let named = q.by.as_deref().unwrap_or("role");
    let by = By::ALL
        .iter()
        .find_map(|(name, by)| (*name == named).then_some(*by))
        .ok_or_else(|| Problem::new(QUERY_INVALID, "by: ticket, run, role, model, tool or day"))?;
    let filter = SpendFilter {
        ticket: q.ticket.clone(),
        role: q.role.clone(),
        from_day: day("from_day", q.from_day.as_ref())?,
        to_day: day("to_day", q.to_day.as_ref())?,
    };
    let page = q.page();
    let (head, page) = asked.read(&api, move |s| s.spend(by, &filter, &page)).await?;
    Ok(answer(&head, json!(page)))
}
