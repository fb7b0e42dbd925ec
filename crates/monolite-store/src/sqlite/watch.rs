//! What a connection's progress handler looks at: the budget, the deadline, the order to stop.
//!
//! SQLite calls the handler every few hundred virtual machine steps on the thread that runs the statement.
//! It cannot stop a single long opcode or a disk wait.
//!
//! **Invariants**
//! - The flag set here decides what became of a run, never the closure's result.
//! - `idle` is in force whenever the store's own statements run.

use super::sight::Sight;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Why a run was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tripped {
    /// Over the inline budget of CPU time, or longer than a run that was taken for short may last.
    Budget = 1,
    /// A value above the gate was announced.
    Gate = 2,
    /// Past its deadline.
    Deadline = 3,
    /// Its snapshot stood in the way of a checkpoint, or the store is closing.
    Evicted = 4,
}

const MODE_IDLE: u8 = 0;
const MODE_INLINE: u8 = 1;
const MODE_TIMED: u8 = 2;

/// The handler's view of the run in progress. Fields are written by the running thread; only `stop` by others.
#[derive(Default)]
pub(crate) struct Watch {
    mode: AtomicU8,
    tripped: AtomicU8,
    cpu_first_ns: AtomicU64,
    limit_ns: AtomicU64,
    /// When a run that was taken for short is looked at again, and when it began.
    short_at_ns: AtomicU64,
    short_since_ns: AtomicU64,
    stop: AtomicBool,
    pub(crate) sight: Sight,
}

impl Watch {
    /// Arms for a run on the caller's thread: CPU time counts, from the first look on.
    pub(crate) fn arm_inline(&self, budget: Duration) {
        self.cpu_first_ns.store(0, Relaxed);
        self.limit_ns.store(budget.as_nanos() as u64, Relaxed);
        self.tripped.store(0, Relaxed);
        self.mode.store(MODE_INLINE, Relaxed);
    }

    /// Arms for a run with a deadline, which is slow once it has taken so long from then on.
    pub(crate) fn arm_timed(&self, deadline: Instant, slow: Option<(Instant, Duration)>) {
        let (slow_at, slow_ns) = slow.map_or((u64::MAX, u64::MAX), |(since, slow)| {
            let slow = slow.as_nanos() as u64;
            (since_start_ns(since).saturating_add(slow), slow)
        });
        self.sight.begin(slow_at, slow_ns);
        self.limit_ns.store(since_start_ns(deadline), Relaxed);
        self.short_at_ns.store(u64::MAX, Relaxed);
        self.tripped.store(0, Relaxed);
        self.stop.store(false, Relaxed);
        self.mode.store(MODE_TIMED, Relaxed);
    }

    /// The timed run that begins here was taken for short, and has used so much CPU time on its thread before.
    pub(crate) fn take_for_short(&self, began: Instant, cpu_ns: u64) {
        let since = since_start_ns(began);
        self.cpu_first_ns.store(cpu_ns, Relaxed);
        self.short_since_ns.store(since, Relaxed);
        self.short_at_ns.store(since.saturating_add(SHORT_RUN_MAX_NS), Relaxed);
    }

    /// Disarms; the store's own statements are never interrupted.
    pub(crate) fn disarm(&self) {
        self.mode.store(MODE_IDLE, Relaxed);
    }

    /// Orders a timed run to stop; callable from any thread.
    pub(crate) fn evict(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Marks the run in progress as stopped.
    pub(crate) fn trip(&self, why: Tripped) {
        self.tripped.store(why as u8, Relaxed);
    }

    /// Whether and why the run was stopped.
    pub(crate) fn tripped(&self) -> Option<Tripped> {
        match self.tripped.load(Relaxed) {
            0 => None,
            1 => Some(Tripped::Budget),
            2 => Some(Tripped::Gate),
            3 => Some(Tripped::Deadline),
            _ => Some(Tripped::Evicted),
        }
    }

    /// Whether a run with a deadline is in progress.
    pub(crate) fn is_timed(&self) -> bool {
        self.mode.load(Relaxed) == MODE_TIMED
    }

    /// The statement of the timed run in progress, if its thread tells it soon enough; callable from any thread.
    pub(crate) fn statement(&self, longest: Duration) -> Option<String> {
        if self.is_timed() { self.sight.ask(longest) } else { None }
    }

    /// Whether the gate is in force: only on a caller's thread.
    pub(crate) fn is_inline(&self) -> bool {
        self.mode.load(Relaxed) == MODE_INLINE
    }

    /// Looks once more at the end of a timed run: the handler may not have run since its deadline.
    pub(crate) fn check_deadline(&self, now: Instant) {
        if self.tripped.load(Relaxed) == 0 && since_start_ns(now) > self.limit_ns.load(Relaxed) {
            self.trip(Tripped::Deadline);
        }
    }

    /// The progress handler: whether to interrupt the statement.
    pub(crate) fn look(&self) -> bool {
        match self.mode.load(Relaxed) {
            MODE_IDLE => return false,
            MODE_INLINE => self.look_inline(),
            _ => self.look_timed(),
        }
        self.tripped.load(Relaxed) != 0
    }

    fn look_inline(&self) {
        let now = thread_cpu_ns();
        let first = self.cpu_first_ns.load(Relaxed);
        if first == 0 {
            self.cpu_first_ns.store(now, Relaxed);
        } else if now - first > self.limit_ns.load(Relaxed) {
            self.trip(Tripped::Budget);
        }
    }

    fn look_timed(&self) {
        let now = since_start_ns(Instant::now());
        self.sight.look(now);
        if self.stop.load(Relaxed) {
            self.trip(Tripped::Evicted);
            self.sight.note();
        } else if now > self.limit_ns.load(Relaxed) {
            self.trip(Tripped::Deadline);
            self.sight.note();
        } else if now > self.short_at_ns.load(Relaxed) {
            self.look_short(now);
        }
    }

    #[cold]
    fn look_short(&self, now: u64) {
        let cpu = thread_cpu_ns().saturating_sub(self.cpu_first_ns.load(Relaxed));
        let took = as_length(cpu, now.saturating_sub(self.short_since_ns.load(Relaxed)));
        match SHORT_RUN_MAX_NS.checked_sub(took) {
            // No sooner can it have used up what is left.
            Some(left) => self.short_at_ns.store(now + left.max(1), Relaxed),
            None => self.trip(Tripped::Budget),
        }
    }
}

/// A run that was taken for short is none if it takes longer: some times what a short one takes.
const SHORT_RUN_MAX_NS: u64 = 10_000_000;
/// The part of a run's time that counts at least.
const TIME_PART: u64 = 64;

/// How long a run was: its CPU time, since a short one that waited for a processor is a short one still. Of one that waits
/// for a disk as long as nothing waits for a processor, a part of that time counts.
pub(crate) fn as_length(cpu_ns: u64, time_ns: u64) -> u64 {
    cpu_ns.max(time_ns / TIME_PART)
}

/// CPU time of the calling thread: a preemption is not a slow query.
pub(crate) fn thread_cpu_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    (t.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(t.tv_nsec as u64).max(1)
}

/// Ticks of the coarse clock: a few nanoseconds to read, 1 to 10 ms between two.
#[inline]
pub(crate) fn coarse_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    (t.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(t.tv_nsec as u64)
}

/// Nanoseconds from the process' first look at the clock here.
#[inline]
pub(crate) fn since_start_ns(at: Instant) -> u64 {
    at.saturating_duration_since(start()).as_nanos() as u64
}

/// The moment that [`since_start_ns`] counted.
pub(crate) fn instant_at_ns(ns: u64) -> Instant {
    start() + Duration::from_nanos(ns)
}

fn start() -> Instant {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disarmed_watch_never_interrupts() {
        let w = Watch::default();
        w.arm_timed(Instant::now() - Duration::from_secs(1), None);
        w.disarm();
        assert!(!w.look());
    }

    #[test]
    fn a_timed_run_trips_when_evicted() {
        let w = Watch::default();
        w.arm_timed(Instant::now() + Duration::from_secs(60), None);
        assert!(!w.look());
        w.evict();
        assert!(w.look());
        assert_eq!(w.tripped(), Some(Tripped::Evicted));
    }

    #[test]
    fn a_run_that_was_taken_for_short_trips_by_cpu_time_and_by_a_part_of_its_time() {
        let far = Instant::now() + Duration::from_secs(600);
        for (time_ms, works, trips) in [(1, false, false), (300, false, false), (300, true, true), (1000, false, true)]
        {
            let w = Watch::default();
            w.arm_timed(far, None);
            w.take_for_short(Instant::now(), thread_cpu_ns());
            let end = thread_cpu_ns() + SHORT_RUN_MAX_NS + 1;
            while works && thread_cpu_ns() < end {}
            w.look_short(w.short_since_ns.load(Relaxed) + time_ms * 1_000_000);
            assert_eq!(w.tripped(), trips.then_some(Tripped::Budget), "after {time_ms} ms, {works}");
            w.arm_timed(far, None);
            w.short_since_ns.store(0, Relaxed);
            assert!(!w.look(), "the next run is a long one");
        }
    }

    #[test]
    fn an_inline_run_trips_by_cpu_time_after_the_first_look() {
        let w = Watch::default();
        w.arm_inline(Duration::from_micros(200));
        assert!(!w.look(), "the first look only takes the time");
        let end = thread_cpu_ns() + 400_000;
        while thread_cpu_ns() < end {}
        assert!(w.look());
        assert_eq!(w.tripped(), Some(Tripped::Budget));
    }
}
