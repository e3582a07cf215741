//! The API on NATS: the projector that feeds its read models ([`projector`]), the way to the
//! decider ([`submit`]), the way to content keys ([`content`]), to evidence ([`evidence`]), to
//! transparency logs ([`tlog`]) and to copies of policies, and the process that joins them
//! ([`serve`]). Routes and queries are in `canonry-api`; nothing here writes a ledger.

pub mod content;
pub mod evidence;
mod lag;
mod policies;
pub mod projector;
pub mod serve;
pub mod submit;
pub mod tlog;
mod traced;

pub use serve::{ApiServer, Config};
