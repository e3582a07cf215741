//! Budgets: examples one by one, and laws over thousands of random moves.
#![expect(clippy::unwrap_used, reason = "tests")]

mod examples;
mod laws;
mod world;

use canonry_schemas::budget::Amount;

/// Money, tokens, calls, wall seconds.
pub fn amount(money_micros: u64, tokens: u64, calls: u64, wall_seconds: u64) -> Amount {
    Amount { money_micros, tokens, calls, wall_seconds }
}
