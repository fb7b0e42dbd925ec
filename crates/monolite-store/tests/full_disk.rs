//! A full disk at its worst moments: while a checkpoint copies, and while the wal-index must grow. Reads go on, writes are
//! refused by name and resume by themselves, and nothing that was acknowledged is lost.
//!
//! On a small file system in memory, seen by a child process alone. Needs user namespaces; where they are forbidden, the
//! tests say so and prove nothing.

#![allow(clippy::unwrap_used)]

mod common;

use common::{child_in_a_small_world, childs_path};
use monolite_store::{Config, Kind, Migration, Migrations, State, Store};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB) STRICT";

fn open(path: &Path, wal_soft_bytes: u64) -> Store {
    let migrations = Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }]);
    Store::open(path, Config { wal_soft_bytes, ..Config::default() }, migrations).unwrap()
}

/// Takes all room but this.
fn fill_the_disk(path: &Path, room: u64) {
    let mut file = std::fs::File::create(path.with_file_name("ballast")).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(room)).unwrap();
}

fn rows(store: &Store) -> i64 {
    store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))).unwrap()
}

fn write(store: &Store, bytes: i64) -> Result<usize, monolite_store::Error> {
    store.write_blocking(move |tx| tx.execute("INSERT INTO t(b) VALUES (randomblob(?1))", [bytes]))
}

/// Writes now and then until the WAL was copied and started over; answers how often. One after another they would fill the
/// disk before a busy machine has copied the WAL.
fn write_until_the_wal_starts_over(store: &Store, bytes: i64) -> i64 {
    let (full, end) = (store.status().wal_bytes, Instant::now() + Duration::from_secs(120));
    let is_full = || store.status().wal_bytes >= full;
    let mut writes = 0;
    while is_full() {
        write(store, bytes).expect("writes resume by themselves");
        writes += 1;
        let next = Instant::now() + Duration::from_millis(20);
        while is_full() && Instant::now() < next {
            std::thread::yield_now();
        }
        assert!(Instant::now() < end, "the WAL is not started over: {:?}", store.status());
    }
    writes
}

/// Waits for a trouble that is found beside the writes: who made them may have heard before.
fn wait_for_trouble(store: &Store, part: &str) {
    let end = Instant::now() + Duration::from_secs(120);
    while !store.status().trouble.is_some_and(|trouble| trouble.contains(part)) {
        assert!(Instant::now() < end, "not told: {:?}", store.status());
        std::thread::yield_now();
    }
}

#[test]
fn a_checkpoint_without_room_is_made_when_there_is_room() {
    child_in_a_small_world("child_whose_checkpoint_has_no_room", 24);
}

#[test]
#[ignore = "a process of its own, run by the test above"]
fn child_whose_checkpoint_has_no_room() {
    let Some(path) = childs_path() else { return };
    let store = open(&path, 256 << 10);
    for _ in 0..20 {
        write(&store, 10_000).unwrap();
    }
    fill_the_disk(&path, 2 << 20);
    let mut acknowledged = 20;
    let error = loop {
        match write(&store, 30_000) {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Full, "{error}");
    for _ in 0..5 {
        assert_eq!(write(&store, 300_000).unwrap_err().kind(), Kind::Full);
    }
    wait_for_trouble(&store, "checkpoint failed");
    assert_eq!((rows(&store), store.status().state), (acknowledged, State::Serving), "reads go on");
    std::fs::remove_file(path.with_file_name("ballast")).unwrap();
    acknowledged += write_until_the_wal_starts_over(&store, 30_000);
    assert_eq!(rows(&store), acknowledged);
    store.abandon();
    let store = open(&path, 256 << 10);
    assert_eq!(rows(&store), acknowledged);
    assert_eq!(store.check().unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_wal_index_without_room_undoes_its_commit_and_the_store_goes_on() {
    child_in_a_small_world("child_whose_wal_index_has_no_room", 96);
}

#[test]
#[ignore = "a process of its own, run by the test above"]
fn child_whose_wal_index_has_no_room() {
    let Some(path) = childs_path() else { return };
    let store = open(&path, 1 << 20);
    // The WAL's file takes 24 MB, and starts over: the next large commit overwrites them and needs no room.
    write(&store, 24_000_000).unwrap();
    write_until_the_wal_starts_over(&store, 10);
    write(&store, 10).unwrap();
    let before = rows(&store);
    store.abandon();
    // A wal-index made anew, of one region: the large commit needs a second.
    let store = open(&path, 1 << 30);
    fill_the_disk(&path, 0);
    let error = write(&store, 20_000_000).unwrap_err();
    assert_eq!(error.kind(), Kind::Full, "{error}");
    assert!(error.to_string().contains("undone"), "its frames were on the disk: {error}");
    assert_eq!((rows(&store), store.status().state), (before, State::Serving));
    std::fs::remove_file(path.with_file_name("ballast")).unwrap();
    write(&store, 20_000_000).unwrap();
    store.abandon();
    let store = open(&path, 1 << 30);
    assert_eq!(rows(&store), before + 1);
    assert_eq!(store.check().unwrap().problems, Vec::<String>::new());
}
