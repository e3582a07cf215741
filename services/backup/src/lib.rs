//! A second copy of a ledger outside NATS, backups of a tenant, and their way back.
//!
//! A place ([`place`]) holds immutable segments of the ledger, the signed head, one current copy of
//! the wrapped content keys, sealed evidence objects ([`evidence`]), and a manifest per backup
//! ([`layout`]). Everything is verified before
//! it is written and read back after ([`copy`], [`check`]); [`restore`] puts it into empty servers
//! and opens the tenant only when the ledger read back from them ends at the signed head.
//!
//! Private keys are never copied: the operator keeps the key store. Nothing here decides, signs or
//! opens content.

pub mod backup;
pub mod check;
pub mod copy;
mod error;
pub mod evidence;
pub mod heads;
pub mod keys;
pub mod layout;
pub mod limits;
mod live;
pub mod manifest;
pub mod place;
pub mod restore;
pub mod service;
mod walk;

pub use backup::backup;
pub use check::{Checked, Progress, check};
pub use copy::Copier;
pub use error::Error;
pub use evidence::{Attached, Attachment, Contents, Opening};
pub use manifest::Manifest;
pub use place::Place;
pub use restore::{Erasures, NoErasures, Restored, Target, restore};
pub use service::{Service, Settings};
