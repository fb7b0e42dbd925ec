//! A WAL as a file of the VFS below the store's: what the store does to it by itself, when SQLite has it not open.
//!
//! Through the VFS, so that a test rig below the store sees these reads and syncs like SQLite's own.
//!
//! **Invariants**
//! - The file is opened with the flags that SQLite's pager opens a WAL with, under the name it would use; the unix VFS
//!   makes the folder's entry durable at the first sync of a file opened so.
//! - Never a database file: closing any handle of that drops the POSIX locks that the process holds on it.

use super::above;
use crate::error::{Error, Kind, Result};
use crate::place;
use rusqlite::ffi;
use rustix::fs::Advice;
use std::ffi::{CString, c_int};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

/// Our own opcode of xFileControl: "forget what you keep in memory" ("MONO").
const FORGET: c_int = 0x4D4F_4E4F;
/// Most bytes of one read: the unix VFS looks at the lower 17 bits of a length only.
const PIECE: usize = 120 << 10;

/// An open WAL.
pub(crate) struct WalFile {
    /// The VFS's own memory of the file, aligned as SQLite aligns it.
    file: Box<[u64]>,
    name: ffi::sqlite3_filename,
    vfs: *mut ffi::sqlite3_vfs,
    path: PathBuf,
}

// SAFETY: a VFS's file is used by one thread at a time, which `&mut self` of each method sees to; it is bound to no thread.
unsafe impl Send for WalFile {}

impl WalFile {
    /// Opens the WAL of a database; `None` where there is none, or an empty one.
    pub(crate) fn open(db: &Path, lower: Option<&'static str>) -> Result<Option<WalFile>> {
        let vfs = above::find(lower)?;
        let path = place::beside(db, "-wal");
        let (db, wal) = (full_name(vfs, db)?, full_name(vfs, &path)?);
        // SAFETY: the VFS is registered for good. The name is made as the pager makes it and is freed after the file is
        // closed; the file's memory is zeroed and as long as the VFS asks for.
        unsafe {
            let access = (*vfs).xAccess.ok_or_else(lacking)?;
            let mut there = 0;
            let code = access(vfs, wal.as_ptr(), ffi::SQLITE_ACCESS_EXISTS, &mut there);
            if code != ffi::SQLITE_OK {
                return Err(failed("look for", &path, code, vfs));
            }
            if there == 0 {
                return Ok(None);
            }
            let open = (*vfs).xOpen.ok_or_else(lacking)?;
            let words = ((*vfs).szOsFile as usize).div_ceil(8);
            let name = ffi::sqlite3_create_filename(db.as_ptr(), c"".as_ptr(), wal.as_ptr(), 0, ptr::null_mut());
            if name.is_null() {
                return Err(Error::new(Kind::Overloaded, "no memory for the name of a WAL"));
            }
            let mut this = WalFile { file: vec![0u64; words].into_boxed_slice(), name, vfs, path };
            let flags = ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE | ffi::SQLITE_OPEN_WAL;
            let code = open(vfs, ffi::sqlite3_filename_wal(name), this.raw(), flags, &mut 0);
            if code != ffi::SQLITE_OK {
                return Err(this.failed("open", code));
            }
            Ok(Some(this))
        }
    }

    /// The name of the file, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in the file.
    pub(crate) fn size(&mut self) -> Result<u64> {
        let method = self.methods().xFileSize.ok_or_else(lacking)?;
        let mut size = 0;
        // SAFETY: the file is open; the out pointer is valid.
        match unsafe { method(self.raw(), &mut size) } {
            ffi::SQLITE_OK => Ok(size.max(0) as u64),
            code => Err(self.failed("look at", code)),
        }
    }

    /// Fills `into` from the file.
    pub(crate) fn read_exact_at(&mut self, into: &mut [u8], at: u64) -> Result<()> {
        let method = self.methods().xRead.ok_or_else(lacking)?;
        let mut at = at as i64;
        for piece in into.chunks_mut(PIECE) {
            // SAFETY: the file is open; `piece` is writable for its length.
            let code = unsafe { method(self.raw(), piece.as_mut_ptr().cast(), piece.len() as c_int, at) };
            if code != ffi::SQLITE_OK {
                return Err(self.failed("read", code));
            }
            at += piece.len() as i64;
        }
        Ok(())
    }

    /// Lets the system forget what it keeps of the file in memory, as far as that is on the disk: what is read next comes
    /// from there. After a failed sync of an earlier process the two may differ.
    pub(crate) fn forget(&mut self) {
        if let Some(control) = self.methods().xFileControl {
            // SAFETY: the file is open. The opcode is far from SQLite's; a VFS that does not know it answers NOTFOUND.
            unsafe { control(self.raw(), FORGET, ptr::null_mut()) }; // heard by a test rig, which no advice reaches
        }
        if let Ok(hint) = File::open(&self.path) {
            let _ = rustix::fs::fadvise(&hint, 0, None, Advice::DontNeed);
        }
    }

    /// Makes what is in the file durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        let method = self.methods().xSync.ok_or_else(lacking)?;
        // SAFETY: the file is open.
        match unsafe { method(self.raw(), ffi::SQLITE_SYNC_NORMAL) } {
            ffi::SQLITE_OK => Ok(()),
            code => Err(self.failed("sync", code)),
        }
    }

    fn raw(&mut self) -> *mut ffi::sqlite3_file {
        self.file.as_mut_ptr().cast()
    }

    fn methods(&self) -> &'static ffi::sqlite3_io_methods {
        // SAFETY: only a file that was opened is asked; the VFS set its methods, which are static.
        unsafe { &*(*self.file.as_ptr().cast::<ffi::sqlite3_file>()).pMethods }
    }

    fn failed(&self, what: &str, code: c_int) -> Error {
        failed(what, &self.path, code, self.vfs)
    }
}

impl Drop for WalFile {
    fn drop(&mut self) {
        // SAFETY: a file whose methods are set is open and is closed once; the name was made in `open` and the file,
        // which may keep a pointer into it, is closed before.
        unsafe {
            let methods = (*self.raw()).pMethods;
            if let Some(close) = methods.as_ref().and_then(|m| m.xClose) {
                close(self.raw());
            }
            ffi::sqlite3_free_filename(self.name);
        }
    }
}

/// The name as SQLite itself would give it to the VFS.
fn full_name(vfs: *mut ffi::sqlite3_vfs, path: &Path) -> Result<CString> {
    let invalid = |_| Error::new(Kind::Invalid, format!("{} holds a NUL", path.display()));
    let name = CString::new(path.as_os_str().as_bytes()).map_err(invalid)?;
    // SAFETY: the VFS is registered for good; the buffer is as long as the VFS asks for and told.
    unsafe {
        let method = (*vfs).xFullPathname.ok_or_else(lacking)?;
        let mut full = vec![0u8; (*vfs).mxPathname as usize + 1];
        let code = method(vfs, name.as_ptr(), full.len() as c_int, full.as_mut_ptr().cast());
        if code & 0xFF != ffi::SQLITE_OK {
            return Err(failed("resolve", path, code, vfs));
        }
        full.truncate(full.iter().position(|b| *b == 0).unwrap_or(full.len()));
        CString::new(full).map_err(invalid)
    }
}

fn failed(what: &str, path: &Path, code: c_int, vfs: *mut ffi::sqlite3_vfs) -> Error {
    // SAFETY: the VFS is registered for good; a null buffer of no length is allowed.
    let errno = unsafe { (*vfs).xGetLastError.map_or(0, |last| last(vfs, 0, ptr::null_mut())) };
    let why = (errno != 0).then(|| std::io::Error::from_raw_os_error(errno).to_string());
    let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), why);
    Error::from(error).within(format!("cannot {what} {}", path.display()))
}

fn lacking() -> Error {
    Error::new(Kind::Unsupported, "the VFS lacks a method that a WAL needs")
}
