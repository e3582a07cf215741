//! The names of message headers, in exact case: one list for senders, readers and documents.

/// A command's idempotency id.
pub const INTENT_ID: &str = "Canonry-Intent-Id";
/// A member's request-bound token.
pub const REQUEST_TOKEN: &str = "Canonry-Request-Token";
/// The token of the person that a service acts for.
pub const ON_BEHALF_OF: &str = "Canonry-On-Behalf-Of";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// A record's id.
pub const RECORD_ID: &str = "Nats-Msg-Id";
/// A record's hash, `sha256:<64 hex>`.
pub const RECORD_HASH: &str = "Canonry-Hash";
/// The signature of a record's hash.
pub const RECORD_SIGNATURE: &str = "Canonry-Signature";
