//! The counters and the histogram, and their text form (OpenMetrics), which Prometheus scrapes.
//!
//! Labels are closed sets: no tenant, actor or id becomes a label.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::names;

/// One label and its value; `prometheus-client` takes a list of pairs as a label set.
type Label = [(&'static str, &'static str); 1];

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command happened.
    Fact,
    /// It did not.
    Refusal,
}

impl Kind {
    /// The label's value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Fact => "fact",
            Self::Refusal => "refusal",
        }
    }
}

/// How a commit left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As plain publishes.
    Plain,
    /// As one atomic batch.
    Batch,
}

impl Way {
    /// The label's value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Batch => "batch",
        }
    }
}

/// What a process counts. Clones count into the same numbers.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    records: Family<Label, Counter>,
    commits: Family<Label, Counter>,
    unrecorded: Family<Label, Counter>,
    commit_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let mut family = |name, help| {
            let counters = Family::<Label, Counter>::default();
            registry.register(registered(name), help, counters.clone());
            counters
        };
        let records = family(names::RECORDS, "Records written");
        let commits = family(names::COMMITS, "Commits acknowledged");
        let unrecorded = family(names::COMMANDS_UNRECORDED, "Commands answered without a record");
        // 0.5 ms to 16 s.
        let commit_seconds = Histogram::new(exponential_buckets(0.0005, 2.0, 16));
        let help = "Seconds from sending a commit to its acknowledgement";
        registry.register(names::COMMIT_SECONDS, help, commit_seconds.clone());
        // Shown from the start, so that a rate over the first one is seen.
        for kind in [Kind::Fact, Kind::Refusal] {
            records.get_or_create(&[("kind", kind.label())]).inc_by(0);
        }
        for way in [Way::Plain, Way::Batch] {
            commits.get_or_create(&[("way", way.label())]).inc_by(0);
        }
        Self { registry: Arc::new(registry), records, commits, unrecorded, commit_seconds }
    }

    /// One record was written.
    pub fn record(&self, kind: Kind) {
        self.records.get_or_create(&[("kind", kind.label())]).inc();
    }

    /// One commit was acknowledged after `took`.
    pub fn commit(&self, way: Way, took: Duration) {
        self.commits.get_or_create(&[("way", way.label())]).inc();
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// A command was answered with `code` and left no record.
    pub fn unrecorded(&self, code: &'static str) {
        self.unrecorded.get_or_create(&[("code", code)]).inc();
    }

    /// Everything as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics could not be written as text");
        }
        text
    }
}

/// The encoder writes `_total` behind a counter's name itself.
fn registered(counter: &'static str) -> &'static str {
    counter.strip_suffix("_total").unwrap_or(counter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_count_together_and_every_name_is_shown() {
        let metrics = Metrics::new();
        assert!(metrics.encode().contains("canonry_records_total{kind=\"refusal\"} 0\n"));
        let clone = metrics.clone();
        clone.record(Kind::Fact);
        clone.record(Kind::Fact);
        clone.record(Kind::Refusal);
        clone.commit(Way::Batch, Duration::from_millis(3));
        clone.unrecorded("throttled");
        let text = metrics.encode();
        for line in [
            "canonry_records_total{kind=\"fact\"} 2\n",
            "canonry_records_total{kind=\"refusal\"} 1\n",
            "canonry_commits_total{way=\"plain\"} 0\n",
            "canonry_commits_total{way=\"batch\"} 1\n",
            "canonry_commands_unrecorded_total{code=\"throttled\"} 1\n",
            "canonry_commit_seconds_count 1\n",
            "canonry_commit_seconds_bucket{le=\"0.002\"} 0\n",
            "canonry_commit_seconds_bucket{le=\"0.004\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(names::METRICS.iter().all(|name| text.contains(name)), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
