//! Read models: records go in, tables come out, one SQLite file per tenant.
//!
//! Nothing here knows NATS, async or the clock, and nothing here decides: a file can be deleted at
//! any time and is rebuilt from the ledger. Content stays encrypted as it stands in the records;
//! who may read it decrypts it at the edge. Start at [`store`] for the write side, [`query`] for
//! the read side.

pub mod acts;
pub mod approvers;
pub mod diff;
mod filter;
mod fold;
pub mod leases;
pub mod page;
mod past;
pub mod query;
mod read;
mod recorded;
pub mod rows;
mod schema;
mod spend;
pub mod store;

pub use acts::ActionFilter;
pub use page::{Page, PageRequest};
pub use query::{EventFilter, Reader, RunFilter, Snapshot, TicketFilter, TicketSort};
pub use recorded::Recorded;
pub use schema::VERSION;
pub use spend::{By, SpendFilter};
pub use store::{Error, Head, Store};
