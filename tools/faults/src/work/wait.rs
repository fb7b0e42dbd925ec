//! Waiting with an end: an answer that never comes is what some faults look like.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Most that one wait counts for: the machine may stop this process for minutes, and then all that it waits for too.
const COUNTS_MAX: Duration = Duration::from_secs(1);

/// Blocks until the future is ready, or so long.
pub fn within<F: Future>(longest: Duration, future: F) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    let mut left = longest;
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return Some(value);
        }
        if left.is_zero() {
            return None;
        }
        let began = Instant::now();
        std::thread::park_timeout(left.min(COUNTS_MAX));
        left = left.saturating_sub(began.elapsed().min(COUNTS_MAX));
    }
}

/// Looks whether a future is ready, and waits for nothing.
pub fn ready<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
