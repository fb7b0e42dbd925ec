//! The budget of bodies: how many bytes of them the process holds at once, over all requests.
//!
//! A body takes room as its bytes come, not as it says its length: whoever says much and sends nothing holds nothing.
//! It keeps the room until its request was answered, since the message made of it lives as long.
//!
//! **Invariants**
//! - No more room is given than there is; a body that finds none waits a bounded time.
//! - Room is given back when its holder is dropped, whatever became of the request.
//! - A tenant's second body gets no more than leaves as much for others as the tenant has: one alone has half at most.

use crate::problem::Problem;
use http::StatusCode;
use monolite_service::Tenant;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// Units of each tenant that has some.
    of: Mutex<HashMap<Tenant, usize>>,
    wait: Duration,
    /// How long bodies held their room lately, in microseconds.
    held_us: AtomicU64,
}

/// Room that a body has taken.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    tenant: Tenant,
    permit: Option<OwnedSemaphorePermit>,
    since: Instant,
}

impl Budget {
    pub(crate) fn new(bytes: usize, wait: Duration) -> Self {
        let units = bytes.div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Budget { room: Arc::new(Semaphore::new(units)), units, of: Mutex::default(), wait, held_us: AtomicU64::new(0) }
    }

    /// No room yet.
    pub(crate) fn room(self: &Arc<Self>, tenant: Tenant) -> Room {
        Room { budget: self.clone(), tenant, permit: None, since: Instant::now() }
    }

    /// Bytes for which room was given.
    pub(crate) fn held(&self) -> usize {
        (self.units - self.room.available_permits()) * UNIT
    }

    /// Bytes for which there is room.
    pub(crate) fn max(&self) -> usize {
        self.units * UNIT
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<Tenant, usize>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.may_grow(held, missing)?;
        let units = missing;
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let room = &self.budget.room;
        let more = match room.clone().try_acquire_many_owned(missing) {
            Ok(more) => more,
            // Whoever waits already is before us: the semaphore keeps for them what is given back.
            Err(_) => match tokio::time::timeout(self.budget.wait, room.clone().acquire_many_owned(missing)).await {
                Ok(Ok(more)) => more,
                _ => return Err(no_room(self.budget.later())),
            },
        };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        *self.budget.tenants().entry(self.tenant).or_default() += units;
        Ok(())
    }

    /// Whether the tenant has so much in other bodies that this one's growth would be at the cost of others.
    fn may_grow(&self, held: usize, missing: usize) -> Result<(), Problem> {
        let all = self.budget.tenants().get(&self.tenant).copied().unwrap_or(0);
        let left = self.budget.room.available_permits().saturating_sub(missing);
        if all > held && all + missing > left { Err(too_many_of_one(self.budget.later())) } else { Ok(()) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(permit) = &self.permit {
            let mut tenants = self.budget.tenants();
            if let Some(units) = tenants.get_mut(&self.tenant) {
                *units = units.saturating_sub(permit.num_permits());
                if *units == 0 {
                    tenants.remove(&self.tenant);
                }
            }
            drop(tenants);
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

fn too_many_of_one(later: Duration) -> Problem {
    let detail = "too many of your bodies are being worked on";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_bodies", detail).retryable(Some(later)).closing()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_taken_as_bodies_grow_and_given_back() {
        let budget = Arc::new(Budget::new(10 * UNIT, Duration::from_millis(20)));
        let (mut one, mut other) = (budget.room(Tenant(1)), budget.room(Tenant(2)));
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
        assert!(budget.tenants().is_empty(), "who left is forgotten");
    }

    #[tokio::test]
    async fn one_tenant_leaves_room_for_others_and_one_body_may_take_all() {
        let budget = Arc::new(Budget::new(100 * UNIT, Duration::from_millis(20)));
        let rooms: Vec<_> = (0..10).map(|_| budget.room(Tenant(1))).collect();
        let mut held = Vec::new();
        for mut room in rooms {
            match room.grow(10 * UNIT).await {
                Ok(()) => held.push(room),
                Err(no) => assert_eq!((no.status().as_u16(), no.code()), (429, "too_many_bodies")),
            }
        }
        assert_eq!(held.len(), 5);
        let mut other = budget.room(Tenant(2));
        other.grow(50 * UNIT).await.unwrap();
        drop((held, other));
        budget.room(Tenant(1)).grow(100 * UNIT).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_waits_gets_the_room_that_is_given_back() {
        let budget = Arc::new(Budget::new(UNIT, Duration::from_secs(60)));
        let (mut one, mut other) = (budget.room(Tenant(1)), budget.room(Tenant(2)));
        one.grow(1).await.unwrap();
        let waiting = tokio::spawn(async move { other.grow(1).await.is_ok() });
        tokio::task::yield_now().await;
        drop(one);
        assert!(waiting.await.unwrap());
    }
}
