//! Exports: one JSON line a record, and a signed head as the last line. Reading a file and
//! writing one is the caller's; this is the form of the lines.

use std::borrow::Cow;

use canonry_schemas::ids::TenantId;
use canonry_schemas::key::Use;
use canonry_schemas::time::Time;
use serde::{Deserialize, Serialize};

use crate::encoding::{base64_padded, unbase64_padded};
use crate::hash::Hash;
use crate::read::{Line, Why};
use crate::ring::KeyRing;
use crate::seal::{Signer, parse_signature, verify_strict};

/// A line of an export with its own memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedLine {
    /// Stream sequence.
    pub seq: u64,
    /// NATS subject.
    pub subject: String,
    /// All stored headers in stored order.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl OwnedLine {
    /// The same, borrowed.
    #[must_use]
    pub fn line(&self) -> Line<'_> {
        Line { seq: self.seq, subject: &self.subject, headers: &self.headers, body: &self.body }
    }
}

/// A head: where a ledger stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The tenant.
    pub tenant: TenantId,
    /// Position of the last record.
    #[serde(with = "decimal_text")]
    pub position: u64,
    /// Its hash.
    pub hash: Hash,
    /// When this was signed; never earlier than the record's time.
    pub time: Time,
}

/// A signed head; the last line of an export, and what the bucket `heads` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadLine {
    /// The head.
    pub head: Head,
    /// `ed25519:<key id>:<base64url>`.
    pub signature: String,
}

impl HeadLine {
    /// The line's text, without a line break.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a head is strings")
    }
}

/// One line of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A record.
    Record(OwnedLine),
    /// The head, after which nothing stands.
    Head(HeadLine),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    seq: u64,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    headers: Cow<'a, [(String, String)]>,
    #[serde(borrow)]
    body: Cow<'a, str>,
}

/// Positions as decimal strings.
pub mod decimal_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes a number as a string.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// Reads a string that holds a number in its only decimal form.
    ///
    /// # Errors
    /// Anything else.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        crate::grammar::decimal(&text).ok_or_else(|| D::Error::custom("not a decimal string"))
    }
}

/// The text of a record's line, without a line break.
#[must_use]
pub fn write_line(line: &Line<'_>) -> String {
    let wire = Wire {
        seq: line.seq,
        subject: line.subject.into(),
        headers: line.headers.into(),
        body: base64_padded(line.body).into(),
    };
    serde_json::to_string(&wire).expect("a line is numbers and strings")
}

/// Reads one line.
///
/// # Errors
/// [`Why::NotALine`]: neither a record's line nor a head line, with exactly their members.
pub fn parse_line(text: &str) -> Result<Entry, Why> {
    // serde would also take a list for a struct.
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        return Err(Why::NotALine);
    }
    let Ok(wire) = serde_json::from_str::<Wire<'_>>(text) else {
        return parse_head(text).map(Entry::Head);
    };
    Ok(Entry::Record(OwnedLine {
        seq: wire.seq,
        subject: wire.subject.into_owned(),
        headers: wire.headers.into_owned(),
        body: unbase64_padded(&wire.body).ok_or(Why::NotALine)?,
    }))
}

/// Reads a head line.
///
/// # Errors
/// [`Why::NotALine`]: not a head line with exactly its members.
pub fn parse_head(text: &str) -> Result<HeadLine, Why> {
    let line: HeadLine = serde_json::from_str(text).map_err(|_| Why::NotALine)?;
    let value = canonry_schemas::json::parse(text.as_bytes()).map_err(|_| Why::NotALine)?;
    let same = serde_json::to_value(&line).is_ok_and(|again| again == value);
    if same { Ok(line) } else { Err(Why::NotALine) }
}

/// `canonry/head/v1` 0x00 and the canonical JSON of the head.
#[must_use]
pub fn head_message(head: &Head) -> Vec<u8> {
    let mut message = b"canonry/head/v1\0".to_vec();
    message.extend(serde_json_canonicalizer::to_vec(head).expect("a head is strings"));
    message
}

/// Signs a head with a checkpoint key.
#[must_use]
pub fn sign_head(head: Head, signer: &Signer) -> HeadLine {
    let signature = signer.sign_text(&head_message(&head));
    HeadLine { head, signature }
}

/// Checks a head line's signature against the keys as they stand after its last record.
///
/// # Errors
/// [`Why::HeadSignature`]: not by a current checkpoint key, or wrong.
pub fn verify_head(line: &HeadLine, ring: &KeyRing) -> Result<(), Why> {
    let (id, signature) = parse_signature(&line.signature).ok_or(Why::HeadSignature)?;
    let entry = ring.key(&id).filter(|e| e.is_current() && e.may(Use::Checkpoint));
    let entry = entry.filter(|e| !e.has_expired(line.head.time)).ok_or(Why::HeadSignature)?;
    if verify_strict(&entry.verifying, &head_message(&line.head), &signature) {
        Ok(())
    } else {
        Err(Why::HeadSignature)
    }
}
