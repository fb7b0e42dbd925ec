//! The threads that all stores of a process share: the slow lane's, the checkpointer, the caretaker.
//!
//! They are started with the first store, where a lack of threads is an error that its opener hears. Later it could only be
//! a panic, and on the writer's thread at that.
//!
//! Threads of the background leave one processor alone (`work_behind`): a commit's fsync is completed by threads of the
//! kernel that have no priority over ours, and behind busy threads they wait for ticks, on both processors of a small
//! machine for a hundred milliseconds. Measured in docs/adr/0026.
//!
//! **Invariants**
//! - Each lives as long as the process, and each is started once; a start that failed is tried again by the next store.

use crate::error::{Error, Result};
use crate::reply::lock;
use rustix::thread::CpuSet;
use std::sync::Mutex;

/// Starts those that do not run yet.
pub(crate) fn start() -> Result<()> {
    crate::read::start_lane()
        .and_then(|()| crate::checkpoint::start())
        .and_then(|()| crate::caretaker::start())
        .map_err(|e| Error::io("cannot start the threads that all stores share", e))
}

/// Makes the calling thread one of the background: with this nice value at least, or with its own for 0, and on all processors
/// that it may use but the last. Where the system refuses either, or has one processor, the thread works as well.
pub fn work_behind(nice: i32) {
    let thread = Some(rustix::thread::gettid());
    // Never less than it has: beside a writer of a process that was started by `nice`, that would be in front.
    if nice != 0 && rustix::process::getpriority_process(thread).is_ok_and(|own| own < nice) {
        let _ = rustix::process::setpriority_process(thread, nice);
    }
    let Ok(mut usable) = rustix::thread::sched_getaffinity(None) else { return };
    if usable.count() > 1
        && let Some(last) = (0..CpuSet::MAX_CPU).rev().find(|cpu| usable.is_set(*cpu))
    {
        usable.unset(last);
        let _ = rustix::thread::sched_setaffinity(None, &usable);
    }
}

/// Whether a thread was started.
pub(crate) struct Started(Mutex<bool>);

impl Started {
    pub(crate) const fn new() -> Self {
        Started(Mutex::new(false))
    }

    /// Starts it, if it does not run yet.
    pub(crate) fn start(&self, name: &str, life: fn()) -> std::io::Result<()> {
        let mut started = lock(&self.0);
        if !*started {
            std::thread::Builder::new().name(name.to_owned()).spawn(life)?;
            *started = true;
        }
        Ok(())
    }
}
