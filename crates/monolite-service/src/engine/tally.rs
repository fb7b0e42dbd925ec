//! A tally: what the calls of one request did to the files, for its `Server-Timing`.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts the statements and the time that the calls of one request spent in stores.
#[derive(Debug, Default)]
pub struct Tally {
    statements: AtomicU32,
    nanos: AtomicU64,
}

impl Tally {
    /// Statements run so far.
    pub fn reads(&self) -> u32 {
        self.statements.load(Relaxed)
    }

    /// Time spent in stores so far, waiting included.
    pub fn db(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Relaxed))
    }

    pub(crate) fn add_statements(&self, n: u32) {
        self.statements.fetch_add(n, Relaxed);
    }

    pub(crate) fn add_time(&self, took: Duration) {
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}
