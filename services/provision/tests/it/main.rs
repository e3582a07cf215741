//! Provisioning against real servers: operator mode, accounts, permissions, streams.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

mod accounts;
mod audit;
mod cluster;
mod home;
mod leases;
mod permissions;
mod revoked;
mod streams;
mod support;
mod worm;
