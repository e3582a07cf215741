//! The queries of reads, each with the schema that the OpenAPI document tells it by.

use canonry_projections::PageRequest;
use schemars::JsonSchema;
use serde::Deserialize;

/// What every query knows.
pub trait Window {
    fn min_position(&self) -> Option<u64>;
}

macro_rules! query {
    (@common $name:ident) => {
        impl Window for $name {
            fn min_position(&self) -> Option<u64> { self.min_position }
        }
    };
    ($name:ident paged { $($(#[$doc:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Wait until this position is applied.
            pub min_position: Option<u64>,
            /// Rows of a page.
            pub limit: Option<usize>,
            /// The `next` of the page before.
            pub cursor: Option<String>,
            $($(#[$doc])* pub $field: Option<$ty>),*
        }
        query!(@common $name);
        impl $name {
            pub fn page(&self) -> PageRequest {
                PageRequest { limit: self.limit, cursor: self.cursor.clone() }
            }
        }
    };
    ($name:ident { $($(#[$doc:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Wait until this position is applied.
            pub min_position: Option<u64>,
            $($(#[$doc])* pub $field: Option<$ty>),*
        }
        query!(@common $name);
    };
}

query!(Plain {});
query!(Pages paged {});
query!(PolicyNow {
    /// Refused where this process cannot say that a policy is in force and decides.
    fresh: bool,
});
query!(One {
    /// As it was when this position was the last; waited for like `min_position`.
    as_of: u64,
});
query!(Steps paged {
    /// As it was when this position was the last; waited for like `min_position`.
    as_of: u64,
});
query!(Diff {
    /// The earlier position, 0 for before the first record.
    from: u64,
    /// The later position; waited for like `min_position`.
    to: u64,
});
query!(Many paged {
    /// As it was when this position was the last; waited for like `min_position`.
    as_of: u64,
});
query!(Kinds paged {
    /// Of one custom type.
    kind: String,
});
query!(Roles paged {
    /// As it was when this position was the last; waited for like `min_position`.
    as_of: u64,
    /// `active`, `paused` or `retired`.
    status: String,
});
query!(Tickets paged {
    /// As it was when this position was the last; waited for like `min_position`.
    as_of: u64,
    /// `open`, `started`, `completed`, `cancelled`, several joined by commas; `active` means
    /// open and started.
    status: String,
    /// The owner.
    role: String,
    /// 1 to 4.
    priority: u8,
    /// Whether the deadline was missed.
    breached: bool,
    /// Whether a person's answer is awaited.
    approval_pending: bool,
    /// The number in another system.
    external: String,
    /// `opened`, `-opened`, `priority` or `due`.
    sort: String,
});
query!(Runs paged {
    /// As it was when this position was the last; waited for like `min_position`.
    as_of: u64,
    /// Of one ticket.
    ticket: String,
    /// Of one worker.
    worker: String,
    /// `started`, `completed`, `failed` or `cancelled`.
    status: String,
});
query!(Leases paged {
    /// Of one run.
    run: String,
    /// Of one role.
    role: String,
    /// Of one worker.
    worker: String,
    /// `issued`, `revoked`, `replaced` or `ended`. One that was issued may have expired.
    status: String,
});
query!(Events paged {
    /// A whole type, or its beginning: `ticket`, `ticket.opened`.
    r#type: String,
    /// Whose.
    actor: String,
    /// Of an entity, or touching it: `ticket/tkt_…`.
    entity: String,
    /// Appended under this custom type.
    kind: String,
    /// Of an intent.
    intent: String,
    /// Only refusals, or none.
    refusal: bool,
    /// Not before; RFC 3339.
    from_time: String,
    /// Not after; RFC 3339.
    to_time: String,
    /// Not below.
    from_position: u64,
    /// Not above.
    to_position: u64,
    /// `position` or `-position`.
    sort: String,
    /// Whether content is opened; else it is given as it stands in the ledger.
    content: bool,
});
query!(Budgets paged {
    /// One account: `tenant`, `role/<id>`, `ticket/<id>` or `run/<id>`; without it, the tenant's,
    /// every role's, and whatever has a limit.
    scope: String,
    /// Which day the accounts that are counted by day are told of, UTC, `2026-01-31`; today
    /// without it.
    day: String,
});
query!(Actions paged {
    /// `allowed`, `held`, `parked`, `rejected`, `routed`, `denied`, `settled` or `lapsed`.
    status: String,
    /// Of one run.
    run: String,
    /// Of one ticket.
    ticket: String,
    /// Of one role.
    role: String,
    /// Of one tool.
    tool: String,
});
query!(Spend paged {
    /// What is added up by: `ticket`, `run`, `role`, `model`, `tool` or `day`; `role` when absent.
    by: String,
    /// Of one ticket.
    ticket: String,
    /// Of one role.
    role: String,
    /// Not before this day, UTC, `2026-01-31`; a reservation counts on the day it was made.
    from_day: String,
    /// Not after this day.
    to_day: String,
});
query!(Inclusion {
    /// The position of the record.
    position: u64,
});
query!(Consistency {
    /// Leaves of the old tree, at least 1.
    from: u64,
    /// Leaves of the new tree, at most those of the newest checkpoint.
    to: u64,
});
query!(EvidenceUrl {
    /// How many seconds the address shall hold, 1 to 900.
    seconds: u32,
});

/// What a signed address holds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// Whose evidence.
    pub tenant: String,
    /// Until when, seconds since 1970.
    pub expires: u64,
    /// By this API's own key.
    pub signature: String,
}

query!(Changes {
    /// A whole type, or its beginning.
    r#type: String,
    /// Whose.
    actor: String,
    /// Of an entity, or touching it.
    entity: String,
    /// Begin behind this position; the header `Last-Event-ID` goes before it.
    after: u64,
});
