//! A write from call to answer: its closure, its runs, its outcome, its future.
//!
//! **Invariants**
//! - The closure may run more than once; only its last run's result is answered.
//! - A write whose future was dropped before its turn never runs; once running it completes.
//! - The closure runs outside of every lock.

use super::queue::NotQueued;
use super::{Tx, Written};
use crate::error::{Error, Kind};
use crate::planted::planted;
use crate::read::kinds::WorkKind;
use crate::read::panicked;
use crate::reply::{Promise, Why, drop_contained, far_from_now, lock};
use crate::store::Shared;
use crate::ticket::{Tenant, Ticket};
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

thread_local! { static ON_WRITER: Cell<bool> = const { Cell::new(false) } }

/// Marks the calling thread as a writer's: it may not wait for writes.
pub(crate) fn mark_writer_thread() {
    ON_WRITER.with(|w| w.set(true));
}

/// Whether the calling thread is a writer's.
pub(crate) fn is_writer_thread() -> bool {
    ON_WRITER.with(Cell::get)
}

/// What the writer needs to know of a write.
pub(crate) struct Order {
    pub(crate) ticket: Ticket,
    pub(crate) kind: WorkKind,
    pub(crate) deadline: Instant,
    pub(crate) queued: Instant,
}

/// What a run of the closure came to.
pub(crate) enum Ran {
    /// `Ok`: keep the changes if they settle.
    Kept,
    /// `Err`: undo the changes; the closure's own error is the answer.
    Refused,
    /// It panicked: undo; the answer is set.
    Panicked,
}

/// A queued write without its types.
pub(crate) trait Job: Send + Sync {
    fn order(&self) -> &Order;
    /// Claims the write for running; false when nobody waits for it any more.
    fn claim(&self) -> bool;
    /// Whether its caller dropped it before its turn.
    fn is_husk(&self) -> bool;
    /// Runs the closure once and keeps its result.
    fn run(&self, tx: &Tx<'_>) -> Ran;
    /// Answers with the last run's result.
    fn answer(&self, sequence: u64, place: u32) -> Option<Waker>;
    /// Answers with an error of the store.
    fn fail(&self, error: Error) -> Option<Waker>;
}

/// A write with its types.
pub(crate) struct Pending<T, E, F> {
    order: Order,
    work: Mutex<Work<T, E, F>>,
    promise: Promise<Result<Written<T>, Why<E>>>,
}

struct Work<T, E, F> {
    claimed: bool,
    closure: Option<F>,
    result: Option<Result<T, Why<E>>>,
}

impl<T, E, F> Pending<T, E, F> {
    pub(crate) fn new(order: Order, closure: F) -> Self {
        let work = Work { claimed: false, closure: Some(closure), result: None };
        Pending { order, work: Mutex::new(work), promise: Promise::new() }
    }
}

impl<T, E, F> Job for Pending<T, E, F>
where
    F: FnMut(&Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    fn order(&self) -> &Order {
        &self.order
    }

    fn claim(&self) -> bool {
        let mut work = lock(&self.work);
        work.claimed = work.closure.is_some();
        work.claimed
    }

    fn is_husk(&self) -> bool {
        let work = lock(&self.work);
        !work.claimed && work.closure.is_none()
    }

    fn run(&self, tx: &Tx<'_>) -> Ran {
        let closure = lock(&self.work).closure.take();
        let mut closure = closure.expect("a claimed write keeps its closure until it is answered");
        let result = catch_unwind(AssertUnwindSafe(|| closure(tx)));
        let mut work = lock(&self.work);
        match result {
            Ok(result) => {
                let ran = if result.is_ok() { Ran::Kept } else { Ran::Refused };
                work.closure = Some(closure);
                let before = work.result.replace(result.map_err(Why::Own));
                drop(work);
                drop_contained(before);
                ran
            }
            Err(panic) => {
                let before = work.result.replace(Err(Why::Store(panicked(panic.as_ref(), "write"))));
                drop(work);
                drop_contained(closure);
                drop_contained(before);
                drop_contained(panic);
                Ran::Panicked
            }
        }
    }

    fn answer(&self, sequence: u64, place: u32) -> Option<Waker> {
        let (result, closure) = {
            let mut work = lock(&self.work);
            (work.result.take(), work.closure.take())
        };
        drop_contained(closure);
        let result = result.expect("only a write that ran is answered");
        self.promise.set(result.map(|value| Written { value, sequence, place }))
    }

    fn fail(&self, error: Error) -> Option<Waker> {
        let closure = lock(&self.work).closure.take();
        drop_contained(closure);
        self.promise.set(Err(Why::Store(error)))
    }
}

/// The last to let go of a write may be the writer's thread: what the caller left behind must not end it.
impl<T, E, F> Drop for Pending<T, E, F> {
    fn drop(&mut self) {
        let work = self.work.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop_contained((work.closure.take(), work.result.take()));
        drop_contained(self.promise.take_rest());
    }
}

/// The waiting side of a write.
pub(crate) trait Answer<T, E>: Send + Sync {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Written<T>, E>>;
    /// Nobody waits any more; answers whether the write was taken out before its turn.
    fn abandon(&self) -> bool;
    fn tenant(&self) -> Tenant;
}

impl<T, E, F> Answer<T, E> for Pending<T, E, F>
where
    F: Send,
    T: Send,
    E: From<Error> + Send,
{
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Written<T>, E>> {
        self.promise.poll(cx).map(|result| result.map_err(Why::told))
    }

    fn abandon(&self) -> bool {
        let closure = {
            let mut work = lock(&self.work);
            if work.claimed || planted!("dropped_write_runs") { None } else { work.closure.take() }
        };
        self.promise.abandon();
        closure.is_some()
    }

    fn tenant(&self) -> Tenant {
        self.order.ticket.tenant
    }
}

/// The answer to [`crate::Store::write`]. The write was queued by the call; dropping this before its turn removes it.
pub struct Write<T, E>(WriteWith<T, E>);

/// The answer to [`crate::Store::write_with`].
pub struct WriteWith<T, E>(State<T, E>);

enum State<T, E> {
    Waiting(Arc<dyn Answer<T, E>>, Arc<Shared>),
    Failed(Option<Error>),
    Done,
}

impl<T, E> WriteWith<T, E> {
    /// Queues a write.
    pub(crate) fn start<F>(shared: &Arc<Shared>, ticket: Ticket, closure: F) -> Self
    where
        F: FnMut(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let queued = Instant::now();
        let deadline = ticket.deadline.filter(|_| !planted!("deadline_ignored"));
        let deadline = deadline.unwrap_or_else(|| far_from_now(shared.config.deadline));
        let kind = WorkKind::of::<F>(ticket.label);
        let pending = Arc::new(Pending::new(Order { ticket, kind, deadline, queued }, closure));
        WriteWith(match shared.queue.push(pending.clone()) {
            Ok(()) => State::Waiting(pending, shared.clone()),
            Err(NotQueued::Closed) => State::Failed(Some(shared.refusal())),
            Err(NotQueued::Full(refused)) => {
                if let Some(o) = &shared.config.observer {
                    o.refused(ticket.label);
                }
                State::Failed(Some(shared.overloaded("writes", refused)))
            }
        })
    }
}

impl<T, E> Write<T, E> {
    pub(crate) fn new(with: WriteWith<T, E>) -> Self {
        Write(with)
    }
}

impl<T, E> Unpin for Write<T, E> {}
impl<T, E> Unpin for WriteWith<T, E> {}

impl<T, E: From<Error>> Future for Write<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.map(|written| written.value))
    }
}

impl<T, E: From<Error>> Future for WriteWith<T, E> {
    type Output = Result<Written<T>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = match &mut self.0 {
            State::Waiting(answer, _) => answer.poll(cx),
            State::Failed(error) => Poll::Ready(Err(error
                .take()
                .unwrap_or_else(|| Error::new(Kind::Internal, "a future was polled after it had answered"))
                .into())),
            State::Done => panic!("a future was polled after it had answered"),
        };
        match polled {
            Poll::Ready(result) => {
                self.0 = State::Done;
                Poll::Ready(result)
            }
            Poll::Pending if is_writer_thread() => Poll::Ready(Err(Error::new(
                Kind::Nested,
                "a write was waited for on a writer's thread, which could wait for ever; call it from outside the write",
            )
            .into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T, E> Drop for WriteWith<T, E> {
    fn drop(&mut self) {
        if let State::Waiting(answer, shared) = &self.0
            && answer.abandon()
        {
            shared.queue.dropped(answer.tenant());
        }
    }
}
