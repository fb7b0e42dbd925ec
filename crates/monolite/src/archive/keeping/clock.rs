//! How the clock of cuts stands: it runs, is to end, or has ended.
//!
//! **Invariants**
//! - Nobody waits for its end without a bound: it may be asking a place that never answers.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Clock {
    stands: Mutex<Stands>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stands {
    #[default]
    Runs,
    Ends,
    Ended,
}

impl Clock {
    /// Waits so long; answers whether it is to run on.
    pub(super) fn runs_after(&self, wait: Duration) -> bool {
        self.wait(wait, Stands::Runs) == Stands::Runs
    }

    /// It is to end.
    pub(super) fn end(&self) {
        let mut stands = self.stands.lock().unwrap_or_else(PoisonError::into_inner);
        if *stands == Stands::Runs {
            *stands = Stands::Ends;
        }
        drop(stands);
        self.changed.notify_all();
    }

    /// Its thread says so, last of all.
    pub(super) fn has_ended(&self) {
        *self.stands.lock().unwrap_or_else(PoisonError::into_inner) = Stands::Ended;
        self.changed.notify_all();
    }

    /// Waits for that, once it is to end; answers whether it came to that.
    pub(super) fn ends_within(&self, most: Duration) -> bool {
        self.wait(most, Stands::Ends) == Stands::Ended
    }

    /// Waits while it stands so.
    fn wait(&self, most: Duration, so: Stands) -> Stands {
        let stands = self.stands.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(stands, most, |stands| *stands == so);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_to_end_runs_no_more_and_its_end_is_waited_for_so_long_only() {
        let clock = Clock::default();
        assert!(clock.runs_after(Duration::ZERO));
        clock.end();
        assert!(!clock.runs_after(Duration::from_secs(3600)) && !clock.ends_within(Duration::from_millis(1)));
        clock.has_ended();
        clock.end();
        assert!(!clock.runs_after(Duration::ZERO) && clock.ends_within(Duration::from_secs(3600)));
    }
}
