//! Names of secrets: `secret://<store>/<path>#<field>`, and without the field the place of all
//! fields of one secret. One printer, one strict parser. A name is no secret: it stands in logs,
//! errors and configuration.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::limits::{PATH_PARTS, REFERENCE_CHARS};

/// How every name begins.
pub const SCHEME: &str = "secret://";
const STORE_CHARS: usize = 31;
const PART_CHARS: usize = 63;

/// Where the fields of one secret lie, or a folder of such: `secret://<store>/<path>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    store: String,
    path: String,
}

/// One field: `secret://<store>/<path>#<field>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    place: Place,
    field: String,
}

impl Place {
    /// Which store.
    #[must_use]
    pub fn store(&self) -> &str {
        &self.store
    }

    /// Where in it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A place below this one.
    ///
    /// # Errors
    /// The parts make no path.
    pub fn below(&self, parts: &str) -> Result<Self, Error> {
        format!("{self}/{parts}").parse()
    }

    /// A field here.
    ///
    /// # Errors
    /// It is no name of a field.
    pub fn field(&self, name: &str) -> Result<Reference, Error> {
        format!("{self}#{name}").parse()
    }
}

impl Reference {
    /// Where it lies.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Which field.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.store, self.path)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.place, self.field)
    }
}

/// The wrong text is never quoted: people paste the value where the name belongs.
fn wrong(why: &'static str) -> Error {
    Error::reference(why)
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > REFERENCE_CHARS {
            return Err(wrong("too long"));
        }
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("it begins with secret://"))?;
        let (store, path) = rest.split_once('/').ok_or_else(|| wrong("the path is missing"))?;
        if !is_store(store) {
            return Err(wrong("the store's name is [a-z][a-z0-9-]{0,30}"));
        }
        if path.split('/').count() > PATH_PARTS {
            return Err(wrong("the path has too many parts"));
        }
        if !path.split('/').all(is_part) {
            return Err(wrong("each part of the path is [A-Za-z0-9_-][A-Za-z0-9._-]{0,62}"));
        }
        Ok(Self { store: store.to_owned(), path: path.to_owned() })
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > REFERENCE_CHARS {
            return Err(wrong("too long"));
        }
        let (place, field) = text
            .split_once('#')
            .ok_or_else(|| wrong("the field is missing: it ends with #FIELD"))?;
        if !is_part(field) {
            return Err(wrong("the field is [A-Za-z0-9_-][A-Za-z0-9._-]{0,62}"));
        }
        Ok(Self { place: place.parse()?, field: field.to_owned() })
    }
}

fn is_store(text: &str) -> bool {
    let rest = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    text.len() <= STORE_CHARS
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && text.bytes().all(rest)
}

/// No part begins with a dot, so none is `.` or `..`.
pub(crate) fn is_part(text: &str) -> bool {
    let rest = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.');
    (1..=PART_CHARS).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_printed_is_read_again(
            store in "[a-z][a-z0-9-]{0,30}",
            path in prop::collection::vec("[A-Za-z0-9_-][A-Za-z0-9._-]{0,40}", 1..=PATH_PARTS),
            field in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}",
        ) {
            let text = format!("secret://{store}/{}#{field}", path.join("/"));
            let read: Reference = text.parse().unwrap();
            prop_assert_eq!(read.to_string(), text);
            let place = read.place().to_string();
            prop_assert_eq!(&place.parse::<Place>().unwrap(), read.place());
            prop_assert_eq!(read.place().field(&field).unwrap(), read);
        }

        #[test]
        fn whatever_is_read_prints_the_same(text in "(secret://)?[ -~]{0,40}") {
            if let Ok(read) = text.parse::<Reference>() {
                prop_assert_eq!(read.to_string(), text.clone());
            }
            if let Ok(read) = text.parse::<Place>() {
                prop_assert_eq!(read.to_string(), text);
            }
        }
    }

    #[test]
    fn wrong_names_are_refused_and_never_quoted() {
        let long = "p".repeat(64);
        let deep = ["p"; PATH_PARTS + 1].join("/");
        for bad in [
            "hush-hush",
            "secret://",
            "secret://file",
            "secret://file/#f",
            "secret://file/a",
            "secret://File/a#f",
            "secret://1/a#f",
            "secret://file/../a#f",
            "secret://file/.a#f",
            "secret://file//a#f",
            "secret://file/a/#f",
            "secret://file/a#",
            "secret://file/a#f#g",
            "secret://file/a b#f",
            "secret://file/a?x=1#f",
            "secret://file/a%2e#f",
            "SECRET://file/a#f",
            "secret://file/ä#f",
            &format!("secret://file/{long}#f"),
            &format!("secret://file/{deep}#f"),
            &format!("secret://file/{}#f", "p/".repeat(REFERENCE_CHARS)),
        ] {
            let error = bad.parse::<Reference>().expect_err(bad);
            assert_eq!(error.code(), "secret-reference-invalid", "{bad}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
        assert!("secret://file/a#f".parse::<Place>().is_err());
        let place: Place = "secret://file/a".parse().unwrap();
        assert_eq!(place.below("b/c").unwrap().path(), "a/b/c");
        assert!(place.below("../b").is_err() && place.field("x y").is_err());
    }
}
