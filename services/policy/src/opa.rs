//! The engine with every builtin that it has here, for OPA's conformance cases. Decisions are made
//! with fewer of them, and with bounds: see [`crate::Policy`].

use regorus::Engine;

use crate::builtins;
use crate::rego::newer;

/// An engine with all builtins. `strict`: one that fails is an error; else it is undefined.
///
/// # Errors
/// A builtin that the engine has already.
pub fn engine(strict: bool) -> Result<Engine, String> {
    let mut engine = Engine::new();
    engine.set_policy_length_config(crate::engine::lengths());
    engine.set_strict_builtin_errors(strict);
    builtins::install(&mut engine, strict)?;
    Ok(engine)
}

/// A module or a query in the words that the engine reads.
///
/// # Errors
/// What is newer than the engine's language and does not read.
pub fn read(text: &str) -> Result<String, String> {
    newer::rewrite(text)
}
