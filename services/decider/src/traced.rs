//! The decider's spans. Each is made only where spans are exported, so that a decider without a
//! collector pays one load a command; none carries a word of the client beside the tenant's name,
//! which its import has checked.
//!
//! *Invariant:* nothing here reaches a record. A record keeps the `traceparent` that its command
//! brought, and none where the command brought none: the bytes do not depend on the export.

use canonry_nats::Incoming;
use canonry_schemas::event::known;
use canonry_schemas::header::TRACEPARENT;
use canonry_schemas::ids::TenantId;
use canonry_schemas::subject::Inbound;
use canonry_telemetry::{Context, Way, exports, names};
use tracing::{Span, info_span};

use crate::desk::Asked;
use crate::draft::Draft;

/// Links of one commit at the most, the number that exporters keep.
const LINKS: usize = 128;

/// The `traceparent` among headers, if it is the only one.
fn given<'h>(headers: impl Iterator<Item = (&'h str, &'h str)>) -> Option<&'h str> {
    let mut all = headers.filter(|(name, _)| name.eq_ignore_ascii_case(TRACEPARENT));
    let first = all.next().map(|(_, value)| value);
    if all.next().is_some() { None } else { first }
}

/// A command is decided, under the span that the sender named.
#[must_use]
pub fn decide(tenant: &TenantId, asked: &Asked) -> Span {
    if !exports() {
        return Span::none();
    }
    let (aggregate, verb) = known(&asked.aggregate, &asked.verb).unzip();
    let empty = tracing::field::Empty;
    let span =
        info_span!(names::SPAN_DECIDE, %tenant, aggregate, verb, code = empty, position = empty);
    canonry_telemetry::adopt(
        &span,
        given(asked.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()))),
    );
    span
}

/// How a decision ended: `ok`, or the code of the refusal.
pub fn ended(span: &Span, code: Option<&str>) {
    span.record("code", code.unwrap_or("ok"));
}

/// A decision became a draft: where its commit will say that it comes from.
#[must_use]
pub fn drafted(span: &Span, code: Option<&str>, position: u64) -> Option<Box<Context>> {
    if span.is_none() {
        return None;
    }
    ended(span, code);
    span.record("position", position);
    Context::of(span).map(Box::new)
}

/// Drafts are committed: under the first decision that has a span, linked to the others.
#[must_use]
pub fn commit(tenant: &TenantId, drafts: &[Draft], way: Way) -> Span {
    if !exports() {
        return Span::none();
    }
    let (count, way) = (drafts.len(), way.label());
    let span = info_span!(names::SPAN_COMMIT, %tenant, count, way);
    let mut decided = drafts.iter().filter_map(|draft| draft.trace.as_deref());
    if let Some(first) = decided.next() {
        first.adopt(&span);
    }
    decided.take(LINKS).for_each(|other| other.link(&span));
    span
}

/// A durable intent is stored; its decision follows under the same trace.
#[must_use]
pub fn store_intent(incoming: &Incoming) -> Span {
    if !exports() {
        return Span::none();
    }
    let tenant = Inbound::parse(&incoming.subject).map(|i| i.tenant.to_string());
    let span = info_span!(names::SPAN_STORE_INTENT, tenant, code = tracing::field::Empty);
    canonry_telemetry::adopt(&span, given(incoming.headers.iter()));
    span
}

/// A tenant is taken over.
#[must_use]
pub fn take_over(tenant: &TenantId, epoch: u64) -> Span {
    if exports() { info_span!(names::SPAN_TAKE_OVER, %tenant, epoch) } else { Span::none() }
}
