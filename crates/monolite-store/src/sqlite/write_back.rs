//! Write-back of files, begun by us instead of all at once by the sync at their end.
//!
//! What is synced in one go fills the disk's queue, and whoever else syncs meanwhile, a writer's WAL, waits behind all of
//! it. `sync_file_range` makes nothing durable and is never taken for a sync.
//!
//! **Invariants**
//! - Waiting for write-back takes its error away from the sync that follows. So every error here fails what was asked for
//!   as a failed sync would; whether the system can do this at all is asked before.

use std::fs::File;
use std::io::Result;
use std::os::fd::{AsRawFd, RawFd};

/// Bytes in a piece.
const PIECE: u64 = 256 << 10;

/// The write-back of a file that is written from its beginning to its end: after each 256 KiB it is begun, after that of the
/// piece before has ended, so that at most two are in the disk's queue.
#[derive(Debug, Default)]
pub struct WriteBack {
    can: Option<bool>,
    /// Where the piece that is not written back yet begins.
    from: u64,
    before: Option<(u64, u64)>,
}

impl WriteBack {
    /// The file was written up to here.
    ///
    /// # Errors
    /// The disk's: as good as a failed sync.
    pub fn wrote(&mut self, file: &File, to: u64) -> Result<()> {
        let fd = file.as_raw_fd();
        if !*self.can.get_or_insert_with(|| ask(fd, (0, 1), 0).is_ok()) {
            return Ok(());
        }
        if to.saturating_sub(self.from) < PIECE {
            return Ok(());
        }
        let span = (self.from, to);
        if let Some(before) = self.before.replace(span) {
            ask(fd, before, libc::SYNC_FILE_RANGE_WAIT_BEFORE)?;
        }
        self.from = to;
        ask(fd, span, libc::SYNC_FILE_RANGE_WRITE)
    }
}

/// Asks the kernel for something about a range of a file; no flags ask for nothing, and tell whether it could.
pub(crate) fn ask(fd: RawFd, (from, to): (u64, u64), how: u32) -> Result<()> {
    let number = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
    // SAFETY: a system call on numbers; a number that is no open descriptor is an error.
    match unsafe { libc::sync_file_range(fd, number(from), number(to) - number(from), how) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn an_error_of_write_back_is_told() {
        let (_, pipe) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
        let mut unable = WriteBack::default();
        assert!(unable.wrote(&pipe, PIECE).is_ok(), "a pipe cannot do this at all");
        let mut able = WriteBack { can: Some(true), ..WriteBack::default() };
        assert!(able.wrote(&pipe, PIECE - 1).is_ok());
        assert!(able.wrote(&pipe, PIECE).is_err());
    }

    #[test]
    fn a_file_is_written_back_in_pieces() {
        let mut file = tempfile::tempfile().unwrap();
        let mut back = WriteBack::default();
        for n in 0..40_u64 {
            file.write_all(&[1; 100_000]).unwrap();
            back.wrote(&file, (n + 1) * 100_000).unwrap();
        }
        // Three writes are a piece; the fortieth waits for two more.
        assert_eq!((back.from, back.before), (3_900_000, Some((3_600_000, 3_900_000))));
    }
}
