//! Another file under the store's name, or other bytes in its file, while it is open: noticed before the next commit.

#![allow(clippy::unwrap_used)]

mod faulty;

use faulty::{Fault, On, Op, inject};
use monolite_store::rusqlite::{Connection, ffi};
use monolite_store::{Config, Error, Kind, Migration, Migrations, Missed, State, Store, Why};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn config() -> Config {
    Config { scrub_period: Duration::ZERO, ..Config::default() }
}

fn open(path: &Path) -> Store {
    open_with(path, config())
}

fn open_with(path: &Path, config: Config) -> Store {
    let migrations = Migrations::new([Migration::Quick { name: "1", sql: "CREATE TABLE t(v BLOB) STRICT" }]);
    Store::open(path, config, migrations).unwrap()
}

fn write(store: &Store) -> Result<(), Error> {
    store.write_blocking(|tx| tx.execute("INSERT INTO t VALUES (zeroblob(3000))", []).map(drop))
}

fn read(store: &Store) -> Result<i64, Error> {
    store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get(0)))
}

/// Another database, of another store or of none.
fn other(folder: &Path, of_store: bool) -> PathBuf {
    let path = folder.join("other").join("O.db");
    std::fs::create_dir(folder.join("other")).unwrap();
    if of_store {
        let store = open(&path);
        (0..20).for_each(|_| write(&store).unwrap());
        store.close().unwrap();
    } else {
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(v); INSERT INTO t VALUES (1)").unwrap();
    }
    path
}

/// Everything is answered with the damage, nothing is written into the file that is there now, and the WAL lies aside.
fn assert_quarantined(store: Store, path: &Path, now: &[u8]) {
    for refused in [write(&store).unwrap_err(), read(&store).unwrap_err()] {
        assert_eq!(refused.kind(), Kind::Corrupt, "{refused}");
        assert!(refused.to_string().contains("is not the file that was opened"), "{refused}");
    }
    assert!(matches!(store.status().state, State::Damaged(why) if why.contains("-wal.replaced")));
    let mut follower = store.follow();
    if let Ok(follower) = &mut follower {
        assert!(matches!(follower.next(None, u64::MAX), Err(Missed::Gap(gap)) if gap.why == Why::Replaced));
        assert!(follower.reader().read(1, 1, &mut Vec::new()).is_err());
    }
    drop(follower);
    store.close().unwrap();
    assert!(std::fs::read(path).unwrap() == now, "nothing was written into it");
    assert!(path.with_file_name("S.db-wal.replaced").exists());
    assert!(!path.with_file_name("S.db-wal").exists(), "the next opening would lay it over the file");
}

#[test]
fn another_file_or_other_bytes_under_the_name_are_noticed_before_the_next_commit() {
    for of_store in [false, true] {
        for moved in [false, true] {
            // With and without a checkpoint before: the file may not have been written at all.
            for copied in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("S.db");
                let mut store = open(&path);
                (0..20).for_each(|_| write(&store).unwrap());
                if copied {
                    store.close().unwrap();
                    store = open(&path);
                    write(&store).unwrap();
                }
                let last = store.sequence();
                assert!(read(&store).unwrap() >= 20);
                let other = other(folder.path(), of_store);
                let now = std::fs::read(&other).unwrap();
                if moved {
                    std::fs::rename(&other, &path).unwrap();
                } else {
                    std::fs::copy(&other, &path).unwrap();
                }
                let refused = write(&store).unwrap_err();
                assert_eq!(refused.kind(), Kind::Corrupt, "{refused}");
                assert_eq!(store.sequence(), last, "store {of_store} moved {moved} copied {copied}");
                assert_quarantined(store, &path, &now);
                let again = Store::open(&path, config(), Migrations::new([])).map(drop);
                assert!(again.is_err(), "the mark knows what was acknowledged");
            }
        }
    }
}

#[test]
fn an_older_copy_over_the_file_is_noticed_and_a_file_that_is_gone_too() {
    for gone in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("S.db");
        let store = open(&path);
        (0..10).for_each(|_| write(&store).unwrap());
        store.close().unwrap();
        let older = std::fs::read(&path).unwrap();
        let store = open(&path);
        (0..50).for_each(|_| write(&store).unwrap());
        store.close().unwrap();
        let store = open(&path);
        write(&store).unwrap();
        if gone {
            std::fs::remove_file(&path).unwrap()
        } else {
            std::fs::write(&path, &older).unwrap()
        }
        assert_eq!(write(&store).unwrap_err().kind(), Kind::Corrupt);
        if gone {
            drop(store);
            assert!(!path.exists(), "it is not made anew");
        } else {
            assert_quarantined(store, &path, &older);
        }
    }
}

#[test]
fn a_server_that_stops_copies_nothing_into_a_file_that_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path);
    (0..5).for_each(|_| write(&store).unwrap());
    let now = std::fs::read(other(folder.path(), true)).unwrap();
    std::fs::write(&path, &now).unwrap();
    store.close().unwrap();
    assert!(std::fs::read(&path).unwrap() == now);
    assert!(path.with_file_name("S.db-wal.replaced").exists());
}

#[test]
fn what_other_programs_may_do_beside_the_store_is_no_replacement() {
    // With the store's own checkpoints in between, and without.
    for wal_soft_bytes in [64 << 10, 1 << 30] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("S.db");
        let store = open_with(&path, Config { wal_soft_bytes, ..config() });
        store.follow().unwrap().let_go();
        let sqlite3 = Connection::open(&path).unwrap();
        let checkpoint = || sqlite3.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |r| r.get::<_, i64>(2)).unwrap();
        let mut copied = 0;
        for _ in 0..4 {
            (0..60).for_each(|_| write(&store).unwrap());
            copied += checkpoint();
            write(&store).unwrap();
            // It moves all pages to other places, in the WAL first and then in the file.
            sqlite3.execute_batch("PRAGMA wal_autocheckpoint=0; DELETE FROM t WHERE rowid % 3 = 0; VACUUM").unwrap();
            write(&store).unwrap();
            copied += checkpoint();
            write(&store).unwrap();
        }
        assert!(copied > 0);
        assert_eq!(store.status().state, State::Serving);
        drop(sqlite3);
        store.close().unwrap();
    }
}

#[test]
fn a_first_page_that_a_crash_left_to_the_wal_is_no_replacement() {
    let halfway_into_wal_mode = |file: &mut Vec<u8>| file[18..20].copy_from_slice(&[1, 1]);
    let torn = |file: &mut Vec<u8>| file[..512].fill(0xA5);
    for crash in [&halfway_into_wal_mode as &dyn Fn(&mut Vec<u8>), &torn] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("S.db");
        let store = open(&path);
        (0..20).for_each(|_| write(&store).unwrap());
        store.abandon();
        let mut file = std::fs::read(&path).unwrap();
        crash(&mut file);
        std::fs::write(&path, &file).unwrap();
        let store = open(&path);
        // What a reader holds back is copied later: the first page and the row, which change with each of these commits.
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
        (0..20).for_each(|_| write(&store).unwrap());
        let sqlite3 = Connection::open(&path).unwrap();
        let copied = sqlite3.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |r| r.get::<_, i64>(2)).unwrap();
        assert!(copied > 0);
        let now = std::fs::read(&path).unwrap();
        assert!(now.len() > file.len() && now[..512] == file[..512], "pages were copied, and not the first one");
        write(&store).unwrap();
        reader.execute_batch("COMMIT").unwrap();
        drop((reader, sqlite3));
        assert_eq!(store.status().state, State::Serving);
        store.close().unwrap();
        assert_eq!(read(&open(&path)).unwrap(), 41);
    }
}

/// The new half of a page says where its row is, and the old one has it elsewhere: the commit's number takes a byte more.
#[test]
fn a_page_of_which_a_checkpoint_wrote_half_is_no_replacement() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let config = Config { vfs: faulty::config().vfs, wal_soft_bytes: 1 << 20, ..config() };
    let store = open_with(&path, config.clone());
    (0..110).for_each(|_| write(&store).unwrap());
    store.close().unwrap();
    let store = open_with(&path, config);
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = '_monolite'";
    let root: u32 = Connection::open(&path).unwrap().query_row(root, [], |r| r.get(0)).unwrap();
    let pages_before = root - 1;
    assert!(store.sequence() < 128);
    (0..20).for_each(|_| write(&store).unwrap());
    assert!(store.sequence() >= 128);
    inject(&path, Fault { skip: pages_before, lacks: 2048, ..Fault::new(Op::Write, On::Db, ffi::SQLITE_FULL) });
    let (mut failed, end) = (false, Instant::now() + Duration::from_secs(120));
    while !(failed && store.status().wal_bytes < 1 << 20) {
        assert!(Instant::now() < end, "{:?}", store.status());
        write(&store).unwrap();
        failed |= store.status().trouble.is_some_and(|trouble| trouble.contains("a checkpoint failed"));
    }
    assert_eq!(store.status().state, State::Serving);
    store.close().unwrap();
    assert!(read(&open(&path)).unwrap() > 128);
}

#[test]
fn the_wal_that_was_put_aside_before_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path);
    let before = path.with_file_name("S.db-wal.replaced");
    std::fs::write(&before, "of an earlier time").unwrap();
    (0..5).for_each(|_| write(&store).unwrap());
    std::fs::remove_file(&path).unwrap();
    let refused = write(&store).unwrap_err();
    assert!(refused.to_string().contains("S.db-wal.replaced.2"), "{refused}");
    assert_eq!(std::fs::read(&before).unwrap(), b"of an earlier time");
    assert!(std::fs::metadata(path.with_file_name("S.db-wal.replaced.2")).unwrap().len() > 5 * 4096);
}

#[test]
fn bytes_that_another_program_copied_in_are_noticed_also_while_checkpoints_fail() {
    for of_store in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("S.db");
        let config = Config { vfs: faulty::config().vfs, wal_soft_bytes: 1 << 20, ..config() };
        let store = open_with(&path, config);
        inject(&path, Fault { times: u32::MAX, lacks: 2048, ..Fault::new(Op::Write, On::Db, ffi::SQLITE_FULL) });
        let end = Instant::now() + Duration::from_secs(120);
        while !store.status().trouble.is_some_and(|trouble| trouble.contains("a checkpoint failed")) {
            assert!(Instant::now() < end, "{:?}", store.status());
            write(&store).unwrap();
        }
        let now = std::fs::read(other(folder.path(), of_store)).unwrap();
        std::fs::write(&path, &now).unwrap();
        faulty::heal(&path);
        let refused = loop {
            match write(&store) {
                Ok(()) => assert!(Instant::now() < end, "{:?}", store.status()),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.kind(), Kind::Corrupt, "{refused}");
        assert_quarantined(store, &path, &now);
    }
}
