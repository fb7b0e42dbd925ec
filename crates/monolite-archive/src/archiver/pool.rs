//! A few threads that do what is due, for all stores.
//!
//! **Invariants**
//! - Nothing is polled: a pool without work due sleeps.
//! - A job that panics ends neither its thread nor the others' work.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

type Job = Box<dyn FnOnce() + Send>;

/// How far behind others the threads of a pool stand, in the words of `nice`: what waits behind a commit has none, what can
/// wait gives way to the writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// As the process.
    Same,
    /// Behind whatever else wants a processor.
    Behind,
}

/// The same as the store's slow lane has.
const NICE: i32 = 10;

/// Whether the archiver ends, for work that takes long and waits in between.
#[derive(Default)]
pub(super) struct Ending {
    ended: Mutex<bool>,
    told: Condvar,
}

impl Ending {
    pub(super) fn end(&self) {
        *lock(&self.ended) = true;
        self.told.notify_all();
    }

    pub(super) fn is_ended(&self) -> bool {
        *lock(&self.ended)
    }

    /// Waits so long, or until the end.
    pub(super) fn wait(&self, most: Duration) {
        let waited = self.told.wait_timeout_while(lock(&self.ended), most, |ended| !*ended);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Work by the time it is due.
#[derive(Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    due: Mutex<Due>,
    changed: Condvar,
    ended: Condvar,
}

#[derive(Default)]
struct Due {
    jobs: BTreeMap<(Instant, u64), Job>,
    numbers: u64,
    closed: bool,
    /// Threads that live.
    threads: usize,
}

impl Pool {
    pub(super) fn start(
        name: &str,
        threads: usize,
        priority: Priority,
    ) -> std::io::Result<(Pool, Vec<JoinHandle<()>>)> {
        let pool = Pool { shared: Arc::new(Shared::default()) };
        let mut handles = Vec::new();
        for n in 0..threads.max(1) {
            let shared = pool.shared.clone();
            lock(&shared.due).threads += 1;
            let spawned = std::thread::Builder::new().name(format!("{name}:{n}")).spawn(move || {
                monolite_store::work_behind(if priority == Priority::Behind { NICE } else { 0 });
                serve(&shared);
                lock(&shared.due).threads -= 1;
                shared.ended.notify_all();
            });
            match spawned {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    lock(&pool.shared.due).threads -= 1;
                    pool.close();
                    return Err(error);
                }
            }
        }
        Ok((pool, handles))
    }

    /// Runs the job at this time or soon after it; not at all once the pool is closed.
    pub(super) fn at(&self, when: Instant, job: impl FnOnce() + Send + 'static) {
        let mut due = lock(&self.shared.due);
        if due.closed {
            return;
        }
        due.numbers += 1;
        let key = (when, due.numbers);
        due.jobs.insert(key, Box::new(job));
        drop(due);
        self.shared.changed.notify_one();
    }

    /// Waits for the threads of a pool that is closed; answers whether all have ended.
    pub(super) fn ends(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.shared.ended.wait_timeout_while(lock(&self.shared.due), left, |due| due.threads > 0);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// No job begins any more.
    pub(super) fn close(&self) {
        let mut due = lock(&self.shared.due);
        due.closed = true;
        let jobs = std::mem::take(&mut due.jobs);
        drop(due);
        drop(jobs);
        self.shared.changed.notify_all();
    }
}

fn serve(shared: &Shared) {
    let mut due = lock(&shared.due);
    while !due.closed {
        let wait = due.jobs.first_key_value().map(|((at, _), _)| at.saturating_duration_since(Instant::now()));
        due = match wait {
            None => shared.changed.wait(due).unwrap_or_else(PoisonError::into_inner),
            Some(wait) if !wait.is_zero() => {
                shared.changed.wait_timeout(due, wait).unwrap_or_else(PoisonError::into_inner).0
            }
            Some(_) => {
                let (_, job) = due.jobs.pop_first().expect("looked at above");
                drop(due);
                let _ = catch_unwind(AssertUnwindSafe(job)); // the store that it was for is the poorer; others go on
                lock(&shared.due)
            }
        };
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
