//! Policies from their text to the decision, and bundles from their files to the policy.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

mod bounds;
mod builtins;
mod bundles;
mod decisions;
mod distributed;
mod index;
mod opa;
mod refused;
mod rego_tests;

use canonry_policy::input::Action;
use canonry_policy::{Decision, Input, Policy, Refused, Source};
use serde_json::{Value, json};

/// A policy of one file, `package canonry.p` and these rules.
fn source(rules: &str) -> Source {
    Source {
        modules: vec![("p.rego".to_owned(), format!("package canonry.p\n\n{rules}\n"))],
        data: json!({"tools": {"mail": {"risk": "low"}, "shell": {"risk": "high"}}}),
        digest: "0".repeat(64),
    }
}

fn compile(rules: &str) -> Result<Policy, Refused> {
    Policy::compile(&source(rules))
}

/// A call of `tool` with arguments.
fn call(tool: &str, args: Value) -> Input {
    let args = serde_json::from_value(args).unwrap();
    Input {
        tenant: "acme".to_owned(),
        tier: 2,
        action: Action { tool: tool.to_owned(), action: "send".to_owned(), args },
        ..Input::default()
    }
}

/// What a policy of these rules decides.
fn decided(rules: &str, input: &Input) -> Decision {
    compile(rules).unwrap().decide(input)
}

/// The codes of a decision as text.
fn codes(decision: &Decision) -> Vec<&'static str> {
    decision.codes.iter().map(|c| c.code()).collect()
}
