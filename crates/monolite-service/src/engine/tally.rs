//! A tally: what the calls of one request did to the files, for its `Server-Timing` and for who waits for its commits.

use super::Commit;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counts the statements and the time that the calls of one request spent in stores.
#[derive(Debug, Default)]
pub struct Tally {
    statements: AtomicU32,
    nanos: AtomicU64,
    /// Of each service that was written to, the last commit.
    commits: Mutex<Vec<Commit>>,
}

impl Tally {
    /// Statements run so far.
    pub fn statements(&self) -> u32 {
        self.statements.load(Relaxed)
    }

    /// Time spent in stores so far, waiting included.
    pub fn db(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Relaxed))
    }

    /// The last commit in each file that its writes were kept by.
    pub fn commits(&self) -> Vec<Commit> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn wrote(&self, commit: Commit) {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        match commits.iter_mut().find(|known| known.service == commit.service) {
            Some(known) => known.sequence = known.sequence.max(commit.sequence),
            None => commits.push(commit),
        }
    }

    pub(crate) fn add_statements(&self, n: u32) {
        self.statements.fetch_add(n, Relaxed);
    }

    pub(crate) fn add_time(&self, took: Duration) {
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}
