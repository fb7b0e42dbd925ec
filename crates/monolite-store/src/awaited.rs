//! Waiting for a commit: who was told of a commit elsewhere waits here until this file has it.
//!
//! **Invariants**
//! - A commit that nobody waits for pays a fence and a load.
//! - Who waits is woken once, after the epoch was raised; a dropped wait leaves nothing behind.

use crate::reply::{lock, wake_contained};
use crate::store::{Shared, Store};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Those who wait for commits of a store.
#[derive(Default)]
pub(crate) struct Awaited {
    count: AtomicUsize,
    waiting: Mutex<Vec<(u64, Arc<Place>)>>,
}

/// Tells one wait from another, and has its waker.
struct Place(Mutex<Option<Waker>>);

impl Awaited {
    /// The writer's word, once a commit can be seen.
    #[inline]
    pub(crate) fn reached(&self, sequence: u64) {
        fence(Ordering::SeqCst); // the epoch was raised before this look
        if self.count.load(Ordering::Relaxed) > 0 {
            self.wake(sequence);
        }
    }

    #[cold]
    fn wake(&self, sequence: u64) {
        let mut waiting = lock(&self.waiting);
        let wakers: Vec<Waker> =
            waiting.iter().filter(|w| w.0 <= sequence).filter_map(|(_, place)| lock(&place.0).take()).collect();
        waiting.retain(|w| w.0 > sequence);
        self.count.store(waiting.len(), Ordering::Relaxed);
        drop(waiting);
        wakers.into_iter().for_each(wake_contained);
    }
}

impl Store {
    /// Waits until the file has the commit with this number, which a write here answered, or a file with the same history.
    /// In one process it has it at once. It may never come: bound the wait.
    pub fn reaches(&self, sequence: u64) -> Reaches {
        Reaches { shared: self.shared().clone(), sequence, place: None }
    }
}

/// A wait for a commit; dropping it ends it.
pub struct Reaches {
    shared: Arc<Shared>,
    sequence: u64,
    place: Option<Arc<Place>>,
}

impl Future for Reaches {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let is_there = |shared: &Shared, sequence| shared.epoch.load(Ordering::SeqCst) >= sequence;
        if is_there(&self.shared, self.sequence) {
            return Poll::Ready(());
        }
        let place = match &self.place {
            Some(place) => place.clone(),
            None => {
                let place = Arc::new(Place(Mutex::new(None)));
                let awaited = &self.shared.awaited;
                let mut waiting = lock(&awaited.waiting);
                waiting.push((self.sequence, place.clone()));
                awaited.count.store(waiting.len(), Ordering::Relaxed);
                drop(waiting);
                self.place = Some(place.clone());
                place
            }
        };
        *lock(&place.0) = Some(cx.waker().clone());
        fence(Ordering::SeqCst); // this is in the list before the next look at the epoch
        if is_there(&self.shared, self.sequence) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Reaches {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            let awaited = &self.shared.awaited;
            let mut waiting = lock(&awaited.waiting);
            waiting.retain(|(_, other)| !Arc::ptr_eq(other, place));
            awaited.count.store(waiting.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::block_on;
    use crate::{Config, Migration, Migrations};

    #[test]
    fn who_waits_for_a_commit_is_woken_by_it_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let sql = "CREATE TABLE n(v INTEGER) STRICT; INSERT INTO n VALUES (0)";
        let migrations = Migrations::new([Migration::Quick { name: "1", sql }]);
        let store = Store::open(folder.path().join("S/S.db"), Config::default(), migrations).unwrap();
        block_on(store.reaches(store.sequence()));
        let (soon, never) = (store.sequence() + 3, u64::MAX);
        let waits = std::thread::spawn({
            let store = store.clone();
            move || block_on(store.reaches(soon))
        });
        let mut given_up = store.reaches(never);
        assert!(Pin::new(&mut given_up).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        while store.shared().awaited.count.load(Ordering::SeqCst) < 2 {
            std::thread::yield_now(); // until both wait, so that the wake is what is tested
        }
        while !waits.is_finished() && store.sequence() < soon {
            store.write_blocking(|tx| tx.execute("UPDATE n SET v = v + 1", [])).unwrap();
        }
        waits.join().unwrap();
        assert_eq!(store.sequence(), soon, "not before");
        drop(given_up);
        assert_eq!(store.shared().awaited.count.load(Ordering::SeqCst), 0);
    }
}
