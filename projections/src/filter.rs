//! What may be asked of lists: filters and orders.

use canonry_schemas::time::Time;

use crate::rows::Ticket;

/// Which tickets; every field that is set narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TicketFilter {
    /// Any of these; empty means all.
    pub status: Vec<String>,
    /// The owner.
    pub role: Option<String>,
    /// 1 to 4.
    pub priority: Option<u8>,
    /// Whether the deadline was reported missed.
    pub breached: Option<bool>,
    /// Whether a person's answer is awaited.
    pub approval_pending: Option<bool>,
    /// The number in another system.
    pub external: Option<String>,
}

/// In which order tickets come; ties by the place where they were opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TicketSort {
    /// Oldest first.
    #[default]
    Opened,
    /// Newest first.
    Newest,
    /// Most urgent first.
    Priority,
    /// Nearest deadline first, those without last.
    Due,
}

impl TicketSort {
    /// All, with their names: a leading `-` turns the order round.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("opened", Self::Opened),
        ("-opened", Self::Newest),
        ("priority", Self::Priority),
        ("due", Self::Due),
    ];

    /// The name that requests and cursors use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Newest => "-opened",
            Self::Priority => "priority",
            Self::Due => "due",
        }
    }

    pub(crate) fn key(self, ticket: &Ticket) -> String {
        match self {
            Self::Opened | Self::Newest => String::new(),
            Self::Priority => ticket.priority.to_string(),
            Self::Due => ticket.due.clone().unwrap_or_else(|| "9".to_owned()),
        }
    }
}

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of one ticket.
    pub ticket: Option<String>,
    /// Of one worker.
    pub worker: Option<String>,
    /// `started`, `completed`, `failed` or `cancelled`.
    pub status: Option<String>,
}

/// Which records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// A whole type, or its beginning without `canonry.`: `ticket`, `ticket.opened`.
    pub kind: Option<String>,
    /// Whose.
    pub actor: Option<String>,
    /// Of an entity, or touching it.
    pub entity: Option<String>,
    /// Appended under this custom type.
    pub custom: Option<String>,
    /// Of an intent.
    pub intent: Option<String>,
    /// Only refusals, or none.
    pub refusal: Option<bool>,
    /// Not before.
    pub from_time: Option<Time>,
    /// Not after.
    pub to_time: Option<Time>,
    /// Not below.
    pub from_position: Option<u64>,
    /// Not above.
    pub to_position: Option<u64>,
    /// Newest first.
    pub newest_first: bool,
}
