//! The usual SQLite: a file in WAL mode with `synchronous=FULL`, connections with our cache sizes.
//!
//! Checkpoints are SQLite's own (`wal_autocheckpoint` 1000 pages), as the usual program has them.

use crate::table;
use monolite_store::rusqlite::{CachedStatement, Connection, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Statements kept prepared; more than any peer uses.
const STATEMENTS: usize = 64;

/// A peer's SQLite file.
pub(crate) struct Sqlite {
    path: PathBuf,
    rows: u64,
}

impl Sqlite {
    /// Makes and fills the file.
    pub(crate) fn new(path: PathBuf, rows: u64) -> anyhow::Result<Sqlite> {
        let sqlite = Sqlite { path, rows };
        let connection = connect(&sqlite.path)?;
        table::fill(&connection, rows)?;
        Ok(sqlite)
    }

    /// A connection with every page of the table in its cache, so that each side starts warm.
    pub(crate) fn warm(&self) -> Result<Connection> {
        let connection = connect(&self.path)?;
        connection.query_row("SELECT sum(length(v)) FROM reading", [], |_| Ok(()))?;
        Ok(connection)
    }

    /// How many rows the table has.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.execute_batch("PRAGMA synchronous=FULL; PRAGMA cache_size=-262144; PRAGMA temp_store=MEMORY")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// The point read on a bare connection, from its cached statement.
pub(crate) fn read(connection: &Connection, key: i64) -> Result<i64> {
    let mut statement: CachedStatement<'_> = connection.prepare_cached(table::READ)?;
    statement.query_row([key], table::take)
}

/// Connections for `spawn_blocking`: taken, used on a blocking thread, put back.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Mutex<Vec<Connection>>>);

impl Pool {
    /// A pool of warm connections.
    pub(crate) fn new(sqlite: &Sqlite, size: usize) -> Result<Pool> {
        let connections: Result<Vec<_>> = (0..size).map(|_| sqlite.warm()).collect();
        Ok(Pool(Arc::new(Mutex::new(connections?))))
    }

    /// A point read on a blocking thread.
    pub(crate) async fn read(self, key: i64) -> anyhow::Result<i64> {
        tokio::task::spawn_blocking(move || {
            let taken = self.0.lock().expect("no holder panics").pop();
            let connection = taken.expect("there are at most as many callers as connections");
            let value = read(&connection, key);
            self.0.lock().expect("no holder panics").push(connection);
            Ok(value?)
        })
        .await?
    }
}
