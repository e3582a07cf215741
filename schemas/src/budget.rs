//! Budgets: what may be spent in four dimensions, on which account, and what models cost. What is
//! reserved, settled and lapsed stands in the records of actions; the arithmetic is in
//! `canonry-domain`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalogue::{commands, data, events};
use crate::ids::{Currency, Scope};
use crate::limits::{JSON_INTEGER, PRICE_MICROS};
use crate::text::Label;

/// What is counted.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Micro-units of the tenant's currency.
    MoneyMicros,
    /// Tokens, in and out together.
    Tokens,
    /// Calls of tools and models.
    Calls,
    /// Seconds of wall time.
    WallSeconds,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::MoneyMicros, Self::Tokens, Self::Calls, Self::WallSeconds];

    /// The name, as it stands in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MoneyMicros => "money_micros",
            Self::Tokens => "tokens",
            Self::Calls => "calls",
            Self::WallSeconds => "wall_seconds",
        }
    }
}

/// Over which time an account is counted.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// One day, UTC: what was reserved on it, whenever it is settled.
    Day,
    /// From the beginning on.
    Total,
}

impl Period {
    /// The name, as it stands in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Total => "total",
        }
    }
}

data! {
    /// So much in each dimension.
    #[derive(Copy, Default)]
    Amount {
        /// Micro-units of the tenant's currency.
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        money_micros: u64,
        /// Tokens, in and out together.
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        tokens: u64,
        /// Calls of tools and models.
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        calls: u64,
        /// Seconds of wall time.
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        wall_seconds: u64,
    }
    /// How much is allowed in each dimension; what is absent is not limited.
    #[derive(Copy, Default)]
    Limits {
        /// Micro-units of the tenant's currency.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        money_micros: Option<u64>,
        /// Tokens, in and out together.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        tokens: Option<u64>,
        /// Calls of tools and models.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        calls: Option<u64>,
        /// Seconds of wall time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        wall_seconds: Option<u64>,
    }
    /// The most that an action can cost.
    #[derive(Default)]
    Worst {
        /// Money, in micro-units of the tenant's currency; what the tokens of a named model cost
        /// comes on top.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        money_micros: Option<u64>,
        /// Tokens that go in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 1_000_000_000_000_u64))]
        tokens_in: Option<u64>,
        /// Tokens that come out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 1_000_000_000_000_u64))]
        tokens_out: Option<u64>,
        /// The model, where one is called, as the price table names it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<Label>,
        /// Calls; 1 when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 1_000_000))]
        calls: Option<u32>,
        /// Time on the wall.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 86_400))]
        wall_seconds: Option<u32>,
    }
    /// What a call has cost; what is absent is as much as the worst case.
    #[derive(Copy, Default)]
    Used {
        /// Money, in micro-units of the tenant's currency; what the tokens of the model cost comes
        /// on top.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        money_micros: Option<u64>,
        /// Tokens that went in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 1_000_000_000_000_u64))]
        tokens_in: Option<u64>,
        /// Tokens that came out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 1_000_000_000_000_u64))]
        tokens_out: Option<u64>,
        /// Calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 1_000_000))]
        calls: Option<u32>,
        /// Time on the wall.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        wall_seconds: Option<u64>,
    }
    /// Sets the limits of an account for one period, all of them: a dimension that is absent is
    /// not limited any more. Founder only.
    Limit {
        /// Whose account.
        scope: Scope,
        /// Over which time; an account of a ticket or run is counted in total only.
        period: Period,
        /// Micro-units of the tenant's currency.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        money_micros: Option<u64>,
        /// Tokens, in and out together.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        tokens: Option<u64>,
        /// Calls of tools and models.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        calls: Option<u64>,
        /// Seconds of wall time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        wall_seconds: Option<u64>,
    }
    /// What one model costs.
    ModelPrice {
        /// The model.
        model: Label,
        /// Micro-units for a million tokens that go in.
        #[schemars(range(max = 1_000_000_000_000_u64))]
        input_micros_per_million_tokens: u64,
        /// Micro-units for a million tokens that come out.
        #[schemars(range(max = 1_000_000_000_000_u64))]
        output_micros_per_million_tokens: u64,
    }
    /// Sets the price table, all of it: a model that it does not name cannot be called. The
    /// position of the record is the table's version. Founder only.
    Price {
        /// The tenant's currency. The first table fixes it.
        currency: Currency,
        /// What models cost; none twice.
        #[schemars(length(max = 256))]
        models: Vec<ModelPrice>,
    }
}

commands! { "budget";
    /// Sets an account's limits.
    "limit" => Limit(Limit),
    /// Sets the price table.
    "price" => Price(Price),
}

events! { "budget";
    /// Limited; `entity` is the account's.
    "limited" v 1 => Limited(Limit),
    /// Priced; `entity` is the tenant.
    "priced" v 1 => Priced(Price),
}

/// One limit of one account, and how much of it is spent or reserved. A warning in a record is its
/// text: `<account> <period> <dimension>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose account.
    pub scope: Scope,
    /// Over which time.
    pub period: Period,
    /// Of what.
    pub dimension: Dimension,
    /// How much is allowed.
    pub limit: u64,
    /// How much is spent and reserved.
    pub used: u64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.scope, self.period.name(), self.dimension.name())
    }
}

/// The most that any account counts, and so the limit where none is set.
pub const MOST: u64 = JSON_INTEGER as u64;

// The schema above says it in digits, because its macro takes nothing else.
const _: () = assert!(MOST == 9_007_199_254_740_991 && PRICE_MICROS == 1_000_000_000_000);

impl Amount {
    /// How much in one dimension.
    #[must_use]
    pub const fn of(&self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::MoneyMicros => self.money_micros,
            Dimension::Tokens => self.tokens,
            Dimension::Calls => self.calls,
            Dimension::WallSeconds => self.wall_seconds,
        }
    }

    /// Dimension by dimension.
    #[must_use]
    pub fn each(mut how: impl FnMut(Dimension) -> u64) -> Self {
        Self {
            money_micros: how(Dimension::MoneyMicros),
            tokens: how(Dimension::Tokens),
            calls: how(Dimension::Calls),
            wall_seconds: how(Dimension::WallSeconds),
        }
    }

    /// Whether it is nothing in every dimension.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// The sum; `None` where a dimension comes to more than [`MOST`].
    #[must_use]
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        let fits = |d| self.of(d).checked_add(other.of(d)).is_some_and(|sum| sum <= MOST);
        Dimension::ALL.into_iter().all(fits).then(|| self.plus(other))
    }

    /// The sum, at most [`MOST`] in each dimension.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self::each(|d| self.of(d).saturating_add(other.of(d)).min(MOST))
    }

    /// The difference, at least nothing in each dimension.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self::each(|d| self.of(d).saturating_sub(other.of(d)))
    }

    /// Whether it is more than another in some dimension.
    #[must_use]
    pub fn exceeds(&self, other: &Self) -> bool {
        Dimension::ALL.into_iter().any(|d| self.of(d) > other.of(d))
    }
}

impl Limits {
    /// The limit in one dimension.
    #[must_use]
    pub const fn of(&self, dimension: Dimension) -> Option<u64> {
        match dimension {
            Dimension::MoneyMicros => self.money_micros,
            Dimension::Tokens => self.tokens,
            Dimension::Calls => self.calls,
            Dimension::WallSeconds => self.wall_seconds,
        }
    }
}

impl Limit {
    /// The limits in it.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        Limits {
            money_micros: self.money_micros,
            tokens: self.tokens,
            calls: self.calls,
            wall_seconds: self.wall_seconds,
        }
    }
}
