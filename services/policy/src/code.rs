//! The stable codes of decisions that no rule made, of policies that are not compiled, and of bundles
//! that are not taken. Each has a page, `schemas/errors/<code>.md`.

use serde::{Deserialize, Serialize};

pub use canonry_schemas::refusal::policy::Code;

/// Why a policy or a bundle is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{}: {detail}", code.code())]
pub struct Refused {
    /// The stable code.
    pub code: Code,
    /// Where and what, for the author of the policy. Never the text of an input.
    pub detail: String,
}

impl Refused {
    /// With its detail.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}
