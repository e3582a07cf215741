//! Answers a worker who asks for the token of its lease's NATS user. The lease stands committed on
//! a ledger that was verified here, and lives; the token names it, and says nothing of what it may
//! do: that is in the claims of the tenant's account, by the key of the tier that signs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use canonry_keystore::KeyStore;
use canonry_nats::{Bytes, Connection, Message};
use canonry_provision::tiers::{LeaseUser, lease_token};
use canonry_record::encoding::unbase64url_exact;
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::json;
use canonry_schemas::lease::{AskCredentials, Credentials};
use canonry_schemas::limits::{COMMAND_BYTES, LEASE_WAIT};
use canonry_schemas::refusal::{Refusal, unrecorded};
use canonry_schemas::time::Time;
use tokio::sync::Semaphore;

use crate::follow::Book;

/// What is asked for.
pub const SUBJECT: &str = "lease.*.*.credentials";
/// Several issuers share the questions.
const QUEUE: &str = "lease-issuer";
/// Questions that are looked at once; more wait in the subscription.
const AT_ONCE: usize = 64;

/// The books of all tenants.
pub type Books = Arc<Mutex<BTreeMap<TenantId, Arc<Book>>>>;

/// Why there is no token.
type Why = (&'static str, &'static str);

fn refused(refusal: Refusal) -> Why {
    (refusal.code(), refusal.message())
}

/// Answers until the connection ends.
pub async fn serve(connection: Connection, keys: KeyStore, books: Books) {
    let mut asked = match connection.subscribe(SUBJECT, Some(QUEUE)).await {
        Ok(asked) => asked,
        Err(error) => return tracing::error!(%error, "no leases are issued"),
    };
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(message) = asked.next().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (connection, keys, books) = (connection.clone(), keys.clone(), Arc::clone(&books));
        tokio::spawn(async move {
            let _place = place;
            let Some(reply) = message.reply.clone() else { return };
            let answer = match answer(&keys, &books, &message).await {
                Ok(answer) => answer,
                Err((code, text)) => Credentials {
                    code: Some(code.to_owned()),
                    message: Some(text.to_owned()),
                    ..Credentials::default()
                },
            };
            let body = serde_json::to_vec(&answer).unwrap_or_default();
            if let Err(error) = connection.publish(&reply, &[], Bytes::from(body)).await {
                tracing::warn!(%error, "an answer could not be sent");
            }
        });
    }
}

/// The server's import has checked the tenant, the user's permissions the actor.
fn addressed(subject: &str) -> Option<(TenantId, ActorId)> {
    let mut tokens = subject.split('.').skip(1);
    Some((tokens.next()?.parse().ok()?, tokens.next()?.parse().ok()?))
}

async fn answer(keys: &KeyStore, books: &Books, message: &Message) -> Result<Credentials, Why> {
    if message.body.len() > COMMAND_BYTES {
        return Err(refused(Refusal::BodyTooLarge));
    }
    let (tenant, actor) =
        addressed(&message.subject).ok_or_else(|| refused(Refusal::UnknownCommand))?;
    let body = json::parse(&message.body).map_err(|_| refused(Refusal::NotJson))?;
    let ask: AskCredentials =
        serde_json::from_value(body).map_err(|_| refused(Refusal::SchemaViolation))?;
    let book = books.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned();
    let book = book.ok_or_else(|| refused(Refusal::LeaseUnknown))?;
    let upto: u64 = match ask.position.as_deref().map(str::parse) {
        None => 0,
        Some(Ok(position)) => position,
        Some(Err(_)) => return Err(refused(Refusal::SchemaViolation)),
    };
    let mut position = book.position.subscribe();
    let read = tokio::time::timeout(LEASE_WAIT, position.wait_for(|now| *now >= upto)).await;
    if !matches!(read, Ok(Ok(_))) {
        return Err((unrecorded::RETRY, "the ledger was not read so far yet: ask again"));
    }
    let known = {
        let roster = book.roster();
        let known = roster.get(&ask.lease).filter(|known| known.worker == actor);
        let known = known.ok_or_else(|| refused(Refusal::LeaseUnknown))?;
        if !roster.holds(known) {
            return Err(refused(Refusal::LeaseRevoked));
        }
        known.clone()
    };
    if now() >= known.expires {
        return Err(refused(Refusal::LeaseExpired));
    }
    let login =
        unbase64url_exact::<32>(&known.login).ok_or_else(|| refused(Refusal::KeysInvalid))?;
    let user = LeaseUser {
        tenant: &tenant,
        lease: &ask.lease,
        worker: &known.worker,
        tier: known.tier,
        login: &login,
        until: known.expires.seconds(),
    };
    match lease_token(keys, &user) {
        Ok(jwt) => {
            let expires = Some(known.expires);
            Ok(Credentials { ok: true, jwt: Some(jwt), expires, ..Credentials::default() })
        }
        Err(error) => {
            tracing::error!(%tenant, lease = %ask.lease, %error, "a lease cannot be signed");
            Err((unrecorded::STORE, "the key of this tier is not at hand here"))
        }
    }
}

fn now() -> Time {
    canonry_decider::holder::now()
}
