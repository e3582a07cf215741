//! Provisioning: everything of NATS that is decided before a message flows. Keys, tokens, accounts
//! and permissions ([`jwt`], [`accounts`], [`users`]), streams and buckets ([`streams`], from
//! nats-config), a nats-server of our own ([`server`]), and the cell that joins them ([`cell`]).
//!
//! It speaks to NATS through [`Bus`] alone and names no client library. It never changes or
//! deletes a stream: what differs is reported.

pub mod accounts;
mod bus;
pub mod cell;
pub mod context;
pub mod creds;
mod error;
pub mod jwt;
pub mod permission;
pub mod revocation;
pub mod server;
pub mod streams;
pub mod testing;
pub mod tool;
pub mod users;
pub mod volumes;

pub use bus::{Bus, check_streams};
pub use cell::{Cell, Login};
pub use error::{BoxError, Error};
pub use permission::Permissions;
pub use users::{CellUser, TenantUser};
