//! The projector's spans: one for each record whose command brought a trace context, made only
//! where spans are exported.

use canonry_nats::Stored;
use canonry_schemas::header::TRACEPARENT;
use canonry_schemas::ids::TenantId;
use canonry_telemetry::{Context, exports, names};
use tracing::{Span, info_span};

/// Records are projected, each under the span that its command came from; they end when they are
/// dropped.
pub fn project<'s>(tenant: &TenantId, records: impl Iterator<Item = &'s Stored>) -> Vec<Span> {
    if !exports() {
        return Vec::new();
    }
    let span = |stored: &Stored| {
        let parent = stored.header(TRACEPARENT).and_then(Context::parse)?;
        let span = info_span!(names::SPAN_PROJECT, %tenant, position = stored.seq);
        parent.adopt(&span);
        Some(span)
    };
    records.filter_map(span).collect()
}
