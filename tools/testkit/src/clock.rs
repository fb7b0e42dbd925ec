//! A clock that stands still until the test moves it.

use monolite_service::{Clock, Millis};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

/// Stands still until it is moved.
#[derive(Debug)]
pub struct StoppedClock(AtomicI64);

impl StoppedClock {
    /// The first moment of each test: 2026-01-01T00:00:00Z.
    pub const START: Millis = Millis(1_767_225_600_000);

    /// A clock that stands at [`StoppedClock::START`].
    pub fn new() -> Self {
        StoppedClock(AtomicI64::new(Self::START.0))
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        let now = self.now() + by;
        self.0.store(now.0, SeqCst);
    }
}

impl Default for StoppedClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(SeqCst))
    }
}
