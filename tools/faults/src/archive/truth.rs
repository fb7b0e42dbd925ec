//! What the rows of the store's file are after each write: a function of the seed and the write's number alone.
//!
//! So a file says by its own counter which state it should be, and the truth needs no log of what was done.

use crate::random::mix;
use anyhow::{Context, Result, ensure};
use monolite_store::rusqlite::{Connection, OpenFlags};
use monolite_store::{Error, Migration, Migrations, Store, Tx};
use std::collections::BTreeMap;
use std::path::Path;

const SCHEMA: &str = "CREATE TABLE done(id INTEGER PRIMARY KEY CHECK(id = 1), write INTEGER NOT NULL) STRICT;
    INSERT INTO done VALUES (1, 0);
    CREATE TABLE t(n INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT; CREATE INDEX t_v ON t(length(v), n);";
const DONE: &str = "SELECT write FROM done";

/// Rows by number: length and byte.
type Rows = BTreeMap<i64, (usize, u8)>;

pub(super) fn migrations() -> Migrations {
    Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }])
}

/// Whether the file of a seed is so large that a base copy is made in pieces.
pub(super) fn is_large(seed: u64) -> bool {
    seed % 4 == 2
}

/// Three pieces and a note of how far the copy is.
const LARGE: usize = 26 << 20;

/// One change of the rows.
enum Act {
    Insert(usize, u8),
    Delete(i64),
    Shrink(i64, u8),
    Cut,
}

fn act(seed: u64, write: u64) -> Act {
    if write == 1 && is_large(seed) {
        return Act::Insert(LARGE, 7);
    }
    let r = mix(seed ^ mix(write));
    let (kind, n, byte) = (r % 16, (r >> 8) % 2_000, (r >> 40) as u8);
    match kind {
        0..=8 => Act::Insert(n as usize, byte),
        9 | 10 => Act::Insert(20_000 + n as usize * 20, byte),
        11 | 12 => Act::Delete((n % 7) as i64),
        13 | 14 => Act::Shrink((n % 11) as i64, byte),
        _ => Act::Cut,
    }
}

/// Does a write to a store; answers its commit.
pub(super) fn write(store: &Store, seed: u64, write: u64) -> Result<u64, Error> {
    let number = write as i64;
    let change = move |tx: &Tx<'_>| {
        match act(seed, write) {
            Act::Insert(length, byte) => tx.execute("INSERT INTO t VALUES (?1, ?2)", (number, vec![byte; length]))?,
            Act::Delete(rest) => tx.execute("DELETE FROM t WHERE n % 7 = ?1", [rest])?,
            Act::Shrink(rest, byte) => tx.execute("UPDATE t SET v = ?2 WHERE n % 11 = ?1", (rest, vec![byte; 30]))?,
            Act::Cut => tx.execute("DELETE FROM t WHERE n < ?1", [number - 40])?,
        };
        tx.execute("UPDATE done SET write = ?1", [number])
    };
    Ok(store.write_blocking_with(monolite_store::Ticket::label("rig"), change)?.sequence)
}

/// The last write that is in a store.
pub(super) fn done(store: &Store) -> Result<u64, Error> {
    store.read_blocking(|s| s.query_row(DONE, [], |row| row.get::<_, i64>(0))).map(|n| n as u64)
}

/// The rows after each write, up to one.
pub(super) struct Truth {
    seed: u64,
    states: Vec<Rows>,
}

impl Truth {
    pub(super) fn new(seed: u64) -> Truth {
        Truth { seed, states: vec![Rows::new()] }
    }

    fn after(&mut self, write: u64) -> &Rows {
        while self.states.len() as u64 <= write {
            let number = self.states.len() as u64;
            let mut rows = self.states.last().cloned().unwrap_or_default();
            match act(self.seed, number) {
                Act::Insert(length, byte) => drop(rows.insert(number as i64, (length, byte))),
                Act::Delete(rest) => rows.retain(|n, _| n % 7 != rest),
                Act::Shrink(rest, byte) => {
                    rows.iter_mut().filter(|(n, _)| **n % 11 == rest).for_each(|(_, row)| *row = (30, byte));
                }
                Act::Cut => rows.retain(|n, _| *n >= number as i64 - 40),
            }
            self.states.push(rows);
        }
        &self.states[write as usize]
    }

    /// Looks at a file that no store has open: it has to be whole, and the state after some write. Answers which.
    pub(super) fn judge(&mut self, file: &Path) -> Result<u64> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(file, flags)?;
        let write: i64 = db.query_row(DONE, [], |row| row.get(0)).context("the counter cannot be read")?;
        let mut rows = Rows::new();
        let mut all = db.prepare("SELECT n, v FROM t ORDER BY n")?;
        let each = all.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        for row in each {
            let (n, v) = row?;
            let byte = v.first().copied();
            ensure!(v.iter().all(|b| Some(*b) == byte), "row {n} of {} is torn", file.display());
            rows.insert(n, (v.len(), byte.unwrap_or(0)));
        }
        let mut wanted = self.after(write as u64).clone();
        wanted.values_mut().filter(|(length, _)| *length == 0).for_each(|row| row.1 = 0);
        ensure!(rows == wanted, "the rows of {} are not those after write {write}", file.display());
        let sound: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        ensure!(sound == "ok", "{}: {sound}", file.display());
        Ok(write as u64)
    }
}
