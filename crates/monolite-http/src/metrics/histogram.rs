//! A histogram of durations from 1 us to 10 s, and counters, cheap enough for a path of a few microseconds.
//!
//! Each is split over a few shards, and a thread keeps to one, so that two workers do not fight for a cache line.
//!
//! **Invariants**
//! - Counting is two additions without a lock; a scrape may see one without the other, never less than before.

use std::cell::Cell;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds in nanoseconds: 1, 2, 5 in each decade from 1 us to 10 s.
const BOUNDS: [u64; 22] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];
/// The same as they are written.
const LABELS: [&str; 22] = [
    "0.000001", "0.000002", "0.000005", "0.00001", "0.00002", "0.00005", "0.0001", "0.0002", "0.0005", "0.001",
    "0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1.0", "2.0", "5.0", "10.0",
];
/// Upper bounds of a histogram of counts, doubling: 1 to 1,024.
const COUNT_BOUNDS: usize = 11;
const SHARDS: usize = 4;

/// The shard of this thread.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! { static MINE: Cell<usize> = const { Cell::new(usize::MAX) } }
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Relaxed) % SHARDS);
        }
        mine.get()
    })
}

/// Counts something.
#[derive(Debug, Default)]
pub(crate) struct Counter([Padded<AtomicU64>; SHARDS]);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

impl Counter {
    pub(crate) fn raise(&self) {
        self.add(1);
    }

    /// Adds; a gauge that goes up and down adds and subtracts, each on its thread's shard.
    pub(crate) fn add(&self, n: u64) {
        self.0[shard()].0.fetch_add(n, Relaxed);
    }

    pub(crate) fn subtract(&self, n: u64) {
        self.0[shard()].0.fetch_sub(n, Relaxed);
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, part| sum.wrapping_add(part.0.load(Relaxed)))
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub(crate) struct Durations([Padded<Shard>; SHARDS]);

#[derive(Debug, Default)]
struct Shard {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
}

impl Durations {
    pub(crate) fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let place = BOUNDS.iter().position(|bound| nanos <= *bound).unwrap_or(BOUNDS.len());
        let shard = &self.0[shard()].0;
        shard.counts[place].fetch_add(1, Relaxed);
        shard.sum.fetch_add(nanos, Relaxed);
    }

    /// Writes the samples of a histogram in Prometheus' text form; `labels` is empty or `a="b"`.
    pub(crate) fn write(&self, to: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut below = 0;
        for place in 0..=BOUNDS.len() {
            below += self.0.iter().map(|shard| shard.0.counts[place].load(Relaxed)).sum::<u64>();
            let bound = LABELS.get(place).copied().unwrap_or("+Inf");
            let _ = writeln!(to, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}");
        }
        let sum: u64 = self.0.iter().map(|shard| shard.0.sum.load(Relaxed)).sum();
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(to, "{name}_sum{braces} {:.9}", Duration::from_nanos(sum).as_secs_f64());
        let _ = writeln!(to, "{name}_count{braces} {below}");
    }
}

/// A histogram of small counts.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    counts: [AtomicU64; COUNT_BOUNDS + 1],
    sum: AtomicU64,
}

impl Counts {
    pub(crate) fn record(&self, n: u64) {
        let place = (0..COUNT_BOUNDS).find(|place| n <= 1 << place).unwrap_or(COUNT_BOUNDS);
        self.counts[place].fetch_add(1, Relaxed);
        self.sum.fetch_add(n, Relaxed);
    }

    pub(crate) fn write(&self, to: &mut String, name: &str, labels: &str) {
        let mut below = 0;
        for place in 0..=COUNT_BOUNDS {
            below += self.counts[place].load(Relaxed);
            let bound = if place < COUNT_BOUNDS { (1_u64 << place).to_string() } else { "+Inf".to_owned() };
            let _ = writeln!(to, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(to, "{name}_sum{{{labels}}} {}", self.sum.load(Relaxed));
        let _ = writeln!(to, "{name}_count{{{labels}}} {below}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_cumulative_buckets_from_a_microsecond_on() {
        let all = Durations::default();
        for micros in [1, 3, 3, 400_000, 20_000_000] {
            all.record(Duration::from_micros(micros));
        }
        let mut text = String::new();
        all.write(&mut text, "x_seconds", "a=\"b\"");
        for line in [
            "x_seconds_bucket{a=\"b\",le=\"0.000001\"} 1",
            "x_seconds_bucket{a=\"b\",le=\"0.000002\"} 1",
            "x_seconds_bucket{a=\"b\",le=\"0.000005\"} 3",
            "x_seconds_bucket{a=\"b\",le=\"0.5\"} 4",
            "x_seconds_bucket{a=\"b\",le=\"10.0\"} 4",
            "x_seconds_bucket{a=\"b\",le=\"+Inf\"} 5",
            "x_seconds_sum{a=\"b\"} 20.400007000",
            "x_seconds_count{a=\"b\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn bounds_are_written_as_what_they_are() {
        for (bound, label) in BOUNDS.iter().zip(LABELS) {
            assert_eq!(Duration::from_nanos(*bound).as_secs_f64(), label.parse::<f64>().unwrap());
        }
    }

    #[test]
    fn a_gauge_raised_here_and_lowered_on_another_thread_is_even() {
        let gauge = Counter::default();
        gauge.add(2);
        std::thread::scope(|scope| scope.spawn(|| gauge.subtract(2)).join().unwrap());
        assert_eq!(gauge.total(), 0);
    }
}
