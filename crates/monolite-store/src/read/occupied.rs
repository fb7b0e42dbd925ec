//! Which threads of the slow lane have a read, and what follows where they do not come back.
//!
//! Most reads are stopped at their deadline. One that is a single long instruction, or waits outside of SQLite, is not: its thread is
//! gone for as long as it likes. For short reads others stand in: threads to spare soon, then those of the long reads. There is no
//! thread without end, so at last who comes is told.
//!
//! **Invariants**
//! - Times are arguments: nothing here looks at a clock or waits.
//! - An entry is a thread's, not a read's: the end of a read's first run says nothing of the thread that runs it again.
//!
//! Never here: the reads, the threads.

use super::lengths::{Each, Length};
use std::time::{Duration, Instant};

/// Threads of the slow lane in a process: those for long reads, and those for short ones.
pub(super) const THREADS: Each<usize> = Each { long: 3, short: 2 };
/// Threads to spare for short reads, and how long one of those may run until one of these takes its place.
pub(super) const SPARE: usize = 2;
const OVERDUE: Duration = Duration::from_millis(100);
/// How long they all may run until a thread of the long reads takes the place of one.
const STUCK: Duration = Duration::from_secs(1);
/// How long past its deadline a read runs of which it is not expected any more that it ends.
const PAST: Duration = Duration::from_secs(1);

/// Who takes a short read in the place of its own threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    Spare,
    Long,
}

/// The threads that have a read.
#[derive(Debug, Default)]
pub(super) struct Occupied(Vec<Thread>);

/// One of them.
#[derive(Debug)]
struct Thread {
    of: Length,
    number: usize,
    deadline: Instant,
    since: Instant,
}

impl Occupied {
    /// The thread of this number, of those of this length or one to spare, has a read from now on.
    pub(super) fn enter(&mut self, number: usize, deadline: Instant, of: Length, now: Instant) {
        self.0.push(Thread { of, number, deadline, since: now });
    }

    /// It has none any more.
    pub(super) fn leave(&mut self, number: usize) {
        self.0.retain(|thread| thread.number != number);
    }

    #[cfg(test)]
    pub(super) fn has(&self, number: usize) -> bool {
        self.0.iter().any(|thread| thread.number == number)
    }

    /// When a thread may take a short read in the place of another one. `None` where their own may be free.
    pub(super) fn stands_in_from(&self, stands: Stands) -> Option<Instant> {
        let (threads, after) = match stands {
            Stands::Spare => (THREADS.short, OVERDUE),
            Stands::Long => (THREADS.short + SPARE, STUCK),
        };
        let mut since: Vec<_> = self.of(Length::Short).map(|thread| thread.since).collect();
        since.sort_unstable();
        // Once fewer than there are threads are in time.
        Some(*since.get(since.len().checked_sub(threads)?)? + after)
    }

    /// Whether all threads that may take a read of this length are held by one that should have ended.
    pub(super) fn is_stuck(&self, length: Length, now: Instant) -> bool {
        let held = |of| self.of(of).filter(|thread| thread.deadline + PAST < now).count();
        let all = |of| held(of) >= THREADS[of] + if of == Length::Short { SPARE } else { 0 };
        all(Length::Long) && (length == Length::Long || all(Length::Short))
    }

    fn of(&self, of: Length) -> impl Iterator<Item = &Thread> {
        self.0.iter().filter(move |thread| thread.of == of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Length::{Long, Short};

    #[test]
    fn short_reads_have_stand_ins_once_their_threads_are_overdue() {
        let (now, mut occupied) = (Instant::now(), Occupied::default());
        let at = |ms| now + Duration::from_millis(ms);
        occupied.enter(1, at(9_000), Short, at(0));
        occupied.enter(2, at(9_000), Long, at(0));
        assert_eq!(occupied.stands_in_from(Stands::Spare), None, "a thread is free");
        occupied.enter(3, at(9_000), Short, at(7));
        assert_eq!(occupied.stands_in_from(Stands::Spare), Some(at(100)), "in the place of the first");
        occupied.enter(4, at(9_000), Short, at(120));
        assert_eq!(occupied.stands_in_from(Stands::Spare), Some(at(107)), "of the second");
        assert_eq!(occupied.stands_in_from(Stands::Long), None);
        occupied.enter(5, at(9_000), Short, at(130));
        assert_eq!(occupied.stands_in_from(Stands::Long), Some(at(1_000)));
        occupied.leave(1);
        assert_eq!(occupied.stands_in_from(Stands::Long), None);
    }

    #[test]
    fn a_read_is_stuck_where_none_of_the_threads_that_may_take_it_comes_back() {
        let (now, mut occupied) = (Instant::now(), Occupied::default());
        let at = |seconds| now + Duration::from_secs(seconds);
        (0..3).for_each(|thread| occupied.enter(thread, at(10), Long, at(0)));
        assert!(!occupied.is_stuck(Long, at(11)), "just past their deadline");
        assert!(occupied.is_stuck(Long, at(12)) && !occupied.is_stuck(Short, at(12)));
        (3..7).for_each(|thread| occupied.enter(thread, at(20), Short, at(0)));
        assert!(!occupied.is_stuck(Short, at(12)) && occupied.is_stuck(Short, at(22)));
        occupied.leave(1);
        assert!(!occupied.is_stuck(Long, at(30)) && !occupied.is_stuck(Short, at(30)));
    }
}
