//! A page that changed on the disk is found within the period of the scrubber, and nothing else is taken for damage.

#![allow(clippy::unwrap_used)]

mod common;

use common::{beside, unsound, wait_until};
use monolite_store::{Config, Error, Kind, Migration, Migrations, State, Store};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT) STRICT";
const PAGE: usize = 4096;

fn open(path: &Path) -> Store {
    let config = Config { scrub_period: Duration::from_millis(20), wal_soft_bytes: 64 << 10, ..Config::default() };
    Store::open(path, config, Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }])).unwrap()
}

fn fill(store: &Store, n: usize) -> Result<(), Error> {
    for _ in 0..n {
        store.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES (hex(randomblob(700)))", []))?;
    }
    Ok(())
}

/// Changes a byte as a failing disk does: nothing tells of it, not even the file's time.
fn flip(path: &Path, page: usize) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    let at = (page * PAGE - 500) as u64;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.set_modified(before).unwrap();
}

#[test]
fn a_flipped_bit_is_found_named_and_ends_the_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path);
    fill(&store, 200).unwrap();
    store.close().unwrap();
    assert_eq!(unsound(&path), [0; 0], "a store that ended in order has a sum in every page");
    let pages = fs::metadata(&path).unwrap().len() as usize / PAGE;
    assert!(pages > 60);
    flip(&path, pages - 3);
    let store = open(&path);
    wait_until(&store, "not found", |s| s.status().state != State::Serving);
    let State::Damaged(why) = store.status().state else { panic!("{:?}", store.status().state) };
    assert!(why.contains(&format!("page {} of {pages}", pages - 3)), "{why}");
    assert_eq!(fill(&store, 1).unwrap_err().kind(), Kind::Corrupt);
    let n: i64 = store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))).unwrap();
    assert_eq!(n, 200, "no read would have noticed it");
    assert_eq!(store.check().unwrap().problems, Vec::<String>::new(), "nor the check");
}

#[test]
fn writes_and_checkpoints_beside_it_are_never_taken_for_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path);
    for round in 0..40 {
        fill(&store, 25).unwrap();
        let half = "DELETE FROM t WHERE id % 2 = ?1";
        store.write_blocking(move |tx| tx.execute(half, [round % 2])).unwrap();
    }
    let passes = store.status().scrub_passes;
    wait_until(&store, "no pass", |s| s.status().scrub_passes > passes + 1 || s.status().state != State::Serving);
    assert_eq!(store.status().state, State::Serving);
    store.abandon();
    // After a kill the WAL is copied first: a page that a checkpoint left in part is not judged.
    let store = open(&path);
    wait_until(&store, "no pass", |s| s.status().scrub_passes > 1 || s.status().state != State::Serving);
    assert_eq!(store.status().state, State::Serving);
    store.close().unwrap();
    assert_eq!(unsound(&path), [0; 0]);
}

#[test]
fn a_file_that_another_program_wrote_gets_sums_instead_of_an_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path);
    fill(&store, 30).unwrap();
    store.close().unwrap();
    let other = monolite_store::rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("UPDATE t SET v = v || 'x'; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(other);
    assert!(!unsound(&path).is_empty(), "it knows no sums");
    // Minutes later, as the mark is written at once and this test does not wait.
    let file = File::options().write(true).open(&path).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written + Duration::from_secs(60)).unwrap();
    let store = open(&path);
    wait_until(&store, "no pass", |s| s.status().scrub_passes > 0 || s.status().state != State::Serving);
    assert_eq!(store.status().state, State::Serving);
    assert_eq!(unsound(&path), [0; 0]);
    let mark = || fs::read_to_string(beside(&path, ".mark")).unwrap();
    wait_until(&store, "the mark", |_| mark().contains(" k "));
    store.close().unwrap();
    assert!(mark().contains(" w "), "{}", mark());
    file.set_modified(written).unwrap();
    flip(&path, 5);
    let store = open(&path);
    wait_until(&store, "not found", |s| matches!(s.status().state, State::Damaged(_)));
}

#[test]
fn a_period_of_zero_never_looks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path);
    fill(&store, 30).unwrap();
    store.close().unwrap();
    flip(&path, 5);
    let config = Config { scrub_period: Duration::ZERO, ..Config::default() };
    let store = Store::open(&path, config, Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }])).unwrap();
    fill(&store, 100).unwrap();
    assert_eq!((store.status().scrub_passes, store.status().state), (0, State::Serving));
}
