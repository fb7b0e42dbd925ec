//! The methods of an open file.
//!
//! **Invariants**
//! - A file lies in the memory that SQLite reserved: first [`Shim`], then the real file.
//! - One connection's files are used by one thread at a time (SQLite's mutexes); a disk is used by all.

use crate::disk::{Disk, FileId, FileKind, Method, Op, Verdict};
use monolite_store::rusqlite::ffi;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// A watched file.
pub(super) struct Handle {
    pub(super) disk: Arc<Disk>,
    pub(super) file: FileId,
    pub(super) kind: FileKind,
    pub(super) syncs_folder: bool,
    /// Failed syncs of the file that this handle has answered, or was not there for.
    pub(super) told: u64,
}

#[repr(C)]
struct Shim {
    base: ffi::sqlite3_file,
    /// Null for a file that is not watched.
    handle: *mut Handle,
}

/// The store's own opcode of xFileControl: what the system keeps of the file in memory is to be dropped ("MONO").
const FORGET: c_int = 0x4D4F_4E4F;

/// What is ours of a file's memory.
pub(super) const OWN_BYTES: c_int = size_of::<Shim>() as c_int;

// The real file behind it must be aligned as SQLite aligns files.
const _: () = assert!(size_of::<Shim>().is_multiple_of(8) && align_of::<Shim>() <= 8);

/// # Safety
/// `file` points to memory of the registered size, not in use.
pub(super) unsafe fn clear(file: *mut ffi::sqlite3_file) {
    // SAFETY: by the caller's word.
    unsafe {
        let base = ffi::sqlite3_file { pMethods: ptr::null() };
        ptr::write(file.cast::<Shim>(), Shim { base, handle: ptr::null_mut() });
    }
}

/// # Safety
/// `file` points to memory of the registered size.
pub(super) unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: the real file lies right behind ours.
    unsafe { file.cast::<Shim>().add(1).cast() }
}

/// # Safety
/// `file` was cleared, and the lower VFS has answered `code` for its part.
pub(super) unsafe fn opened(file: *mut ffi::sqlite3_file, code: c_int, handle: Option<Handle>) -> c_int {
    // SAFETY: by the caller's word. A file whose xOpen failed may still have methods, and is then closed by SQLite.
    unsafe {
        let shim: *mut Shim = file.cast();
        (*shim).handle = handle.map_or(ptr::null_mut(), |h| Box::into_raw(Box::new(h)));
        if !(*real(file)).pMethods.is_null() && code == ffi::SQLITE_OK {
            (*shim).base.pMethods = &METHODS;
        }
    }
    code
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 3,
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
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};

/// The watched file, if it is watched.
///
/// # Safety
/// `file` is an open file of this VFS, and used by this thread alone.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a mut Handle> {
    // SAFETY: by the caller's word; the handle is freed in close, the file's last call.
    unsafe { (*file.cast::<Shim>()).handle.as_mut() }
}

/// Calls a method of the real file with the arguments that SQLite gave for this very method.
macro_rules! below {
    ($file:ident . $method:ident ( $($arg:expr),* )) => {{
        // SAFETY: SQLite calls methods on open files of this VFS only; the real one was opened by the lower VFS, which set
        // its methods. The arguments are passed on as they came.
        unsafe {
            let real = real($file);
            ((*(*real).pMethods).$method.expect("the system's VFS has all methods of version 3"))(real, $($arg),*)
        }
    }};
}

/// Puts a call to the disk and does it, where nothing else is decided.
fn ask(file: *mut ffi::sqlite3_file, method: Method, go: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: SQLite calls methods on open files of this VFS only, one thread at a time for a connection.
    let Some(handle) = (unsafe { handle(file) }) else { return go() };
    match handle.disk.enter(method, handle.kind) {
        Verdict::Fail(code) => {
            if method.must_happen() {
                go();
            }
            code
        }
        Verdict::Slow(wait) => {
            Disk::delay(wait);
            go()
        }
        _ => go(),
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let code = ask(file, Method::Close, || below!(file.xClose()));
    // SAFETY: SQLite closes a file once and calls nothing on it afterwards; the handle was leaked in `opened`.
    unsafe {
        let shim: *mut Shim = file.cast();
        if !(*shim).handle.is_null() {
            drop(Box::from_raw((*shim).handle));
        }
        clear(file);
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
    let watched = unsafe { handle(file) };
    let kind = watched.as_ref().map_or(FileKind::Database, |h| h.kind);
    match watched.map_or(Verdict::Go, |h| h.disk.enter(Method::Read, h.kind)) {
        Verdict::Fail(code) => code,
        // A short read inside of a file does not leave the system's VFS, which reads on; SQLite would take one for the
        // file's end, as pages of zeroes.
        Verdict::Short if kind != FileKind::Wal => {
            let half = length / 2;
            // SAFETY: SQLite gives `length` writable bytes.
            let rest = unsafe { into.cast::<u8>().add(half as usize).cast() };
            match below!(file.xRead(into, half, at)) {
                ffi::SQLITE_OK => below!(file.xRead(rest, length - half, at + i64::from(half))),
                code => code,
            }
        }
        Verdict::Short => {
            below!(file.xRead(into, length, at));
            let half = length as usize / 2;
            // SAFETY: SQLite gives `length` writable bytes. The system's VFS zeroes what it could not read.
            unsafe { ptr::write_bytes(into.cast::<u8>().add(half), 0, length as usize - half) };
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Verdict::Slow(wait) => {
            Disk::delay(wait);
            below!(file.xRead(into, length, at))
        }
        _ => below!(file.xRead(into, length, at)),
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    length: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: as in read.
    let Some(h) = (unsafe { handle(file) }) else { return below!(file.xWrite(from, length, at)) };
    let verdict = h.disk.enter(Method::Write, h.kind);
    let length = match verdict {
        Verdict::Fail(code) => return code,
        // A file system stops at a block: what lies in one sector is written whole or not at all.
        Verdict::Short => (((at + i64::from(length) / 2) / 512 * 512 - at).max(0)) as c_int,
        Verdict::Slow(wait) => {
            Disk::delay(wait);
            length
        }
        _ => length,
    };
    // SAFETY: SQLite gives at least `length` readable bytes.
    let data = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), length as usize) };
    if !h.disk.push(Op::Write { file: h.file, at: at as u64, data: data.into() }) {
        return Method::Write.failure();
    }
    let code = if length == 0 { ffi::SQLITE_OK } else { below!(file.xWrite(from, length, at)) };
    if verdict == Verdict::Short { ffi::SQLITE_FULL } else { code }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    ask(file, Method::Truncate, || {
        // SAFETY: as in read.
        if let Some(h) = unsafe { handle(file) }
            && !h.disk.push(Op::Truncate { file: h.file, size: size as u64 })
        {
            return Method::Truncate.failure();
        }
        below!(file.xTruncate(size))
    })
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: as in read.
    let Some(h) = (unsafe { handle(file) }) else { return below!(file.xSync(flags)) };
    let upto = h.disk.now();
    match h.disk.sync_time() {
        Duration::ZERO => {}
        time => Disk::delay(time),
    }
    let failure = match h.disk.enter(Method::Sync, h.kind) {
        Verdict::Fail(code) => Some(code),
        Verdict::Lie => return ffi::SQLITE_OK,
        Verdict::Slow(wait) => {
            Disk::delay(wait);
            None
        }
        _ => None,
    };
    // The real file is on a disk that is never cut: what counts is the log.
    if !h.disk.synced(h.file, upto, failure.is_some(), &mut h.told) {
        return failure.unwrap_or(Method::Sync.failure());
    }
    if std::mem::take(&mut h.syncs_folder) {
        h.disk.push(Op::SyncFolder { upto });
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    ask(file, Method::FileSize, || below!(file.xFileSize(size)))
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    ask(file, Method::Lock, || below!(file.xLock(level)))
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    ask(file, Method::Unlock, || below!(file.xUnlock(level)))
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    ask(file, Method::CheckReservedLock, || below!(file.xCheckReservedLock(out)))
}

unsafe extern "C" fn file_control(file: *mut ffi::sqlite3_file, op: c_int, arg: *mut c_void) -> c_int {
    if op == FORGET {
        // SAFETY: as in read.
        let forgotten = unsafe { handle(file) }.map_or(Ok(()), |h| h.disk.forget(h.file));
        return if forgotten.is_ok() { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR };
    }
    ask(file, Method::FileControl, || below!(file.xFileControl(op, arg)))
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    below!(file.xSectorSize())
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    below!(file.xDeviceCharacteristics())
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    ask(file, Method::ShmMap, || below!(file.xShmMap(page, size, extend, out)))
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, n: c_int, flags: c_int) -> c_int {
    let method = if flags & ffi::SQLITE_SHM_UNLOCK != 0 { Method::ShmUnlock } else { Method::ShmLock };
    ask(file, method, || below!(file.xShmLock(offset, n, flags)))
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    below!(file.xShmBarrier());
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    ask(file, Method::ShmUnmap, || below!(file.xShmUnmap(delete)))
}

unsafe extern "C" fn fetch(
    file: *mut ffi::sqlite3_file,
    at: ffi::sqlite3_int64,
    length: c_int,
    out: *mut *mut c_void,
) -> c_int {
    below!(file.xFetch(at, length, out))
}

unsafe extern "C" fn unfetch(file: *mut ffi::sqlite3_file, at: ffi::sqlite3_int64, from: *mut c_void) -> c_int {
    below!(file.xUnfetch(at, from))
}
