//! Looks at something again and again while something else is measured.

use anyhow::Context;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it looks.
const EACH: Duration = Duration::from_millis(5);

/// A thread that looks.
pub(super) struct Watching<T> {
    end: SyncSender<()>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Watching<T> {
    /// Begins to look; what `look` is handed is what was seen so far.
    pub(super) fn begin(mut seen: T, mut look: impl FnMut(&mut T) + Send + 'static) -> Watching<T> {
        let (end, ended) = sync_channel(0);
        let thread = std::thread::spawn(move || {
            while ended.recv_timeout(EACH) == Err(RecvTimeoutError::Timeout) {
                look(&mut seen);
            }
            seen
        });
        Watching { end, thread }
    }

    /// What was seen.
    pub(super) fn end(self) -> anyhow::Result<T> {
        drop(self.end);
        self.thread.join().ok().context("the thread that watches panicked")
    }
}
