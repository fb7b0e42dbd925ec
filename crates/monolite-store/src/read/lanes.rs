//! The slow lane: a few threads, shared by all stores of the process, and fair between tenants.
//!
//! Tenants have equal shares by the time that their reads run. Whoever has reads waiting, one thread is never his: a
//! tenant that reads without end leaves it to the next one. A read whose deadline passes while it waits is answered then,
//! by a thread that does nothing else.
//!
//! Reads that are known to be short (`lengths`) have threads of ordinary priority for themselves; what is long, or not known
//! yet, has the others, of lower priority. A short read on one of those would wait for the long ones, and for a processor
//! behind all that has ordinary priority. What turns out to be longer than a short one may be is stopped, and repeated among
//! the long ones. Where nothing stops it, a long instruction or a wait outside of SQLite, another thread takes its place:
//! there are two to spare, and where those are stuck too, the threads of the long reads (`occupied`).
//!
//! **Invariants**
//! - A tenant's waiting reads are bounded by the `Config::slow_tenant_queue_max` of the store it asks, a store's by its
//!   `Config::slow_queue_max`, all of the process by `WAITING_MAX`; a task runs at most its deadline.
//! - A task is claimed by one of: a thread of the lane, its deadline, the drop of its future; under the lane's lock, so that
//!   what nobody waits for is counted exactly. Once nobody waits for it, it is not run, nor run again.
//! - No caller's code runs under the lane's lock, not even its drop.
//! - Where every thread that may take a read is held by one that is past its deadline and cannot be stopped, it is refused at once:
//!   it does not wait for what may never end.
//! - Threads start with the process' first store and live as long as the process, whatever a caller's value does to them.

use super::lengths::{Each, Length, Lengths};
use super::occupied::{Occupied, SPARE, Stands, THREADS};
use super::slots::thread_number;
use super::slow::take_held;
use crate::fair::{Bounds, Fair, Limits, Refused, Taken};
use crate::reply::{drop_contained, lock};
use crate::sqlite::watch::thread_cpu_ns;
use crate::threads::work_behind;
use crate::ticket::Tenant;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{Ordering::SeqCst, fence};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Those that one tenant may use at a time.
const THREADS_OF_ONE: Each<usize> = Each { long: 2, short: 1 };
/// Reads of a process that wait, over all of its stores.
const WAITING_MAX: usize = 16_384;
/// Nice value of those for long reads.
const NICE: i32 = 10;
/// Time of one tenant's turn.
const QUANTUM: Duration = Duration::from_millis(10);
/// One read at a time.
const ONE: Limits = Limits { most: 1, run_ns: i64::MAX, turns: u32::MAX, fill_ns: 0 };

/// Why a read was not let in.
pub(crate) enum NotLetIn {
    /// Too many wait.
    Full(Refused),
    /// It is not known whether a thread will ever be free for it.
    Stuck,
}

/// A read that waits in the lane.
pub(crate) trait Task: Send + Sync {
    fn tenant(&self) -> Tenant;
    fn deadline(&self) -> Instant;
    /// Of which reads it is one: those of a kind, tenant and store.
    fn key(&self) -> u64;
    /// Claims it for one of what follows; false where somebody else has. Called under the lane's lock.
    fn claim(&self) -> bool;
    fn is_claimed(&self) -> bool;
    /// Whether somebody waits for it.
    fn is_wanted(&self) -> bool;
    /// It goes back into the lane. Called under the lane's lock.
    fn unclaim(&self);
    /// Runs as one of this length, says so, and answers. True where a short one is none, and has to run again among the long ones.
    fn run(&self, length: Length, ended: &dyn Fn()) -> bool;
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
    ready: Each<Condvar>,
    earlier: Condvar,
    spare: Condvar,
}

struct LaneState {
    tasks: Each<Fair<Queued>>,
    lengths: Lengths,
    deadlines: BTreeMap<(Instant, u64), (Arc<dyn Task>, Length)>,
    next: u64,
    occupied: Occupied,
    /// Whether the threads to spare were told that a short read waits.
    spare_called: bool,
}

impl LaneState {
    /// Has other threads look after the short reads where one waits and no thread is free for it.
    fn call_stand_ins(&mut self, lane: &Lane) {
        if self.stands_in_from(Stands::Spare).is_some() && !self.spare_called {
            self.spare_called = true;
            lane.spare.notify_one();
        }
        if self.stands_in_from(Stands::Long).is_some() {
            lane.ready.long.notify_one();
        }
    }

    /// When a thread may take a short read in the place of another one. `None` where none waits for that.
    fn stands_in_from(&self, stands: Stands) -> Option<Instant> {
        if self.tasks.short.is_empty() { None } else { self.occupied.stands_in_from(stands) }
    }
}

/// Hands a task to the slow lane and answers its number, or says why it is not let in.
pub(crate) fn submit(task: Arc<dyn Task>, tenant_max: usize) -> Result<u64, NotLetIn> {
    {
        let state = lock(&LANE.state);
        if state.occupied.is_stuck(state.lengths.length(task.key()), Instant::now()) {
            return Err(NotLetIn::Stuck);
        }
    }
    enqueue(task, WAITING_MAX, tenant_max).map_err(NotLetIn::Full)
}

pub(super) fn enqueue(task: Arc<dyn Task>, max: usize, tenant_max: usize) -> Result<u64, Refused> {
    let lane = &*LANE;
    let mut state = lock(&lane.state);
    let (tenant, number) = (task.tenant(), state.next);
    state.next += 1;
    let length = state.lengths.length(task.key());
    let other = match length {
        Length::Long => &state.tasks.short,
        Length::Short => &state.tasks.long,
    };
    let bounds = Bounds {
        max: max.saturating_sub(other.len()),
        tenant_max: tenant_max.saturating_sub(other.waiting_of(tenant)),
    };
    let queued = Queued { task: task.clone(), number };
    let tasks = &mut state.tasks[length];
    let pushed = tasks.push(tenant, bounds, |queued| queued.task.is_claimed(), queued);
    let swept = tasks.swept();
    let key = (task.deadline(), number);
    let is_earliest = state.deadlines.first_key_value().is_none_or(|(first, _)| key < *first);
    if pushed.is_ok() {
        state.deadlines.insert(key, (task, length));
    }
    if length == Length::Short {
        state.call_stand_ins(lane);
    }
    drop(state);
    swept.into_iter().for_each(drop_contained);
    pushed?;
    lane.ready[length].notify_one();
    if is_earliest {
        lane.earlier.notify_one();
    }
    Ok(number)
}

/// Nobody waits for the task of this number any more, which it knows: what it holds goes, if it has not begun.
pub(crate) fn withdraw(task: &Arc<dyn Task>, number: u64) {
    fence(SeqCst); // that it is not wanted is known before this look
    if task.is_claimed() {
        return;
    }
    let mut state = lock(&LANE.state);
    if !task.claim() {
        return;
    }
    let waited = state.deadlines.remove(&(task.deadline(), number));
    let length = waited.as_ref().map_or(Length::Long, |(_, length)| *length);
    state.tasks[length].husk(task.tenant(), 1);
    drop(state);
    drop(waited); // the caller has the task too
    task.discard();
}

static LANE: LazyLock<Lane> = LazyLock::new(|| {
    let tasks = || Fair::new(QUANTUM, HashMap::new());
    let tasks = Each { long: tasks(), short: tasks() };
    let (deadlines, lengths) = (BTreeMap::new(), Lengths::new());
    let occupied = Occupied::default();
    let state = LaneState { tasks, lengths, deadlines, next: 0, occupied, spare_called: false };
    let [long, short, earlier, spare] = [(); 4].map(|()| Condvar::new());
    Lane { state: Mutex::new(state), started: Mutex::new(0), ready: Each { long, short }, earlier, spare }
});

/// Starts the threads of the process' lane that do not run yet.
pub(crate) fn start() -> std::io::Result<()> {
    let lane = &*LANE;
    let mut started = lock(&lane.started);
    let Each { long, short } = THREADS;
    while *started <= long + short + SPARE {
        let thread = std::thread::Builder::new();
        match *started {
            n if n < long => thread.name(format!("slow-lane:{n}")).spawn(|| serve(lane, Length::Long))?,
            n if n < long + short => {
                thread.name(format!("short-lane:{}", n - long)).spawn(|| serve(lane, Length::Short))?
            }
            n if n < long + short + SPARE => {
                thread.name(format!("short-lane:{}", n - long)).spawn(|| serve_in_place(lane))?
            }
            _ => thread.name("slow-lane:late".to_owned()).spawn(|| expire(lane))?,
        };
        *started += 1;
    }
    Ok(())
}

fn serve(lane: &'static Lane, of: Length) {
    work_behind(if of == Length::Short { 0 } else { NICE });
    let mut one = VecDeque::with_capacity(1);
    loop {
        let (length, taken) = next(lane, of, &mut one);
        serve_one(lane, length, taken);
    }
}

/// Short reads in the place of a thread whose own is overdue.
fn serve_in_place(lane: &'static Lane) {
    work_behind(0);
    let mut one = VecDeque::with_capacity(1);
    let mut state = lock(&lane.state);
    loop {
        let Some(from) = state.stands_in_from(Stands::Spare) else {
            state.spare_called = false;
            state = lane.spare.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let left = from.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            state = lane.spare.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let (left, taken) = take_one(lane, Length::Short, Length::Short, state, &mut one);
        drop(left);
        if let Some(taken) = taken {
            lane.spare.notify_one(); // the next one looks after who waits behind it
            serve_one(lane, Length::Short, taken);
        }
        state = lock(&lane.state);
    }
}

/// Runs a task that was taken.
fn serve_one(lane: &'static Lane, length: Length, taken: Taken<Queued>) {
    let Taken { tenant, cost, work } = taken;
    let (start, cpu, key) = (Instant::now(), thread_cpu_ns(), work.task.key());
    // That it was held back for a WAL that starts over was nobody's doing.
    let took = Cell::new(Duration::ZERO);
    let ended = || {
        let cpu = thread_cpu_ns() - cpu;
        took.set(start.elapsed().saturating_sub(take_held()));
        lock(&lane.state).lengths.ran(key, cpu, nanos(took.get())); // before who waits for it asks again
    };
    // A task answers its own panic; this catch keeps the lane alive if even that fails. And nobody else may be left
    // who has the answer.
    let ran = catch_unwind(AssertUnwindSafe(|| work.task.run(length, &ended)));
    if matches!(ran, Ok(true)) {
        again(lane, work)
    } else {
        drop_contained(work)
    }
    let took = if took.get().is_zero() { start.elapsed() } else { took.get() };
    let mut state = lock(&lane.state);
    state.tasks[length].settle(tenant, cost, nanos(took));
    state.tasks[length].unpin(tenant);
    state.occupied.leave(thread_number());
    drop(state);
    lane.ready[length].notify_one(); // what this tenant was held back from may be taken by any thread
}

/// Puts a task that was taken for short among the long ones, if somebody still waits for it. It was let in before.
fn again(lane: &Lane, queued: Queued) {
    let mut state = lock(&lane.state);
    let (task, tenant, key) = (queued.task.clone(), queued.task.tenant(), (queued.task.deadline(), queued.number));
    task.unclaim();
    fence(SeqCst); // who does not want it any more finds it from here on, or is found
    if !task.is_wanted() && task.claim() {
        drop(state);
        task.discard();
        return drop_contained((task, queued));
    }
    let all = Bounds { max: isize::MAX as usize, tenant_max: usize::MAX };
    let pushed = state.tasks.long.push(tenant, all, |queued| queued.task.is_claimed(), queued);
    let swept = state.tasks.long.swept();
    if pushed.is_ok() {
        state.deadlines.insert(key, (task, Length::Long));
    }
    drop(state);
    swept.into_iter().for_each(drop_contained);
    lane.ready.long.notify_one();
    lane.earlier.notify_one();
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Waits for a task that somebody waits for, and says what it was taken for. A thread of the long ones takes a short one where
/// all threads of those are stuck.
fn next(lane: &Lane, of: Length, one: &mut VecDeque<Taken<Queued>>) -> (Length, Taken<Queued>) {
    let mut state = lock(&lane.state);
    loop {
        let from = if of == Length::Long { state.stands_in_from(Stands::Long) } else { None };
        let left = from.map(|from| from.saturating_duration_since(Instant::now()));
        let length = if left.is_some_and(|left| left.is_zero()) { Length::Short } else { of };
        let taken;
        (state, taken) = take_one(lane, length, of, state, one);
        if let Some(taken) = taken {
            if length != of {
                lane.ready.long.notify_one(); // the next one looks after who waits behind it
            }
            return (length, taken);
        }
        if state.tasks[length].is_bloated() {
            state.tasks[length].rest();
        }
        if length != of {
            continue; // none was left
        }
        state = match left {
            None => lane.ready[of].wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(left) => lane.ready[of].wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
        };
    }
}

/// Takes a task of this length that somebody waits for, where there is one, for a thread of those.
fn take_one<'a>(
    lane: &'a Lane,
    length: Length,
    of: Length,
    mut state: MutexGuard<'a, LaneState>,
    one: &mut VecDeque<Taken<Queued>>,
) -> (MutexGuard<'a, LaneState>, Option<Taken<Queued>>) {
    loop {
        let LaneState { tasks, lengths, .. } = &mut *state;
        let expected = |_: Tenant, queued: &Queued| lengths.expected(queued.task.key());
        tasks[length].take(ONE, &expected, one);
        let Some(taken) = one.pop_front() else { return (state, None) };
        state.deadlines.remove(&(taken.work.task.deadline(), taken.work.number));
        if taken.work.task.claim() {
            state.tasks[length].pin(taken.tenant, THREADS_OF_ONE[length]);
            state.occupied.enter(thread_number(), taken.work.task.deadline(), of, Instant::now());
            if length == Length::Short {
                state.call_stand_ins(lane);
            }
            return (state, Some(taken));
        }
        state.tasks[length].settle(taken.tenant, taken.cost, 0);
        state.tasks[length].husk(taken.tenant, -1);
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
        let Some((_, (task, length))) = state.deadlines.pop_first() else { continue };
        let expired = task.claim();
        if expired {
            state.tasks[length].husk(task.tenant(), 1);
        }
        drop(state);
        if expired {
            let _ = catch_unwind(AssertUnwindSafe(|| task.expire()));
        }
        drop_contained(task);
        state = lock(&lane.state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::sync::mpsc::{SyncSender, sync_channel};

    /// Says among which it ran; one that is long after all, whether its thread was counted all the while.
    struct Probe {
        key: u64,
        is_long: bool,
        claimed: AtomicBool,
        deadline: Instant,
        ran: SyncSender<(Length, bool)>,
    }

    impl Task for Probe {
        fn tenant(&self) -> Tenant {
            Tenant(self.key)
        }
        fn deadline(&self) -> Instant {
            self.deadline
        }
        fn key(&self) -> u64 {
            self.key
        }
        fn claim(&self) -> bool {
            !self.claimed.swap(true, Relaxed)
        }
        fn is_claimed(&self) -> bool {
            self.claimed.load(Relaxed)
        }
        fn is_wanted(&self) -> bool {
            true
        }
        fn unclaim(&self) {
            self.claimed.store(false, Relaxed);
        }
        fn run(&self, length: Length, ended: &dyn Fn()) -> bool {
            if self.is_long && length == Length::Short {
                ended();
                return true;
            }
            let (mut is_counted, end) = (true, Instant::now() + Duration::from_millis(1));
            while self.is_long && is_counted && Instant::now() < end {
                is_counted = lock(&LANE.state).occupied.has(thread_number());
            }
            ended();
            let _ = self.ran.send((length, is_counted));
            false
        }
        fn expire(&self) {}
        fn discard(&self) {}
    }

    #[test]
    fn a_thread_that_runs_a_read_again_is_counted_until_that_has_ended() {
        start().unwrap();
        for key in 0..1000 {
            let run = |is_long| {
                let (ran, has_run) = sync_channel(1);
                let (key, deadline) = (u64::MAX / 2 + key, Instant::now() + Duration::from_secs(60));
                let probe = Probe { key, is_long, claimed: AtomicBool::new(false), deadline, ran };
                assert!(enqueue(Arc::new(probe), WAITING_MAX, 1).is_ok());
                has_run.recv().unwrap()
            };
            while run(false).0 == Length::Long {}
            assert_eq!(run(true), (Length::Long, true), "of {key}");
        }
    }
}
