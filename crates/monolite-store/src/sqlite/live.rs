//! The WAL while SQLite has it open: what its index says, whether it may start over, and cutting off what no index names.
//!
//! **Invariants**
//! - All are used under the WAL's write lock only (an IMMEDIATE transaction that has changed nothing): nobody else then
//!   appends frames, recovers, or starts the WAL over.
//! - The files are SQLite's own handles, so a VFS below the store's sees the cut and its sync.
//!
//! Source of the layout: SQLite's "WAL-mode file format", section 2.1.

#![allow(unsafe_code)]

use crate::follow::gate::Gate;
use crate::planted::planted;
use rusqlite::{Connection, ffi};
use std::ffi::{c_int, c_void};
use std::sync::Arc;

/// What the wal-index says of the WAL, as every connection believes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalIndex {
    /// Frames up to and with the last published commit.
    pub(crate) frames: u64,
    /// Bytes of a page.
    pub(crate) page: u64,
    /// The generation of the WAL, as its header has it.
    pub(crate) salts: [u8; 8],
}

const WAL_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
/// Bytes of the wal-index that the VFS maps at a time.
const REGION: c_int = 32 << 10;
/// Words of one copy of the wal-index header.
const WORDS: usize = 12;

impl WalIndex {
    /// Where the last published frame ends. A WAL without one keeps its header, or room for it, though the next writer writes it
    /// anew and SQLite takes it for empty: what another program leaves of a WAL that it copied is shorter (`mark::sums_of`).
    pub(crate) fn end(&self) -> u64 {
        WAL_HEADER + self.frames * (FRAME_HEADER + self.page)
    }
}

/// Reads the header of the wal-index.
pub(crate) fn wal_index(connection: &Connection) -> rusqlite::Result<WalIndex> {
    let file = file(connection, ffi::SQLITE_FCNTL_FILE_POINTER)?;
    // SAFETY: the file is the connection's own and open; its connection holds a transaction.
    unsafe { wal_index_of(file) }
}

/// The same, of an open database file.
///
/// # Safety
/// `file` is open, the first region of its wal-index is mapped, and its connection holds the WAL's write lock.
pub(crate) unsafe fn wal_index_of(file: *mut ffi::sqlite3_file) -> rusqlite::Result<WalIndex> {
    let mut memory: *mut c_void = std::ptr::null_mut();
    // SAFETY: by the caller's word the file is open and the first region is mapped already and stays so; the out pointer
    // is valid.
    let words = unsafe {
        let map = (*(*file).pMethods).xShmMap.ok_or_else(|| failure(ffi::SQLITE_ERROR))?;
        let code = map(file, 0, REGION, 0, &mut memory);
        if code != ffi::SQLITE_OK || memory.is_null() {
            return Err(failure(code.max(ffi::SQLITE_ERROR)));
        }
        let words: *const u32 = memory.cast();
        let copy = |at: usize| -> [u32; WORDS] { std::array::from_fn(|i| words.add(at + i).read_volatile()) };
        let first = copy(0);
        // Two copies that differ are a header being written: impossible while we hold the write lock.
        if first != copy(WORDS) {
            return Err(failure(ffi::SQLITE_PROTOCOL));
        }
        first
    };
    // Word 3 is isInit, bigEndCksum, and the page size in 16 bits, where 1 means 65536; word 4 is mxFrame.
    let third = words[3].to_ne_bytes();
    let page = match u16::from_ne_bytes([third[2], third[3]]) {
        1 => 65536,
        n => u64::from(n),
    };
    // Words 8 and 9 are the salts, as bytes of the WAL's header.
    let mut salts = [0; 8];
    salts[..4].copy_from_slice(&words[8].to_ne_bytes());
    salts[4..].copy_from_slice(&words[9].to_ne_bytes());
    Ok(WalIndex { frames: u64::from(words[4]), page, salts })
}

/// Our own opcode of xFileControl: "ask this gate before the WAL is started over" ("MONG").
pub(super) const ASK_GATE: c_int = 0x4D4F_4E47;

/// From now on a connection of the store's VFS asks the gate before it starts the WAL over.
pub(crate) fn ask_gate(connection: &Connection, gate: &Arc<Gate>) -> rusqlite::Result<()> {
    let gate: *const Arc<Gate> = gate;
    // SAFETY: the handle is open; the opcode is known to the store's VFS alone, which takes a clone during the call.
    let code =
        unsafe { ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), ASK_GATE, gate.cast_mut().cast()) };
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(failure(code)) }
}

/// Our own opcode of xFileControl: "pages of this file have sums" ("MONS").
pub(super) const HAS_SUMS: c_int = 0x4D4F_4E53;

/// Tells the store's VFS that pages get sums, where SQLite says that there is room for them. The file's own first page may
/// be torn, and whole in the WAL alone.
pub(crate) fn tell_of_sums(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?; // it reads the first page
    let mut reserved: c_int = -1;
    let control = |op: c_int, arg: *mut c_void| {
        // SAFETY: the handle is open; SQLite's opcode takes and answers a c_int, ours nothing.
        let code = unsafe { ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), op, arg) };
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(failure(code)) }
    };
    control(ffi::SQLITE_FCNTL_RESERVE_BYTES, (&raw mut reserved).cast())?;
    if reserved == super::sums::SUM as c_int { control(HAS_SUMS, std::ptr::null_mut()) } else { Ok(()) }
}

/// Whether the WAL may be started over, asked where SQLite is about to see whether readers allow it.
///
/// # Safety
/// That of [`wal_index_of`].
pub(super) unsafe fn may_restart(gate: &Option<Arc<Gate>>, file: *mut ffi::sqlite3_file) -> bool {
    let Some(gate) = gate else { return true };
    // An index that cannot be read is no reason to lose frames.
    // SAFETY: by the caller's word.
    !gate.is_held() || unsafe { wal_index_of(file) }.is_ok_and(|index| gate.lets_restart(&index))
}

/// Cuts the WAL to this length and makes that durable. The one sync that is tried: a failure is final.
pub(crate) fn cut_wal(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    let file = file(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER)?;
    // SAFETY: in WAL mode this is the WAL's own handle, valid while the connection is open.
    unsafe {
        let methods = &*(*file).pMethods;
        let (Some(truncate), Some(sync)) = (methods.xTruncate, methods.xSync) else {
            return Err(failure(ffi::SQLITE_ERROR));
        };
        match truncate(file, bytes as i64) {
            ffi::SQLITE_OK => {}
            code => return Err(failure(code)),
        }
        if planted!("cut_not_synced") {
            return Ok(());
        }
        match sync(file, ffi::SQLITE_SYNC_NORMAL) {
            ffi::SQLITE_OK => Ok(()),
            code => Err(failure(code)),
        }
    }
}

/// The errno of the connection's last failed system call, as SQLite kept it.
pub(crate) fn system_errno(connection: &Connection) -> i32 {
    // SAFETY: the handle is open.
    unsafe { ffi::sqlite3_system_errno(connection.handle()) }
}

fn file(connection: &Connection, which: c_int) -> rusqlite::Result<*mut ffi::sqlite3_file> {
    let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
    // SAFETY: the handle is open; both file controls hand out an sqlite3_file of the connection.
    unsafe {
        let out = (&raw mut file).cast();
        let code = ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), which, out);
        if code != ffi::SQLITE_OK || file.is_null() || (*file).pMethods.is_null() {
            return Err(failure(code.max(ffi::SQLITE_ERROR)));
        }
    }
    Ok(file)
}

fn failure(code: c_int) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}
