//! What Canonry asks of NATS, and nothing else: a connection, the ledger's stream as a
//! [`Log`], buckets ([`Kv`], [`Objects`]), the queue of intents ([`Queue`]) and micro services ([`Micro`]).
//!
//! This is the only crate that names `async-nats`; none of its types stand in our signatures, so
//! the client library can be changed here alone. It knows no record, no tenant and no policy: it
//! moves bytes and reports what the server said. It never sends `Nats-Expected-Last-Msg-Id`
//! (which destroys a replicated stream) and never a guard with a wildcard.
//!
//! Requests to JetStream are written by hand where the library hides something that matters: the
//! leader's own answer instead of a replica's, the code of an error, the name of a consumer
//! (permissions are by name), the order of a batch.
//!
//! Next: [`connection`] for the connection, [`log`] for append and read.

pub mod api;
pub mod connection;
pub mod error;
pub mod headers;
pub mod kv;
pub mod log;
pub mod micro;
pub mod objects;
mod pull;
pub mod queue;
mod stamp;

pub use bytes::Bytes;

pub use connection::{Connect, Connection, Counts, Event, Message, Reply, Subscription};
pub use error::{Error, ErrorKind, RequestError};
pub use headers::Headers;
pub use kv::{Cas, Entry, Kv, Watch, Watched};
pub use log::{Append, Log, LogInfo, Outgoing, ReadError, Records, Stored, Volume};
pub use micro::{Endpoint, Incoming, Micro, ServeOptions};
pub use objects::{Chunks, Held, Note, Objects};
pub use queue::{Job, Queue, QueueSettings};
