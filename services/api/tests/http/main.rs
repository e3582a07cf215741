//! The routes over real read models, with a decider and content keys that the tests play.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

mod actions;
mod budgets;
mod changes;
mod document;
mod ext;
mod leases;
mod policies;
mod reads;
mod support;
mod tlog;
mod tokens;
mod writes;
