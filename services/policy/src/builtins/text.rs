//! Texts with expressions (`$"{x}"`, OPA 1.12), which [`crate::rego::newer`] writes as calls; and
//! `strings.count`, which counts what does not overlap.

use std::fmt::Write as _;

use regorus::Value;

use super::{Answer, Builtin, members, text_of};
use crate::limits;

pub(super) const ALL: &[Builtin] =
    &[("internal.template_string", 1, template), ("strings.count", 2, count)];

fn count(given: &[Value]) -> Answer {
    let [within, what] = given else { return Err("two operands".to_owned()) };
    Ok(Value::from(text_of(within)?.matches(text_of(what)?).count()))
}

/// The parts of a text: texts, and sets of the one value that an expression has, or of none.
fn template(given: &[Value]) -> Answer {
    let [parts] = given else { return Err("a list of parts".to_owned()) };
    let mut out = String::new();
    for part in members(parts)? {
        match part {
            Value::Set(values) => match values.iter().collect::<Vec<_>>()[..] {
                [] => out.push_str("<undefined>"),
                [Value::String(text)] => out.push_str(text),
                [value] => told(value, &mut out)?,
                _ => return Err("an expression of a text has more than one value".to_owned()),
            },
            Value::String(text) => out.push_str(text),
            _ => return Err("a part that is no text".to_owned()),
        }
        if out.len() > limits::TEXT {
            return Err("a text with expressions is longer than it may be".to_owned());
        }
    }
    Ok(Value::from(out))
}

/// A value as OPA prints it: JSON with a blank after commas and colons, and sets in braces.
fn told(value: &Value, out: &mut String) -> Result<(), String> {
    fn each<'a>(
        items: impl Iterator<Item = &'a Value>,
        (open, close): (char, char),
        out: &mut String,
    ) -> Result<(), String> {
        out.push(open);
        for (number, item) in items.enumerate() {
            if number > 0 {
                out.push_str(", ");
            }
            told(item, out)?;
        }
        out.push(close);
        Ok(())
    }
    if out.len() > limits::TEXT {
        return Err("a text with expressions is longer than it may be".to_owned());
    }
    match value {
        Value::Array(items) => each(items.iter(), ('[', ']'), out),
        Value::Set(items) if items.iter().next().is_none() => {
            out.push_str("set()");
            Ok(())
        }
        Value::Set(items) => each(items.iter(), ('{', '}'), out),
        Value::Object(fields) => {
            out.push('{');
            for (number, (key, field)) in fields.iter().enumerate() {
                if number > 0 {
                    out.push_str(", ");
                }
                told(key, out)?;
                out.push_str(": ");
                told(field, out)?;
            }
            out.push('}');
            Ok(())
        }
        plain => {
            let text = serde_json::to_string(plain).map_err(|e| e.to_string())?;
            write!(out, "{text}").map_err(|e| e.to_string())
        }
    }
}
