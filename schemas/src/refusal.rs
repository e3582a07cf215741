//! The closed list of refusals, each with a stable code and a page `schemas/errors/<code>.md`;
//! beside it the codes that leave no record, in [`http`] those that only HTTP knows, and in
//! [`local`] those that only the command line and the logs of a service tell.

pub mod http;
pub mod local;
pub mod policy;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal;)*) => {
        /// Why a command was not carried out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Refusal { $(#[doc = $message] $name),* }

        impl Refusal {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str { match self { $(Self::$name => $code),* } }
            /// What happened, in a sentence that quotes nobody.
            #[must_use]
            pub const fn message(self) -> &'static str { match self { $(Self::$name => $message),* } }
        }
    };
}

refusals! {
    // The way in.
    UnknownCommand = "unknown-command", "there is no such aggregate or verb";
    NotJson = "not-json", "the body is not strict JSON (duplicate key, float, large integer, depth)";
    SchemaViolation = "schema-violation", "the body does not fit the command's schema";
    BodyTooLarge = "body-too-large", "the body is larger than 65536 bytes";
    ContentTooLong = "content-too-long", "a content field is empty or longer than 500 bytes";
    BadIntentId = "bad-intent-id", "Canonry-Intent-Id is not one ULID, or lies in the future";
    IntentReused = "intent-reused", "this intent id was used with another body";
    IntentExpired = "intent-expired", "this intent id is older than the oldest kept";
    BadHeader = "bad-header", "a Canonry header is repeated or malformed";
    // Who asks.
    ActorUnknown = "actor-unknown", "the actor is not enrolled in this tenant";
    ActorRemoved = "actor-removed", "the actor was removed from this tenant";
    OnBehalfOfMissing = "on-behalf-of-missing", "a service must name the person it acts for";
    OnBehalfOfForeign = "on-behalf-of-foreign", "only a service may act for someone else";
    TokenInvalid = "token-invalid", "a token is malformed, unsigned or for something else";
    TokenExpired = "token-expired", "a token has expired or lives too long";
    KeyUnknown = "key-unknown", "the signing key is unknown, revoked or not a member key";
    RequestTokenMissing = "request-token-missing", "this command needs a request-bound token";
    NotAllowed = "not-allowed", "the actor's parts do not allow this command";
    FounderOnly = "founder-only", "only a founder may do this";
    // Keys and members.
    ServiceToken = "service-token", "no member may carry a token that begins with svc_";
    AlreadyEnrolled = "already-enrolled", "this token is taken";
    MemberUnknown = "member-unknown", "there is no such member";
    MemberRemoved = "member-removed", "this member was removed";
    LastFounder = "last-founder", "the last founder cannot be removed";
    MembersFull = "members-full", "the tenant has as many members as it may have";
    KeysMoved = "keys-moved", "the keys changed meanwhile: authorise again over the new keyhead";
    KeysUnauthorized = "keys-unauthorized", "the change of keys is not authorised by a fitting key";
    KeysInvalid = "keys-invalid", "a key is malformed, weak, of a wrong use or actor, or taken";
    KeyExpired = "key-expired", "the signing key has expired";
    RecordKeyMissing = "record-key-missing", "a tenant keeps one record key, and it does not expire";
    CheckpointKeyMissing = "checkpoint-key-missing", "a tenant keeps a checkpoint key that does not expire";
    RootKeyMissing = "root-key-missing", "a tenant keeps a root key that does not expire";
    KeyNotStored = "key-not-stored", "the decider cannot open the new key: store it before it is announced";
    // Content.
    EntityUnknown = "entity-unknown", "there is no such entity";
    ContentErased = "content-erased", "the content of this entity was erased: it takes no more";
    // Roles.
    RoleUnknown = "role-unknown", "there is no such role";
    RolePaused = "role-paused", "the role is paused";
    RoleNotPaused = "role-not-paused", "the role is not paused";
    RoleRetired = "role-retired", "the role was retired";
    EscalationUnknown = "escalation-unknown", "someone in the escalation is not a member";
    NothingChanged = "nothing-changed", "the command names nothing to change";
    // Tickets and runs.
    TicketUnknown = "ticket-unknown", "there is no such ticket";
    TicketEnded = "ticket-ended", "the ticket is completed or cancelled";
    TicketNotEnded = "ticket-not-ended", "the ticket is not completed or cancelled";
    TicketNotStarted = "ticket-not-started", "the ticket has not been started";
    TicketStarted = "ticket-started", "the ticket is already started";
    TicketUnassigned = "ticket-unassigned", "the ticket has no role";
    TicketHasRun = "ticket-has-run", "a run of this ticket is still going on";
    DeadlinePassed = "deadline-passed", "the deadline lies in the past";
    DeadlineNotPassed = "deadline-not-passed", "the deadline has not passed, or was already reported";
    ApprovalPending = "approval-pending", "an approval is already asked for";
    ApprovalNotPending = "approval-not-pending", "no approval is asked for";
    ApprovalMissing = "approval-missing", "the ticket may be completed only after an approval";
    ApprovalInvalid = "approval-invalid", "the approval is not for this ticket, request or decision";
    SelfApproval = "self-approval", "nobody approves what they asked for themselves";
    RunUnknown = "run-unknown", "there is no such run";
    RunEnded = "run-ended", "the run has ended";
    RunOfAnother = "run-of-another", "the run belongs to another worker";
    RunsFull = "runs-full", "the ticket or run has as many runs or steps as it may have";
    EvidenceFull = "evidence-full", "the ticket or run has as much evidence as it may have";
    OtherRole = "other-role", "the worker works for another role";
    // Custom record types.
    KindUnknown = "kind-unknown", "no such kind, or no such version of it, is registered";
    KindVersionTaken = "kind-version-taken", "the kind has this version or a higher one already";
    KindVersionsFull = "kind-versions-full", "the kind has as many versions as it may have";
    ExtSchemaInvalid = "ext-schema-invalid", "the schema is too large, or says what a kind's schema may not";
    ExtDataInvalid = "ext-data-invalid", "the data does not fit the schema of its kind";
}

/// Codes of answers that leave no record.
pub mod unrecorded {
    /// The holder is changing or busy: send the same intent id again.
    pub const RETRY: &str = "retry";
    /// More than the actor's bucket allows.
    pub const THROTTLED: &str = "throttled";
    /// The tenant's ledger is full.
    pub const QUOTA: &str = "quota-exceeded";
    /// The tenant is frozen until it is repaired.
    pub const FROZEN: &str = "tenant-frozen";
    /// The store gives no answer.
    pub const STORE: &str = "store-unavailable";
    /// A fault of the decider itself: nothing was recorded.
    pub const UNRECORDABLE: &str = "unrecordable";

    /// All of them.
    pub const ALL: &[&str] = &[RETRY, THROTTLED, QUOTA, FROZEN, STORE, UNRECORDABLE];
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn codes_are_distinct_and_short_enough_for_a_record() {
        let mut codes: Vec<_> = Refusal::ALL.iter().map(|r| r.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            assert!(refusal.message().len() <= crate::limits::LABEL_CHARS, "{}", refusal.code());
        }
    }
}
