//! The fallback of a cut: the writers of its stores wait between two groups while the snapshots are opened.
//!
//! **Invariants**
//! - One cut of the process pauses writers at a time, so that two never wait for each other's.
//! - A writer waits for [`PAUSE_MAX`] at most, and not at all where the cut has gone on.
//! - A cut does not wait for a writer that is busy for long: while its group runs, it commits nothing.

use crate::error::{Error, Kind, Result};
use crate::reply::lock;
use crate::store::Shared;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a cut waits for the writers to come to the end of their groups.
const ARRIVE_MAX: Duration = Duration::from_millis(20);
/// How long a writer waits for a cut.
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// How long a cut waits for others that pause writers.
const TURN_MAX: Duration = Duration::from_secs(2);

/// The right to pause writers.
pub(super) struct Turn(());

struct Turns {
    taken: Mutex<bool>,
    free: Condvar,
}

static TURNS: Turns = Turns { taken: Mutex::new(false), free: Condvar::new() };

impl Turn {
    /// Waits for it, a bounded time.
    pub(super) fn take() -> Result<Turn> {
        let end = Instant::now() + TURN_MAX;
        let mut taken = lock(&TURNS.taken);
        while *taken {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text = "other cuts have the writers paused all the time; nothing was done, try again";
                return Err(Error::new(Kind::Overloaded, text).with_retry_after(Duration::from_secs(1)));
            }
            taken = TURNS.free.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken = true;
        Ok(Turn(()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *lock(&TURNS.taken) = false;
        TURNS.free.notify_one();
    }
}

/// A pause that writers were asked for.
pub(crate) struct Pause {
    state: Mutex<PauseState>,
    changed: Condvar,
}

struct PauseState {
    missing: usize,
    is_over: bool,
}

impl Pause {
    /// Asks the writers of these stores to pause; dropping the answer lets them go on.
    pub(super) fn of(stores: &[&Arc<Shared>]) -> Paused {
        let state = PauseState { missing: stores.len(), is_over: false };
        let pause = Arc::new(Pause { state: Mutex::new(state), changed: Condvar::new() });
        stores.iter().for_each(|store| store.queue.pause(&pause));
        Paused(pause)
    }

    /// A writer's part: it has come, and waits until the cut has gone on.
    pub(crate) fn attend(&self) {
        let end = Instant::now() + PAUSE_MAX;
        let mut state = lock(&self.state);
        state.missing -= 1;
        self.changed.notify_all();
        while !state.is_over {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether nobody waits for writers any more.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.state).is_over
    }
}

/// A pause in force, until it is dropped.
pub(super) struct Paused(Arc<Pause>);

impl Paused {
    /// Waits until all writers have come, or those that have not are busy for long.
    pub(super) fn wait_for_all(&self) {
        let end = Instant::now() + ARRIVE_MAX;
        let mut state = lock(&self.0.state);
        while state.missing > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        lock(&self.0.state).is_over = true;
        self.0.changed.notify_all();
    }
}
