//! The writer's queue: first in, first out, bounded.
//!
//! **Invariants**
//! - At most `queue_max` writes that somebody waits for; abandoned ones leave no more than as many husks again.
//! - After `close` nothing enters.

use super::job::Job;
use crate::reply::lock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the writer waits for one more caller of a crowd to come back.
const GATHER_PAUSE: Duration = Duration::from_micros(20);
/// How long it waits for all of them: about one sync.
const GATHER_MAX: Duration = Duration::from_micros(150);

/// The queue between callers and the writer.
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    arrived: Condvar,
    /// Writes that were dropped by their callers and are still in the queue.
    husks: AtomicUsize,
    max: usize,
}

struct QueueState {
    jobs: VecDeque<Arc<dyn Job>>,
    errand: bool,
    idle: bool,
    closed: Option<Closing>,
    ended: bool,
}

/// How the writer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// After the writes that are queued.
    Drained,
    /// At once, as a crash would.
    Abandoned,
}

/// Why a write was not queued.
pub(crate) enum NotQueued {
    Full,
    Closed,
}

/// What the writer should do next.
pub(crate) enum Next {
    /// Jobs were moved to the given buffer.
    Jobs,
    /// Somebody asked for the writer's attention: a checkpoint to finish.
    Errand,
    Close(Closing),
}

impl Queue {
    pub(crate) fn new(max: usize) -> Self {
        let state = QueueState { jobs: VecDeque::new(), errand: false, idle: false, closed: None, ended: false };
        Queue { state: Mutex::new(state), arrived: Condvar::new(), husks: AtomicUsize::new(0), max }
    }

    pub(crate) fn push(&self, job: Arc<dyn Job>) -> Result<(), NotQueued> {
        let mut state = lock(&self.state);
        if state.closed.is_some() {
            return Err(NotQueued::Closed);
        }
        if self.husks.load(Relaxed) >= self.max {
            state.jobs.retain(|job| !job.is_husk());
            self.husks.store(0, Relaxed);
        }
        if state.jobs.len() >= self.max.saturating_add(self.husks.load(Relaxed)) {
            return Err(NotQueued::Full);
        }
        state.jobs.push_back(job);
        let wake = std::mem::take(&mut state.idle);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// A caller dropped its future; the husk is skipped when its turn comes, or swept when husks reach the bound.
    pub(crate) fn dropped(&self) {
        self.husks.fetch_add(1, Relaxed);
    }

    /// Asks for the writer's attention between groups.
    pub(crate) fn errand(&self) {
        let mut state = lock(&self.state);
        state.errand = true;
        state.idle = false;
        drop(state);
        self.arrived.notify_one();
    }

    /// Lets nothing more in.
    pub(crate) fn close(&self, how: Closing) {
        let mut state = lock(&self.state);
        if state.closed != Some(Closing::Abandoned) {
            state.closed = Some(how);
        }
        state.idle = false;
        drop(state);
        self.arrived.notify_one();
    }

    /// The handles of the store are gone or closed it.
    pub(crate) fn end(&self, how: Closing) {
        lock(&self.state).ended = true;
        self.close(how);
    }

    /// Waits for something to do; moves at most `most` jobs behind those in `into`.
    ///
    /// With `wait` false it answers `Jobs` at once, even with none.
    pub(crate) fn next(&self, into: &mut VecDeque<Arc<dyn Job>>, most: usize, wait: bool) -> Next {
        let mut state = lock(&self.state);
        loop {
            if let Some(how) = state.closed
                && (how == Closing::Abandoned || (state.jobs.is_empty() && into.is_empty()))
            {
                return Next::Close(how);
            }
            if std::mem::take(&mut state.errand) {
                return Next::Errand;
            }
            if !state.jobs.is_empty() || !into.is_empty() || !wait {
                let n = most.saturating_sub(into.len()).min(state.jobs.len());
                into.extend(state.jobs.drain(..n));
                return Next::Jobs;
            }
            state.idle = true;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the callers who were just answered come back before the next group is taken: until `expected` wait, or
    /// nobody has come for a while. Their own threads need the processor for it, so this yields rather than blocks.
    pub(crate) fn gather(&self, expected: usize) {
        let start = Instant::now();
        let (mut came, mut last) = (0, start);
        loop {
            {
                let state = lock(&self.state);
                if state.jobs.len() >= expected || state.errand || state.closed.is_some() {
                    return;
                }
                if state.jobs.len() > came {
                    came = state.jobs.len();
                    last = Instant::now();
                }
            }
            if last.elapsed() > GATHER_PAUSE || start.elapsed() > GATHER_MAX {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Waits until the store's handles close it.
    pub(crate) fn wait_for_close(&self) {
        let mut state = lock(&self.state);
        while !state.ended {
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A husk left the queue.
    pub(crate) fn husk_gone(&self) {
        let _ = self.husks.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
    }

    /// Writes that wait.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state).jobs.len().saturating_sub(self.husks.load(Relaxed))
    }

    /// Takes everything that is left.
    pub(crate) fn drain(&self) -> Vec<Arc<dyn Job>> {
        lock(&self.state).jobs.drain(..).collect()
    }
}
