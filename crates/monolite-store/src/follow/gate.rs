//! The gate: whether the WAL may be started over.
//!
//! SQLite starts it over in one place, `walRestartHdr`, reached by two ways: a writer's first frames after everything was
//! copied (`walRestartLog`) and a TRUNCATE checkpoint. Both first take the locks WAL_READ_LOCK(1) to (4) at once,
//! exclusively, to be sure that no reader uses the WAL; nothing else takes these four together. A RESTART checkpoint takes
//! them too, to see whether the next writer could. Answered with BUSY, all three take it for a reader and append.
//! So the store's VFS asks the gate there.
//!
//! **Invariants**
//! - What was released is counted in frames of one generation of the WAL (its salts): a commit that another program
//!   appended holds the gate too, though it has no number.
//! - The writer's and the checkpointer's connections ask the gate; readers never write, so they never get there.

use crate::reply::lock;
use crate::sqlite::live::WalIndex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// How far a follower has released the WAL.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Released {
    pub(super) salts: [u8; 8],
    pub(super) frames: u64,
    pub(super) sequence: u64,
}

/// Held while a store is followed.
#[derive(Default)]
pub(crate) struct Gate {
    held: AtomicBool,
    released: Mutex<Released>,
    /// The generation that was let go last, and its frames: what another program started over is not here.
    let_go: Mutex<([u8; 8], u64)>,
    changed: Condvar,
}

impl Gate {
    /// Held from the beginning, or open.
    pub(crate) fn new(held: bool) -> Gate {
        Gate { held: AtomicBool::new(held), ..Gate::default() }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Whether a WAL with this index may be started over. Asked under the WAL's write lock.
    pub(crate) fn lets_restart(&self, index: &WalIndex) -> bool {
        if !self.is_held() || index.frames == 0 {
            return true;
        }
        let released = *lock(&self.released);
        let lets = released.salts == index.salts && released.frames >= index.frames;
        if lets {
            *lock(&self.let_go) = (index.salts, index.frames);
        }
        lets
    }

    /// Holds it for a new follower, which has released nothing.
    pub(super) fn hold(&self) {
        let mut released = lock(&self.released);
        *released = Released { sequence: released.sequence, ..Released::default() };
        self.held.store(true, Ordering::Release);
    }

    /// Whether the generation that followed this one followed it by our own doing, and at this length.
    pub(super) fn let_go(&self, salts: [u8; 8], frames: u64, next: [u8; 8]) -> bool {
        let first = |salts: [u8; 8]| u32::from_be_bytes([salts[0], salts[1], salts[2], salts[3]]);
        *lock(&self.let_go) == (salts, frames) && first(next) == first(salts).wrapping_add(1)
    }

    pub(super) fn open(&self) {
        self.held.store(false, Ordering::Release);
        drop(lock(&self.released));
        self.changed.notify_all();
    }

    pub(super) fn release(&self, to: Released) {
        *lock(&self.released) = to;
        self.changed.notify_all();
    }

    /// The last commit that was released, by whichever follower.
    pub(super) fn sequence(&self) -> u64 {
        lock(&self.released).sequence
    }

    /// Waits until enough is released, or nobody holds the gate; answers whether it came to that.
    pub(super) fn wait_for(&self, enough: impl Fn(&Released) -> bool, until: Instant) -> bool {
        let mut released = lock(&self.released);
        loop {
            if !self.is_held() || enough(&released) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            released = self.changed.wait_timeout(released, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
