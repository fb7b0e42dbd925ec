//! A process that may start no more threads: refused with an error at open, and nothing later depends on one.

#![allow(clippy::unwrap_used)]

mod common;

use common::{child, childs_path, done, limit_memory, memory_in_use};
use monolite_store::{Config, Error, Kind, Migration, Migrations, State, Store, Ticket};
use std::process::Command;

/// What a thread's stack takes of the address space, and what is left of it: for anything but a thread.
const STACK: u64 = 1 << 30;
const LEFT: u64 = STACK / 2;

fn small_child(test: &str) {
    let mut command = Command::new("env");
    command.env("RUST_MIN_STACK", STACK.to_string());
    child(test, command);
}

/// From now on, or no longer, no thread can be started.
fn no_more_threads(holds: bool) {
    limit_memory(holds.then(|| memory_in_use() + LEFT));
    assert_eq!(std::thread::Builder::new().spawn(|| ()).is_err(), holds);
}

#[test]
fn a_store_that_finds_no_thread_is_refused_with_an_error() {
    small_child("child_that_opens_without_threads");
}

#[test]
#[ignore = "a process of its own, run by the test above"]
fn child_that_opens_without_threads() {
    let Some(path) = childs_path() else { return };
    let open = || Store::open(&path, Config::default(), Migrations::new([]));
    no_more_threads(true);
    let refused = open().map(drop).unwrap_err();
    assert_eq!(refused.kind(), Kind::Io, "{refused}");
    assert!(refused.to_string().contains("thread"), "{refused}");
    no_more_threads(false);
    open().unwrap().close().unwrap();
}

#[test]
fn an_open_store_needs_no_more_threads() {
    small_child("child_that_goes_on_without_threads");
}

#[test]
#[ignore = "a process of its own, run by the test above"]
fn child_that_goes_on_without_threads() {
    let Some(path) = childs_path() else { return };
    let config = Config { wal_soft_bytes: 64 << 10, ..Config::default() };
    let schema = Migration::Quick { name: "1", sql: "CREATE TABLE t(b BLOB) STRICT" };
    let store = Store::open(&path, config, Migrations::new([schema])).unwrap();
    no_more_threads(true);
    let read = store.read_with(Ticket::default().slow(), |s| s.query_row("SELECT 1", [], |r| r.get::<_, i64>(0)));
    assert_eq!(done(read).map(|seen| seen.value).map_err(|e: Error| e.kind()), Ok(1));
    // Some checkpoints, and marks beside the file.
    for _ in 0..50 {
        store.write_blocking(|tx| tx.execute("INSERT INTO t VALUES (zeroblob(20000))", [])).unwrap();
    }
    assert_eq!((store.status().state, store.status().trouble), (State::Serving, None));
    store.close().unwrap();
}
