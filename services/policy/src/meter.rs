//! What one evaluation may take: time and memory, counted for the thread it runs on.
//!
//! The engine asks for the time at each step of its work. The answer is ours: it looks at the clock
//! and at what the allocator has given this thread since the evaluation began, and where either is
//! too much it answers with the end of time, which ends the evaluation. So nothing has to be stopped
//! from outside and no thread is left behind.
//!
//! Time is what the thread ran for, not what passed: a busy machine denies nothing. Asking for that
//! is a call into the system, so it is asked only when as much time has passed as was given.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use canonry_meter::live_bytes;
use regorus::utils::limits::{TimeSource, set_time_source};
use rustix::time::{ClockId, clock_gettime};

/// What a thread's evaluation may take, and what came of it.
#[derive(Debug, Clone, Copy)]
struct Running {
    /// When to look at what the thread ran for.
    until: Instant,
    /// What the thread may have run for, since it began.
    end: Duration,
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
                match running.end.checked_sub(ran()) {
                    None | Some(Duration::ZERO) => running.over = Some(Over::Time),
                    Some(left) => running.until = Instant::now() + left,
                }
            }
            RUNNING.set(Some(running));
        }
        Some(if running.over.is_some() { Duration::MAX } else { BEGIN })
    }
}

/// What this thread ran for since it began.
fn ran() -> Duration {
    let ran = clock_gettime(ClockId::ThreadCPUTime);
    // A clock that is odd has run for ever.
    ran.try_into().unwrap_or(Duration::MAX)
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
    let end = ran().saturating_add(time);
    RUNNING.set(Some(Running { until: Instant::now() + time, end, bytes, over: None }));
    let ended = End;
    let done = work();
    let over = RUNNING.get().and_then(|r| r.over);
    drop(ended);
    (done, over)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for the time as the engine does, until it is over.
    fn ask_until_over() -> u64 {
        let mut asked = 0;
        while Meter.now() == Some(BEGIN) {
            asked += 1;
        }
        asked
    }

    #[test]
    fn time_in_which_the_thread_did_not_run_is_not_counted() {
        let time = Duration::from_millis(200);
        let (asked, over) = metered(time, 1 << 20, || {
            // Longer than it may take, and asleep.
            std::thread::sleep(time * 2);
            let before = Meter.now();
            assert_eq!(before, Some(BEGIN), "the thread did not run");
            ask_until_over()
        });
        assert_eq!(over, Some(Over::Time));
        assert!(asked > 0);
        let (_, over) = metered(time, 1 << 20, || ());
        assert_eq!(over, None);
    }
}
