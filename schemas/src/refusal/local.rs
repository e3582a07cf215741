//! What only the command line and the logs of a service tell: codes that no answer over NATS or
//! HTTP carries. A page stands beside each, `schemas/errors/<code>.md`.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $exit:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $code;)*

        /// The codes with the exit code of the command line.
        pub const ALL: &[(&str, u8)] = &[$(($name, $exit)),*];
    };
}

codes! {
    /// Not a name of a secret.
    SECRET_REFERENCE_INVALID = "secret-reference-invalid", 2;
    /// The configuration of secrets is wrong.
    SECRETS_MISCONFIGURED = "secrets-misconfigured", 64;
    /// There is no store of this name.
    SECRET_STORE_UNKNOWN = "secret-store-unknown", 64;
    /// There is no such secret or field.
    SECRET_UNKNOWN = "secret-unknown", 1;
    /// The value has no bytes.
    SECRET_EMPTY = "secret-empty", 1;
    /// The value is larger than a secret may be.
    SECRET_TOO_LARGE = "secret-too-large", 1;
    /// A vault keeps text only.
    SECRET_NOT_TEXT = "secret-not-text", 1;
    /// The store, or one secret of it, holds as much as it may.
    SECRET_STORE_FULL = "secret-store-full", 1;
    /// There is an embedded store already.
    SECRET_STORE_EXISTS = "secret-store-exists", 1;
    /// A file of the embedded store is exposed, missing or cannot be written.
    SECRET_STORE_FILE = "secret-store-file", 64;
    /// Another process writes the embedded store.
    SECRET_STORE_BUSY = "secret-store-busy", 69;
    /// The embedded store does not open.
    SECRET_STORE_DAMAGED = "secret-store-damaged", 1;
    /// The vault does not answer.
    VAULT_UNAVAILABLE = "vault-unavailable", 69;
    /// The vault is sealed or in standby.
    VAULT_SEALED = "vault-sealed", 69;
    /// The vault refuses the login.
    VAULT_LOGIN_REFUSED = "vault-login-refused", 1;
    /// A wrapping token that was used before.
    VAULT_WRAPPING_SPENT = "vault-wrapping-spent", 1;
    /// The vault's policy does not allow it.
    VAULT_REFUSED = "vault-refused", 1;
    /// The vault's answer is not what the protocol says.
    VAULT_ANSWER_MALFORMED = "vault-answer-malformed", 1;
    /// The vault takes no such request.
    VAULT_REJECTED = "vault-rejected", 1;
    /// Others changed the secret at the same time.
    SECRET_CHANGED = "secret-changed", 1;
    /// The store lends nothing.
    LEASE_UNSUPPORTED = "lease-unsupported", 1;
    /// There is no such lease.
    LEASE_UNKNOWN = "lease-unknown", 1;
    /// The lease would hold longer than an hour.
    LEASE_TOO_LONG = "lease-too-long", 1;
}

/// The exit code of a code; `None` for one that is in no list.
#[must_use]
pub fn exit(code: &str) -> Option<u8> {
    ALL.iter().find(|(name, _)| *name == code).map(|(_, exit)| *exit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::{Refusal, http, unrecorded};

    #[test]
    fn each_code_stands_in_one_list_and_ends_as_the_command_line_says() {
        for (code, exit) in ALL {
            assert!([1, 2, 64, 69].contains(exit), "{code}: {exit}");
            assert_eq!(ALL.iter().filter(|(other, _)| other == code).count(), 1, "{code}");
            let elsewhere = Refusal::ALL.iter().any(|r| r.code() == *code)
                || unrecorded::ALL.contains(code)
                || http::ALL.contains(code);
            assert!(!elsewhere, "{code}");
        }
        assert_eq!((exit("vault-sealed"), exit("retry")), (Some(69), None));
    }
}
