//! Scenarios against real servers.
