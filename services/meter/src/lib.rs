//! How many bytes the thread that asks holds: the system's allocator, with a count for each thread.
//!
//! A program that names this crate allocates through it, because a program has one allocator. What is
//! counted is what was asked for, not what the system took for it. Memory that another thread gives
//! back is taken off that thread's count, so a difference means something only for work that stays on
//! its thread: a decision of a policy does. The crate does nothing else, because it holds all of the
//! project's unsafe code.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // Without a destructor and made by the compiler: so it may be used wherever memory is.
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// Bytes that this thread was given, less those that it gave back. Below zero where it gave back
/// what other threads were given.
#[must_use]
pub fn live_bytes() -> i64 {
    LIVE.get()
}

/// No layout is as large as `i64::MAX`: an allocation has at most `isize::MAX` bytes.
fn count(bytes: usize, sign: i64) {
    LIVE.set(LIVE.get().wrapping_add(sign.wrapping_mul(bytes as i64)));
}

/// The system's allocator, counted.
struct Counted;

#[global_allocator]
static COUNTED: Counted = Counted;

#[expect(unsafe_code, reason = "the trait of allocators is unsafe; each call goes on unchanged")]
// SAFETY: every call is answered by `System` with the arguments as they came; the count touches no
// memory that was given out, allocates nothing and cannot unwind.
unsafe impl GlobalAlloc for Counted {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises what `System::alloc` asks for.
        let given = unsafe { System.alloc(layout) };
        if !given.is_null() {
            count(layout.size(), 1);
        }
        given
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises what `System::alloc_zeroed` asks for.
        let given = unsafe { System.alloc_zeroed(layout) };
        if !given.is_null() {
            count(layout.size(), 1);
        }
        given
    }

    #[inline]
    unsafe fn dealloc(&self, given: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller promises that `given` came from here with this layout, so from `System`.
        unsafe { System.dealloc(given, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, given: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `dealloc`, and of `size` the caller promises what `System::realloc` asks for.
        let moved = unsafe { System.realloc(given, layout, size) };
        if !moved.is_null() {
            count(layout.size(), -1);
            count(size, 1);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::live_bytes;

    #[test]
    fn what_is_held_is_counted_and_what_is_given_back_is_not() {
        let before = live_bytes();
        let mut held = black_box(vec![0_u8; 4_096]);
        assert_eq!(live_bytes(), before + 4_096);
        held.reserve_exact(8_192);
        assert_eq!(live_bytes(), before + 4_096 + 8_192);
        held.shrink_to(4_096);
        assert_eq!(live_bytes(), before + 4_096);
        drop(held);
        assert_eq!(live_bytes(), before);
        let held = black_box(Vec::<u8>::with_capacity(100));
        assert_eq!(live_bytes(), before + 100);
        drop(held);
        assert_eq!(live_bytes(), before);
    }

    #[test]
    fn another_thread_is_not_counted() {
        let (held, gone) = std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let before = live_bytes();
                let held = black_box(vec![1_u8; 1 << 20]);
                (live_bytes() - before, held)
            });
            let before = live_bytes();
            let (there, held) = asked.join().expect("the thread ends");
            assert_eq!(there, 1 << 20);
            // Less than the megabyte of the other thread; joining takes some bytes of its own.
            (live_bytes() - before, held)
        });
        assert!(held < 1 << 19, "{held} bytes were counted here");
        drop(gone);
    }
}
