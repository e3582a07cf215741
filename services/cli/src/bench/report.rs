//! What the whole run says: every figure, and the ratios to the limits of the same run beside
//! what the design asks for.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output;

/// Everything measured; rates are a second, times milliseconds.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub raw_batch_per_s: f64,
    pub raw_batch_512_per_s: f64,
    pub raw_batch_64_p50_ms: f64,
    pub raw_batch_64_p99_ms: f64,
    pub raw_single_per_s: f64,
    pub raw_single_p50_ms: f64,
    pub commit_1_per_s: f64,
    pub commit_1_p50_ms: f64,
    pub commit_1_p99_ms: f64,
    pub commit_nats_1_p50_ms: f64,
    pub commit_64_per_s: f64,
    pub commit_64_p50_ms: f64,
    pub commit_64_p99_ms: f64,
    pub commit_1024_per_s: f64,
    pub commit_1024_p50_ms: f64,
    pub commit_1024_p99_ms: f64,
    pub commit_nats_1024_per_s: f64,
    pub commit_nats_1024_p99_ms: f64,
    pub commit_16_tenants_per_s: f64,
    pub commit_16_tenants_p99_ms: f64,
    pub verify_export_per_s: f64,
    pub verify_live_per_s: f64,
    pub ed25519_batch_verify_per_s: f64,
    pub rebuild_per_s: f64,
    pub bare_loop_per_s: f64,
    pub rss_mb: u64,
    pub server_rss_mb: u64,
    pub verified_records: u64,
    pub record_bytes: u64,
    pub rounds: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres_row_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres_batch_64_per_s: Option<f64>,
}

/// A ratio and what the design asks of it.
struct Ratio {
    name: &'static str,
    value: f64,
    wanted: f64,
    /// Whether less is better.
    at_most: bool,
}

impl Ratio {
    const fn least(name: &'static str, value: f64, wanted: f64) -> Self {
        Self { name, value, wanted, at_most: false }
    }

    fn met(&self) -> bool {
        if self.at_most { self.value <= self.wanted } else { self.value >= self.wanted }
    }
}

fn over(one: f64, other: f64) -> f64 {
    if other > 0.0 { one / other } else { 0.0 }
}

impl Report {
    fn ratios(&self) -> Vec<Ratio> {
        let (raw, alone) = (self.raw_batch_per_s, self.ed25519_batch_verify_per_s);
        let mut all = vec![
            Ratio::least("commit_1024_of_raw_batch", over(self.commit_1024_per_s, raw), 0.4),
            Ratio::least(
                "commit_nats_1024_of_raw_batch",
                over(self.commit_nats_1024_per_s, raw),
                0.2,
            ),
            Ratio {
                name: "commit_1_of_raw_single_p50",
                value: over(self.commit_1_p50_ms, self.raw_single_p50_ms),
                wanted: 2.0,
                at_most: true,
            },
            Ratio {
                name: "commit_64_p99_ms",
                value: self.commit_64_p99_ms,
                wanted: 20.0,
                at_most: true,
            },
            Ratio::least(
                "verify_export_of_ed25519_batch",
                over(self.verify_export_per_s, alone),
                0.8,
            ),
            Ratio::least("verify_live_of_ed25519_batch", over(self.verify_live_per_s, alone), 0.5),
            Ratio::least(
                "rebuild_of_bare_loop",
                over(self.rebuild_per_s, self.bare_loop_per_s),
                0.4,
            ),
        ];
        if let Some(rows) = self.postgres_row_per_s {
            let value = over(self.commit_1024_per_s, rows);
            all.push(Ratio::least("commit_1024_of_postgres_rows", value, 8.0));
        }
        all
    }

    fn json(&self) -> Result<Value, Failure> {
        let mut value = serde_json::to_value(self).map_err(Failure::refused)?;
        let ratios = self.ratios().into_iter().map(|r| {
            let side = if r.at_most { "at_most" } else { "at_least" };
            (r.name.to_owned(), json!({"value": r.value, side: r.wanted, "met": r.met()}))
        });
        value["ratios"] = Value::Object(ratios.collect());
        Ok(value)
    }

    /// Prints it.
    ///
    /// # Errors
    /// It has no JSON.
    pub fn tell(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            return output::json(&self.json()?);
        }
        output::line(self.words().trim_end());
        Ok(())
    }

    fn words(&self) -> String {
        let mut text = String::new();
        let mut say = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<32} {value}");
        };
        let per_s = |v: f64| format!("{v:.0}/s");
        let times = |p50: f64, p99: f64| format!("p50 {p50:.2} ms, p99 {p99:.2} ms");
        say("raw atomic batches of 500", per_s(self.raw_batch_per_s));
        say("the same, bare 512 bytes each", per_s(self.raw_batch_512_per_s));
        say(
            "raw atomic batch of 64 records",
            times(self.raw_batch_64_p50_ms, self.raw_batch_64_p99_ms),
        );
        say(
            "raw single publishes",
            format!("{}, p50 {:.2} ms", per_s(self.raw_single_per_s), self.raw_single_p50_ms),
        );
        for (name, rate, p50, p99) in [
            (
                "commands, 1 in flight",
                self.commit_1_per_s,
                self.commit_1_p50_ms,
                self.commit_1_p99_ms,
            ),
            ("64 in flight", self.commit_64_per_s, self.commit_64_p50_ms, self.commit_64_p99_ms),
            (
                "1,024 in flight",
                self.commit_1024_per_s,
                self.commit_1024_p50_ms,
                self.commit_1024_p99_ms,
            ),
        ] {
            say(name, format!("{}, {}", per_s(rate), times(p50, p99)));
        }
        say("over NATS, 1 in flight", format!("p50 {:.2} ms", self.commit_nats_1_p50_ms));
        for (name, rate, p99) in [
            (
                "over NATS, 1,024 in flight",
                self.commit_nats_1024_per_s,
                self.commit_nats_1024_p99_ms,
            ),
            (
                "16 tenants, 1,024 in flight",
                self.commit_16_tenants_per_s,
                self.commit_16_tenants_p99_ms,
            ),
        ] {
            say(name, format!("{}, p99 {p99:.2} ms", per_s(rate)));
        }
        let of = format!("of {} records, {} bytes each", self.verified_records, self.record_bytes);
        say("verify an export", format!("{} {of}", per_s(self.verify_export_per_s)));
        say("verify a live ledger", per_s(self.verify_live_per_s));
        say("the signatures alone", per_s(self.ed25519_batch_verify_per_s));
        say("rebuild of the read models", per_s(self.rebuild_per_s));
        say("bare decode and insert", per_s(self.bare_loop_per_s));
        say("peak memory", format!("{} MiB; nats-server {} MiB", self.rss_mb, self.server_rss_mb));
        if let (Some(row), Some(batch)) = (self.postgres_row_per_s, self.postgres_batch_64_per_s) {
            say("PostgreSQL, a row a commit", per_s(row));
            say("PostgreSQL, 64 rows a commit", per_s(batch));
        }
        for ratio in self.ratios() {
            let side = if ratio.at_most { "at most" } else { "at least" };
            let met = if ratio.met() { "met" } else { "not met" };
            say(
                &format!("ratio {}", ratio.name),
                format!("{:.2} ({side} {}: {met})", ratio.value, ratio.wanted),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_met_on_its_own_side() {
        let report = Report {
            raw_batch_per_s: 100.0,
            commit_1024_per_s: 40.0,
            commit_1_p50_ms: 3.0,
            raw_single_p50_ms: 1.0,
            postgres_row_per_s: Some(10.0),
            ..Report::default()
        };
        let json = report.json().unwrap();
        assert_eq!(json["ratios"]["commit_1024_of_raw_batch"]["met"], true);
        assert_eq!(json["ratios"]["commit_1_of_raw_single_p50"]["met"], false);
        assert_eq!(json["ratios"]["commit_1024_of_postgres_rows"]["met"], false);
        assert_eq!(json["raw_batch_per_s"], 100.0);
        assert!(report.words().contains("at most 2: not met"));
    }
}
