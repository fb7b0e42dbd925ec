//! What is sound is not called damaged or gone, and what was not copied is not called copied: beside other programs, after
//! crashes, and where the system cannot be asked.

#![allow(clippy::unwrap_used)]

mod common;

use common::{beside, unsound, wait_until};
use monolite_store::rusqlite::Connection;
use monolite_store::{Config, Cursor, Error, Kind, Migration, Migrations, Progress, State, Stepwise, Store, Tx};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const PAGE: usize = 4096;

fn config() -> Config {
    Config { scrub_period: Duration::ZERO, ..Config::default() }
}

/// Looked at all the time, by checkpoints that begin early.
fn scrubbed() -> Config {
    Config { scrub_period: Duration::from_millis(20), wal_soft_bytes: 64 << 10, ..Config::default() }
}

fn open(path: &Path, config: Config) -> Store {
    let migrations = Migrations::new([Migration::Quick { name: "1", sql: "CREATE TABLE t(v BLOB) STRICT" }]);
    Store::open(path, config, migrations).unwrap()
}

/// Each makes the file larger, and so changes its first page.
fn write(store: &Store, times: usize) -> Result<(), Error> {
    (0..times).try_for_each(|_| {
        store.write_blocking(|tx| tx.execute("INSERT INTO t VALUES (randomblob(3000))", []).map(drop))
    })
}

fn rows(store: &Store) -> i64 {
    store.read_blocking::<_, Error, _>(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))).unwrap()
}

fn wait_for_a_mark_that_trusts_sums(store: &Store) {
    wait_until(store, "the mark", |s| fs::read_to_string(beside(s.path(), ".mark")).unwrap().contains(" k "));
}

/// Another program in a read.
fn reading(path: &Path) -> Connection {
    let reader = Connection::open(path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    reader
}

#[test]
fn a_store_that_closes_beside_another_checkpoint_does_not_say_that_all_is_copied() {
    static WAITS: AtomicBool = AtomicBool::new(false);
    static GO: AtomicBool = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path, config());
    write(&store, 5).unwrap();
    let reader = reading(&path);
    write(&store, 5).unwrap();
    let other = std::thread::spawn({
        let path = path.clone();
        move || {
            let mut sqlite3 = Connection::open(&path).unwrap();
            // With SQLite's checkpoint lock it waits for the reader.
            sqlite3
                .busy_handler(Some(|_| {
                    WAITS.store(true, SeqCst);
                    std::thread::yield_now();
                    !GO.load(SeqCst)
                }))
                .unwrap();
            let _ = sqlite3.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(()));
        }
    });
    while !WAITS.load(SeqCst) {
        std::thread::yield_now();
    }
    let closed = store.close().map_err(|e| e.kind());
    GO.store(true, SeqCst);
    other.join().unwrap();
    assert_eq!(closed, Err(Kind::Io), "the file alone has five of ten rows at most");
    assert!(!fs::read_to_string(beside(&path, ".mark")).unwrap().contains(" w "), "nor are its sums known to be whole");
    drop(reader);
    assert_eq!(rows(&open(&path, config())), 10);
}

#[test]
fn pages_that_were_copied_before_a_torn_first_page_have_their_sums() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path, config());
    write(&store, 40).unwrap();
    wait_for_a_mark_that_trusts_sums(&store);
    store.abandon();
    let mut file = fs::read(&path).unwrap();
    file[..512].fill(0xA5);
    fs::write(&path, &file).unwrap();
    let marked = fs::metadata(beside(&path, ".mark")).unwrap().modified().unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(marked).unwrap();
    let store = open(&path, Config { wal_soft_bytes: 64 << 10, ..config() });
    // What it has seen is copied, but for the first page, which changes with each of these commits.
    let reader = reading(&path);
    write(&store, 20).unwrap();
    wait_until(&store, "nothing is copied", |s| fs::metadata(s.path()).unwrap().len() > 40 * PAGE as u64);
    assert_eq!(fs::read(&path).unwrap()[..512], file[..512], "the first page is not");
    drop(reader);
    write(&store, 20).unwrap();
    store.close().unwrap();
    assert_eq!(unsound(&path), [0; 0]);
    let store = open(&path, scrubbed());
    wait_until(&store, "no pass", |s| s.status().scrub_passes > 0 || s.status().state != State::Serving);
    assert_eq!((store.status().state, rows(&store)), (State::Serving, 80));
}

#[test]
fn a_file_that_sqlite3_opened_right_after_a_kill_is_not_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path, scrubbed());
    write(&store, 100).unwrap();
    wait_for_a_mark_that_trusts_sums(&store);
    write(&store, 5).unwrap();
    store.abandon();
    // The last connection copies the WAL at its end, and removes it.
    let sqlite3 = Connection::open(&path).unwrap();
    assert_eq!(sqlite3.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0)).unwrap(), 105);
    drop(sqlite3);
    assert!(!beside(&path, "-wal").exists() && !unsound(&path).is_empty(), "it knows no sums");
    let marked = fs::metadata(beside(&path, ".mark")).unwrap().modified().unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(marked).unwrap(); // within the same second
    let store = open(&path, scrubbed());
    wait_until(&store, "no pass", |s| s.status().scrub_passes > 0 || s.status().state != State::Serving);
    assert_eq!(store.status().state, State::Serving);
    assert_eq!(unsound(&path), [0; 0], "it has given them");
}

/// A WAL that begins with a torn group is cut to nothing but its header, and says that no other program was there since.
#[test]
fn damage_behind_a_wal_that_was_cut_whole_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = open(&path, Config { wal_soft_bytes: 64 << 10, ..config() });
    write(&store, 40).unwrap();
    while store.status().wal_bytes > 0 {
        write(&store, 1).unwrap();
        let end = Instant::now() + Duration::from_millis(50);
        while store.status().wal_bytes > 64 << 10 && Instant::now() < end {
            std::thread::yield_now();
        }
    }
    let mark = || fs::read_to_string(beside(&path, ".mark")).unwrap();
    wait_until(&store, "the mark", |s| mark().contains(&format!("{:020} ", s.sequence())) && mark().contains(" k "));
    let (before, left) = (mark(), rows(&store));
    write(&store, 1).unwrap();
    store.abandon();
    // The power went in the middle of that group, before anybody was told of it.
    let wal = File::options().write(true).open(beside(&path, "-wal")).unwrap();
    wal.write_all_at(&[0xA5; 16], 32 + 24 + 1000).unwrap();
    fs::write(beside(&path, ".mark"), before).unwrap();
    let store = open(&path, config());
    assert_eq!(rows(&store), left);
    store.abandon();
    assert_eq!(fs::metadata(beside(&path, "-wal")).unwrap().len(), 32, "nothing but the header is left");
    let pages = fs::metadata(&path).unwrap().len() as usize / PAGE;
    let file = File::options().write(true).open(&path).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(b"it changed on the disk", ((pages - 2) * PAGE + 500) as u64).unwrap();
    file.set_modified(written).unwrap();
    let store = open(&path, scrubbed());
    wait_until(&store, "no pass", |s| s.status().scrub_passes > 0 || s.status().state != State::Serving);
    assert!(matches!(store.status().state, State::Damaged(_)), "{:?}", store.status());
}

#[test]
fn a_file_whose_name_cannot_be_looked_up_for_a_while_is_not_taken_for_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (real, way) = (folder.path().join("real"), folder.path().join("way"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &way).unwrap();
    let store = open(&way.join("S.db"), config());
    write(&store, 5).unwrap();
    assert_eq!(rows(&store), 5);
    fs::remove_file(&way).unwrap();
    symlink(&way, &way).unwrap(); // a name that leads to itself
    let refused = write(&store, 1).unwrap_err();
    assert_eq!(refused.kind(), Kind::Io, "{refused}");
    assert!(refused.to_string().contains("nothing was done"), "{refused}");
    assert_eq!((store.status().state, rows(&store)), (State::Serving, 5));
    fs::remove_file(&way).unwrap();
    symlink(&real, &way).unwrap();
    write(&store, 1).unwrap();
    assert_eq!(rows(&store), 6);
    store.close().unwrap();
    assert!(!real.join("S.db-wal.replaced").exists());
}

#[test]
fn a_stepwise_migration_goes_on_once_its_file_can_be_looked_up_again() {
    static GO: AtomicBool = AtomicBool::new(false);
    fn step(tx: &Tx<'_>, cursor: &mut Cursor) -> Result<Progress, Error> {
        while !GO.load(SeqCst) {
            std::thread::yield_now();
        }
        tx.execute("INSERT INTO t VALUES (zeroblob(10))", [])?;
        cursor.0 += 1;
        Ok(if cursor.0 == 5 { Progress::Done } else { Progress::More })
    }
    static STEPS: Stepwise = Stepwise { name: "2", step };
    let folder = tempfile::tempdir().unwrap();
    let (real, way) = (folder.path().join("real"), folder.path().join("way"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &way).unwrap();
    let first = Migration::Quick { name: "1", sql: "CREATE TABLE t(v BLOB) STRICT" };
    let steps = Migrations::new([first, Migration::Stepwise(&STEPS)]);
    let store = Store::open(way.join("S.db"), config(), steps).unwrap();
    assert_eq!(rows(&store), 0);
    fs::remove_file(&way).unwrap();
    symlink(&way, &way).unwrap(); // a name that leads to itself
    GO.store(true, SeqCst);
    wait_until(&store, "it has not failed", |s| s.status().trouble.is_some_and(|why| why.contains("goes on")));
    fs::remove_file(&way).unwrap();
    symlink(&real, &way).unwrap();
    wait_until(&store, "it does not go on", |s| rows(s) == 5);
    assert_eq!((store.status().state, store.status().trouble), (State::Serving, None));
}

#[test]
fn a_relative_name_means_the_folder_in_which_the_store_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let before = std::env::current_dir().unwrap();
    std::env::set_current_dir(folder.path()).unwrap(); // the other tests here name nothing relatively
    let store = open(Path::new("S/S.db"), config());
    std::env::set_current_dir(before).unwrap();
    write(&store, 5).unwrap();
    assert_eq!((store.status().state.clone(), rows(&store)), (State::Serving, 5));
    assert_eq!(store.path(), folder.path().join("S/S.db"));
    store.close().unwrap();
    assert!(folder.path().join("S/S.db.mark").exists());
}
