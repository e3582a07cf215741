//! Secrets: one port, [`SecretStore`], with an embedded store in an `age` file and a client of
//! HashiCorp Vault and OpenBao; [`VaultKeys`], which opens a decider's private keys from either; and
//! [`DeviceKey`], with which a person steps up.
//!
//! No value, token or answer of a server may reach a log line, an error or `Debug`. Nothing here
//! knows NATS or records. The bounds are in [`limits`]; the codes of errors in
//! `canonry_schemas::refusal::local`; what people should know in `docs/secrets.md`.

mod device;
mod embedded;
mod error;
mod keys;
pub mod limits;
mod open;
mod reference;
mod secret;
mod store;
mod vault;

pub use device::DeviceKey;
pub use embedded::{Embedded, IDENTITY, STORE};
pub use error::{BoxError, Error, Kind};
pub use keys::VaultKeys;
pub use open::{FILE, FOLDER, Settings, VARIABLES, VAULT};
pub use reference::{Place, Reference, SCHEME};
pub use secret::{Fields, LeaseId, Leased, Secret};
pub use store::SecretStore;
pub use vault::{Config, Status, Vault, Version};
