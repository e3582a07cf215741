//! The engine behind one port: how it is made, loaded and named. Nothing else makes one.

use regorus::utils::limits::PolicyLengthConfig;
use regorus::{Engine, Value};

use crate::code::{Code, Refused};
use crate::limits;
use crate::policy::{Source, every_step};
use crate::rego::{builtins, newer};

/// The engine and its version, as records name it. Whoever decides again takes the same.
#[must_use]
pub const fn version() -> &'static str {
    concat!("regorus-0.14.1/canonry-policy-", env!("CARGO_PKG_VERSION"))
}

/// How long files and lines may be: what the engine is given was measured as it was written.
pub(crate) const fn lengths() -> PolicyLengthConfig {
    PolicyLengthConfig {
        max_col: limits::READ_COLUMNS,
        max_file_bytes: limits::READ_BYTES,
        max_lines: limits::READ_LINES,
    }
}

/// An empty engine for decisions: strict, so that a builtin that fails is an error and not a field
/// that is missing, and with our bounded builtins.
pub(crate) fn new() -> Result<Engine, Refused> {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(true);
    engine.set_gather_prints(true);
    engine.set_policy_length_config(lengths());
    engine.set_execution_timer_config(every_step());
    crate::builtins::install(&mut engine, true).map_err(|e| Refused::new(Code::Builtin, e))?;
    builtins::install(&mut engine).map_err(|e| Refused::new(Code::Builtin, e))?;
    Ok(engine)
}

/// The policy in the words that the engine reads: see [`newer`].
pub(crate) fn read(source: &Source) -> Result<Source, Refused> {
    let modules = source.modules.iter().map(|(name, text)| {
        let text =
            newer::rewrite(text).map_err(|e| Refused::new(Code::Syntax, format!("{name}: {e}")))?;
        Ok((name.clone(), text))
    });
    Ok(Source { modules: modules.collect::<Result<_, _>>()?, ..source.clone() })
}

/// Puts a policy's modules and documents into an engine.
pub(crate) fn load(engine: &mut Engine, source: &Source) -> Result<(), Refused> {
    let refused = |e: String| Refused::new(Code::Syntax, e);
    for (name, text) in &source.modules {
        engine.add_policy(name.clone(), text.clone()).map_err(|e| refused(e.to_string()))?;
    }
    if source.data.as_object().is_some_and(|o| !o.is_empty()) {
        let data = Value::from(source.data.clone());
        engine.add_data(data).map_err(|e| refused(e.to_string()))?;
    }
    Ok(())
}

/// Has the engine analyse what it was given, so that no decision has to and a fault is found now.
pub(crate) fn prepare(engine: &mut Engine) -> Result<(), Refused> {
    let refused = |e: String| Refused::new(Code::Syntax, e);
    let module = "package canonry_ready\n\nready := true\n".to_owned();
    engine.add_policy("canonry_ready".to_owned(), module).map_err(|e| refused(e.to_string()))?;
    engine.set_input(Value::new_object());
    let ready = engine.eval_rule("data.canonry_ready.ready".to_owned());
    match ready.map_err(|e| refused(e.to_string()))? {
        Value::Bool(true) => Ok(()),
        _ => Err(refused("a document stands where a rule does".to_owned())),
    }
}
