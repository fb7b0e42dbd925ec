//! The text of a quick step, statement by statement, as SQLite itself divides it.
//!
//! **Invariants**
//! - What would end the step's transaction, reach another file or change the connection is refused by its first words,
//!   before it runs: in a migration the authorizer is open.

use crate::error::{Error, Kind, Result};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection, Statement};

/// One statement of a script, prepared.
pub(super) struct Piece<'c> {
    pub(super) statement: Statement<'c>,
    pub(super) text: String,
}

/// The statements of a script, in order; the next is prepared when the one before has run.
pub(super) struct Script<'c, 's> {
    connection: &'c Connection,
    sql: &'s str,
    at: usize,
}

/// PRAGMAs that a quick step may use: they concern this transaction, or are kept in the file's header.
const PRAGMAS: [&str; 5] =
    ["DEFER_FOREIGN_KEYS", "FOREIGN_KEY_CHECK", "INTEGRITY_CHECK", "USER_VERSION", "APPLICATION_ID"];

impl<'c, 's> Script<'c, 's> {
    pub(super) fn new(connection: &'c Connection, sql: &'s str) -> Self {
        Script { connection, sql, at: 0 }
    }

    /// The line on which the next statement begins, from 1.
    pub(super) fn line(&self) -> usize {
        let start = self.at + blank(&self.sql[self.at..]);
        1 + self.sql[..start].bytes().filter(|&b| b == b'\n').count()
    }

    /// Whether the next statement switches foreign keys off: allowed as a script's first, see [`super::quick`].
    pub(super) fn take_foreign_keys_off(&mut self) -> bool {
        let start = self.at + blank(&self.sql[self.at..]);
        let end = self.sql[start..].find(';').map_or(self.sql.len(), |n| start + n);
        let words: String = self.sql[start..end].split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_uppercase();
        let off = [
            "PRAGMA FOREIGN_KEYS=OFF",
            "PRAGMA FOREIGN_KEYS = OFF",
            "PRAGMA FOREIGN_KEYS=0",
            "PRAGMA FOREIGN_KEYS = 0",
        ];
        if off.contains(&words.as_str()) {
            self.at = (end + 1).min(self.sql.len());
            return true;
        }
        false
    }

    /// The next statement, refused or prepared.
    pub(super) fn next(&mut self) -> Result<Option<Piece<'c>>> {
        let start = self.at + blank(&self.sql[self.at..]);
        if start == self.sql.len() {
            return Ok(None);
        }
        if self.sql.as_bytes().contains(&0) {
            return Err(Error::new(Kind::Invalid, "the text contains a NUL character"));
        }
        refuse_words(&self.sql[start..])?;
        let Some(statement) = Batch::new(self.connection, &self.sql[start..]).next()? else { return Ok(None) };
        if statement.parameter_count() > 0 {
            return Err(Error::new(Kind::Invalid, "a statement with parameters"));
        }
        let text = statement.expanded_sql().ok_or_else(|| Error::new(Kind::Invalid, "the statement is too long"))?;
        refuse_own_tables(&text)?;
        self.at = start + text.len();
        Ok(Some(Piece { statement, text }))
    }
}

/// The first words of a statement decide what it is; SQLite has no other place for these.
fn refuse_words(statement: &str) -> Result<()> {
    let mut words = Words(statement);
    let first = words.next();
    let refuse = |why: &str| Err(Error::new(Kind::Invalid, format!("{first} is not allowed in a migration: {why}")));
    match first.as_str() {
        "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => {
            refuse("a quick step is one transaction of the store's")
        }
        "ATTACH" | "DETACH" => refuse("a store owns one file"),
        "VACUUM" => refuse("it cannot run in a transaction"),
        "CREATE" if matches!(words.next().as_str(), "TEMP" | "TEMPORARY") => {
            refuse("TEMP objects would outlive the step on the writer's connection; use an ordinary table and drop it")
        }
        "PRAGMA" => {
            let mut name = words.next();
            if name == "MAIN" {
                name = words.next();
            }
            if PRAGMAS.contains(&name.as_str()) {
                return Ok(());
            }
            refuse("the connection is set up by the store (PRAGMA foreign_keys = OFF may be a file's first statement)")
        }
        _ => Ok(()),
    }
}

/// The store's own tables are not the migration's; neither is the schema table.
fn refuse_own_tables(text: &str) -> Result<()> {
    let lower = text.to_ascii_lowercase();
    let own = lower.match_indices("_monolite").any(|(at, _)| {
        let before = lower[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    });
    if own {
        return Err(Error::new(Kind::Denied, "names that begin with _monolite belong to the store"));
    }
    Ok(())
}

/// Upper-case words of a statement, without comments.
struct Words<'s>(&'s str);

impl Words<'_> {
    fn next(&mut self) -> String {
        let rest = &self.0[blank(self.0)..];
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        let rest = &rest[blank(rest)..];
        let quoted = rest.starts_with(['"', '[', '`']);
        let rest = if quoted { &rest[1..] } else { rest };
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        self.0 = &rest[(end + usize::from(quoted)).min(rest.len())..];
        rest[..end].to_ascii_uppercase()
    }
}

/// Bytes of white space, comments and empty statements at the head of a text.
fn blank(sql: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &sql[at..];
        let white = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c', ';', '\u{feff}']).len();
        at += white;
        let rest = &sql[at..];
        if rest.starts_with("--") {
            at += rest.find('\n').map_or(rest.len(), |n| n + 1);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            at += comment.find("*/").map_or(rest.len(), |n| n + 4);
        } else {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(sql: &str) -> Vec<(usize, String)> {
        let c = Connection::open_in_memory().unwrap();
        let mut script = Script::new(&c, sql);
        let mut all = Vec::new();
        loop {
            let line = script.line();
            let Some(mut piece) = script.next().unwrap() else { break };
            piece.statement.raw_execute().unwrap();
            all.push((line, piece.text));
        }
        all
    }

    #[test]
    fn script_is_divided_as_sqlite_divides_it() {
        let sql = "-- first; not a statement\n\nCREATE TABLE t(a, b DEFAULT ';'); /* x; */;;\n\
                   CREATE TRIGGER r AFTER INSERT ON t BEGIN\n  DELETE FROM t; -- y\n  DELETE FROM t;\nEND;\nCREATE INDEX i ON t(a) -- end";
        let found = lines(sql);
        assert_eq!(found.iter().map(|l| l.0).collect::<Vec<_>>(), [3, 4, 8]);
        assert!(found[1].1.ends_with("END;"), "{:?}", found[1]);
        assert!(lines(" -- nothing\n;; /* still nothing").is_empty());
        assert!(lines("").is_empty());
    }

    #[test]
    fn words_that_are_not_a_migrations_are_refused_however_written() {
        for sql in [
            "begin",
            "COMMIT;",
            "/* */ end",
            "-- x\nRollBack",
            "SAVEPOINT a",
            "release a",
            "attach 'x' as y",
            "DETACH y",
            "VACUUM",
            "VACUUM INTO 'x'",
            "PRAGMA journal_mode=DELETE",
            "pragma main . writable_schema = 1",
            "PRAGMA \"foreign_keys\"=OFF",
            "CREATE/**/TEMP TABLE t(a)",
            "create temporary view v as select 1",
        ] {
            assert_eq!(refuse_words(&sql[blank(sql)..]).unwrap_err().kind(), Kind::Invalid, "{sql}");
        }
        for sql in [
            "CREATE TABLE begin_(a)",
            "PRAGMA user_version = 3",
            "PRAGMA main.foreign_key_check",
            "INSERT INTO t VALUES('COMMIT')",
        ] {
            refuse_words(sql).unwrap();
        }
    }

    #[test]
    fn own_tables_are_refused_and_similar_names_are_not() {
        assert_eq!(refuse_own_tables("UPDATE _monolite SET sequence = 0").unwrap_err().kind(), Kind::Denied);
        assert_eq!(refuse_own_tables("DROP TABLE main.\"_Monolite_migrations\"").unwrap_err().kind(), Kind::Denied);
        refuse_own_tables("CREATE TABLE my_monolite(a)").unwrap();
    }
}
