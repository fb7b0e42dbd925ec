//! The VFS "monolite-faults": SQLite's own for this system, with a [`Disk`](crate::disk::Disk) listening at every call.
//!
//! Files outside of a watched folder, temporary files and the `-shm` (which no crash outlives) go straight through. For the
//! others each call is first put to the disk, which may let it pass, fail it, halve it or end the world; what changes the
//! file is logged. The real file is always changed, and closing it syncs nothing.
//!
//! **Invariants**
//! - Every method of version 3 is passed on, to the same memory layout; nothing is answered differently but by a fault.
//! - The lower VFS is found through `pAppData`, so a copy of this VFS (the store lays its own over it) still finds it.
//!
//! Unsafe code of this crate lives here, but for one ioctl.

#![allow(unsafe_code)]

mod files;
mod names;

use monolite_store::rusqlite::ffi;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::OnceLock;

const ZNAME: &CStr = c"monolite-faults";

/// The name to give to `Config::vfs`, after [`register`].
pub const NAME: &str = "monolite-faults";

/// The VFS below.
struct Lower {
    vfs: *mut ffi::sqlite3_vfs,
}

/// Makes the VFS known to SQLite, once in a process, and answers its name.
///
/// # Panics
/// Where SQLite has no default VFS.
pub fn register() -> &'static str {
    static DONE: OnceLock<c_int> = OnceLock::new();
    let code = *DONE.get_or_init(register_once);
    assert_eq!(code, ffi::SQLITE_OK, "SQLite takes a VFS");
    NAME
}

fn register_once() -> c_int {
    // SAFETY: finding the default VFS needs an initialised library, which sqlite3_vfs_find sees to; it lives as long as the
    // process. What is registered is leaked, so it does too.
    unsafe {
        let lower = ffi::sqlite3_vfs_find(ptr::null());
        assert!(!lower.is_null(), "SQLite has a default VFS");
        assert!((*lower).iVersion >= 3, "the system's VFS has version 3");
        let mut ours = *lower;
        ours.iVersion = 3;
        ours.zName = ZNAME.as_ptr();
        ours.pNext = ptr::null_mut();
        ours.szOsFile = files::OWN_BYTES + (*lower).szOsFile;
        ours.pAppData = ptr::from_mut(Box::leak(Box::new(Lower { vfs: lower }))).cast();
        names::install(&mut ours);
        ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 0)
    }
}

/// The VFS below one of ours.
///
/// # Safety
/// `vfs` is the one that was registered here, or a copy of it.
unsafe fn lower(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: pAppData of ours, and of its copies, is a leaked Lower.
    unsafe { (*(*vfs).pAppData.cast::<Lower>()).vfs }
}
