//! How a command ends when it does not end well: an exit code and a sentence for people.

/// Exit codes, as every help text states them.
pub mod exit {
    /// Refused, broken or not found.
    pub const REFUSED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// A ledger is consistent, but nobody said which founder it must have.
    pub const NOT_PINNED: u8 = 3;
    /// A ledger is whole and its founder pinned, but positions were lost and it was repaired.
    pub const REPAIRED: u8 = 4;
    /// The configuration is wrong.
    pub const CONFIG: u8 = 64;
    /// A server or service does not answer.
    pub const UNAVAILABLE: u8 = 69;
}

/// A command that did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: u8,
    /// What happened and what to do; empty where the answer on stdout says it all.
    pub message: String,
}

impl Failure {
    /// Refused, broken or not found.
    pub fn refused(message: impl std::fmt::Display) -> Self {
        Self { exit: exit::REFUSED, message: message.to_string() }
    }

    /// The command line is wrong in a way that its parser cannot see.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self { exit: exit::USAGE, message: message.to_string() }
    }

    /// The configuration is wrong.
    pub fn config(message: impl std::fmt::Display) -> Self {
        Self { exit: exit::CONFIG, message: message.to_string() }
    }

    /// A server or service does not answer.
    pub fn unavailable(message: impl std::fmt::Display) -> Self {
        Self { exit: exit::UNAVAILABLE, message: message.to_string() }
    }

    /// Ends with this code and nothing more to say.
    #[must_use]
    pub const fn silent(exit: u8) -> Self {
        Self { exit, message: String::new() }
    }
}

/// The error with its sources in one line, none said twice.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
