//! The desk: what was asked becomes one decision. Order of the checks: who asks, which intent,
//! which command, what it says, whether the rules allow it. Nothing here waits or stores.

mod action;
mod ext;
mod lease;
mod names;
mod own;
mod rules;
mod who;

use std::borrow::Cow;

use bytes::Bytes;
use canonry_record::ring::KeyRing;
use canonry_record::{Hash, content};
use canonry_schemas::actor::Refused;
use canonry_schemas::event::{Command, Event, NotACommand, known};
use canonry_schemas::header::{INTENT_ID, TRACEPARENT, is_traceparent};
use canonry_schemas::ids::{ActorId, IntentId, TenantId, generated};
use canonry_schemas::limits::{CLOCK_SKEW, COMMAND_BYTES};
use canonry_schemas::refusal::Refusal;
use canonry_schemas::text::Label;
use canonry_schemas::time::Time;
use canonry_schemas::validate::Commands;
use canonry_schemas::{actor, content as erasure, ext as custom, json, member};

use crate::content_keys::ContentKeys;
use crate::judge::Judge;
use crate::signers::Signers;
use crate::world::{ContentKey, Need, World};

pub use action::ActionKeys;
pub use names::target;
use names::{home, is_token, limited, named, prefix};
use who::{Who, one};

/// A message as it came in.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The actor's token in the subject.
    pub actor: ActorId,
    /// What the client wrote as aggregate.
    pub aggregate: String,
    /// What the client wrote as verb.
    pub verb: String,
    /// All headers.
    pub headers: Vec<(String, String)>,
    /// The body as sent.
    pub body: Bytes,
    /// Whether the decider's own timer asks.
    pub timer: bool,
}

/// A decision, not yet chained.
#[derive(Debug)]
pub struct Decided {
    /// Whose.
    pub actor: ActorId,
    /// The service that handed it in.
    pub via: Option<ActorId>,
    /// SHA-256 of the token that showed who asks.
    pub authdigest: Option<Hash>,
    /// Which intent, and the keyed digest of its body; none for the decider's own records.
    pub intent: Option<(IntentId, Hash)>,
    /// The commanded entity.
    pub entity: String,
    /// Further entities that fold the record, sorted.
    pub touches: Vec<String>,
    /// What happened.
    pub event: Event,
    /// The content key in use.
    pub content_key: Option<ContentKey>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// What the desk says.
#[derive(Debug)]
pub enum Verdict {
    /// It cannot be attributed: answered and counted only.
    Unattributed(Refusal),
    /// This intent was decided before, at this position.
    Repeat(u64),
    /// Something must be brought into memory first.
    Need(Need),
    /// A record.
    Decided(Box<Decided>),
}

/// What a decision is taken with.
pub struct Desk<'a> {
    /// Compiled schemas.
    pub commands: &'a Commands,
    /// The tenant.
    pub tenant: &'a TenantId,
    /// Everything so far.
    pub world: &'a World,
    /// The tenant's keys.
    pub ring: &'a KeyRing,
    /// The tenant's own keys that can be opened here.
    pub signers: &'a Signers,
    /// Content keys in memory.
    pub keys: &'a ContentKeys,
    /// Under which bodies are digested.
    pub digest_key: &'a [u8; 32],
    /// Under which actions are digested.
    pub action_keys: &'a ActionKeys,
    /// What policies say.
    pub judge: &'a Judge,
    /// The record's time.
    pub now: Time,
}

/// Why there is no fact.
enum Stop {
    Refused(Refusal),
    Need(Need),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Need> for Stop {
    fn from(need: Need) -> Self {
        Self::Need(need)
    }
}

impl Desk<'_> {
    /// Decides. `random` yields eighty or more random bits at each call.
    pub fn decide(&self, asked: &Asked, random: &mut impl FnMut() -> u128) -> Verdict {
        let digest = content::intent_digest(self.digest_key, &asked.body);
        let given = one(&asked.headers, INTENT_ID);
        let (intent, intent_error) = self.intent(given, random);
        let fresh = matches!(given, Ok(None)) || intent_error.is_some();
        let who = match self.who(asked, &intent) {
            Ok(who) => Ok(who),
            Err(Stop::Refused(refusal)) => Err(refusal),
            Err(Stop::Need(need)) => return Verdict::Need(need),
        };
        if matches!(who, Err(Refusal::ActorUnknown)) {
            return Verdict::Unattributed(Refusal::ActorUnknown);
        }
        // A repeat gets the first answer whatever became of its token meanwhile: a member's name
        // is shown by the connection, and a command refused for its token was refused under the
        // name in its subject.
        let actor = who.as_ref().map_or(&asked.actor, |who| &who.actor);
        // An id that was made just now is new.
        let answered = if fresh { Ok(None) } else { self.world.answered(actor, &intent) };
        let known = match answered {
            Ok(known) => known,
            Err(need) => return Verdict::Need(need),
        };
        if let Some(known) = known
            && known.digest == digest.0[..8]
        {
            return Verdict::Repeat(known.position);
        }
        let who = match who {
            Ok(who) => who,
            Err(refusal) => {
                let nobody = Who {
                    actor: asked.actor.clone(),
                    via: None,
                    authdigest: None,
                    parts: Vec::new(),
                    works_for: None,
                    bound: false,
                    under: None,
                };
                return self.refuse(asked, &nobody, intent, digest, refusal);
            }
        };
        if let Some(refusal) = intent_error {
            return self.refuse(asked, &who, intent, digest, refusal);
        }
        if known.is_some() {
            return self.refuse(asked, &who, intent, digest, Refusal::IntentReused);
        }
        if self.world.expired(&intent, self.now) {
            return self.refuse(asked, &who, intent, digest, Refusal::IntentExpired);
        }
        match self.command(asked, &who, &intent, random) {
            Ok(done) => Verdict::Decided(Box::new(Decided {
                actor: who.actor,
                via: who.via,
                authdigest: who.authdigest,
                intent: Some((intent, digest)),
                entity: done.entity,
                touches: done.touches,
                event: done.event,
                content_key: done.content_key,
                traceparent: trace(asked),
            })),
            Err(Stop::Need(need)) => Verdict::Need(need),
            Err(Stop::Refused(refusal)) => self.refuse(asked, &who, intent, digest, refusal),
        }
    }

    fn intent(
        &self,
        given: Result<Option<&str>, Refusal>,
        random: &mut impl FnMut() -> u128,
    ) -> (IntentId, Option<Refusal>) {
        let fresh = IntentId::from_parts(self.now.millis(), random());
        match given {
            Ok(None) => (fresh, None),
            Ok(Some(text)) => match text.parse::<IntentId>() {
                Ok(id) if id.millis() <= self.now.millis() + CLOCK_SKEW.as_millis() as u64 => {
                    (id, None)
                }
                _ => (fresh, Some(Refusal::BadIntentId)),
            },
            Err(refusal) => (fresh, Some(refusal)),
        }
    }

    fn refuse(
        &self,
        asked: &Asked,
        who: &Who,
        intent: IntentId,
        intentdigest: Hash,
        refusal: Refusal,
    ) -> Verdict {
        let data = Refused {
            code: Label(refusal.code().to_owned()),
            message: Label(refusal.message().to_owned()),
        };
        let event = match known(&asked.aggregate, &asked.verb) {
            Some((aggregate, verb)) => Event::Refused { aggregate, verb, data },
            None => Event::Actor(actor::Event::CommandRefused(data)),
        };
        let named = match self.named_entity(asked) {
            Ok(named) => named,
            Err(need) => return Verdict::Need(need),
        };
        Verdict::Decided(Box::new(Decided {
            actor: who.actor.clone(),
            via: who.via.clone(),
            authdigest: who.authdigest,
            intent: Some((intent, intentdigest)),
            entity: named.unwrap_or_else(|| format!("actor/{}", who.actor)),
            touches: Vec::new(),
            event,
            content_key: None,
            traceparent: trace(asked),
        }))
    }

    /// The entity that a body names, if it exists: only then may its id stand in a refusal.
    fn named_entity(&self, asked: &Asked) -> Result<Option<String>, Need> {
        let named = named(asked);
        // What names no other account is about the tenant's.
        let own = asked.aggregate == "tenant" || (asked.aggregate == "budget" && named.is_none());
        if own && known(&asked.aggregate, &asked.verb).is_some() {
            return Ok(Some(format!("tenant/{}", self.tenant)));
        }
        if asked.aggregate == "tier" && known(&asked.aggregate, &asked.verb).is_some() {
            return Ok(Some(format!("tier/{}", self.tenant)));
        }
        if asked.aggregate == "policy" && known(&asked.aggregate, &asked.verb).is_some() {
            return Ok(Some(format!("policy/{}", self.tenant)));
        }
        let Some((aggregate, id)) = named else { return Ok(None) };
        let entity = format!("{aggregate}/{id}");
        let exists = match aggregate {
            "member" => id.parse().is_ok_and(|id| self.world.directory.member(&id).is_some()),
            _ => is_token(&id) && self.world.slot(&entity)?.state.is_some(),
        };
        Ok(exists.then_some(entity))
    }

    fn command(
        &self,
        asked: &Asked,
        who: &Who,
        intent: &IntentId,
        random: &mut impl FnMut() -> u128,
    ) -> Result<Done, Stop> {
        let (aggregate, verb) =
            known(&asked.aggregate, &asked.verb).ok_or(Refusal::UnknownCommand)?;
        if asked.body.len() > COMMAND_BYTES {
            return Err(Refusal::BodyTooLarge.into());
        }
        let body = json::parse(&asked.body).map_err(|_| Refusal::NotJson)?;
        if self.commands.fits(aggregate, verb, &body) != Some(true) {
            return Err(Refusal::SchemaViolation.into());
        }
        let mut command = Command::parse(aggregate, verb, body).map_err(|e| match e {
            NotACommand::Unknown => Refusal::UnknownCommand,
            NotACommand::Body(_) => Refusal::SchemaViolation,
        })?;
        if command.content().iter().any(|(_, c)| !c.within_bound()) {
            return Err(Refusal::ContentTooLong.into());
        }
        if command.request_bound() && !who.bound {
            return Err(Refusal::RequestTokenMissing.into());
        }
        self.within_lease(who, &command)?;
        if let Command::Action(c) = command {
            return self.act(who, intent, c, random);
        }
        let found = self.look_over(&mut command)?;
        let named = match &command {
            Command::Ext(custom::Command::Append(c)) => c.entity.as_ref().map(ToString::to_string),
            // Who is absent is who asks.
            Command::Member(member::Command::Delegate(_) | member::Command::EndDelegation(_)) => {
                Some(format!("member/{}", who.actor))
            }
            Command::Budget(c) => Some(limited(c, self.tenant)),
            _ => target(&command).map(|id| format!("{}/{id}", home(aggregate, &id))),
        };
        let used = match &named {
            Some(entity) => {
                let slot = self.world.slot(entity)?;
                if slot.erased && !found.content(&mut command).is_empty() {
                    return Err(Refusal::ContentErased.into());
                }
                slot.content_key
            }
            None => None,
        };
        let entity = match &command {
            Command::Tenant(_) | Command::Tier(_) | Command::Policy(_) => {
                format!("{aggregate}/{}", self.tenant)
            }
            Command::Content(erasure::Command::Erase(c)) => c.entity.to_string(),
            _ => named.unwrap_or_else(|| {
                format!("{aggregate}/{}", generated(prefix(aggregate), self.now.millis(), random()))
            }),
        };
        let fields = found.content(&mut command);
        let content_key = self.encrypt(&entity, used, fields, random)?;
        let (event, touches) = self.apply_rules(who, intent, command, &entity, &found)?;
        Ok(Done { entity, touches, event, content_key })
    }

    fn encrypt(
        &self,
        entity: &str,
        used: Option<ContentKey>,
        fields: Vec<(Cow<'static, str>, &mut String)>,
        random: &mut impl FnMut() -> u128,
    ) -> Result<Option<ContentKey>, Need> {
        if fields.is_empty() {
            return Ok(None);
        }
        let id = used.unwrap_or_else(|| ContentKeys::after(self.world.last_content_key));
        let key = self.keys.get(id).ok_or(Need::Group(id.group))?;
        for (pointer, field) in fields {
            let mut nonce = [0; 24];
            nonce[..16].copy_from_slice(&random().to_le_bytes());
            nonce[16..].copy_from_slice(&random().to_le_bytes()[..8]);
            let tenant = self.tenant.as_str();
            *field =
                content::encrypt(key, &id.to_string(), &nonce, tenant, entity, &pointer, field);
        }
        Ok(Some(id))
    }
}

struct Done {
    entity: String,
    touches: Vec<String>,
    event: Event,
    content_key: Option<ContentKey>,
}

fn trace(asked: &Asked) -> Option<String> {
    let given = one(&asked.headers, TRACEPARENT).ok().flatten()?;
    is_traceparent(given).then(|| given.to_owned())
}
