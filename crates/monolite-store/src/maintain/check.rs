//! Checking a whole file: every page, index, constraint and foreign key.
//!
//! **Invariants**
//! - Damage is an answer, not an error: an error means that the check could not be made.

use super::one_snapshot::one_snapshot;
use crate::error::{Kind, Result};
use crate::status::Check;
use rusqlite::Connection;

/// Most messages of each sort; the rest is counted in the last one.
const MESSAGES_MAX: usize = 100;

/// Checks a whole file on a connection without authorizer and transaction: of a store, or of a file that no store has
/// open. Damage is in the answer. Takes as long as reading
/// each page and index entry: about a second for 500 MB.
pub fn check(connection: &Connection) -> Result<Check> {
    one_snapshot(connection, |sequence| {
        let pages: i64 = connection.query_row("PRAGMA main.page_count", [], |r| r.get(0))?;
        let mut problems = Vec::new();
        damage_is_an_answer(integrity(connection, &mut problems), &mut problems)?;
        damage_is_an_answer(foreign_keys(connection, &mut problems), &mut problems)?;
        Ok(Check { problems, pages: pages as u64, sequence })
    })
}

fn damage_is_an_answer(found: Result<()>, problems: &mut Vec<String>) -> Result<()> {
    match found {
        Err(e) if e.kind() == Kind::Corrupt => {
            problems.push(e.to_string());
            Ok(())
        }
        other => other,
    }
}

fn integrity(connection: &Connection, problems: &mut Vec<String>) -> Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA main.integrity_check({MESSAGES_MAX})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let message: String = row.get(0)?;
        if message != "ok" {
            problems.push(message);
        }
    }
    Ok(())
}

fn foreign_keys(connection: &Connection, problems: &mut Vec<String>) -> Result<()> {
    let mut statement = connection.prepare("PRAGMA main.foreign_key_check")?;
    let mut rows = statement.query([])?;
    let mut found = 0;
    while let Some(row) = rows.next()? {
        found += 1;
        if found > MESSAGES_MAX {
            continue;
        }
        let (table, rowid, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let which = rowid.map_or_else(|| "a row".to_owned(), |id| format!("row {id}"));
        problems.push(format!("foreign key: {which} of {table} refers to nothing in {parent}"));
    }
    if found > MESSAGES_MAX {
        problems.push(format!("foreign key: {} more rows refer to nothing", found - MESSAGES_MAX));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn database(path: &std::path::Path) -> Connection {
        let c = Connection::open(path).unwrap();
        c.execute_batch(
            "CREATE TABLE _monolite(id INTEGER PRIMARY KEY CHECK(id=1), sequence INTEGER NOT NULL);
             INSERT INTO _monolite VALUES(1, 42);
             CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p(id), v);
             CREATE INDEX i ON c(v);
             WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<500) INSERT INTO c SELECT i, NULL, hex(randomblob(40)) FROM s;",
        )
        .unwrap();
        c
    }

    #[test]
    fn sound_file_has_no_problems_and_its_sequence() {
        let t = tempfile::tempdir().unwrap();
        let c = database(&t.path().join("x.db"));
        let found = check(&c).unwrap();
        assert_eq!((found.problems.as_slice(), found.sequence), ([].as_slice(), 42));
        assert!(found.pages > 10);
        assert!(c.is_autocommit());
    }

    #[test]
    fn broken_foreign_keys_are_named_and_bounded() {
        let t = tempfile::tempdir().unwrap();
        let c = database(&t.path().join("x.db"));
        c.execute_batch("PRAGMA foreign_keys=OFF; UPDATE c SET p = 7 WHERE id <= 150").unwrap();
        let found = check(&c).unwrap();
        assert_eq!(found.problems.len(), MESSAGES_MAX + 1);
        assert_eq!(found.problems[0], "foreign key: row 1 of c refers to nothing in p");
        assert_eq!(found.problems[MESSAGES_MAX], "foreign key: 50 more rows refer to nothing");
    }

    #[test]
    fn damaged_pages_are_an_answer() {
        let t = tempfile::tempdir().unwrap();
        let path = t.path().join("x.db");
        drop(database(&path));
        let mut bytes = fs::read(&path).unwrap();
        let pages = bytes.len() / 4096;
        for page in 6..pages {
            bytes[page * 4096..page * 4096 + 100].fill(0xff);
        }
        fs::write(&path, bytes).unwrap();
        let found = check(&Connection::open(&path).unwrap()).unwrap();
        assert!(!found.problems.is_empty());
    }
}
