//! Nothing keeps the WAL, a run or the file's lock for good: callers' panics, readers that stay, copies that outlive a store.

#![allow(clippy::unwrap_used)]

mod common;

use common::within;
use monolite_store::rusqlite::Connection;
use monolite_store::{CheckpointMode, Config, Error, Kind, Migration, Migrations, Observer, Store, Ticket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

fn config() -> Config {
    Config { scrub_period: Duration::ZERO, ..Config::default() }
}

fn open(path: &Path, config: Config) -> Store {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB) STRICT";
    Store::open(path, config, Migrations::new([Migration::Quick { name: "1", sql }])).unwrap()
}

fn write(store: &Store, id: i64) {
    store.write_blocking(move |tx| tx.execute("REPLACE INTO t VALUES (?1, zeroblob(60000))", [id % 20])).unwrap();
}

/// Counts last rounds.
#[derive(Default)]
struct Rounds(AtomicUsize);

impl Observer for Rounds {
    fn checkpointed(&self, mode: CheckpointMode, _: u64, _: u64, _: Duration) {
        self.0.fetch_add(usize::from(mode == CheckpointMode::Between), SeqCst);
    }
}

#[test]
fn a_value_that_panics_when_it_is_dropped_does_not_keep_the_wal() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("a caller's own");
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("S.db"), Config { wal_soft_bytes: 256 << 10, ..config() });
    let reader = store.clone();
    let ended = std::thread::spawn(move || {
        let read = || {
            reader.read_blocking(|s| {
                let _ = s.gate(1 << 30); // its first run is discarded with what it answered
                Ok::<_, Error>(Bomb)
            })
        };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| std::mem::forget(read())));
        // The snapshot of this one is kept.
        reader.read_blocking::<i64, Error, _>(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))).unwrap();
        panicked.is_err()
    });
    assert!(ended.join().unwrap(), "the value was dropped on its caller's thread");
    let (end, mut id) = (Instant::now() + Duration::from_secs(20), 0);
    while id < 40 {
        write(&store, id);
        id += 1;
    }
    while store.status().wal_bytes > 512 << 10 {
        write(&store, id);
        id += 1;
        assert!(Instant::now() < end && id < 600, "the WAL never starts over: {} bytes", store.status().wal_bytes);
    }
}

#[test]
fn what_a_stopped_run_answered_is_never_told_though_its_connection_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("S.db"), config());
    let (stop, wrong) = (AtomicBool::new(false), AtomicUsize::new(0));
    let late = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    // It passes its deadline and says nothing of it.
                    let read =
                        store.read_blocking_with(Ticket::label("late").slow().deadline(late), |_| Ok::<_, Error>(()));
                    wrong.fetch_add(usize::from(read.is_ok()), SeqCst);
                }
                stop.store(true, SeqCst);
            });
        }
        let in_time = || {
            while !stop.load(SeqCst) {
                store.read_blocking_with(Ticket::label("in time").slow(), |_| Ok::<_, Error>(())).unwrap();
            }
        };
        scope.spawn(in_time);
        scope.spawn(in_time);
    });
    assert_eq!(wrong.into_inner(), 0, "runs that were late answered");
}

#[test]
fn limits_of_the_wal_hold_for_other_sizes_of_pages() {
    for page in [512_u64, 4096, 65536] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("S.db");
        let elsewhere = Connection::open(&path).unwrap();
        elsewhere.execute_batch(&format!("PRAGMA page_size={page}; CREATE TABLE before(a)")).unwrap();
        drop(elsewhere);
        let rounds = Arc::new(Rounds::default());
        let config = Config { wal_soft_bytes: 2 << 20, observer: Some(rounds.clone()), ..config() };
        let store = open(&path, config);
        let wal = path.with_file_name("S.db-wal");
        let mut id = 0;
        while std::fs::metadata(&wal).unwrap().len() < 1 << 20 {
            write(&store, id);
            id += 1;
        }
        let bytes = std::fs::metadata(&wal).unwrap().len() - 32;
        assert_eq!(store.status().wal_bytes, bytes, "pages of {page} bytes");
        assert_eq!(rounds.0.load(SeqCst), 0, "pages of {page} bytes: copied at {bytes} bytes already");
        while std::fs::metadata(&wal).unwrap().len() < 3 << 20 {
            write(&store, id);
            id += 1;
        }
        let end = Instant::now() + Duration::from_secs(20);
        while rounds.0.load(SeqCst) == 0 {
            std::thread::yield_now();
            assert!(Instant::now() < end, "pages of {page} bytes: a WAL of {} is not copied", store.status().wal_bytes);
        }
    }
}

#[test]
fn releases_beside_a_reader_that_stays_are_no_reason_for_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let rounds = Arc::new(Rounds::default());
    let config = Config { followed: true, wal_soft_bytes: 256 << 10, observer: Some(rounds.clone()), ..config() };
    let store = open(&path, config);
    let mut follower = store.follow().unwrap();
    write(&store, 0);
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    for id in 0..300 {
        store.write_blocking(move |tx| tx.execute("REPLACE INTO t VALUES (?1, zeroblob(4000))", [id % 20])).unwrap();
        let batch = follower.next(None, u64::MAX).unwrap().unwrap();
        follower.release(batch.last);
    }
    let tried = rounds.0.load(SeqCst);
    assert!(
        (1..25).contains(&tried),
        "300 releases, {tried} last rounds: each time that the WAL has grown by a quarter"
    );
    drop(reader);
    let end = Instant::now() + Duration::from_secs(20);
    while store.status().wal_bytes > 512 << 10 {
        write(&store, 1);
        let batch = follower.next(None, u64::MAX).unwrap().unwrap();
        follower.release(batch.last);
        assert!(Instant::now() < end, "the WAL never starts over: {} bytes", store.status().wal_bytes);
    }
}

#[test]
fn a_copy_ends_with_its_store_and_leaves_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path, config());
    (0..200).for_each(|id| {
        store.write_blocking(move |tx| tx.execute("INSERT INTO t VALUES (?1, zeroblob(60000))", [id])).unwrap();
    });
    let (copied, closed) = within(60, move || {
        let source = store.clone();
        let (begun, has_begun) = std::sync::mpsc::sync_channel(1);
        let copy = std::thread::spawn(move || {
            let target = source.path().with_file_name("copy.db");
            let mut steps = 0;
            let copied = source.copy_to(&target, &mut |_, _| {
                steps += 1;
                let _ = begun.try_send(());
                while source.is_open() {
                    std::thread::yield_now();
                }
            });
            (copied.map(drop).map_err(|e| e.kind()), steps, source)
        });
        has_begun.recv().unwrap();
        let closed = store.close();
        let reopened = Store::open(
            &path,
            config(),
            Migrations::new([Migration::Quick {
                name: "1",
                sql: "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB) STRICT",
            }]),
        )
        .map(drop);
        let (copied, steps, _) = copy.join().unwrap();
        assert!(steps < 3, "{steps} steps of a store that has ended");
        (copied, closed.and(reopened).map_err(|e| e.to_string()))
    });
    assert_eq!((copied, closed), (Err(Kind::Closed), Ok(())));
}

#[test]
fn a_group_that_may_last_for_ever_is_a_group_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("S.db"), Config { group_time_max: Duration::MAX, ..config() });
    within(30, move || (0..5).for_each(|id| write(&store, id)));
}

#[test]
fn a_wal_that_another_program_keeps_above_its_limit_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path, Config { wal_soft_bytes: 256 << 10, wal_hard_bytes: 1 << 20, ..config() });
    write(&store, 0);
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    let mut id = 0;
    let told = loop {
        write(&store, id);
        id += 1;
        if let Some(trouble) = store.status().trouble {
            break trouble;
        }
        assert!(id < 600, "{:?}", store.status());
    };
    assert!(told.contains("wal_hard_bytes") && told.contains("another program"), "{told}");
    assert!(store.status().wal_bytes > 1 << 20);
    drop(reader);
    while store.status().trouble.is_some() {
        write(&store, id);
        id += 1;
        assert!(id < 1200, "{:?}", store.status());
    }
}
