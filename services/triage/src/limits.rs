//! Every number that bounds this crate, in one place, with the reason for it.

use std::time::Duration;

/// Raw bytes of a log, after unpacking. The real one has 46 MB; a packed bomb ends here.
pub const MAX_LOG_BYTES: u64 = 256 * 1024 * 1024;

/// Bytes of a download body. The archive has a few MB; the bare CSV still fits.
pub const MAX_DOWNLOAD_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of one field that we keep. The longest in the real log has 21.
pub const MAX_FIELD_BYTES: usize = 128;

/// Distinct values over all columns that we keep (the real log has 6,746). Codes are
/// 16 bits wide, zero stands for a missing value and the last for one that was never seen.
pub const MAX_SYMBOLS: usize = 65_534;

/// Incidents in one log: what bounds the memory of a reader, ten times the real log.
pub const MAX_INCIDENTS: usize = 250_000;

/// Entries in the central directory of an archive. The real one holds one or two.
pub const MAX_ARCHIVE_ENTRIES: usize = 64;

/// Redirects that a download follows.
pub const MAX_REDIRECTS: usize = 5;

/// Tries of one download, each resuming where the last one was cut off.
pub const MAX_ATTEMPTS: u32 = 4;

/// Time to connect.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time without a byte before a download counts as cut off.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for one try as a whole; a server that trickles cannot hold us longer.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15 * 60);
