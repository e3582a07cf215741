//! OPA's builtins that the engine has not: added to it under OPA's names, one module a group.
//!
//! All of them are pure: no clock, network or chance. Which of them a decision may call is the list
//! in [`crate::rego::builtins`]; the others are there for OPA's conformance cases only.

mod aws;
mod collections;
mod crypto;
mod globs;
mod graphql;
mod jwk;
mod jwt;
mod net;
mod template;
mod text;
mod uuid;
mod valid;

use regorus::{Engine, Value};

/// What a builtin answers: a value, or what is wrong with its arguments.
pub(crate) type Answer = Result<Value, String>;

/// A builtin: its name, how many arguments it takes, and what it does.
pub(crate) type Builtin = (&'static str, u8, fn(&[Value]) -> Answer);

fn all() -> impl Iterator<Item = &'static Builtin> {
    [
        aws::ALL,
        collections::ALL,
        crypto::ALL,
        globs::ALL,
        graphql::ALL,
        jwt::ALL,
        net::ALL,
        template::ALL,
        text::ALL,
        uuid::ALL,
        valid::ALL,
    ]
    .into_iter()
    .flatten()
}

/// How many arguments a builtin of ours takes.
pub(crate) fn arity(name: &str) -> Option<usize> {
    all().find(|b| b.0 == name).map(|b| usize::from(b.1))
}

/// Adds all of them to an engine. `strict`: what fails is an error; else it is undefined.
///
/// # Errors
/// The engine has one of them already.
pub(crate) fn install(engine: &mut Engine, strict: bool) -> Result<(), String> {
    for (name, arguments, run) in all() {
        let call = move |given: Vec<Value>| match run(&given) {
            Err(why) if strict => Err(std::io::Error::other(format!("{name}: {why}")).into()),
            Err(_) => Ok(Value::Undefined),
            Ok(value) => Ok(value),
        };
        engine
            .add_extension((*name).to_owned(), *arguments, Box::new(call))
            .map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// A text.
fn text_of(value: &Value) -> Result<&str, String> {
    value.as_string().map(|s| &**s).map_err(|_| "operand must be a string".to_owned())
}

/// The members of a list or a set.
fn members(value: &Value) -> Result<Vec<&Value>, String> {
    match value {
        Value::Array(items) => Ok(items.iter().collect()),
        Value::Set(items) => Ok(items.iter().collect()),
        _ => Err("operand must be one of {array, set}".to_owned()),
    }
}
