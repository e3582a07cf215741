//! The home of a cell's private keys: a directory with files `0600` and directories `0700`.
//!
//! ```text
//! operator/<name>.nk             NATS seeds: operator, SYS, CANONRY, AUDIT, INTAKE
//! operator/offline/<user>.creds  provisioning users, to be taken off the machine
//! creds/<user>.creds             service users of CANONRY
//! tenants/<t>/account.nk         the tenant's NATS account seed
//! tenants/<t>/account.revoked, operator/AUDIT.revoked  logins that the account revoked
//! tenants/<t>/keys/<use>-<key id>.key, offline/root-<key id>.key, retired/…
//! tenants/<t>/kek.key            wraps the tenant's content keys
//! tenants/<t>/members/<actor>.key, creds/<actor>.creds
//! ```
//!
//! It must not talk to NATS, and it never prints a secret: `Debug` shows key ids only. A file that
//! the group or others can read is refused, not repaired. Who issues what is in
//! `canonry-provision`.

mod error;
pub mod files;
mod key;
mod source;
mod store;

pub use error::{Error, ErrorKind};
pub use key::{Kek, KeyUse, StoredKey, key_id};
pub use source::{Environment, KEYS_VARIABLE, KeySource, Sources};
pub use store::KeyStore;
