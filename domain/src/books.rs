//! Rules of budgets: who limits what, and who sets prices; and the tenant's own books. What an
//! action reserves and spends is in [`crate::budget`].

use std::collections::BTreeSet;

use canonry_schemas::budget::{Command, Event, Limit, Period, Price};
use canonry_schemas::refusal::Refusal;
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::budget::OwnAccount;
use crate::facts::{Applied, Facts};
use crate::prices::Prices;
use crate::state::State;

/// The tenant's account and its price table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// The tenant's account.
    pub account: OwnAccount,
    /// What models cost; none before the first table.
    pub prices: Option<Prices>,
}

/// The rules. The state is that of what is limited: the tenant's books, a role, a ticket or a run;
/// for prices it is the tenant's books.
pub struct Budgets;

/// Whether the state is there, of the aggregate that the command names.
fn known(state: Option<&State>, aggregate: &str) -> Result<(), Refusal> {
    match (aggregate, state) {
        ("role", Some(State::Role(_)))
        | ("ticket", Some(State::Ticket(_)))
        | ("run", Some(State::Run(_))) => Ok(()),
        ("role", _) => Err(Refusal::RoleUnknown),
        ("ticket", _) => Err(Refusal::TicketUnknown),
        (_, _) => Err(Refusal::RunUnknown),
    }
}

fn limit(state: Option<&State>, c: Limit) -> Result<Event, Refusal> {
    if let Some((aggregate, _)) = c.scope.entity() {
        known(state, aggregate)?;
        if c.period == Period::Day && aggregate != "role" {
            return Err(Refusal::BudgetPeriod);
        }
    }
    Ok(Event::Limited(c))
}

fn price(state: Option<&State>, c: Price) -> Result<Event, Refusal> {
    let mut models = BTreeSet::new();
    if !c.models.iter().all(|m| models.insert(&m.model)) {
        return Err(Refusal::PriceTwice);
    }
    match state {
        // What was spent stands in the old one: there is no rate to carry it over by.
        Some(State::Books(Books { prices: Some(old), .. })) if old.currency != c.currency => {
            Err(Refusal::CurrencyFixed)
        }
        _ => Ok(Event::Priced(c)),
    }
}

impl Decider for Budgets {
    type State = State;
    type Command = Command;
    type Event = Event;

    fn decide(
        state: Option<&State>,
        facts: &Facts<'_>,
        command: Command,
    ) -> Result<Event, Refusal> {
        facts.founder()?;
        match command {
            Command::Limit(c) => limit(state, c),
            Command::Price(c) => price(state, c),
        }
    }

    fn evolve(state: Option<State>, applied: &Applied<'_>, event: &Event) -> Option<State> {
        // The tenant itself is always there; its books begin with what is written into them.
        let books = || Some(State::Books(Books::default()));
        let mut state = match event {
            Event::Limited(c) if c.scope.entity().is_some() => state,
            Event::Limited(_) | Event::Priced(_) => state.or_else(books),
        };
        match (event, &mut state) {
            (Event::Limited(c), Some(state)) => {
                if let Some(account) = state.account_mut() {
                    account.limit(c.period, c.limits());
                }
            }
            (Event::Priced(c), Some(State::Books(books))) => {
                books.prices = Some(Prices::new(applied.position, c));
            }
            (Event::Limited(_) | Event::Priced(_), _) => {}
        }
        state
    }
}
