//! The bell: how a follower that has taken everything hears of the next commit.
//!
//! **Invariants**
//! - Who arms it and then finds no commit hears of the next one: the writer publishes, then looks; the follower arms,
//!   then looks; one of them sees the other.
//! - A writer whose bell is not armed pays a fence and a load.

use crate::reply::lock;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What is called when it rings; on the writer's thread, so it only makes a note.
pub(super) type Heard = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
pub(super) struct Bell {
    armed: AtomicBool,
    heard: Mutex<State>,
    rung: Condvar,
}

#[derive(Default)]
struct State {
    rung: bool,
    call: Option<Heard>,
}

impl Bell {
    /// A commit was published.
    #[inline]
    pub(super) fn committed(&self) {
        fence(Ordering::SeqCst);
        if self.armed.load(Ordering::Relaxed) {
            self.ring();
        }
    }

    /// From now on the next commit rings.
    pub(super) fn arm(&self) {
        lock(&self.heard).rung = false;
        self.armed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(super) fn on_ring(&self, call: Option<Heard>) {
        lock(&self.heard).call = call;
    }

    /// Rings once.
    #[cold]
    pub(super) fn ring(&self) {
        self.armed.store(false, Ordering::Relaxed);
        let mut state = lock(&self.heard);
        state.rung = true;
        let call = state.call.clone();
        drop(state);
        self.rung.notify_all();
        if let Some(call) = call {
            let _ = catch_unwind(AssertUnwindSafe(|| call())); // the writer goes on whatever a follower does
        }
    }

    /// Waits until it has rung since it was armed; answers whether it did.
    pub(super) fn wait(&self, most: Duration) -> bool {
        let state = lock(&self.heard);
        let waited = self.rung.wait_timeout_while(state, most, |state| !state.rung);
        waited.unwrap_or_else(PoisonError::into_inner).0.rung
    }
}
