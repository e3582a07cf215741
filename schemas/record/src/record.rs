//! The read side of a body: strict, borrowed, and silent about what `data` means.
//! Writing is in [`crate::envelope`]; the chain is checked in [`crate::verify`].

use std::borrow::Cow;

use canonry_schemas::ids::{ActorId, IntentId, TenantId};
use canonry_schemas::time::Time;

use crate::encoding::unhex32;
use crate::hash::Hash;
pub use crate::scan::NotStrict;
use crate::scan::{Member, members};
use crate::stamp;

/// Longest id and correlation id.
pub const ID_CHARS: usize = 64;

/// A record's body, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// The record's id.
    pub id: Cow<'a, str>,
    /// The tenant.
    pub tenant: Cow<'a, str>,
    /// The NATS subject.
    pub subject: Cow<'a, str>,
    /// Aggregate of the subject.
    pub aggregate: String,
    /// Event of the subject.
    pub event: String,
    /// Version of the event's data.
    pub version: u32,
    /// The moment.
    pub time: Time,
    /// W3C trace context.
    pub traceparent: Option<Cow<'a, str>>,
    /// The workspace.
    pub workspace: Option<Cow<'a, str>>,
    /// Whose name stands on the command.
    pub actor: Cow<'a, str>,
    /// The service that sent it.
    pub via: Option<Cow<'a, str>>,
    /// SHA-256 of the actor's token.
    pub authdigest: Option<Hash>,
    /// The command's idempotency id.
    pub intentid: Option<Cow<'a, str>>,
    /// Keyed digest of the command's body.
    pub intentdigest: Option<Hash>,
    /// What it belongs to.
    pub correlationid: Option<Cow<'a, str>>,
    /// The entity commanded.
    pub entity: Cow<'a, str>,
    /// Further entities, joined by one space.
    pub touches: Option<Cow<'a, str>>,
    /// The holder's epoch.
    pub epoch: u64,
    /// The record's number.
    pub position: u64,
    /// Hash of the record before.
    pub prevhash: Hash,
    /// The bytes of `data`, an object.
    pub data: &'a str,
    /// Whether `keys` or `revoked` stands at the top of `data`.
    pub has_keys: bool,
}

impl Record<'_> {
    /// `<aggregate>.<event>`.
    #[must_use]
    pub fn kind(&self) -> String {
        format!("{}.{}", self.aggregate, self.event)
    }

    /// The further entities.
    pub fn touched(&self) -> impl Iterator<Item = &str> {
        self.touches.as_deref().into_iter().flat_map(|all| all.split(' '))
    }
}

/// Why bytes are not a record's body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotARecord {
    /// Not strict JSON, or not an object.
    #[error(transparent)]
    Json(#[from] NotStrict),
    /// Invalid UTF-8.
    #[error("the body is not UTF-8")]
    Utf8,
    /// An attribute is missing, unknown, or breaks its grammar.
    #[error("attribute {0} is missing, unknown or malformed")]
    Attribute(String),
}

const NAMES: [&str; 21] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "traceparent",
    "tenant",
    "workspace",
    "actor",
    "via",
    "authdigest",
    "intentid",
    "intentdigest",
    "correlationid",
    "entity",
    "touches",
    "epoch",
    "position",
];

/// The attributes as they were found, by their place in [`NAMES`].
struct Found<'a> {
    texts: [Option<Cow<'a, str>>; NAMES.len()],
    prevhash: Option<Cow<'a, str>>,
    data: Option<(&'a str, bool)>,
    wrong: Option<String>,
}

fn bad(name: &str) -> NotARecord {
    NotARecord::Attribute(name.to_owned())
}

impl<'a> Found<'a> {
    fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let place = NAMES.iter().position(|n| *n == name)?;
        self.texts[place].take()
    }

    fn need(
        &mut self,
        name: &str,
        ok: impl FnOnce(&str) -> bool,
    ) -> Result<Cow<'a, str>, NotARecord> {
        self.take(name).filter(|text| ok(text)).ok_or_else(|| bad(name))
    }

    fn may(
        &mut self,
        name: &str,
        ok: impl FnOnce(&str) -> bool,
    ) -> Result<Option<Cow<'a, str>>, NotARecord> {
        match self.take(name) {
            Some(text) if !ok(&text) => Err(bad(name)),
            other => Ok(other),
        }
    }

    fn hash(&mut self, name: &str) -> Result<Option<Hash>, NotARecord> {
        self.take(name).map(|text| text.parse().map_err(|_| bad(name))).transpose()
    }

    fn number(&mut self, name: &str) -> Result<u64, NotARecord> {
        self.take(name).and_then(|text| decimal(&text)).ok_or_else(|| bad(name))
    }
}

/// An unsigned number in its only decimal form.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}

fn visible(text: &str) -> bool {
    (1..=ID_CHARS).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic())
}

fn token(text: &str) -> bool {
    text.parse::<ActorId>().is_ok()
}

fn word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_lowercase() || c == b'-')
}

/// `<aggregate>/<id>`.
fn entity(text: &str) -> bool {
    text.split_once('/').is_some_and(|(aggregate, id)| word(aggregate) && token(id))
}

fn touches(text: &str) -> bool {
    let mut before = "";
    text.split(' ').all(|one| entity(one) && std::mem::replace(&mut before, one) < one)
}

fn traceparent(text: &str) -> bool {
    text.len() == 55
        && text.bytes().enumerate().all(|(n, c)| match n {
            2 | 35 | 52 => c == b'-',
            _ => matches!(c, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// The tenant, aggregate and event of a ledger subject.
fn split_subject(subject: &str) -> Option<(&str, &str, &str)> {
    let mut tokens = subject.strip_prefix("ledger.")?.split('.');
    let (tenant, aggregate, event) = (tokens.next()?, tokens.next()?, tokens.next()?);
    let plain = word(aggregate) && word(event) && tokens.next().is_none();
    (plain && tenant.parse::<TenantId>().is_ok()).then_some((tenant, aggregate, event))
}

/// The version of a type `canonry.<aggregate>.<event>.v<n>`, which must be of this subject.
fn version_of(kind: &str, aggregate: &str, event: &str) -> Option<u32> {
    let rest = kind.strip_prefix("canonry.")?.strip_prefix(aggregate)?.strip_prefix('.')?;
    let version = decimal(rest.strip_prefix(event)?.strip_prefix(".v")?)?;
    u32::try_from(version).ok().filter(|v| *v > 0)
}

/// Reads a body.
///
/// # Errors
/// Not UTF-8, not strict JSON, an attribute missing, unknown, null, empty, or against its grammar
/// or the others.
pub fn parse(body: &[u8]) -> Result<Record<'_>, NotARecord> {
    let text = std::str::from_utf8(body).map_err(|_| NotARecord::Utf8)?;
    let mut found = Found { texts: Default::default(), prevhash: None, data: None, wrong: None };
    members(text, &["keys", "revoked"], |name, member| match (name, member) {
        ("data", Member::Object { raw, named }) => found.data = Some((raw, named)),
        ("prevhash", Member::Text(text)) => found.prevhash = Some(text),
        (name, Member::Text(text)) => match NAMES.iter().position(|n| *n == name) {
            Some(place) => found.texts[place] = Some(text),
            None => found.wrong = Some(name.to_owned()),
        },
        (name, _) => found.wrong = Some(name.to_owned()),
    })?;
    if let Some(name) = found.wrong {
        return Err(NotARecord::Attribute(name));
    }
    assemble(found)
}

fn assemble(mut found: Found<'_>) -> Result<Record<'_>, NotARecord> {
    found.need("specversion", |t| t == "1.0")?;
    found.need("datacontenttype", |t| t == "application/json")?;
    let subject = found.need("subject", |t| split_subject(t).is_some())?;
    let (tenant, aggregate, event) = split_subject(&subject).ok_or_else(|| bad("subject"))?;
    let (aggregate, event) = (aggregate.to_owned(), event.to_owned());
    let source = found.need("source", |t| t.strip_prefix("canonry/") == Some(tenant))?;
    drop(source);
    let tenant = found.need("tenant", |t| t == tenant)?;
    let kind = found.need("type", |_| true)?;
    let version = version_of(&kind, &aggregate, &event).ok_or_else(|| bad("type"))?;
    found.need("dataschema", |t| {
        let name = t.strip_prefix("schemas/records/").and_then(|t| t.strip_suffix(".json"));
        name.is_some() && name == kind.strip_prefix("canonry.")
    })?;
    let intentid = found.may("intentid", |t| t.parse::<IntentId>().is_ok())?;
    let intentdigest = found.hash("intentdigest")?;
    if intentdigest.is_some() && intentid.is_none() {
        return Err(bad("intentid"));
    }
    let prevhash =
        found.prevhash.take().and_then(|t| unhex32(&t)).ok_or_else(|| bad("prevhash"))?;
    let time = found.need("time", |_| true)?;
    let (data, has_keys) = found.data.ok_or_else(|| bad("data"))?;
    Ok(Record {
        id: found.need("id", visible)?,
        tenant,
        aggregate,
        event,
        version,
        time: stamp::parse(&time).ok_or_else(|| bad("time"))?,
        traceparent: found.may("traceparent", traceparent)?,
        workspace: found.may("workspace", token)?,
        actor: found.need("actor", token)?,
        via: found.may("via", token)?,
        authdigest: found.hash("authdigest")?,
        intentid,
        intentdigest,
        correlationid: found.may("correlationid", visible)?,
        entity: found.need("entity", entity)?,
        touches: found.may("touches", touches)?,
        epoch: found.number("epoch")?,
        position: found
            .number("position")
            .ok()
            .filter(|p| *p > 0)
            .ok_or_else(|| bad("position"))?,
        prevhash: Hash(prevhash),
        data,
        has_keys,
        subject,
    })
}
