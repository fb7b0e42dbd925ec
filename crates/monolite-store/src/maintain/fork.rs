//! Another history for a file that goes on from an older state: after a rewind, from a copy.
//!
//! The fork is one commit of its own in a file that nobody has open. Its number is above all that anybody has seen of the
//! file whose place it takes, so a sequence never goes back under one name: `Monolite-At-Least`, kept epochs and cursors
//! by sequence stay right. What happened is kept in the file, in `_monolite_forks`.
//!
//! **Invariants**
//! - All or nothing: a crash leaves the file of the old history or of the new one.
//! - The WAL is copied into the file and removed: what is left is one file, synced.
//!
//! Never here: which file lies where.

use crate::error::{Error, Kind, Result};
use crate::lock::FileLock;
use crate::mark;
use crate::place;
use crate::sqlite::version;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};
use std::fs::File;
use std::path::Path;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS _monolite_forks (
    sequence INTEGER PRIMARY KEY,
    history_id BLOB NOT NULL,
    from_history_id BLOB NOT NULL,
    from_sequence INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT";

/// A new history of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// Its id.
    pub history: [u8; 16],
    /// The commit that begins it.
    pub sequence: u64,
    /// The history that it leaves.
    pub from: [u8; 16],
    /// The last commit that both have.
    pub from_sequence: u64,
}

/// Begins a new history in a file that no store has open, with a commit above this one. `at_ms` is the moment, in unix
/// milliseconds.
///
/// # Errors
/// [`Kind::Busy`] where a store has the file, [`Kind::Corrupt`] where it is no store's file, [`Kind::Io`], [`Kind::Full`].
pub fn fork(path: &Path, above: u64, at_ms: i64) -> Result<Fork> {
    version::check()?;
    let _lock = FileLock::acquire(path)?;
    let sqlite = open(path)?;
    let Some(from) = mark::known(&sqlite)? else {
        return Err(Error::new(Kind::Corrupt, format!("{} has no commits of a store", path.display())));
    };
    // The mark names the history that ends here; a file without one is opened.
    match std::fs::remove_file(place::beside(path, ".mark")) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io(format!("cannot remove the mark of {}", path.display()), e));
        }
        _ => place::sync_folder(place::folder_of(path))?,
    }
    let sequence = above.max(from.sequence) + 1;
    let history = write(&sqlite, &from, sequence, at_ms)?;
    copy_wal(&sqlite, path)?;
    drop(sqlite);
    remove_wal(path)?;
    Ok(Fork { history, sequence, from: from.history, from_sequence: from.sequence })
}

/// Where a file began other histories: the last commit of each that it left, and the one that begins the next.
pub(crate) fn forks(sqlite: &Connection) -> Result<Vec<(u64, u64)>> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_monolite_forks'";
    if sqlite.query_row(sql, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(Vec::new());
    }
    let mut forks = sqlite.prepare("SELECT from_sequence, sequence FROM _monolite_forks")?;
    let forks = forks.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))?;
    Ok(forks.collect::<Result<_, _>>()?)
}

fn open(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sqlite = Connection::open_with_flags(path, flags)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    sqlite.execute_batch("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA mmap_size=0;")?;
    Ok(sqlite)
}

fn write(sqlite: &Connection, from: &mark::Mark, sequence: u64, at_ms: i64) -> Result<[u8; 16]> {
    let mut history = [0; 16];
    random(sqlite, &mut history)?;
    sqlite.execute_batch("BEGIN IMMEDIATE")?;
    let written = (|| -> Result<()> {
        sqlite.execute(TABLE, [])?;
        let row = params![sequence as i64, history, from.history, from.sequence as i64, at_ms];
        sqlite.execute("INSERT INTO _monolite_forks VALUES (?1, ?2, ?3, ?4, ?5)", row)?;
        let set = "UPDATE _monolite SET history_id = ?1, sequence = ?2, writer_epoch = writer_epoch + 1 WHERE id = 1";
        sqlite.execute(set, params![history, sequence as i64])?;
        sqlite.execute_batch("COMMIT")?;
        Ok(())
    })();
    if written.is_err() {
        let _ = sqlite.execute_batch("ROLLBACK"); // the file is closed next, without it
    }
    written.map(|()| history)
}

/// SQLite's own random numbers, as for a new file.
fn random(sqlite: &Connection, id: &mut [u8; 16]) -> Result<()> {
    let bytes: Vec<u8> = sqlite.query_row("SELECT randomblob(16)", [], |row| row.get(0))?;
    id.copy_from_slice(&bytes);
    Ok(())
}

fn copy_wal(sqlite: &Connection, path: &Path) -> Result<()> {
    let busy: i64 = sqlite.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        let text = format!("{} is read by another program; end that, and try again", path.display());
        return Err(Error::new(Kind::Busy, text));
    }
    Ok(())
}

/// What an empty WAL leaves would be taken for another file's where this one is moved.
fn remove_wal(path: &Path) -> Result<()> {
    for suffix in ["-wal", "-shm"] {
        let name = place::beside(path, suffix);
        match std::fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("cannot remove {}", name.display()), e));
            }
            _ => {}
        }
    }
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|e| Error::io(format!("cannot sync {}", path.display()), e))?;
    place::sync_folder(place::folder_of(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Migration, Migrations, Store};

    fn migrations() -> Migrations {
        Migrations::new([Migration::Quick { name: "1", sql: "CREATE TABLE t(v INTEGER) STRICT" }])
    }

    fn count(store: &Store) -> i64 {
        store.read_blocking::<_, Error, _>(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))).unwrap()
    }

    #[test]
    fn a_fork_keeps_the_rows_and_goes_on_above_every_number_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("S.db");
        let store = Store::open(&path, Config::default(), migrations()).unwrap();
        for _ in 0..3 {
            store.write_blocking::<_, Error, _>(|tx| tx.execute("INSERT INTO t VALUES (1)", [])).unwrap();
        }
        let (before, last) = (store.history(), store.sequence());
        assert_eq!(store.fork_id(), None);
        assert_eq!(fork(&path, 0, 0).unwrap_err().kind(), Kind::Busy);
        store.close().unwrap();
        let fork = fork(&path, 100, 7).unwrap();
        assert_eq!((fork.sequence, fork.from_sequence, fork.from), (101, last, before));
        assert!(!place::beside(&path, "-wal").exists());
        let store = Store::open(&path, Config::default(), migrations()).unwrap();
        assert_eq!((store.history(), store.sequence(), count(&store)), (fork.history, 101, 3));
        assert_ne!(fork.history, before);
        assert_eq!(store.fork_id(), Some(fork.history));
        store.write_blocking::<_, Error, _>(|tx| tx.execute("INSERT INTO t VALUES (1)", [])).unwrap();
        assert_eq!(store.sequence(), 102);
        store.close().unwrap();
        assert_eq!(super::fork(&path, 5, 8).unwrap().sequence, 103, "never below its own");
    }

    #[test]
    fn what_comes_after_a_store_was_set_aside_is_to_be_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("S.db");
        let store = Store::open(&path, Config::default(), migrations()).unwrap();
        store.clone().set_aside().unwrap();
        let absent = Store::absent(&path, Config::default());
        for store in [store, absent] {
            let read = store.read_blocking::<i64, Error, _>(|s| s.query_row("SELECT 1", [], |r| r.get(0)));
            let wrote = store.write_blocking::<_, Error, _>(|tx| tx.execute("INSERT INTO t VALUES (1)", []));
            for error in [read.unwrap_err(), wrote.unwrap_err()] {
                assert_eq!(error.kind(), Kind::Busy);
                assert!(error.retry_after().is_some(), "{error}");
            }
        }
    }
}
