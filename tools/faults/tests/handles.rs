//! Two handles of one file: what one of them failed to sync, the other does not call durable.

#![allow(clippy::unwrap_used)]

use monolite_faults::disk::{Disk, Fault, FileKind, Method, Plan};
use monolite_faults::vfs;
use monolite_store::rusqlite::{Connection, OpenFlags, ffi};
use std::path::Path;

fn connection(path: &Path) -> Connection {
    let c = Connection::open_with_flags_and_vfs(path, OpenFlags::default(), vfs::register()).unwrap();
    c.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0").unwrap();
    c.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
    c
}

fn write(c: &Connection) -> Result<(), i32> {
    match c.execute("INSERT INTO t VALUES(1)", []) {
        Ok(_) => Ok(()),
        Err(e) => Err(e.sqlite_error().unwrap().extended_code),
    }
}

#[test]
fn a_failed_sync_is_told_to_each_handle_that_was_open_once() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let disk = Disk::watch(folder.path()).unwrap();
    let path = folder.path().join("two.db");
    let writer = connection(&path);
    writer.execute_batch("CREATE TABLE t(v)").unwrap();
    let copier = connection(&path);
    let checkpoint = |c: &Connection| c.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));

    let fail_syncs = || disk.plan(Plan::each(Method::Sync, FileKind::Wal, Fault::Io));

    fail_syncs();
    checkpoint(&copier).unwrap_err();
    assert!(disk.heal() > 0);
    let late = connection(&path);
    assert_eq!(write(&late), Ok(()), "it was not there");
    assert_eq!(write(&writer), Err(ffi::SQLITE_IOERR_FSYNC), "the writer's own handle has not told it");
    assert_eq!(write(&writer), Ok(()), "it has now");

    fail_syncs();
    assert_eq!(write(&writer), Err(ffi::SQLITE_IOERR_FSYNC));
    disk.heal();
    checkpoint(&copier).unwrap_err();
    checkpoint(&copier).unwrap();
}
