//! Allow-lists of a NATS user, and the server's rule for matching a subject against a pattern, so
//! that a table can ask what a user may do without a server.

use serde_json::{Map, Value, json};

/// What one user may publish and subscribe to. An empty list allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permissions {
    /// Patterns it may publish to.
    pub publish: Vec<String>,
    /// Patterns within those that it may not; these win.
    pub deny_publish: Vec<String>,
    /// Patterns it may subscribe to.
    pub subscribe: Vec<String>,
}

impl Permissions {
    /// Whether the user may publish to this subject (no wildcards in it).
    #[must_use]
    pub fn may_publish(&self, subject: &str) -> bool {
        self.publish.iter().any(|p| matches(p, subject))
            && !self.deny_publish.iter().any(|p| matches(p, subject))
    }

    /// Whether the user may subscribe to this subject or pattern.
    #[must_use]
    pub fn may_subscribe(&self, subject: &str) -> bool {
        self.subscribe.iter().any(|p| matches(p, subject))
    }

    /// The `nats` part of a user's claims.
    #[must_use]
    pub fn claims(&self, subscriptions: i64, payload: i64) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("pub".into(), rule(&self.publish, &self.deny_publish));
        claims.insert("sub".into(), rule(&self.subscribe, &[]));
        claims.insert("subs".into(), subscriptions.into());
        claims.insert("data".into(), (-1).into());
        claims.insert("payload".into(), payload.into());
        claims
    }
}

/// The server takes an absent or empty allow-list for "everything": an empty one is written as a
/// denial of everything.
fn rule(allow: &[String], deny: &[String]) -> Value {
    match (allow.is_empty(), deny.is_empty()) {
        (true, _) => json!({ "deny": [">"] }),
        (false, true) => json!({ "allow": allow }),
        (false, false) => json!({ "allow": allow, "deny": deny }),
    }
}

/// Whether a pattern covers a subject: `*` one token, `>` one or more at the end.
#[must_use]
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        let Some(token) = tokens.next() else { return false };
        match wanted {
            ">" => return true,
            "*" if token != ">" => {}
            _ if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_server_does() {
        for (pattern, subject, covered) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("*.b", "a.b", true),
            ("a.b.c", "a.b", false),
            ("a.*", "a.>", false),
            ("a.>", "a.*", true),
        ] {
            assert_eq!(matches(pattern, subject), covered, "{pattern} {subject}");
        }
    }

    #[test]
    fn an_empty_list_denies() {
        let claims = Permissions::default().claims(1, 1);
        assert_eq!(claims["pub"], json!({"deny": [">"]}));
        assert!(!Permissions::default().may_publish("a"));
    }
}
