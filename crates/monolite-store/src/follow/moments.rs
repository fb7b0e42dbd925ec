//! When commits were made: for a follower, who takes them later.
//!
//! **Invariants**
//! - A commit's age is never too great: where its own moment is not known, that of a later commit is answered.
//! - Commits of one millisecond are one entry. Beyond `ENTRIES_MAX` every second entry is dropped: what was made longer ago
//!   and not released is told less finely.
//!
//! Never here: the clock on the wall, which may be set; but for what an earlier process wrote.

use crate::reply::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

/// Entries that are kept at most: 96 KiB.
const ENTRIES_MAX: usize = 4096;
/// The system's clock for files ticks: what was written may be said to be so much older.
const TICK: Duration = Duration::from_millis(10);
/// Commits within this time are one entry.
const FINE: Duration = Duration::from_millis(1);

pub(super) struct Moments {
    entries: Mutex<VecDeque<Entry>>,
    /// The last commit of an earlier process, and when it wrote to the file.
    found: (u64, Option<SystemTime>),
}

/// Commits up to this one and after those of the entry before.
struct Entry {
    sequence: u64,
    first: Instant,
    last: Instant,
}

impl Moments {
    pub(super) fn new(found: u64, written: Option<SystemTime>) -> Self {
        Moments { entries: Mutex::default(), found: (found, written) }
    }

    /// A commit was made.
    pub(super) fn committed(&self, sequence: u64, at: Instant) {
        let mut entries = lock(&self.entries);
        if let Some(newest) = entries.back_mut()
            && at.saturating_duration_since(newest.first) < FINE
        {
            (newest.sequence, newest.last) = (sequence, at);
            return;
        }
        if entries.len() >= ENTRIES_MAX {
            let mut number = 0;
            entries.retain(|_| {
                number += 1;
                number % 2 == 0
            });
        }
        entries.push_back(Entry { sequence, first: at, last: at });
    }

    /// Nobody will ask for commits up to this one.
    pub(super) fn forget(&self, sequence: u64) {
        let mut entries = lock(&self.entries);
        while entries.front().is_some_and(|entry| entry.sequence <= sequence) {
            entries.pop_front();
        }
    }

    /// How long ago a commit was made, or a little less.
    #[expect(clippy::disallowed_methods, reason = "files are stamped by this clock")]
    pub(super) fn age(&self, sequence: u64, now: Instant) -> Duration {
        let (found, written) = self.found;
        if sequence <= found
            && let Some(written) = written
        {
            return SystemTime::now().duration_since(written + TICK).unwrap_or_default();
        }
        let entries = lock(&self.entries);
        let at = entries.partition_point(|entry| entry.sequence < sequence);
        entries.get(at).map_or(Duration::ZERO, |entry| now.saturating_duration_since(entry.last))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn after(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_commit_is_as_old_as_it_is_and_never_older() {
        let (moments, begin) = (Moments::new(7, None), Instant::now());
        for (sequence, ms) in [(8, 10), (9, 300), (10, 300), (12, 900)] {
            moments.committed(sequence, begin + after(ms));
        }
        let ages = |sequence| moments.age(sequence, begin + after(1000)).as_millis();
        assert_eq!([8, 9, 10, 11, 12].map(ages), [990, 700, 700, 100, 100]);
        assert_eq!(ages(13), 0, "nothing is known of it");
        moments.forget(10);
        assert_eq!(ages(12), 100);
        assert_eq!(lock(&moments.entries).len(), 1);
    }

    #[test]
    fn what_an_earlier_process_wrote_is_as_old_as_the_file() {
        let written = SystemTime::now() - after(3_600_000);
        let moments = Moments::new(7, Some(written));
        moments.committed(8, Instant::now());
        assert!((3_599_990..3_700_000).contains(&moments.age(7, Instant::now()).as_millis()));
        assert!(moments.age(8, Instant::now()) < after(60_000));
        let to_come = Moments::new(7, Some(SystemTime::now() + after(3_600_000)));
        assert_eq!(to_come.age(7, Instant::now()), Duration::ZERO, "of a clock that was wrong");
    }

    #[test]
    fn memory_is_bounded_and_ages_stay_bounds() {
        let (moments, begin) = (Moments::new(0, None), Instant::now());
        let last = 3 * ENTRIES_MAX as u64;
        for sequence in 1..=last {
            moments.committed(sequence, begin + after(10 * sequence));
        }
        assert!(lock(&moments.entries).len() <= ENTRIES_MAX);
        // Dropped by half five times.
        let now = begin + after(10 * last);
        for sequence in 1..=last {
            let (age, known) = (after(10 * (last - sequence)), moments.age(sequence, now));
            assert!(known <= age && age - known <= after(320), "{sequence}: {known:?} of {age:?}");
        }
    }
}
