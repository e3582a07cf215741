//! Tests in Rego, as `opa test` runs them: every rule whose name begins with `test_` is one, and
//! passes where it is true. One that begins with `todo_test_` is skipped.
//!
//! Tests see the whole language of the engine, `with` included; the policy below test is the one
//! that is compiled, so a test of a rule that no decision may have cannot pass.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::code::{Code, Refused};
use crate::engine;
use crate::limits;
use crate::meter::{self, Over};
use crate::policy::Source;
use crate::rego::uses;

/// How one test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is true.
    Passed,
    /// It is false, or undefined.
    Failed,
    /// It could not be evaluated.
    Error(String),
    /// It is not done yet.
    Skipped,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tested {
    /// The rule: `data.a.test_b`.
    pub name: String,
    /// Its file and line.
    pub place: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What it printed.
    pub prints: Vec<String>,
}

/// Runs the tests of a policy, in the order of their names.
///
/// # Errors
/// A file that does not read.
pub fn run(source: &Source) -> Result<Vec<Tested>, Refused> {
    if !meter::ready() {
        return Err(Refused::new(Code::Unmetered, "the allocator does not count"));
    }
    let source = &engine::read(source)?;
    let mut engine = engine::new()?;
    engine::load(&mut engine, source)?;
    let mut named = BTreeMap::new();
    let modules = engine.get_modules().clone();
    for ((file, _), module) in source.modules.iter().zip(modules.iter()) {
        let Some(package) = uses::package_of(module) else { continue };
        for rule in &module.policy {
            let Some(name) = uses::name_of(rule) else { continue };
            if name.starts_with("test_") || name.starts_with("todo_test_") {
                let place = format!("{file}:{}", rule.span().line);
                named.entry(format!("{package}.{name}")).or_insert(place);
            }
        }
    }
    let mut all = Vec::new();
    for (name, place) in named {
        let skipped = name.rsplit('.').next().is_some_and(|n| n.starts_with("todo_"));
        let (outcome, prints) = if skipped {
            (Outcome::Skipped, Vec::new())
        } else {
            let mut own = engine.clone();
            let (value, over) =
                meter::metered(limits::TEST_TIME, limits::MEMORY, || own.eval_rule(name.clone()));
            let prints = own.take_prints().unwrap_or_default();
            (outcome(value.map_err(|e| e.to_string()), over), prints)
        };
        all.push(Tested { name, place, outcome, prints });
    }
    Ok(all)
}

fn outcome(value: Result<regorus::Value, String>, over: Option<Over>) -> Outcome {
    match (over, value) {
        (Some(Over::Time), _) => Outcome::Error(Code::Timeout.message().to_owned()),
        (Some(Over::Memory), _) => Outcome::Error(Code::Memory.message().to_owned()),
        (None, Err(e)) => Outcome::Error(e),
        (None, Ok(regorus::Value::Bool(true))) => Outcome::Passed,
        (None, Ok(_)) => Outcome::Failed,
    }
}
