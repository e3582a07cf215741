//! Every bound of secrets.

use std::time::Duration;

/// Bytes of one value.
pub const VALUE_BYTES: usize = 32 << 10;
/// Fields of one secret.
pub const FIELDS: usize = 32;
/// Secrets of one embedded store.
pub const SECRETS: usize = 1_024;
/// Bytes of an embedded store in clear; sealed it stays below what the key store reads, 1 MiB.
pub const STORE_BYTES: usize = 512 << 10;
/// Characters of a reference.
pub const REFERENCE_CHARS: usize = 512;
/// Parts of a path.
pub const PATH_PARTS: usize = 8;
/// Names that one listing may hold.
pub const NAMES: usize = 4_096;
/// Bytes of one answer of a vault.
pub const ANSWER_BYTES: usize = 1 << 20;
/// How often a request to a vault is sent, the first time included.
pub const TRIES: u32 = 5;
/// How long the first wait between two of them is; each further one is twice as long.
pub const BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait between two.
pub const BACKOFF_MOST: Duration = Duration::from_secs(2);
/// How long a connection to a vault may take.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long one request may take.
pub const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// How long a decider waits for a key from a store; all tries are within it.
pub const KEY_WITHIN: Duration = Duration::from_secs(15);
/// The longest lease that is taken: that of tier T0.
pub const LEASE_MOST: Duration = Duration::from_secs(60 * 60);
/// A token with less left than this is not used any more.
pub const TOKEN_LEAST: Duration = Duration::from_secs(2);
/// How long a token that does not end by itself rests until it is looked at again.
pub const TOKEN_LOOK: Duration = Duration::from_secs(60 * 60);
/// How long after a renewal that failed the next is tried.
pub const RENEW_AGAIN: Duration = Duration::from_secs(5);
/// How often a write that another writer overtook is made anew.
pub const WRITES: u32 = 5;
/// How long a write waits for another process that writes the same embedded store.
pub const LOCK_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at its lock.
pub const LOCK_POLL: Duration = Duration::from_millis(20);
/// The work factor of a passphrase, as the power of two that `age` itself uses.
pub const SCRYPT_LOG_N: u8 = 18;
/// Characters of a passphrase, at least.
pub const PASSPHRASE_LEAST: usize = 12;
