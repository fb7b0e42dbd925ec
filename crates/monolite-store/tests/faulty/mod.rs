//! A VFS below the store's that fails where a test says so, and counts.
//!
//! Faults belong to a database's path, so that tests beside each other do not meet.

#![allow(unsafe_code, dead_code, unreachable_pub)]

use monolite_store::Config;
use monolite_store::rusqlite::ffi;
use std::collections::HashMap;
use std::ffi::{CStr, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock};

/// A call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Read,
    Write,
    Truncate,
    Sync,
    ShmMap,
    Control(c_int),
}

/// Which file of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    Db,
    Wal,
}

/// A fault: the `skip`th call from now on and the `times - 1` behind it answer `code`.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub op: Op,
    pub on: On,
    pub skip: u32,
    pub times: u32,
    pub code: c_int,
    /// Whether the real call is made all the same.
    pub done: bool,
    /// Calls of more bytes than this only (writes, extending maps: 1).
    pub bytes: usize,
    /// A write is made, but for so many bytes at its end.
    pub lacks: usize,
}

impl Fault {
    pub fn new(op: Op, on: On, code: c_int) -> Fault {
        Fault { op, on, skip: 0, times: 1, code, done: false, bytes: 0, lacks: 0 }
    }
}

#[derive(Default)]
struct Plan {
    faults: Vec<Fault>,
    calls: Vec<(Op, On)>,
}

static PLANS: OnceLock<Mutex<HashMap<String, Plan>>> = OnceLock::new();
static REAL: AtomicPtr<ffi::sqlite3_vfs> = AtomicPtr::new(ptr::null_mut());

fn plans() -> MutexGuard<'static, HashMap<String, Plan>> {
    PLANS.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner())
}

/// The store's limits, over the faulty VFS.
pub fn config() -> Config {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(register);
    Config { vfs: Some("faulty"), ..Config::default() }
}

fn key(db: &Path) -> String {
    let folder = db.parent().expect("a folder").canonicalize().expect("it exists");
    folder.join(db.file_name().expect("a name")).to_string_lossy().into_owned()
}

/// From now on this fails.
pub fn inject(db: &Path, fault: Fault) {
    plans().entry(key(db)).or_default().faults.push(fault);
}

/// Nothing fails any more.
pub fn heal(db: &Path) {
    plans().entry(key(db)).or_default().faults.clear();
}

/// The calls since the last look, reads and controls left out.
pub fn calls(db: &Path) -> Vec<(Op, On)> {
    std::mem::take(&mut plans().entry(key(db)).or_default().calls)
}

/// Notes a call; answers the fault that it meets.
fn meets(name: &str, op: Op, bytes: usize) -> Option<Fault> {
    let (db, on) = match name.strip_suffix("-wal") {
        Some(db) => (db, On::Wal),
        None => (name, On::Db),
    };
    let mut plans = plans();
    let plan = plans.entry(db.to_owned()).or_default();
    if matches!(op, Op::Write | Op::Truncate | Op::Sync) {
        plan.calls.push((op, on));
    }
    let at = plan.faults.iter().position(|f| f.op == op && f.on == on && bytes > f.bytes)?;
    let fault = &mut plan.faults[at];
    if fault.skip > 0 {
        fault.skip -= 1;
        return None;
    }
    fault.times -= 1;
    let found = *fault;
    if found.times == 0 {
        plan.faults.remove(at);
    }
    Some(found)
}

/// A file of this VFS; the real one lies behind it.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    name: *mut String,
}

unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    unsafe { file.cast::<File>().add(1).cast() }
}

unsafe fn methods<'a>(file: *mut ffi::sqlite3_file) -> &'a ffi::sqlite3_io_methods {
    unsafe { &*(*real(file)).pMethods }
}

macro_rules! through {
    ($($name:ident = $method:ident ( $($arg:ident: $type:ty),* ) $(-> $answer:ty)?;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $arg: $type)*) $(-> $answer)? {
            unsafe { methods(file).$method.unwrap()(real(file) $(, $arg)*) }
        }
    )*};
}

macro_rules! faulty {
    ($($name:ident = $method:ident, $op:expr, $bytes:expr, ( $($arg:ident: $type:ty),* );)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $arg: $type)*) -> c_int {
            unsafe {
                let fault = meets(&*(*file.cast::<File>()).name, $op, $bytes as usize);
                match fault {
                    Some(fault) if !fault.done => return fault.code,
                    _ => {}
                }
                let code = methods(file).$method.unwrap()(real(file) $(, $arg)*);
                fault.map_or(code, |fault| fault.code)
            }
        }
    )*};
}

faulty! {
    read = xRead, Op::Read, length, (into: *mut c_void, length: c_int, at: i64);
    truncate = xTruncate, Op::Truncate, 1, (size: i64);
    sync = xSync, Op::Sync, 1, (flags: c_int);
    shm_map = xShmMap, Op::ShmMap, page, (page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void);
    control = xFileControl, Op::Control(op), 1, (op: c_int, arg: *mut c_void);
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, length: c_int, at: i64) -> c_int {
    unsafe {
        let fault = meets(&*(*file.cast::<File>()).name, Op::Write, length as usize);
        let length = match fault {
            Some(fault) if !fault.done && fault.lacks == 0 => return fault.code,
            Some(fault) => length - fault.lacks as c_int,
            None => length,
        };
        let code = methods(file).xWrite.unwrap()(real(file), from, length, at);
        fault.map_or(code, |fault| fault.code)
    }
}

through! {
    file_size = xFileSize(size: *mut i64) -> c_int;
    lock = xLock(level: c_int) -> c_int;
    unlock = xUnlock(level: c_int) -> c_int;
    reserved = xCheckReservedLock(out: *mut c_int) -> c_int;
    sector_size = xSectorSize() -> c_int;
    characteristics = xDeviceCharacteristics() -> c_int;
    shm_lock = xShmLock(offset: c_int, n: c_int, flags: c_int) -> c_int;
    shm_barrier = xShmBarrier();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int;
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        let code = methods(file).xClose.unwrap()(real(file));
        drop(Box::from_raw((*file.cast::<File>()).name));
        (*file).pMethods = ptr::null();
        code
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    unsafe {
        let vfs = REAL.load(SeqCst);
        if flags & (ffi::SQLITE_OPEN_MAIN_DB | ffi::SQLITE_OPEN_WAL) == 0 {
            return (*vfs).xOpen.unwrap()(vfs, name, file, flags, out);
        }
        let code = (*vfs).xOpen.unwrap()(vfs, name, real(file), flags, out);
        (*file).pMethods = ptr::null();
        if code == ffi::SQLITE_OK {
            let path = CStr::from_ptr(name).to_string_lossy().into_owned();
            (*file.cast::<File>()).name = Box::into_raw(Box::new(path));
            (*file).pMethods = &METHODS;
        }
        code
    }
}

fn register() {
    // SAFETY: the default VFS and the leaked copy of it live as long as the process; other methods than xOpen of the
    // copy do not look at the pointer that they are called with.
    unsafe {
        let real = ffi::sqlite3_vfs_find(ptr::null());
        REAL.store(real, SeqCst);
        let mut faulty = *real;
        faulty.zName = c"faulty".as_ptr();
        faulty.pNext = ptr::null_mut();
        faulty.szOsFile += size_of::<File>() as c_int;
        faulty.xOpen = Some(open);
        assert_eq!(ffi::sqlite3_vfs_register(Box::leak(Box::new(faulty)), 0), ffi::SQLITE_OK);
    }
}
