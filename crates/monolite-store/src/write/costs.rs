//! What a kind of write cost lately: learnt by the writer, looked up by callers when they queue.
//!
//! A fixed table of atomics with one author, looked up by hash. A kind that is met for the first time, or again after
//! another took its place, has the cost of a small write until it ran; what was wrong is corrected then.
//!
//! **Invariants**
//! - No lock. A torn entry gives a wrong estimate once, never more.

use crate::fair::Cost;
use crate::read::kinds::WorkKind;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Kinds of write whose cost is remembered.
const KINDS: usize = 512;
/// What a kind that never ran is expected to cost.
const FIRST: Cost = Cost { run_ns: 10_000, charge_ns: 20_000 };
/// Runs for which a kind has a savepoint after it failed late.
const GUARDED_RUNS: u32 = 1024;

/// What kinds of write cost lately.
pub(crate) struct Costs(Box<[Known]>);

struct Known {
    kind: AtomicU64,
    run_ns: AtomicU32,
    charge_ns: AtomicU32,
    /// Runs to come that get a savepoint.
    guarded: AtomicU32,
}

impl Costs {
    pub(crate) fn new() -> Self {
        let known = || Known {
            kind: AtomicU64::new(0),
            run_ns: AtomicU32::new(0),
            charge_ns: AtomicU32::new(0),
            guarded: AtomicU32::new(0),
        };
        Costs((0..KINDS).map(|_| known()).collect())
    }

    /// What a write of this kind is expected to cost.
    #[inline]
    pub(crate) fn of(&self, kind: WorkKind) -> Cost {
        let known = self.known(kind);
        if known.kind.load(Relaxed) != kind.number() {
            return FIRST;
        }
        Cost { run_ns: known.run_ns.load(Relaxed), charge_ns: known.charge_ns.load(Relaxed) }
    }

    /// A write of this kind ran for so long, and was charged so much with its part of the commit.
    pub(crate) fn learn(&self, kind: WorkKind, run_ns: u64, charge_ns: u64) {
        let known = self.known(kind);
        let (run_ns, charge_ns) = (clamped(run_ns), clamped(charge_ns));
        if known.kind.load(Relaxed) == kind.number() {
            known.run_ns.store(smoothed(known.run_ns.load(Relaxed), run_ns), Relaxed);
            known.charge_ns.store(smoothed(known.charge_ns.load(Relaxed), charge_ns), Relaxed);
            let guarded = known.guarded.load(Relaxed);
            if guarded > 0 {
                known.guarded.store(guarded - 1, Relaxed);
            }
        } else {
            known.run_ns.store(run_ns, Relaxed);
            known.charge_ns.store(charge_ns, Relaxed);
            known.guarded.store(0, Relaxed);
            known.kind.store(kind.number(), Relaxed);
        }
    }

    /// A write of this kind failed after it had changed something.
    pub(crate) fn failed_late(&self, kind: WorkKind) {
        let known = self.known(kind);
        if known.kind.load(Relaxed) != kind.number() {
            self.learn(kind, u64::from(FIRST.run_ns), u64::from(FIRST.charge_ns));
        }
        known.guarded.store(GUARDED_RUNS, Relaxed);
    }

    /// Whether this kind failed late lately.
    pub(crate) fn fails_late(&self, kind: WorkKind) -> bool {
        let known = self.known(kind);
        known.guarded.load(Relaxed) > 0 && known.kind.load(Relaxed) == kind.number()
    }

    fn known(&self, kind: WorkKind) -> &Known {
        &self.0[(kind.number() >> 32) as usize % KINDS]
    }
}

fn clamped(ns: u64) -> u32 {
    u32::try_from(ns).unwrap_or(u32::MAX)
}

fn smoothed(before: u32, now: u32) -> u32 {
    ((u64::from(before) * 7 + u64::from(now)) / 8) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_cost_is_estimated_then_learnt() {
        let costs = Costs::new();
        let kind = WorkKind::of_borrowing::<()>("kind");
        assert_eq!(costs.of(kind), FIRST);
        costs.learn(kind, 80_000, 160_000);
        assert_eq!(costs.of(kind), Cost { run_ns: 80_000, charge_ns: 160_000 });
        costs.learn(kind, 160_000, 160_000);
        assert_eq!(costs.of(kind).run_ns, 90_000);
        costs.learn(kind, u64::MAX, u64::MAX);
        assert!(costs.of(kind).run_ns > 100_000_000, "a cost beyond what is counted is a great one");
    }

    #[test]
    fn a_kind_that_failed_late_is_guarded_for_a_while() {
        let costs = Costs::new();
        let kind = WorkKind::of_borrowing::<()>("late");
        costs.failed_late(kind);
        for _ in 0..GUARDED_RUNS {
            assert!(costs.fails_late(kind));
            costs.learn(kind, 1, 1);
        }
        assert!(!costs.fails_late(kind));
    }
}
