//! The turns of a store's parts, and how they end: a store that is kept no more, and one whose long work is to rest.
//!
//! **Invariants**
//! - Whoever waits for a turn's end waits for a time that he names: a part may wait for a place that never answers.
//! - A part that is left to itself changes nothing beside the store any more once the place lets it go.

use super::keeper::{Keeper, Part};
use super::pool::lock;
use crate::{Error, Kind, Result};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// A part runs once at a time; asked for meanwhile, it runs once more.
#[derive(Default)]
pub(super) struct Turn {
    running: Mutex<bool>,
    ended: Condvar,
    pub(super) again: AtomicBool,
    /// Asked for at once, and not begun yet.
    pub(super) asked: AtomicBool,
}

/// A turn under way.
pub(super) struct Running<'a>(&'a Turn);

impl Turn {
    /// `None` while it runs.
    pub(super) fn begin(&self) -> Option<Running<'_>> {
        let runs = std::mem::replace(&mut *lock(&self.running), true);
        (!runs).then(|| Running(self))
    }

    /// Waits until it runs no more; answers whether it came to that.
    fn ends(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.ended.wait_timeout_while(lock(&self.running), left, |runs| *runs);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *lock(&self.0.running) = false;
        self.0.ended.notify_all();
    }
}

/// Whether what takes long is to rest, and whether a proof was called off by that.
#[derive(Default)]
pub(super) struct Resting {
    by: AtomicU32,
    proof: AtomicBool,
}

impl Resting {
    pub(super) fn is_wanted(&self) -> bool {
        self.by.load(Ordering::SeqCst) > 0
    }
}

impl Keeper {
    /// No part begins any more. Waits so long at most until none runs; answers whether it came to that. One that waits for a
    /// place without an answer is left to itself, and changes nothing beside the store any more.
    pub(super) fn retire(&self, most: Duration) -> bool {
        self.stopped.store(true, Ordering::SeqCst);
        self.retired.store(true, Ordering::SeqCst);
        self.waits.end(&format!("{} is kept anew", self.service));
        let until = Instant::now() + most;
        let ended = self.turns.each_ref().map(|turn| turn.ends(until));
        if ended[Part::Capture as usize] {
            match self.capture.try_lock() {
                Ok(mut capture) => capture.follower = None,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().follower = None,
                // A mark of several stores holds it, which may wait for one whose place does not answer.
                Err(TryLockError::WouldBlock) => return false,
            }
        }
        ended.iter().all(|ended| *ended)
    }

    /// Whether no part of it runs.
    pub(super) fn is_idle(&self) -> bool {
        self.turns.iter().all(|turn| !*lock(&turn.running))
    }

    /// What takes long ends soon and does not begin, until [`Keeper::wake`]; answers whether it has ended within this time.
    pub(super) fn rest(&self, most: Duration) -> bool {
        self.resting.by.fetch_add(1, Ordering::SeqCst);
        let until = Instant::now() + most;
        [Part::Upkeep, Part::Verify].into_iter().all(|part| self.turns[part as usize].ends(until))
    }

    /// It goes on.
    pub(super) fn wake(self: &Arc<Self>) {
        if self.resting.by.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        self.after(Part::Upkeep, Duration::ZERO);
        if self.resting.proof.swap(false, Ordering::SeqCst) {
            self.after(Part::Verify, Duration::ZERO);
        }
    }

    /// Whether what takes long is to end: the archiver does, this store is kept no more, or it is to rest.
    pub(super) fn is_called_off(&self) -> bool {
        let stopped = self.stopped.load(Ordering::SeqCst) || self.inner.ending.is_ended();
        stopped || self.resting.is_wanted()
    }

    /// A look that work which takes long takes now and then.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.is_called_off() {
            return Err(Error::new(Kind::Stopped, "it was called off"));
        }
        Ok(())
    }

    /// Nobody asks for a keeper that was left to itself, and the folder beside its store may be another file's.
    pub(super) fn not_retired(&self) -> Result<()> {
        if self.retired.load(Ordering::SeqCst) {
            return Err(Error::new(Kind::Stopped, format!("{} is kept anew, or no more", self.service)));
        }
        Ok(())
    }

    /// A proof was called off, or did not begin: it is due when the rest is over.
    pub(super) fn proof_is_due(&self) {
        self.resting.proof.store(true, Ordering::SeqCst);
    }
}
