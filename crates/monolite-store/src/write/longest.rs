//! The longest holds of the writer in the last hour.
//!
//! Kept by twelfths of an hour, ten in each, so that old ones go without a search. The writer compares each hold with
//! two numbers and takes a lock only for one that gets in: some dozens in five minutes.
//!
//! **Invariants**
//! - At most `PARTS` times ten holds, each with a bounded statement.

use crate::reply::lock;
use crate::sqlite::watch::since_start_ns;
use crate::status::{Hold, WriterView};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Parts of the hour.
const PARTS: u64 = 12;
/// How long one of them is, in nanoseconds.
const PART_NS: u64 = 300_000_000_000;

/// The longest holds of one store's writer.
#[derive(Default)]
pub(crate) struct Longest {
    /// What a hold must exceed to get in, before this moment; after it, any does.
    least_ns: AtomicU64,
    until_ns: AtomicU64,
    parts: Mutex<VecDeque<Part>>,
}

struct Part {
    number: u64,
    holds: Vec<Hold>,
}

impl Longest {
    /// Whether a hold gets in.
    #[inline]
    pub(crate) fn is_one(&self, end: Instant, held: Duration) -> bool {
        held.as_nanos() as u64 > self.least_ns.load(Relaxed) || since_start_ns(end) >= self.until_ns.load(Relaxed)
    }

    /// Lets a hold in, if it still is one of the longest. Called by the writer.
    pub(crate) fn enter(&self, hold: Hold) {
        const MOST: usize = WriterView::LONGEST_MAX;
        let number = since_start_ns(hold.since + hold.held) / PART_NS;
        let mut parts = lock(&self.parts);
        if parts.back().is_none_or(|last| last.number < number) {
            parts.push_back(Part { number, holds: Vec::with_capacity(MOST + 1) });
        }
        while parts.front().is_some_and(|first| first.number + PARTS <= number) {
            parts.pop_front();
        }
        let Some(part) = parts.back_mut() else { return };
        let place = part.holds.partition_point(|other| other.held >= hold.held);
        part.holds.insert(place, hold);
        part.holds.truncate(MOST);
        let least = if part.holds.len() < MOST { Duration::ZERO } else { part.holds[MOST - 1].held };
        self.least_ns.store(least.as_nanos() as u64, Relaxed);
        self.until_ns.store((part.number + 1) * PART_NS, Relaxed);
    }

    /// The longest of the hour that ends now, longest first.
    pub(crate) fn list(&self, now: Instant) -> Vec<Hold> {
        let number = since_start_ns(now) / PART_NS;
        let parts = lock(&self.parts);
        let recent = parts.iter().filter(|part| part.number + PARTS > number);
        let mut all: Vec<Hold> = recent.flat_map(|part| part.holds.iter().cloned()).collect();
        drop(parts);
        all.sort_by_key(|hold| std::cmp::Reverse(hold.held));
        all.truncate(WriterView::LONGEST_MAX);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticket::Tenant;

    fn enter(longest: &Longest, since: Instant, held_us: u64) {
        let held = Duration::from_micros(held_us);
        if longest.is_one(since + held, held) {
            longest.enter(Hold { label: "w", tenant: Tenant(1), trace: 0, since, held, statement: None });
        }
    }

    #[test]
    fn the_ten_longest_of_an_hour_are_kept_and_older_ones_forgotten() {
        let longest = Longest::default();
        let start = Instant::now();
        for n in 0..1000 {
            enter(&longest, start, 1 + (n * 7919) % 1000);
        }
        let listed: Vec<_> = longest.list(start).iter().map(|hold| hold.held.as_micros()).collect();
        assert_eq!(listed, (991..=1000).rev().collect::<Vec<_>>());
        assert!(!longest.is_one(start, Duration::from_micros(500)), "a short one costs no lock");
        let later = start + Duration::from_secs(1800);
        enter(&longest, later, 2);
        assert_eq!(longest.list(later).len(), 10, "half an hour later they are still there");
        enter(&longest, later, 5000);
        assert_eq!(longest.list(later)[0].held.as_micros(), 5000);
        let much_later = start + Duration::from_secs(3700);
        let listed: Vec<_> = longest.list(much_later).iter().map(|hold| hold.held.as_micros()).collect();
        assert_eq!(listed, [5000, 2]);
    }
}
