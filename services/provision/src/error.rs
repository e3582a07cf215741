//! What can go wrong while provisioning: kind and source.

use std::path::PathBuf;

/// A source of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A fault of provisioning.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key store refused.
    #[error("the key store refused")]
    KeyStore(#[from] canonry_keystore::Error),
    /// A seed or public key is not what it should be.
    #[error("NATS key {name} is not usable: {why}")]
    Nkey {
        /// Which key.
        name: String,
        /// What the library said.
        why: String,
    },
    /// A token does not verify.
    #[error("not a NATS JWT: {0}")]
    Jwt(&'static str),
    /// More logins were revoked than an account's claims can carry.
    #[error("an account carries at most {most} revoked logins: found the tenant anew")]
    TooManyRevoked {
        /// The bound.
        most: usize,
    },
    /// The server has other claims than were pushed.
    #[error("the server did not take over the revocations of account {0}: push them again")]
    NotRevoked(String),
    /// A service token was given to a member or worker.
    #[error("{0} begins with svc_, which is for services alone")]
    ServiceToken(String),
    /// No usable nats-server, and what to do about it.
    #[error("{0}")]
    NoServer(String),
    /// The server did not come up.
    #[error("nats-server did not start: {why}; its log is {}\n{tail}", log.display())]
    Start {
        /// What happened.
        why: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Every volume of a ledger is closed.
    #[error("no volume of the ledger of {0} is open: run `canonry ledger close-volume` again")]
    NoVolume(String),
    /// No further volume of a ledger can be opened.
    #[error("the ledger of {0} has {1} volumes, which is all that it can have")]
    Volumes(String, u32),
    /// A volume is not where it must be.
    #[error("the volumes of the ledger of {0}: {1}")]
    Volume(String, String),
    /// The server writes lazily.
    #[error(
        "the server at {0} does not sync every write: set `sync_interval: always` in its \
         `jetstream` block; a ledger is not kept without it"
    )]
    LazySync(String),
    /// The monitoring port gave no usable answer.
    #[error("cannot read {path} of the server's monitoring port {address}: {why}")]
    Monitor {
        /// The monitoring address.
        address: String,
        /// The path asked for.
        path: String,
        /// What happened.
        why: String,
    },
    /// A request over the bus failed.
    #[error("no answer on {subject}")]
    Request {
        /// The subject.
        subject: String,
        /// What the bus said.
        #[source]
        source: BoxError,
    },
    /// The server answered with an error.
    #[error("{subject} was refused: {message} (code {code})")]
    Refused {
        /// The subject.
        subject: String,
        /// The server's code; 0 when the answer cannot be read.
        code: u64,
        /// The server's words.
        message: String,
    },
    /// A live stream is configured differently from nats-config.
    #[error("stream {stream} differs from nats-config:\n  {}", differences.join("\n  "))]
    Differs {
        /// The stream.
        stream: String,
        /// One line for each field.
        differences: Vec<String>,
    },
    /// The operating system refused.
    #[error("cannot use {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}
