//! A pool: a few threads for work that takes milliseconds of processor time, such as a password's hash.
//!
//! **Invariants**
//! - Threads and waiting work are bounded; one more is refused as overloaded.
//! - No tenant but the system has more than a quarter of the waiting work, so that none keeps all others out.
//! - Work whose caller went away before its turn is not done.
//! - A panic fails its own work; the thread goes on.

use crate::failure::{Failure, FailureKind};
use monolite_store::Tenant;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Bounded threads with a bounded queue, awaitable from any async runtime. Clones are handles to the same pool; its
/// threads start when they are first needed and end with the last handle.
#[derive(Clone)]
pub struct Pool(Arc<Handle>);

struct Handle(Arc<Shared>);

type Job = Box<dyn FnOnce() + Send>;

/// For whom work is done that nobody in particular asked for; without a share of its own.
const SYSTEM: Tenant = Tenant(0);

struct Shared {
    name: &'static str,
    threads_max: usize,
    queue_max: usize,
    state: Mutex<State>,
    work_or_end: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Tenant, Job)>,
    of_tenants: HashMap<Tenant, usize>,
    threads: usize,
    idle: usize,
    closing: bool,
}

impl Pool {
    /// A pool of so many threads, with at most so many pieces of work waiting.
    pub fn new(name: &'static str, threads_max: usize, queue_max: usize) -> Self {
        let threads_max = threads_max.max(1);
        let shared = Shared { name, threads_max, queue_max, state: Mutex::default(), work_or_end: Condvar::new() };
        Pool(Arc::new(Handle(Arc::new(shared))))
    }

    /// Pieces of work that wait for a thread.
    pub fn waiting(&self) -> usize {
        lock(&self.0.0.state).queue.len()
    }

    /// Runs the system's own work on a thread of the pool. Queued when called; if the future is dropped before its turn,
    /// it is not done.
    pub fn run<T, F>(&self, work: F) -> impl Future<Output = Result<T, Failure>> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.run_for(SYSTEM, work)
    }

    /// Runs work for a tenant, of whose work a quarter of the queue may wait at once; one more is refused as overloaded
    /// by its own fault.
    pub fn run_for<T, F>(
        &self,
        tenant: Tenant,
        work: F,
    ) -> impl Future<Output = Result<T, Failure>> + Send + 'static + use<T, F>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let slot = Arc::new(Mutex::new(Slot { value: None, waker: None, wanted: true, answered: false }));
        let job: Job = {
            let promise = Promise { slot: slot.clone() };
            Box::new(move || {
                if lock(&promise.slot).wanted {
                    let panicked = |_| Failure::new(FailureKind::Panicked, "the work panicked");
                    promise.keep(catch_unwind(AssertUnwindSafe(work)).map_err(panicked));
                }
            })
        };
        if let Err(refused) = self.0.0.push(tenant, job) {
            lock(&slot).value = Some(Err(refused)); // in place of what the dropped job said
        }
        Waiting { slot }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.closing = true;
        let never_run = std::mem::take(&mut state.queue);
        drop(state);
        self.0.work_or_end.notify_all();
        drop(never_run);
    }
}

impl Shared {
    fn push(self: &Arc<Self>, tenant: Tenant, job: Job) -> Result<(), Failure> {
        let mut state = lock(&self.state);
        if state.idle == 0 && state.threads >= self.threads_max {
            self.has_room(&state, tenant)?;
        }
        if state.idle <= state.queue.len() && state.threads < self.threads_max {
            let shared = self.clone();
            let started = std::thread::Builder::new().name(self.name.into()).spawn(move || shared.work());
            match started {
                Ok(_) => state.threads += 1,
                Err(e) if state.threads == 0 => {
                    return Err(Failure::new(FailureKind::Overloaded, format!("no thread for {}: {e}", self.name)));
                }
                Err(_) => {} // the threads there are will come to it
            }
        }
        state.queue.push_back((tenant, job));
        *state.of_tenants.entry(tenant).or_default() += 1;
        drop(state);
        self.work_or_end.notify_one();
        Ok(())
    }

    fn has_room(&self, state: &State, tenant: Tenant) -> Result<(), Failure> {
        let wait = Duration::from_secs(1);
        if state.queue.len() >= self.queue_max {
            let full = Failure::new(FailureKind::Overloaded, format!("too much work waits for {}", self.name));
            return Err(full.with_retry_after(wait));
        }
        let share = (self.queue_max / 4).max(1);
        if tenant != SYSTEM && state.of_tenants.get(&tenant).is_some_and(|&waiting| waiting >= share) {
            let full = Failure::new(FailureKind::Overloaded, format!("too much of your work waits for {}", self.name));
            return Err(full.by_own_fault().with_retry_after(wait));
        }
        Ok(())
    }

    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.next() {
                drop(state);
                job();
                state = lock(&self.state);
            } else if state.closing {
                return;
            } else {
                state.idle += 1;
                state = self.work_or_end.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

impl State {
    fn next(&mut self) -> Option<Job> {
        let (tenant, job) = self.queue.pop_front()?;
        if let Some(waiting) = self.of_tenants.get_mut(&tenant) {
            *waiting -= 1;
            if *waiting == 0 {
                self.of_tenants.remove(&tenant);
            }
        }
        Some(job)
    }
}

struct Slot<T> {
    value: Option<Result<T, Failure>>,
    waker: Option<Waker>,
    wanted: bool,
    answered: bool,
}

/// The pool's side of a piece of work: dropped without a value, it says that the pool is closed.
struct Promise<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

impl<T> Promise<T> {
    fn keep(&self, value: Result<T, Failure>) {
        let mut slot = lock(&self.slot);
        slot.value = Some(value);
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let slot = lock(&self.slot);
        let unanswered = slot.value.is_none() && slot.wanted && !slot.answered;
        drop(slot);
        if unanswered {
            self.keep(Err(Failure::new(FailureKind::Closed, "the pool is closed")));
        }
    }
}

struct Waiting<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

impl<T> Future for Waiting<T> {
    type Output = Result<T, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.slot);
        if let Some(value) = slot.value.take() {
            slot.answered = true;
            return Poll::Ready(value);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        lock(&self.slot).wanted = false;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;
    use std::task::Wake;
    use std::thread::Thread;

    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        let waker = Arc::new(Unpark(std::thread::current())).into();
        let mut future = std::pin::pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => return value,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    #[test]
    fn work_is_done_on_another_thread() {
        let pool = Pool::new("work", 2, 8);
        let name = wait(pool.run(|| std::thread::current().name().map(str::to_owned))).unwrap();
        assert_eq!(name.as_deref(), Some("work"));
    }

    #[test]
    fn a_panic_fails_its_own_work_only() {
        let pool = Pool::new("work", 1, 8);
        let panicked = wait(pool.run(|| panic!("on purpose"))).unwrap_err();
        assert_eq!(panicked.kind(), FailureKind::Panicked);
        assert_eq!(wait(pool.run(|| 7)).unwrap(), 7);
    }

    #[test]
    fn one_more_than_the_queue_holds_is_overloaded_and_dropped_work_is_not_done() {
        let pool = Pool::new("work", 1, 2);
        let (open, gate) = sync_channel::<()>(0);
        let (started, running) = sync_channel(0);
        let first = pool.run(move || {
            started.send(()).unwrap();
            gate.recv().unwrap();
        });
        running.recv().unwrap();
        let (done, was_done) = sync_channel(1);
        let dropped = pool.run(move || done.send(()).unwrap());
        let last = pool.run(|| ());
        let refused = wait(pool.run(|| ())).unwrap_err();
        assert_eq!(refused.kind(), FailureKind::Overloaded);
        assert!(refused.retry_after().is_some());
        drop(dropped);
        open.send(()).unwrap();
        wait(first).unwrap();
        wait(last).unwrap();
        assert!(was_done.try_recv().is_err());
    }

    #[test]
    fn a_tenant_has_a_quarter_of_the_queue_and_leaves_the_rest_to_others() {
        let pool = Pool::new("work", 1, 8);
        let (open, gate) = sync_channel::<()>(0);
        let (started, running) = sync_channel(0);
        let first = pool.run_for(Tenant(7), move || {
            started.send(()).unwrap();
            gate.recv().unwrap();
        });
        running.recv().unwrap();
        let queue = |tenant| pool.run_for(Tenant(tenant), || ());
        let mut waiting = vec![queue(7), queue(7)];
        let refused = wait(queue(7)).unwrap_err();
        assert_eq!((refused.kind(), refused.is_own_fault()), (FailureKind::Overloaded, true));
        waiting.push(queue(8));
        let system: Vec<_> = (0..5).map(|_| pool.run(|| ())).collect();
        let full = wait(queue(9)).unwrap_err();
        assert_eq!((full.is_own_fault(), pool.waiting()), (false, 8));
        open.send(()).unwrap();
        wait(first).unwrap();
        waiting.into_iter().for_each(|done| wait(done).unwrap());
        system.into_iter().for_each(|done| wait(done).unwrap());
        wait(queue(7)).unwrap();
        assert!(lock(&pool.0.0.state).of_tenants.is_empty());
    }

    #[test]
    fn work_waiting_when_the_pool_ends_is_answered() {
        let pool = Pool::new("work", 1, 1);
        let (open, gate) = sync_channel::<()>(0);
        let (started, running) = sync_channel(0);
        let first = pool.run(move || {
            started.send(()).unwrap();
            gate.recv().unwrap();
        });
        running.recv().unwrap();
        let second = pool.run(|| ());
        drop(pool);
        assert_eq!(wait(second).unwrap_err().kind(), FailureKind::Closed);
        open.send(()).unwrap();
        wait(first).unwrap();
    }
}
