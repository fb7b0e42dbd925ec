//! What writes cost lately, by kind and tenant: learnt by the writer, and looked up when it takes a group.
//!
//! By tenant too, since a message is one kind for everybody: what one tenant sends in it says nothing of the others'.
//! A tenant's first write of a kind is expected to cost what the cheapest of the kind cost lately, and never much: too low
//! an estimate makes one group wait for one write, too high a one sends an innocent's small write into a group of its
//! own.
//!
//! **Invariants**
//! - At most `PAIRS_MAX` pairs and `KINDS_MAX` kinds are remembered; pairs that did not run for long are forgotten first.
//! - Each operation takes a constant time, but for the release of what is forgotten. An idle store keeps nothing here.

use crate::fair::{Cost, Seed};
use crate::read::kinds::WorkKind;
use crate::ticket::Tenant;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Pairs of kind and tenant whose cost is remembered.
const PAIRS_MAX: usize = 8192;
/// Kinds of write that are remembered: labels in the program.
const KINDS_MAX: usize = 512;
/// What a write of a kind that never ran is expected to cost.
const FIRST: Cost = Cost { run_ns: 10_000, charge_ns: 20_000 };
/// What a tenant's first write of a kind is expected to cost at most.
const GUESS_MAX: Cost = Cost { run_ns: 100_000, charge_ns: 200_000 };
/// The cheapest of a kind is that of this time and of as long before.
const LATELY: Duration = Duration::from_secs(10);
/// Runs for which a kind has a savepoint after it failed late.
const GUARDED_RUNS: u32 = 1024;

/// What writes cost lately.
pub(crate) struct Costs {
    /// Pairs that ran since the last change of generations, and those of the generation before.
    young: HashMap<Pair, Cost, Seed>,
    old: HashMap<Pair, Cost, Seed>,
    kinds: HashMap<u64, Known, Seed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    kind: u64,
    tenant: u64,
}

impl std::hash::Hash for Pair {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.kind ^ self.tenant.rotate_left(32));
    }
}

#[derive(Default)]
struct Known {
    /// The cheapest run since `began`, and that of the time before.
    least: Option<Cost>,
    least_before: Option<Cost>,
    began: Option<Instant>,
    /// Runs to come that get a savepoint.
    guarded: u32,
}

impl Costs {
    pub(crate) fn new() -> Self {
        let seed = Seed::new();
        Costs { young: HashMap::with_hasher(seed), old: HashMap::with_hasher(seed), kinds: HashMap::with_hasher(seed) }
    }

    /// What a tenant's write of this kind is expected to cost.
    pub(crate) fn of(&self, kind: WorkKind, tenant: Tenant) -> Cost {
        let pair = Pair { kind: kind.number(), tenant: tenant.0 };
        match self.young.get(&pair).or_else(|| self.old.get(&pair)) {
            Some(cost) => *cost,
            None => self.guess(kind),
        }
    }

    fn guess(&self, kind: WorkKind) -> Cost {
        let Some(known) = self.kinds.get(&kind.number()) else { return FIRST };
        let least = match (known.least, known.least_before) {
            (Some(a), Some(b)) => cheaper(a, b),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => FIRST,
        };
        Cost { run_ns: least.run_ns.min(GUESS_MAX.run_ns), charge_ns: least.charge_ns.min(GUESS_MAX.charge_ns) }
    }

    /// A tenant's write of this kind ran for so long, and was charged so much with its part of the commit.
    pub(crate) fn learn(&mut self, kind: WorkKind, tenant: Tenant, now: Instant, run_ns: u64, charge_ns: u64) {
        let cost = Cost { run_ns: clamped(run_ns), charge_ns: clamped(charge_ns) };
        let known = self.enter(kind);
        known.guarded = known.guarded.saturating_sub(1);
        if known.began.is_none_or(|began| now.saturating_duration_since(began) > LATELY) {
            (known.least_before, known.least, known.began) = (known.least, None, Some(now));
        }
        known.least = Some(known.least.map_or(cost, |least| cheaper(least, cost)));
        let pair = Pair { kind: kind.number(), tenant: tenant.0 };
        if let Some(before) = self.young.get_mut(&pair) {
            *before = smoothed(*before, cost);
            return;
        }
        if self.young.len() >= PAIRS_MAX / 2 {
            self.old = std::mem::replace(&mut self.young, HashMap::with_hasher(Seed::new()));
        }
        let cost = self.old.remove(&pair).map_or(cost, |before| smoothed(before, cost));
        self.young.insert(pair, cost);
    }

    /// A write of this kind failed after it had changed something.
    pub(crate) fn failed_late(&mut self, kind: WorkKind) {
        self.enter(kind).guarded = GUARDED_RUNS;
    }

    /// Whether this kind failed late lately.
    pub(crate) fn fails_late(&self, kind: WorkKind) -> bool {
        self.kinds.get(&kind.number()).is_some_and(|known| known.guarded > 0)
    }

    /// What is known of a kind.
    fn enter(&mut self, kind: WorkKind) -> &mut Known {
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&kind.number()) {
            self.kinds.clear();
        }
        self.kinds.entry(kind.number()).or_default()
    }
}

fn cheaper(a: Cost, b: Cost) -> Cost {
    Cost { run_ns: a.run_ns.min(b.run_ns), charge_ns: a.charge_ns.min(b.charge_ns) }
}

fn clamped(ns: u64) -> u32 {
    u32::try_from(ns).unwrap_or(u32::MAX)
}

fn smoothed(before: Cost, now: Cost) -> Cost {
    let of = |before: u32, now: u32| ((u64::from(before) * 7 + u64::from(now)) / 8) as u32;
    Cost { run_ns: of(before.run_ns, now.run_ns), charge_ns: of(before.charge_ns, now.charge_ns) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISY: Tenant = Tenant(1);
    const QUIET: Tenant = Tenant(2);

    #[test]
    fn a_first_cost_is_estimated_then_learnt() {
        let mut costs = Costs::new();
        let (kind, now) = (WorkKind::of_borrowing::<()>("kind"), Instant::now());
        assert_eq!(costs.of(kind, QUIET), FIRST);
        costs.learn(kind, QUIET, now, 80_000, 160_000);
        assert_eq!(costs.of(kind, QUIET), Cost { run_ns: 80_000, charge_ns: 160_000 });
        costs.learn(kind, QUIET, now, 160_000, 160_000);
        assert_eq!(costs.of(kind, QUIET).run_ns, 90_000);
        costs.learn(kind, QUIET, now, u64::MAX, u64::MAX);
        assert!(costs.of(kind, QUIET).run_ns > 100_000_000, "a cost beyond what is counted is a great one");
    }

    #[test]
    fn what_one_tenant_sends_says_nothing_of_anothers() {
        let mut costs = Costs::new();
        let (kind, mut now) = (WorkKind::of_borrowing::<()>("put"), Instant::now());
        costs.learn(kind, NOISY, now, 50_000_000, 90_000_000);
        assert_eq!(costs.of(kind, QUIET), GUESS_MAX, "even where nobody else was seen");
        costs.learn(kind, QUIET, now, 7_000, 9_000);
        for _ in 0..1000 {
            now += LATELY / 1500;
            costs.learn(kind, NOISY, now, 50_000_000, 90_000_000);
        }
        assert_eq!(costs.of(kind, QUIET), Cost { run_ns: 7_000, charge_ns: 9_000 });
        assert_eq!(costs.of(kind, Tenant(3)), Cost { run_ns: 7_000, charge_ns: 9_000 }, "the cheapest of late");
        for _ in 0..3 {
            now += LATELY * 2;
            costs.learn(kind, NOISY, now, 50_000, 70_000);
        }
        assert_eq!(costs.of(kind, Tenant(3)), Cost { run_ns: 50_000, charge_ns: 70_000 }, "but not for ever");
    }

    #[test]
    fn pairs_are_bounded_and_those_in_use_stay() {
        let mut costs = Costs::new();
        let (kind, now) = (WorkKind::of_borrowing::<()>("kind"), Instant::now());
        for tenant in 10..100_000 {
            costs.learn(kind, Tenant(tenant), now, 1_000, 1_000);
            if tenant % 100 == 0 {
                costs.learn(kind, QUIET, now, 300_000, 300_000);
            }
            assert!(costs.young.len() + costs.old.len() <= PAIRS_MAX);
        }
        assert_eq!(costs.of(kind, QUIET).run_ns, 300_000);
        assert_eq!(costs.of(kind, Tenant(10)).run_ns, 1_000, "as the cheapest");
    }

    #[test]
    fn a_kind_that_failed_late_is_guarded_for_a_while() {
        let mut costs = Costs::new();
        let (kind, now) = (WorkKind::of_borrowing::<()>("late"), Instant::now());
        costs.failed_late(kind);
        for _ in 0..GUARDED_RUNS {
            assert!(costs.fails_late(kind));
            costs.learn(kind, QUIET, now, 1, 1);
        }
        assert!(!costs.fails_late(kind));
    }
}
