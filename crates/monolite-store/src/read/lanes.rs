//! The slow lane: a few threads of lower priority, shared by all stores of the process, and fair between tenants.
//!
//! Tenants have equal shares by the time that their reads run. Whoever has reads waiting, one thread is never his: a
//! tenant that reads without end leaves it to the next one. A read whose deadline passes while it waits is answered then,
//! by a thread that does nothing else.
//!
//! **Invariants**
//! - A tenant's waiting reads are bounded by the `Config::slow_tenant_queue_max` of the store it asks, a store's by its
//!   `Config::slow_queue_max`; a task runs at most its deadline.
//! - A task is claimed by one of: a thread of the lane, its deadline, the drop of its future.
//! - Threads start at the first slow read and live as long as the process.

use crate::fair::{Bounds, Cost, Fair, Limits, Refused, Taken};
use crate::reply::{far_from_now, lock};
use crate::ticket::Tenant;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Threads of the slow lane in a process.
const THREADS: usize = 3;
/// Those that one tenant may use at a time.
const THREADS_OF_ONE: usize = 2;
/// Nice value of those threads.
const NICE: i32 = 10;
/// Time of one tenant's turn.
const QUANTUM: Duration = Duration::from_millis(10);
/// What a read is expected to take until it has run.
const EXPECTED: Cost = Cost { run_ns: 5_000_000, charge_ns: 5_000_000 };
/// For whom the store's own work is: not to be held back by reads of the system.
const CHORES: Tenant = Tenant(u64::MAX);
/// One read at a time.
const ONE: Limits = Limits { most: 1, run_ns: i64::MAX, turns: u32::MAX };

/// A read that waits in the lane.
pub(crate) trait Task: Send + Sync {
    fn tenant(&self) -> Tenant;
    fn deadline(&self) -> Instant;
    /// Runs and answers, if nobody else has claimed it.
    fn run(&self);
    /// Answers that it came too late; false where somebody else has claimed it.
    fn expire(&self) -> bool;
    /// Drops what nobody waits for; false where somebody else has claimed it.
    fn withdraw(&self) -> bool;
    /// Whether it was claimed.
    fn is_husk(&self) -> bool;
}

/// A task in the lane, and its place among the deadlines.
struct Queued {
    task: Arc<dyn Task>,
    number: u64,
}

struct Lane {
    state: Mutex<LaneState>,
    ready: Condvar,
    earlier: Condvar,
}

struct LaneState {
    tasks: Fair<Queued>,
    deadlines: BTreeMap<(Instant, u64), Arc<dyn Task>>,
    next: u64,
}

/// Hands a task to the slow lane, or says that its tenant has too many waiting.
pub(crate) fn submit(task: Arc<dyn Task>, tenant_max: usize) -> Result<(), Refused> {
    let lane = lane();
    let mut state = lock(&lane.state);
    let (tenant, number) = (task.tenant(), state.next);
    state.next += 1;
    let bounds = Bounds { max: isize::MAX as usize, tenant_max };
    let queued = Queued { task: task.clone(), number };
    state.tasks.push(tenant, bounds, |queued| queued.task.is_husk(), queued)?;
    let key = (task.deadline(), number);
    let is_earliest = state.deadlines.first_key_value().is_none_or(|(first, _)| key < *first);
    state.deadlines.insert(key, task);
    drop(state);
    lane.ready.notify_one();
    if is_earliest {
        lane.earlier.notify_one();
    }
    Ok(())
}

/// Hands work of the store itself to the slow lane; nobody waits for it.
pub(crate) fn chore(work: impl FnOnce() + Send + 'static) {
    let chore = Chore { work: Mutex::new(Some(work)), deadline: far_from_now(Duration::MAX) };
    let _ = submit(Arc::new(chore), usize::MAX);
}

struct Chore<F> {
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
    fn run(&self) {
        let work = lock(&self.work).take();
        if let Some(work) = work {
            work();
        }
    }
    fn expire(&self) -> bool {
        false
    }
    fn withdraw(&self) -> bool {
        false
    }
    fn is_husk(&self) -> bool {
        lock(&self.work).is_none()
    }
}

/// Nobody waits for a task any more: takes what it holds, if it has not begun.
pub(crate) fn withdraw(task: &Arc<dyn Task>) {
    if task.withdraw() {
        lock(&lane().state).tasks.husk(task.tenant(), 1);
    }
}

fn lane() -> &'static Lane {
    static LANE: OnceLock<Lane> = OnceLock::new();
    static STARTED: OnceLock<()> = OnceLock::new();
    let lane = LANE.get_or_init(|| {
        let tasks = Fair::new(QUANTUM, HashMap::new());
        let state = LaneState { tasks, deadlines: BTreeMap::new(), next: 0 };
        Lane { state: Mutex::new(state), ready: Condvar::new(), earlier: Condvar::new() }
    });
    STARTED.get_or_init(|| {
        let start = |name: String, life: fn(&'static Lane)| {
            let thread = std::thread::Builder::new().name(name);
            thread.spawn(move || life(lane)).expect("a process that cannot start four threads cannot serve");
        };
        (0..THREADS).for_each(|n| start(format!("slow-lane:{n}"), serve));
        start("slow-lane:late".to_owned(), expire);
    });
    lane
}

fn serve(lane: &'static Lane) {
    // Lower priority is a courtesy to the callers' threads; without the right to it the lane works as well.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
    let mut one = VecDeque::with_capacity(1);
    loop {
        let Taken { tenant, cost, work } = next(lane, &mut one);
        let start = Instant::now();
        // A task answers its own panic; this catch keeps the lane alive if even that fails.
        let _ = catch_unwind(AssertUnwindSafe(|| work.task.run()));
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
        if taken.work.task.is_husk() {
            state.tasks.settle(taken.tenant, taken.cost, 0);
            state.tasks.husk(taken.tenant, -1);
            continue;
        }
        state.tasks.pin(taken.tenant, THREADS_OF_ONE);
        return taken;
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
        drop(state);
        let expired = catch_unwind(AssertUnwindSafe(|| task.expire())).unwrap_or(true);
        state = lock(&lane.state);
        if expired {
            state.tasks.husk(task.tenant(), 1);
        }
    }
}
