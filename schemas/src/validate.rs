//! JSON Schema (2020-12) of every command, compiled once and checked before deciding.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::Value;

use crate::event::Command;
use crate::kind::{Compiled, SchemaText, Unfit};
use crate::limits::EXT_COMPILED;

/// The compiled schemas of all commands, and those of custom types that were used lately.
pub struct Commands {
    commands: BTreeMap<(&'static str, &'static str), Validator>,
    kinds: Mutex<BTreeMap<SchemaText, Arc<Compiled>>>,
}

impl Commands {
    /// Compiles them from the types (the files under `schemas/` are kept equal by a test).
    ///
    /// # Errors
    /// A schema that does not compile: a defect of this crate.
    pub fn new() -> Result<Self, jsonschema::ValidationError<'static>> {
        let mut all = BTreeMap::new();
        for (aggregate, verb, schema) in Command::schemas() {
            let schema = Value::from(schema);
            let validator =
                jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&schema)?;
            all.insert((aggregate, verb), validator);
        }
        Ok(Self { commands: all, kinds: Mutex::default() })
    }

    /// Whether a body fits; `None` where there is no such command.
    #[must_use]
    pub fn fits(&self, aggregate: &'static str, verb: &'static str, body: &Value) -> Option<bool> {
        self.commands.get(&(aggregate, verb)).map(|v| v.is_valid(body))
    }

    /// The compiled schema of a custom type. It depends on the text alone, whatever is remembered.
    ///
    /// # Errors
    /// It does not compile: it was not registered by this code.
    pub fn kind(&self, schema: &SchemaText) -> Result<Arc<Compiled>, Unfit> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kinds.get(schema) {
            return Ok(Arc::clone(known));
        }
        let compiled = Arc::new(Compiled::from_text(schema)?);
        if kinds.len() >= EXT_COMPILED {
            kinds.clear();
        }
        kinds.insert(schema.clone(), Arc::clone(&compiled));
        Ok(compiled)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies_are_checked() {
        let commands = Commands::new().unwrap();
        assert_eq!(commands.fits("ticket", "open", &json!({"title": "x"})), Some(true));
        assert_eq!(commands.fits("ticket", "open", &json!({"title": 1})), Some(false));
        assert_eq!(commands.fits("ticket", "open", &json!({"title": "x", "y": 1})), Some(false));
        assert_eq!(
            commands.fits("ticket", "open", &json!({"title": "x", "priority": 9})),
            Some(false)
        );
        assert_eq!(commands.fits("ticket", "fly", &json!({})), None);
    }
}
