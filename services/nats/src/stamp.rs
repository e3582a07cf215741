//! Times as the server writes them: RFC 3339 in JSON, nanoseconds in reply subjects.
//!
//! It reads no clock. Next: [`crate::log`].

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{Error, ErrorKind};

/// Unix nanoseconds of an RFC 3339 text.
pub(crate) fn nanos(text: &str) -> Result<i128, Error> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map(OffsetDateTime::unix_timestamp_nanos)
        .map_err(|e| Error::with(ErrorKind::Malformed, format!("time {text:?}"), e))
}

/// The present as RFC 3339, for discovery answers only.
pub(crate) fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("a time between the years 0 and 9999 has an RFC 3339 form")
}
