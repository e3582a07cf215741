//! Every bound of a policy, its evaluation and its bundle, as a number in one place. Sizes are bytes.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// Bytes of one Rego file.
pub const MODULE_BYTES: usize = 256 * 1024;
/// Columns of a line as the engine reads it: rewritten, and with copies of rules behind the text.
pub const READ_COLUMNS: NonZeroU32 = NonZeroU32::new(64 * 1024).unwrap();
/// Bytes of a file as the engine reads it.
pub const READ_BYTES: NonZeroUsize = NonZeroUsize::new(4 * MODULE_BYTES).unwrap();
/// Lines of a file as the engine reads it.
pub const READ_LINES: NonZeroUsize = NonZeroUsize::new(40_000).unwrap();
/// Rego files of one bundle.
pub const MODULES: usize = 64;
/// Bytes of a bundle as it travels.
pub const BUNDLE_BYTES: usize = 1024 * 1024;
/// Seconds for which a copy of a bundle may be used without asking again: at least, at most.
pub const TTL: (u32, u32) = (300, 900);
/// Bytes of a bundle unpacked, all files together.
pub const UNPACKED_BYTES: usize = 8 * 1024 * 1024;
/// Files of a bundle.
pub const BUNDLE_FILES: usize = 256;
/// Bytes of a file's name in a bundle.
pub const NAME_BYTES: usize = 255;
/// Rules named `decisions` in one bundle.
pub const RULES: usize = 2_000;
/// Rules that may wait for each other's result, one above the other.
pub const CHAIN: usize = 16;
/// Bytes of an input document.
pub const INPUT_BYTES: usize = 128 * 1024;
/// Time of one decision.
pub const TIME: Duration = Duration::from_millis(50);
/// Time of one test in Rego.
pub const TEST_TIME: Duration = Duration::from_secs(2);
/// Memory that one decision may hold beside what its thread held before.
pub const MEMORY: usize = 16 * 1024 * 1024;
/// Evaluators kept ready for the next decision.
pub const READY: usize = 16;
/// Decisions of rules that may match one input.
pub const MATCHES: usize = 256;
/// Characters of a rule's name, a group, a tool and the like.
pub const LABEL: usize = 120;
/// Elements of a list that one call of `numbers.range` may make.
pub const RANGE: i64 = 10_000;
/// Bytes of a text that one call of `concat` or `replace` may make.
pub const TEXT: usize = 256 * 1024;
/// Braces, brackets and texts with expressions, one within the other.
pub const NESTING: usize = 32;
/// Pairs of blocks that one call of `net.cidr_contains_matches` may compare.
pub const PAIRS: usize = 10_000;
/// Addresses that one call of `net.cidr_expand` may list.
pub const ADDRESSES: u128 = 65_536;
/// Verbs in the format of one `sprintf`.
pub const VERBS: usize = 32;
/// Bytes of the signature file of a bundle.
pub const SIGNATURE_BYTES: usize = 64 * 1024;
/// People of an approval, at most.
pub const APPROVERS: u32 = 16;
/// Seconds after which what waits for an approval or a retry has to have ended, at most.
pub const SECONDS: u64 = 30 * 24 * 60 * 60;
