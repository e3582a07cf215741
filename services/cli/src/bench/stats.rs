//! Latencies and rates of one measurement, and the median of several rounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one measurement saw.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Things done a second.
    pub per_s: f64,
    /// Median latency, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of latency, milliseconds.
    pub p99_ms: f64,
    /// Things done.
    pub count: u64,
}

impl Sample {
    /// Of latencies in microseconds, taken over this time.
    #[must_use]
    pub fn of(mut micros: Vec<u32>, taken: Duration) -> Self {
        micros.sort_unstable();
        let at = |per_mille: usize| {
            let index = (micros.len() * per_mille / 1_000).min(micros.len().saturating_sub(1));
            micros.get(index).map_or(0.0, |m| f64::from(*m) / 1_000.0)
        };
        Self {
            per_s: rate(micros.len() as u64, taken),
            p50_ms: at(500),
            p99_ms: at(990),
            count: micros.len() as u64,
        }
    }
}

/// So many in this time, a second.
#[must_use]
pub fn rate(count: u64, taken: Duration) -> f64 {
    count as f64 / taken.as_secs_f64().max(1e-9)
}

/// Microseconds, as far as four bytes hold them.
#[must_use]
pub fn micros(taken: Duration) -> u32 {
    u32::try_from(taken.as_micros()).unwrap_or(u32::MAX)
}

/// The median; 0 of none.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => 0.0,
        (n, half) if n % 2 == 0 => f64::midpoint(values[half - 1], values[half]),
        (_, half) => values[half],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_medians_are_those_of_the_sorted_values() {
        let sample = Sample::of((1..=1_000).rev().collect(), Duration::from_secs(2));
        assert!((sample.p50_ms - 0.501).abs() < 1e-9, "{sample:?}");
        assert!((sample.p99_ms - 0.991).abs() < 1e-9, "{sample:?}");
        assert!((sample.per_s - 500.0).abs() < 1e-9 && sample.count == 1_000);
        assert_eq!(Sample::of(Vec::new(), Duration::from_secs(1)).count, 0);
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }
}
