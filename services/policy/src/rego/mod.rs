//! Reading Rego: what rules refer to ([`uses`]), what of it is refused ([`lint`]), which rules can match
//! at all ([`guard`]), and the language that is newer than the engine ([`newer`]).

pub(crate) mod builtins;
pub(crate) mod guard;
pub(crate) mod lint;
pub(crate) mod newer;
pub(crate) mod uses;
