//! How large the WAL is and may be, and what is told where it stays larger.
//!
//! **Invariants**
//! - Frames are counted by the file's own page size.
//! - Another program is named only where two tries stopped at the same frame: a read of the store's that was in the way of one may
//!   have ended before anybody looked.
//!
//! Never here: copying the WAL, ending the reads that keep it.

use crate::reply::lock;
use crate::sqlite::raw::Copied;
use crate::store::Shared;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a WAL frame's header.
const FRAME_HEADER: u64 = 24;
/// How the trouble begins that is told of it.
const KEPT: &str = "the WAL is kept above wal_hard_bytes by a read that the store cannot end";

/// Where the last try to copy all of the WAL stopped, for no read of the store's that was seen; 0 where there was none such.
#[derive(Debug, Default)]
pub(crate) struct KeptAt(AtomicU64);

impl Shared {
    /// Bytes of a WAL frame.
    pub(crate) fn frame_bytes(&self) -> u64 {
        u64::from(self.following.found().page_size) + FRAME_HEADER
    }

    /// Frames from which on a checkpoint begins.
    pub(crate) fn soft_frames(&self) -> u64 {
        self.config.wal_soft_bytes / self.frame_bytes()
    }

    /// A WAL above its hard limit that no read of the store's keeps there is told; once it starts over that is past.
    pub(crate) fn tell_who_keeps_the_wal(&self, now: &Copied) {
        let bytes = now.frames * self.frame_bytes();
        let is_own = self.reads.slow.running() > 0 || self.cuts.count() > 0;
        let is_kept = !now.done && now.begun && !now.is_all() && !is_own;
        let at = if is_kept { now.copied + 1 } else { 0 };
        let is_same = self.wal_kept_at.0.swap(at, Relaxed) == at;
        if now.done {
            lock(&self.trouble).take_if(|told| told.starts_with(KEPT));
        } else if is_kept && is_same && bytes > self.config.wal_hard_bytes {
            let text = format!(
                "{KEPT}, with {bytes} bytes: another program is in a transaction that it does not end, or a closure does not \
                 return; `fuser` on the -shm beside the file names programs"
            );
            *lock(&self.trouble) = Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Migrations, Store};

    #[test]
    fn an_own_read_that_just_ended_is_not_told_as_another_program() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { wal_hard_bytes: 1 << 20, ..Config::default() };
        let store = Store::open(folder.path().join("S/S.db"), config, Migrations::new([])).unwrap();
        let shared = store.shared();
        let tried = |copied, done| {
            shared.tell_who_keeps_the_wal(&Copied { begun: true, frames: 1000, copied, done });
            store.status().trouble.is_some()
        };
        // It was in the way of the try, and is gone when it is looked at; the next one of its kind is further on.
        assert!(!tried(10, false) && !tried(400, false) && !tried(1000, false) && !tried(400, false));
        assert!(tried(400, false), "who stays where he was");
        assert!(!tried(1000, true), "it started over");
        assert!(!tried(0, false) && tried(0, false));
    }
}
