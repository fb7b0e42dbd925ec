//! Two states of a service's file, table by table.
//!
//! **Invariants**
//! - It reads; its time is bounded, and what did not fit is left out, never guessed.
//! - Rows are told apart by the primary key that a table declares; without one only their number is known.

use super::{Rows, Table};
use anyhow::Context as _;
use monolite_store::rusqlite::config::DbConfig;
use monolite_store::rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// How long both files are looked at. The WAL of a file that serves cannot start over meanwhile.
const TIME_MAX: Duration = Duration::from_secs(20);
/// Rows of a table in both states that are compared one by one.
const ROWS_MAX: u64 = 1_000_000;
/// How long after an interrupt there is another.
const AGAIN: Duration = Duration::from_millis(50);
/// Opcodes between two looks at the clock.
const STEPS: i32 = 1000;

/// Compares the file that serves with the one that would; answers whether all was looked at.
pub(super) fn compare(now: &Path, then: &Path) -> crate::Result<(Vec<Table>, bool)> {
    within(TIME_MAX, now, then)
}

fn within(most: Duration, now: &Path, then: &Path) -> crate::Result<(Vec<Table>, bool)> {
    let mut connection = open(now, then)?;
    let interrupt = connection.get_interrupt_handle();
    let (ended, ends) = std::sync::mpsc::sync_channel::<()>(0);
    std::thread::scope(|scope| {
        // A count of all rows is one opcode, in which no progress is told. What begins just after an interrupt is not ended by
        // it, so there is another.
        scope.spawn(move || {
            let mut wait = most;
            while ends.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                interrupt.interrupt();
                wait = AGAIN;
            }
        });
        let looked = look(&mut connection, Instant::now() + most);
        drop(ended);
        looked
    })
}

fn look(connection: &mut Connection, until: Instant) -> crate::Result<(Vec<Table>, bool)> {
    connection.progress_handler(STEPS, Some(move || Instant::now() > until))?;
    let connection = &*connection;
    connection.execute_batch("BEGIN")?;
    let (of_now, of_then) = match (tables(connection, "now"), tables(connection, "then")) {
        (Err(_), _) | (_, Err(_)) if Instant::now() > until => return Ok((Vec::new(), false)),
        (now, then) => (now?, then?),
    };
    let mut names: Vec<&String> = of_now.keys().chain(of_then.keys()).collect();
    names.sort();
    names.dedup();
    let mut all = Vec::new();
    for name in names {
        match one(connection, name, of_now.get(name), of_then.get(name)) {
            Ok(table) => all.push(table),
            Err(_) if Instant::now() > until => return Ok((all, false)),
            Err(e) => return Err(e).with_context(|| format!("table {name}")),
        }
    }
    Ok((all, true))
}

#[derive(Debug, PartialEq, Eq)]
struct Column {
    name: String,
    is_key: bool,
}

fn open(now: &Path, then: &Path) -> crate::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(":memory:", flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    for (path, name) in [(now, "now"), (then, "then")] {
        let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
        let attached = connection.execute("ATTACH ?1 AS ?2", (text, name));
        attached.with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(connection)
}

/// The tables of a service with their columns, without what belongs to SQLite, to the store or to an index.
fn tables(connection: &Connection, schema: &str) -> crate::Result<BTreeMap<String, Vec<Column>>> {
    let sql = "SELECT name FROM pragma_table_list WHERE schema = ?1 AND type = 'table'
               AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_monolite*'";
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map([schema], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let mut all = BTreeMap::new();
    for name in names {
        let sql = "SELECT name, pk > 0 FROM pragma_table_xinfo(?1, ?2) WHERE hidden = 0";
        let mut statement = connection.prepare(sql)?;
        let column = |row: &monolite_store::rusqlite::Row<'_>| Ok(Column { name: row.get(0)?, is_key: row.get(1)? });
        let columns = statement.query_map((&name, schema), column)?.collect::<Result<Vec<Column>, _>>()?;
        all.insert(name, columns);
    }
    Ok(all)
}

fn one(
    connection: &Connection,
    name: &str,
    now: Option<&Vec<Column>>,
    then: Option<&Vec<Column>>,
) -> crate::Result<Table> {
    let table = quoted(name);
    let count = |sql: &str| -> crate::Result<u64> { Ok(connection.query_row(sql, [], |row| row.get(0))?) };
    let rows = |schema: &str| count(&format!("SELECT count(*) FROM \"{schema}\".{table}"));
    let (in_now, in_then) = (now.map(|_| rows("now")).transpose()?, then.map(|_| rows("then")).transpose()?);
    let mut compared = Table { table: name.to_owned(), now: in_now, then: in_then, rows: None };
    let (Some(now), Some(then), Some(a), Some(b)) = (now, then, in_now, in_then) else { return Ok(compared) };
    let keys: Vec<String> = now.iter().filter(|c| c.is_key).map(|c| quoted(&c.name)).collect();
    let same_keys = now.iter().filter(|c| c.is_key).eq(then.iter().filter(|c| c.is_key));
    if keys.is_empty() || !same_keys || a + b > ROWS_MAX {
        return Ok(compared);
    }
    let joined = keys.iter().map(|key| format!("a.{key} = b.{key}")).collect::<Vec<_>>().join(" AND ");
    let only = |one: &str, other: &str| {
        let sql = format!(
            "SELECT count(*) FROM \"{one}\".{table} a WHERE NOT EXISTS (SELECT 1 FROM \"{other}\".{table} b WHERE {joined})"
        );
        count(&sql)
    };
    let others: Vec<String> = now.iter().filter(|c| !c.is_key && then.contains(c)).map(|c| quoted(&c.name)).collect();
    let differ = |column: &String| format!("a.{column} IS NOT b.{column}");
    let change = match others.is_empty() {
        true => 0,
        false => count(&format!(
            "SELECT count(*) FROM \"now\".{table} a JOIN \"then\".{table} b ON {joined} WHERE {}",
            others.iter().map(differ).collect::<Vec<_>>().join(" OR ")
        ))?,
    };
    compared.rows = Some(Rows { come_back: only("then", "now")?, go: only("now", "then")?, change });
    Ok(compared)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str, sql: &str) -> std::path::PathBuf {
        let path = folder.join(name);
        Connection::open(&path).unwrap().execute_batch(&format!("PRAGMA journal_mode=WAL; {sql}")).unwrap();
        path
    }

    #[test]
    fn rows_are_told_apart_by_their_keys_and_counted_where_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let now = "CREATE TABLE \"a b\"(id INTEGER PRIMARY KEY, v TEXT, later); INSERT INTO \"a b\" VALUES (1,'x',0),(2,'y',0),(3,NULL,0);
                   CREATE TABLE bag(v); INSERT INTO bag VALUES (1),(1);
                   CREATE TABLE both(a, b, PRIMARY KEY(a, b)) WITHOUT ROWID; INSERT INTO both VALUES (1,1),(1,2);
                   CREATE TABLE made(v); CREATE TABLE _monolite(v)";
        let then = "CREATE TABLE \"a b\"(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO \"a b\" VALUES (1,'x'),(2,'z'),(3,'n'),(4,'w'),(5,'w');
                    CREATE TABLE bag(v); INSERT INTO bag VALUES (1);
                    CREATE TABLE both(a, b, PRIMARY KEY(a, b)) WITHOUT ROWID; INSERT INTO both VALUES (1,2);
                    CREATE TABLE gone(v); INSERT INTO gone VALUES (1); CREATE VIRTUAL TABLE f USING fts5(x)";
        let (now, then) = (file(folder.path(), "now.db", now), file(folder.path(), "then.db", then));
        let (tables, whole) = compare(&now, &then).unwrap();
        assert!(whole);
        let table = |table: &str, now, then, rows| Table { table: table.to_owned(), now, then, rows };
        let rows = |come_back, go, change| Some(Rows { come_back, go, change });
        let expected = [
            table("a b", Some(3), Some(5), rows(2, 0, 2)),
            table("bag", Some(2), Some(1), None),
            table("both", Some(2), Some(1), rows(0, 1, 0)),
            table("gone", None, Some(1), None),
            table("made", Some(0), None, None),
        ];
        assert_eq!(tables, expected);
    }

    #[test]
    fn a_count_that_takes_too_long_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let rows =
            "CREATE TABLE t(v); WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                    INSERT INTO t SELECT zeroblob(3000) FROM n";
        let (now, then) = (file(folder.path(), "now.db", rows), file(folder.path(), "then.db", "CREATE TABLE t(v)"));
        let (tables, whole) = within(Duration::from_millis(2), &now, &then).unwrap();
        assert!(!whole && tables.is_empty(), "{tables:?}");
        assert_eq!(compare(&now, &then).unwrap().0[0].now, Some(20000));
    }
}
