//! After a failed COMMIT: was it applied, was it not, or does nobody know?
//!
//! SQLite's `walFrames` (3.54) writes the frames, syncs them, enters them into the wal-index and publishes its header, in
//! this order. A commit that failed before the header was published is invisible to every connection, but its frames
//! may be whole in the file, and recovery after a crash would apply them. So they are taken away:
//!
//! 1. ROLLBACK: no connection's private view names the frames any more.
//! 2. BEGIN IMMEDIATE: the WAL's write lock. Nobody appends, recovers or starts the WAL over until the end.
//! 3. The sequence row. If it has the failed commit's number, the header was published, which happens after the sync
//!    only: the commit is durable and visible, and it was something later that failed. It is answered as done.
//! 4. The wal-index's `mxFrame`: the last published commit. Readers and checkpoints use no frame behind it
//!    (`walFindFrame` looks at frames up to it, `walCheckpoint` copies up to it), so cutting the file there takes nothing
//!    from anybody. At 0 a new generation was begun over a WAL that is whole in the database file: only its header is kept.
//! 5. The file is cut there, and *that* is synced. It is not a repeated fsync: the pages whose writing failed, which the
//!    kernel may have marked clean, are gone from the file. The block that holds the end of the last acknowledged frame
//!    is changed by the cut (its rest becomes zero), so it is written again by this sync.
//!
//! A commit without room was not applied, whatever is in the file: the frame with its mark is not whole. But the header of
//! that frame may be there, and [`wal_behind`] takes it for a mark: so the file is cut in front of it, if it is, under the same lock.
//!
//! If all this succeeds the commit is known not to be applied and the store goes on: file, wal-index and the writer's
//! own state are those after the last acknowledged commit; later frames are appended there. If any of it fails,
//! the outcome is unknown, and the store only reads until it is opened again.
//!
//! **Invariants**
//! - A failed fsync is never repeated.
//! - Nothing is cut off that was acknowledged: what was acknowledged was published.
//! - Which codes leave no doubt is a list; every other code does.

use super::writer::Writer;
use crate::error::{Error, Kind, Result};
use crate::planted::planted;
use crate::reply::lock;
use crate::sqlite::disk::WalFile;
use crate::sqlite::live;
use crate::wal_behind;
use rusqlite::ffi;
use std::sync::atomic::Ordering::Relaxed;

/// What became of a failed COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    Applied,
    NotApplied,
}

impl Writer {
    /// Decides what became of a COMMIT that failed. `Ok` means that it was applied all the same.
    pub(crate) fn settle_failed_commit(&mut self, sequence: u64, error: Error) -> Result<()> {
        if planted!("failed_commit_answered_well") {
            return Ok(());
        }
        let no_room = matches!(live::system_errno(self.connection.sqlite()), libc::ENOSPC | libc::EDQUOT);
        let rolled_back = self.connection.rollback();
        if rolled_back.is_ok() && leaves_no_doubt(extended_code(&error)) {
            if extended_code(&error) & 0xFF == ffi::SQLITE_FULL {
                self.clear_away();
            }
            return Err(error.within("the commit was refused; nothing was done"));
        }
        match rolled_back.and_then(|()| self.settle(sequence)) {
            Ok(Settled::Applied) => Ok(()),
            Ok(Settled::NotApplied) => {
                let text = format!("a commit failed and was undone: {error}");
                *lock(&self.shared.trouble) = Some(text.clone());
                if error.kind() == Kind::Corrupt {
                    self.shared.damaged(format!("found in a commit: {error}"));
                }
                Err(Error::new(kind(&error, no_room), format!("{text}; nothing was done")))
            }
            Err(why) => {
                self.shared
                    .stop_writing("the outcome of a commit is unknown since the disk failed; restart to find out");
                let text = format!(
                    "the disk failed in a commit ({error}) and in undoing it ({why}); the change may or may not be there after a restart"
                );
                *lock(&self.shared.trouble) = Some(text.clone());
                Err(Error::new(Kind::OutcomeUnknown, text))
            }
        }
    }

    /// Takes the mark of a commit without room out of the WAL, where it fitted and its page did not: behind a later commit,
    /// torn by a crash, it would look like one that was lost.
    fn clear_away(&mut self) {
        let cleared = self.begin().and_then(|()| self.cut_at_mark().and(self.connection.rollback()));
        if let Err(why) = cleared {
            self.shared
                .stop_writing("what is left of a commit without room could not be taken out of the WAL; restart");
            *lock(&self.shared.trouble) =
                Some(format!("the rest of a commit without room could not be cut off: {why}"));
        }
    }

    /// Nothing else is cut, so that a WAL that is used again keeps its room on a full disk.
    fn cut_at_mark(&mut self) -> Result<()> {
        let sqlite = self.connection.sqlite();
        let index = live::wal_index(sqlite)?;
        let Some(mut file) = WalFile::open(&self.shared.path, self.shared.config.vfs)? else { return Ok(()) };
        if let Some(begin) = wal_behind::failed_mark(&index, &mut file)? {
            live::cut_wal(sqlite, begin)?;
        }
        Ok(())
    }

    /// Steps 2 to 5 of the module's text.
    fn settle(&mut self, sequence: u64) -> Result<Settled> {
        self.begin()?;
        let settled = self.cut(sequence);
        let ended = self.connection.rollback();
        let settled = settled?;
        ended?;
        Ok(settled)
    }

    fn cut(&mut self, sequence: u64) -> Result<Settled> {
        let (found, _) = self.connection.sequence()?;
        if found == sequence {
            return Ok(Settled::Applied);
        }
        if found != self.sequence {
            let text = format!("commit {found} is the last one, where {} or {sequence} was expected", self.sequence);
            return Err(Error::new(Kind::Internal, text));
        }
        let index = live::wal_index(self.connection.sqlite())?;
        live::cut_wal(self.connection.sqlite(), index.end())?;
        self.connection.wal_frames.store(index.frames, Relaxed);
        self.shared.wal_frames.store(index.frames, Relaxed);
        self.shared.rounds.renew();
        Ok(Settled::NotApplied)
    }
}

/// Whether a COMMIT that failed so is known not to be applied, now and after a crash.
///
/// BUSY, CONSTRAINT and the like come before any frame is written. FULL comes from a write of which less than all was
/// written; the frame with the commit mark is the last, so it is not whole. What is not in this list may come after
/// the frames were written: an I/O error, out of memory or a damaged wal-index while the frames are entered there.
fn leaves_no_doubt(extended: i32) -> bool {
    matches!(
        extended & 0xFF,
        ffi::SQLITE_FULL
            | ffi::SQLITE_BUSY
            | ffi::SQLITE_LOCKED
            | ffi::SQLITE_CONSTRAINT
            | ffi::SQLITE_INTERRUPT
            | ffi::SQLITE_READONLY
            | ffi::SQLITE_AUTH
            | ffi::SQLITE_PERM
            | ffi::SQLITE_MISUSE
    )
}

fn extended_code(error: &Error) -> i32 {
    match error.sqlite() {
        Some(rusqlite::Error::SqliteFailure(e, _)) => e.extended_code,
        _ => ffi::SQLITE_INTERNAL,
    }
}

/// What the callers should do about a commit that was undone.
fn kind(error: &Error, no_room: bool) -> Kind {
    match extended_code(error) {
        ffi::SQLITE_IOERR_NOMEM => Kind::Overloaded,
        code if code & 0xFF == ffi::SQLITE_IOERR && no_room => Kind::Full,
        _ => error.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_disk_or_of_memory_leaves_a_doubt_and_a_refusal_does_not() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_BUSY_SNAPSHOT, ffi::SQLITE_CONSTRAINT_COMMITHOOK] {
            assert!(leaves_no_doubt(code), "{code}");
        }
        for code in [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_SHMSIZE,
            ffi::SQLITE_IOERR_NOMEM,
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_INTERNAL,
            ffi::SQLITE_ERROR,
        ] {
            assert!(!leaves_no_doubt(code), "{code}");
        }
    }
}
