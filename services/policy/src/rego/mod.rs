//! Reading Rego: what rules refer to ([`uses`]), what of it is refused ([`lint`]), and which rules can
//! match at all ([`guard`]).

pub(crate) mod builtins;
pub(crate) mod guard;
pub(crate) mod lint;
pub(crate) mod uses;
