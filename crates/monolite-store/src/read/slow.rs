//! The slow lane's side of a store: its waiting reads, their connections, their limits.
//!
//! **Invariants**
//! - Every run has a deadline, and can be ended when its snapshot stands in the way of a checkpoint.
//! - A snapshot here lives as long as its one run.
//! - A read that nobody waits for any more is not started, and is stopped if it runs.
//! - New runs are held back for a bounded time only, whoever fails to let them go.

use super::kinds::WorkKind;
use super::lengths::Length;
use super::slots::Reader;
use super::*;
use crate::fair::Refused;
use crate::reply::{Promise, Why, far_from_now};
use crate::sqlite::sight;
use crate::sqlite::watch::{Watch, thread_cpu_ns};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Connections kept open for the next slow read.
const IDLE_CONNECTIONS: usize = 2;
/// How often a closing store looks whether its reads have ended.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

thread_local! {
    /// How long this thread was held back.
    static HELD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// How long this thread was held back since it was asked last.
pub(super) fn take_held() -> Duration {
    HELD.take()
}

/// The slow reads of a store.
pub(crate) struct SlowReads {
    opener: Arc<Opener>,
    pub(crate) waiting: AtomicUsize,
    idle: Mutex<Vec<Reader>>,
    running: Mutex<Vec<Run>>,
    ended: Condvar,
    /// Until when new runs wait at most, where they are held back.
    held_until: Mutex<Option<Instant>>,
    let_go: Condvar,
    active: AtomicUsize,
    /// Long ones among them.
    long: AtomicUsize,
    blocking: Mutex<usize>,
    blocking_ended: Condvar,
}

/// A run with its snapshot's number, and since when.
struct Run {
    watch: Arc<Watch>,
    snapshot: u64,
    since: Instant,
}

/// A call of [`crate::Store::read_with`] in the slow lane.
pub(crate) type Call<T, E> = SlowCall<Result<Seen<T>, Why<E>>>;

/// A read in the slow lane and the future that waits for it.
pub(crate) struct SlowCall<R> {
    pub(crate) promise: Promise<R>,
    pub(super) watch: Mutex<Option<Arc<Watch>>>,
}

impl<R> SlowCall<R> {
    /// Nobody waits any more.
    pub(crate) fn abandon(&self) {
        self.promise.abandon();
        if let Some(watch) = &*lock(&self.watch) {
            watch.evict();
        }
    }
}

impl SlowReads {
    pub(crate) fn new(opener: Arc<Opener>) -> Self {
        SlowReads {
            opener,
            waiting: AtomicUsize::new(0),
            idle: Mutex::new(Vec::new()),
            running: Mutex::new(Vec::new()),
            ended: Condvar::new(),
            held_until: Mutex::new(None),
            let_go: Condvar::new(),
            active: AtomicUsize::new(0),
            long: AtomicUsize::new(0),
            blocking: Mutex::new(0),
            blocking_ended: Condvar::new(),
        }
    }

    /// Reads that run in the slow lane or beyond the inline budget.
    pub(crate) fn running(&self) -> usize {
        self.active.load(SeqCst)
    }

    /// Those among them that may be long: in the way of a WAL that is to start over.
    pub(crate) fn long(&self) -> usize {
        self.long.load(SeqCst)
    }

    /// Whether one of them runs for so long already.
    pub(crate) fn runs_since(&self, long: Duration) -> bool {
        let now = Instant::now();
        lock(&self.running).iter().any(|run| now.saturating_duration_since(run.since) > long)
    }

    /// Blocking reads among them.
    pub(crate) fn blocking(&self) -> usize {
        *lock(&self.blocking)
    }

    /// Ends the runs whose snapshot is older than a commit.
    pub(crate) fn evict_before(&self, sequence: u64) {
        lock(&self.running).iter().filter(|run| run.snapshot < sequence).for_each(|run| run.watch.evict());
    }

    /// A run outside of the slow lane uses a snapshot, and its watch is armed: it is ended where that keeps the WAL too
    /// large.
    pub(crate) fn enlist(&self, watch: &Arc<Watch>) {
        self.list(watch, 0, Instant::now());
    }

    fn list(&self, watch: &Arc<Watch>, snapshot: u64, since: Instant) {
        lock(&self.running).push(Run { watch: watch.clone(), snapshot, since });
    }

    /// That run has ended.
    pub(crate) fn dismiss(&self, watch: &Arc<Watch>) {
        lock(&self.running).retain(|run| !Arc::ptr_eq(&run.watch, watch));
    }

    /// Holds new long runs back and waits at most `end` for those under way; answers whether none is left. Then new ones wait for
    /// [`Self::let_go`], `longest` in all. Else they go on at once; also where one runs for so long already that it is not
    /// worth the wait.
    pub(crate) fn hold_back(&self, end: Duration, longest: Duration) -> bool {
        let now = Instant::now();
        if lock(&self.running).iter().any(|run| now.saturating_duration_since(run.since) > end) {
            return false;
        }
        *lock(&self.held_until) = Some(now + longest);
        let end = now + end;
        let mut running = lock(&self.running);
        while self.long.load(SeqCst) > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(running);
                self.let_go();
                return false;
            }
            running = self.ended.wait_timeout(running, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// New runs may begin.
    pub(crate) fn let_go(&self) {
        if lock(&self.held_until).take().is_some() {
            self.let_go.notify_all();
        }
    }

    /// Waits while new runs are held back, not past a deadline.
    fn pass(&self, deadline: Instant) {
        let mut held = lock(&self.held_until);
        let began = held.map(|_| Instant::now());
        while let Some(until) = *held {
            let left = until.min(deadline).saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            held = self.let_go.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(began) = began {
            HELD.with(|held| held.set(held.get() + began.elapsed()));
        }
    }

    /// Waits until a run ends, at most this long.
    pub(crate) fn wait_for_an_end(&self, longest: Duration) {
        let running = lock(&self.running);
        drop(self.ended.wait_timeout(running, longest).unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends the runs, waits for their end at most this long, and closes the idle connections.
    pub(crate) fn close(&self, longest: Duration) {
        let end = Instant::now() + longest;
        let mut running = lock(&self.running);
        while self.active.load(SeqCst) > 0 && Instant::now() < end {
            running.iter().for_each(|run| run.watch.evict());
            running = self.ended.wait_timeout(running, LOOK_AGAIN).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(running);
        lock(&self.idle).clear();
    }

    /// A connection for one run outside of the slots.
    pub(crate) fn reader(&self) -> Result<Reader, Error> {
        match lock(&self.idle).pop() {
            Some(reader) => Ok(reader),
            None => Reader::open(&self.opener),
        }
    }

    /// Keeps a connection for the next run.
    pub(super) fn put_back(&self, reader: Reader) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(reader);
        }
    }
}

/// Runs on the calling thread, beside the slow lane's threads but under its limits.
pub(crate) fn run_here<T, E, F>(
    shared: &Arc<Shared>,
    ticket: &Ticket,
    kind: WorkKind,
    runs: Runs,
    f: &F,
) -> Result<Seen<T>, E>
where
    F: Fn(&Snapshot<'_>) -> Result<T, E>,
    E: From<Error>,
{
    let slow = &shared.reads.slow;
    let deadline = deadline_of(shared, ticket);
    {
        let mut running = lock(&slow.blocking);
        while *running >= shared.config.blocking_reads_max {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                shared.has_read(ticket, runs, None);
                return Err(shared.overloaded("blocking reads", Refused { own_fault: false }).into());
            }
            running = slow.blocking_ended.wait_timeout(running, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *running += 1;
    }
    let _permit = Permit(slow);
    match run(shared, ticket, (kind, Length::Long), runs, f, None) {
        Ran::Answer(answer) => answer,
        Ran::IsLong(_) => Err(stopped(shared, ticket, Tripped::Budget).into()),
    }
}

/// The right to one blocking run.
struct Permit<'a>(&'a SlowReads);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *lock(&self.0.blocking) -= 1;
        self.0.blocking_ended.notify_one();
    }
}

/// A run between its first look at the store and the end of its connection's use.
pub(crate) struct Active<'a>(&'a SlowReads, Length);

impl<'a> Active<'a> {
    pub(crate) fn enter(slow: &'a SlowReads, length: Length) -> Self {
        slow.active.fetch_add(1, SeqCst);
        slow.long.fetch_add(usize::from(length == Length::Long), SeqCst);
        Active(slow, length)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, SeqCst);
        self.0.long.fetch_sub(usize::from(self.1 == Length::Long), SeqCst);
        drop(lock(&self.0.running)); // who waits has looked before, or hears it
        self.0.ended.notify_all();
    }
}

/// What a run came to.
pub(super) enum Ran<T, E> {
    Answer(Result<Seen<T>, E>),
    /// It was taken for short, and is not: nothing of it counts but its time.
    IsLong(Runs),
}

pub(super) fn late(ticket: &Ticket) -> Error {
    let label = if ticket.label.is_empty() { "a read" } else { ticket.label };
    Error::new(Kind::Late, format!("{label} waited for the slow lane past its deadline; it was not run"))
}

pub(super) fn run<T, E, F>(
    shared: &Arc<Shared>,
    ticket: &Ticket,
    (kind, length): (WorkKind, Length),
    runs: Runs,
    f: &F,
    call: Option<&Call<T, E>>,
) -> Ran<T, E>
where
    F: Fn(&Snapshot<'_>) -> Result<T, E>,
    E: From<Error>,
{
    let slow = &shared.reads.slow;
    if length == Length::Long {
        slow.pass(deadline_of(shared, ticket));
    }
    let _active = Active::enter(slow, length); // before the look at `closed`, so that a closing store waits for it
    let mut reader = match newest(shared) {
        Ok(reader) => reader,
        Err(e) => return Ran::Answer(Err(e.into())),
    };
    let sequence = reader.sequence;
    let watch = reader.connection.watch.clone();
    let (began, slow_from) = (Instant::now(), shared.config.slow_read.saturating_sub(runs.took));
    sight::profile(reader.connection.sqlite(), &watch);
    watch.arm_timed(deadline_of(shared, ticket), Some((began, slow_from)));
    slow.list(&watch, sequence, began);
    if let Some(call) = call {
        *lock(&call.watch) = Some(watch.clone());
        if call.promise.is_abandoned() {
            watch.evict(); // dropped before there was a watch to tell
        }
    }
    let cpu = thread_cpu_ns();
    if length == Length::Short {
        watch.take_for_short(began, cpu);
    }
    let snapshot =
        Snapshot::new(reader.connection.sqlite(), &reader.connection.watch, sequence, shared.config.gate_bytes);
    let result = catch_unwind(AssertUnwindSafe(|| f(&snapshot)));
    if matches!(result, Ok(Err(_))) {
        shared.look_for_damage(reader.connection.sqlite());
    }
    let cpu = thread_cpu_ns() - cpu;
    let ended = Instant::now();
    watch.check_deadline(ended);
    watch.disarm();
    let (statement, tripped) = (watch.sight.take(), watch.tripped());
    if let Some(call) = call {
        *lock(&call.watch) = None;
    }
    if u128::from(cpu) <= shared.config.inline_budget.as_nanos() {
        shared.reads.kinds.ran_under(kind, ticket.tenant);
    } else {
        shared.reads.kinds.ran_over(kind, ticket.tenant);
    }
    let is_of_use = reader.end().is_ok() && !shared.is_closed();
    slow.dismiss(&watch);
    if is_of_use {
        slow.put_back(reader); // from here on the watch may be the next run's
    } else {
        drop(reader);
    }
    let runs = runs.and(began, ended - began);
    if tripped == Some(Tripped::Budget) {
        return Ran::IsLong(runs);
    }
    shared.has_read(ticket, runs, statement.as_deref());
    Ran::Answer(match (tripped, result) {
        (Some(why), _) => {
            Err(stopped(shared, ticket, why).with_statement(statement.map(String::into_boxed_str)).into())
        }
        (None, Ok(result)) => result.map(|value| Seen { value, sequence }),
        (None, Err(panic)) => Err(panicked(panic.as_ref(), "read").into()),
    })
}

/// A reader with a snapshot of the newest commit.
fn newest(shared: &Shared) -> Result<Reader, Error> {
    if shared.is_closed() {
        return Err(shared.closed_error());
    }
    let mut reader = shared.reads.slow.reader()?;
    if let Err(e) = reader.refresh(&shared.epoch) {
        shared.look_for_damage(reader.connection.sqlite());
        return Err(e);
    }
    Ok(reader)
}

pub(super) fn deadline_of(shared: &Shared, ticket: &Ticket) -> Instant {
    let longest = far_from_now(shared.config.slow_time_max);
    ticket.deadline.map_or(longest, |d| d.min(longest))
}

fn stopped(shared: &Shared, ticket: &Ticket, why: Tripped) -> Error {
    let label = if ticket.label.is_empty() { "a read" } else { ticket.label };
    if shared.is_closed() {
        return shared.closed_error();
    }
    let text = match why {
        Tripped::Evicted => format!("{label} was stopped: nobody waited for it, or its snapshot kept the WAL growing"),
        _ => format!(
            "{label} was stopped at its deadline or after the slow lane's limit of {:?}; read less or in pieces",
            shared.config.slow_time_max
        ),
    };
    Error::new(Kind::TooLong, text)
}
