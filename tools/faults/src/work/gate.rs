//! A write that holds the writer until others are queued behind it.

use super::wait::ready;
use std::future::Future;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How long a write is held at most.
const HELD_MAX: Duration = Duration::from_secs(5);
/// How often the one who waits for it looks whether it failed instead.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The waiting side.
pub(super) struct Gate {
    entered: Receiver<()>,
    go: SyncSender<()>,
}

/// The side of the write.
pub(super) struct Held {
    entered: SyncSender<()>,
    go: Receiver<()>,
}

impl Gate {
    pub(super) fn new() -> (Gate, Held) {
        let (enter, entered) = sync_channel(1);
        let (go, gone) = sync_channel(1);
        (Gate { entered, go }, Held { entered: enter, go: gone })
    }

    /// Waits until the write runs; answers its answer, where it had one without running.
    pub(super) fn entered<F: Future + Unpin>(&mut self, write: &mut F) -> Option<F::Output> {
        loop {
            match self.entered.recv_timeout(LOOK_AGAIN) {
                Ok(()) => return None,
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(answer) = ready(write) {
                        return Some(answer);
                    }
                }
            }
        }
    }

    /// Lets the write go on.
    pub(super) fn open(self) {
        let _ = self.go.send(()); // a write that failed does not wait
    }
}

impl Held {
    pub(super) fn wait(self) {
        let _ = self.entered.send(());
        let _ = self.go.recv_timeout(HELD_MAX); // an error is a waiter that went away
    }
}
