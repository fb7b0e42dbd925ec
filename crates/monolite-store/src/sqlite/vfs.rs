//! The VFS "monolite": the system's own, but that a WAL's appended frames are written in large pieces, and a checkpoint's
//! pages at a pace.
//!
//! For the connections that write: the writer's and the checkpointer's. Every method goes to the VFS below (see [`above`]) unchanged, but for WAL files, whose writes
//! pass through a [`Tail`], and for the database file's writes, counted by its [`Pace`], and `xShmLock`, which tells when the WAL's write lock is released and
//! where a [`Gate`] says whether the WAL may start over. Measured and reasoned in docs/adr/0004 and 0019.
//!
//! Why nobody misses bytes that are held back (SQLite 3.54.1, `walFrames`):
//! - Other connections read frames up to the `mxFrame` of the wal-index header, and that header is written after the
//!   frame with the commit mark and, with `synchronous=FULL`, after xSync. The tail holds back no marked frame.
//! - Frames spilled before the commit are known to the writer's connection alone, which reads them through this VFS.
//! - Recovery, by any process, needs the write lock; nothing is held back while nobody has it.
//! - Frames that are rewritten before the commit (`iReCksum`) are behind the append position: written through, in order.
//!
//! **Invariants**
//! - An [`Outer`] file lies in the memory that SQLite reserved for a file of this VFS: first itself, then the real file.
//! - A WAL's outer file and its database's point to each other while both are open; both belong to one pager, so to one
//!   connection, and are used by one thread at a time.

use super::pace::Pace;
use super::tail::{Below, Tail};
use super::{above, live, sums};
use crate::error::Result;
use crate::follow::gate::Gate;
use crate::planted::planted;
use rusqlite::ffi;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

/// The name to open the writer's connection with, above the VFS named, or above the default.
pub(crate) fn register(lower: Option<&'static str>) -> Result<&'static CStr> {
    above::register(lower, open, size_of::<Outer>())
}

/// A file of this VFS. The real file lies right behind it.
#[repr(C)]
struct Outer {
    base: ffi::sqlite3_file,
    /// A database's WAL, while that is open; a WAL's database.
    partner: *mut Outer,
    tail: Option<Tail>,
    pace: Option<Pace>,
    /// Whether the database's pages get checksums, and room for one page.
    sums: bool,
    page: Vec<u8>,
    /// Says whether the WAL may start over.
    gate: Option<Arc<Gate>>,
}

// The real file behind it must be aligned as SQLite aligns files.
const _: () = assert!(size_of::<Outer>().is_multiple_of(8) && align_of::<Outer>() <= 8);

impl Outer {
    /// Writes to a database file; whole pages get their checksum, where the file has room for it.
    fn write_page(&mut self, below: &mut Real, data: &[u8], at: i64) -> c_int {
        self.see_header(data, at);
        if !self.sums || !sums::is_page(data.len()) {
            return below.write(data, at);
        }
        self.page.clear();
        if self.page.try_reserve(data.len()).is_err() {
            return ffi::SQLITE_IOERR_NOMEM;
        }
        self.page.extend_from_slice(data);
        sums::stamp(&mut self.page);
        below.write(&self.page, at)
    }

    /// Learns from the file's beginning whether its pages have room for checksums; a torn one says nothing.
    fn see_header(&mut self, data: &[u8], at: i64) {
        if at == 0 && data.len() >= 100 && data.starts_with(b"SQLite format 3\0") {
            self.sums = sums::page_of(data).is_some();
        }
    }
}

/// The real file under an outer one.
struct Real(*mut ffi::sqlite3_file);

impl Real {
    /// # Safety
    /// `file` is an open file of this VFS.
    unsafe fn of(file: *mut ffi::sqlite3_file) -> Real {
        // SAFETY: the memory reserved by szOsFile holds the real file right behind the outer one.
        Real(unsafe { file.cast::<Outer>().add(1).cast() })
    }

    fn methods(&self) -> &ffi::sqlite3_io_methods {
        // SAFETY: the real file was opened by the real VFS, which set its methods; they are static.
        unsafe { &*(*self.0).pMethods }
    }
}

/// Most bytes of one write: the unix VFS looks at the lower 17 bits of a length only (`seekAndWriteFd`).
const PIECE: usize = 120 << 10;

impl Below for Real {
    fn write(&mut self, data: &[u8], at: i64) -> c_int {
        let method = self.methods().xWrite.expect("every file has xWrite");
        let mut at = at;
        for piece in data.chunks(PIECE) {
            // SAFETY: the real file is open; `piece` is readable for its length.
            let code = unsafe { method(self.0, piece.as_ptr().cast(), piece.len() as c_int, at) };
            if code != ffi::SQLITE_OK {
                return code;
            }
            at += piece.len() as i64;
        }
        ffi::SQLITE_OK
    }
}

/// # Safety
/// `file` is an open file of this VFS, and its connection is in use by this thread alone.
unsafe fn outer<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Outer {
    // SAFETY: by the caller's word; SQLite's connection mutex serialises all calls on its files.
    unsafe { &mut *file.cast() }
}

/// Calls a method of the real file.
macro_rules! real {
    ($file:ident . $method:ident ( $($arg:expr),* )) => {{
        // SAFETY: SQLite calls methods on open files of this VFS only.
        let real = unsafe { Real::of($file) };
        let method = real.methods().$method.expect("the system's VFS has all methods of version 2");
        // SAFETY: the arguments are those that SQLite gave for this very method.
        unsafe { method(real.0, $($arg),*) }
    }};
}

/// Writes what a WAL holds back, or answers its error.
macro_rules! flush_or_return {
    ($file:ident) => {{
        // SAFETY: SQLite calls methods on open files of this VFS only, one thread at a time for a connection.
        let (this, mut real) = unsafe { (outer($file), Real::of($file)) };
        if let Some(tail) = &mut this.tail {
            let code = tail.flush(&mut real);
            if code != ffi::SQLITE_OK {
                return code;
            }
        }
    }};
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2, // without xFetch: the store maps no file
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls this on a VFS that was registered above; the one below lives as long as the process.
    let real_vfs = unsafe { above::below(vfs) };
    // SAFETY: as above.
    let real_open = unsafe { (*real_vfs).xOpen }.expect("every VFS has xOpen");
    let is_wal = flags & ffi::SQLITE_OPEN_WAL != 0;
    if !is_wal && flags & ffi::SQLITE_OPEN_MAIN_DB == 0 {
        // SAFETY: journals and temporary files are the real VFS's alone; the memory is larger than it needs.
        return unsafe { real_open(real_vfs, name, file, flags, out_flags) };
    }
    // SAFETY: `file` points to szOsFile bytes, aligned to 8, ours to fill; SQLite calls no method where pMethods is null.
    unsafe {
        let this: *mut Outer = file.cast();
        ptr::write(
            this,
            Outer {
                base: ffi::sqlite3_file { pMethods: ptr::null() },
                partner: ptr::null_mut(),
                tail: is_wal.then(Tail::default),
                sums: false,
                page: Vec::new(),
                pace: None,
                gate: None,
            },
        );
        let code = real_open(real_vfs, name, Real::of(file).0, flags, out_flags);
        if code != ffi::SQLITE_OK {
            ptr::drop_in_place(this);
            (*file).pMethods = ptr::null();
            return code;
        }
        (*this).base.pMethods = &METHODS;
        match is_wal {
            true => join(this, name),
            false if name.is_null() => {}
            false => (*this).pace = Some(Pace::of(real_vfs, Real::of(file).0, CStr::from_ptr(name))),
        }
        code
    }
}

/// # Safety
/// `wal` was just opened by this VFS under the name that SQLite's pager gave.
unsafe fn join(wal: *mut Outer, name: *const c_char) {
    // SAFETY: a WAL's name that a pager gives leads to its database's file, open under the same VFS, so an Outer.
    unsafe {
        let database = ffi::sqlite3_database_file_object(name);
        if !database.is_null() && ptr::eq((*database).pMethods, &METHODS) {
            let database: *mut Outer = database.cast();
            (*database).partner = wal;
            (*wal).partner = database;
        }
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes an open file once and calls nothing on it afterwards. A partner that is not null is open:
    // whichever closes first takes itself out of the other.
    unsafe {
        let this = outer(file);
        if let Some(tail) = &mut this.tail {
            tail.forget();
        }
        if !this.partner.is_null() {
            (*this.partner).partner = ptr::null_mut();
        }
    }
    let code = real!(file.xClose());
    // SAFETY: as above; the Outer was written in open.
    unsafe {
        ptr::drop_in_place(file.cast::<Outer>());
        (*file).pMethods = ptr::null();
    }
    code
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    into: *mut c_void,
    length: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite calls methods on open files of this VFS only, one thread at a time for a connection.
    let (this, mut below) = unsafe { (outer(file), Real::of(file)) };
    if let Some(tail) = &mut this.tail {
        let code = tail.before_read(&mut below, length as usize, at);
        if code != ffi::SQLITE_OK {
            return code;
        }
    }
    let code = real!(file.xRead(into, length, at));
    if code == ffi::SQLITE_OK && at == 0 && this.tail.is_none() {
        // SAFETY: the real file has filled `length` bytes.
        this.see_header(unsafe { std::slice::from_raw_parts(into.cast::<u8>(), length as usize) }, at);
    }
    code
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    length: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite calls methods on open files of this VFS only, one thread at a time for a connection.
    let (this, mut below) = unsafe { (outer(file), Real::of(file)) };
    // SAFETY: SQLite gives `length` readable bytes.
    let data = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), length as usize) };
    let Some(tail) = &mut this.tail else {
        return match (this.write_page(&mut below, data, at), &mut this.pace) {
            (ffi::SQLITE_OK, Some(pace)) => pace.wrote(length, at),
            (code, _) => code,
        };
    };
    tail.write(&mut below, data, at)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    flush_or_return!(file);
    real!(file.xTruncate(size))
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    flush_or_return!(file);
    #[cfg(monolite_planted)]
    // SAFETY: as below.
    if crate::planted::is(if unsafe { outer(file).tail.is_some() } {
        "wal_not_synced"
    } else {
        "checkpoint_not_synced"
    }) {
        return ffi::SQLITE_OK;
    }
    let mut code = real!(file.xSync(flags));
    if code != ffi::SQLITE_OK && planted!("failed_sync_repeated") {
        code = real!(file.xSync(flags));
    }
    // SAFETY: SQLite calls methods on open files of this VFS only, one thread at a time for a connection.
    if let (ffi::SQLITE_OK, Some(pace)) = (code, unsafe { &mut outer(file).pace }) {
        pace.synced();
    }
    code
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    flush_or_return!(file);
    real!(file.xFileSize(size))
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    real!(file.xLock(level))
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    real!(file.xUnlock(level))
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    real!(file.xCheckReservedLock(out))
}

unsafe extern "C" fn file_control(file: *mut ffi::sqlite3_file, op: c_int, arg: *mut c_void) -> c_int {
    flush_or_return!(file);
    match op {
        // SAFETY: the opcode is our own; `ask_gate` gives a valid gate with it. One thread at a time for a connection.
        live::ASK_GATE => unsafe { outer(file).gate = Some((*arg.cast::<Arc<Gate>>()).clone()) },
        // SAFETY: as above, without an argument.
        live::HAS_SUMS => unsafe { outer(file).sums = true },
        _ => return real!(file.xFileControl(op, arg)),
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    real!(file.xSectorSize())
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    real!(file.xDeviceCharacteristics())
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    real!(file.xShmMap(page, size, extend, out))
}

/// Lock 0 is the WAL's write lock ("WAL-mode file format", section 2.3).
const WRITE_LOCK: c_int = 0;
/// The locks that are taken together before the WAL is started over: WAL_READ_LOCK(1) to (4).
const READ_LOCKS: (c_int, c_int) = (4, 4);
unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, n: c_int, flags: c_int) -> c_int {
    const RELEASE: c_int = ffi::SQLITE_SHM_UNLOCK | ffi::SQLITE_SHM_EXCLUSIVE;
    const TAKE: c_int = ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_EXCLUSIVE;
    // SAFETY: SQLite takes these locks together under the write lock only, with the wal-index mapped.
    if flags == TAKE && (offset, n) == READ_LOCKS && !unsafe { live::may_restart(&outer(file).gate, Real::of(file).0) }
    {
        return ffi::SQLITE_BUSY;
    }
    if flags == RELEASE && offset == WRITE_LOCK {
        // SAFETY: SQLite calls methods on open files of this VFS only, one thread at a time for a connection; a partner
        // that is not null is open.
        unsafe {
            let wal = outer(file).partner;
            if let Some(tail) = wal.as_mut().and_then(|wal| wal.tail.as_mut()) {
                tail.release(&mut Real::of(wal.cast()));
            }
        }
    }
    real!(file.xShmLock(offset, n, flags))
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    real!(file.xShmBarrier());
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    real!(file.xShmUnmap(delete))
}

#[cfg(test)]
#[path = "vfs_tests.rs"]
mod tests;
