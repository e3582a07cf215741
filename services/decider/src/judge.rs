//! The policy engine behind one port: what a bundle is worth before it is published, and what the
//! bundle in force says of an action. Compiled policies are kept by digest, so that a verdict
//! depends on bundle and input alone, whoever was asked before.
//!
//! It must not read a clock or the world: what a policy may know stands in its input.

use canonry_domain::policy::{Checked, Policy};
use canonry_domain::weigh::Ruling;
use canonry_schemas::decision::{Decision, Verdict};
use canonry_schemas::refusal::{Denial, Refusal};
use canonry_schemas::text::Label;
use serde_json::Value;

/// Judges actions for all tenants of a decider.
#[derive(Default)]
pub struct Judge {}

impl Judge {
    /// A judge who has compiled nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks a bundle that is to be published.
    ///
    /// # Errors
    /// `bundle-…`: what is wrong with it.
    pub fn check(&self, _archive: &[u8]) -> Result<Checked, Refusal> {
        Err(Refusal::BundleInvalid)
    }

    /// What the policy says of an input.
    #[must_use]
    pub fn decide(&self, policy: &Policy, _input: &Value) -> (Decision, Ruling) {
        Self::denied(Some(policy), Denial::PolicyError)
    }

    /// No, for a reason that lies before any rule.
    #[must_use]
    pub fn denied(policy: Option<&Policy>, why: Denial) -> (Decision, Ruling) {
        let decision = Decision {
            bundle: policy.map(|policy| policy.digest.clone()),
            policy: policy.map(|policy| canonry_schemas::ids::Position::of(policy.position)),
            engine: Label("none".to_owned()),
            verdict: Verdict::Deny,
            rules: Vec::new(),
            obligations: Vec::new(),
        };
        (decision, Ruling::Deny(why))
    }
}
