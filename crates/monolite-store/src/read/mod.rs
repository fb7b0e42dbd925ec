//! Reads: at once on the calling thread, and in the slow lane when they turn out to be slow.
//!
//! **Invariants**
//! - A run that passed its budget is discarded whatever it returned, and repeated in the slow lane.
//! - A read sees every commit that was acknowledged before it was called.
//! - The blocking form never runs on another thread, so its closure may borrow.

mod chores;
pub(crate) mod kinds;
mod lanes;
mod lengths;
mod occupied;
mod plan;
mod slots;
mod slow;
mod snapshot;
mod task;

pub(crate) use chores::chore;
pub(crate) use lanes::start as start_lane;
pub(crate) use lengths::Length;
pub(crate) use plan::plan_of;
pub(crate) use slots::{Reader, is_reading, thread_number};
pub(crate) use slow::{Active, SlowReads};
pub use snapshot::Snapshot;

use crate::error::{Error, Kind};
use crate::reply::{Why, lock};
use crate::slow_log::Runs;
use crate::sqlite::connection::Opener;
use crate::sqlite::watch::{Tripped, coarse_ns, thread_cpu_ns};
use crate::store::Shared;
use crate::ticket::Ticket;
use kinds::{SlowKinds, Start, WorkKind};
use slots::Slots;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A read's value, and the commit sequence of the snapshot it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<T> {
    /// What the closure returned.
    pub value: T,
    /// The last commit the snapshot contains.
    pub sequence: u64,
}

/// The reading half of a store.
pub(crate) struct Reads {
    pub(crate) slots: Slots,
    pub(crate) kinds: SlowKinds,
    pub(crate) slow: SlowReads,
}

impl Reads {
    pub(crate) fn new(opener: &Arc<Opener>, slots_max: usize) -> Self {
        let slots = Slots::new(opener.clone(), slots_max);
        Reads { slots, kinds: SlowKinds::new(), slow: SlowReads::new(opener.clone()) }
    }
}

/// The answer to [`crate::Store::read`]; the read runs when it is called, the future only waits.
pub struct Read<T, E>(ReadWith<T, E>);

/// The answer to [`crate::Store::read_with`].
pub struct ReadWith<T, E>(State<T, E>);

enum State<T, E> {
    Ready(Option<Result<Seen<T>, E>>),
    Waiting(task::Waiting<T, E>),
}

/// What became of a read on the caller's thread.
enum Inline<T, E> {
    Done(Result<Seen<T>, E>),
    /// It goes to the slow lane, after a run that took so long or none.
    Move(Runs),
}

impl<T, E> ReadWith<T, E> {
    pub(crate) fn start<F>(shared: &Arc<Shared>, ticket: Ticket, f: F) -> Self
    where
        F: Fn(&Snapshot<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let kind = WorkKind::of::<F>(ticket.label);
        let runs = match run_inline(shared, &ticket, kind, &f) {
            Inline::Done(result) => return ReadWith(State::Ready(Some(result))),
            Inline::Move(runs) => runs,
        };
        ReadWith(match task::submit(shared, ticket, kind, runs, f) {
            Ok(waiting) => State::Waiting(waiting),
            Err(e) => State::Ready(Some(Err(e.into()))),
        })
    }
}

impl<T, E> Read<T, E> {
    pub(crate) fn new(with: ReadWith<T, E>) -> Self {
        Read(with)
    }
}

/// Runs on the calling thread to the end, in the slow lane's way where the inline budget is not enough.
pub(crate) fn run_blocking<T, E, F>(shared: &Arc<Shared>, ticket: Ticket, f: F) -> Result<Seen<T>, E>
where
    F: Fn(&Snapshot<'_>) -> Result<T, E>,
    E: From<Error>,
{
    let kind = WorkKind::of_borrowing::<F>(ticket.label);
    let runs = match run_inline(shared, &ticket, kind, &f) {
        Inline::Done(result) => return result,
        Inline::Move(runs) => runs,
    };
    slow::run_here(shared, &ticket, kind, runs, &f)
}

#[inline]
fn start(shared: &Shared, ticket: &Ticket, kind: WorkKind) -> Start {
    if ticket.slow { Start::Slow } else { shared.reads.kinds.start(kind, ticket.tenant) }
}

/// Runs on the calling thread, where the read is not known to be slow.
#[inline]
fn run_inline<T, E, F>(shared: &Arc<Shared>, ticket: &Ticket, kind: WorkKind, f: &F) -> Inline<T, E>
where
    F: Fn(&Snapshot<'_>) -> Result<T, E>,
    E: From<Error>,
{
    let start = start(shared, ticket, kind);
    if start == Start::Slow {
        return Inline::Move(Runs::default());
    }
    let mut held = match shared.reads.slots.hold() {
        Ok(Some(held)) => held,
        Ok(None) => return Inline::Move(Runs::default()),
        Err(e) => return Inline::Done(Err(e.into())),
    };
    if shared.is_closed() {
        return Inline::Done(Err(shared.closed_error().into()));
    }
    let reader = match held.reader(&shared.epoch) {
        Ok(reader) => reader,
        Err(e) => return Inline::Done(Err(e.into())),
    };
    if let Err(e) = reader.refresh(&shared.epoch) {
        shared.look_for_damage(reader.connection.sqlite());
        return Inline::Done(Err(e.into()));
    }
    let sequence = reader.sequence;
    let snapshot =
        Snapshot::new(reader.connection.sqlite(), &reader.connection.watch, sequence, shared.config.gate_bytes);
    reader.connection.watch.arm_inline(shared.config.inline_budget);
    let cpu = if start == Start::Measured { thread_cpu_ns() } else { 0 };
    let clock = coarse_ns();
    let result = catch_unwind(AssertUnwindSafe(|| f(&snapshot)));
    let clock = coarse_ns() - clock;
    reader.connection.watch.disarm();
    let mut runs = Runs::default();
    if clock != 0 {
        let took = Duration::from_nanos(clock);
        runs = runs.and(Instant::now() - took, took);
        if reader.connection.watch.tripped().is_none() {
            // One long instruction on the caller's thread: not seen by the handler. The next of its kind is.
            shared.has_read(ticket, runs, None);
        }
    }
    if cpu != 0 {
        judge(shared, ticket, kind, thread_cpu_ns() - cpu);
    } else if clock != 0 {
        shared.reads.kinds.ticked(kind, ticket.tenant);
    }
    match (reader.connection.watch.tripped(), result) {
        (Some(why), _) => {
            if why == Tripped::Budget {
                shared.reads.kinds.stopped(kind, ticket.tenant);
            }
            if let Some(o) = &shared.config.observer {
                o.moved(ticket.label);
            }
            Inline::Move(runs)
        }
        (None, Ok(result)) => {
            if result.is_err() {
                shared.look_for_damage(reader.connection.sqlite());
            }
            Inline::Done(result.map(|value| Seen { value, sequence }))
        }
        (None, Err(panic)) => {
            let _ = reader.end();
            Inline::Done(Err(panicked(panic.as_ref(), "read").into()))
        }
    }
}

/// Decides on a suspect by the CPU time of one run.
#[cold]
fn judge(shared: &Shared, ticket: &Ticket, kind: WorkKind, cpu_ns: u64) {
    if u128::from(cpu_ns) > shared.config.inline_budget.as_nanos() {
        shared.reads.kinds.held(kind, ticket.tenant);
    } else {
        shared.reads.kinds.cleared(kind, ticket.tenant);
    }
}

/// The error for a closure that panicked.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send), what: &str) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is no text".to_owned());
    Error::new(Kind::Panicked, format!("the closure of a {what} panicked: {text}"))
}

impl<T, E> Unpin for Read<T, E> {}
impl<T, E> Unpin for ReadWith<T, E> {}

impl<T, E: From<Error>> Future for Read<T, E> {
    type Output = Result<T, E>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.map(|seen| seen.value))
    }
}

impl<T, E: From<Error>> Future for ReadWith<T, E> {
    type Output = Result<Seen<T>, E>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().expect("a future is not polled after it has answered")),
            State::Waiting(waiting) => waiting.call.promise.poll(cx).map(|result| result.map_err(Why::told)),
        }
    }
}

impl<T, E> Drop for ReadWith<T, E> {
    fn drop(&mut self) {
        if let State::Waiting(waiting) = &self.0 {
            waiting.abandon();
        }
    }
}
