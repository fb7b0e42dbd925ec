//! The store's own statements, and the few calls of the C API that rusqlite does not wrap.
//!
//! Own statements never enter the shared statement cache: a cached COMMIT would pass the authorizer.
//!
//! **Invariants**
//! - A `RawStatement` is dropped before the connection it was prepared on (its owner's field order).
//! - It is used by one thread at a time (its owner's lock or thread).

#![allow(unsafe_code)]

use rusqlite::{Connection, OpenFlags, ffi};
use std::ffi::{CStr, c_int};
use std::path::Path;

/// A statement of the store itself, such as BEGIN or the update of the sequence.
pub(crate) struct RawStatement(*mut ffi::sqlite3_stmt);

// SAFETY: a statement may be used from any thread as long as its connection is used by one at a time;
// the owner (slot lock, writer thread) guarantees that for both together.
unsafe impl Send for RawStatement {}

impl RawStatement {
    pub(crate) fn new(connection: &Connection, sql: &CStr) -> rusqlite::Result<Self> {
        let mut statement = std::ptr::null_mut();
        // SAFETY: the handle is open; sql is NUL-terminated; the out pointer is valid.
        let (db, code) = unsafe {
            let db = connection.handle();
            let flags = ffi::SQLITE_PREPARE_PERSISTENT;
            (db, ffi::sqlite3_prepare_v3(db, sql.as_ptr(), -1, flags, &mut statement, std::ptr::null_mut()))
        };
        if code == ffi::SQLITE_OK { Ok(RawStatement(statement)) } else { Err(failure(db, code)) }
    }

    /// Runs to the end.
    pub(crate) fn run(&self) -> rusqlite::Result<()> {
        self.step_to_end().map(|_| ())
    }

    /// Runs to the end with integers bound from ?1 on; answers the first two columns of the last row.
    pub(crate) fn query(&self, values: &[i64]) -> rusqlite::Result<Option<(i64, i64)>> {
        for (i, v) in values.iter().enumerate() {
            // SAFETY: the statement is valid and reset; the index is checked by SQLite.
            unsafe { ffi::sqlite3_bind_int64(self.0, i as c_int + 1, *v) };
        }
        self.step_to_end()
    }

    fn step_to_end(&self) -> rusqlite::Result<Option<(i64, i64)>> {
        let mut row = None;
        loop {
            // SAFETY: the statement is valid; columns are read only after SQLITE_ROW.
            unsafe {
                match ffi::sqlite3_step(self.0) {
                    ffi::SQLITE_ROW => {
                        row = Some((ffi::sqlite3_column_int64(self.0, 0), ffi::sqlite3_column_int64(self.0, 1)));
                    }
                    ffi::SQLITE_DONE => {
                        ffi::sqlite3_reset(self.0);
                        return Ok(row);
                    }
                    _ => {
                        let db = ffi::sqlite3_db_handle(self.0);
                        let error = failure(db, ffi::sqlite3_extended_errcode(db));
                        ffi::sqlite3_reset(self.0);
                        return Err(error);
                    }
                }
            }
        }
    }
}

impl Drop for RawStatement {
    fn drop(&mut self) {
        // SAFETY: prepared in `new`, finalised once, before its connection is closed.
        unsafe { ffi::sqlite3_finalize(self.0) };
    }
}

fn failure(db: *mut ffi::sqlite3, code: c_int) -> rusqlite::Error {
    // SAFETY: the handle is open; the message is copied before any other call on it.
    let text = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(db)) }.to_string_lossy().into_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(text))
}

/// Whether deferred foreign keys are violated in the open transaction.
pub(crate) fn deferred_keys_are_violated(connection: &Connection) -> bool {
    let (mut current, mut high) = (0, 0);
    // SAFETY: the handle is open and the out pointers are valid.
    unsafe {
        ffi::sqlite3_db_status(connection.handle(), ffi::SQLITE_DBSTATUS_DEFERRED_FKS, &mut current, &mut high, 0);
    }
    current != 0
}

/// Bytes of the connection's page caches.
pub(crate) fn cache_bytes(connection: &Connection) -> u64 {
    let (mut current, mut high) = (0, 0);
    // SAFETY: the handle is open and the out pointers are valid.
    unsafe { ffi::sqlite3_db_status(connection.handle(), ffi::SQLITE_DBSTATUS_CACHE_USED, &mut current, &mut high, 0) };
    current.max(0) as u64
}

/// Forgets the last insert's rowid, so that a write cannot see its neighbour's.
pub(crate) fn clear_last_insert_rowid(connection: &Connection) {
    // SAFETY: the handle is open.
    unsafe { ffi::sqlite3_set_last_insert_rowid(connection.handle(), 0) };
}

/// Resets every statement that was left in the middle of its rows.
pub(crate) fn reset_busy_statements(connection: &Connection) {
    // SAFETY: the handle is open; statements belong to it and are only reset, never finalised.
    unsafe {
        let db = connection.handle();
        let mut statement = ffi::sqlite3_next_stmt(db, std::ptr::null_mut());
        while !statement.is_null() {
            if ffi::sqlite3_stmt_busy(statement) != 0 {
                ffi::sqlite3_reset(statement);
            }
            statement = ffi::sqlite3_next_stmt(db, statement);
        }
    }
}

/// Whether the connection holds a transaction on the file, even if it is in autocommit mode.
pub(crate) fn holds_snapshot(connection: &Connection) -> bool {
    // SAFETY: the handle is open; the schema name is NUL-terminated.
    unsafe { ffi::sqlite3_txn_state(connection.handle(), c"main".as_ptr()) != ffi::SQLITE_TXN_NONE }
}

/// What the connection's last call found damaged, if it did. An index of an extension (FTS5) that contradicts its table
/// is not taken for damage of the file: a service's own statements can cause it.
pub(crate) fn damage(connection: &Connection) -> Option<String> {
    // SAFETY: the handle is open.
    let (db, code) = unsafe {
        let db = connection.handle();
        (db, ffi::sqlite3_extended_errcode(db))
    };
    let damaged = match code {
        ffi::SQLITE_CORRUPT_VTAB => false,
        ffi::SQLITE_NOTADB | ffi::SQLITE_IOERR_DATA | ffi::SQLITE_IOERR_CORRUPTFS => true,
        _ => code & 0xFF == ffi::SQLITE_CORRUPT,
    };
    damaged.then(|| failure(db, code).to_string())
}

/// Syncs the database file through SQLite's own handle: opening it a second time would drop SQLite's locks.
pub(crate) fn sync_database_file(connection: &Connection) -> rusqlite::Result<()> {
    // SAFETY: FILE_POINTER hands out the connection's own sqlite3_file, valid while the connection is open.
    unsafe {
        let db = connection.handle();
        let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
        let out = (&raw mut file).cast();
        let code = ffi::sqlite3_file_control(db, c"main".as_ptr(), ffi::SQLITE_FCNTL_FILE_POINTER, out);
        if code != ffi::SQLITE_OK || file.is_null() || (*file).pMethods.is_null() {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code.max(ffi::SQLITE_ERROR)), None));
        }
        let Some(sync) = (*(*file).pMethods).xSync else { return Ok(()) };
        match sync(file, ffi::SQLITE_SYNC_NORMAL) {
            ffi::SQLITE_OK => Ok(()),
            code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
        }
    }
}

/// Opens another file through the VFS that a connection uses.
pub(crate) fn open_beside(connection: &Connection, path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let mut vfs: *mut ffi::sqlite3_vfs = std::ptr::null_mut();
    // SAFETY: the handle is open; VFS_POINTER hands out a registered VFS, whose name lives as long as that.
    let name = unsafe {
        let out = (&raw mut vfs).cast();
        ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), ffi::SQLITE_FCNTL_VFS_POINTER, out);
        (!vfs.is_null()).then(|| CStr::from_ptr((*vfs).zName))
    };
    match name {
        Some(name) => Connection::open_with_flags_and_vfs(path, flags, name),
        None => Connection::open_with_flags(path, flags),
    }
}

/// How far a checkpoint goes. Neither waits: the busy timeout is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checkpoint {
    /// Copies what no reader's snapshot holds back.
    Passive,
    /// The same, and then starts the WAL over if no reader uses it.
    Restart,
}

/// What a checkpoint came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Whether it was begun: else another connection copies, and nothing is known.
    pub(crate) begun: bool,
    /// Frames in the WAL.
    pub(crate) frames: u64,
    /// Frames that are in the database file too.
    pub(crate) copied: u64,
    /// Whether all that was asked for was done; says nothing after [`Checkpoint::Passive`].
    pub(crate) done: bool,
}

impl Copied {
    /// Whether all frames are in the database file.
    pub(crate) fn is_all(&self) -> bool {
        self.begun && self.copied == self.frames
    }
}

/// Runs a checkpoint on a connection without a transaction.
pub(crate) fn checkpoint(connection: &Connection, how: Checkpoint) -> rusqlite::Result<Copied> {
    let (mut frames, mut copied) = (0, 0);
    let mode = match how {
        Checkpoint::Passive => ffi::SQLITE_CHECKPOINT_PASSIVE,
        Checkpoint::Restart => ffi::SQLITE_CHECKPOINT_RESTART,
    };
    // SAFETY: the handle is open, the name is NUL-terminated, the out pointers are valid.
    let (db, code) = unsafe {
        let db = connection.handle();
        (db, ffi::sqlite3_wal_checkpoint_v2(db, c"main".as_ptr(), mode, &mut frames, &mut copied))
    };
    if code != ffi::SQLITE_OK && code != ffi::SQLITE_BUSY {
        return Err(failure(db, code));
    }
    // SQLite leaves -1 where it could not have its checkpoint lock.
    let count = |frames: i32| u64::try_from(frames).unwrap_or(0);
    Ok(Copied { begun: frames >= 0, frames: count(frames), copied: count(copied), done: code == ffi::SQLITE_OK })
}
