//! Which kinds of read are slow: learnt from runs over budget, unlearnt by runs under it.
//!
//! A fixed table of atomics, looked up by hash; two kinds that collide share a fate, which costs time, never truth.
//!
//! A run that the progress handler stopped is known to be slow. One that is a single long opcode, such as `count(*)`,
//! is never looked at by the handler; it is noticed by the coarse clock, which costs a few nanoseconds and counts
//! ticks of 1 to 10 ms. That clock also runs while the thread is not running, so ticks only make a kind a suspect, whose
//! next run is measured in CPU time. (Condemned by the clock alone, a point read that was preempted once sent all of its
//! kind to wait behind the slow ones: on a busy machine their p99 went from 5 to 90 ms.)
//!
//! **Invariants**
//! - No lock and one atomic load on the fast path.

use std::any::TypeId;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const ENTRIES: usize = 1024;
/// Runs under budget that bring a kind back to the caller's thread.
const RUNS_TO_RETURN: u64 = 16;

/// Marks a kind whose next run on the caller's thread is measured.
const SUSPECT: u64 = 0xFF;

/// Where a kind of read starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// On the caller's thread.
    Inline,
    /// On the caller's thread, its CPU time measured.
    Measured,
    /// In the slow lane.
    Slow,
}

/// The identity of a kind of read or write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct WorkKind(u64);

impl WorkKind {
    /// By label where there is one, else by the closure's type.
    pub(crate) fn of<F: 'static>(label: &'static str) -> Self {
        if label.is_empty() { Self::of_type(TypeId::of::<F>()) } else { Self::of_label(label) }
    }

    /// By label where there is one, else by the closure's type name; for closures that borrow.
    pub(crate) fn of_borrowing<F>(label: &'static str) -> Self {
        Self::of_label(if label.is_empty() { std::any::type_name::<F>() } else { label })
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    fn of_label(label: &'static str) -> Self {
        WorkKind(mix(label.as_ptr() as u64 ^ ((label.len() as u64) << 48)))
    }

    fn of_type(id: TypeId) -> Self {
        struct Take(u64);
        impl Hasher for Take {
            fn finish(&self) -> u64 {
                self.0
            }
            fn write(&mut self, bytes: &[u8]) {
                for b in bytes {
                    self.0 = self.0.rotate_left(8) ^ u64::from(*b);
                }
            }
            fn write_u64(&mut self, v: u64) {
                self.0 ^= v;
            }
        }
        let mut take = Take(0);
        id.hash(&mut take);
        WorkKind(mix(take.0))
    }
}

fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^ (x >> 29)
}

/// The kinds that start in the slow lane.
pub(crate) struct SlowKinds(Box<[AtomicU64]>);

impl SlowKinds {
    pub(crate) fn new() -> Self {
        SlowKinds((0..ENTRIES).map(|_| AtomicU64::new(0)).collect())
    }

    /// Where reads of this kind start.
    #[inline]
    pub(crate) fn start(&self, kind: WorkKind) -> Start {
        let entry = self.entry(kind).load(Relaxed);
        if entry == 0 || entry >> 8 != kind.0 >> 8 {
            Start::Inline
        } else if entry & 0xFF == SUSPECT {
            Start::Measured
        } else {
            Start::Slow
        }
    }

    /// The coarse clock ticked during a run.
    pub(crate) fn ticked(&self, kind: WorkKind) {
        self.entry(kind).store(kind.0 | SUSPECT, Relaxed);
    }

    /// A measured run stayed under its budget.
    pub(crate) fn cleared(&self, kind: WorkKind) {
        let _ = self.entry(kind).compare_exchange(kind.0 | SUSPECT, 0, Relaxed, Relaxed);
    }

    /// A run went over its inline budget.
    pub(crate) fn ran_over(&self, kind: WorkKind) {
        self.entry(kind).store((kind.0 & !0xFF) | RUNS_TO_RETURN, Relaxed);
    }

    /// A run in the slow lane stayed under the inline budget.
    pub(crate) fn ran_under(&self, kind: WorkKind) {
        let entry = self.entry(kind);
        let now = entry.load(Relaxed);
        if now != 0 && now >> 8 == kind.0 >> 8 && now & 0xFF != SUSPECT {
            let left = (now & 0xFF).saturating_sub(1);
            let next = if left == 0 { 0 } else { (now & !0xFF) | left };
            let _ = entry.compare_exchange(now, next, Relaxed, Relaxed);
        }
    }

    fn entry(&self, kind: WorkKind) -> &AtomicU64 {
        &self.0[(kind.0 >> 32) as usize % ENTRIES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_ran_over_is_slow_until_sixteen_runs_stay_under() {
        let kinds = SlowKinds::new();
        let (a, b) = (WorkKind::of_label("a"), WorkKind::of_label("bb"));
        kinds.ran_over(a);
        assert_eq!((kinds.start(a), kinds.start(b)), (Start::Slow, Start::Inline));
        for _ in 0..15 {
            kinds.ran_under(a);
        }
        assert_eq!(kinds.start(a), Start::Slow);
        kinds.ran_under(a);
        assert_eq!(kinds.start(a), Start::Inline);
    }

    #[test]
    fn ticks_make_a_suspect_and_only_cpu_time_a_slow_kind() {
        let kinds = SlowKinds::new();
        let kind = WorkKind::of_label("ticks");
        kinds.ticked(kind);
        assert_eq!(kinds.start(kind), Start::Measured);
        kinds.cleared(kind);
        assert_eq!(kinds.start(kind), Start::Inline);
        kinds.ticked(kind);
        assert_eq!(kinds.start(kind), Start::Measured, "a preempted read is not a slow one");
        kinds.ran_over(kind);
        assert_eq!(kinds.start(kind), Start::Slow);
    }
}
