//! The answer that a caller waits for: set once by another thread, taken once by a future or a blocked thread.
//!
//! **Invariants**
//! - Waking never happens under a lock that the woken side needs.
//! - A dropped waiter is seen by the worker (`is_abandoned`), which may then skip the work.

use crate::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Why a call failed: its closure's own error, or the store's, which becomes the caller's type on the caller's thread only.
/// That conversion is the caller's code and may panic.
pub(crate) enum Why<E> {
    Own(E),
    Store(Error),
}

impl<E: From<Error>> Why<E> {
    pub(crate) fn told(self) -> E {
        match self {
            Why::Own(error) => error,
            Why::Store(error) => error.into(),
        }
    }
}

/// Drops a caller's value on a thread of the store; a panic of its `Drop` is the caller's, not the thread's.
pub(crate) fn drop_contained<V>(value: V) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}

/// Wakes a caller's task; a panic of its waker is the caller's.
pub(crate) fn wake_contained(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

/// A value that one side sets and the other waits for.
pub(crate) struct Promise<R> {
    state: Mutex<PromiseState<R>>,
    abandoned: AtomicBool,
}

pub(crate) enum PromiseState<R> {
    Waiting(Option<Waker>),
    Ready(R),
    Taken,
}

impl<R> Promise<R> {
    pub(crate) fn new() -> Self {
        Promise { state: Mutex::new(PromiseState::Waiting(None)), abandoned: AtomicBool::new(false) }
    }

    /// Sets the value and answers whom to wake.
    pub(crate) fn set(&self, value: R) -> Option<Waker> {
        match std::mem::replace(&mut *lock(&self.state), PromiseState::Ready(value)) {
            PromiseState::Waiting(waker) => waker,
            _ => None,
        }
    }

    /// Takes the value, or registers the waker.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<R> {
        let mut state = lock(&self.state);
        match &mut *state {
            PromiseState::Waiting(waker) => {
                match waker {
                    Some(w) if w.will_wake(cx.waker()) => {}
                    _ => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            PromiseState::Ready(_) => match std::mem::replace(&mut *state, PromiseState::Taken) {
                PromiseState::Ready(value) => Poll::Ready(value),
                _ => unreachable!("matched as ready above"),
            },
            PromiseState::Taken => panic!("a future was polled after it had answered"),
        }
    }

    /// Takes what is left, a value that nobody took or a waker: the end of the promise. Dropping it is the caller's code.
    pub(crate) fn take_rest(&mut self) -> PromiseState<R> {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(state, PromiseState::Taken)
    }

    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Relaxed);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed)
    }
}

/// Locks; a panic elsewhere never makes the data here unusable, since closures run outside of locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A moment from now; a wait too long to be counted is a year.
pub(crate) fn far_from_now(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 3600))
}

/// Blocks the thread until the future is ready. The store's futures end by their deadline.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_thread_wakes_when_the_promise_is_set() {
        let promise = Arc::new(Promise::new());
        let other = promise.clone();
        let waiter = std::thread::spawn(move || block_on(std::future::poll_fn(|cx| other.poll(cx))));
        loop {
            // set only once somebody waits, so that the wake is what is tested
            if matches!(&*lock(&promise.state), PromiseState::Waiting(Some(_))) {
                break;
            }
            std::thread::yield_now();
        }
        promise.set(7).expect("a waiter registered").wake();
        assert_eq!(waiter.join().unwrap(), 7);
    }
}
