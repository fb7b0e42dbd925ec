//! The timer: one thread that wakes tasks at their moments.
//!
//! **Invariants**
//! - A task is woken at most once for each alarm, never early.
//! - Wakers run outside of the lock.
//! - An alarm that was dropped holds nothing.
//! - The thread is woken only for a moment before that until which it sleeps: a call that ends in time costs it nothing.

use monolite_service::engine::AlarmId;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Instant;

/// The timer. Dropping it ends its thread.
pub(crate) struct Timer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    alarms: BTreeMap<AlarmId, Waker>,
    number: u64,
    /// Until when the thread sleeps at most; none while it is awake, or sleeps until it is told.
    asleep_until: Option<Instant>,
    naps: u64,
    closing: bool,
}

impl Timer {
    pub(crate) fn start() -> io::Result<Timer> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("timer".into()).spawn({
            let shared = shared.clone();
            move || shared.run()
        })?;
        Ok(Timer { shared, thread: Some(thread) })
    }

    pub(crate) fn set(&self, at: Instant, waker: Waker) -> AlarmId {
        let mut state = self.shared.lock();
        state.number += 1;
        let id = AlarmId { at, number: state.number };
        state.alarms.insert(id, waker);
        let first = state.alarms.first_key_value().is_some_and(|(first, _)| *first == id);
        // Alarms are mostly dropped long before their time, so the thread often sleeps until one that is gone.
        let is_early = state.asleep_until.is_none_or(|until| at < until);
        drop(state);
        if first && is_early {
            self.shared.changed.notify_one();
        }
        id
    }

    pub(crate) fn forget(&self, id: AlarmId) {
        let waker = self.shared.lock().alarms.remove(&id);
        drop(waker); // outside of the lock: a waker's drop may run anything
    }

    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.shared.lock().alarms.len()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.closing {
            let now = Instant::now();
            match state.alarms.first_entry() {
                Some(first) if first.key().at <= now => {
                    let waker = first.remove();
                    drop(state);
                    waker.wake();
                    state = self.lock();
                }
                Some(first) => {
                    let until = first.key().at;
                    state.asleep_until = Some(until);
                    state.naps += 1;
                    let waited = self.changed.wait_timeout(state, until - now);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                    state.asleep_until = None;
                }
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{SyncSender, sync_channel};
    use std::task::Wake;
    use std::time::Duration;

    struct Bell(SyncSender<(u32, Instant)>, u32);
    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.send((self.1, Instant::now())).unwrap();
        }
    }

    #[test]
    fn alarms_ring_in_order_and_never_early() {
        let timer = Timer::start().unwrap();
        let (send, rung) = sync_channel(8);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for (number, ms) in [(3, 30), (1, 10), (2, 20)] {
            timer.set(at(ms), Arc::new(Bell(send.clone(), number)).into());
        }
        for (expected, ms) in [(1, 10), (2, 20), (3, 30)] {
            let (number, when) = rung.recv().unwrap();
            assert_eq!(number, expected);
            assert!(when >= at(ms));
        }
    }

    #[test]
    fn alarms_that_are_forgotten_in_time_do_not_wake_the_thread() {
        let timer = Timer::start().unwrap();
        let (send, rung) = sync_channel(8);
        let bell = |number| Waker::from(Arc::new(Bell(send.clone(), number)));
        let start = Instant::now();
        timer.forget(timer.set(start + Duration::from_secs(60), bell(9)));
        while timer.shared.lock().asleep_until.is_none() {
            // It takes the first alarm for its sleep, or was not there yet: then the next one is the first.
            timer.forget(timer.set(start + Duration::from_secs(60), bell(9)));
            std::thread::yield_now();
        }
        let naps = timer.shared.lock().naps;
        for ms in 1..1000 {
            timer.forget(timer.set(start + Duration::from_secs(60) + Duration::from_millis(ms), bell(9)));
        }
        // One that is before that is still heard of.
        timer.set(start + Duration::from_millis(5), bell(1));
        assert_eq!(rung.recv().unwrap().0, 1);
        let naps = timer.shared.lock().naps - naps;
        assert!(naps <= 10, "the thread woke {naps} times for calls that ended in time");
    }

    #[test]
    fn a_forgotten_alarm_does_not_ring_and_holds_nothing() {
        let timer = Timer::start().unwrap();
        let (send, rung) = sync_channel(8);
        let soon = Instant::now() + Duration::from_millis(5);
        let id = timer.set(soon, Arc::new(Bell(send.clone(), 1)).into());
        timer.forget(id);
        assert_eq!(timer.waiting(), 0);
        timer.set(soon + Duration::from_millis(5), Arc::new(Bell(send, 2)).into());
        assert_eq!(rung.recv().unwrap().0, 2);
    }
}
