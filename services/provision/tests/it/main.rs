//! Provisioning against real servers: operator mode, accounts, permissions, streams.

mod accounts;
mod audit;
mod cluster;
mod permissions;
mod streams;
mod support;
