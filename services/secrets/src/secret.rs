//! A value that is never shown: wiped when dropped, `***` in `Debug`, without `Display` and
//! `Serialize`. Whoever needs the bytes says so with [`Secret::expose`].

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::error::Error;
use crate::limits::VALUE_BYTES;

/// The bytes of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Keeps these bytes.
    ///
    /// # Errors
    /// `secret-too-large`; nothing is `secret-empty`.
    pub fn new(bytes: impl Into<Zeroizing<Vec<u8>>>) -> Result<Self, Error> {
        let bytes = bytes.into();
        match bytes.len() {
            0 => Err(Error::empty()),
            1..=VALUE_BYTES => Ok(Self(bytes)),
            _ => Err(Error::too_large()),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text; none where they are no UTF-8.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The fields of one secret, by name.
pub type Fields = BTreeMap<String, Secret>;

/// What a store lends: it ends by itself, unless it is renewed.
#[derive(Debug)]
pub struct Leased<T> {
    /// What was lent.
    pub value: T,
    /// By which name it is renewed and revoked; no secret.
    pub id: LeaseId,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// When it ends.
    pub until: Instant,
}

impl<T> Leased<T> {
    /// How long it holds yet.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// The name of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseId(pub(crate) String);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_and_has_a_bound() {
        let secret = Secret::new(b"hush".to_vec()).unwrap();
        let fields = Fields::from([("key".to_owned(), secret.clone())]);
        let id = LeaseId("database/creds/x/1".to_owned());
        let leased = Leased { value: fields, id, renewable: true, until: Instant::now() };
        let shown = format!("{secret:?} {secret:#?} {leased:?} {leased:#?}");
        assert!(shown.contains("***") && shown.contains("database/creds/x/1"), "{shown}");
        assert!(!shown.contains("hush") && !shown.contains("104"), "{shown}");
        assert_eq!(secret.expose_text(), Some("hush"));
        assert!(Secret::new(vec![0xff]).unwrap().expose_text().is_none());
        assert!(Secret::new(vec![1; VALUE_BYTES]).is_ok());
        let wrong = |n| Secret::new(vec![1; n]).unwrap_err().code();
        assert_eq!((wrong(VALUE_BYTES + 1), wrong(0)), ("secret-too-large", "secret-empty"));
    }
}
