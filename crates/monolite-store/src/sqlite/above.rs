//! The store's VFS is registered once above each VFS that a store names as the one below it.
//!
//! Without a name it lies above SQLite's default. With one it lies above a test rig's, and readers and
//! the store's own file operations use that one directly: so a rig sees every byte and every sync of a store.
//!
//! **Invariants**
//! - All methods of the VFS itself go to the VFS below, with that VFS's own pointer; only `xOpen` is the store's.
//! - A registration lives as long as the process, and so must the VFS below. There is one for each name, ever.

use crate::error::{Error, Kind, Result};
use crate::reply::lock;
use rusqlite::ffi;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Mutex;

/// The store's VFS with the one below it.
#[repr(C)]
struct Above {
    base: ffi::sqlite3_vfs,
    below: *mut ffi::sqlite3_vfs,
}

/// xOpen, as SQLite declares it.
pub(super) type Open = unsafe extern "C" fn(
    *mut ffi::sqlite3_vfs,
    ffi::sqlite3_filename,
    *mut ffi::sqlite3_file,
    c_int,
    *mut c_int,
) -> c_int;

/// The name of the store's VFS above the one named, or above the default; registered at its first use.
pub(super) fn register(lower: Option<&'static str>, open: Open, outer_bytes: usize) -> Result<&'static CStr> {
    static DONE: Mutex<Vec<(Option<&'static str>, &'static CStr)>> = Mutex::new(Vec::new());
    let mut done = lock(&DONE);
    if let Some((_, name)) = done.iter().find(|(known, _)| *known == lower) {
        return Ok(name);
    }
    let name = match lower {
        None => "monolite".to_owned(),
        Some(lower) => format!("monolite-over-{lower}"),
    };
    let name: &'static CStr = Box::leak(named(&name)?.into_boxed_c_str());
    let below = find(lower)?;
    // SAFETY: `below` is registered, so valid, and lives as long as the process by this module's contract. The new VFS
    // is leaked, so it does too; its name is as well.
    let code = unsafe {
        let mut base = over(&*below);
        base.zName = name.as_ptr();
        base.szOsFile += outer_bytes as c_int;
        base.xOpen = Some(open);
        let above: *mut Above = Box::leak(Box::new(Above { base, below }));
        ffi::sqlite3_vfs_register(above.cast(), 0)
    };
    if code != ffi::SQLITE_OK {
        return Err(Error::new(Kind::Internal, format!("the VFS could not be registered: SQLite's code {code}")));
    }
    done.push((lower, name));
    Ok(name)
}

/// The VFS with this name, or the default one.
pub(super) fn find(name: Option<&'static str>) -> Result<*mut ffi::sqlite3_vfs> {
    let text = name.map(named).transpose()?;
    // SAFETY: null asks for the default; a name is NUL-terminated and outlives the call. The library initialises itself.
    let found = unsafe { ffi::sqlite3_vfs_find(text.as_ref().map_or(ptr::null(), |n| n.as_ptr())) };
    if found.is_null() {
        return Err(Error::new(Kind::Invalid, format!("no VFS is registered under the name {name:?}")));
    }
    Ok(found)
}

fn named(name: &str) -> Result<CString> {
    CString::new(name).map_err(|_| Error::new(Kind::Invalid, "the name of a VFS holds a NUL"))
}

/// The VFS below one of ours.
///
/// # Safety
/// `vfs` was registered by [`register`].
pub(super) unsafe fn below(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: by the caller's word it is the first field of an `Above`.
    unsafe { (*vfs.cast::<Above>()).below }
}

/// A VFS whose methods hand each call to the one below; those that it lacks are lacking here too.
fn over(below: &ffi::sqlite3_vfs) -> ffi::sqlite3_vfs {
    ffi::sqlite3_vfs {
        iVersion: below.iVersion.min(3),
        szOsFile: below.szOsFile,
        mxPathname: below.mxPathname,
        pNext: ptr::null_mut(),
        zName: ptr::null(),
        pAppData: ptr::null_mut(),
        xOpen: None,
        xDelete: below.xDelete.map(|_| delete as _),
        xAccess: below.xAccess.map(|_| access as _),
        xFullPathname: below.xFullPathname.map(|_| full_pathname as _),
        xDlOpen: below.xDlOpen.map(|_| dl_open as _),
        xDlError: below.xDlError.map(|_| dl_error as _),
        xDlSym: below.xDlSym.map(|_| dl_sym as _),
        xDlClose: below.xDlClose.map(|_| dl_close as _),
        xRandomness: below.xRandomness.map(|_| randomness as _),
        xSleep: below.xSleep.map(|_| sleep as _),
        xCurrentTime: below.xCurrentTime.map(|_| current_time as _),
        xGetLastError: below.xGetLastError.map(|_| last_error as _),
        // Fields of versions 2 and 3 exist only there.
        xCurrentTimeInt64: if below.iVersion >= 2 {
            below.xCurrentTimeInt64.map(|_| current_time_int64 as _)
        } else {
            None
        },
        xSetSystemCall: None, // replacing system calls is asked of the VFS that makes them, by its own name
        xGetSystemCall: None,
        xNextSystemCall: None,
    }
}

type Symbol = Option<unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *mut c_void, *const c_char)>;

/// Hands a method on to the VFS below.
macro_rules! hand_on {
    ($($name:ident = $method:ident ( $($arg:ident: $type:ty),* ) $(-> $answer:ty)?;)*) => {$(
        unsafe extern "C" fn $name(vfs: *mut ffi::sqlite3_vfs $(, $arg: $type)*) $(-> $answer)? {
            // SAFETY: SQLite calls this on a VFS that `register` made, whose VFS below lives as long as the process; the
            // arguments are those that SQLite gave for this very method.
            unsafe {
                let below = below(vfs);
                let method = (*below).$method.expect("a method that the VFS below lacks is not offered");
                method(below $(, $arg)*)
            }
        }
    )*};
}

hand_on! {
    delete = xDelete(name: *const c_char, sync_folder: c_int) -> c_int;
    access = xAccess(name: *const c_char, flags: c_int, out: *mut c_int) -> c_int;
    full_pathname = xFullPathname(name: *const c_char, length: c_int, out: *mut c_char) -> c_int;
    dl_open = xDlOpen(name: *const c_char) -> *mut c_void;
    dl_error = xDlError(length: c_int, out: *mut c_char);
    dl_sym = xDlSym(library: *mut c_void, symbol: *const c_char) -> Symbol;
    dl_close = xDlClose(library: *mut c_void);
    randomness = xRandomness(length: c_int, out: *mut c_char) -> c_int;
    sleep = xSleep(microseconds: c_int) -> c_int;
    current_time = xCurrentTime(out: *mut f64) -> c_int;
    last_error = xGetLastError(length: c_int, out: *mut c_char) -> c_int;
    current_time_int64 = xCurrentTimeInt64(out: *mut ffi::sqlite3_int64) -> c_int;
}
