//! Every bound of copies and backups.

use std::time::Duration;

/// Records of one segment, at most.
pub const SEGMENT_RECORDS: usize = 4_096;
/// Bytes of one segment after which it is closed; one record more may fit in.
pub const SEGMENT_BYTES: usize = 16 << 20;
/// Bytes of an object that is read, at most: a segment that was closed one record too late.
pub const OBJECT_BYTES: u64 = 64 << 20;
/// Sealed chunks of one part of an evidence object: 16 MiB.
pub const PART_CHUNKS: usize = 32;
/// Bytes of what names the parts of an evidence object, at most.
pub const DESCRIPTION_BYTES: u64 = 1 << 20;
/// How often the copy of content keys is taken anew after an erasure was copied: the holder shreds
/// the key a moment after the record.
pub const KEYS_AGAIN: u8 = 3;
/// Bytes of the copy of content keys, at most: about 10,000 groups, so 2,500,000 entities.
pub const KEYS_BYTES: u64 = 128 << 20;
/// Records of one batch of a restore.
pub const RESTORE_BATCH: usize = 500;
/// Bytes of one batch of a restore, at most; a single record may be larger.
pub const RESTORE_BATCH_BYTES: usize = 4 << 20;
/// How often a batch of a restore is sent again when no answer came.
pub const RESTORE_TRIES: u32 = 5;
/// How long a copy waits for a signed head that covers what stands now.
pub const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks at it.
pub const HEAD_POLL: Duration = Duration::from_millis(100);
/// Interruptions of one read of a ledger that are bridged.
pub const INTERRUPTIONS: u32 = 5;
/// How often a running service copies what is new.
pub const COPY_EVERY: Duration = Duration::from_secs(60);
/// How often a running service makes a backup.
pub const BACKUP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long one request to a place may take.
pub const REQUEST_WITHIN: Duration = Duration::from_secs(120);
/// How long a request to a place is tried again.
pub const RETRY_WITHIN: Duration = Duration::from_secs(60);
/// How often it is tried again.
pub const RETRIES: usize = 5;
/// How long a tenant rests after a failure; twice as long after the next.
pub const REST: Duration = Duration::from_secs(60);
/// How long it rests at most.
pub const REST_MOST: Duration = Duration::from_secs(60 * 60);
