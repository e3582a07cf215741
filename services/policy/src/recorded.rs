//! A decision as records have it.

use canonry_schemas::decision::{Decision, Obligation, Verdict};
use canonry_schemas::ids::{Digest, Position};
use canonry_schemas::limits::LABEL_CHARS;
use canonry_schemas::text::Label;

use crate::decision::{Obligations, Verdict as Said};

/// A text of a policy as a label.
#[must_use]
pub fn label(text: &str) -> Label {
    Label(text.chars().take(LABEL_CHARS).collect())
}

/// A policy's decision as it stands in a record, by the bundle that was asked and where it was
/// published.
#[must_use]
pub fn recorded(
    said: &crate::Decision,
    bundle: Option<Digest>,
    policy: Option<Position>,
) -> Decision {
    Decision {
        bundle,
        policy,
        engine: label(&said.engine),
        verdict: verdict(&said.verdict),
        rules: said.rules.iter().map(|rule| label(rule)).collect(),
        obligations: obligations(&said.obligations),
    }
}

const fn verdict(said: &Said) -> Verdict {
    match said {
        Said::Allow {} => Verdict::Allow,
        Said::Route { .. } => Verdict::Route,
        Said::Throttle { .. } => Verdict::Throttle,
        Said::RequireHitl { .. } => Verdict::RequireHitl,
        Said::RequireStepUp { .. } => Verdict::RequireStepUp,
        Said::Deny {} => Verdict::Deny,
    }
}

fn obligations(all: &Obligations) -> Vec<Obligation> {
    let redact = all.redact.iter().map(|path| Obligation::Redact { path: label(path) });
    let cap = all.cap.iter().map(|(path, max)| Obligation::Cap { path: label(path), max: *max });
    let header = |(name, value): (&String, &String)| Obligation::AddHeader {
        name: label(name),
        value: label(value),
    };
    redact.chain(cap).chain(all.add_header.iter().map(header)).collect()
}
