//! How large the WAL is and may be, and what is told where it stays larger.
//!
//! **Invariants**
//! - Frames are counted by the file's own page size.
//!
//! Never here: copying the WAL, ending the reads that keep it.

use crate::reply::lock;
use crate::sqlite::raw::Copied;
use crate::store::Shared;

/// Bytes of a WAL frame's header.
const FRAME_HEADER: u64 = 24;
/// How the trouble begins that is told of it.
const KEPT: &str = "the WAL is kept above wal_hard_bytes by a read that the store cannot end";

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
        if now.done {
            lock(&self.trouble).take_if(|told| told.starts_with(KEPT));
        } else if now.begun && !now.is_all() && !is_own && bytes > self.config.wal_hard_bytes {
            let text = format!(
                "{KEPT}, with {bytes} bytes: another program is in a transaction that it does not end, or a closure does not \
                 return; `fuser` on the -shm beside the file names programs"
            );
            *lock(&self.trouble) = Some(text);
        }
    }
}
