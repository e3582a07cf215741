//! What is said of an actor rather than of a piece of work: refusals that fit no aggregate, and
//! the sum of what was throttled. It has no commands.

use crate::catalogue::{data, events};
use crate::ids::ActorId;
use crate::text::Label;

data! {
    /// Commands of one actor that were answered `throttled` and not recorded.
    Throttled {
        /// Whose.
        actor: ActorId,
        /// How many since the last such record.
        #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
        commands: u64,
    }
    /// A command that was refused. It holds no word of the client.
    Refused {
        /// The stable code; its page is `schemas/errors/<code>.md`.
        code: Label,
        /// What happened.
        message: Label,
    }
}

events! { "actor";
    /// The sum of a minute.
    "throttled" v 1 => Throttled(Throttled),
    /// No such aggregate, verb or id.
    "command-refused" v 1 => CommandRefused(Refused),
}
