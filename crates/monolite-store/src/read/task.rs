//! A read on its way through the slow lane: the caller's side, and the side of the lane.
//!
//! **Invariants**
//! - The closure is taken by whoever claimed the task, and its drop is contained. A run that was taken for short and is
//!   not gives it back, and the task goes on among the long ones.
//! - A store counts its waiting reads until they are claimed.
//! - What nobody waits for any more is not run, nor run again.

use super::kinds::{WorkKind, own};
use super::lanes::{self, NotLetIn, Task};
use super::lengths::Length;
use super::slow::{Call, Ran, SlowCall, deadline_of, late, run};
use super::{Relaxed, Seen, Snapshot, panicked};
use crate::error::{Error, Kind};
use crate::fair::Refused;
use crate::reply::{Promise, Why, drop_contained, lock, wake_contained};
use crate::slow_log::Runs;
use crate::store::Shared;
use crate::ticket::{Tenant, Ticket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Queues a read for the slow lane.
pub(crate) fn submit<T, E, F>(
    shared: &Arc<Shared>,
    ticket: Ticket,
    kind: WorkKind,
    runs: Runs,
    f: F,
) -> Result<Waiting<T, E>, Error>
where
    F: Fn(&Snapshot<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let slow = &shared.reads.slow;
    if shared.is_closed() {
        return Err(shared.closed_error());
    }
    let refuse = |why: NotLetIn| {
        slow.waiting.fetch_sub(1, Relaxed);
        if let Some(o) = &shared.config.observer {
            o.refused(ticket.label);
        }
        shared.has_read(&ticket, runs, None);
        match why {
            NotLetIn::Full(refused) => shared.overloaded("slow reads", refused),
            NotLetIn::Stuck => stuck(),
        }
    };
    if slow.waiting.fetch_add(1, Relaxed) >= shared.config.slow_queue_max {
        return Err(refuse(NotLetIn::Full(Refused { own_fault: false })));
    }
    let call = Arc::new(SlowCall { promise: Promise::new(), watch: Mutex::new(None) });
    let deadline = deadline_of(shared, &ticket);
    let task: Arc<dyn Task> = Arc::new(SlowTask {
        answer: call.clone(),
        shared: shared.clone(),
        ticket: Ticket { deadline: Some(deadline), ..ticket },
        deadline,
        kind,
        claimed: AtomicBool::new(false),
        work: Mutex::new(Some((f, runs))),
    });
    let number = lanes::submit(task.clone(), shared.config.slow_tenant_queue_max).map_err(refuse)?;
    Ok(Waiting { call, task, number })
}

fn stuck() -> Error {
    let text = "no thread for slow reads is free, nor may soon be: each is held by a read that is past its deadline and cannot be \
                stopped, a single long instruction or a wait outside of SQLite; nothing was done, try again";
    Error::new(Kind::Overloaded, text).with_retry_after(Duration::from_secs(1))
}

/// The caller's side of a read in the slow lane.
pub(crate) struct Waiting<T, E> {
    pub(crate) call: Arc<Call<T, E>>,
    task: Arc<dyn Task>,
    number: u64,
}

impl<T, E> Waiting<T, E> {
    /// Nobody waits any more: it is not begun, or stopped, and not begun again.
    pub(crate) fn abandon(&self) {
        self.call.abandon();
        lanes::withdraw(&self.task, self.number);
    }
}

/// The lane's side: the closure is taken by whoever claimed it.
struct SlowTask<T, E, F> {
    answer: Arc<Call<T, E>>,
    shared: Arc<Shared>,
    ticket: Ticket,
    deadline: Instant,
    kind: WorkKind,
    claimed: AtomicBool,
    /// With what it took so far.
    work: Mutex<Option<(F, Runs)>>,
}

impl<T, E, F> SlowTask<T, E, F> {
    fn take(&self) -> Option<(F, Runs)> {
        lock(&self.work).take()
    }

    /// It is not run any more, and had no answer.
    fn give_up(&self) -> Option<F> {
        let (f, runs) = self.take()?;
        self.shared.has_read(&self.ticket, runs, None);
        Some(f)
    }

    /// Answers, after the closure is gone: the answer does not depend on what it held.
    fn answer(&self, f: F, result: Result<Seen<T>, Why<E>>) {
        drop_contained(f);
        if let Some(waker) = self.answer.promise.set(result) {
            wake_contained(waker);
        }
    }
}

impl<T, E, F> Task for SlowTask<T, E, F>
where
    F: Fn(&Snapshot<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    fn tenant(&self) -> Tenant {
        self.ticket.tenant
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn key(&self) -> u64 {
        let opening = self.shared.following.opening().rotate_left(32);
        own(self.kind, self.ticket.tenant).number() ^ opening
    }

    fn claim(&self) -> bool {
        let is_first = !self.claimed.swap(true, Relaxed);
        if is_first {
            self.shared.reads.slow.waiting.fetch_sub(1, Relaxed);
        }
        is_first
    }

    fn is_claimed(&self) -> bool {
        self.claimed.load(Relaxed)
    }

    fn is_wanted(&self) -> bool {
        !self.answer.promise.is_abandoned()
    }

    fn unclaim(&self) {
        self.shared.reads.slow.waiting.fetch_add(1, Relaxed);
        self.claimed.store(false, Relaxed);
    }

    fn run(&self, length: Length, ended: &dyn Fn()) -> bool {
        if !self.is_wanted() {
            self.discard();
            return false;
        }
        let Some((f, runs)) = self.take() else { return false };
        let run = || {
            if self.deadline < Instant::now() {
                self.shared.has_read(&self.ticket, runs, None);
                return Ran::Answer(Err(late(&self.ticket).into()));
            }
            run(&self.shared, &self.ticket, (self.kind, length), runs, &f, Some(&self.answer))
        };
        let result = catch_unwind(AssertUnwindSafe(run));
        let result = match result {
            Ok(Ran::Answer(result)) => result.map_err(Why::Own),
            Ok(Ran::IsLong(runs)) => {
                *lock(&self.work) = Some((f, runs));
                ended();
                return true;
            }
            Err(panic) => Err(Why::Store(panicked(panic.as_ref(), "read"))),
        };
        ended();
        self.answer(f, result);
        false
    }

    fn expire(&self) {
        if let Some(f) = self.give_up() {
            self.answer(f, Err(Why::Store(late(&self.ticket))));
        }
    }

    fn discard(&self) {
        drop_contained(self.give_up());
    }
}
