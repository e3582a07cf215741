//! W3C trace context: from a header into a span, from a span into a header.
//!
//! Everything here does nothing while spans are not exported, and [`exports`] says so at the price
//! of one load: callers ask it before they make a span, so that a span's level, which logging may
//! turn on, never decides what is sent or recorded.

use std::sync::atomic::{AtomicBool, Ordering};

use canonry_schemas::header::is_traceparent;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

static EXPORTS: AtomicBool = AtomicBool::new(false);

/// Whether this process exports spans.
#[must_use]
pub fn exports() -> bool {
    EXPORTS.load(Ordering::Relaxed)
}

pub(crate) fn set_exports(exports: bool) {
    EXPORTS.store(exports, Ordering::Relaxed);
}

/// Where a span stands: what another span has as its parent, or is linked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context(SpanContext);

impl Context {
    /// Reads a `traceparent` of version 00; `None` for what is none.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        if !is_traceparent(traceparent) {
            return None;
        }
        Some(Self(SpanContext::new(
            TraceId::from_hex(&traceparent[3..35]).ok()?,
            SpanId::from_hex(&traceparent[36..52]).ok()?,
            TraceFlags::new(u8::from_str_radix(&traceparent[53..], 16).ok()?),
            true,
            TraceState::NONE,
        )))
    }

    /// Of a span that will be exported; `None` for any other.
    #[must_use]
    pub fn of(span: &Span) -> Option<Self> {
        if !exports() || span.is_disabled() {
            return None;
        }
        let context = span.context().span().span_context().clone();
        context.is_valid().then_some(Self(context))
    }

    /// As a `traceparent` header.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let flags = self.0.trace_flags().to_u8();
        format!("00-{:032x}-{:016x}-{flags:02x}", self.0.trace_id(), self.0.span_id())
    }

    /// Makes this the parent of a span that was not entered yet.
    pub fn adopt(&self, span: &Span) {
        let parent = opentelemetry::Context::new().with_remote_span_context(self.0.clone());
        if let Err(error) = span.set_parent(parent) {
            tracing::debug!(%error, "a span keeps its parent");
        }
    }

    /// Links a span to this.
    pub fn link(&self, span: &Span) {
        span.add_link(self.0.clone());
    }
}

/// Gives a span the parent that a header names, if it names one.
pub fn adopt(span: &Span, traceparent: Option<&str>) {
    if let Some(parent) = traceparent.and_then(Context::parse) {
        parent.adopt(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_and_strangers_are_nothing() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(Context::parse(good).unwrap().traceparent(), good);
        for bad in [
            "",
            &good[1..],
            &good.replacen("00", "01", 1),
            &format!("{good}-x"),
            &good.replace("b7ad6b7169203331", "0000000000000000"),
            &good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
        ] {
            assert_eq!(Context::parse(bad), None, "{bad}");
        }
        assert_eq!(Context::of(&Span::none()), None);
    }
}
