//! The methods of the VFS itself: opening, removing, looking.

use super::files::{self, Handle};
use super::lower;
use crate::disk::{Disk, FileKind, Method, Op, Verdict};
use monolite_store::rusqlite::ffi;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Puts our methods into a copy of the lower VFS.
pub(super) fn install(vfs: &mut ffi::sqlite3_vfs) {
    vfs.xOpen = Some(open);
    vfs.xDelete = Some(delete);
    vfs.xAccess = Some(access);
    vfs.xFullPathname = Some(full_pathname);
    vfs.xDlOpen = Some(dl_open);
    vfs.xDlError = Some(dl_error);
    vfs.xDlSym = Some(dl_sym);
    vfs.xDlClose = Some(dl_close);
    vfs.xRandomness = Some(randomness);
    vfs.xSleep = Some(sleep);
    vfs.xCurrentTime = Some(current_time);
    vfs.xGetLastError = Some(get_last_error);
    vfs.xCurrentTimeInt64 = Some(current_time_int64);
    vfs.xSetSystemCall = Some(set_system_call);
    vfs.xGetSystemCall = Some(get_system_call);
    vfs.xNextSystemCall = Some(next_system_call);
}

/// Calls a method of the VFS below with the arguments that SQLite gave for this very method.
macro_rules! below {
    ($vfs:ident . $method:ident ( $($arg:expr),* )) => {{
        // SAFETY: SQLite calls this on a VFS that was registered in the parent module, or a copy of it; the lower one lives
        // as long as the process, and the arguments are passed on as they came.
        unsafe {
            let real = lower($vfs);
            ((*real).$method.expect("the system's VFS has all methods of version 3"))(real, $($arg),*)
        }
    }};
}

/// A path as SQLite gives it.
fn path<'a>(name: *const c_char) -> Option<&'a Path> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite's names are NUL-terminated and live during the call.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
    Some(Path::new(OsStr::from_bytes(bytes)))
}

fn kind_of_name(path: &Path) -> FileKind {
    let name = path.as_os_str().as_bytes();
    if name.ends_with(b"-wal") {
        FileKind::Wal
    } else if name.ends_with(b"-journal") {
        FileKind::Journal
    } else {
        FileKind::Database
    }
}

/// Puts a call of the VFS to the disk, where there is one; answers the code to return at once.
fn ask(disk: &Disk, method: Method, kind: FileKind) -> Option<c_int> {
    match disk.enter(method, kind) {
        Verdict::Fail(code) => Some(code),
        Verdict::Slow(wait) => {
            Disk::delay(wait);
            None
        }
        _ => None,
    }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    const WATCHED: c_int = ffi::SQLITE_OPEN_MAIN_DB | ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL;
    let watched = if flags & WATCHED != 0 { path(name).and_then(|p| Disk::of(p).map(|d| (p, d))) } else { None };
    // SAFETY: `file` points to szOsFile bytes that are ours to fill; SQLite calls no method while pMethods is null.
    unsafe { files::clear(file) };
    let Some((path, disk)) = watched else {
        // SAFETY: the memory behind our part is the lower VFS's.
        let real = unsafe { files::real(file) };
        let code = below!(vfs.xOpen(name, real, flags, out_flags));
        // SAFETY: as above.
        return unsafe { files::opened(file, code, None) };
    };
    let kind = kind_of_name(path);
    if let Some(code) = ask(&disk, Method::Open, kind) {
        return code;
    }
    // Looked at before SQLite opens it here: closing it later would drop SQLite's locks.
    let before = if disk.knows(path) { None } else { std::fs::read(path).ok() };
    // SAFETY: as above.
    let real = unsafe { files::real(file) };
    let code = below!(vfs.xOpen(name, real, flags, out_flags));
    let handle = (code == ffi::SQLITE_OK).then(|| {
        let id = disk.opened(path, before);
        // unixOpen: the first sync of a journal or WAL that it may have created syncs the folder too.
        let new = flags & ffi::SQLITE_OPEN_CREATE != 0 && kind != FileKind::Database;
        Handle { told: disk.failures(id), disk: Arc::clone(&disk), file: id, kind, syncs_folder: new }
    });
    // SAFETY: as above.
    unsafe { files::opened(file, code, handle) }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    let watched = path(name).and_then(|p| Disk::of(p).map(|d| (p, d)));
    if let Some((path, disk)) = &watched
        && let Some(code) = ask(disk, Method::Delete, kind_of_name(path))
    {
        return code;
    }
    if let Some((path, disk)) = &watched
        && !disk.unlink(path)
    {
        return Method::Delete.failure();
    }
    let code = below!(vfs.xDelete(name, sync_folder));
    if let Some((_, disk)) = watched
        && code == ffi::SQLITE_OK
        && sync_folder != 0
    {
        disk.push(Op::SyncFolder { upto: disk.now() });
    }
    code
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    answer: *mut c_int,
) -> c_int {
    if let Some((path, disk)) = path(name).and_then(|p| Disk::of(p).map(|d| (p, d)))
        && let Some(code) = ask(&disk, Method::Access, kind_of_name(path))
    {
        return code;
    }
    below!(vfs.xAccess(name, flags, answer))
}

unsafe extern "C" fn full_pathname(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    length: c_int,
    out: *mut c_char,
) -> c_int {
    if let Some((path, disk)) = path(name).and_then(|p| Disk::of(p).map(|d| (p, d)))
        && let Some(code) = ask(&disk, Method::FullPathname, kind_of_name(path))
    {
        return code;
    }
    below!(vfs.xFullPathname(name, length, out))
}

/// Methods that have nothing to do with a disk.
macro_rules! forward {
    ($($name:ident => $method:ident ( $($arg:ident : $type:ty),* ) -> $answer:ty;)*) => {$(
        unsafe extern "C" fn $name(vfs: *mut ffi::sqlite3_vfs, $($arg: $type),*) -> $answer {
            below!(vfs.$method($($arg),*))
        }
    )*};
}

type Symbol = Option<unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *mut c_void, *const c_char)>;

forward! {
    dl_open => xDlOpen(name: *const c_char) -> *mut c_void;
    dl_error => xDlError(length: c_int, out: *mut c_char) -> ();
    dl_sym => xDlSym(library: *mut c_void, name: *const c_char) -> Symbol;
    dl_close => xDlClose(library: *mut c_void) -> ();
    randomness => xRandomness(length: c_int, out: *mut c_char) -> c_int;
    sleep => xSleep(microseconds: c_int) -> c_int;
    current_time => xCurrentTime(out: *mut f64) -> c_int;
    get_last_error => xGetLastError(length: c_int, out: *mut c_char) -> c_int;
    current_time_int64 => xCurrentTimeInt64(out: *mut ffi::sqlite3_int64) -> c_int;
    set_system_call => xSetSystemCall(name: *const c_char, call: ffi::sqlite3_syscall_ptr) -> c_int;
    get_system_call => xGetSystemCall(name: *const c_char) -> ffi::sqlite3_syscall_ptr;
    next_system_call => xNextSystemCall(name: *const c_char) -> *const c_char;
}
