//! The same for many things, a few at a time: opening and closing files is mostly waiting for the disk.
//!
//! **Invariants**
//! - Results are in the order of the things; a panic is the caller's.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Most things done at the same time.
const THREADS_MAX: usize = 8;

/// Does it for each thing.
pub(crate) fn abreast<T: Sync, R: Send>(things: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let some = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(thing) = things.get(at) else { return done };
            done.push((at, f(thing)));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..things.len().min(THREADS_MAX)).map(|_| scope.spawn(some)).collect();
        let mut done = some();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::abreast;

    #[test]
    fn each_thing_is_done_once_and_results_are_in_order() {
        for n in [0, 1, 7, 100] {
            let things: Vec<usize> = (0..n).collect();
            assert_eq!(abreast(&things, |n| n * 2), things.iter().map(|n| n * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    #[should_panic(expected = "on purpose")]
    fn a_panic_is_the_callers() {
        abreast(&[1, 2, 3], |n| assert_ne!(*n, 2, "on purpose"));
    }
}
