//! Was the whole rig stopped for a while? A machine that was suspended, or a stopped process, makes deadlines pass.
//!
//! A thread beats; where two beats lie far apart, nobody ran in between, and an answer that came too late says nothing.
//!
//! **Invariants**
//! - Only a beat that came much too late counts: a busy machine is no excuse.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_millis(100);
/// A beat that comes later than that means that the process did not run.
const STOPPED: Duration = Duration::from_secs(3);

/// Counts the times in which the process did not run, as long as it lives.
#[derive(Debug)]
pub(crate) struct Pauses {
    seen: Arc<AtomicU64>,
    _end: SyncSender<()>,
}

impl Pauses {
    pub(crate) fn watch() -> Pauses {
        let seen = Arc::new(AtomicU64::new(0));
        let (end, ended) = sync_channel(0);
        let beats = seen.clone();
        std::thread::spawn(move || beat(&beats, &ended));
        Pauses { seen, _end: end }
    }

    /// How many there were.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(SeqCst)
    }

    /// Whether there was one since there were `before`; waits for the beat that would tell.
    pub(crate) fn since(&self, before: u64) -> bool {
        let (_held, never) = sync_channel::<()>(0);
        let _ = never.recv_timeout(BEAT * 3);
        self.seen() > before
    }
}

fn beat(seen: &AtomicU64, ended: &Receiver<()>) {
    let mut last = Instant::now();
    while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
        let now = Instant::now();
        seen.fetch_add(u64::from(was_stopped(now - last)), SeqCst);
        last = now;
    }
}

fn was_stopped(between_two_beats: Duration) -> bool {
    between_two_beats > STOPPED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_that_is_late_by_a_little_is_no_pause() {
        assert!(!was_stopped(BEAT * 10));
        assert!(was_stopped(Duration::from_secs(4)));
        let pauses = Pauses::watch();
        assert!(!pauses.since(pauses.seen()), "this test ran all the time");
    }
}
