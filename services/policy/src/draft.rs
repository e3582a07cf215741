//! A draft beside the policy in force: what differs in its files, and what it would have decided
//! otherwise. The command line and the API tell the same, because it is found here.

use std::collections::BTreeMap;

use canonry_schemas::decision::{Decision, Obligation, Verdict};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

use crate::recorded::recorded;
use crate::{Code, Input, Policy, Source};

/// Lines around a change.
const AROUND: usize = 3;

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only the draft has it.
    Added,
    /// Only the policy in force has it.
    Removed,
    /// Both have it.
    Changed,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Differs {
    /// Its name.
    pub file: String,
    /// How.
    pub change: Change,
    /// As a unified diff.
    pub diff: String,
}

/// The files of a source as texts: its modules, and its documents as one.
fn texts(source: &Source) -> BTreeMap<String, String> {
    // A leading slash is a matter of who made the bundle.
    let name = |name: &str| name.trim_start_matches('/').to_owned();
    let mut all: BTreeMap<_, _> =
        source.modules.iter().map(|(file, text)| (name(file), text.clone())).collect();
    if source.data.as_object().is_some_and(|data| !data.is_empty()) {
        let text = serde_json::to_string_pretty(&source.data).unwrap_or_default();
        all.insert("data.json".to_owned(), text + "\n");
    }
    all
}

/// What differs, file by file; against nothing where no policy was published.
#[must_use]
pub fn differences(in_force: Option<&Source>, draft: &Source) -> Vec<Differs> {
    let (old, new) = (in_force.map(texts).unwrap_or_default(), texts(draft));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let one = |file: &String| {
        let (was, is) = (old.get(file), new.get(file));
        let change = match (was, is) {
            (was, is) if was == is => return None,
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        };
        let empty = String::new();
        let diff = TextDiff::from_lines(was.unwrap_or(&empty), is.unwrap_or(&empty));
        let diff = diff.unified_diff().context_radius(AROUND).header(file, file).to_string();
        Some(Differs { file: file.clone(), change, diff })
    };
    names.into_iter().filter_map(one).collect()
}

/// What was decided, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Said {
    /// The verdict.
    pub verdict: Verdict,
    /// The rules that matched.
    pub rules: Vec<String>,
    /// What whoever carries it out has to do.
    pub obligations: Vec<Obligation>,
    /// Why it is DENY though no rule says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
}

impl Said {
    fn of(decision: &Decision, codes: &[Code]) -> Self {
        Self {
            verdict: decision.verdict,
            rules: decision.rules.iter().map(|rule| rule.0.clone()).collect(),
            obligations: decision.obligations.clone(),
            codes: codes.iter().map(|code| code.code().to_owned()).collect(),
        }
    }
}

/// A decision that would be otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Otherwise {
    /// Position of the record that decided.
    pub position: u64,
    /// The action, `action/…`.
    pub action: String,
    /// The tool.
    pub tool: String,
    /// What it was to do.
    pub does: String,
    /// For which role.
    pub role: String,
    /// What was decided.
    pub was: Said,
    /// What the draft says.
    pub now: Said,
}

/// What came of a simulation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Simulated {
    /// How many decisions the draft was asked about.
    pub decisions: u64,
    /// Those whose verdict or obligations would change.
    pub changed: Vec<Otherwise>,
    /// Positions whose input cannot be opened any more.
    pub unreadable: Vec<u64>,
}

impl Simulated {
    /// Asks the draft about one event of the API, whose input is opened. What is no decision is passed
    /// over.
    ///
    /// # Errors
    /// A sentence: a decision or an input that does not read.
    pub fn take(&mut self, draft: &Policy, row: &Value) -> Result<(), String> {
        let data = &row["data"];
        if !data["decision"].is_object() {
            return Ok(());
        }
        self.decisions += 1;
        let position = row["position"].as_u64().unwrap_or_default();
        let unread = |e: serde_json::Error| format!("position {position}: {e}");
        let was: Decision = serde_json::from_value(data["decision"].clone()).map_err(unread)?;
        // Sealed content that was not opened is none.
        let input = data["input"].as_str().filter(|text| !text.starts_with("x1:"));
        let Some(input) = input else {
            self.unreadable.push(position);
            return Ok(());
        };
        let input: Input = serde_json::from_str(input).map_err(unread)?;
        let said = draft.decide(&input);
        let now = recorded(&said, None, None);
        if (was.verdict, &was.obligations) != (now.verdict, &now.obligations) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            self.changed.push(Otherwise {
                position,
                action: text(&row["entity"]),
                tool: text(&data["tool"]),
                does: text(&data["action"]),
                role: text(&data["role"]),
                was: Said::of(&was, &[]),
                now: Said::of(&now, &said.codes),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_compared_by_name() {
        let source = |all: &[(&str, &str)]| Source {
            modules: all.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect(),
            data: serde_json::json!({}),
            ..Source::default()
        };
        let old = source(&[("/a.rego", "1\n"), ("b.rego", "2\n"), ("c.rego", "3\n")]);
        let new = source(&[("a.rego", "1\n"), ("b.rego", "4\n"), ("d.rego", "5\n")]);
        let found = differences(Some(&old), &new);
        let told: Vec<_> = found.iter().map(|c| (c.file.as_str(), c.change)).collect();
        let wanted =
            [("b.rego", Change::Changed), ("c.rego", Change::Removed), ("d.rego", Change::Added)];
        assert_eq!(told, wanted);
        assert!(found[0].diff.contains("-2\n+4\n"), "{}", found[0].diff);
        assert_eq!(differences(Some(&old), &old), []);
        assert_eq!(differences(None, &new).len(), 3);
    }
}
