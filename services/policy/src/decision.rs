//! What a policy says: verdicts, obligations, and how several rules become one decision.
//!
//! The order of verdicts is fixed: the strictest that any rule gave wins. Integers only, so that the
//! record of a decision is the same bytes for everybody.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::limits;

/// What is to be done, from the mildest to the strictest. The order is the order of strictness.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "SCREAMING_SNAKE_CASE", deny_unknown_fields)]
pub enum Verdict {
    /// It may be done, under the obligations.
    Allow {},
    /// It is done elsewhere: at most one target of each kind.
    Route {
        /// Where to.
        to: BTreeMap<Target, String>,
    },
    /// Not now.
    Throttle {
        /// Seconds after which to try again.
        retry_after: u64,
    },
    /// People must approve first.
    RequireHitl {
        /// Who: each entry is to be met.
        approvals: Vec<Approval>,
        /// Whether nobody who asked for it may approve it.
        four_eyes: bool,
        /// Seconds after which the request expires.
        expiry: u64,
        /// Seconds after which, each time, the next person of the role's escalation is asked too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        escalate_after: Option<u64>,
    },
    /// Whoever answers for the action must authenticate again, at this level.
    RequireStepUp {
        /// The level.
        level: u32,
    },
    /// It may not be done.
    Deny {},
}

impl Verdict {
    /// How strict it is: a greater number wins.
    #[must_use]
    pub const fn strictness(&self) -> u8 {
        match self {
            Self::Allow {} => 0,
            Self::Route { .. } => 1,
            Self::Throttle { .. } => 2,
            Self::RequireHitl { .. } => 3,
            Self::RequireStepUp { .. } => 4,
            Self::Deny {} => 5,
        }
    }

    /// Its name, as a policy writes it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow {} => "ALLOW",
            Self::Route { .. } => "ROUTE",
            Self::Throttle { .. } => "THROTTLE",
            Self::RequireHitl { .. } => "REQUIRE_HITL",
            Self::RequireStepUp { .. } => "REQUIRE_STEP_UP",
            Self::Deny {} => "DENY",
        }
    }

    /// Whether every number and text is within its bounds.
    fn bounded(&self) -> bool {
        let label = |text: &str| !text.is_empty() && text.chars().count() <= limits::LABEL;
        match self {
            Self::Allow {} | Self::Deny {} => true,
            Self::Route { to } => !to.is_empty() && to.values().all(|t| label(t)),
            Self::Throttle { retry_after } => (1..=limits::SECONDS).contains(retry_after),
            Self::RequireStepUp { level } => (1..=9).contains(level),
            Self::RequireHitl { approvals, expiry, escalate_after, .. } => {
                escalate_after.is_none_or(|s| (1..=limits::SECONDS).contains(&s))
                    && !approvals.is_empty()
                    && approvals.len() <= limits::APPROVERS as usize
                    && (1..=limits::SECONDS).contains(expiry)
                    && approvals
                        .iter()
                        .all(|a| (1..=limits::APPROVERS).contains(&a.approvers) && label(&a.group))
            }
        }
    }
}

/// What a route leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Another tool.
    Tool,
    /// Another model.
    Model,
    /// A queue.
    Queue,
}

/// So many people of one group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// How many people.
    pub approvers: u32,
    /// Of which group.
    pub group: String,
}

/// What whoever carries the action out has to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Obligations {
    /// Fields of the arguments or the answer to take out, as JSON pointers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub redact: BTreeSet<String>,
    /// Numbers of the arguments that may not be greater, by JSON pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cap: BTreeMap<String, i64>,
    /// Headers to add to the call.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub add_header: BTreeMap<String, String>,
}

impl Obligations {
    fn bounded(&self) -> bool {
        let label = |text: &str| !text.is_empty() && text.chars().count() <= limits::LABEL;
        let pointer = |text: &str| text.starts_with('/') && label(text);
        // A header is a line of its own: nothing in it may begin another one.
        let visible = |text: &str| text.bytes().all(|b| (b' '..=b'~').contains(&b));
        let name = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        self.redact.len() + self.cap.len() + self.add_header.len() <= limits::MATCHES
            && self.redact.iter().chain(self.cap.keys()).all(|p| pointer(p))
            && self.add_header.iter().all(|(k, v)| label(k) && name(k) && label(v) && visible(v))
    }
}

/// What one rule said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The rule's name for itself.
    pub rule: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// Its obligations.
    pub obligations: Obligations,
}

impl Said {
    /// Reads an element of a set `decisions`; `None` where it is not exactly a decision.
    #[must_use]
    pub fn read(value: serde_json::Value) -> Option<Self> {
        let serde_json::Value::Object(mut all) = value else { return None };
        let rule = match all.remove("rule") {
            Some(serde_json::Value::String(rule))
                if !rule.is_empty() && rule.chars().count() <= limits::LABEL =>
            {
                rule
            }
            _ => return None,
        };
        let obligations: Obligations = match all.remove("obligations") {
            Some(some) => serde_json::from_value(some).ok()?,
            None => Obligations::default(),
        };
        let verdict: Verdict = serde_json::from_value(serde_json::Value::Object(all)).ok()?;
        (verdict.bounded() && obligations.bounded()).then_some(Self { rule, verdict, obligations })
    }
}

/// What was decided, and what somebody else needs to decide it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The strictest verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Who must agree besides, where that is `REQUIRE_STEP_UP` and other rules said `REQUIRE_HITL`:
    /// to be strong is not to be many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<Verdict>,
    /// The obligations of all rules that matched, united.
    pub obligations: Obligations,
    /// The rules that matched, sorted.
    pub rules: Vec<String>,
    /// Why it is a DENY though no rule said so; empty where rules decided.
    pub codes: Vec<Code>,
    /// Digest of the bundle, 64 hex digits.
    pub bundle: String,
    /// Digest of the input, 64 hex digits.
    pub input: String,
    /// The engine and its version.
    pub engine: String,
}

/// A merged verdict, before the digests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    pub(crate) verdict: Verdict,
    pub(crate) people: Option<Verdict>,
    pub(crate) obligations: Obligations,
    pub(crate) rules: Vec<String>,
    pub(crate) codes: Vec<Code>,
}

impl Merged {
    /// DENY, because of `code`.
    pub(crate) fn denied(code: Code) -> Self {
        Self {
            verdict: Verdict::Deny {},
            people: None,
            obligations: Obligations::default(),
            rules: Vec::new(),
            codes: vec![code],
        }
    }
}

/// One decision of what the rules said.
pub(crate) fn merge(mut said: Vec<Said>) -> Merged {
    // The order of rules in files must not matter.
    said.sort_by(|a, b| (&a.rule, &a.verdict).cmp(&(&b.rule, &b.verdict)));
    let Some(top) = said.iter().map(|s| s.verdict.strictness()).max() else {
        return Merged::denied(Code::Undefined);
    };
    let mut rules: Vec<String> = said.iter().map(|s| s.rule.clone()).collect();
    rules.dedup();
    let united = unite_obligations(&said);
    let joined = |strictness: u8| {
        let same = said.iter().map(|s| s.verdict.clone()).filter(|v| v.strictness() == strictness);
        same.map(Some).reduce(|a, b| join(a?, b?)).flatten()
    };
    let verdict = joined(top);
    let people = match &verdict {
        Some(step @ Verdict::RequireStepUp { .. }) => joined(step.strictness() - 1),
        _ => None,
    };
    match (verdict, united) {
        (Some(Verdict::Deny {}), _) => Merged {
            verdict: Verdict::Deny {},
            people: None,
            obligations: Obligations::default(),
            rules,
            codes: Vec::new(),
        },
        (Some(verdict), Some(obligations)) => {
            Merged { verdict, people, obligations, rules, codes: Vec::new() }
        }
        _ => Merged { rules, ..Merged::denied(Code::Conflict) },
    }
}

/// Two verdicts of one strictness as one; `None` where they contradict each other.
fn join(a: Verdict, b: Verdict) -> Option<Verdict> {
    use Verdict::{RequireHitl, RequireStepUp, Route, Throttle};
    Some(match (a, b) {
        (Route { to: mut a }, Route { to: b }) => {
            for (kind, to) in b {
                if a.insert(kind, to.clone()).is_some_and(|other| other != to) {
                    return None;
                }
            }
            Route { to: a }
        }
        (Throttle { retry_after: a }, Throttle { retry_after: b }) => {
            Throttle { retry_after: a.max(b) }
        }
        (RequireStepUp { level: a }, RequireStepUp { level: b }) => {
            RequireStepUp { level: a.max(b) }
        }
        (
            RequireHitl { approvals: a, four_eyes: f, expiry: x, escalate_after: e },
            RequireHitl { approvals: b, four_eyes: g, expiry: y, escalate_after: h },
        ) => {
            let mut most: BTreeMap<String, u32> = BTreeMap::new();
            for one in a.into_iter().chain(b) {
                let n = most.entry(one.group).or_default();
                *n = (*n).max(one.approvers);
            }
            let approvals =
                most.into_iter().map(|(group, approvers)| Approval { approvers, group }).collect();
            let escalate_after = e.into_iter().chain(h).min();
            RequireHitl { approvals, four_eyes: f || g, expiry: x.min(y), escalate_after }
        }
        (a, _) => a,
    })
}

fn unite_obligations(said: &[Said]) -> Option<Obligations> {
    let mut all = Obligations::default();
    for one in said {
        all.redact.extend(one.obligations.redact.iter().cloned());
        for (at, cap) in &one.obligations.cap {
            let least = all.cap.entry(at.clone()).or_insert(*cap);
            *least = (*least).min(*cap);
        }
        for (name, value) in &one.obligations.add_header {
            if all.add_header.insert(name.clone(), value.clone()).is_some_and(|o| o != *value) {
                return None;
            }
        }
    }
    Some(all)
}
