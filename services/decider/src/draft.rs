//! From a decision to bytes: chain, hash, sign. The bytes are written once, here.

use std::sync::Arc;

use canonry_nats::{Bytes, Outgoing};
use canonry_record::envelope::Envelope;
use canonry_record::seal::{Signer, headers, signature_text};
use canonry_record::{Hash, record_hash};
use canonry_schemas::answer::Answer;
use canonry_schemas::event::Event;
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::time::Time;
use canonry_telemetry::Context;

use crate::desk::{Asked, Decided};
use crate::reply::Reply;

/// The head of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Position of the last record.
    pub position: u64,
    /// Its hash.
    pub hash: Hash,
    /// Its time.
    pub time: Time,
    /// Its epoch.
    pub epoch: u64,
}

/// A chained record that waits for its commit.
pub struct Draft {
    /// Where it will stand.
    pub head: Head,
    /// Its id.
    pub id: String,
    /// Its subject.
    pub subject: String,
    /// Its bytes.
    pub body: Bytes,
    /// Trace context.
    pub traceparent: Option<String>,
    /// The span that decided it, where spans are exported.
    pub trace: Option<Box<Context>>,
    /// The answer that leaves after the commit.
    pub answer: Answer,
    /// What was asked, to decide it again should the chain have moved.
    pub asked: Option<Arc<Asked>>,
    /// Whom to answer.
    pub reply: Reply,
    /// Its signature, where it was made ahead.
    pub signature: Option<[u8; 64]>,
}

/// A record's hash and its signature.
pub type Signed = (Hash, [u8; 64]);

/// Chains a decision onto a head.
#[must_use]
pub fn chain(
    tenant: &TenantId,
    before: &Head,
    epoch: u64,
    now: Time,
    id: String,
    d: &Decided,
) -> Option<(Head, String, Vec<u8>)> {
    let name = d.event.name();
    let data = d.event.data().ok()?;
    let envelope = Envelope {
        id: &id,
        tenant: tenant.as_str(),
        workspace: None,
        actor: d.actor.as_str(),
        via: d.via.as_ref().map(ActorId::as_str),
        authdigest: d.authdigest,
        intentid: d.intent.as_ref().map(|(id, _)| id.as_str()),
        intentdigest: d.intent.as_ref().map(|(_, digest)| *digest),
        correlationid: None,
        entity: &d.entity,
        touches: &d.touches,
        epoch,
        position: before.position + 1,
        prevhash: before.hash,
        time: now.max(before.time),
        aggregate: d.event.aggregate(),
        event: &name,
        version: d.event.version(),
        traceparent: d.traceparent.as_deref(),
        data: data.as_bytes(),
    };
    let subject = envelope.subject();
    let body = envelope.to_body();
    let hash = record_hash(&subject, &body);
    let head = Head { position: before.position + 1, hash, time: envelope.time, epoch };
    Some((head, subject, body))
}

/// Chains a record that no command asked for: `actor` says what happened to `entity`.
#[must_use]
pub fn unasked(
    tenant: &TenantId,
    before: &Head,
    epoch: u64,
    now: Time,
    id: String,
    (actor, entity, event): (ActorId, String, Event),
) -> Option<Draft> {
    let decided = Decided {
        actor,
        via: None,
        authdigest: None,
        intent: None,
        entity,
        touches: Vec::new(),
        event,
        content_key: None,
        traceparent: None,
    };
    let (head, subject, body) = chain(tenant, before, epoch, now, id.clone(), &decided)?;
    let answer = answer(tenant, head.position, &head.hash, &decided.entity, &decided.event);
    Some(Draft {
        head,
        id,
        subject,
        body: body.into(),
        traceparent: None,
        trace: None,
        answer,
        asked: None,
        reply: Reply::Nobody,
        signature: None,
    })
}

/// The answer to a recorded command.
#[must_use]
pub fn answer(
    tenant: &TenantId,
    position: u64,
    hash: &Hash,
    entity: &str,
    event: &Event,
) -> Answer {
    let refused = match event {
        Event::Refused { data, .. } => Some(data),
        Event::Actor(canonry_schemas::actor::Event::CommandRefused(data)) => Some(data),
        _ => None,
    };
    Answer {
        ok: refused.is_none(),
        receipt: Some(format!("{tenant}/{position}/{hash}")),
        position: Some(position.to_string()),
        entity: Some(entity.to_owned()),
        code: refused.map(|r| r.code.0.clone()),
        message: refused.map(|r| r.message.0.clone()),
        intent: None,
    }
}

/// Signs many hashes, on the thread that calls.
#[must_use]
pub fn sign(signer: &Signer, hashes: &[Hash]) -> Vec<[u8; 64]> {
    hashes.iter().map(|hash| signer.sign_hash(hash)).collect()
}

/// Signs each hash with its own key, on the thread that calls.
#[must_use]
pub fn sign_each(signers: &[Arc<Signer>], hashes: &[Hash]) -> Vec<[u8; 64]> {
    signers.iter().zip(hashes).map(|(signer, hash)| signer.sign_hash(hash)).collect()
}

/// The message to store.
#[must_use]
pub fn outgoing(draft: &Draft, signer: &Signer, signature: &[u8; 64]) -> Outgoing {
    let signature = signature_text(&signer.id, signature);
    Outgoing {
        subject: draft.subject.clone(),
        headers: headers(&draft.id, &draft.head.hash, &signature, draft.traceparent.as_deref()),
        body: draft.body.clone(),
    }
}
