//! The threads that all stores of a process share: the slow lane's, the checkpointer, the caretaker.
//!
//! They are started with the first store, where a lack of threads is an error that its opener hears. Later it could only be
//! a panic, and on the writer's thread at that.
//!
//! **Invariants**
//! - Each lives as long as the process, and each is started once; a start that failed is tried again by the next store.

use crate::error::{Error, Result};
use crate::reply::lock;
use std::sync::Mutex;

/// Starts those that do not run yet.
pub(crate) fn start() -> Result<()> {
    crate::read::start_lane()
        .and_then(|()| crate::checkpoint::start())
        .and_then(|()| crate::caretaker::start())
        .map_err(|e| Error::io("cannot start the threads that all stores share", e))
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
