//! A process that may start no more threads: refused with an error at open, and nothing later depends on one.

#![allow(clippy::unwrap_used)]

use monolite_store::{Config, Error, Kind, Migrations, Store, Ticket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::PathBuf;
use std::process::Command;

/// What a thread's stack takes of the address space, and what is left of it: for anything but a thread.
const STACK: u64 = 1 << 30;
const LEFT: u64 = STACK / 2;

fn child(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--exact", test, "--ignored", "--nocapture", "--test-threads=1"];
    let out = Command::new(std::env::current_exe().unwrap())
        .args(arguments)
        .env("MONOLITE_TEST_FOLDER", folder.path())
        .env("RUST_MIN_STACK", STACK.to_string())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}

/// `None` where the child was not started by its test.
fn childs_path() -> Option<PathBuf> {
    std::env::var_os("MONOLITE_TEST_FOLDER").map(|folder| PathBuf::from(folder).join("S/S.db"))
}

/// From now on, or no longer, no thread can be started.
fn no_more_threads(holds: bool) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let used = pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096;
    let maximum = getrlimit(Resource::As).maximum;
    let current = if holds { Some(used + LEFT) } else { maximum };
    setrlimit(Resource::As, Rlimit { current, maximum }).unwrap();
    assert_eq!(std::thread::Builder::new().spawn(|| ()).is_err(), holds);
}

#[test]
fn a_store_that_finds_no_thread_is_refused_with_an_error() {
    child("child_that_opens_without_threads");
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
fn slow_reads_of_an_open_store_need_no_more_threads() {
    child("child_that_reads_without_threads");
}

#[test]
#[ignore = "a process of its own, run by the test above"]
fn child_that_reads_without_threads() {
    let Some(path) = childs_path() else { return };
    let store = Store::open(&path, Config::default(), Migrations::new([])).unwrap();
    no_more_threads(true);
    let read = store.read_with(Ticket::default().slow(), |s| s.query_row("SELECT 1", [], |r| r.get::<_, i64>(0)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(read).map(|seen| seen.value).map_err(|e: Error| e.kind()), Ok(1));
}
