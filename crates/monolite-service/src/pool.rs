//! A pool: a few threads for work that takes milliseconds of processor time, such as a password's hash.
//!
//! **Invariants**
//! - Threads and waiting work are bounded; one more is refused as overloaded.
//! - Work whose caller went away before its turn is not done.
//! - A panic fails its own work; the thread goes on.

use crate::failure::Failure;

/// Bounded threads with a bounded queue, awaitable from any async runtime. Clones are handles to the same pool.
#[derive(Clone)]
pub struct Pool(());

impl Pool {
    /// A pool of so many threads, with at most so many pieces of work waiting.
    pub fn new(_name: &'static str, _threads: usize, _queue_max: usize) -> Self {
        Pool(())
    }

    /// Runs work on a thread of the pool.
    pub async fn run<T, F>(&self, _work: F) -> Result<T, Failure>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        unimplemented!()
    }
}
