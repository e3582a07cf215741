//! Identifiers: parsed once at the edge, valid for ever after. No id can contain `.`, `*`, `>`
//! or a space, so an id can always stand as a subject token. Subjects are in [`crate::subject`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a string is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {kind}: expected {expected}")]
pub struct InvalidId {
    /// Which kind of identifier was wanted.
    pub kind: &'static str,
    /// The grammar.
    pub expected: &'static str,
    /// What was given, cut to 80 characters.
    pub value: String,
}

impl InvalidId {
    fn new(kind: &'static str, expected: &'static str, value: &str) -> Self {
        Self { kind, expected, value: value.chars().take(80).collect() }
    }
}

const fn is_head(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn is_token(s: &str, max: usize, underscore: bool) -> bool {
    let b = s.as_bytes();
    !b.is_empty()
        && b.len() <= max
        && is_head(b[0])
        && b.iter().all(|&c| is_head(c) || c == b'-' || (underscore && c == b'_'))
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(s: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                if check(s) { Ok(Self(s.into())) } else { Err(InvalidId::new($kind, $expected, s)) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(s: String) -> Result<Self, InvalidId> { s.parse() }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self { id.0.as_ref().to_owned() }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{:?}", &*self.0) }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }
            fn inline_schema() -> bool { true }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

id_type!(
    /// A tenant's token, `[a-z0-9][a-z0-9-]{0,30}`.
    TenantId, "tenant", "[a-z0-9][a-z0-9-]{0,30}", "^[a-z0-9][a-z0-9-]{0,30}$",
    |s| is_token(s, 31, false)
);
id_type!(
    /// An actor's token, `[a-z0-9][a-z0-9_-]{0,62}`; services begin with `svc_`.
    ActorId, "actor", "[a-z0-9][a-z0-9_-]{0,62}", "^[a-z0-9][a-z0-9_-]{0,62}$",
    |s| is_token(s, 63, true)
);
id_type!(
    /// A role's id, `rol_` and a lower-case ULID.
    RoleId, "role id", "rol_<26 characters of a lower-case ULID>", "^rol_[0-7][0-9a-hjkmnp-tv-z]{25}$",
    |s| has_ulid(s, "rol_")
);
id_type!(
    /// A ticket's id, `tkt_` and a lower-case ULID.
    TicketId, "ticket id", "tkt_<26 characters of a lower-case ULID>", "^tkt_[0-7][0-9a-hjkmnp-tv-z]{25}$",
    |s| has_ulid(s, "tkt_")
);
id_type!(
    /// A run's id, `run_` and a lower-case ULID.
    RunId, "run id", "run_<26 characters of a lower-case ULID>", "^run_[0-7][0-9a-hjkmnp-tv-z]{25}$",
    |s| has_ulid(s, "run_")
);
id_type!(
    /// An action's id, `act_` and a lower-case ULID.
    ActionId, "action id", "act_<26 characters of a lower-case ULID>",
    "^act_[0-7][0-9a-hjkmnp-tv-z]{25}$",
    |s| has_ulid(s, "act_")
);
id_type!(
    /// A lease's id, `lse_` and a lower-case ULID.
    LeaseId, "lease id", "lse_<26 characters of a lower-case ULID>", "^lse_[0-7][0-9a-hjkmnp-tv-z]{25}$",
    |s| has_ulid(s, "lse_")
);
id_type!(
    /// An entity that can have content: `<aggregate>/<id>`, the aggregate `member`, `role`,
    /// `ticket`, `run`, `action` or `ext`.
    EntityId, "entity", "member/, role/, ticket/, run/, action/ or ext/ and an id",
    "^(member|role|ticket|run|action|ext)/[a-z0-9][a-z0-9_-]{0,62}$",
    |s| s.split_once('/').is_some_and(|(aggregate, id)| {
        matches!(aggregate, "member" | "role" | "ticket" | "run" | "action" | "ext")
            && is_token(id, 63, true)
    })
);
id_type!(
    /// A content key's id, `<group>-<index>`.
    ContentKeyId, "content key id", "two numbers joined by a hyphen", "^[0-9]{1,10}-[0-9]{1,3}$",
    |s| s.split_once('-').is_some_and(|(group, index)| {
        let number = |s: &str, most| {
            (1..=most).contains(&s.len()) && s.bytes().all(|c| c.is_ascii_digit())
        };
        number(group, 10) && number(index, 3)
    })
);
id_type!(
    /// The id of a ticket or run: what evidence belongs to.
    WorkId, "ticket or run id", "tkt_ or run_ and 26 characters of a lower-case ULID",
    "^(tkt|run)_[0-7][0-9a-hjkmnp-tv-z]{25}$",
    |s| has_ulid(s, "tkt_") || has_ulid(s, "run_")
);
id_type!(
    /// The id of a stored evidence object, `evd_` and a lower-case ULID.
    ObjectId, "evidence object id", "evd_<26 characters of a lower-case ULID>",
    "^evd_[0-7][0-9a-hjkmnp-tv-z]{25}$",
    |s| has_ulid(s, "evd_")
);
id_type!(
    /// A keyed digest: HMAC-SHA-256, 64 lower-case hex digits.
    KeyedDigest, "keyed digest", "64 lower-case hex digits", "^[0-9a-f]{64}$",
    |s| s.len() == 64 && s.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
);
id_type!(
    /// A digest that needs no key: SHA-256, 64 lower-case hex digits.
    Digest, "digest", "64 lower-case hex digits", "^[0-9a-f]{64}$",
    |s| s.len() == 64 && s.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
);
id_type!(
    /// A position on the ledger as it stands in a record, a decimal.
    Position, "position", "a decimal without a leading zero, not 0", "^[1-9][0-9]{0,19}$",
    |s| !s.starts_with('0') && s.bytes().all(|c| c.is_ascii_digit()) && s.parse::<u64>().is_ok()
);
id_type!(
    /// A command's idempotency id: a ULID in upper case (Crockford base 32).
    IntentId, "intent id", "a ULID, 26 characters of Crockford base 32", "^[0-7][0-9A-HJKMNP-TV-Z]{25}$",
    |s| is_ulid(s, false)
);
id_type!(
    /// A custom record type's name, `[a-z][a-z0-9-]{0,62}`.
    KindId, "kind", "[a-z][a-z0-9-]{0,62}", "^[a-z][a-z0-9-]{0,62}$",
    |s| is_token(s, 63, false) && s.as_bytes()[0].is_ascii_lowercase()
);
id_type!(
    /// An entity that a custom record can be about, `<aggregate>/<id>`.
    EntityName, "entity", "(member|role|ticket|run)/<id>",
    "^(member|role|ticket|run)/[a-z0-9][a-z0-9_-]{0,62}$",
    |s| s.split_once('/').is_some_and(|(aggregate, id)| {
        matches!(aggregate, "member" | "role" | "ticket" | "run") && is_token(id, 63, true)
    })
);
id_type!(
    /// Whose account: the tenant's, or that of a role, ticket or run.
    Scope, "account", "tenant, role/<id>, ticket/<id> or run/<id>",
    "^(tenant|role/rol_[0-7][0-9a-hjkmnp-tv-z]{25}|ticket/tkt_[0-7][0-9a-hjkmnp-tv-z]{25}|run/run_[0-7][0-9a-hjkmnp-tv-z]{25})$",
    |s| s == "tenant" || s.split_once('/').is_some_and(|(aggregate, id)| match aggregate {
        "role" => has_ulid(id, "rol_"),
        "ticket" => has_ulid(id, "tkt_"),
        "run" => has_ulid(id, "run_"),
        _ => false,
    })
);
id_type!(
    /// A currency's code, three capital letters.
    Currency, "currency", "three capital letters", "^[A-Z]{3}$",
    |s| s.len() == 3 && s.bytes().all(|c| c.is_ascii_uppercase())
);
id_type!(
    /// A key's id: the first 16 hex digits of SHA-256 of the 32-byte public key.
    KeyId, "key id", "16 lower-case hex digits", "^[0-9a-f]{16}$",
    |s| s.len() == 16 && s.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
);

fn is_ulid(s: &str, lower: bool) -> bool {
    s.len() == 26
        && matches!(s.as_bytes()[0], b'0'..=b'7')
        && s.bytes().all(|c| {
            let case = if lower { c.is_ascii_lowercase() } else { c.is_ascii_uppercase() };
            c.is_ascii_digit()
                || (case && !matches!(c.to_ascii_lowercase(), b'i' | b'l' | b'o' | b'u'))
        })
}

fn has_ulid(s: &str, prefix: &str) -> bool {
    s.strip_prefix(prefix).is_some_and(|rest| is_ulid(rest, true))
}

impl ActorId {
    /// A service's token begins with `svc_`; no member or worker may carry one.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.0.starts_with("svc_")
    }
}

impl Scope {
    /// The tenant's account.
    #[must_use]
    pub fn tenant() -> Self {
        Self("tenant".into())
    }

    /// A role's account.
    #[must_use]
    pub fn role(id: &RoleId) -> Self {
        Self(format!("role/{id}").into())
    }

    /// A ticket's account.
    #[must_use]
    pub fn ticket(id: &TicketId) -> Self {
        Self(format!("ticket/{id}").into())
    }

    /// A run's account.
    #[must_use]
    pub fn run(id: &RunId) -> Self {
        Self(format!("run/{id}").into())
    }

    /// Aggregate and id; `None` for the tenant's.
    #[must_use]
    pub fn entity(&self) -> Option<(&str, &str)> {
        self.0.split_once('/')
    }
}

impl WorkId {
    /// The aggregate that the id is one of.
    #[must_use]
    pub fn aggregate(&self) -> &'static str {
        if self.0.starts_with("tkt_") { "ticket" } else { "run" }
    }

    /// `ticket/<id>` or `run/<id>`.
    #[must_use]
    pub fn entity(&self) -> String {
        format!("{}/{self}", self.aggregate())
    }
}

impl Position {
    /// Of a record.
    #[must_use]
    pub fn of(position: u64) -> Self {
        Self(position.max(1).to_string().into())
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.parse().unwrap_or(0)
    }
}

impl IntentId {
    /// The moment in the ULID, milliseconds since 1970 UTC.
    #[must_use]
    pub fn millis(&self) -> u64 {
        ulid::Ulid::from_string(&self.0).map_or(0, |u| u.timestamp_ms())
    }

    /// From the moment and eighty random bits.
    #[must_use]
    pub fn from_parts(millis: u64, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(millis, random).to_string().into())
    }
}

/// A generated entity id from its prefix (`tkt_`), a moment and eighty random bits.
#[must_use]
pub fn generated(prefix: &str, millis: u64, random: u128) -> String {
    format!("{prefix}{}", ulid::Ulid::from_parts(millis, random).to_string().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar_is_strict() {
        assert!("acme".parse::<TenantId>().is_ok());
        for bad in ["", "-a", "a_b", "A", "a.b", "a b", "a*", "é", &"a".repeat(32)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
        assert!("svc_api".parse::<ActorId>().is_ok_and(|a| a.is_service()));
        for bad in ["", "_a", "a.b", "a>", &"a".repeat(64)] {
            assert!(bad.parse::<ActorId>().is_err(), "{bad}");
        }
        let id = generated("tkt_", 1, 2);
        assert!(id.parse::<TicketId>().is_ok());
        assert!(id.to_uppercase().parse::<TicketId>().is_err());
        assert!(id.parse::<RunId>().is_err());
        let intent = IntentId::from_parts(1_700_000_000_000, 5);
        assert_eq!(intent.millis(), 1_700_000_000_000);
        assert!(intent.as_str().to_lowercase().parse::<IntentId>().is_err());
    }
}
