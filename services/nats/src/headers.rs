//! Headers as an ordered multi-map, and the one order in which this crate hands them out.
//!
//! `async-nats` keeps headers in a hash map, on the way out and on the way in. It keeps the exact
//! case of names, and the order of the values of one name, but not the order of names: what it
//! writes into a stream is in a random order, which therefore carries no information. So every
//! header list of this crate is in **canonical order**: `Nats-Msg-Id`, `Canonry-Hash`,
//! `Canonry-Signature`, `traceparent`, then the rest by name (byte order); values of one name
//! stay in the order they were stored in, and a repeated header shows as often as it was stored.
//! Spaces around a value are not kept by the library. A header block that is not UTF-8 makes the
//! library drop the connection; reading by [`crate::Log::get`] reports it as malformed.
//!
//! This module must not drop or merge headers. Next: [`crate::Stored`].

use std::str::FromStr;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use canonry_schemas::header::{RECORD_HASH, RECORD_ID, RECORD_SIGNATURE, TRACEPARENT};

use crate::error::{Error, ErrorKind};

const FIRST: [&str; 4] = [RECORD_ID, RECORD_HASH, RECORD_SIGNATURE, TRACEPARENT];

/// Headers in canonical order; names keep their case and may repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The first value of `name` (exact case).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Every value of `name` (exact case), in stored order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All headers in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// How many there are, repeated ones counted each time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The list itself.
    #[must_use]
    pub fn into_vec(self) -> Vec<(String, String)> {
        self.0
    }

    pub(crate) fn from_map(map: Option<&HeaderMap>) -> Self {
        let Some(map) = map else { return Self::new() };
        let mut list = Vec::with_capacity(map.len());
        for (name, values) in map.iter() {
            let name: &str = name.as_ref();
            list.extend(values.iter().map(|v| (name.to_owned(), v.as_str().to_owned())));
        }
        list.into()
    }

    /// Parses a stored header block (`NATS/1.0`, then lines `name: value`).
    pub(crate) fn parse(block: &[u8]) -> Result<Self, Error> {
        let malformed = || Error::new(ErrorKind::Malformed, "stored headers");
        let text = std::str::from_utf8(block)
            .map_err(|e| Error::with(ErrorKind::Malformed, "stored headers", e))?;
        let mut lines = text.split("\r\n");
        if !lines.next().is_some_and(|l| l.starts_with("NATS/1.0")) {
            return Err(malformed());
        }
        let mut list = Vec::new();
        for line in lines.filter(|l| !l.is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(malformed)?;
            list.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(list.into())
    }
}

impl From<Vec<(String, String)>> for Headers {
    fn from(mut list: Vec<(String, String)>) -> Self {
        // A stable sort: values of one name keep their order.
        list.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
        Self(list)
    }
}

fn rank(name: &str) -> usize {
    FIRST.iter().position(|&f| f == name).unwrap_or(FIRST.len())
}

/// Builds the library's map; `None` when there is nothing to send.
pub(crate) fn to_map<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Option<HeaderMap>, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if name.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "header without a name"));
        }
        // The library panics on an invalid name or value unless both are parsed first.
        let parsed = HeaderName::from_str(name)
            .map_err(|e| Error::with(ErrorKind::Invalid, format!("header name {name:?}"), e))?;
        let value = HeaderValue::from_str(value)
            .map_err(|e| Error::with(ErrorKind::Invalid, format!("value of header {name}"), e))?;
        map.append(parsed, value);
    }
    Ok((!map.is_empty()).then_some(map))
}

/// Bytes that `map` takes on the wire, at most.
pub(crate) fn wire_len(map: &HeaderMap) -> usize {
    let pair = |n: &HeaderName, v: &HeaderValue| AsRef::<str>::as_ref(n).len() + v.as_str().len();
    let lines = map.iter().flat_map(|(n, vs)| vs.iter().map(move |v| pair(n, v) + 4));
    lines.sum::<usize>() + 12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_order_keeps_repeats_and_case() {
        let block = b"NATS/1.0\r\nb: 2\r\ntraceparent: t\r\nB: 3\r\nb: 1\r\nNats-Msg-Id: i\r\n\r\n";
        let headers = Headers::parse(block).unwrap();
        let list: Vec<_> = headers.iter().collect();
        let want = [("Nats-Msg-Id", "i"), ("traceparent", "t"), ("B", "3"), ("b", "2"), ("b", "1")];
        assert_eq!(list, want);
        assert_eq!(headers.get_all("b").collect::<Vec<_>>(), ["2", "1"]);
        assert_eq!(headers.get("canonry-hash"), None);
    }

    #[test]
    fn refuses_what_would_break_the_protocol() {
        assert!(to_map([("a", "x\r\ny")]).is_err());
        assert!(to_map([("a b:", "x")]).is_err());
        assert!(to_map([("", "x")]).is_err());
        assert_eq!(to_map([]).unwrap(), None);
    }

    #[test]
    fn wire_length_is_an_upper_bound() {
        let map = to_map([("a", "1"), ("a", "2"), ("Nats-Msg-Id", "x")]).unwrap().unwrap();
        assert_eq!(wire_len(&map), "NATS/1.0\r\na: 1\r\na: 2\r\nNats-Msg-Id: x\r\n\r\n".len());
    }
}
