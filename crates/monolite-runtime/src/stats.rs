//! Counts of calls: cheap enough for a call of a microsecond.
//!
//! **Invariants**
//! - Recording is two or three relaxed additions on a line that mostly one thread touches.
//! - Buckets double, from 256 ns; the last has no bound.

use monolite_service::engine::{Ended, Meter};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Number of buckets of a histogram; bucket `i` counts calls of at most [`bucket_bound`]`(i)`.
pub const BUCKETS: usize = 29;
const SHARDS: usize = 8;

/// The longest call that bucket `i` counts; none for the last.
pub fn bucket_bound(i: usize) -> Option<Duration> {
    (i + 1 < BUCKETS).then(|| Duration::from_nanos(256 << i))
}

/// The calls of one message.
pub struct Stats {
    service: &'static str,
    message: &'static str,
    shards: [Shard; SHARDS],
}

#[derive(Default)]
#[repr(align(128))]
struct Shard {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// What [`Stats`] held at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// The service.
    pub service: &'static str,
    /// The message's full name.
    pub message: &'static str,
    /// Calls by how long they took.
    pub buckets: [u64; BUCKETS],
    /// All calls.
    pub calls: u64,
    /// The calls that ended with a refusal.
    pub refused: u64,
    /// The calls that ended with a failure.
    pub failed: u64,
    /// The time of all calls together.
    pub time: Duration,
}

impl Stats {
    pub(crate) fn new(service: &'static str, message: &'static str) -> Self {
        Stats { service, message, shards: Default::default() }
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        let sum = |of: &dyn Fn(&Shard) -> &AtomicU64| self.shards.iter().map(|s| of(s).load(Relaxed)).sum::<u64>();
        let buckets: [u64; BUCKETS] = std::array::from_fn(|i| sum(&|s| &s.buckets[i]));
        Counts {
            service: self.service,
            message: self.message,
            calls: buckets.iter().sum(),
            buckets,
            refused: sum(&|s| &s.refused),
            failed: sum(&|s| &s.failed),
            time: Duration::from_nanos(sum(&|s| &s.nanos)),
        }
    }
}

impl Meter for Stats {
    fn ended(&self, took: Duration, how: Ended) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let shard = &self.shards[shard_of_this_thread()];
        shard.buckets[bucket_of(nanos)].fetch_add(1, Relaxed);
        shard.nanos.fetch_add(nanos, Relaxed);
        match how {
            Ended::Replied => {}
            Ended::Refused => _ = shard.refused.fetch_add(1, Relaxed),
            Ended::Failed => _ = shard.failed.fetch_add(1, Relaxed),
        }
    }
}

fn bucket_of(nanos: u64) -> usize {
    let doublings = u64::BITS - (nanos.saturating_sub(1) >> 8).leading_zeros();
    (doublings as usize).min(BUCKETS - 1)
}

fn shard_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! { static SHARD: Cell<usize> = const { Cell::new(usize::MAX) } }
    SHARD.with(|shard| {
        if shard.get() == usize::MAX {
            shard.set(NEXT.fetch_add(1, Relaxed) % SHARDS);
        }
        shard.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_ends_at_its_bound() {
        for i in 0..BUCKETS - 1 {
            let bound = 256u64 << i;
            assert_eq!(bucket_of(bound), i);
            assert_eq!(bucket_of(bound + 1), i + 1);
        }
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn counts_are_the_sum_over_threads() {
        let stats = Stats::new("Recipes", "Recipes.AddRecipe");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        stats.ended(Duration::from_micros(1), Ended::Replied);
                    }
                    stats.ended(Duration::from_secs(100), Ended::Failed);
                });
            }
        });
        let counts = stats.counts();
        assert_eq!((counts.calls, counts.failed, counts.refused), (404, 4, 0));
        assert_eq!((counts.buckets[2], counts.buckets[BUCKETS - 1]), (400, 4));
        assert_eq!(counts.time, Duration::from_micros(400) + Duration::from_secs(400));
    }
}
