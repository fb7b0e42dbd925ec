//! Who is alone with the cuts: one that is being recorded, or a file that is being replaced.
//!
//! **Invariants**
//! - Who replaces a file waits so long only: a cut may wait for a place that never answers.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Alone {
    busy: Mutex<bool>,
    free: Condvar,
}

/// Nobody else is, until this is dropped.
pub(crate) struct Held<'a>(&'a Alone);

impl Alone {
    pub(super) fn hold(&self) -> Held<'_> {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        *self.free.wait_while(busy, |busy| *busy).unwrap_or_else(PoisonError::into_inner) = true;
        Held(self)
    }

    /// The same, so long at most.
    pub(super) fn hold_within(&self, most: Duration) -> Option<Held<'_>> {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.free.wait_timeout_while(busy, most, |busy| *busy);
        let mut busy = waited.unwrap_or_else(PoisonError::into_inner).0;
        (!std::mem::replace(&mut *busy, true)).then(|| Held(self))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.0.busy.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_alone_is_waited_for_so_long_only() {
        let alone = Alone::default();
        let held = alone.hold();
        assert!(alone.hold_within(Duration::from_millis(1)).is_none());
        drop(held);
        let held = alone.hold_within(Duration::ZERO).unwrap();
        assert!(alone.hold_within(Duration::ZERO).is_none());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| drop(alone.hold()));
            drop(held);
            waits.join().unwrap();
        });
        drop(alone.hold());
    }
}
