//! Codes around policies: why a decision is DENY though no rule said so, why a policy is not
//! compiled, why a bundle is not taken. Rules say the rest in their own names.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($name:ident = $code:literal, $kind:ident, $message:literal;)*) => {
        /// One of these codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = $message] #[serde(rename = $code)] $name),*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str { match self { $(Self::$name => $code),* } }
            /// What happened, in a sentence that quotes nobody.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message),* }
            }
            /// Where it is seen.
            #[must_use]
            pub const fn seen(self) -> Seen { match self { $(Self::$name => Seen::$kind),* } }
        }
    };
}

/// Where a code is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// In a decision, which it makes DENY.
    Decision,
    /// Where a policy is built, checked or published.
    Policy,
    /// Where a bundle is read.
    Bundle,
}

codes! {
    Undefined = "policy-undefined", Decision, "no rule of the policy matched: what is not allowed is denied";
    Error = "policy-error", Decision, "the policy failed while it was evaluated";
    Timeout = "policy-timeout", Decision, "the policy took longer than a decision may take";
    Memory = "policy-memory", Decision, "the policy took more memory than a decision may take";
    UnknownDecision = "policy-unknown-decision", Decision, "a rule gave something that is not a decision";
    Conflict = "policy-conflict", Decision, "two rules of the same strictness contradict each other";
    InputInvalid = "policy-input-invalid", Decision, "the input is too large, too deep, or holds a number that is not a whole one";
    Syntax = "policy-syntax", Policy, "a Rego file does not read";
    Form = "policy-form", Policy, "a rule is not of the form that decisions have";
    Builtin = "policy-builtin", Policy, "a rule calls what a decision may not call";
    Recursion = "policy-recursion", Policy, "a rule depends on itself, or on too long a chain of rules";
    Negation = "policy-negation", Policy, "a rule would match because a field is missing";
    TooLarge = "policy-too-large", Policy, "the policy has more files, rules or bytes than it may have";
    Empty = "policy-empty", Policy, "the policy has no rule that decides anything";
    Unmetered = "policy-unmetered", Policy, "this process cannot bound the memory of a policy";
    Malformed = "bundle-malformed", Bundle, "the file is not a bundle, or names a path outside itself";
    BundleTooLarge = "bundle-too-large", Bundle, "the bundle is larger than it may be, packed or unpacked";
    Unsigned = "bundle-unsigned", Bundle, "the bundle has no signature";
    Signature = "bundle-signature-invalid", Bundle, "the signature is not by a key that may sign policies";
    Tampered = "bundle-tampered", Bundle, "the files are not those that were signed";
    Expired = "bundle-expired", Bundle, "the bundle has expired, or says not when it expires";
    RolledBack = "bundle-rolled-back", Bundle, "the bundle is not newer than the one that was taken before";
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_distinct_and_short_enough_for_a_record() {
        let mut codes: Vec<_> = Code::ALL.iter().map(|c| c.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.message().len() <= crate::limits::LABEL_CHARS, "{}", code.code());
        }
    }
}
