//! cqrs-es's own entrance: an `EventStore` over a tenant's ledger, for callers that are written
//! against `CqrsFramework::execute`. It is for low rates: each load reads and verifies the whole
//! ledger, because one aggregate's view of a tenant's chain is never enough to decide from.
//!
//! What the framework decides is a forecast. `commit` hands the command itself to the holder, which
//! decides again against the head, chains, signs and stores; what it answers is what happened. The
//! events that come back were read from the stream.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use canonry_domain::State;
use canonry_domain::role::Roles;
use canonry_domain::run::Runs;
use canonry_domain::ticket::Tickets;
use canonry_domain::tier::Tiers;
use canonry_nats::Log;
use canonry_record::record;
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::{ActorId, IntentId, TenantId};
use canonry_schemas::refusal::Refusal;
use cqrs_es::{Aggregate, AggregateContext, AggregateError, EventEnvelope, EventStore};
use futures_util::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};

use crate::desk::Asked;
use crate::holder::{Message, now};
use crate::hosted::{Carried, Catalogued, Hostable, Hosted, OwnFacts, Refused};
use crate::rebuild::Standing;
use crate::reply::Reply;

/// Metadata: the actor in whose name the command is sent.
pub const ACTOR: &str = "actor";
/// Metadata: the command's verb.
pub const VERB: &str = "verb";
/// Metadata: the command's body, as it would be sent over NATS.
pub const BODY: &str = "body";
/// Metadata of a committed event: its receipt.
pub const RECEIPT: &str = "receipt";

/// An aggregate whose state is kept in the world.
pub trait Kept: Hostable {
    /// The state, if it is of this aggregate.
    fn of(state: State) -> Option<Self::State>;
}

macro_rules! kept {
    ($($decider:ident => $kind:ident),*) => {$(
        impl Kept for $decider {
            fn of(state: State) -> Option<Self::State> {
                match state {
                    State::$kind(state) => Some(state),
                    _ => None,
                }
            }
        }
    )*};
}
kept!(Roles => Role, Tickets => Ticket, Runs => Run);

/// The store of one kind of aggregate of a tenant.
pub struct LedgerStore<D> {
    log: Log,
    tenant: TenantId,
    holder: mpsc::Sender<Message>,
    kind: PhantomData<fn() -> D>,
}

/// An aggregate as it was loaded.
pub struct Context<D: Kept> {
    id: String,
    hosted: Hosted<D>,
    events: usize,
}

impl<D> AggregateContext<Hosted<D>> for Context<D>
where
    D: Kept,
    Hosted<D>: Aggregate,
{
    fn aggregate(&mut self) -> &mut Hosted<D> {
        &mut self.hosted
    }
}

fn failed<E: std::error::Error>(why: impl Into<String>) -> AggregateError<E> {
    AggregateError::UnexpectedError(why.into().into())
}

impl<D: Kept> LedgerStore<D> {
    /// Over a tenant's ledger, with the way into its holder ([`crate::Decider::inbox`]).
    #[must_use]
    pub fn new(log: Log, tenant: TenantId, holder: mpsc::Sender<Message>) -> Self {
        Self { log, tenant, holder, kind: PhantomData }
    }

    async fn standing(&self) -> Result<Standing, String> {
        let mut standing = Standing::passing(&self.tenant);
        standing.catch_up(&self.log).await.map_err(|over| format!("{over:?}"))?;
        Ok(standing)
    }

    /// What a member's command would be decided with, as of now. Role and ticket are for the
    /// caller to fill in where the command needs them.
    ///
    /// # Errors
    /// The ledger cannot be read or is broken, or there is no such member.
    pub async fn facts(&self, actor: &ActorId, intent: &IntentId) -> Result<OwnFacts, String> {
        let directory = self.standing().await?.world.directory;
        let member = directory.member(actor).ok_or("no such member")?.clone();
        Ok(OwnFacts {
            now: now(),
            actor: actor.clone(),
            intent: intent.to_string(),
            parts: member.parts,
            works_for: member.role,
            timer: false,
            directory,
            approval: None,
            assertion: None,
            reaches: Vec::new(),
            role: None,
            ticket: None,
            lease_key: Err(Refusal::KeysInvalid),
            tiers: Tiers::default(),
            appended: Ok(()),
            run: None,
            books: None,
            judged: Err(Refusal::ArgumentsTooLarge),
            bundle: Err(Refusal::BundleInvalid),
        })
    }

    async fn ask(&self, mut metadata: HashMap<String, String>) -> Result<Answer, String> {
        let mut take = |name: &str| metadata.remove(name).ok_or(format!("no metadata {name:?}"));
        let actor: ActorId = take(ACTOR)?.parse().map_err(|_| "not an actor".to_owned())?;
        let (verb, body) = (take(VERB)?, take(BODY)?);
        let asked = Asked {
            actor,
            aggregate: D::NAME.to_owned(),
            verb,
            headers: metadata.into_iter().collect(),
            body: Bytes::from(body),
            timer: false,
        };
        let (reply, answer) = oneshot::channel();
        let sent = self.holder.send((Arc::new(asked), Reply::Local(reply))).await;
        sent.map_err(|_| "the tenant is changing hands".to_owned())?;
        answer.await.map_err(|_| "the tenant is changing hands".to_owned())
    }
}

impl<D> EventStore<Hosted<D>> for LedgerStore<D>
where
    D: Kept + 'static,
    D::State: Clone + Serialize + DeserializeOwned + Send + Sync,
    D::Command: Send,
    D::Event: Catalogued + 'static,
{
    type AC = Context<D>;

    async fn load_events(
        &self,
        id: &str,
    ) -> Result<Vec<EventEnvelope<Hosted<D>>>, AggregateError<Refused>> {
        let end = self.standing().await.map_err(failed)?.position();
        let entity = format!("{}/{id}", D::NAME);
        let records = self.log.read(1, Some(end)).await;
        let mut records = records.map_err(|e| failed(e.to_string()))?;
        let mut events: Vec<EventEnvelope<Hosted<D>>> = Vec::new();
        while let Some(stored) = records.next().await {
            let stored = stored.map_err(|e| failed(e.to_string()))?;
            let read = record::parse(&stored.body).map_err(|e| failed(e.to_string()))?;
            if read.entity != entity {
                continue;
            }
            let data = serde_json::from_str(read.data).map_err(|e| failed(e.to_string()))?;
            // Refusals are records of the entity, but nothing happened.
            let Some(Ok(event)) = D::Event::read(&read.event, read.version, &data) else {
                continue;
            };
            let receipt = format!(
                "{}/{}/{}",
                self.tenant,
                stored.seq,
                canonry_record::record_hash(&stored.subject, &stored.body)
            );
            events.push(EventEnvelope {
                aggregate_id: id.to_owned(),
                sequence: events.len() + 1,
                payload: Carried(event),
                metadata: HashMap::from([(RECEIPT.to_owned(), receipt)]),
            });
        }
        Ok(events)
    }

    async fn load_aggregate(&self, id: &str) -> Result<Context<D>, AggregateError<Refused>> {
        let mut standing = self.standing().await.map_err(failed)?;
        let entity = format!("{}/{id}", D::NAME);
        standing.world.warm(&entity).map_err(|e| failed(e.to_string()))?;
        let slot = standing.world.slot(&entity).map_err(|_| failed("not in memory"))?;
        let hosted = Hosted::of(slot.state.clone().and_then(D::of));
        let events = self.load_events(id).await?.len();
        Ok(Context { id: id.to_owned(), hosted, events })
    }

    /// `metadata` holds [`ACTOR`], [`VERB`], [`BODY`] and the command's headers.
    async fn commit(
        &self,
        events: Vec<Carried<D::Event>>,
        context: Context<D>,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<Hosted<D>>>, AggregateError<Refused>> {
        let answer = self.ask(metadata).await.map_err(failed)?;
        let code = answer.code.clone().unwrap_or_default();
        if let Some(refusal) = Refusal::ALL.iter().find(|r| r.code() == code) {
            return Err(AggregateError::UserError(Refused(*refusal)));
        }
        let position = answer.position.as_deref().and_then(|p| p.parse().ok());
        let (true, Some(position), Some(receipt)) = (answer.ok, position, answer.receipt) else {
            // Nothing was decided for good: the same intent may be sent again.
            return Err(AggregateError::AggregateConflict);
        };
        let stored = self.log.get(position).await.map_err(|e| failed(e.to_string()))?;
        let stored = stored.ok_or_else(|| failed("the record is not there"))?;
        let read = record::parse(&stored.body).map_err(|e| failed(e.to_string()))?;
        let data = serde_json::from_str(read.data).map_err(|e| failed(e.to_string()))?;
        let event = D::Event::read(&read.event, read.version, &data)
            .and_then(Result::ok)
            .ok_or_else(|| failed("the record is of another aggregate"))?;
        if events.first().is_none_or(|forecast| forecast.0.kind() != event.kind()) {
            tracing::debug!(position, "the holder decided otherwise than was forecast");
        }
        let id = read.entity.split_once('/').map_or(context.id, |(_, id)| id.to_owned());
        Ok(vec![EventEnvelope {
            aggregate_id: id,
            sequence: context.events + 1,
            payload: Carried(event),
            metadata: HashMap::from([(RECEIPT.to_owned(), receipt)]),
        }])
    }
}
