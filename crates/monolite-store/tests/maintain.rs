//! Checking and copying a store's file while it serves.

#![allow(clippy::unwrap_used)]

use monolite_store::{Config, Error, Kind, Migration, Migrations, Store};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

fn open(path: &std::path::Path) -> Store {
    let sql = "CREATE TABLE a(id INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT; INSERT INTO a VALUES (1, 0), (2, 0);
               CREATE TABLE bulk(id INTEGER PRIMARY KEY, b BLOB) STRICT;
               WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i < 20000) INSERT INTO bulk SELECT i, randomblob(600) FROM s;";
    Store::open(path, Config::default(), Migrations::new(vec![Migration::Quick { name: "0001", sql }])).expect("opens")
}

#[test]
fn copy_under_writes_is_a_store_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("S.db"));
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let target = folder.path().join("copies/S.db");
    let copied = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                store
                    .write_blocking(|tx| {
                        tx.execute("UPDATE a SET n = n + 1 WHERE id = 1", [])?;
                        tx.execute("UPDATE a SET n = n + 1 WHERE id = 2", [])
                    })
                    .unwrap();
                written.fetch_add(1, SeqCst);
            }
        });
        let mut steps = 0;
        let copied = store.copy_to(&target, &mut |done, total| {
            steps += 1;
            assert!(done <= total && total > 3000);
        });
        stop.store(true, SeqCst);
        assert!(steps > 5);
        copied.unwrap()
    });
    assert!(written.load(SeqCst) > 0);
    assert!(copied.sequence <= store.sequence());
    let copy = open(&target);
    assert_eq!(copy.sequence(), copied.sequence, "no migration runs again, nothing is lost");
    let both = copy
        .read_blocking(|s| {
            s.query_row("SELECT min(n), max(n) FROM a", [], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?)))
        })
        .unwrap();
    assert_eq!(both.0, both.1);
    assert_eq!(copy.check().unwrap().problems, Vec::<String>::new());
    copy.write_blocking(|tx| tx.execute("UPDATE a SET n = 0", [])).unwrap();
    assert_eq!(store.copy_to(&target, &mut |_, _| {}).unwrap_err().kind(), Kind::Invalid, "it exists");
}

#[test]
fn check_sees_a_sound_store_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("S.db"));
    for _ in 0..3 {
        store.write_blocking(|tx| tx.execute("UPDATE a SET n = n + 1", [])).unwrap();
        let found = store.check().unwrap();
        assert_eq!((found.problems.as_slice(), found.sequence), ([].as_slice(), store.sequence()));
    }
    let again = store.clone();
    store.close().unwrap();
    assert_eq!(again.check().err().map(|e: Error| e.kind()), Some(Kind::Closed));
}

#[test]
fn a_copy_that_is_synced_and_checked_ends_with_its_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path);
    let target = folder.path().join("copies/S.db");
    let (filled, is_filled) = std::sync::mpsc::sync_channel(1);
    let copied = std::thread::scope(|scope| {
        let source = store.clone();
        let copy = scope.spawn(|| {
            let source = source;
            source.copy_to(&target, &mut |done, total| {
                if done == total {
                    let _ = filled.try_send(());
                    while source.is_open() {
                        std::thread::yield_now();
                    }
                }
            })
        });
        is_filled.recv().unwrap();
        store.close().unwrap();
        open(&path).close().expect("nothing has its lock any more");
        copy.join().unwrap()
    });
    let error = copied.expect_err("of a store that has ended");
    assert_eq!(error.kind(), Kind::Closed, "{error}");
    assert_eq!(std::fs::read_dir(target.parent().unwrap()).unwrap().count(), 0, "nothing is left of it");
}

fn narrow(path: &std::path::Path) -> Store {
    let sql = "CREATE TABLE bulk(id INTEGER PRIMARY KEY, b BLOB) STRICT;
               WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i < 20000) INSERT INTO bulk SELECT i, randomblob(600) FROM s;";
    let config = Config { wal_soft_bytes: 64 << 10, wal_hard_bytes: 512 << 10, ..Config::default() };
    Store::open(path, config, Migrations::new([Migration::Quick { name: "0001", sql }])).unwrap()
}

fn write_much(store: &Store) {
    for _ in 0..20 {
        store.write_blocking(|tx| tx.execute("INSERT INTO bulk(b) VALUES (randomblob(100000))", [])).unwrap();
    }
}

#[test]
fn a_copy_that_keeps_the_wal_too_large_is_stopped_by_name_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = narrow(&folder.path().join("S.db"));
    let target = folder.path().join("copies/S.db");
    let mut steps = 0;
    let error = store
        .copy_to(&target, &mut |_, _| {
            steps += 1;
            write_much(&store);
        })
        .unwrap_err();
    assert_eq!(error.kind(), Kind::TooLong, "{error}");
    assert!(error.to_string().contains("wal_hard_bytes"), "{error}");
    assert!(steps < 5, "{steps} steps");
    assert_eq!(std::fs::read_dir(target.parent().unwrap()).unwrap().count(), 0);
    store.close().unwrap();
    narrow(&folder.path().join("S.db")).copy_to(&target, &mut |_, _| {}).expect("when nothing is written it is made");
}

#[test]
fn a_check_that_keeps_the_wal_too_large_is_stopped_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = narrow(&folder.path().join("S.db"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                write_much(&store);
            }
        });
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let error = loop {
            match store.check() {
                Err(error) => break Some(error),
                Ok(_) if std::time::Instant::now() > end => break None,
                Ok(_) => {}
            }
        };
        stop.store(true, SeqCst);
        assert_eq!(error.expect("it is never stopped").kind(), Kind::TooLong);
    });
    store.close().unwrap();
    assert_eq!(narrow(&folder.path().join("S.db")).check().unwrap().problems, Vec::<String>::new());
}
