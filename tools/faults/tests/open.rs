//! A store that opens is in WAL mode, whatever failed while its file was being made.

#![allow(clippy::unwrap_used)]

use monolite_faults::disk::{Disk, Fault, Plan};
use monolite_faults::vfs;
use monolite_faults::work::{End, add, config, migrations};
use monolite_store::Store;

#[test]
fn store_that_opened_in_spite_of_a_fault_writes_to_a_wal() {
    let (mut opened, mut calls, mut call) = (0, u64::MAX, 0);
    while call < calls {
        call += 1;
        for fault in [Fault::Full, Fault::Io] {
            let folder = tempfile::tempdir_in("/dev/shm").unwrap();
            let disk = Disk::watch(folder.path()).unwrap();
            let path = folder.path().join("work.db");
            disk.plan(Plan::once(call, fault));
            let store = Store::open(&path, config(Some(vfs::register())), migrations(1));
            if disk.heal() == 0 && fault == Fault::Io {
                calls = call; // the opening makes no more calls
            }
            if let Ok(store) = store {
                store.write_blocking(|tx| add(tx, 0, End::Well)).unwrap();
                let wal = std::fs::metadata(folder.path().join("work.db-wal")).map_or(0, |m| m.len());
                assert!(wal > 0, "{fault:?} at call {call}: no WAL");
                opened += 1;
            }
        }
    }
    assert!(opened > 0 && call > 100, "{opened} opened, {call} calls");
}
