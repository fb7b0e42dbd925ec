//! What opening a bad file or place gets: a kind, words that say what to do next, and nothing changed.

use monolite_store::{Config, Error, Kind, Migration, Migrations, Store};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn open(path: &Path) -> Result<Store, Error> {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT";
    Store::open(path, Config::default(), Migrations::new(vec![Migration::Quick { name: "0001", sql }]))
}

fn refused(path: &Path, kind: Kind, words: &str) {
    let e = open(path).err().expect("refused");
    assert_eq!(e.kind(), kind, "{e}");
    assert!(e.to_string().contains(words) && e.to_string().contains(&*path.to_string_lossy()), "{e}");
}

fn rows(store: &Store) -> i64 {
    store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))).expect("reads")
}

/// A store that was killed with `n` commits in its WAL.
fn killed(folder: &Path, n: usize) -> PathBuf {
    let path = folder.join("S/S.db");
    let store = open(&path).expect("opens");
    for _ in 0..n {
        store.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES (hex(randomblob(100)))", [])).expect("writes");
    }
    store.abandon();
    path
}

fn wal(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", path.display()))
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("reads");
    bytes[at] ^= 0x10;
    fs::write(path, bytes).expect("writes");
}

#[test]
fn what_lies_in_the_wal_counts_from_the_opening_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S/S.db");
    let header = 32;
    let frames = || fs::metadata(wal(&path)).unwrap().len() - header;
    let store = open(&path).unwrap();
    let migrated = store.status().wal_bytes;
    assert_eq!(migrated, frames(), "the migration lies in it");
    assert!(migrated > 0);
    store.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES ('x')", [])).unwrap();
    let written = store.status().wal_bytes;
    store.abandon();
    let store = open(&path).unwrap();
    assert_eq!((store.status().wal_bytes, frames()), (written, written), "nothing was written since");
}

#[test]
fn folder_and_files_are_their_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/S/S.db");
    let store = open(&path).unwrap();
    store.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES ('x')", [])).unwrap();
    rows(&store);
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let files: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 5, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn file_that_is_no_database_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    fs::write(&path, b"{\"not\": \"a database\"}\n").unwrap();
    refused(&path, Kind::Corrupt, "not a SQLite database");
    assert_eq!(fs::read(&path).unwrap(), b"{\"not\": \"a database\"}\n");
    assert!(!wal(&path).exists());
}

#[test]
fn links_and_folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(&folder.path().join("real.db")).unwrap().close().unwrap();
    symlink("real.db", folder.path().join("link.db")).unwrap();
    refused(&folder.path().join("link.db"), Kind::Unsupported, "symbolic link");
    fs::create_dir(folder.path().join("folder.db")).unwrap();
    refused(&folder.path().join("folder.db"), Kind::Unsupported, "not an ordinary file");
}

#[test]
fn flipped_bit_in_the_wal_is_never_a_silent_loss() {
    let folder = tempfile::tempdir().unwrap();
    let path = killed(folder.path(), 50);
    let bytes = fs::metadata(wal(&path)).unwrap().len() as usize;
    for at in [100, bytes / 2, bytes - 3 * 8240] {
        flip(&wal(&path), at);
        refused(&path, Kind::Corrupt, "acknowledged");
        flip(&wal(&path), at);
    }
    let store = open(&path).unwrap();
    assert_eq!(rows(&store), 50);
}

#[test]
fn torn_end_of_the_wal_opens_without_the_group_that_nobody_was_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = killed(folder.path(), 50);
    let bytes = fs::metadata(wal(&path)).unwrap().len();
    fs::File::options().write(true).open(wal(&path)).unwrap().set_len(bytes - 1000).unwrap();
    let store = open(&path).unwrap();
    assert_eq!(rows(&store), 49);
    store.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES ('x')", [])).unwrap();
    store.abandon();
    assert_eq!(rows(&open(&path).unwrap()), 50);
}

#[test]
fn damaged_database_that_opens_is_told_by_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = killed(folder.path(), 400);
    open(&path).unwrap().close().unwrap();
    fs::remove_file(wal(&path)).unwrap(); // a closed store's file is whole without it
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 4096;
    bytes[last..last + 200].fill(0xee);
    fs::write(&path, bytes).unwrap();
    let store = open(&path).unwrap();
    assert!(!store.check().unwrap().problems.is_empty());
    let target = folder.path().join("copy.db");
    assert_eq!(store.copy_to(&target, &mut |_, _| {}).unwrap_err().kind(), Kind::Corrupt);
    assert!(!target.exists());
}

/// `cargo test --release -p monolite-store --test open -- --ignored --nocapture`
#[test]
#[ignore = "a measurement: writes 2 GiB"]
fn time_of_a_start_with_a_wal_of_a_gibibyte() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = folder.path().join("S.db");
    let store = Store::open(
        &path,
        Config { wal_soft_bytes: 4 << 30, wal_hard_bytes: 8 << 30, ..Config::default() },
        Migrations::new(vec![Migration::Quick {
            name: "0001",
            sql: "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT",
        }]),
    )
    .unwrap();
    while fs::metadata(wal(&path)).unwrap().len() < 1 << 30 {
        store
            .write_blocking(|tx| {
                for _ in 0..64 {
                    tx.execute("INSERT INTO t(v) VALUES (hex(zeroblob(100000)))", [])?;
                }
                Ok::<_, Error>(())
            })
            .unwrap();
    }
    store.abandon();
    let began = Instant::now();
    let store = open(&path).unwrap();
    let took = began.elapsed();
    println!("opened in {took:?} with a WAL of {} MiB", fs::metadata(wal(&path)).unwrap().len() >> 20);
    let began = Instant::now();
    assert!(rows(&store) > 0);
    println!("first read in {:?}", began.elapsed());
    assert!(took < Duration::from_secs(10));
}

#[test]
fn first_page_that_a_cut_checkpoint_damaged_comes_from_the_wal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let store = Store::open(&path, Config::default(), Migrations::new([])).unwrap();
    store.abandon();
    let wal = path.with_file_name("S.db-wal");
    assert!(std::fs::metadata(&wal).unwrap().len() > 0, "the first commits are in the WAL");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..512].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    let store = Store::open(&path, Config::default(), Migrations::new([])).unwrap();
    assert!(store.check().unwrap().problems.is_empty());
}
