//! What one evaluation may take: time and memory, counted for the thread it runs on.
//!
//! The engine asks for the time at each step of its work. The answer is ours: it looks at the clock
//! and at what the allocator has given this thread since the evaluation began, and where either is
//! too much it answers with the end of time, which ends the evaluation. So nothing has to be stopped
//! from outside and no thread is left behind.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use canonry_meter::live_bytes;
use regorus::utils::limits::{TimeSource, set_time_source};

/// What a thread's evaluation may take, and what came of it.
#[derive(Debug, Clone, Copy)]
struct Running {
    until: Instant,
    bytes: i64,
    over: Option<Over>,
}

/// What an evaluation took too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Time.
    Time,
    /// Memory.
    Memory,
}

thread_local! {
    static RUNNING: Cell<Option<Running>> = const { Cell::new(None) };
}

/// The time that the engine is given while nothing is too much: it stands still.
const BEGIN: Duration = Duration::from_secs(1);

struct Meter;

impl TimeSource for Meter {
    fn now(&self) -> Option<Duration> {
        let Some(mut running) = RUNNING.get() else { return Some(BEGIN) };
        if running.over.is_none() {
            if live_bytes() > running.bytes {
                running.over = Some(Over::Memory);
            } else if Instant::now() > running.until {
                running.over = Some(Over::Time);
            }
            RUNNING.set(Some(running));
        }
        Some(if running.over.is_some() { Duration::MAX } else { BEGIN })
    }
}

/// Whether the engine asks us for the time, and the allocator counts; decided once.
pub(crate) fn ready() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    *READY.get_or_init(|| {
        let before = live_bytes();
        let probe = std::hint::black_box(vec![0_u8; 4096]);
        let counts = live_bytes() >= before + 4096;
        drop(probe);
        set_time_source(&Meter).is_ok() && counts
    })
}

/// Runs `work` with so much time and memory, and tells what it took too much of.
pub(crate) fn metered<T>(
    time: Duration,
    memory: usize,
    work: impl FnOnce() -> T,
) -> (T, Option<Over>) {
    /// Ends the counting however `work` ends.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            RUNNING.set(None);
        }
    }
    let bytes = live_bytes().saturating_add(i64::try_from(memory).unwrap_or(i64::MAX));
    RUNNING.set(Some(Running { until: Instant::now() + time, bytes, over: None }));
    let end = End;
    let done = work();
    let over = RUNNING.get().and_then(|r| r.over);
    drop(end);
    (done, over)
}
