//! The read side of a body: strict, borrowed, and silent about what `data` means.
//! Writing is in [`crate::envelope`]; the chain is checked in [`crate::verify`].

use std::borrow::Cow;

use canonry_schemas::time::Time;

use crate::grammar::{
    decimal, entity, split_subject, token, touches, traceparent, ulid, version_of, visible,
};
use crate::hash::Hash;
pub use crate::scan::NotStrict;
use crate::scan::{Member, members};
use crate::stamp;

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
    /// The record's type, `canonry.<aggregate>.<event>.v<n>`.
    #[must_use]
    pub fn kind(&self) -> String {
        format!("canonry.{}.{}.v{}", self.aggregate, self.event, self.version)
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

macro_rules! attributes {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// An attribute whose value is a string.
        #[derive(Clone, Copy)]
        enum Name { $($name),* }

        impl Name {
            const COUNT: usize = [$($text),*].len();
            const TEXTS: [&str; Self::COUNT] = [$($text),*];

            fn of(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

attributes! {
    Specversion = "specversion",
    Id = "id",
    Source = "source",
    Type = "type",
    Subject = "subject",
    Time = "time",
    Datacontenttype = "datacontenttype",
    Dataschema = "dataschema",
    Traceparent = "traceparent",
    Tenant = "tenant",
    Workspace = "workspace",
    Actor = "actor",
    Via = "via",
    Authdigest = "authdigest",
    Intentid = "intentid",
    Intentdigest = "intentdigest",
    Correlationid = "correlationid",
    Entity = "entity",
    Touches = "touches",
    Epoch = "epoch",
    Position = "position",
    Prevhash = "prevhash",
}

/// The attributes as they were found.
struct Found<'a> {
    texts: [Option<Cow<'a, str>>; Name::COUNT],
    data: Option<(&'a str, bool)>,
    wrong: Option<String>,
}

fn bad(name: Name) -> NotARecord {
    NotARecord::Attribute(Name::TEXTS[name as usize].to_owned())
}

impl<'a> Found<'a> {
    fn take(&mut self, name: Name) -> Option<Cow<'a, str>> {
        self.texts[name as usize].take()
    }

    fn need(
        &mut self,
        name: Name,
        ok: impl FnOnce(&str) -> bool,
    ) -> Result<Cow<'a, str>, NotARecord> {
        self.take(name).filter(|text| ok(text)).ok_or_else(|| bad(name))
    }

    fn may(
        &mut self,
        name: Name,
        ok: impl FnOnce(&str) -> bool,
    ) -> Result<Option<Cow<'a, str>>, NotARecord> {
        match self.take(name) {
            Some(text) if !ok(&text) => Err(bad(name)),
            other => Ok(other),
        }
    }

    fn hash(&mut self, name: Name) -> Result<Option<Hash>, NotARecord> {
        self.take(name).map(|text| text.parse().map_err(|_| bad(name))).transpose()
    }

    fn number(&mut self, name: Name) -> Result<u64, NotARecord> {
        self.take(name).and_then(|text| decimal(&text)).ok_or_else(|| bad(name))
    }
}

/// Reads a body.
///
/// # Errors
/// Not UTF-8, not strict JSON, an attribute missing, unknown, null, empty, or against its grammar
/// or the others.
pub fn parse(body: &[u8]) -> Result<Record<'_>, NotARecord> {
    let text = std::str::from_utf8(body).map_err(|_| NotARecord::Utf8)?;
    let mut found = Found { texts: [const { None }; Name::COUNT], data: None, wrong: None };
    members(text, &["keys", "revoked"], |name, member| match (Name::of(name), member) {
        (Some(name), Member::Text(text)) => found.texts[name as usize] = Some(text),
        (None, Member::Object { raw, named }) if name == "data" => found.data = Some((raw, named)),
        _ => found.wrong = Some(name.to_owned()),
    })?;
    if let Some(name) = found.wrong {
        return Err(NotARecord::Attribute(name));
    }
    assemble(found)
}

fn assemble(mut found: Found<'_>) -> Result<Record<'_>, NotARecord> {
    found.need(Name::Specversion, |t| t == "1.0")?;
    found.need(Name::Datacontenttype, |t| t == "application/json")?;
    let subject = found.need(Name::Subject, |t| split_subject(t).is_some())?;
    let (tenant, aggregate, event) = split_subject(&subject).ok_or_else(|| bad(Name::Subject))?;
    let (aggregate, event) = (aggregate.to_owned(), event.to_owned());
    found.need(Name::Source, |t| t.strip_prefix("canonry/") == Some(tenant))?;
    let tenant = found.need(Name::Tenant, |t| t == tenant)?;
    let kind = found.need(Name::Type, |_| true)?;
    let version = version_of(&kind, &aggregate, &event).ok_or_else(|| bad(Name::Type))?;
    found.need(Name::Dataschema, |t| {
        let name = t.strip_prefix("schemas/records/").and_then(|t| t.strip_suffix(".json"));
        name.is_some() && name == kind.strip_prefix("canonry.")
    })?;
    let intentid = found.may(Name::Intentid, ulid)?;
    let intentdigest = found.hash(Name::Intentdigest)?;
    if intentdigest.is_some() && intentid.is_none() {
        return Err(bad(Name::Intentid));
    }
    let prevhash = found.hash(Name::Prevhash)?.ok_or_else(|| bad(Name::Prevhash))?;
    let time = found.need(Name::Time, |_| true)?;
    let (data, has_keys) = found.data.ok_or_else(|| NotARecord::Attribute("data".to_owned()))?;
    Ok(Record {
        id: found.need(Name::Id, visible)?,
        tenant,
        aggregate,
        event,
        version,
        time: stamp::parse(&time).ok_or_else(|| bad(Name::Time))?,
        traceparent: found.may(Name::Traceparent, traceparent)?,
        workspace: found.may(Name::Workspace, token)?,
        actor: found.need(Name::Actor, token)?,
        via: found.may(Name::Via, token)?,
        authdigest: found.hash(Name::Authdigest)?,
        intentid,
        intentdigest,
        correlationid: found.may(Name::Correlationid, visible)?,
        entity: found.need(Name::Entity, entity)?,
        touches: found.may(Name::Touches, touches)?,
        epoch: found.number(Name::Epoch)?,
        position: found
            .number(Name::Position)
            .ok()
            .filter(|p| *p > 0)
            .ok_or_else(|| bad(Name::Position))?,
        prevhash,
        data,
        has_keys,
        subject,
    })
}
