//! One quick step: its statements and its record in one transaction, bounded in the rows it touches.
//!
//! **Invariants**
//! - A step is applied whole or not at all.
//! - It is undone and refused once it has touched `quick_rows_max` rows: a step that size stops the writer for long
//!   and belongs into a stepwise migration.
//!
//! A file whose first statement is `PRAGMA foreign_keys = OFF` runs without foreign keys (the way SQLite documents for
//! rebuilding a table: <https://sqlite.org/lang_altertable.html>, section 7) and is refused if it leaves a broken key.

use super::script::{Piece, Script};
use super::{Migration, ledger};
use crate::error::{Error, Kind, Result};
use rusqlite::Connection;
use rusqlite::hooks::Action;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// How often the counts are looked at, in steps of SQLite's virtual machine.
const LOOK: i32 = 1000;

/// Least machine steps a row costs where SQLite does not tell changed rows before the statement's end (an index built, a
/// scan, WITHOUT ROWID tables): building an index takes 9 to 10.
const STEPS_PER_ROW: u64 = 10;

/// `place`: the step's position, and the writer epoch of this opening.
pub(super) fn run(
    connection: &mut Connection,
    place: (usize, i64),
    step: &Migration,
    name: &str,
    sql: &str,
    rows_max: u64,
) -> Result<()> {
    let count = Count::start(connection, rows_max)?;
    let ran = step_alone(connection, &count, place, step, sql);
    let stopped = Count::stop(connection);
    ran.and(stopped).map_err(|e| e.within(format!("migration {name:?} was undone")))
}

/// Foreign keys can be switched outside of a transaction only.
fn step_alone(connection: &Connection, count: &Count, place: (usize, i64), step: &Migration, sql: &str) -> Result<()> {
    let mut script = Script::new(connection, sql);
    let keys_off = script.take_foreign_keys_off();
    if keys_off {
        connection.execute_batch("PRAGMA foreign_keys = OFF")?;
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let ran = statements(connection, &mut script, count)
        .and_then(|()| refuse_temporary(connection))
        .and_then(|()| if keys_off { refuse_broken_keys(connection) } else { Ok(()) })
        .and_then(|()| ledger::record_quick(connection, place.0, step, place.1))
        .and_then(|()| Ok(connection.execute_batch("COMMIT")?));
    if ran.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    if keys_off {
        connection.execute_batch("PRAGMA foreign_keys = ON")?;
    }
    ran
}

fn statements(connection: &Connection, script: &mut Script<'_, '_>, count: &Count) -> Result<()> {
    for number in 1.. {
        let line = script.line();
        let piece = script.next().map_err(|e| e.within(format!("statement {number}, line {line}")))?;
        let Some(piece) = piece else { break };
        let first_line = piece.text.trim().lines().next().unwrap_or_default().to_owned();
        let ran = execute(connection, piece).map_err(|e| count.explain(e)).and_then(|()| count.look(connection));
        ran.map_err(|e| e.within(format!("statement {number}, line {line} ({first_line})")))?;
    }
    count.off.store(true, Relaxed);
    Ok(())
}

fn execute(connection: &Connection, mut piece: Piece<'_>) -> Result<()> {
    let check = piece.text.to_ascii_lowercase().contains("foreign_key_check");
    let mut rows = piece.statement.raw_query();
    while rows.next()?.is_some() {
        if check {
            return Err(Error::new(Kind::Constraint, "a foreign key is broken"));
        }
    }
    drop(rows);
    if connection.is_autocommit() {
        return Err(Error::new(Kind::Invalid, "the statement ended the transaction"));
    }
    Ok(())
}

/// A trigger in the schema `temp` passes for an ordinary one until it is made; after a restart it would be gone.
fn refuse_temporary(connection: &Connection) -> Result<()> {
    let sql = "SELECT count(*) FROM temp.sqlite_schema";
    let temporary: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    if temporary == 0 {
        return Ok(());
    }
    Err(Error::new(Kind::Invalid, "it makes a temporary object, which would be gone after a restart"))
}

fn refuse_broken_keys(connection: &Connection) -> Result<()> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    if let Some(row) = rows.next()? {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        let why = format!("it would leave a row of {table:?} whose foreign key finds nothing in {parent:?}");
        return Err(Error::new(Kind::Constraint, why));
    }
    Ok(())
}

/// Counts what a step touches: exactly by the update hook and after each statement, by machine steps in between.
struct Count {
    before: u64,
    max: u64,
    changed: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    off: Arc<AtomicBool>,
}

impl Count {
    fn start(connection: &mut Connection, max: u64) -> Result<Self> {
        let before = connection.total_changes();
        let count = Count { before, max, changed: Arc::default(), over: Arc::default(), off: Arc::default() };
        let row = Arc::clone(&count.changed);
        connection.update_hook(Some(move |_: Action, _: &str, _: &str, _: i64| {
            row.fetch_add(1, Relaxed);
        }))?;
        let (changed, over, off) = (Arc::clone(&count.changed), Arc::clone(&count.over), Arc::clone(&count.off));
        let (mut unseen_steps, mut last) = (0u64, 0);
        let look = move || {
            let now = changed.load(Relaxed);
            if now == last {
                unseen_steps += LOOK as u64;
            }
            last = now;
            let stop = !off.load(Relaxed) && (now > max || unseen_steps > max.saturating_mul(STEPS_PER_ROW));
            if stop {
                over.store(true, Relaxed);
            }
            stop
        };
        connection.progress_handler(LOOK, Some(look))?;
        Ok(count)
    }

    fn look(&self, connection: &Connection) -> Result<()> {
        let total = connection.total_changes() - self.before;
        if total.max(self.changed.load(Relaxed)) > self.max {
            return Err(self.refusal());
        }
        Ok(())
    }

    /// Says of an interrupt that it was ours.
    fn explain(&self, e: Error) -> Error {
        if self.over.load(Relaxed) { self.refusal() } else { e }
    }

    fn refusal(&self) -> Error {
        let max = self.max;
        let what = format!(
            "it touches more than quick_rows_max = {max} rows; make it a stepwise migration, or raise the limit"
        );
        Error::new(Kind::Invalid, what)
    }

    fn stop(connection: &mut Connection) -> Result<()> {
        connection.progress_handler(0, None::<fn() -> bool>)?;
        connection.update_hook(None::<fn(Action, &str, &str, i64)>)?;
        Ok(())
    }
}
