//! The part of verification that needs no state: one line's headers, hash and body. It can run
//! for many lines at once, on any thread; the chain follows in [`crate::verify`].

use canonry_schemas::header::{RECORD_HASH, RECORD_ID, RECORD_SIGNATURE, TRACEPARENT};
use canonry_schemas::ids::KeyId;

use crate::hash::{Hash, record_hash};
use crate::record::{NotARecord, Record, parse};
use crate::ring::KeyError;
use crate::seal::parse_signature;

/// One stored message of a ledger, as it stands in the stream or in an export.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Stream sequence.
    pub seq: u64,
    /// NATS subject.
    pub subject: &'a str,
    /// All stored headers in stored order.
    pub headers: &'a [(String, String)],
    /// The body's bytes.
    pub body: &'a [u8],
}

/// Why a ledger is broken; the text of [`Why::code`] is stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Another sequence than the next.
    #[error("sequence {found} stands where {expected} is due")]
    Gap {
        /// What is due.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A required header is absent.
    #[error("header {0} is missing")]
    HeaderMissing(&'static str),
    /// A header stands twice, or in another case.
    #[error("header {0} stands twice or is misspelt")]
    HeaderRepeated(&'static str),
    /// A header does not read, or differs from the body.
    #[error("header {0} is malformed or differs from the body")]
    HeaderMismatch(&'static str),
    /// The hash is not that of subject and body.
    #[error("the hash is not that of subject and body")]
    Hash,
    /// The body is no record.
    #[error(transparent)]
    Body(#[from] NotARecord),
    /// The body names another position.
    #[error("the body names another position")]
    Position,
    /// The body names another subject.
    #[error("the body names another subject")]
    Subject,
    /// The body names another tenant.
    #[error("the record is of another tenant")]
    Tenant,
    /// `prevhash` is not the hash of the record before.
    #[error("the chain is broken: prevhash is not the hash of the record before")]
    Chain,
    /// The epoch is lower than before.
    #[error("the epoch falls")]
    EpochFalls,
    /// The time is earlier than before.
    #[error("the time falls")]
    TimeFalls,
    /// The first record does not found the tenant.
    #[error("the first record is not a tenant.founded of epoch 0 with keys")]
    NotFounded,
    /// A tenant is founded once.
    #[error("the tenant is founded twice")]
    FoundedTwice,
    /// The founding record is not the pinned one.
    #[error("the founding record is not the pinned one")]
    TenantPin,
    /// The signing key is unknown.
    #[error("the signing key {0} is unknown")]
    KeyUnknown(KeyId),
    /// The key does not hold at this position.
    #[error("the signing key {0} is revoked or does not hold yet")]
    KeyRevoked(KeyId),
    /// The key does not hold at this time.
    #[error("the signing key {0} has expired")]
    KeyExpired(KeyId),
    /// The key may not sign this.
    #[error("the signing key {0} is for another use")]
    KeyUse(KeyId),
    /// The signature does not verify.
    #[error("the signature is wrong")]
    Signature,
    /// A change of keys is unlawful.
    #[error("the change of keys is not lawful: {0}")]
    Keys(#[from] KeyError),
    /// A change of keys does not read.
    #[error("the record must carry keys, revoked and authorization, and they must read")]
    KeysMalformed,
    /// `data.keys` or `data.revoked` in a record of a type that changes no keys.
    #[error("a record of this type changes no keys")]
    KeysInWrongRecord,
    /// A repair that says less or more than it must, or leaves out nothing.
    #[error("the repair does not read, or does not name the positions that it leaves out")]
    RepairMalformed,
    /// A repair that follows another record than it says.
    #[error("the repair names another head than the record before it")]
    RepairHead,
    /// A repair that no root key allowed.
    #[error("the repair is not authorised by a current root key")]
    RepairAuthorization,
    /// A repair that leaves out what is still there and stands.
    #[error("the repair hides a record that stands")]
    RepairHides,
    /// The export's line does not read, or stands after the head line.
    #[error("the line is not a line of an export")]
    NotALine,
    /// The export has no head line.
    #[error("the head line is missing: the file is not whole")]
    HeadMissing,
    /// The head line does not name the last record.
    #[error("the head line does not name the last record")]
    HeadMismatch,
    /// The head line's signature or key is wrong.
    #[error("the head line is not signed by a current checkpoint key")]
    HeadSignature,
    /// The chain does not pass through the pinned head.
    #[error("the ledger does not hold the pinned head")]
    HeadPin,
}

impl Why {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "gap",
            Self::HeaderMissing(_) => "header-missing",
            Self::HeaderRepeated(_) => "header-repeated",
            Self::HeaderMismatch(_) => "header-mismatch",
            Self::Hash => "hash-mismatch",
            Self::Body(_) => "body-malformed",
            Self::Position => "position-mismatch",
            Self::Subject => "subject-mismatch",
            Self::Tenant => "foreign-tenant",
            Self::Chain => "chain-broken",
            Self::EpochFalls => "epoch-falls",
            Self::TimeFalls => "time-falls",
            Self::NotFounded => "not-founded",
            Self::FoundedTwice => "founded-twice",
            Self::TenantPin => "tenant-pin",
            Self::KeyUnknown(_) => "signer-unknown",
            Self::KeyRevoked(_) => "signer-revoked",
            Self::KeyExpired(_) => "signer-expired",
            Self::KeyUse(_) => "signer-use",
            Self::Signature => "signature-wrong",
            Self::Keys(error) => error.code(),
            Self::KeysMalformed => "keys-malformed",
            Self::KeysInWrongRecord => "keys-in-wrong-record",
            Self::RepairMalformed => "repair-malformed",
            Self::RepairHead => "repair-head",
            Self::RepairAuthorization => "repair-authorization",
            Self::RepairHides => "repair-hides",
            Self::NotALine => "line-malformed",
            Self::HeadMissing => "head-missing",
            Self::HeadMismatch => "head-mismatch",
            Self::HeadSignature => "head-signature",
            Self::HeadPin => "head-pin",
        }
    }
}

/// A line that is sound in itself.
#[derive(Debug, Clone)]
pub struct Read<'a> {
    /// Stream sequence, equal to the record's position.
    pub seq: u64,
    /// The body.
    pub record: Record<'a>,
    /// The record's hash.
    pub hash: Hash,
    /// The key that is said to have signed.
    pub key: KeyId,
    /// The signature, not yet verified.
    pub signature: [u8; 64],
}

/// The value of a header that stands at most once, in exact case.
fn header<'a>(line: &Line<'a>, name: &'static str) -> Result<Option<&'a str>, Why> {
    let mut found = None;
    for (key, value) in line.headers {
        if key == name && found.is_none() {
            found = Some(value.as_str());
        } else if key.eq_ignore_ascii_case(name) {
            return Err(Why::HeaderRepeated(name));
        }
    }
    Ok(found)
}

fn required<'a>(line: &Line<'a>, name: &'static str) -> Result<&'a str, Why> {
    header(line, name)?.ok_or(Why::HeaderMissing(name))
}

/// Checks a line by itself: headers, hash, body, and that all three agree.
///
/// # Errors
/// The first thing that is wrong.
pub fn read<'a>(line: &Line<'a>) -> Result<Read<'a>, Why> {
    let id = required(line, RECORD_ID)?;
    let claimed = required(line, RECORD_HASH)?;
    let signature = required(line, RECORD_SIGNATURE)?;
    let trace = header(line, TRACEPARENT)?;
    let claimed: Hash = claimed
        .strip_prefix("sha256:")
        .and_then(|text| text.parse().ok())
        .ok_or(Why::HeaderMismatch(RECORD_HASH))?;
    let (key, signature) =
        parse_signature(signature).ok_or(Why::HeaderMismatch(RECORD_SIGNATURE))?;
    let hash = record_hash(line.subject, line.body);
    if hash != claimed {
        return Err(Why::Hash);
    }
    let record = parse(line.body)?;
    if record.subject != line.subject {
        return Err(Why::Subject);
    }
    if record.position != line.seq {
        return Err(Why::Position);
    }
    if record.id != id {
        return Err(Why::HeaderMismatch(RECORD_ID));
    }
    if record.traceparent.as_deref() != trace {
        return Err(Why::HeaderMismatch(TRACEPARENT));
    }
    Ok(Read { seq: line.seq, record, hash, key, signature })
}
