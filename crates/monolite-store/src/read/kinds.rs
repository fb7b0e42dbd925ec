//! Which kinds of read are slow: learnt from runs over budget, unlearnt by runs under it.
//!
//! A fixed table of atomics, looked up by hash, in rows of four places. Who does not fit into his row any more displaces one
//! of it in turn, and nothing is known of that one then: nobody has another's fate, and two that only meet in a row do not
//! displace one another. (With one place a row, a tenant whose slow reads fell into a quick one's place took it with each
//! of them, and kept all of the other's reads in the slow lane.)
//!
//! A run that the progress handler stopped is known to be slow. One that is a single long opcode, such as `count(*)`,
//! is never looked at by the handler; it is noticed by the coarse clock, which costs a few nanoseconds and counts
//! ticks of 1 to 10 ms. That clock also runs while the thread is not running, so ticks only make a kind a suspect, whose
//! next run is measured in CPU time. (Condemned by the clock alone, a point read that was preempted once sent all of its
//! kind to wait behind the slow ones: on a busy machine their p99 went from 5 to 90 ms.)
//!
//! A message is one kind for everybody, and one tenant's searches in a million documents say nothing of another's in ten. So
//! a tenant who is new to a slow kind starts on the caller's thread, where the progress handler ends what is slow; only
//! in kinds that it cannot end he starts in the slow lane, and comes back by his own runs.
//!
//! **Invariants**
//! - No lock and four atomic loads of one cache line on the fast path.
//! - A tenant whose own runs stay under budget starts on the caller's thread, whatever others make of the same kind.

use crate::ticket::Tenant;
use std::any::TypeId;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const ROWS: usize = 256;
/// Places of a row.
const PLACES: usize = 4;
/// Runs under budget that bring a kind back to the caller's thread.
const RUNS_TO_RETURN: u64 = 16;

/// The state of a kind whose next run on the caller's thread is measured.
const SUSPECT: u64 = 0xFF;
/// The state of a tenant whose runs of a slow kind stay under budget.
const QUICK: u64 = 0xFE;
/// In the state of a slow kind: its runs were stopped at their budget, so that one more on the caller's thread costs no more
/// than that.
const STOPPABLE: u64 = 0x40;
/// Runs under budget that make a tenant quick of whom nothing was known.
const RUNS_TO_KNOW: u64 = 2;

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

/// The kinds that start in the slow lane, and what is known of tenants beside them.
pub(crate) struct SlowKinds {
    kinds: Table,
    own: Table,
}

impl SlowKinds {
    pub(crate) fn new() -> Self {
        SlowKinds { kinds: Table::new(), own: Table::new() }
    }

    /// Where a tenant's reads of this kind start.
    #[inline]
    pub(crate) fn start(&self, kind: WorkKind, tenant: Tenant) -> Start {
        match self.kinds.state(kind) {
            None => Start::Inline,
            Some(SUSPECT) => Start::Measured,
            Some(slow) => match self.own.state(own(kind, tenant)) {
                Some(QUICK) => Start::Inline,
                Some(SUSPECT) => Start::Measured,
                None if slow & STOPPABLE != 0 => Start::Inline,
                _ => Start::Slow,
            },
        }
    }

    /// The coarse clock ticked during a run.
    pub(crate) fn ticked(&self, kind: WorkKind, tenant: Tenant) {
        match self.kinds.state(kind) {
            None | Some(SUSPECT) => self.kinds.set(kind, SUSPECT),
            Some(_) => self.own.set(own(kind, tenant), SUSPECT),
        }
    }

    /// A measured run stayed under its budget.
    pub(crate) fn cleared(&self, kind: WorkKind, tenant: Tenant) {
        self.kinds.change(kind, |state| if state == SUSPECT { None } else { Some(state) });
        self.own.change(own(kind, tenant), |state| Some(if state == SUSPECT { QUICK } else { state }));
    }

    /// A run was stopped at its inline budget.
    pub(crate) fn stopped(&self, kind: WorkKind, tenant: Tenant) {
        let is_new = matches!(self.kinds.state(kind), None | Some(SUSPECT));
        self.slow(kind, tenant, is_new || self.is_stoppable(kind));
    }

    /// A run went over its inline budget, and nothing could stop it.
    pub(crate) fn held(&self, kind: WorkKind, tenant: Tenant) {
        self.slow(kind, tenant, false);
    }

    /// A run in the slow lane went over the inline budget.
    pub(crate) fn ran_over(&self, kind: WorkKind, tenant: Tenant) {
        self.slow(kind, tenant, self.is_stoppable(kind));
    }

    fn slow(&self, kind: WorkKind, tenant: Tenant, stoppable: bool) {
        self.kinds.set(kind, RUNS_TO_RETURN | if stoppable { STOPPABLE } else { 0 });
        self.own.set(own(kind, tenant), RUNS_TO_RETURN);
    }

    fn is_stoppable(&self, kind: WorkKind) -> bool {
        self.kinds.state(kind).is_some_and(|state| state != SUSPECT && state & STOPPABLE != 0)
    }

    /// A run in the slow lane stayed under the inline budget.
    pub(crate) fn ran_under(&self, kind: WorkKind, tenant: Tenant) {
        self.kinds.change(kind, |state| match state {
            SUSPECT => Some(SUSPECT),
            state if state & !STOPPABLE <= 1 => None,
            state => Some(state - 1),
        });
        let own = own(kind, tenant);
        if self.own.state(own).is_none() {
            self.own.set(own, RUNS_TO_KNOW);
        }
        self.own.change(own, |state| match state {
            SUSPECT | QUICK => Some(state),
            0 | 1 => Some(QUICK),
            left => Some(left - 1),
        });
    }
}

/// A kind of one tenant.
pub(super) fn own(kind: WorkKind, tenant: Tenant) -> WorkKind {
    WorkKind(mix(kind.0 ^ tenant.0.wrapping_mul(0xC2B2_AE3D_27D4_EB4F)))
}

/// What is known of kinds, by hash.
struct Table {
    rows: Box<[Row]>,
    /// Counts those that were displaced: whose turn it is in a full row.
    displaced: AtomicU64,
}

/// Each place is a kind without its last byte, and the state in that. 0 is nobody's.
#[repr(align(32))]
struct Row([AtomicU64; PLACES]);

impl Table {
    fn new() -> Self {
        let row = || Row([const { AtomicU64::new(0) }; PLACES]);
        Table { rows: (0..ROWS).map(|_| row()).collect(), displaced: AtomicU64::new(0) }
    }

    #[inline]
    fn row(&self, kind: WorkKind) -> &[AtomicU64; PLACES] {
        &self.rows[row_of(kind)].0
    }

    #[inline]
    fn state(&self, kind: WorkKind) -> Option<u64> {
        self.row(kind).iter().map(|place| place.load(Relaxed)).find(|seen| is_of(*seen, kind)).map(|seen| seen & 0xFF)
    }

    /// Keeps a state: over the one that is there, else in a free place of the row, else in the place of whose turn it is.
    fn set(&self, kind: WorkKind, state: u64) {
        if self.change(kind, |_| Some(state)) {
            return;
        }
        let (row, new) = (self.row(kind), (kind.0 & !0xFF) | state);
        if row.iter().any(|place| place.compare_exchange(0, new, Relaxed, Relaxed).is_ok()) {
            return;
        }
        let turn = self.displaced.fetch_add(1, Relaxed) as usize % PLACES;
        row[turn].store(new, Relaxed);
    }

    /// Changes the state of a kind that is there, in each place that it has (two threads that bring a kind at the same time
    /// may give it two); `None` removes it. Of changes at the same time one may be lost. False where it is not there.
    fn change(&self, kind: WorkKind, to: impl Fn(u64) -> Option<u64>) -> bool {
        let mut is_there = false;
        for place in self.row(kind) {
            let before = place.load(Relaxed);
            if is_of(before, kind) {
                let after = to(before & 0xFF).map_or(0, |state| (kind.0 & !0xFF) | state);
                let _ = place.compare_exchange(before, after, Relaxed, Relaxed);
                is_there = true;
            }
        }
        is_there
    }
}

fn row_of(kind: WorkKind) -> usize {
    (kind.0 >> 32) as usize % ROWS
}

#[inline]
fn is_of(seen: u64, kind: WorkKind) -> bool {
    seen != 0 && seen >> 8 == kind.0 >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Tenant = Tenant(1);
    const B: Tenant = Tenant(2);

    #[test]
    fn a_kind_that_ran_over_is_slow_until_sixteen_runs_stay_under() {
        let kinds = SlowKinds::new();
        let (a, b) = (WorkKind::of_label("a"), WorkKind::of_label("bb"));
        kinds.stopped(a, A);
        assert_eq!((kinds.start(a, A), kinds.start(b, A)), (Start::Slow, Start::Inline));
        for _ in 0..15 {
            kinds.ran_under(a, A);
        }
        assert_eq!(kinds.start(a, A), Start::Slow);
        kinds.ran_under(a, A);
        assert_eq!(kinds.start(a, A), Start::Inline);
    }

    #[test]
    fn ticks_make_a_suspect_and_only_cpu_time_a_slow_kind() {
        let kinds = SlowKinds::new();
        let kind = WorkKind::of_label("ticks");
        kinds.ticked(kind, A);
        assert_eq!(kinds.start(kind, A), Start::Measured);
        kinds.cleared(kind, A);
        assert_eq!(kinds.start(kind, A), Start::Inline);
        kinds.ticked(kind, A);
        assert_eq!(kinds.start(kind, A), Start::Measured, "a preempted read is not a slow one");
        kinds.held(kind, A);
        assert_eq!(kinds.start(kind, A), Start::Slow);
    }

    #[test]
    fn a_tenant_new_to_a_slow_kind_starts_where_he_can_be_stopped() {
        let kinds = SlowKinds::new();
        let kind = WorkKind::of_label("list");
        kinds.stopped(kind, A);
        kinds.ran_over(kind, A);
        assert_eq!((kinds.start(kind, A), kinds.start(kind, B)), (Start::Slow, Start::Inline));
        kinds.stopped(kind, B);
        assert_eq!((kinds.start(kind, B), kinds.start(kind, Tenant(3))), (Start::Slow, Start::Inline));
        kinds.ticked(kind, Tenant(3));
        assert_eq!((kinds.start(kind, Tenant(3)), kinds.start(kind, A)), (Start::Measured, Start::Slow));
        kinds.held(kind, Tenant(3));
        assert_eq!(kinds.start(kind, Tenant(4)), Start::Slow, "there are runs that nothing stops");
        kinds.stopped(kind, A);
        assert_eq!(kinds.start(kind, Tenant(4)), Start::Slow);
    }

    #[test]
    fn a_tenant_with_quick_reads_comes_back_while_another_goes_on_slowly() {
        let kinds = SlowKinds::new();
        let kind = WorkKind::of_label("search");
        kinds.held(kind, A);
        assert_eq!(kinds.start(kind, B), Start::Slow, "nothing is known of him");
        for _ in 0..RUNS_TO_KNOW {
            kinds.ran_under(kind, B);
            kinds.ran_over(kind, A);
        }
        assert_eq!((kinds.start(kind, A), kinds.start(kind, B)), (Start::Slow, Start::Inline));
        kinds.ticked(kind, B);
        assert_eq!((kinds.start(kind, A), kinds.start(kind, B)), (Start::Slow, Start::Measured));
        kinds.cleared(kind, B);
        assert_eq!(kinds.start(kind, B), Start::Inline);
        kinds.held(kind, B);
        assert_eq!(kinds.start(kind, B), Start::Slow);
    }

    /// Tenants whose reads of a kind are all kept in one row.
    fn of_one_row(kind: WorkKind) -> impl Iterator<Item = Tenant> {
        (1..).map(Tenant).filter(move |tenant| row_of(own(kind, *tenant)) == row_of(own(kind, A)))
    }

    #[test]
    fn a_slow_tenant_in_the_row_of_a_quick_one_does_not_keep_him_in_the_slow_lane() {
        let kinds = SlowKinds::new();
        let kind = WorkKind::of_label("report");
        let row: Vec<_> = of_one_row(kind).take(PLACES).collect();
        let (quick, slow) = row.split_first().expect("four of them");
        for _ in 0..RUNS_TO_KNOW {
            kinds.ran_under(kind, *quick);
            slow.iter().for_each(|tenant| kinds.held(kind, *tenant));
        }
        assert_eq!(kinds.start(kind, *quick), Start::Inline);
        assert!(slow.iter().all(|tenant| kinds.start(kind, *tenant) == Start::Slow));
    }

    #[test]
    fn kinds_of_one_row_are_known_beside_one_another() {
        let kinds = SlowKinds::new();
        let row: Vec<_> = (1..=PLACES as u64).map(|n| WorkKind(n << 48 | 7 << 32)).collect();
        row.iter().for_each(|kind| kinds.held(*kind, A));
        assert!(row.iter().all(|kind| kinds.start(*kind, A) == Start::Slow));
        assert_eq!(
            kinds.start(WorkKind(9 << 48 | 7 << 32), A),
            Start::Inline,
            "a row's fate is not that of others in it"
        );
    }

    #[test]
    fn who_finds_his_row_full_displaces_one_in_turn_of_whom_nothing_is_known_then() {
        let kinds = SlowKinds::new();
        let kind = WorkKind::of_label("full");
        let tenants: Vec<_> = of_one_row(kind).take(2 * PLACES).collect();
        let (first, later) = tenants.split_at(PLACES);
        for tenant in first {
            (0..RUNS_TO_KNOW).for_each(|_| kinds.ran_under(kind, *tenant));
        }
        kinds.held(kind, later[0]);
        let inline = || first.iter().filter(|tenant| kinds.start(kind, **tenant) == Start::Inline).count();
        assert_eq!(inline(), PLACES - 1, "one is unknown, and has not the fate of who took his place");
        (0..RUNS_TO_KNOW).for_each(|_| kinds.ran_under(kind, first[0]));
        assert_eq!(kinds.start(kind, first[0]), Start::Inline, "he comes back, in another's place");
        later.iter().for_each(|tenant| kinds.held(kind, *tenant));
        assert!(later.iter().all(|tenant| kinds.start(kind, *tenant) == Start::Slow), "each has a place in turn");
    }
}
