//! The VFS below the store's own: every connection and the store's own work on the WAL go through it.

#![allow(clippy::unwrap_used, unsafe_code)]

use monolite_store::rusqlite::ffi;
use monolite_store::{Config, Kind, Migration, Migrations, Store};
use std::ffi::{CStr, c_int};
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

static UNIX: AtomicPtr<ffi::sqlite3_vfs> = AtomicPtr::new(std::ptr::null_mut());
static OPENED: Mutex<Vec<String>> = Mutex::new(Vec::new());

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's own arguments, handed to SQLite's own VFS; a name is NUL-terminated or null.
    unsafe {
        if !name.is_null() {
            let name = CStr::from_ptr(name).to_string_lossy();
            OPENED.lock().unwrap().push(name.rsplit('/').next().unwrap().to_owned());
        }
        let unix = UNIX.load(SeqCst);
        (*unix).xOpen.unwrap()(unix, name, file, flags, out)
    }
}

fn register() {
    // SAFETY: the default VFS lives as long as the process, and so does the leaked copy of it.
    unsafe {
        let unix = ffi::sqlite3_vfs_find(std::ptr::null());
        UNIX.store(unix, SeqCst);
        let mut listed = *unix;
        listed.zName = c"listed".as_ptr();
        listed.pNext = std::ptr::null_mut();
        listed.xOpen = Some(open);
        assert_eq!(ffi::sqlite3_vfs_register(Box::leak(Box::new(listed)), 0), ffi::SQLITE_OK);
    }
}

/// What was opened since the last look, but for rollback journals and temporary files.
fn opened() -> Vec<String> {
    let mut opened = std::mem::take(&mut *OPENED.lock().unwrap());
    opened.retain(|name| !name.ends_with("-journal") && !name.starts_with("etilqs"));
    opened
}

#[test]
fn all_connections_and_the_stores_own_work_on_the_wal_go_through_the_vfs_below() {
    register();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let migrations = || Migrations::new([Migration::Quick { name: "1", sql: "CREATE TABLE t(v)" }]);
    let config = Config { vfs: Some("listed"), wal_soft_bytes: 64 << 10, ..Config::default() };
    let store = Store::open(&path, config.clone(), migrations()).unwrap();
    assert_eq!(opened(), ["S.db", "S.db-wal"], "the writer; no WAL was there to settle");
    store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0))).unwrap();
    assert_eq!(opened(), ["S.db", "S.db-wal"], "a reader");
    for _ in 0..100 {
        store.write_blocking(|tx| tx.execute("INSERT INTO t VALUES (zeroblob(5000))", [])).unwrap();
    }
    store.check().unwrap();
    assert!(opened().len() >= 4, "the checkpointer and the reader that checks");
    store.copy_to(&folder.path().join("copy.db"), &mut |_, _| {}).unwrap();
    assert_eq!(opened().iter().filter(|n| *n == "copy.db.partial").count(), 2, "the copy, written and read back");
    store.abandon();
    opened();
    let store = Store::open(&path, config, migrations()).unwrap();
    assert_eq!(
        opened(),
        ["S.db-wal", "S.db", "S.db-wal", "S.db-wal"],
        "synced before SQLite came, looked at after it recovered"
    );
    drop(store);
    let unknown = Config { vfs: Some("nobody"), ..Config::default() };
    assert_eq!(
        Store::open(folder.path().join("other.db"), unknown, migrations()).err().map(|e| e.kind()),
        Some(Kind::Invalid)
    );
}
