//! Places of streams: how many large blobs and uploads may be under way at once, in all and of one tenant.
//!
//! A stream holds little, but for as long as its peer likes.
//!
//! **Invariants**
//! - A place is given back when its holder is dropped, whatever became of the stream.
//! - A tenant with places gets no more of them than are left, so that a few cannot take all; the last ones are for who has none.

use crate::problem::Problem;
use http::StatusCode;
use monolite_service::Tenant;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When somebody may try again: streams last as long as they last.
const LATER: Duration = Duration::from_secs(5);

/// The places.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    tenant_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of: HashMap<Tenant, usize>,
}

/// A place; it is free again when this goes.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    tenant: Tenant,
}

impl Places {
    /// So many places, of which one tenant has so many at most.
    pub(crate) fn new(max: usize, tenant_max: usize) -> Self {
        Places { max, tenant_max, taken: Mutex::default() }
    }

    /// Takes a place.
    pub(crate) fn take(self: &Arc<Self>, tenant: Tenant) -> Result<Place, Problem> {
        let mut taken = self.taken();
        let own = taken.of.get(&tenant).copied().unwrap_or(0);
        let free = self.max.saturating_sub(taken.all);
        if own >= self.tenant_max || (own > 0 && own >= free) {
            return Err(no_place(StatusCode::TOO_MANY_REQUESTS, "you have too many streams under way"));
        }
        if taken.all >= self.max {
            return Err(no_place(StatusCode::SERVICE_UNAVAILABLE, "too many streams are under way"));
        }
        taken.all += 1;
        *taken.of.entry(tenant).or_default() += 1;
        Ok(Place { places: self.clone(), tenant })
    }

    /// How many are taken, and how many there are.
    pub(crate) fn shown(&self) -> (usize, usize) {
        (self.taken().all, self.max)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(own) = taken.of.get_mut(&self.tenant) {
            *own -= 1;
            if *own == 0 {
                taken.of.remove(&self.tenant);
            }
        }
    }
}

fn no_place(status: StatusCode, detail: &'static str) -> Problem {
    Problem::new(status, "too_many_streams", detail).retryable(Some(LATER)).closing()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_for_each_and_are_given_back() {
        let places = Arc::new(Places::new(4, 2));
        let take = |tenant| places.take(Tenant(tenant)).map_err(|no| no.status().as_u16());
        let held = [take(1).unwrap(), take(1).unwrap()];
        assert_eq!(take(1).unwrap_err(), 429);
        let other = take(2).unwrap();
        assert_eq!(take(2).unwrap_err(), 429, "the last one is for who has none");
        let last = take(3).unwrap();
        assert_eq!((take(4).unwrap_err(), take(1).unwrap_err()), (503, 429));
        drop((held, last));
        assert_eq!(places.shown(), (1, 4));
        drop((take(2).unwrap(), other));
        assert_eq!(places.shown(), (0, 4));
        assert!(places.taken().of.is_empty(), "who left is forgotten");
    }
}
