//! JSON Schema (2020-12) of every command, compiled once and checked before deciding.

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::Value;

use crate::event::Command;

/// The compiled schemas of all commands.
pub struct Commands(BTreeMap<(&'static str, &'static str), Validator>);

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
        Ok(Self(all))
    }

    /// Whether a body fits; `None` where there is no such command.
    #[must_use]
    pub fn fits(&self, aggregate: &'static str, verb: &'static str, body: &Value) -> Option<bool> {
        self.0.get(&(aggregate, verb)).map(|v| v.is_valid(body))
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
