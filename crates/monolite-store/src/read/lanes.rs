//! The slow lane: a few threads of lower priority, shared by all stores of the process, and fair between tenants.
//!
//! Tenants have equal shares by the time that their reads run. Whoever has reads waiting, one thread is never his: a
//! tenant that reads without end leaves it to the next one. A read whose deadline passes while it waits is answered then,
//! by a thread that does nothing else.
//!
//! **Invariants**
//! - A tenant's waiting reads are bounded by the `Config::slow_tenant_queue_max` of the store it asks, a store's by its
//!   `Config::slow_queue_max`, all of the process by `WAITING_MAX`; a task runs at most its deadline.
//! - A task is claimed by one of: a thread of the lane, its deadline, the drop of its future; under the lane's lock, so that
//!   what nobody waits for is counted exactly.
//! - No caller's code runs under the lane's lock, not even its drop.
//! - Threads start with the process' first store and live as long as the process, whatever a caller's value does to them.

use crate::fair::{Bounds, Cost, Fair, Limits, Refused, Taken};
use crate::reply::{drop_contained, far_from_now, lock};
use crate::threads::work_behind;
use crate::ticket::Tenant;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Threads of the slow lane in a process.
const THREADS: usize = 3;
/// Those that one tenant may use at a time.
const THREADS_OF_ONE: usize = 2;
/// Reads of a process that wait, over all of its stores.
const WAITING_MAX: usize = 16_384;
/// Nice value of those threads.
const NICE: i32 = 10;
/// Time of one tenant's turn.
const QUANTUM: Duration = Duration::from_millis(10);
/// What a read is expected to take until it has run.
const EXPECTED: Cost = Cost { run_ns: 5_000_000, charge_ns: 5_000_000 };
/// For whom the store's own work is: not to be held back by reads of the system.
const CHORES: Tenant = Tenant(u64::MAX);
/// One read at a time.
const ONE: Limits = Limits { most: 1, run_ns: i64::MAX, turns: u32::MAX, fill_ns: 0 };

/// A read that waits in the lane.
pub(crate) trait Task: Send + Sync {
    fn tenant(&self) -> Tenant;
    fn deadline(&self) -> Instant;
    /// Claims it for one of what follows; false where somebody else has. Called under the lane's lock.
    fn claim(&self) -> bool;
    fn is_claimed(&self) -> bool;
    /// Runs and answers.
    fn run(&self);
    /// Answers that it came too late.
    fn expire(&self);
    /// Drops what nobody waits for.
    fn discard(&self);
}

/// A task in the lane, and its place among the deadlines.
struct Queued {
    task: Arc<dyn Task>,
    number: u64,
}

struct Lane {
    state: Mutex<LaneState>,
    /// How many of its threads run.
    started: Mutex<usize>,
    ready: Condvar,
    earlier: Condvar,
}

struct LaneState {
    tasks: Fair<Queued>,
    deadlines: BTreeMap<(Instant, u64), Arc<dyn Task>>,
    next: u64,
}

/// Hands a task to the slow lane and answers its number, or says that its tenant has too many waiting.
pub(crate) fn submit(task: Arc<dyn Task>, tenant_max: usize) -> Result<u64, Refused> {
    enqueue(task, Bounds { max: WAITING_MAX, tenant_max })
}

fn enqueue(task: Arc<dyn Task>, bounds: Bounds) -> Result<u64, Refused> {
    let lane = &*LANE;
    let mut state = lock(&lane.state);
    let (tenant, number) = (task.tenant(), state.next);
    state.next += 1;
    let queued = Queued { task: task.clone(), number };
    let pushed = state.tasks.push(tenant, bounds, |queued| queued.task.is_claimed(), queued);
    let swept = state.tasks.swept();
    let key = (task.deadline(), number);
    let is_earliest = state.deadlines.first_key_value().is_none_or(|(first, _)| key < *first);
    if pushed.is_ok() {
        state.deadlines.insert(key, task);
    }
    drop(state);
    swept.into_iter().for_each(drop_contained);
    pushed?;
    lane.ready.notify_one();
    if is_earliest {
        lane.earlier.notify_one();
    }
    Ok(number)
}

/// Hands work of the store itself to the slow lane; nobody waits for it. Its bound is its sender's.
pub(crate) fn chore(work: impl FnOnce() + Send + 'static) {
    let (work, deadline) = (Mutex::new(Some(work)), far_from_now(Duration::MAX));
    let chore = Chore { claimed: AtomicBool::new(false), work, deadline };
    let _ = enqueue(Arc::new(chore), Bounds { max: isize::MAX as usize, tenant_max: usize::MAX });
}

struct Chore<F> {
    claimed: AtomicBool,
    work: Mutex<Option<F>>,
    deadline: Instant,
}

impl<F: FnOnce() + Send> Task for Chore<F> {
    fn tenant(&self) -> Tenant {
        CHORES
    }
    fn deadline(&self) -> Instant {
        self.deadline
    }
    fn claim(&self) -> bool {
        !self.claimed.swap(true, Relaxed)
    }
    fn is_claimed(&self) -> bool {
        self.claimed.load(Relaxed)
    }
    fn run(&self) {
        let work = lock(&self.work).take();
        if let Some(work) = work {
            work();
        }
    }
    fn expire(&self) {}
    fn discard(&self) {}
}

/// Nobody waits for the task of this number any more: what it holds goes, if it has not begun.
pub(crate) fn withdraw(task: &Arc<dyn Task>, number: u64) {
    if task.is_claimed() {
        return;
    }
    let mut state = lock(&LANE.state);
    if !task.claim() {
        return;
    }
    state.tasks.husk(task.tenant(), 1);
    let waited = state.deadlines.remove(&(task.deadline(), number));
    drop(state);
    drop(waited); // the caller has the task too
    task.discard();
}

static LANE: LazyLock<Lane> = LazyLock::new(|| {
    let tasks = Fair::new(QUANTUM, HashMap::new());
    let state = LaneState { tasks, deadlines: BTreeMap::new(), next: 0 };
    Lane { state: Mutex::new(state), started: Mutex::new(0), ready: Condvar::new(), earlier: Condvar::new() }
});

/// Starts the threads of the process' lane that do not run yet.
pub(crate) fn start() -> std::io::Result<()> {
    let lane = &*LANE;
    let mut started = lock(&lane.started);
    while *started <= THREADS {
        let thread = std::thread::Builder::new();
        match *started {
            THREADS => thread.name("slow-lane:late".to_owned()).spawn(|| expire(lane))?,
            n => thread.name(format!("slow-lane:{n}")).spawn(|| serve(lane))?,
        };
        *started += 1;
    }
    Ok(())
}

fn serve(lane: &'static Lane) {
    work_behind(NICE);
    let mut one = VecDeque::with_capacity(1);
    loop {
        let Taken { tenant, cost, work } = next(lane, &mut one);
        let start = Instant::now();
        // A task answers its own panic; this catch keeps the lane alive if even that fails. And nobody else may be left
        // who has the answer.
        let _ = catch_unwind(AssertUnwindSafe(|| work.task.run()));
        drop_contained(work);
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut state = lock(&lane.state);
        state.tasks.settle(tenant, cost, took);
        state.tasks.unpin(tenant);
        drop(state);
        lane.ready.notify_one(); // what this tenant was held back from may be taken by any thread
    }
}

/// Waits for a task that somebody waits for.
fn next(lane: &Lane, one: &mut VecDeque<Taken<Queued>>) -> Taken<Queued> {
    let mut state = lock(&lane.state);
    loop {
        state.tasks.take(ONE, &|_, _| EXPECTED, one);
        let Some(taken) = one.pop_front() else {
            if state.tasks.is_bloated() {
                state.tasks.rest();
            }
            state = lane.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        state.deadlines.remove(&(taken.work.task.deadline(), taken.work.number));
        if taken.work.task.claim() {
            state.tasks.pin(taken.tenant, THREADS_OF_ONE);
            return taken;
        }
        state.tasks.settle(taken.tenant, taken.cost, 0);
        state.tasks.husk(taken.tenant, -1);
        drop(state);
        drop_contained(taken);
        state = lock(&lane.state);
    }
}

/// Answers those whose deadline passes while they wait.
fn expire(lane: &'static Lane) {
    let mut state = lock(&lane.state);
    loop {
        let Some((deadline, _)) = state.deadlines.first_key_value().map(|(key, _)| *key) else {
            state = lane.earlier.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            state = lane.earlier.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let Some((_, task)) = state.deadlines.pop_first() else { continue };
        let expired = task.claim();
        if expired {
            state.tasks.husk(task.tenant(), 1);
        }
        drop(state);
        if expired {
            let _ = catch_unwind(AssertUnwindSafe(|| task.expire()));
        }
        drop_contained(task);
        state = lock(&lane.state);
    }
}
