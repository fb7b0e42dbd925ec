//! Waiting until a commit is in the archive: `ack = "archived"`.
//!
//! **Invariants**
//! - Who waits is woken when its commit is in the place, not in the spool; or with the reason why it will not come.
//! - A future that is dropped leaves a waker that finds nobody, until the next commit is archived.

use super::pool::lock;
use crate::{Error, Kind, Result};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The waits of one store.
#[derive(Default)]
pub(super) struct Waits {
    archived: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wakers: Vec<(u64, Waker)>,
    /// Why no commit comes into the archive any more.
    over: Option<String>,
}

impl Waits {
    pub(super) fn archived(&self) -> u64 {
        self.archived.load(Ordering::Acquire)
    }

    /// Commits up to this one are in the place.
    pub(super) fn reached(&self, sequence: u64) {
        self.archived.fetch_max(sequence, Ordering::AcqRel);
        let mut state = lock(&self.state);
        let (woken, left) = std::mem::take(&mut state.wakers).into_iter().partition(|(wanted, _)| *wanted <= sequence);
        state.wakers = left;
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

    fn wake(&self, woken: Vec<(u64, Waker)>) {
        self.changed.notify_all();
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    pub(super) fn block(&self, sequence: u64, most: Duration) -> Result<()> {
        let until = Instant::now().checked_add(most);
        let mut state = lock(&self.state);
        while self.archived() < sequence {
            if let Some(why) = &state.over {
                return Err(Error::new(Kind::Stopped, why.clone()));
            }
            let left = until.map_or(Duration::from_secs(3600), |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                let text = format!("commit {sequence} is durable here, but not in the archive after {most:?}");
                return Err(Error::new(Kind::Unreachable, text));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    fn poll(&self, sequence: u64, waker: &Waker) -> Poll<Result<()>> {
        if self.archived() >= sequence {
            return Poll::Ready(Ok(()));
        }
        let mut state = lock(&self.state);
        if self.archived() >= sequence {
            return Poll::Ready(Ok(()));
        }
        if let Some(why) = &state.over {
            return Poll::Ready(Err(Error::new(Kind::Stopped, why.clone())));
        }
        state.wakers.push((sequence, waker.clone()));
        Poll::Pending
    }
}

/// Ready when a commit is in the archive. It has no time limit of its own; dropping it ends the wait.
pub struct Archived {
    pub(super) waits: Arc<Waits>,
    pub(super) sequence: u64,
}

impl Archived {
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
        self.waits.poll(self.sequence, cx.waker())
    }
}
