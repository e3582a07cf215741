//! The ledger's time: RFC 3339, UTC, `Z`, six fraction digits, so that text order is time order.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

/// Microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(pub i64);

/// The last microsecond of the year 9999.
const LAST: i64 = 253_402_300_799_999_999;

/// The text is not such a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2026-01-31T12:00:00.000000Z, or not in the years 1970 to 9999")]
pub struct NotATime;

impl Time {
    /// Milliseconds since 1970 UTC.
    #[must_use]
    pub const fn millis(self) -> u64 {
        (self.0 / 1_000) as u64
    }

    /// Whole seconds since 1970 UTC.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0 / 1_000_000
    }

    /// Reads any RFC 3339 time, whatever its zone and digits.
    ///
    /// # Errors
    /// The text is not RFC 3339, or not in the years 1970 to 9999, UTC.
    pub fn lenient(text: &str) -> Result<Self, NotATime> {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NotATime)?;
        // A zone can carry a time over the end of the years that can be printed.
        let micros = at.unix_timestamp_nanos().div_euclid(1_000);
        match i64::try_from(micros) {
            Ok(micros @ 0..=LAST) => Ok(Self(micros)),
            _ => Err(NotATime),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
        );
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .map_err(|_| fmt::Error)?;
        f.write_str(&at.format(&format).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Time {
    type Err = NotATime;
    fn from_str(s: &str) -> Result<Self, NotATime> {
        let at = Self::lenient(s)?;
        if at.to_string() == s { Ok(at) } else { Err(NotATime) }
    }
}

impl TryFrom<String> for Time {
    type Error = NotATime;
    fn try_from(s: String) -> Result<Self, NotATime> {
        s.parse()
    }
}

impl From<Time> for String {
    fn from(t: Time) -> Self {
        t.to_string()
    }
}

impl schemars::JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_order_is_time_order() {
        let t: Time = "2026-01-31T12:00:00.000001Z".parse().unwrap();
        assert_eq!(t.to_string(), "2026-01-31T12:00:00.000001Z");
        assert_eq!(Time::lenient("2026-01-31T13:00:00.000001+01:00"), Ok(t));
        for bad in [
            "2026-01-31T12:00:00Z",
            "2026-13-31T12:00:00.000001Z",
            "",
            "1969-01-31T12:00:00.000001Z",
        ] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }
}
