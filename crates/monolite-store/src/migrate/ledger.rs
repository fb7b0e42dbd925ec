//! The record of migrations in the file: one row a step, in `_monolite_migrations`.
//!
//! **Invariants**
//! - Rows are written only in the transaction of the step they record.
//! - A finished row has the commit sequence that finished it; an unfinished one has a cursor.

use super::{Cursor, Migration};
use crate::error::{Error, Kind, Result};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS _monolite_migrations(
  position INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  kind TEXT NOT NULL CHECK(kind IN ('quick', 'stepwise')),
  checksum BLOB NOT NULL,
  state TEXT NOT NULL CHECK(state IN ('running', 'applied')),
  cursor INTEGER NOT NULL DEFAULT 0,
  applied_sequence INTEGER
) STRICT";

/// A step as the file remembers it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) checksum: Vec<u8>,
    pub(super) applied: bool,
}

impl Migration {
    /// The name recorded in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Migration::Quick { name, .. } => name,
            Migration::Stepwise(s) => s.name,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Migration::Quick { .. } => "quick",
            Migration::Stepwise(_) => "stepwise",
        }
    }

    /// SHA-256 of the SQL, with line ends as `\n` so that a checkout on another system is no change; of a stepwise
    /// migration, whose code has no text here, the name.
    pub fn checksum(&self) -> [u8; 32] {
        match self {
            Migration::Quick { sql, .. } => Sha256::digest(sql.replace("\r\n", "\n")).into(),
            Migration::Stepwise(s) => Sha256::digest(s.name).into(),
        }
    }
}

/// All recorded steps, in order; none where the table is not there yet.
pub(super) fn read(connection: &Connection) -> Result<Vec<Row>> {
    let there: Option<i64> = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_monolite_migrations'", [], |r| {
            r.get(0)
        })
        .optional()?;
    if there.is_none() {
        return Ok(Vec::new());
    }
    let sql = "SELECT position, name, kind, checksum, state = 'applied' FROM _monolite_migrations ORDER BY position";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(r) = rows.next()? {
        if r.get::<_, i64>(0)? != all.len() as i64 {
            return Err(Error::new(
                Kind::Corrupt,
                format!("the record of migrations has a hole at position {}", all.len()),
            ));
        }
        all.push(Row { name: r.get(1)?, kind: r.get(2)?, checksum: r.get(3)?, applied: r.get(4)? });
    }
    Ok(all)
}

/// Records a finished step and raises the commit sequence; in the caller's transaction.
pub(super) fn record_quick(connection: &Connection, position: usize, step: &Migration, epoch: i64) -> Result<()> {
    connection.execute(TABLE, [])?;
    let sequence = raise_sequence(connection, epoch)?;
    connection.execute(
        "INSERT INTO _monolite_migrations(position, name, kind, checksum, state, applied_sequence) VALUES(?1, ?2, 'quick', ?3, 'applied', ?4)",
        params![position as i64, step.name(), step.checksum(), sequence],
    )?;
    Ok(())
}

/// The writer epoch of this opening of the file.
pub(super) fn epoch(connection: &Connection) -> Result<i64> {
    Ok(connection.query_row("SELECT writer_epoch + 1 FROM _monolite WHERE id = 1", [], |r| r.get(0))?)
}

/// Makes the caller's transaction the next commit, of this writer: another program that opens the same file makes others.
pub(super) fn raise_sequence(connection: &Connection, epoch: i64) -> Result<i64> {
    let sql = "UPDATE _monolite SET sequence = sequence + 1, writer_epoch = ?1 WHERE id = 1 RETURNING sequence";
    Ok(connection.query_row(sql, [epoch], |r| r.get(0))?)
}

/// Where an unfinished step stands.
pub(super) fn cursor(connection: &Connection, position: usize) -> Result<Cursor> {
    connection.execute(TABLE, [])?;
    let sql = "SELECT cursor FROM _monolite_migrations WHERE position = ?1";
    let found = connection.query_row(sql, [position as i64], |r| r.get(0)).optional()?;
    Ok(Cursor(found.unwrap_or_default()))
}

/// Saves where a stepwise step stands; `finished` is the commit sequence of this transaction, once it is done.
pub(super) fn save(
    connection: &Connection,
    position: usize,
    step: &Migration,
    cursor: &Cursor,
    finished: Option<u64>,
) -> Result<()> {
    connection.execute(
        "INSERT INTO _monolite_migrations(position, name, kind, checksum, state, cursor, applied_sequence)
         VALUES(?1, ?2, 'stepwise', ?3, iif(?5 IS NULL, 'running', 'applied'), ?4, ?5)
         ON CONFLICT(position) DO UPDATE SET state = excluded.state, cursor = excluded.cursor, applied_sequence = excluded.applied_sequence",
        params![position as i64, step.name(), step.checksum(), cursor.0, finished.map(|n| n as i64)],
    )?;
    Ok(())
}
