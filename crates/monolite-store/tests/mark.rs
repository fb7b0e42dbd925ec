//! A file that lost acknowledged commits is noticed at open by the mark beside it.

#![allow(clippy::unwrap_used)]

mod common;

use common::beside;
use monolite_store::{Config, Error, Kind, Migration, Migrations, Store};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

fn try_open(path: &Path) -> Result<Store, Error> {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT";
    Store::open(path, Config::default(), Migrations::new([Migration::Quick { name: "1", sql }]))
}

fn write(store: &Store, n: usize) {
    for _ in 0..n {
        store.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES ('x')", [])).unwrap();
    }
}

fn marked(path: &Path) -> Option<u64> {
    fs::read_to_string(beside(path, ".mark")).ok()?.split(' ').nth(2)?.parse().ok()
}

/// A store that was killed after its mark had caught up; its last commit.
fn killed(path: &Path) -> u64 {
    let store = try_open(path).unwrap();
    write(&store, 20);
    let last = store.sequence();
    let end = Instant::now() + Duration::from_secs(20);
    while marked(path) != Some(last) {
        assert!(Instant::now() < end, "the mark stays at {:?}, the store is at {last}", marked(path));
        std::thread::yield_now();
    }
    store.abandon();
    last
}

fn refused(path: &Path, words: &[String]) {
    let error = try_open(path).err().expect("refused");
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "no {word:?} in: {error}");
    }
}

fn goes_on_without_the_mark(path: &Path, rows: i64) {
    fs::remove_file(beside(path, ".mark")).unwrap();
    let store = try_open(path).unwrap();
    let found = store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0))).unwrap();
    assert_eq!(found, rows);
    write(&store, 1);
}

#[test]
fn a_store_that_was_killed_or_closed_opens_with_its_mark() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let last = killed(&path);
    let store = try_open(&path).unwrap();
    assert_eq!(store.sequence(), last);
    write(&store, 3);
    store.close().unwrap();
    assert_eq!(marked(&path), Some(last + 3), "a store that ends in order leaves its last commit");
    assert_eq!(try_open(&path).unwrap().sequence(), last + 3);
}

#[test]
fn a_wal_cut_short_is_noticed_though_nothing_behind_the_cut_is_left_to_tell() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let last = killed(&path);
    let wal = fs::OpenOptions::new().write(true).open(beside(&path, "-wal")).unwrap();
    wal.set_len(wal.metadata().unwrap().len() - 4096 * 3).unwrap();
    let before = fs::read(beside(&path, "-wal")).unwrap();
    refused(&path, &[format!("commit {last}"), "Nothing was changed".to_owned(), "rm ".to_owned()]);
    assert_eq!(fs::read(beside(&path, "-wal")).unwrap(), before);
    refused(&path, &[format!("commit {last}")]);
    let store_at = {
        let error = try_open(&path).err().unwrap().to_string();
        error.split("is at commit ").nth(1).unwrap().split(',').next().unwrap().parse::<u64>().unwrap()
    };
    assert!(store_at < last);
    goes_on_without_the_mark(&path, 20 - (last - store_at) as i64);
}

#[test]
fn a_flipped_bit_in_the_last_acknowledged_group_is_noticed_and_not_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let last = killed(&path);
    let mut wal = fs::read(beside(&path, "-wal")).unwrap();
    let at = wal.len() - 2000;
    wal[at] ^= 8;
    fs::write(beside(&path, "-wal"), &wal).unwrap();
    refused(&path, &[format!("commit {last}"), format!("commit {}", last - 1), "1 commits".to_owned()]);
    assert!(fs::read(beside(&path, "-wal")).unwrap() == wal, "nothing was changed");
    goes_on_without_the_mark(&path, 19);
}

#[test]
fn an_older_file_in_its_place_a_missing_and_another_one_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = try_open(&path).unwrap();
    write(&store, 2);
    store.close().unwrap();
    let older = fs::read(&path).unwrap();
    let last = killed(&path);
    fs::remove_file(beside(&path, "-wal")).unwrap();
    fs::write(&path, &older).unwrap();
    refused(&path, &[format!("commit {last}")]);
    fs::remove_file(&path).unwrap();
    refused(&path, &["missing or empty".to_owned(), format!("commit {last}")]);
    let other = folder.path().join("other.db");
    let store = try_open(&other).unwrap();
    write(&store, 50);
    store.close().unwrap();
    fs::copy(&other, &path).unwrap();
    refused(&path, &["another history".to_owned()]);
    fs::write(&path, &older).unwrap();
    goes_on_without_the_mark(&path, 2);
}

#[test]
fn an_empty_file_beside_a_full_wal_is_refused_even_without_a_mark() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    killed(&path);
    fs::remove_file(beside(&path, ".mark")).unwrap();
    fs::write(&path, b"").unwrap();
    refused(&path, &["a WAL of".to_owned()]);
    assert!(fs::metadata(beside(&path, "-wal")).unwrap().len() > 4096, "SQLite alone would have deleted it");
}

#[test]
fn a_mark_that_cannot_be_read_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let last = killed(&path);
    for rubbish in [&b""[..], &[0; 79], b"monolite-mark 1 99999999999999999999 no"] {
        fs::write(beside(&path, ".mark"), rubbish).unwrap();
        let store = try_open(&path).unwrap();
        assert_eq!(store.sequence(), last);
        store.abandon();
    }
}

/// What the refusal tells a person to do is done, word by word.
#[test]
fn a_store_whose_wal_was_damaged_opens_after_the_advice_was_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a folder of it's own").join("S.db");
    killed(&path);
    let mut wal = fs::read(beside(&path, "-wal")).unwrap();
    let middle = wal.len() / 2;
    wal[middle] ^= 1;
    fs::write(beside(&path, "-wal"), &wal).unwrap();
    let error = try_open(&path).err().expect("refused").to_string();
    assert!(fs::read(beside(&path, "-wal")).unwrap() == wal, "nothing was changed");
    let command = &error[error.find("truncate -s").expect("a command")..];
    assert!(command.contains("S.db.mark"), "{error}");
    assert!(std::process::Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
    let store = try_open(&path).unwrap();
    let rows = store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0))).unwrap();
    assert!((1..20).contains(&rows), "{rows} of 20 are left");
    write(&store, 1);
    store.close().unwrap();
    try_open(&path).unwrap();
}

/// An empty database beside a WAL is the state in which SQLite deletes the WAL.
#[test]
fn a_missing_database_is_not_made_beside_what_refuses_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    killed(&path);
    fs::remove_file(&path).unwrap();
    let wal = fs::read(beside(&path, "-wal")).unwrap();
    refused(&path, &["is missing".to_owned(), "Nothing was changed".to_owned()]);
    assert!(!path.exists(), "for its mark");
    fs::remove_file(beside(&path, ".mark")).unwrap();
    refused(&path, &["a WAL of".to_owned(), "Nothing was changed".to_owned()]);
    assert!(!path.exists(), "for its WAL");
    assert!(fs::read(beside(&path, "-wal")).unwrap() == wal);
    fs::remove_file(beside(&path, "-wal")).unwrap();
    let rows =
        |store: &Store| store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0)));
    assert_eq!(rows(&try_open(&path).unwrap()).unwrap(), 0, "begun anew");
}
