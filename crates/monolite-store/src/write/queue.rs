//! The writer's queue: bounded, fair between tenants, in order within one.
//!
//! Where one tenant writes alone, its groups are bounded by the group's limits only. Where others write too, or did a
//! moment ago, a tenant adds its quantum to a group and no more, so that who writes little waits for little: a group
//! in flight, and its own. A group of less than two commits' time is filled up all the same: where every tenant's writes
//! cost many quanta, each group would else commit the few whose debt is paid.
//!
//! **Invariants**
//! - Bounds as in `fair::Bounds`. After `close` nothing enters.
//! - One lock for each write that is queued, one for each group; nothing is allocated where tenants come back.

use super::costs::Costs;
use super::job::Job;
use crate::cut::Pause;
use crate::fair::{Bounds, Cost, Fair, Limits, Refused, Taken};
use crate::read::kinds::WorkKind;
use crate::reply::{drop_contained, lock};
use crate::status::Waiting;
use crate::ticket::Tenant;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For each of these during which one tenant alone wrote, its groups may be larger by another quantum.
const CALM: Duration = Duration::from_millis(20);
/// After so long without anything to do, debts are forgotten.
const IDLE_MAX: Duration = Duration::from_millis(10);

/// How long the writer waits for one more caller of a crowd to come back.
const GATHER_PAUSE: Duration = Duration::from_micros(20);
/// How long it waits for all of them: about one sync.
const GATHER_MAX: Duration = Duration::from_micros(150);

/// The queue between callers and the writer.
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    arrived: Condvar,
    bounds: Bounds,
}

struct QueueState {
    writes: Fair<Arrived>,
    /// Whose write came last, and when one came from somebody else than the one before.
    last: Tenant,
    mixed: Option<Instant>,
    errand: bool,
    pauses: Vec<Arc<Pause>>,
    idle: Option<Instant>,
    closed: Option<Closing>,
    ended: bool,
}

/// How large a group may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupSize {
    pub(crate) writes: usize,
    /// The time for which its writes hold the writer.
    pub(crate) time: Duration,
    /// Up to this time it takes in writes of tenants who have had more than their share.
    pub(crate) fill: Duration,
}

/// A write that waits, and its kind: the queue's lock is not held while memory is fetched from another core.
pub(crate) struct Arrived {
    pub(crate) job: Arc<dyn Job>,
    kind: WorkKind,
}

/// A write that the writer took.
pub(crate) type Queued = Taken<Arrived>;

/// What a write that was taken cost in the end.
pub(crate) struct Bill {
    pub(crate) tenant: Tenant,
    pub(crate) cost: Cost,
    pub(crate) charge_ns: u64,
    /// Nobody waited for it any more.
    pub(crate) is_husk: bool,
}

/// How the writer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// After the writes that are queued.
    Drained,
    /// At once, as a crash would.
    Abandoned,
}

/// Why a write was not queued.
pub(crate) enum NotQueued {
    Full(Refused),
    Closed,
}

/// What the writer should do next.
pub(crate) enum Next {
    /// Jobs were moved to the given buffer.
    Jobs,
    /// Somebody asked for the writer's attention: a checkpoint to finish, a cut to pause for.
    Errand,
    Close(Closing),
}

impl Queue {
    pub(crate) fn new(bounds: Bounds, quantum: Duration, weights: HashMap<Tenant, u32>) -> Self {
        let state = QueueState {
            writes: Fair::new(quantum, weights),
            last: Tenant::default(),
            mixed: None,
            errand: false,
            pauses: Vec::new(),
            idle: None,
            closed: None,
            ended: false,
        };
        Queue { state: Mutex::new(state), arrived: Condvar::new(), bounds }
    }

    pub(crate) fn push(&self, job: Arc<dyn Job>) -> Result<(), NotQueued> {
        let order = job.order();
        let (tenant, queued, kind) = (order.ticket.tenant, order.queued, order.kind);
        #[cfg(monolite_planted)]
        if crate::planted::is("queue_loses_a_write") && crate::planted::each(40) {
            return Ok(());
        }
        let mut state = lock(&self.state);
        if state.closed.is_some() {
            return Err(NotQueued::Closed);
        }
        let idle = state.idle.take();
        if idle.is_some_and(|since| queued.saturating_duration_since(since) > IDLE_MAX) {
            state.writes.rest();
        }
        if tenant != state.last {
            state.last = tenant;
            state.mixed = Some(queued);
        }
        let pushed = state.writes.push(tenant, self.bounds, |write| write.job.is_husk(), Arrived { job, kind });
        let swept = state.writes.swept();
        drop(state);
        if idle.is_some() {
            self.arrived.notify_one();
        }
        swept.into_iter().for_each(drop_contained);
        pushed.map_err(NotQueued::Full)
    }

    /// A caller dropped its future; the husk is skipped when its turn comes, or swept when husks reach the bound.
    pub(crate) fn dropped(&self, tenant: Tenant) {
        lock(&self.state).writes.husk(tenant, 1);
    }

    /// Asks for the writer's attention between groups.
    pub(crate) fn errand(&self) {
        let mut state = lock(&self.state);
        state.errand = true;
        state.idle = None;
        drop(state);
        self.arrived.notify_one();
    }

    /// Asks the writer to pause between groups; pauses that are over are forgotten, so that there is one at most in force.
    pub(crate) fn pause(&self, pause: &Arc<Pause>) {
        let mut state = lock(&self.state);
        state.pauses.retain(|old| !old.is_over());
        state.pauses.push(pause.clone());
        drop(state);
        self.errand();
    }

    /// The pauses that the writer was asked for.
    pub(crate) fn pauses(&self) -> Vec<Arc<Pause>> {
        std::mem::take(&mut lock(&self.state).pauses)
    }

    /// Lets nothing more in.
    pub(crate) fn close(&self, how: Closing) {
        let mut state = lock(&self.state);
        if state.closed != Some(Closing::Abandoned) {
            state.closed = Some(how);
        }
        state.idle = None;
        drop(state);
        self.arrived.notify_one();
    }

    /// The handles of the store are gone or closed it.
    pub(crate) fn end(&self, how: Closing) {
        lock(&self.state).ended = true;
        self.close(how);
    }

    /// Settles what ran, and counts out what nobody waited for.
    pub(crate) fn settle(&self, bills: &mut Vec<Bill>) {
        lock(&self.state).settle(bills);
    }

    /// Settles what ran, then waits for something to do, and moves a group's writes to a buffer.
    ///
    /// With `wait` false it answers `Jobs` at once, even with none.
    pub(crate) fn next(
        &self,
        bills: &mut Vec<Bill>,
        into: &mut VecDeque<Queued>,
        costs: &Costs,
        size: GroupSize,
        wait: bool,
    ) -> Next {
        let mut state = lock(&self.state);
        state.settle(bills);
        loop {
            if let Some(how) = state.closed
                && (how == Closing::Abandoned || state.writes.is_empty())
            {
                return Next::Close(how);
            }
            if std::mem::take(&mut state.errand) {
                return Next::Errand;
            }
            if !state.writes.is_empty() || !wait {
                let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
                let run_ns = nanos(size.time).max(1);
                let limits = Limits { most: size.writes, run_ns, turns: state.turns(), fill_ns: nanos(size.fill) };
                state.writes.take(limits, &|tenant, write| costs.of(write.kind, tenant), into);
                return Next::Jobs;
            }
            state.idle = Some(Instant::now());
            state = if state.writes.is_bloated() {
                let (mut state, ended) =
                    self.arrived.wait_timeout(state, IDLE_MAX).unwrap_or_else(PoisonError::into_inner);
                if ended.timed_out() && state.writes.is_empty() {
                    state.writes.rest();
                }
                state
            } else {
                self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    /// Puts writes back that were taken last and not run, in their order.
    pub(crate) fn give_back(&self, members: impl DoubleEndedIterator<Item = Queued>) {
        let mut state = lock(&self.state);
        members.rev().for_each(|member| state.writes.give_back(member));
    }

    /// Lets the callers who were just answered come back before the next group is taken: until `expected` wait, or
    /// nobody has come for a while. Their own threads need the processor for it, so this yields rather than blocks.
    pub(crate) fn gather(&self, expected: usize) {
        let start = Instant::now();
        let (mut came, mut last) = (0, start);
        loop {
            {
                let state = lock(&self.state);
                let (writes, tenants) = (state.writes.len(), state.writes.tenants());
                let are_all = tenants >= state.writes.batch_tenants();
                if (writes >= expected && are_all) || state.errand || state.closed.is_some() {
                    return;
                }
                // One tenant's crowd is not waited for in place of another's.
                let now = if writes < expected { writes } else { expected + tenants };
                if now > came {
                    came = now;
                    last = Instant::now();
                }
            }
            if last.elapsed() > GATHER_PAUSE || start.elapsed() > GATHER_MAX {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// The writer rests for so long, or until it is asked for.
    pub(crate) fn rest(&self, most: Duration) {
        let wanted = |state: &mut QueueState| !state.errand && state.closed.is_none();
        let _ = self.arrived.wait_timeout_while(lock(&self.state), most, wanted);
    }

    /// Waits until the store's handles close it.
    pub(crate) fn wait_for_close(&self) {
        let mut state = lock(&self.state);
        while !state.ended {
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes and tenants that wait.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.writes.len(), state.writes.tenants())
    }

    /// Writes and tenants that wait, and those who have waited longest, at most `most`.
    pub(crate) fn waiting(&self, most: usize) -> (usize, usize, Vec<Waiting>) {
        let now = Instant::now();
        let (writes, tenants, mut all) = {
            let state = lock(&self.state);
            let told = state.writes.waiting().map(|(tenant, writes, first)| {
                let oldest = now.saturating_duration_since(first.job.order().queued);
                Waiting { tenant, writes, oldest }
            });
            (state.writes.len(), state.writes.tenants(), told.collect::<Vec<_>>())
        };
        all.sort_unstable_by_key(|w| std::cmp::Reverse(w.oldest));
        all.truncate(most);
        (writes, tenants, all)
    }

    /// Takes everything that is left.
    pub(crate) fn drain(&self) -> Vec<Arc<dyn Job>> {
        lock(&self.state).writes.drain().into_iter().map(|write| write.job).collect()
    }
}

impl Arrived {
    /// A write that comes back from a group.
    pub(crate) fn again(job: Arc<dyn Job>) -> Self {
        let kind = job.order().kind;
        Arrived { job, kind }
    }
}

impl QueueState {
    fn settle(&mut self, bills: &mut Vec<Bill>) {
        for bill in bills.drain(..) {
            self.writes.settle(bill.tenant, bill.cost, bill.charge_ns);
            if bill.is_husk {
                self.writes.husk(bill.tenant, -1);
            }
        }
    }

    /// How many turns a tenant has in the next group: one where others write too, more the longer they have not.
    fn turns(&self) -> u32 {
        match self.mixed {
            None => u32::MAX,
            Some(_) if self.writes.tenants() > 1 => 1,
            Some(mixed) => {
                let calm = mixed.elapsed().as_nanos() / CALM.as_nanos();
                if calm >= 50 { u32::MAX } else { 1 + calm as u32 }
            }
        }
    }
}
