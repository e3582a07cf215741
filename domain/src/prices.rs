//! What models cost, and what a call comes to: integers only, rounded up once for the whole call.

use std::collections::BTreeMap;
use std::sync::Arc;

use canonry_schemas::budget::{Amount, MOST, ModelPrice, Price, Used, Worst};
use canonry_schemas::ids::Currency;
use canonry_schemas::text::Label;
use serde::{Deserialize, Serialize};

const MILLION: u128 = 1_000_000;

/// What a model's tokens cost, micro-units for a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Of those that go in.
    pub input: u64,
    /// Of those that come out.
    pub output: u64,
}

impl From<&ModelPrice> for Cost {
    fn from(price: &ModelPrice) -> Self {
        Self {
            input: price.input_micros_per_million_tokens,
            output: price.output_micros_per_million_tokens,
        }
    }
}

/// The price table in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// Position of the record that set it: its version.
    pub position: u64,
    /// The tenant's currency.
    pub currency: Currency,
    /// Shared: every decision about an action is handed the table.
    #[serde(with = "shared")]
    models: Arc<BTreeMap<Label, Cost>>,
}

/// What is shared is stored like what is not.
mod shared {
    use super::{Arc, BTreeMap, Cost, Deserialize, Label, Serialize};
    use serde::{Deserializer, Serializer};

    type Models = BTreeMap<Label, Cost>;

    pub(super) fn serialize<S: Serializer>(models: &Arc<Models>, to: S) -> Result<S::Ok, S::Error> {
        Models::serialize(models, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Models>, D::Error> {
        Models::deserialize(from).map(Arc::new)
    }
}

impl Prices {
    /// The table that a record sets. Of a model that stands there twice the last counts.
    #[must_use]
    pub fn new(position: u64, price: &Price) -> Self {
        let models: BTreeMap<_, _> =
            price.models.iter().map(|m| (m.model.clone(), Cost::from(m))).collect();
        Self { position, currency: price.currency.clone(), models: Arc::new(models) }
    }

    /// What a model costs.
    #[must_use]
    pub fn cost(&self, model: &Label) -> Option<Cost> {
        self.models.get(model).copied()
    }
}

/// Why a worst case has no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpriced {
    /// No price table names the model: `price-unknown`.
    Unknown,
    /// It is more than any account can count: `budget-exceeded`.
    TooMuch,
}

/// A worst case as if it had come to that; one call when it names none.
pub(crate) fn all_of(worst: &Worst) -> Used {
    Used {
        money_micros: worst.money_micros,
        tokens_in: worst.tokens_in,
        tokens_out: worst.tokens_out,
        calls: worst.calls.or(Some(1)),
        wall_seconds: worst.wall_seconds.map(u64::from),
    }
}

/// Exactly, dimension by dimension: two factors of 64 bits cannot pass the end of 128.
fn exact(used: &Used, cost: Option<&Cost>) -> [u128; 4] {
    let number = |given: Option<u64>| u128::from(given.unwrap_or(0));
    let (input, output) = (number(used.tokens_in), number(used.tokens_out));
    let priced = cost.map_or(0, |cost| {
        let (input, output) = (input * u128::from(cost.input), output * u128::from(cost.output));
        input.saturating_add(output).div_ceil(MILLION)
    });
    [
        number(used.money_micros).saturating_add(priced),
        input + output,
        u128::from(used.calls.unwrap_or(0)),
        number(used.wall_seconds),
    ]
}

/// The amount, at most [`MOST`] in each dimension.
pub(crate) fn at_most(used: &Used, cost: Option<&Cost>) -> Amount {
    let [money, tokens, calls, wall] =
        exact(used, cost).map(|much| u64::try_from(much).map_or(MOST, |much| much.min(MOST)));
    Amount { money_micros: money, tokens, calls, wall_seconds: wall }
}

/// What a worst case comes to under a price table, and what the model that it names costs.
///
/// # Errors
/// The model has no price, or the worst case is beyond counting.
pub fn worst(prices: Option<&Prices>, worst: &Worst) -> Result<(Amount, Option<Cost>), Unpriced> {
    let cost = match &worst.model {
        Some(model) => Some(prices.and_then(|p| p.cost(model)).ok_or(Unpriced::Unknown)?),
        None => None,
    };
    let used = all_of(worst);
    if exact(&used, cost.as_ref()).iter().any(|much| *much > u128::from(MOST)) {
        return Err(Unpriced::TooMuch);
    }
    Ok((at_most(&used, cost.as_ref()), cost))
}
