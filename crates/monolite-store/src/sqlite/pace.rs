//! The pace of a checkpoint: pages of the database file are written back as they are copied, a few at a time.
//!
//! A checkpoint copies thousands of scattered pages and syncs them. Left to that one sync they all reach the disk's queue
//! at once, and the WAL's sync of each group stands in line behind them: 0.16 ms became 3 to 8 for as long as it took.
//! So after every [`CHUNK`] pages their write-back is begun, after that of the chunk before has ended: at most two
//! chunks are in the disk's queue, and the sync at the end finds little to do.
//!
//! `sync_file_range` makes nothing durable and is never taken for a sync. It needs the file descriptor, which the unix
//! VFS keeps in its file's fourth member; what is found there is used only if it is a descriptor of this very file.
//! Another VFS, another layout: no pace, nothing else changes.
//!
//! **Invariants**
//! - The descriptor is the file's own, so open as long as the [`Pace`] lives: a number used for another file in the
//!   meantime could take an error away that the other's sync has to tell.
//! - Waiting for write-back takes its error away from the sync that follows, and a disk has many words for its errors. So
//!   every error here fails the checkpoint as a failed sync would; whether the system can do this at all is asked before.

use super::write_back;
use rusqlite::ffi;
use rustix::fs::{fstat, stat};
use std::ffi::{CStr, c_int, c_void};
use std::os::fd::BorrowedFd;

/// Pages in a chunk: 64 took the p99 of durable writes beside checkpoints from 5.2 to 3.3 ms; 16 and 256 gave less throughput.
const CHUNK: u32 = 64;

/// What was written to a database file since its last sync.
pub(super) struct Pace {
    fd: Option<c_int>,
    pages: u32,
    span: (i64, i64),
    before: Option<(i64, i64)>,
}

/// The head of SQLite's `unixFile`.
#[repr(C)]
struct UnixFile {
    methods: *const c_void,
    vfs: *mut c_void,
    inode: *mut c_void,
    fd: c_int,
}

impl Pace {
    /// The pace of a database file that was just opened.
    ///
    /// # Safety
    /// `file` was opened by `vfs`, which gave it its `szOsFile` bytes, under the path `name`.
    pub(super) unsafe fn of(vfs: *mut ffi::sqlite3_vfs, file: *mut ffi::sqlite3_file, name: &CStr) -> Self {
        // SAFETY: a registered VFS has a name; its file has as many bytes as it says, and is read as a UnixFile only if
        // they are enough and the VFS is SQLite's own.
        let found = unsafe {
            let is_unix = CStr::from_ptr((*vfs).zName) == c"unix";
            let is_large = (*vfs).szOsFile as usize >= size_of::<UnixFile>();
            (is_unix && is_large).then(|| (*file.cast::<UnixFile>()).fd)
        };
        let fd = found.filter(|fd| is_of(*fd, name) && ask(*fd, (0, 1), 0).is_ok());
        Pace { fd, pages: 0, span: NOTHING, before: None }
    }

    /// Bytes were written at an offset; answers SQLite's code.
    pub(super) fn wrote(&mut self, length: c_int, at: i64) -> c_int {
        self.pages += 1;
        self.span = (self.span.0.min(at), self.span.1.max(at + i64::from(length)));
        if self.pages < CHUNK {
            return ffi::SQLITE_OK;
        }
        let Some(fd) = self.fd else { return ffi::SQLITE_OK };
        let ended = self.before.map_or(Ok(()), |span| ask(fd, span, libc::SYNC_FILE_RANGE_WAIT_BEFORE));
        let begun = ended.and_then(|()| ask(fd, self.span, libc::SYNC_FILE_RANGE_WRITE));
        (self.before, self.pages, self.span) = (Some(self.span), 0, NOTHING);
        if begun.is_ok() { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR_FSYNC }
    }

    /// The file was synced: nothing is left to wait for.
    pub(super) fn synced(&mut self) {
        (self.before, self.pages, self.span) = (None, 0, NOTHING);
    }
}

/// Asks for something about a span of the file.
fn ask(fd: c_int, (from, to): (i64, i64), how: u32) -> std::io::Result<()> {
    write_back::ask(fd, (from.max(0) as u64, to.max(0) as u64), how)
}

const NOTHING: (i64, i64) = (i64::MAX, 0);

/// Whether a number is a descriptor of the file under this path.
fn is_of(fd: c_int, path: &CStr) -> bool {
    if fd < 0 {
        return false;
    }
    // SAFETY: borrowed for one fstat, which answers EBADF for a number that is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    match (fstat(fd), stat(path)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

#[cfg(test)]
impl Pace {
    pub(super) fn fd(&self) -> Option<c_int> {
        self.fd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A descriptor for which every request fails stands for a disk that does.
    #[test]
    fn an_error_of_write_back_fails_the_write() {
        let mut pace = Pace { fd: Some(-1), pages: 0, span: NOTHING, before: None };
        let codes: Vec<_> = (0..2 * i64::from(CHUNK)).map(|page| pace.wrote(4096, page * 4096)).collect();
        assert_eq!(codes.iter().filter(|code| **code == ffi::SQLITE_IOERR_FSYNC).count(), 2);
        assert_eq!((codes[62], codes[63]), (ffi::SQLITE_OK, ffi::SQLITE_IOERR_FSYNC));
    }

    #[test]
    fn no_pace_no_error() {
        let mut pace = Pace { fd: None, pages: 0, span: NOTHING, before: None };
        assert!((0..1000).all(|page| pace.wrote(4096, page * 4096) == ffi::SQLITE_OK));
    }
}
