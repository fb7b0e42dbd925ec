//! A process that may start no more threads: refused with an error at open, and nothing later depends on one.

#![allow(clippy::unwrap_used)]

mod common;

use common::{child, childs_path, done, limit_memory, memory_in_use};
use monolite_store::{Config, Error, Kind, Migration, Migrations, State, Store, Ticket};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity};
use std::process::Command;
use std::time::{Duration, Instant};

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

/// The processors that this process's threads of a name may use.
fn processors(name: &str) -> Vec<CpuSet> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let named =
        tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name));
    let ids = named.map(|task| task.file_name().unwrap().to_str().unwrap().parse().unwrap());
    ids.filter_map(|id| sched_getaffinity(Pid::from_raw(id)).ok()).collect()
}

#[test]
fn threads_of_the_background_leave_a_processor_alone() {
    let own = sched_getaffinity(None).unwrap();
    let Some(last) = (0..CpuSet::MAX_CPU).rev().find(|cpu| own.is_set(*cpu)).filter(|_| own.count() > 1) else {
        return println!("skipped: this process may use one processor only");
    };
    let mut rest = own;
    rest.unset(last);
    let folder = tempfile::tempdir().unwrap();
    let config = Config { name: "own".into(), ..Config::default() };
    let store = Store::open(folder.path().join("S.db"), config, Migrations::new(vec![])).unwrap();
    // A thread's name and its processors are the first things that it does, beside the opening.
    let begun = Instant::now();
    let background = ["checkpointer:0", "checkpointer:3", "slow-lane:0", "slow-lane:1", "slow-lane:2"];
    let background = background.map(|name| (name, rest));
    for (name, wanted) in background.into_iter().chain([("writer:own", own)]) {
        while processors(name) != [wanted] {
            assert!(begun.elapsed() < Duration::from_secs(20), "{name}: {:?} of {own:?}", processors(name));
            std::thread::yield_now();
        }
    }
    store.close().unwrap();
}
