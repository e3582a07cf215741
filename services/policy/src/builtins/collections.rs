//! `array.flatten` and other builtins over lists.

use regorus::Value;

use super::{Answer, Builtin};

pub(super) const ALL: &[Builtin] = &[("array.flatten", 1, flatten)];

fn flatten(given: &[Value]) -> Answer {
    let [Value::Array(items)] = given else { return Err("operand must be an array".to_owned()) };
    let mut all = Vec::new();
    for item in items.iter() {
        match item {
            Value::Array(inner) => all.extend(inner.iter().cloned()),
            other => all.push(other.clone()),
        }
    }
    Ok(Value::from(all))
}
