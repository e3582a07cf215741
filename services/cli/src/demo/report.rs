//! What the demo says at the end, in words or as one JSON object; it fails when the counts do not
//! add up.

use std::fmt::Write as _;

use canonry_triage::score::Score;
use serde_json::json;

use super::check::Checked;
use super::kept::Kept;
use super::work::Worked;
use crate::failure::Failure;
use crate::output;

/// Everything measured.
pub struct Report {
    /// Which data.
    pub data: String,
    /// Whether it was the small sample.
    pub sample: bool,
    /// Incidents worked at.
    pub incidents: usize,
    /// The work.
    pub worked: Worked,
    /// What was read back.
    pub checked: Checked,
    /// Held-out accuracy without the first row's group.
    pub without: Score,
    /// With it.
    pub with: Score,
    /// This process's peak memory.
    pub memory_kb: Option<u64>,
    /// nats-server's.
    pub server_memory_kb: Option<u64>,
    /// Everything.
    pub seconds: f64,
    /// What runs on.
    pub kept: Option<Kept>,
}

/// Peak resident memory of a process in KiB, where the system tells.
#[must_use]
pub fn peak_kb(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn percent(score: Score) -> String {
    let per_mille = score.per_mille();
    format!("{}.{} % ({} of {})", per_mille / 10, per_mille % 10, score.right, score.of)
}

impl Report {
    /// Tells it.
    ///
    /// # Errors
    /// Commands and records do not add up, or the read model disagrees with the stream.
    pub fn tell(&self, as_json: bool) -> Result<(), Failure> {
        let own =
            |kind: &str| ["tenant.founded", "tenant.taken-over", "actor.throttled"].contains(&kind);
        let records: usize = self.checked.kinds.values().sum();
        let of_commands: usize =
            self.checked.kinds.iter().filter(|(k, _)| !own(k)).map(|(_, n)| n).sum();
        let opened = self.checked.kinds.get("ticket.opened").copied().unwrap_or(0);
        let projected: u64 = self.checked.tickets.iter().map(|(_, n)| n).sum();
        if as_json {
            output::json(&self.json(records, of_commands))?;
        } else {
            output::line(self.words(records, of_commands).trim_end());
        }
        if of_commands != self.worked.sent {
            return Err(Failure::refused(format!(
                "{} commands were answered and {of_commands} records hold commands",
                self.worked.sent
            )));
        }
        if opened != self.incidents || projected != opened as u64 {
            return Err(Failure::refused(format!(
                "{} incidents, {opened} tickets in the stream, {projected} in the read model",
                self.incidents
            )));
        }
        Ok(())
    }

    fn rate(&self) -> f64 {
        self.worked.sent as f64 / self.worked.seconds.max(0.001)
    }

    fn json(&self, records: usize, of_commands: usize) -> serde_json::Value {
        json!({
            "data": self.data, "sample": self.sample, "incidents": self.incidents,
            "commands": self.worked.sent, "outcomes": self.worked.sent,
            "records_of_commands": of_commands, "records": records,
            "kinds": self.checked.kinds, "tickets": self.checked.tickets,
            "commands_per_s": self.rate() as u64,
            "accuracy_without_group_per_mille": self.without.per_mille(),
            "accuracy_with_group_per_mille": self.with.per_mille(),
            "scored": self.without.of,
            "approvals": {"asked": self.worked.asked, "approved": self.worked.approved,
                "rejected": self.worked.rejected},
            "verified": self.checked.verified, "head": self.checked.head,
            "peak_memory_kb": self.memory_kb, "nats_server_peak_memory_kb": self.server_memory_kb,
            "work_s": self.worked.seconds, "check_s": self.checked.seconds, "seconds": self.seconds,
            "kept": self.kept.as_ref().map(|kept| json!({
                "home": kept.home.to_string_lossy(), "process": kept.process,
                "nats": kept.running.nats, "api": kept.running.api,
            })),
        })
    }

    fn words(&self, records: usize, of_commands: usize) -> String {
        let mut text = String::new();
        let mut say = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<22} {value}");
        };
        say("incidents", self.incidents.to_string());
        say(
            "commands",
            format!(
                "{} sent = {} outcomes = {of_commands} records",
                self.worked.sent, self.worked.sent
            ),
        );
        for (kind, count) in &self.checked.kinds {
            say("", format!("{count:>8} {kind}"));
        }
        say("records", format!("{records}, the decider's own included"));
        say("rate", format!("{:.0} commands/s over {:.1} s", self.rate(), self.worked.seconds));
        say("accuracy", format!("{} without the first row's group", percent(self.without)));
        say(
            "",
            format!("{} with it (plain look-up on the published log: 67.4 %)", percent(self.with)),
        );
        let w = &self.worked;
        say(
            "approvals",
            format!("{} asked, {} approved, {} rejected", w.asked, w.approved, w.rejected),
        );
        let tickets: Vec<_> =
            self.checked.tickets.iter().map(|(s, n)| format!("{n} {s}")).collect();
        say("tickets", format!("{} (read model rebuilt from zero)", tickets.join(", ")));
        say("ledger", self.checked.verified.clone());
        say("head", self.checked.head.clone());
        let mib =
            |kb: Option<u64>| kb.map_or("unknown".to_owned(), |k| format!("{} MiB", k / 1024));
        say(
            "peak memory",
            format!("{}; nats-server {}", mib(self.memory_kb), mib(self.server_memory_kb)),
        );
        say("elapsed", format!("{:.1} s", self.seconds));
        match &self.kept {
            Some(kept) => {
                let home = kept.home.display();
                say("left running", format!("process {}, cell in {home}", kept.process));
                say("NATS", kept.running.nats.clone());
                say("API", kept.running.api.clone().unwrap_or_default());
                say("look next", format!("canonry --home {home} tickets list"));
                say("", format!("canonry --home {home} ledger verify"));
                say("stop it", format!("kill {}", kept.process));
                say("start it again", format!("canonry --home {home} up"));
            }
            None => say("look next", "canonry up, then canonry ledger verify".to_owned()),
        }
        text
    }
}
