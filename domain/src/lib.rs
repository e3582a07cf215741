//! The rules: `decide` (one command, one fact or refusal) and `evolve` (a total fold), pure.
//! Time, actor, ids and verified signatures arrive as [`Facts`]. No IO, clock, randomness, async
//! or hash maps here; hosts are in `services/decider`.

pub mod action;
pub mod books;
pub mod budget;
pub mod directory;
pub mod erasure;
pub mod evidence;
pub mod ext;
pub mod facts;
pub mod lease;
pub mod policy;
pub mod prices;
pub mod question;
pub mod role;
pub mod run;
pub mod state;
pub mod tenant;
pub mod ticket;
pub mod tier;
pub mod weigh;

pub use facts::{Applied, Approval, Assertion, Facts};
pub use state::{Entity, State};

use canonry_schemas::refusal::Refusal;

/// One aggregate's rules.
pub trait Decider {
    /// What must be remembered to decide.
    type State;
    /// What may be asked.
    type Command;
    /// What may happen.
    type Event;

    /// One command, one fact or one refusal.
    ///
    /// # Errors
    /// The refusal, when a rule forbids the command.
    fn decide(
        state: Option<&Self::State>,
        facts: &Facts<'_>,
        command: Self::Command,
    ) -> Result<Self::Event, Refusal>;

    /// The state after a fact; total: what does not fit changes nothing.
    fn evolve(
        state: Option<Self::State>,
        applied: &Applied<'_>,
        event: &Self::Event,
    ) -> Option<Self::State>;
}
