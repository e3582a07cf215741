//! What only HTTP says, and the HTTP status of every code. Bodies, `application/problem+json`,
//! are made in `services/api`; a page stands beside each code, `schemas/errors/<code>.md`.

use super::unrecorded;

/// The read models have not come to `min_position` yet.
pub const NOT_YET: &str = "not-yet";
/// The read models have not come to the head that the ledger had at the start.
pub const CATCHING_UP: &str = "catching-up";
/// As many streams of changes are open as may be.
pub const STREAMS_FULL: &str = "streams-full";
/// There is no such route.
pub const ROUTE_UNKNOWN: &str = "route-unknown";
/// The route knows other methods.
pub const METHOD_UNKNOWN: &str = "method-unknown";
/// A query parameter is unknown or malformed.
pub const QUERY_INVALID: &str = "query-invalid";
/// The cursor is not one of this list.
pub const CURSOR_INVALID: &str = "cursor-invalid";
/// No checkpoint covers what was asked for.
pub const CHECKPOINT_MISSING: &str = "checkpoint-missing";
/// There is no such tile.
pub const TILE_UNKNOWN: &str = "tile-unknown";
/// There is no record at this position.
pub const POSITION_UNKNOWN: &str = "position-unknown";
/// No token.
pub const TOKEN_MISSING: &str = "token-missing";
/// The evidence's key was shredded.
pub const EVIDENCE_ERASED: &str = "evidence-erased";
/// The evidence's object is not in the bucket, or not whole.
pub const EVIDENCE_MISSING: &str = "evidence-missing";
/// The upload has no bytes, or too many, or ended early, or its media type or name is malformed.
pub const EVIDENCE_INVALID: &str = "evidence-invalid";
/// As many uploads and downloads of evidence go on as may.
pub const EVIDENCE_BUSY: &str = "evidence-busy";
/// There is no such record, or it attached nothing.
pub const EVIDENCE_UNKNOWN: &str = "evidence-unknown";
/// The signed address has expired.
pub const URL_EXPIRED: &str = "url-expired";
/// The signed address was not made here, or was changed.
pub const URL_INVALID: &str = "url-invalid";
/// Nobody confirmed for too long that the policy known here is in force.
pub const POLICY_STALE: &str = "policy-stale";
/// As many drafts of policies are asked about the past as may be.
pub const POLICY_BUSY: &str = "policy-busy";
/// A fault of ours.
pub const INTERNAL: &str = "internal";

/// The codes that only HTTP knows.
pub const ALL: &[&str] = &[
    NOT_YET,
    CATCHING_UP,
    STREAMS_FULL,
    ROUTE_UNKNOWN,
    METHOD_UNKNOWN,
    QUERY_INVALID,
    CURSOR_INVALID,
    CHECKPOINT_MISSING,
    TILE_UNKNOWN,
    POSITION_UNKNOWN,
    TOKEN_MISSING,
    EVIDENCE_ERASED,
    EVIDENCE_MISSING,
    EVIDENCE_INVALID,
    EVIDENCE_BUSY,
    EVIDENCE_UNKNOWN,
    URL_EXPIRED,
    URL_INVALID,
    POLICY_STALE,
    POLICY_BUSY,
    INTERNAL,
];

/// The HTTP status of a code; `None` for one that is in no list.
#[must_use]
pub fn status(code: &str) -> Option<u16> {
    Some(match code {
        "not-json" | "bad-header" | "bad-intent-id" | QUERY_INVALID | CURSOR_INVALID => 400,
        "lease-revoked" | "lease-expired" => 401,
        "token-invalid" | "token-expired" | "key-unknown" | "key-expired" | "actor-unknown"
        | "actor-removed" | TOKEN_MISSING => 401,
        "not-allowed"
        | "founder-only"
        | "request-token-missing"
        | "on-behalf-of-missing"
        | "on-behalf-of-foreign"
        | "keys-unauthorized"
        | "run-of-another"
        | "other-role"
        | "self-approval"
        | "approval-invalid"
        | "assertion-invalid"
        | "assertion-expired"
        | "assertion-level-too-low"
        | "not-an-approver"
        | "policy-denied"
        | "policy-missing"
        | "policy-expired"
        | "policy-error"
        | "policy-timeout"
        | "policy-memory"
        | "policy-undefined"
        | "policy-unknown-decision"
        | "policy-conflict"
        | "policy-input-invalid"
        | "tool-not-allowed"
        | "approvers-none"
        | "approval-insufficient"
        | "budget-exceeded"
        | "price-unknown"
        | "lease-missing"
        | "lease-foreign"
        | "tier-too-low"
        | URL_EXPIRED
        | URL_INVALID => 403,
        "unknown-command" | "action-unknown" | "lease-unknown" | "policy-unknown"
        | "role-unknown" | "ticket-unknown" | "run-unknown" | "member-unknown" | "kind-unknown"
        | "entity-unknown" | CHECKPOINT_MISSING | TILE_UNKNOWN | POSITION_UNKNOWN
        | EVIDENCE_MISSING | EVIDENCE_UNKNOWN | ROUTE_UNKNOWN => 404,
        METHOD_UNKNOWN => 405,
        "intent-reused"
        | "intent-expired"
        | "already-enrolled"
        | "member-removed"
        | "last-founder"
        | "members-full"
        | "keys-moved"
        | "record-key-missing"
        | "checkpoint-key-missing"
        | "root-key-missing"
        | "key-not-stored"
        | "content-erased"
        | "role-paused"
        | "role-not-paused"
        | "role-retired"
        | "ticket-ended"
        | "ticket-not-ended"
        | "ticket-not-started"
        | "ticket-started"
        | "ticket-unassigned"
        | "ticket-has-run"
        | "deadline-not-passed"
        | "approval-pending"
        | "approval-not-pending"
        | "approval-missing"
        | "approval-expired"
        | "approval-twice"
        | "assertion-not-asked"
        | "approval-arguments-changed"
        | "action-not-open"
        | "action-not-parked"
        | "delegation-unknown"
        | "bundle-rolled-back"
        | "run-ended"
        | "runs-full"
        | "kind-version-taken"
        | "kind-versions-full"
        | "lease-living"
        | "leases-full"
        | "review-not-due"
        | "evidence-full"
        | "currency-fixed" => 409,
        EVIDENCE_ERASED => 410,
        "body-too-large" | "bundle-too-large" | "arguments-too-large" => 413,
        "schema-violation"
        | "content-too-long"
        | "keys-invalid"
        | "service-token"
        | "escalation-unknown"
        | EVIDENCE_INVALID
        | "nothing-changed"
        | "deadline-passed"
        | "ext-schema-invalid"
        | "ext-data-invalid"
        | "bundle-invalid"
        | "bundle-malformed"
        | "bundle-unsigned"
        | "bundle-signature-invalid"
        | "policy-syntax"
        | "policy-form"
        | "policy-builtin"
        | "policy-recursion"
        | "policy-negation"
        | "policy-too-large"
        | "policy-empty"
        | "policy-unmetered"
        | "bundle-tampered"
        | "bundle-expired"
        | "budget-period"
        | "delegation-invalid"
        | "tiers-invalid"
        | "price-twice" => 422,
        unrecorded::THROTTLED | "policy-throttled" => 429,
        INTERNAL | unrecorded::UNRECORDABLE => 500,
        unrecorded::RETRY
        | unrecorded::STORE
        | unrecorded::FROZEN
        | NOT_YET
        | CATCHING_UP
        | STREAMS_FULL
        | POLICY_STALE
        | POLICY_BUSY
        | EVIDENCE_BUSY => 503,
        unrecorded::QUOTA => 507,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::{Denial, Refusal};

    #[test]
    fn every_code_has_a_status_and_stands_in_one_list() {
        let refusals = Refusal::ALL.iter().map(|r| r.code());
        let denials = Denial::ALL.iter().filter(|d| !d.is_refusal_too());
        let refusals = refusals.chain(denials.map(|d| d.code()));
        let mut all: Vec<_> =
            refusals.chain(unrecorded::ALL.iter().copied()).chain(ALL.iter().copied()).collect();
        // Policies have one code that no record can have.
        all.push(crate::refusal::policy::Code::Unmetered.code());
        for code in crate::refusal::policy::Code::ALL {
            assert!(all.contains(&code.code()), "{} stands in no other list", code.code());
        }
        for code in &all {
            assert!(status(code).is_some_and(|s| (400..600).contains(&s)), "{code}");
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "a code stands in two lists");
        assert_eq!(status("no-such-code"), None);
    }
}
