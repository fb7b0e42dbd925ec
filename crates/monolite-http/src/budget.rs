//! The budget of bodies: how many bytes of them the process holds at once, over all requests.
//!
//! A body takes room as its bytes come, not as it says its length: whoever says much and sends nothing holds nothing.
//! It keeps the room until its request was answered, since the message made of it lives as long.
//!
//! **Invariants**
//! - No more room is given than there is; a body that finds none waits a bounded time.
//! - Room is given back when its holder is dropped, whatever became of the request.

use crate::problem::Problem;
use http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit in which room is given.
const UNIT: usize = 1024;
/// The longest time a refusal asks for.
const LATER_MAX: Duration = Duration::from_secs(30);

/// Room for bodies.
#[derive(Debug)]
pub(crate) struct Budget {
    room: Arc<Semaphore>,
    units: usize,
    wait: Duration,
    /// How long bodies held their room lately, in microseconds.
    held_us: AtomicU64,
}

/// Room that a body has taken.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    permit: Option<OwnedSemaphorePermit>,
    since: Instant,
}

impl Budget {
    pub(crate) fn new(bytes: usize, wait: Duration) -> Self {
        let units = bytes.div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Budget { room: Arc::new(Semaphore::new(units)), units, wait, held_us: AtomicU64::new(0) }
    }

    /// No room yet.
    pub(crate) fn room(self: &Arc<Self>) -> Room {
        Room { budget: self.clone(), permit: None, since: Instant::now() }
    }

    /// Bytes for which room was given.
    pub(crate) fn held(&self) -> usize {
        (self.units - self.room.available_permits()) * UNIT
    }

    /// Bytes for which there is room.
    pub(crate) fn max(&self) -> usize {
        self.units * UNIT
    }

    /// When room that is held now will have been given back, by what was seen lately.
    fn later(&self) -> Duration {
        Duration::from_micros(self.held_us.load(Relaxed)).min(LATER_MAX)
    }
}

impl Room {
    /// Takes room so that there is enough for a body of so many bytes.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.div_ceil(UNIT).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let room = self.budget.room.clone();
        let taken = tokio::time::timeout(self.budget.wait, room.acquire_many_owned(missing)).await;
        let Ok(Ok(more)) = taken else { return Err(no_room(self.budget.later())) };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.permit.is_some() {
            let took = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
            // Two at once may lose one of them: it is a mean.
            let before = self.budget.held_us.load(Relaxed);
            self.budget.held_us.store(before - before / 8 + took / 8, Relaxed);
        }
    }
}

fn no_room(later: Duration) -> Problem {
    let detail = "too many bodies are being worked on";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_bodies", detail).retryable(Some(later)).closing()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_taken_as_bodies_grow_and_given_back() {
        let budget = Arc::new(Budget::new(10 * UNIT, Duration::from_millis(20)));
        let (mut one, mut other) = (budget.room(), budget.room());
        one.grow(100).await.unwrap();
        one.grow(6 * UNIT).await.unwrap();
        one.grow(5 * UNIT).await.unwrap();
        other.grow(4 * UNIT).await.unwrap();
        assert_eq!((budget.held(), budget.max()), (10 * UNIT, 10 * UNIT));
        let no = other.grow(4 * UNIT + 1).await.unwrap_err();
        assert_eq!((no.status().as_u16(), no.code()), (503, "too_many_bodies"));
        drop(one);
        other.grow(9 * UNIT).await.unwrap();
        drop(other);
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn one_that_waits_gets_the_room_that_is_given_back() {
        let budget = Arc::new(Budget::new(UNIT, Duration::from_secs(60)));
        let (mut one, mut other) = (budget.room(), budget.room());
        one.grow(1).await.unwrap();
        let waiting = tokio::spawn(async move { other.grow(1).await.is_ok() });
        tokio::task::yield_now().await;
        drop(one);
        assert!(waiting.await.unwrap());
    }
}
