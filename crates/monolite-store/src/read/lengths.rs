//! How long reads of the slow lane run: what is expected of the next one, by kind and tenant.
//!
//! Most reads that are too long for a caller's thread are so by little. Behind scans that take seconds, at their low priority,
//! they would wait a thousand times what they take. So those of which it is known that they are short have threads of their
//! own.
//!
//! **Invariants**
//! - CPU time counts: a short read that waited for a processor is a short one still. Of one that waits for a disk as long as
//!   nothing waits for a processor, a part of that time counts.
//! - One long run is remembered for many: who mixes reports into quick searches waits for his reports.
//! - Memory is bounded; who was forgotten counts as long until he has run again.

use crate::fair::{Cost, Seed};
use crate::sqlite::watch::as_length;
use std::collections::HashMap;
use std::ops::{Index, IndexMut};

/// Whether a read is known to be short; of which nothing is known is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Short,
    Long,
}

/// What the long reads have, and what the short ones have.
pub(super) struct Each<T> {
    pub(super) long: T,
    pub(super) short: T,
}

impl<T> Index<Length> for Each<T> {
    type Output = T;
    fn index(&self, length: Length) -> &T {
        match length {
            Length::Long => &self.long,
            Length::Short => &self.short,
        }
    }
}

impl<T> IndexMut<Length> for Each<T> {
    fn index_mut(&mut self, length: Length) -> &mut T {
        match length {
            Length::Long => &mut self.long,
            Length::Short => &mut self.short,
        }
    }
}

/// CPU time up to which a read is short.
const SHORT_NS: u32 = 2_000_000;
/// What a read is expected to take of which nothing is known.
const UNKNOWN_NS: u32 = 5_000_000;
/// The most that is charged for a run before it has ended: of two at once one must not forgive the other's.
const CHARGE_MAX: u32 = 400_000_000;
/// Kinds of tenants that are remembered.
const REMEMBERED: usize = 16_384;

/// CPU time of runs, by kind and tenant of a store.
pub(super) struct Lengths(HashMap<u64, u32, Seed>);

impl Lengths {
    pub(super) fn new() -> Lengths {
        Lengths(HashMap::with_hasher(Seed::new()))
    }

    pub(super) fn expected(&self, key: u64) -> Cost {
        let ns = self.0.get(&key).copied().unwrap_or(UNKNOWN_NS);
        Cost { run_ns: ns, charge_ns: ns.min(CHARGE_MAX) }
    }

    pub(super) fn length(&self, key: u64) -> Length {
        if self.expected(key).run_ns <= SHORT_NS { Length::Short } else { Length::Long }
    }

    /// A run took so much CPU time, and so long.
    pub(super) fn ran(&mut self, key: u64, cpu_ns: u64, time_ns: u64) {
        let took = u32::try_from(as_length(cpu_ns, time_ns)).unwrap_or(u32::MAX);
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&key) {
            self.0.clear();
        }
        let known = self.0.entry(key).or_insert(took);
        *known = if took > *known { took } else { *known - (*known - took) / 8 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Lengths {
        fn is_short(&self, key: u64) -> bool {
            self.length(key) == Length::Short
        }
    }

    #[test]
    fn one_long_run_outweighs_many_short_ones() {
        let mut lengths = Lengths::new();
        assert!(!lengths.is_short(1), "nothing is known");
        lengths.ran(1, 300_000, 4_000_000);
        assert!(lengths.is_short(1) && !lengths.is_short(2));
        lengths.ran(1, 80_000_000, 80_000_000);
        let runs = (1..).find(|_| {
            lengths.ran(1, 300_000, 4_000_000);
            lengths.is_short(1)
        });
        assert_eq!(runs, Some(29));
        lengths.ran(1, 0, u64::MAX);
        assert!(!lengths.is_short(1));
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut lengths = Lengths::new();
        (0..100_000).for_each(|key| lengths.ran(key, 1, 1));
        assert!(lengths.0.len() <= REMEMBERED && lengths.is_short(99_999));
        let before = lengths.0.len();
        lengths.ran(99_999, 1, 1);
        assert_eq!(lengths.0.len(), before);
    }
}
