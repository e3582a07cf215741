//! The names of message headers, in exact case: one list for senders, readers and documents.

/// A command's idempotency id.
pub const INTENT_ID: &str = "Canonry-Intent-Id";
/// A member's request-bound token.
pub const REQUEST_TOKEN: &str = "Canonry-Request-Token";
/// The token of the person that a service acts for.
pub const ON_BEHALF_OF: &str = "Canonry-On-Behalf-Of";
/// The token of the lease that a worker's command is sent under.
pub const LEASE: &str = "Canonry-Lease";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// A record's id.
pub const RECORD_ID: &str = "Nats-Msg-Id";
/// A record's hash, `sha256:<64 hex>`.
pub const RECORD_HASH: &str = "Canonry-Hash";
/// The signature of a record's hash.
pub const RECORD_SIGNATURE: &str = "Canonry-Signature";

/// Whether a text is a W3C `traceparent` of version 00, with ids that are not all zeros. What is
/// not is ignored, as W3C wants it, and never stands in a record.
#[must_use]
pub fn is_traceparent(text: &str) -> bool {
    let fields = text.split('-').map(str::as_bytes);
    let (mut count, mut well) = (0, true);
    for (field, length) in fields.zip([2, 32, 16, 2, 0]) {
        let hex = field.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        let id = length > 2 && field.iter().all(|c| *c == b'0');
        well &= field.len() == length && hex && !id;
        count += 1;
    }
    well && count == 4 && text.starts_with("00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_contexts_are_read_strictly() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        for bad in [
            "",
            "00",
            &good.to_uppercase(),
            &good[..54],
            &format!("{good}-"),
            &format!("{good}-00"),
            &good.replacen("00", "ff", 1),
            &good.replacen("00", "01", 1),
            &good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &good.replace("b7ad6b7169203331", &"0".repeat(16)),
            &good.replace('-', "_"),
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
