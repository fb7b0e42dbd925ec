//! One read transaction around a piece of work.

use crate::error::Result;
use rusqlite::Connection;

/// Runs `work` in one read transaction of its own, opened by reading the commit sequence, which it is given.
pub(super) fn one_snapshot<T>(connection: &Connection, work: impl FnOnce(u64) -> Result<T>) -> Result<T> {
    connection.execute_batch("BEGIN")?;
    let done = sequence(connection).and_then(work);
    if connection.is_autocommit() {
        return done; // SQLite ended it itself, on an error
    }
    let ended = connection.execute_batch("ROLLBACK");
    let value = done?;
    ended?;
    Ok(value)
}

/// The last commit that the connection's snapshot contains. BEGIN alone opens none: this read does.
pub(super) fn sequence(connection: &Connection) -> Result<u64> {
    let n: i64 = connection.query_row("SELECT sequence FROM main._monolite WHERE id = 1", [], |r| r.get(0))?;
    Ok(n as u64)
}
