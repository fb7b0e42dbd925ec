//! Deadlines: a future with an end.

use super::Engine;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Instant;

/// Names an alarm: its moment and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlarmId {
    /// When it wakes.
    pub at: Instant,
    /// Tells it from others of the same moment.
    pub number: u64,
}

/// Why a future has no value.
pub(super) enum Unfinished {
    Late,
    Panicked,
}

/// Runs a future until a moment; a panic inside ends it, not the thread.
pub(super) async fn within<F: Future>(engine: &dyn Engine, until: Instant, future: F) -> Result<F::Output, Unfinished> {
    let mut future = pin!(future);
    let mut alarm = Alarm { engine, set: None };
    poll_fn(|cx| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(value)) => return Poll::Ready(Ok(value)),
            Ok(Poll::Pending) => {}
            Err(_) => return Poll::Ready(Err(Unfinished::Panicked)),
        }
        if Instant::now() >= until {
            return Poll::Ready(Err(Unfinished::Late));
        }
        alarm.set(until, cx.waker());
        Poll::Pending
    })
    .await
}

/// An alarm that is forgotten when nobody waits any more.
struct Alarm<'e> {
    engine: &'e dyn Engine,
    set: Option<(AlarmId, Waker)>,
}

impl Alarm<'_> {
    fn set(&mut self, at: Instant, waker: &Waker) {
        if self.set.as_ref().is_some_and(|(_, w)| w.will_wake(waker)) {
            return;
        }
        self.forget();
        self.set = Some((self.engine.set_alarm(at, waker.clone()), waker.clone()));
    }

    fn forget(&mut self) {
        if let Some((id, _)) = self.set.take() {
            self.engine.drop_alarm(id);
        }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}
