//! Two handles of one file: what one of them failed to sync, the other does not call durable.

#![allow(clippy::unwrap_used)]

use monolite_faults::disk::{Disk, Fault, FileKind, Method, Op, Plan};
use monolite_faults::vfs;
use monolite_faults::work::{End, add, config, migrations};
use monolite_store::rusqlite::{Connection, OpenFlags, ffi};
use monolite_store::{CheckpointMode, Config, Kind, Observer, State, Store};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

/// Holds the checkpointer after its first round until it is let go.
struct Held {
    entered: SyncSender<()>,
    go: Mutex<Receiver<()>>,
}

impl Observer for Held {
    fn checkpointed(&self, mode: CheckpointMode, _: u64, _: u64, _: Duration) {
        if mode == CheckpointMode::Beside && self.entered.try_send(()).is_ok() {
            let _ = self.go.lock().unwrap().recv();
        }
    }
}

/// The checkpointer's handle of the WAL has not told the error that the writer has settled: it is not taken for a new one.
#[test]
fn a_failed_commit_between_two_rounds_costs_its_group_and_no_more() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let disk = Disk::watch(folder.path()).unwrap();
    let ((entered, is_in), (let_go, go)) = (sync_channel(1), sync_channel(1));
    let config =
        Config { observer: Some(Arc::new(Held { entered, go: Mutex::new(go) })), ..config(Some(vfs::register())) };
    let store = Store::open(folder.path().join("work.db"), config, migrations(1)).unwrap();
    let let_go = let_go; // dropped before the store, which waits for its round
    let mut op = 0;
    let mut write = || {
        op += 1;
        store.write_blocking(move |tx| add(tx, op, End::Well)).map(drop)
    };
    while is_in.try_recv().is_err() {
        write().unwrap();
    }
    // The sync of one commit alone, by what the one before it called: not every commit calls the same.
    let has_failed = || disk.log().iter().any(|op| matches!(op, Op::SyncFailed { .. }));
    for _ in 0..100 {
        disk.plan(Plan::once(u64::MAX, Fault::Io));
        write().unwrap();
        let sync = disk.trace().iter().position(|call| *call == (Method::Sync, FileKind::Wal)).unwrap();
        disk.plan(Plan::once(sync as u64 + 1, Fault::Io));
        let written = write();
        disk.heal();
        if has_failed() {
            assert_eq!(written.unwrap_err().kind(), Kind::Io);
            break;
        }
    }
    assert!(has_failed(), "no sync was met");
    let much = "INSERT INTO heap VALUES(1000000, 0, zeroblob(1000000))"; // enough for another round
    store.write_blocking(move |tx| tx.execute(much, []).map(drop)).unwrap();
    drop(let_go);
    let cycles = store.status().wal_bytes;
    while store.status().wal_bytes >= cycles {
        write().unwrap(); // until a round after it has ended
    }
    assert_eq!(store.status().state, State::Serving);
    store.close().unwrap();
}
