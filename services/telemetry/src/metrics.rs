//! The counters, gauges and the histogram, and their text form (OpenMetrics), which Prometheus scrapes.
//!
//! Labels are closed sets: no tenant, actor or id becomes a label.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::names;

/// One label and its value; `prometheus-client` takes a list of pairs as a label set.
type Label = [(&'static str, &'static str); 1];
/// Two of them.
type Labels = [(&'static str, &'static str); 2];
/// Made by a function, so that the type can be named.
type Histograms = Family<Label, Histogram, fn() -> Histogram>;
/// A number that goes up and down.
type Level = Gauge<u64, AtomicU64>;

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

/// The hundreds of an HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 1xx to 3xx.
    Success,
    /// 4xx.
    Client,
    /// 5xx.
    Server,
}

impl Class {
    /// Of a status.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status {
            ..400 => Self::Success,
            400..500 => Self::Client,
            500.. => Self::Server,
        }
    }

    /// The label's value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Client => "client-error",
            Self::Server => "server-error",
        }
    }
}

/// One open stream of changes; it is counted until it is dropped.
#[derive(Debug)]
pub struct Streams(Level);

impl Drop for Streams {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What a process counts. Clones count into the same numbers.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    records: Family<Label, Counter>,
    commits: Family<Label, Counter>,
    unrecorded: Family<Label, Counter>,
    commit_seconds: Histograms,
    waiting: Level,
    in_flight: Level,
    held: Level,
    frozen: Level,
    http: Family<Labels, Counter>,
    projected: Counter,
    lag: Level,
    streams: Level,
    backups: Family<Label, Counter>,
    copied: Counter,
    oldest_backup: Level,
    checkpoint_records: Level,
    oldest_checkpoint: Level,
    checkpoint_alarms: Level,
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
        let backups = family(names::BACKUPS, "Backups made");
        for outcome in ["ok", "failed"] {
            backups.get_or_create(&[("outcome", outcome)]).inc_by(0);
        }
        let commit_seconds = Histograms::new_with_constructor(buckets);
        let help = "Seconds from sending a commit to its acknowledgement";
        registry.register(names::COMMIT_SECONDS, help, commit_seconds.clone());
        // Shown from the start, so that a rate over the first one is seen.
        for kind in [Kind::Fact, Kind::Refusal] {
            records.get_or_create(&[("kind", kind.label())]).inc_by(0);
        }
        for way in [Way::Plain, Way::Batch] {
            commits.get_or_create(&[("way", way.label())]).inc_by(0);
            drop(commit_seconds.get_or_create(&[("way", way.label())]));
        }
        let mut level = |name: &'static str, help| {
            let level = Level::default();
            registry.register(name, help, level.clone());
            level
        };
        let waiting = level(names::COMMANDS_WAITING, "Commands that wait for a holder");
        let in_flight = level(names::COMMANDS_IN_FLIGHT, "Commands decided, not yet committed");
        let held = level(names::TENANTS_HELD, "Tenants that this process holds");
        let frozen = level(names::TENANTS_FROZEN, "Tenants whose commands are refused");
        let help = "Records that signed checkpoints cover";
        let checkpoint_records = level(names::CHECKPOINT_RECORDS, help);
        let help =
            "When a checkpoint last covered all, of the tenant for which that is longest ago";
        let oldest_checkpoint = level(names::CHECKPOINT_OLDEST, help);
        let help = "Tenants whose ledger is not what was signed";
        let checkpoint_alarms = level(names::CHECKPOINT_ALARMS, help);
        let lag = level(names::PROJECTOR_LAG, "Records not yet applied, of the tenant with most");
        let streams = level(names::CHANGES_STREAMS, "Streams of changes that are open");
        let help = "Newest backup of the tenant for which that is oldest";
        let oldest_backup = level(names::BACKUP_OLDEST, help);
        let http = Family::<Labels, Counter>::default();
        let help = "HTTP requests answered";
        registry.register(registered(names::HTTP_REQUESTS), help, http.clone());
        let projected = Counter::default();
        let help = "Records applied to the read models";
        registry.register(registered(names::PROJECTED), help, projected.clone());
        let copied = Counter::default();
        let help = "Records copied to a place outside NATS";
        registry.register(registered(names::COPIED), help, copied.clone());
        Self {
            registry: Arc::new(registry),
            records,
            commits,
            unrecorded,
            commit_seconds,
            waiting,
            in_flight,
            held,
            frozen,
            http,
            projected,
            lag,
            streams,
            backups,
            copied,
            oldest_backup,
            checkpoint_records,
            oldest_checkpoint,
            checkpoint_alarms,
        }
    }

    /// One record was written.
    pub fn record(&self, kind: Kind) {
        self.records.get_or_create(&[("kind", kind.label())]).inc();
    }

    /// One commit was acknowledged after `took`.
    pub fn commit(&self, way: Way, took: Duration) {
        self.commits.get_or_create(&[("way", way.label())]).inc();
        let seconds = self.commit_seconds.get_or_create(&[("way", way.label())]);
        seconds.observe(took.as_secs_f64());
    }

    /// A command was answered with `code` and left no record.
    pub fn unrecorded(&self, code: &'static str) {
        self.unrecorded.get_or_create(&[("code", code)]).inc();
    }

    /// How many commands wait for a holder and how many are decided but not committed, over the
    /// tenants that this process holds.
    pub fn commands(&self, waiting: u64, in_flight: u64, held: u64) {
        self.waiting.set(waiting);
        self.in_flight.set(in_flight);
        self.held.set(held);
    }

    /// An HTTP request was answered; `route` is a path of the route table.
    pub fn http(&self, route: &'static str, class: Class) {
        self.http.get_or_create(&[("route", route), ("class", class.label())]).inc();
    }

    /// Records were applied to the read models.
    pub fn projected(&self, records: u64) {
        self.projected.inc_by(records);
    }

    /// How many records the tenant that is most behind has yet to be applied.
    pub fn lag(&self, records: u64) {
        self.lag.set(records);
    }

    /// A backup was made, or came to nothing.
    pub fn backup(&self, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        self.backups.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Records were copied to a place outside NATS.
    pub fn copied(&self, records: u64) {
        self.copied.inc_by(records);
    }

    /// When the newest backup was made of the tenant for which that is oldest, in Unix seconds.
    pub fn oldest_backup(&self, at: u64) {
        self.oldest_backup.set(at);
    }

    /// How many tenants of this process are frozen.
    pub fn frozen(&self, tenants: u64) {
        self.frozen.set(tenants);
    }

    /// What the checkpoints of this process cover, when the tenant that waited longest was last
    /// covered as a whole, in Unix seconds, and for how many something is wrong.
    pub fn checkpoints(&self, records: u64, oldest: u64, alarms: u64) {
        self.checkpoint_records.set(records);
        self.oldest_checkpoint.set(oldest);
        self.checkpoint_alarms.set(alarms);
    }

    /// A stream of changes was opened.
    #[must_use]
    pub fn stream(&self) -> Streams {
        self.streams.inc();
        Streams(self.streams.clone())
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

/// 0.5 ms to 16 s.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
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
        clone.commands(3, 2, 1);
        clone.http("/readyz", Class::of(503));
        clone.projected(5);
        clone.lag(7);
        clone.backup(true);
        clone.copied(9);
        clone.oldest_backup(1_800_000_000);
        clone.frozen(2);
        clone.checkpoints(11, 1_800_000_001, 3);
        let open = clone.stream();
        drop(clone.stream());
        let text = metrics.encode();
        for line in [
            "canonry_records_total{kind=\"fact\"} 2\n",
            "canonry_records_total{kind=\"refusal\"} 1\n",
            "canonry_commits_total{way=\"plain\"} 0\n",
            "canonry_commits_total{way=\"batch\"} 1\n",
            "canonry_commands_unrecorded_total{code=\"throttled\"} 1\n",
            "canonry_commit_seconds_count{way=\"batch\"} 1\n",
            "canonry_commit_seconds_count{way=\"plain\"} 0\n",
            "canonry_commit_seconds_bucket{le=\"0.002\",way=\"batch\"} 0\n",
            "canonry_commit_seconds_bucket{le=\"0.004\",way=\"batch\"} 1\n",
            "canonry_commands_waiting 3\n",
            "canonry_commands_in_flight 2\n",
            "canonry_tenants_held 1\n",
            "canonry_http_requests_total{route=\"/readyz\",class=\"server-error\"} 1\n",
            "canonry_projected_records_total 5\n",
            "canonry_projector_lag_records 7\n",
            "canonry_changes_streams 1\n",
            "canonry_backups_total{outcome=\"ok\"} 1\n",
            "canonry_backups_total{outcome=\"failed\"} 0\n",
            "canonry_copied_records_total 9\n",
            "canonry_backup_oldest_timestamp_seconds 1800000000\n",
            "canonry_tenants_frozen 2\n",
            "canonry_checkpoint_records 11\n",
            "canonry_checkpoint_oldest_timestamp_seconds 1800000001\n",
            "canonry_checkpoint_alarms 3\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(names::METRICS.iter().all(|name| text.contains(name)), "{text}");
        assert!(text.ends_with("# EOF\n"));
        drop(open);
        assert!(metrics.encode().contains("canonry_changes_streams 0\n"));
        assert_eq!([Class::of(200), Class::of(404)], [Class::Success, Class::Client]);
    }
}
