//! Evidence: files that belong to a ticket or run. The bytes lie sealed in the tenant's object
//! bucket; the record names the object and carries the object's secret as content of the ticket
//! or run, so that whoever shreds the content key shreds the file.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::catalogue::{commands, data, events};
use crate::ids::{KeyedDigest, ObjectId, WorkId};
use crate::limits::{EVIDENCE_BYTES, MEDIA_TYPE_BYTES};
use crate::text::Content;

/// The first words of a media type that evidence may have.
const KINDS: [&str; 7] = ["application", "audio", "font", "image", "model", "text", "video"];

/// A media type without parameters, in lower case: one of seven kinds, a slash, a subtype.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct MediaType(String);

impl MediaType {
    /// What nobody said anything about.
    #[must_use]
    pub fn unknown() -> Self {
        Self("application/octet-stream".to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not a media type that evidence may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a media type in lower case without parameters, such as image/png")]
pub struct InvalidMediaType;

impl std::str::FromStr for MediaType {
    type Err = InvalidMediaType;

    fn from_str(text: &str) -> Result<Self, InvalidMediaType> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = text.len() <= MEDIA_TYPE_BYTES
            && text.split_once('/').is_some_and(|(kind, sub)| {
                KINDS.contains(&kind)
                    && sub.bytes().next().is_some_and(plain)
                    && sub.bytes().all(|c| plain(c) || b".+-".contains(&c))
            });
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidMediaType) }
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for MediaType {
    fn schema_name() -> Cow<'static, str> {
        "MediaType".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let kinds = KINDS.join("|");
        json_schema!({
            "type": "string", "maxLength": MEDIA_TYPE_BYTES,
            "pattern": format!("^({kinds})/[a-z0-9][a-z0-9.+-]*$"),
        })
    }
}

data! {
    /// Attaches an object that is stored whole.
    Attach {
        /// The ticket or run that it belongs to.
        id: WorkId,
        /// The object in the tenant's evidence bucket.
        object: ObjectId,
        /// Keyed digest of the clear bytes; the object's name begins with it.
        digest: KeyedDigest,
        /// Bytes in clear.
        #[schemars(range(min = 1, max = EVIDENCE_BYTES))]
        size: u64,
        /// What it is.
        media_type: MediaType,
        /// The object's secret, base64url of 32 bytes: content of the ticket or run.
        secret: Content,
        /// The file's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<Content>,
    }
}

commands! { "evidence";
    /// Attaches.
    "attach" => Attach(Attach),
}

events! { "evidence";
    /// Attached; `entity` is the ticket or run.
    "attached" v 1 => Attached(Attach),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_a_closed_grammar() {
        for good in ["image/png", "text/plain", "application/vnd.oasis.opendocument.text"] {
            assert!(good.parse::<MediaType>().is_ok(), "{good}");
        }
        let long = format!("text/{}", "a".repeat(MEDIA_TYPE_BYTES));
        for bad in
            ["", "text", "text/", "Text/plain", "text/plain; charset=x", "x/y", "text/a b", &long]
        {
            assert!(bad.parse::<MediaType>().is_err(), "{bad}");
        }
    }
}
