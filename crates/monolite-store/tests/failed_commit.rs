//! A commit that the disk or the memory failed: applied, not applied, or unknown, and what the store does then.
//!
//! Where a sync "fails" here its bytes are in the file all the same: only the cut keeps recovery from finding them.

#![allow(clippy::unwrap_used)]

mod faulty;

use faulty::{Fault, On, Op, calls, config, heal, inject};
use monolite_store::rusqlite::ffi;
use monolite_store::{
    Config, Cursor, Error, Kind, Migration, Migrations, Progress, State, Stepwise, Store, Ticket, Tx,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT) STRICT; CREATE TABLE big(b BLOB) STRICT";

fn open_with(path: &Path, config: Config) -> Store {
    Store::open(path, config, Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }])).unwrap()
}

fn new(folder: &tempfile::TempDir) -> (Store, PathBuf) {
    let path = folder.path().join("S.db");
    let store = open_with(&path, config());
    for v in ["a", "b"] {
        insert(&store, v).unwrap();
    }
    calls(&path);
    (store, path)
}

fn insert(store: &Store, v: &'static str) -> Result<u64, Error> {
    store
        .write_blocking_with(Ticket::default(), move |tx| tx.execute("INSERT INTO t(v) VALUES (?1)", [v]))
        .map(|w| w.sequence)
}

fn texts(store: &Store) -> String {
    store
        .read_blocking(|s| s.query_row("SELECT coalesce(group_concat(v, '' ORDER BY id), '') FROM t", [], |r| r.get(0)))
        .unwrap()
}

fn after_a_crash(store: Store, path: &Path) -> (Store, String) {
    store.abandon();
    heal(path);
    let store = open_with(path, config());
    let found = texts(&store);
    assert_eq!(store.check().unwrap().problems, Vec::<String>::new());
    (store, found)
}

fn failed_sync() -> Fault {
    Fault { done: true, ..Fault::new(Op::Sync, On::Wal, ffi::SQLITE_IOERR_FSYNC) }
}

#[test]
fn a_failed_sync_is_undone_by_a_cut_and_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = new(&folder);
    let before = store.sequence();
    inject(&path, failed_sync());
    let error = insert(&store, "c").unwrap_err();
    assert_eq!(error.kind(), Kind::Io, "{error}");
    assert!(error.to_string().contains("nothing was done"), "{error}");
    let calls: Vec<_> = calls(&path).into_iter().filter(|(_, on)| *on == On::Wal).map(|(op, _)| op).collect();
    assert_eq!(calls, [Op::Write, Op::Sync, Op::Truncate, Op::Sync], "between the two syncs the frames are taken away");
    assert_eq!((texts(&store).as_str(), store.sequence(), store.status().state), ("ab", before, State::Serving));
    assert!(store.status().trouble.unwrap().contains("undone"));
    assert_eq!(insert(&store, "d").unwrap(), before + 1, "no number is lost");
    let (_store, found) = after_a_crash(store, &path);
    assert_eq!(found, "abd");
}

#[test]
fn a_crash_right_after_the_cut_does_not_bring_the_commit_back() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = new(&folder);
    inject(&path, failed_sync());
    insert(&store, "c").unwrap_err();
    assert_eq!(after_a_crash(store, &path).1, "ab");
}

#[test]
fn where_the_cut_fails_too_the_outcome_is_unknown_and_the_store_only_reads() {
    for second in [Op::Truncate, Op::Sync] {
        let folder = tempfile::tempdir().unwrap();
        let (store, path) = new(&folder);
        inject(&path, failed_sync());
        inject(&path, Fault::new(second, On::Wal, ffi::SQLITE_IOERR));
        let error = insert(&store, "c").unwrap_err();
        assert_eq!(error.kind(), Kind::OutcomeUnknown, "{second:?}: {error}");
        assert!(matches!(store.status().state, State::ReadOnly(_)));
        let syncs = calls(&path).iter().filter(|c| **c == (Op::Sync, On::Wal)).count();
        assert_eq!(insert(&store, "d").unwrap_err().kind(), Kind::ReadOnly, "{second:?}");
        assert_eq!(calls(&path), [], "{second:?}: nothing is written or synced any more");
        assert!(syncs <= 2);
        assert_eq!(texts(&store), "ab", "reads go on, and show nothing of it");
        let (store, found) = after_a_crash(store, &path);
        assert!(found == "ab" || found == "abc", "{found}");
        insert(&store, "e").unwrap();
    }
}

#[test]
fn every_caller_of_the_group_hears_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = new(&folder);
    inject(&path, failed_sync());
    inject(&path, Fault::new(Op::Truncate, On::Wal, ffi::SQLITE_IOERR_TRUNCATE));
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(0);
    let (entered, is_in) = std::sync::mpsc::sync_channel::<()>(0);
    let held = store.write(move |_| {
        let _ = entered.send(());
        let _ = wait.recv();
        Ok::<_, Error>(())
    });
    is_in.recv().unwrap();
    let crowd: Vec<_> = (0..10).map(|_| store.write(|tx| tx.execute("INSERT INTO t(v) VALUES ('x')", []))).collect();
    drop(go);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _ = runtime.block_on(held);
    for write in crowd {
        let kind = runtime.block_on(write).unwrap_err().kind();
        assert!(matches!(kind, Kind::OutcomeUnknown | Kind::ReadOnly), "{kind:?}");
    }
    assert_eq!(texts(&store), "ab");
}

#[test]
fn a_write_error_after_all_was_written_is_undone_too() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = new(&folder);
    inject(&path, Fault { done: true, ..Fault::new(Op::Write, On::Wal, ffi::SQLITE_IOERR_WRITE) });
    assert_eq!(insert(&store, "c").unwrap_err().kind(), Kind::Io);
    let (store, found) = after_a_crash(store, &path);
    assert_eq!(found, "ab");
    insert(&store, "d").unwrap();
}

#[test]
fn full_at_commit_is_known_and_nothing_is_cut_but_a_mark() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = new(&folder);
    let bytes = || std::fs::metadata(folder.path().join("S.db-wal")).unwrap().len();
    let full = Fault::new(Op::Write, On::Wal, ffi::SQLITE_FULL);
    let first = bytes();
    // Nothing is written; the mark is not; the header with the mark is, and some of its page.
    for (lacks, marked) in [(0, false), (4120, false), (4097, false), (4096, true), (4000, true), (1, true)] {
        calls(&path);
        inject(&path, Fault { lacks, ..full });
        let error = insert(&store, "c").unwrap_err();
        assert_eq!(error.kind(), Kind::Full, "{error}");
        let cut: &[_] = if marked { &[(Op::Truncate, On::Wal), (Op::Sync, On::Wal)] } else { &[] };
        assert_eq!(calls(&path)[1..], *cut, "without {lacks} bytes");
        assert!(bytes() >= first, "a WAL keeps its room");
        assert_eq!((store.status().state, store.status().trouble), (State::Serving, None));
    }
    insert(&store, "d").unwrap();
    assert_eq!(after_a_crash(store, &path).1, "abd");
}

#[test]
fn full_at_commit_is_known_also_where_its_rest_stays_and_nothing_more_is_written() {
    for second in [Op::Truncate, Op::Sync] {
        let folder = tempfile::tempdir().unwrap();
        let (store, path) = new(&folder);
        inject(&path, Fault { lacks: 4000, ..Fault::new(Op::Write, On::Wal, ffi::SQLITE_FULL) });
        inject(&path, Fault::new(second, On::Wal, ffi::SQLITE_IOERR));
        assert_eq!(insert(&store, "c").unwrap_err().kind(), Kind::Full, "{second:?}");
        assert!(matches!(store.status().state, State::ReadOnly(_)), "{second:?}");
        assert_eq!(insert(&store, "d").unwrap_err().kind(), Kind::ReadOnly, "{second:?}");
        let (store, found) = after_a_crash(store, &path);
        assert_eq!(found, "ab", "{second:?}");
        insert(&store, "e").unwrap();
    }
}

/// Two failed commits over each other and a power cut: their two marks would look like an acknowledged commit that was lost.
#[test]
fn a_torn_commit_over_one_without_room_is_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = new(&folder);
    let wal = folder.path().join("S.db-wal");
    let before = std::fs::metadata(&wal).unwrap().len() as usize;
    inject(&path, Fault { lacks: 4000, ..Fault::new(Op::Write, On::Wal, ffi::SQLITE_FULL) });
    store.write_blocking(|tx| tx.execute("INSERT INTO big VALUES (zeroblob(40000))", [])).unwrap_err();
    inject(&path, failed_sync());
    inject(&path, Fault::new(Op::Truncate, On::Wal, ffi::SQLITE_IOERR_TRUNCATE));
    assert_eq!(insert(&store, "c").unwrap_err().kind(), Kind::OutcomeUnknown);
    store.abandon();
    heal(&path);
    let mut bytes = std::fs::read(&wal).unwrap();
    bytes[before + 500] ^= 1;
    std::fs::write(&wal, bytes).unwrap();
    let store = open_with(&path, config());
    assert_eq!(texts(&store), "ab");
}

/// The frames are written and synced when the wal-index has to grow: it maps 4,062 frames, then 4,096 at a time.
#[test]
fn a_wal_index_that_cannot_grow_undoes_a_commit_that_is_on_disk() {
    for (code, kind) in [
        (ffi::SQLITE_IOERR_SHMSIZE, Kind::Io),
        (ffi::SQLITE_IOERR_NOMEM, Kind::Overloaded),
        (ffi::SQLITE_NOMEM, Kind::Overloaded),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("S.db");
        let store = open_with(&path, Config { wal_soft_bytes: 1 << 30, ..config() });
        insert(&store, "a").unwrap();
        inject(&path, Fault::new(Op::ShmMap, On::Db, code));
        let error =
            store.write_blocking(|tx| tx.execute("INSERT INTO big VALUES (zeroblob(20000000))", [])).unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error}");
        assert_eq!(store.status().state, State::Serving, "{code}");
        insert(&store, "b").unwrap();
        store.write_blocking(|tx| tx.execute("INSERT INTO big VALUES (zeroblob(20000000))", [])).unwrap();
        let (store, found) = after_a_crash(store, &path);
        assert_eq!(found, "ab", "{code}");
        let big = store.read_blocking(|s| s.query_row("SELECT count(*) FROM big", [], |r| r.get::<_, i64>(0))).unwrap();
        assert_eq!(big, 1, "{code}");
    }
}

#[test]
fn the_first_commit_of_a_new_generation_is_cut_to_the_header() {
    for fault in
        [failed_sync(), Fault { skip: 1, ..failed_sync() }, Fault::new(Op::Write, On::Wal, ffi::SQLITE_IOERR_WRITE)]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("S.db");
        let store = open_with(&path, Config { wal_soft_bytes: 64 << 10, ..config() });
        insert(&store, "a").unwrap();
        // Until the WAL was copied whole and starts over with the next commit.
        while store.status().wal_bytes > 0 {
            store.write_blocking(|tx| tx.execute("INSERT INTO big VALUES (zeroblob(9000))", [])).unwrap();
        }
        inject(&path, fault);
        assert_eq!(insert(&store, "c").unwrap_err().kind(), Kind::Io);
        assert_eq!(std::fs::metadata(folder.path().join("S.db-wal")).unwrap().len(), 32);
        assert_eq!(texts(&store), "a");
        insert(&store, "d").unwrap();
        assert_eq!(after_a_crash(store, &path).1, "ad");
    }
}

#[test]
fn a_read_in_the_middle_sees_its_snapshot_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = new(&folder);
    let other = store.clone();
    let seen = store
        .read_blocking(move |s| {
            let first: i64 = s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))?;
            inject(&path, failed_sync());
            let failed = std::thread::scope(|scope| scope.spawn(|| insert(&other, "c")).join().unwrap());
            assert_eq!(failed.unwrap_err().kind(), Kind::Io);
            let big: i64 = s.query_row("SELECT count(*) FROM big", [], |r| r.get(0))?;
            let second: i64 = s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))?;
            Ok::<_, Error>((first, second, big))
        })
        .unwrap();
    assert_eq!(seen, (2, 2, 0));
}

#[test]
fn a_commit_that_failed_after_it_was_published_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = new(&folder);
    inject(&path, Fault::new(Op::Control(ffi::SQLITE_FCNTL_COMMIT_PHASETWO), On::Db, ffi::SQLITE_IOERR));
    let before = store.sequence();
    assert_eq!(insert(&store, "c").unwrap(), before + 1);
    assert_eq!((texts(&store).as_str(), store.sequence()), ("abc", before + 1));
    insert(&store, "d").unwrap();
    assert_eq!(after_a_crash(store, &path).1, "abcd");
}

#[test]
fn a_sequence_row_that_cannot_be_read_leaves_the_outcome_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = new(&folder);
    inject(&path, failed_sync());
    for on in [On::Wal, On::Db] {
        inject(&path, Fault { times: 1000, ..Fault::new(Op::Read, on, ffi::SQLITE_IOERR_READ) });
    }
    assert_eq!(insert(&store, "c").unwrap_err().kind(), Kind::OutcomeUnknown);
    heal(&path);
    assert!(matches!(store.status().state, State::ReadOnly(_)));
    assert_eq!(insert(&store, "d").unwrap_err().kind(), Kind::ReadOnly);
}

#[test]
fn a_failed_sync_of_a_checkpoint_keeps_the_wal_and_the_store_only_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open_with(&path, Config { wal_soft_bytes: 64 << 10, ..config() });
    inject(&path, Fault::new(Op::Sync, On::Db, ffi::SQLITE_IOERR_FSYNC));
    let mut written = 0;
    let error = loop {
        match store.write_blocking(|tx| tx.execute("INSERT INTO big VALUES (zeroblob(9000))", [])) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::ReadOnly);
    let count = |store: &Store| {
        store.read_blocking(|s| s.query_row("SELECT count(*) FROM big", [], |r| r.get::<_, i64>(0))).unwrap()
    };
    assert_eq!(count(&store), written, "reads go on");
    let (again, _) = after_a_crash(store, &path);
    assert_eq!(count(&again), written);
    insert(&again, "z").unwrap();
}

#[test]
fn a_stepwise_migration_goes_on_by_itself_once_there_is_room() {
    static GO: AtomicBool = AtomicBool::new(false);
    fn step(tx: &Tx<'_>, cursor: &mut Cursor) -> Result<Progress, Error> {
        while !GO.load(SeqCst) {
            std::thread::yield_now();
        }
        tx.execute("INSERT INTO t(v) VALUES ('s')", [])?;
        cursor.0 += 1;
        Ok(if cursor.0 == 5 { Progress::Done } else { Progress::More })
    }
    static STEPS: Stepwise = Stepwise { name: "2", step };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let steps = [Migration::Quick { name: "1", sql: SCHEMA }, Migration::Stepwise(&STEPS)];
    let store = Store::open(&path, config(), Migrations::new(steps)).unwrap();
    inject(&path, Fault { times: u32::MAX, ..Fault::new(Op::Write, On::Wal, ffi::SQLITE_FULL) });
    GO.store(true, SeqCst);
    let wait_until = |what: &str, holds: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < end, "{what}: {:?}", store.status());
            std::thread::yield_now();
        }
    };
    wait_until("it has not failed", &|| store.status().trouble.is_some_and(|why| why.contains("goes on")));
    heal(&path);
    wait_until("it does not go on", &|| texts(&store) == "sssss");
    assert_eq!(store.status().state, State::Serving);
}
