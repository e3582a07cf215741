//! `strings.render_template`: Go's text templates, as far as values, `range` and `if` go. Functions,
//! pipes, comments and everything else of Go's are refused.

use std::fmt::Write as _;

use regorus::Value;

use super::{Answer, Builtin, text_of};
use crate::limits;

pub(super) const ALL: &[Builtin] = &[("strings.render_template", 2, render)];

/// A part of a template.
enum Part<'a> {
    Text(&'a str),
    Print(Path<'a>),
    If { on: Path<'a>, then: Vec<Part<'a>>, other: Vec<Part<'a>> },
    Range { names: Vec<&'a str>, over: Path<'a>, then: Vec<Part<'a>>, other: Vec<Part<'a>> },
}

/// `.a.b` or `$x.a`: a variable, or what is at hand, and fields below it.
struct Path<'a> {
    variable: Option<&'a str>,
    fields: Vec<&'a str>,
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c == '_' || c.is_alphanumeric())
}

impl<'a> Path<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let wrong = || format!("template: not supported: {text}");
        let (head, rest) = text
            .split_once('.')
            .ok_or(())
            .or_else(|()| if text.starts_with('$') { Ok((text, "")) } else { Err(wrong()) })?;
        let variable = match head.strip_prefix('$') {
            Some(name) if name.is_empty() || is_name(name) => Some(name),
            None if head.is_empty() => None,
            _ => return Err(wrong()),
        };
        let fields: Vec<&str> =
            if rest.is_empty() { Vec::new() } else { rest.split('.').collect() };
        if fields.iter().all(|f| is_name(f)) { Ok(Self { variable, fields }) } else { Err(wrong()) }
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

/// What ended a list of parts.
#[derive(PartialEq, Eq)]
enum Stop {
    Text,
    Else,
    End,
}

impl<'a> Reader<'a> {
    fn parts(&mut self) -> Result<(Vec<Part<'a>>, Stop), String> {
        self.depth += 1;
        if self.depth > limits::NESTING {
            return Err("template: nested deeper than it may be".to_owned());
        }
        let mut all = Vec::new();
        let end = loop {
            let Some((text, rest)) = self.rest.split_once("{{") else {
                all.push(Part::Text(std::mem::take(&mut self.rest)));
                break Stop::Text;
            };
            let (action, rest) = rest.split_once("}}").ok_or("template: unclosed action")?;
            all.push(Part::Text(text));
            self.rest = rest;
            let action = action.trim();
            match action.split_once(char::is_whitespace).unwrap_or((action, "")) {
                ("end", "") => break Stop::End,
                ("else", "") => break Stop::Else,
                ("if", on) => {
                    let on = Path::read(on.trim())?;
                    let (then, other) = self.branches()?;
                    all.push(Part::If { on, then, other });
                }
                ("range", over) => {
                    let (names, over) = match over.split_once(":=") {
                        Some((names, over)) => (names.split(',').map(str::trim).collect(), over),
                        None => (Vec::new(), over),
                    };
                    let names: Vec<&str> = names
                        .iter()
                        .map(|n: &&str| n.strip_prefix('$').filter(|n| is_name(n)))
                        .collect::<Option<_>>()
                        .filter(|all: &Vec<_>| all.len() <= 2)
                        .ok_or("template: no variables")?;
                    let over = Path::read(over.trim())?;
                    let (then, other) = self.branches()?;
                    all.push(Part::Range { names, over, then, other });
                }
                _ => all.push(Part::Print(Path::read(action)?)),
            }
        };
        self.depth -= 1;
        Ok((all, end))
    }

    fn branches(&mut self) -> Result<(Vec<Part<'a>>, Vec<Part<'a>>), String> {
        let (then, end) = self.parts()?;
        let (other, end) = if end == Stop::Else { self.parts()? } else { (Vec::new(), end) };
        if end == Stop::End {
            Ok((then, other))
        } else {
            Err("template: unexpected end".to_owned())
        }
    }
}

/// A template at work.
struct Writer<'a> {
    out: String,
    steps: usize,
    variables: Vec<(&'a str, Value)>,
}

impl<'a> Writer<'a> {
    fn value(&self, path: &Path<'a>, here: &Value) -> Result<Value, String> {
        let known = |name: &str| self.variables.iter().rev().find(|v| v.0 == name).map(|v| &v.1);
        let from = match path.variable {
            Some(name) => known(name).ok_or_else(|| format!("template: undefined ${name}"))?,
            None => here,
        };
        Ok(path.fields.iter().fold(from, |at, field| &at[*field]).clone())
    }

    fn write(&mut self, parts: &'a [Part<'a>], here: &Value) -> Result<(), String> {
        for part in parts {
            self.steps += 1;
            if self.steps > limits::PAIRS || self.out.len() > limits::TEXT {
                return Err("template: longer than it may be".to_owned());
            }
            match part {
                Part::Text(text) => self.out.push_str(text),
                Part::Print(path) => {
                    let value = self.value(path, here)?;
                    told(&value, &mut self.out)?;
                }
                Part::If { on, then, other } => {
                    let chosen = if holds(&self.value(on, here)?) { then } else { other };
                    self.write(chosen, here)?;
                }
                Part::Range { names, over, then, other } => {
                    let over = self.value(over, here)?;
                    self.range(names, &over, (then, other), here)?;
                }
            }
        }
        Ok(())
    }

    fn range(
        &mut self,
        names: &[&'a str],
        over: &Value,
        (then, other): (&'a [Part<'a>], &'a [Part<'a>]),
        here: &Value,
    ) -> Result<(), String> {
        let each: Vec<(Value, Value)> = match over {
            Value::Array(items) => {
                items.iter().enumerate().map(|(n, v)| (Value::from(n), v.clone())).collect()
            }
            Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            Value::Undefined | Value::Null => Vec::new(),
            _ => return Err("template: range can't iterate over it".to_owned()),
        };
        if each.is_empty() {
            return self.write(other, here);
        }
        let before = self.variables.len();
        for (key, value) in each {
            match names {
                [one] => self.variables.push((one, value.clone())),
                [index, one] => {
                    self.variables.push((index, key));
                    self.variables.push((one, value.clone()));
                }
                _ => {}
            }
            self.write(then, &value)?;
            self.variables.truncate(before);
        }
        Ok(())
    }
}

/// Whether Go takes it for true: what is not empty. A number is, unless it is 0.
fn holds(value: &Value) -> bool {
    match value {
        Value::Null | Value::Undefined => false,
        Value::Bool(yes) => *yes,
        Value::Number(_) => *value != Value::from(0_u64),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Set(items) => items.iter().next().is_some(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// A value as Go prints it.
fn told(value: &Value, out: &mut String) -> Result<(), String> {
    match value {
        Value::Undefined | Value::Null => out.push_str("<undefined>"),
        Value::String(text) => out.push_str(text),
        Value::Bool(_) | Value::Number(_) => {
            let text = serde_json::to_string(value).map_err(|e| e.to_string())?;
            write!(out, "{text}").map_err(|e| e.to_string())?;
        }
        _ => return Err("template: a list or an object is not printed".to_owned()),
    }
    Ok(())
}

fn render(given: &[Value]) -> Answer {
    let [text, values] = given else { return Err("two operands".to_owned()) };
    let mut reader = Reader { rest: text_of(text)?, depth: 0 };
    let (parts, end) = reader.parts()?;
    if end != Stop::Text {
        return Err("template: unexpected end".to_owned());
    }
    let variables = vec![("", values.clone())];
    let mut writer = Writer { out: String::new(), steps: 0, variables };
    writer.write(&parts, values)?;
    Ok(Value::from(writer.out))
}
