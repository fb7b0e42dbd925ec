//! Pages of the database file as they lie on the disk, while no checkpoint writes them: for the scrubber.
//!
//! Through the connection's own file handle: opening the file a second time would drop SQLite's locks.
//!
//! **Invariants**
//! - SQLite's checkpoint lock is held around each piece of work, so no page is half written, by anybody; no call of SQLite
//!   on this connection comes between taking and giving it back.
//! - The only bytes ever written are the reserved ones at the end of a page, which SQLite does not look at.

#![allow(unsafe_code)]

use super::sums;
use rusqlite::{Connection, ffi};
use std::ffi::c_int;

/// Lock 1 of the wal-index is the checkpoint lock ("WAL-mode file format", section 2.3).
const CHECKPOINT_LOCK: c_int = 1;
/// The byte at which SQLite locks a database file; the page that holds it is never used.
const LOCKED_BYTE: u64 = 0x4000_0000;

/// What to do about a page without its sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsound {
    /// It is damage.
    Tell,
    /// Another program wrote it, which knows no sums: give it one.
    Stamp,
}

/// What a look at some pages found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looked {
    /// The page after the last one looked at.
    pub(crate) next: u64,
    /// Pages in the file.
    pub(crate) pages: u64,
    /// The first page without its sum, counted from 1.
    pub(crate) unsound: Option<u64>,
}

/// Looks at most at `most` pages from `first` on (counted from 1). `None` where the file has no sums or is in use.
pub(crate) fn look(c: &Connection, first: u64, most: u64, unsound: Unsound) -> rusqlite::Result<Option<Looked>> {
    // Opens the WAL, and with it the wal-index, if no statement has yet.
    c.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
    let file = File::of(c)?;
    if !file.lock(ffi::SQLITE_SHM_LOCK)? {
        return Ok(None);
    }
    let looked = file.look(first, most, unsound);
    file.lock(ffi::SQLITE_SHM_UNLOCK)?;
    looked
}

/// A page as it lies in the file, without the WAL; empty behind the file's end. `None` where the file is in use.
pub(crate) fn raw(c: &Connection, number: u32, size: u32) -> rusqlite::Result<Option<Vec<u8>>> {
    let file = File::of(c)?;
    if !file.lock(ffi::SQLITE_SHM_LOCK)? {
        return Ok(None);
    }
    let at = u64::from(number.saturating_sub(1)) * u64::from(size);
    let mut page = vec![0u8; size as usize];
    let read = file.bytes().and_then(|bytes| {
        if at + u64::from(size) <= bytes {
            return file.read(&mut page, at);
        }
        page.clear();
        Ok(())
    });
    file.lock(ffi::SQLITE_SHM_UNLOCK)?;
    read.map(|()| Some(page))
}

struct File(*mut ffi::sqlite3_file);

impl File {
    fn of(c: &Connection) -> rusqlite::Result<File> {
        let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
        // SAFETY: the handle is open; FILE_POINTER hands out the connection's own file, valid while it is open.
        unsafe {
            let out = (&raw mut file).cast();
            let code = ffi::sqlite3_file_control(c.handle(), c"main".as_ptr(), ffi::SQLITE_FCNTL_FILE_POINTER, out);
            if code != ffi::SQLITE_OK || file.is_null() || (*file).pMethods.is_null() {
                return Err(failure(code.max(ffi::SQLITE_ERROR)));
            }
        }
        Ok(File(file))
    }

    fn methods(&self) -> &ffi::sqlite3_io_methods {
        // SAFETY: the file is open, so its methods are set; they are static.
        unsafe { &*(*self.0).pMethods }
    }

    /// Takes or gives back the checkpoint lock; false where another has it.
    fn lock(&self, how: c_int) -> rusqlite::Result<bool> {
        let method = self.methods().xShmLock.ok_or_else(|| failure(ffi::SQLITE_ERROR))?;
        // SAFETY: the file is open and its wal-index is mapped, since the connection has read.
        match unsafe { method(self.0, CHECKPOINT_LOCK, 1, how | ffi::SQLITE_SHM_EXCLUSIVE) } {
            ffi::SQLITE_OK => Ok(true),
            ffi::SQLITE_BUSY => Ok(false),
            code => Err(failure(code)),
        }
    }

    fn look(&self, first: u64, most: u64, unsound: Unsound) -> rusqlite::Result<Option<Looked>> {
        let mut header = [0u8; 100];
        self.read(&mut header, 0)?;
        let Some(size) = sums::page_of(&header) else { return Ok(None) };
        let pages = self.bytes()? / size as u64;
        let mut page = vec![0u8; size];
        let end = first.saturating_add(most).min(pages + 1);
        for number in first..end {
            let at = (number - 1) * size as u64;
            if at == LOCKED_BYTE / size as u64 * size as u64 {
                continue;
            }
            self.read(&mut page, at)?;
            if sums::is_sound(&page) {
                continue;
            }
            if unsound == Unsound::Tell {
                return Ok(Some(Looked { next: number + 1, pages, unsound: Some(number) }));
            }
            let reserved = at + (size - sums::SUM) as u64;
            self.write(&sums::sum(&page), reserved)?;
        }
        Ok(Some(Looked { next: end.max(first), pages, unsound: None }))
    }

    fn bytes(&self) -> rusqlite::Result<u64> {
        let method = self.methods().xFileSize.ok_or_else(|| failure(ffi::SQLITE_ERROR))?;
        let mut bytes = 0;
        // SAFETY: the file is open; the out pointer is valid.
        match unsafe { method(self.0, &mut bytes) } {
            ffi::SQLITE_OK => Ok(bytes.max(0) as u64),
            code => Err(failure(code)),
        }
    }

    fn read(&self, into: &mut [u8], at: u64) -> rusqlite::Result<()> {
        let method = self.methods().xRead.ok_or_else(|| failure(ffi::SQLITE_ERROR))?;
        // SAFETY: the file is open; `into` is writable for its length.
        match unsafe { method(self.0, into.as_mut_ptr().cast(), into.len() as c_int, at as i64) } {
            ffi::SQLITE_OK => Ok(()),
            code => Err(failure(code)),
        }
    }

    fn write(&self, from: &[u8], at: u64) -> rusqlite::Result<()> {
        let method = self.methods().xWrite.ok_or_else(|| failure(ffi::SQLITE_ERROR))?;
        // SAFETY: the file is open; `from` is readable for its length.
        match unsafe { method(self.0, from.as_ptr().cast(), from.len() as c_int, at as i64) } {
            ffi::SQLITE_OK => Ok(()),
            code => Err(failure(code)),
        }
    }
}

fn failure(code: c_int) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}
