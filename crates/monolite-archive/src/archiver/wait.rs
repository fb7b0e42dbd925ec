//! Waiting until a commit is in the archive: `ack = "archived"`.
//!
//! **Invariants**
//! - Who waits is woken when its commit is in the place, not in the spool, and can be restored from there: while no base leads
//!   to it, it cannot. Or with the reason why it will not come.
//! - A future has one waker here at most, and none once it is dropped.

use super::pool::lock;
use crate::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The waits of one store.
#[derive(Default)]
pub(super) struct Waits {
    /// What is in the place, and what can be restored from it.
    archived: AtomicU64,
    restorable: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By the commit, then by the number of the future: one waker for each.
    wakers: BTreeMap<(u64, u64), Waker>,
    numbers: u64,
    /// Why no commit comes into the archive any more.
    over: Option<String>,
}

impl Waits {
    pub(super) fn archived(&self) -> u64 {
        self.archived.load(Ordering::Acquire)
    }

    pub(super) fn restorable(&self) -> u64 {
        self.restorable.load(Ordering::Acquire)
    }

    /// Futures that wait.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.state).wakers.len()
    }

    /// Commits up to this one are in the place.
    pub(super) fn put(&self, sequence: u64) {
        self.archived.fetch_max(sequence, Ordering::AcqRel);
    }

    /// All that is in the place can be restored from it.
    pub(super) fn reached(&self) {
        let sequence = self.archived();
        self.restorable.fetch_max(sequence, Ordering::AcqRel);
        let mut state = lock(&self.state);
        let left = state.wakers.split_off(&(sequence + 1, 0));
        let woken = std::mem::replace(&mut state.wakers, left);
        drop(state);
        self.wake(woken);
    }

    /// Nothing comes any more.
    pub(super) fn end(&self, why: &str) {
        let mut state = lock(&self.state);
        state.over.get_or_insert_with(|| why.to_owned());
        let woken = std::mem::take(&mut state.wakers);
        drop(state);
        self.wake(woken);
    }

    fn wake(&self, woken: BTreeMap<(u64, u64), Waker>) {
        self.changed.notify_all();
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    pub(super) fn block(&self, sequence: u64, most: Duration) -> Result<()> {
        let until = Instant::now().checked_add(most);
        let mut state = lock(&self.state);
        while self.restorable() < sequence {
            if let Some(why) = &state.over {
                return Err(Error::new(Kind::Stopped, why.clone()));
            }
            let left = until.map_or(Duration::from_secs(3600), |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                let text = format!(
                    "commit {sequence} is durable here, but not in the archive after {:.1} s",
                    most.as_secs_f32()
                );
                return Err(Error::new(Kind::Unreachable, text));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    fn poll(&self, sequence: u64, number: &mut Option<u64>, waker: &Waker) -> Poll<Result<()>> {
        if self.restorable() >= sequence {
            return Poll::Ready(Ok(()));
        }
        let mut state = lock(&self.state);
        if self.restorable() >= sequence {
            return Poll::Ready(Ok(()));
        }
        if let Some(why) = &state.over {
            return Poll::Ready(Err(Error::new(Kind::Stopped, why.clone())));
        }
        let number = *number.get_or_insert_with(|| {
            state.numbers += 1;
            state.numbers
        });
        state.wakers.insert((sequence, number), waker.clone());
        Poll::Pending
    }

    fn forget(&self, sequence: u64, number: u64) {
        let waker = lock(&self.state).wakers.remove(&(sequence, number));
        drop(waker); // it may end a task, which may wait itself
    }
}

/// Ready when a commit is in the archive. It has no time limit of its own; dropping it ends the wait.
pub struct Archived {
    waits: Arc<Waits>,
    sequence: u64,
    number: Option<u64>,
}

impl Archived {
    pub(super) fn new(waits: Arc<Waits>, sequence: u64) -> Archived {
        Archived { waits, sequence, number: None }
    }

    /// Blocks until the commit is in the archive, at most so long.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] after that time: the commit is durable in the store and will be archived once the place
    /// answers; [`Kind::Stopped`] where the store is not archived any more.
    pub fn wait(self, most: Duration) -> Result<()> {
        self.waits.block(self.sequence, most)
    }
}

impl Future for Archived {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        this.waits.poll(this.sequence, &mut this.number, cx.waker())
    }
}

impl Drop for Archived {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.waits.forget(self.sequence, number);
        }
    }
}

/// Commits of several stores, of one moment, on their way into the archive.
pub struct Marked {
    pub(super) waits: Vec<Archived>,
    /// The commit of each service.
    pub commits: BTreeMap<String, u64>,
}

impl Marked {
    /// Blocks until all are in the archive, at most so long.
    ///
    /// # Errors
    /// Those of [`Archived::wait`].
    pub fn wait(self, most: Duration) -> Result<BTreeMap<String, u64>> {
        let began = Instant::now();
        for wait in self.waits {
            wait.wait(most.saturating_sub(began.elapsed()))?;
        }
        Ok(self.commits)
    }
}
