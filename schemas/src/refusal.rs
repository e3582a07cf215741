//! The closed list of refusals, each with a stable code and a page `schemas/errors/<code>.md`;
//! beside it the codes that leave no record, in [`http`] those that only HTTP knows, and in
//! [`local`] those that only the command line and the logs of a service tell.

pub mod http;
pub mod local;
pub mod policy;

macro_rules! refusals {
    ($(#[$about:meta])* $kind:ident: $($name:ident = $code:literal, $message:literal;)*) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $kind { $(#[doc = $message] $name),* }

        impl $kind {
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
    /// Why a command was not carried out.
    Refusal:
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
    KeyUnknown = "key-unknown", "the signing key is unknown, revoked or not for this";
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
    ApprovalMissing = "approval-missing", "what was asked for is not approved, or not by enough";
    ApprovalInvalid = "approval-invalid", "the approval is not for this ticket or action, request or decision";
    SelfApproval = "self-approval", "nobody approves what they asked for themselves";
    RunUnknown = "run-unknown", "there is no such run";
    RunEnded = "run-ended", "the run has ended";
    RunOfAnother = "run-of-another", "the run belongs to another worker";
    RunsFull = "runs-full", "the ticket or run has as many runs or steps as it may have";
    EvidenceFull = "evidence-full", "the ticket or run has as much evidence as it may have";
    OtherRole = "other-role", "the worker works for another role";
    // Policies and actions.
    BundleTooLarge = "bundle-too-large", "the policy bundle is larger than it may be";
    BundleInvalid = "bundle-invalid", "the bundle is no base64, or its revision is not the one that was said";
    BundleMalformed = "bundle-malformed", "the file is not a bundle, or names a path outside itself";
    BundleUnsigned = "bundle-unsigned", "the policy bundle has no signature";
    BundleSignature = "bundle-signature-invalid", "the policy bundle is not signed by a founder's member key";
    BundleTampered = "bundle-tampered", "the policy bundle is not what was signed";
    BundleExpired = "bundle-expired", "the policy bundle has expired";
    BundleRolledBack = "bundle-rolled-back", "the revision is not greater than the newest published";
    PolicySyntax = "policy-syntax", "a Rego file does not read";
    PolicyForm = "policy-form", "a rule is not of the form that decisions have";
    PolicyBuiltin = "policy-builtin", "a rule calls what a decision may not call";
    PolicyRecursion = "policy-recursion", "a rule depends on itself, or on too long a chain of rules";
    PolicyNegation = "policy-negation", "a rule would match because a field is missing";
    PolicyTooLarge = "policy-too-large", "the policy has more files, rules or bytes than it may have";
    PolicyEmpty = "policy-empty", "the policy has no rule that decides anything";
    PolicyUnknown = "policy-unknown", "the tenant has published no policy";
    ActionUnknown = "action-unknown", "there is no such action";
    ActionNotOpen = "action-not-open", "the action is not allowed, or was settled or lapsed";
    ActionNotParked = "action-not-parked", "the question about the action was not parked";
    ArgumentsTooLarge = "arguments-too-large", "the arguments, or all that a policy sees of them, are too large";
    ApprovalExpired = "approval-expired", "the question has expired: it must be asked again";
    ApprovalTwice = "approval-twice", "this approver, or who they stand in for, has approved already";
    ApprovalArgumentsChanged = "approval-arguments-changed", "the arguments are not those that were approved";
    NotAnApprover = "not-an-approver", "the question is put to others than this approver";
    AssertionInvalid = "assertion-invalid", "the assertion is malformed, wrongly signed or for something else";
    AssertionExpired = "assertion-expired", "the assertion has expired, lies ahead or lives too long";
    AssertionLevel = "assertion-level-too-low", "the level is lower than the one asked for, or higher than the key's";
    AssertionNotAsked = "assertion-not-asked", "no level is asked for, or it was reached already";
    // Budgets.
    BudgetPeriod = "budget-period", "an account of a ticket or run is counted in total only";
    PriceTwice = "price-twice", "a model stands twice in the price table";
    CurrencyFixed = "currency-fixed", "the first price table fixed another currency";
    DelegationInvalid = "delegation-invalid", "nobody can stand in so: themselves, a worker, or for that time";
    DelegationUnknown = "delegation-unknown", "this member has handed nothing over";
    // Leases.
    LeaseUnknown = "lease-unknown", "there is no such lease";
    LeaseRevoked = "lease-revoked", "the lease was revoked, or another took its place";
    LeaseExpired = "lease-expired", "the lease has expired";
    LeaseLiving = "lease-living", "the run has a living lease: name it in renews";
    LeasesFull = "leases-full", "the role has as many living leases as it may have";
    LeaseMissing = "lease-missing", "the tenant wants a lease for this, and none was shown";
    LeaseForeign = "lease-foreign", "the lease is not for this run or ticket";
    TierTooLow = "tier-too-low", "the tier does not allow this, or the role's fell below the lease's";
    TiersInvalid = "tiers-invalid", "the steps of promotion are not ascending, or one leads to T0";
    ReviewNotDue = "review-not-due", "the role's counters do not move it to another tier";
    // Custom record types.
    KindUnknown = "kind-unknown", "no such kind, or no such version of it, is registered";
    KindVersionTaken = "kind-version-taken", "the kind has this version or a higher one already";
    KindVersionsFull = "kind-versions-full", "the kind has as many versions as it may have";
    ExtSchemaInvalid = "ext-schema-invalid", "the schema is too large, or says what a kind's schema may not";
    ExtDataInvalid = "ext-data-invalid", "the data does not fit the schema of its kind";
}

refusals! {
    /// Why an action was denied: a fact, `action.denied`, answered like a refusal.
    Denial:
    PolicyDenied = "policy-denied", "a rule of the policy forbids the action";
    PolicyThrottled = "policy-throttled", "a rule of the policy wants the action later";
    PolicyMissing = "policy-missing", "the tenant has no policy: everything is denied";
    PolicyExpired = "policy-expired", "the tenant's policy has expired: everything is denied";
    PolicyError = "policy-error", "the policy could not be evaluated";
    PolicyTimeout = "policy-timeout", "the policy took longer than it may";
    PolicyMemory = "policy-memory", "the policy took more memory than it may";
    PolicyUndefined = "policy-undefined", "no rule of the policy says anything about the action";
    PolicyConflict = "policy-conflict", "two rules of the same strictness contradict each other";
    PolicyInputInvalid = "policy-input-invalid", "the policy's input is too large or too deep";
    PolicyUnknownDecision = "policy-unknown-decision", "the policy decided what is no decision";
    ToolNotAllowed = "tool-not-allowed", "the tool is not one of the role's";
    TierTooLow = "tier-too-low", "the tier does not allow this, or the role's fell below the lease's";
    ApproversNone = "approvers-none", "fewer people than must approve the action may do so";
    ApprovalInsufficient = "approval-insufficient", "the policy asks for more now than was approved";
    BudgetExceeded = "budget-exceeded", "a budget does not hold what the action can cost";
    PriceUnknown = "price-unknown", "the price table does not name the model";
}

impl Denial {
    /// Whether a refusal has this code too: what is proposed beyond the role's tier is denied, what
    /// is asked beyond a lease's tier is refused.
    #[must_use]
    pub const fn is_refusal_too(self) -> bool {
        matches!(self, Self::TierTooLow)
    }
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
    use super::{Denial, Refusal};

    #[test]
    fn codes_are_distinct_and_short_enough_for_a_record() {
        let refusals = Refusal::ALL.iter().map(|r| (r.code(), r.message()));
        let denials = Denial::ALL.iter().filter(|d| !d.is_refusal_too());
        let all: Vec<_> = refusals.chain(denials.map(|d| (d.code(), d.message()))).collect();
        let mut codes: Vec<_> = all.iter().map(|(code, _)| *code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all.len());
        for denial in Denial::ALL.iter().filter(|d| d.is_refusal_too()) {
            assert!(all.contains(&(denial.code(), denial.message())), "{}", denial.code());
        }
        for (code, message) in all {
            assert!(message.len() <= crate::limits::LABEL_CHARS, "{code}");
        }
    }
}
