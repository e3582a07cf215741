//! The one place that writes to stdout: data, and nothing else. What is for people only goes to
//! stderr through [`say`].

use std::io::Write as _;

use canonry_schemas::answer::Answer;
use serde::Serialize;

use crate::failure::{Failure, exit};

/// One line of data. A reader that has gone is no failure of ours.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}") {
        tracing::debug!(%error, "stdout is closed");
    }
}

/// One line for people.
pub fn say(text: impl std::fmt::Display) {
    let mut err = std::io::stderr().lock();
    if let Err(error) = writeln!(err, "{text}") {
        tracing::debug!(%error, "stderr is closed");
    }
}

/// A value as one line of JSON.
///
/// # Errors
/// It has no JSON.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(value).map_err(Failure::refused)?);
    Ok(())
}

/// A value as JSON for people.
///
/// # Errors
/// It has no JSON.
pub fn pretty(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string_pretty(value).map_err(Failure::refused)?);
    Ok(())
}

/// An answer to a command: itself as JSON, or in words. A refusal ends with exit code 1.
///
/// # Errors
/// The command was refused.
pub fn answer(answer: &Answer, as_json: bool) -> Result<(), Failure> {
    if as_json {
        json(answer)?;
    } else {
        line(&in_words(answer));
    }
    if answer.ok { Ok(()) } else { Err(Failure::silent(exit::REFUSED)) }
}

fn in_words(answer: &Answer) -> String {
    let mut words = vec![if answer.ok { "ok" } else { "refused" }.to_owned()];
    let parts = [
        ("code", &answer.code),
        ("event", &answer.event),
        ("entity", &answer.entity),
        ("position", &answer.position),
        ("receipt", &answer.receipt),
        ("intent", &answer.intent),
        ("message", &answer.message),
    ];
    words.extend(parts.iter().filter_map(|(name, v)| Some(format!("{name}={}", v.as_ref()?))));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_in_words_leave_out_what_is_absent() {
        let refused = Answer::unrecorded("throttled", "slow down");
        assert_eq!(in_words(&refused), "refused code=throttled message=slow down");
        assert_eq!(answer(&refused, false), Err(Failure::silent(exit::REFUSED)));
    }
}
