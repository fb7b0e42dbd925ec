//! What migrations do to a file, without a store around them.

use super::*;
use crate::error::Kind;
use rusqlite::Connection;

const LIMIT: u64 = 10_000;

fn fresh() -> Connection {
    let c = Connection::open_in_memory().unwrap();
    c.execute_batch(
        "PRAGMA foreign_keys = ON;
         CREATE TABLE _monolite(id INTEGER PRIMARY KEY CHECK(id=1), sequence INTEGER NOT NULL, writer_epoch INTEGER NOT NULL, history_id BLOB NOT NULL) STRICT;
         INSERT INTO _monolite VALUES(1, 0, 1, x'00');",
    )
    .unwrap();
    c
}

fn quick(name: &'static str, sql: &'static str) -> Migration {
    Migration::Quick { name, sql }
}

fn run(c: &mut Connection, steps: &[Migration]) -> Result<Vec<PendingStepwise>> {
    apply(c, &Migrations::new(steps), LIMIT, &mut |_, _| panic!("no stepwise migration here"))
}

fn sequence(c: &Connection) -> i64 {
    c.query_row("SELECT sequence FROM _monolite", [], |r| r.get(0)).unwrap()
}

fn tables(c: &Connection) -> Vec<String> {
    let mut s = c.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_monolite%' ESCAPE '\\' ORDER BY 1").unwrap();
    s.query_map([], |r| r.get(0)).unwrap().map(|r| r.unwrap()).collect()
}

fn refused(steps: &[Migration], kind: Kind, words: &[&str]) {
    let mut c = fresh();
    let e = run(&mut c, steps).unwrap_err();
    assert_eq!(e.kind(), kind, "{e}");
    for w in words {
        assert!(e.to_string().contains(w), "{w:?} is not in: {e}");
    }
    assert!(c.is_autocommit());
    assert_eq!((tables(&c), sequence(&c)), (vec![], 0), "half done: {e}");
}

const A: Migration = Migration::Quick {
    name: "0001_a.sql",
    sql: "CREATE TABLE a(id INTEGER PRIMARY KEY) STRICT;\nINSERT INTO a VALUES(1),(2);",
};
const B: Migration =
    Migration::Quick { name: "0002_b.sql", sql: "CREATE TABLE b(a INTEGER NOT NULL REFERENCES a(id)) STRICT" };

#[test]
fn steps_run_once_in_order_and_raise_the_sequence() {
    let mut c = fresh();
    assert!(run(&mut c, &[]).unwrap().is_empty());
    run(&mut c, &[A]).unwrap();
    assert_eq!((tables(&c), sequence(&c)), (vec!["a".to_owned()], 1));
    run(&mut c, &[A, B]).unwrap();
    run(&mut c, &[A, B]).unwrap();
    assert_eq!((tables(&c), sequence(&c)), (vec!["a".to_owned(), "b".to_owned()], 2));
    let applied: Vec<i64> = c
        .prepare("SELECT applied_sequence FROM _monolite_migrations ORDER BY position")
        .unwrap()
        .query_map([], |r| r.get(0))
        .unwrap()
        .map(|r| r.unwrap())
        .collect();
    assert_eq!(applied, [1, 2]);
}

#[test]
fn changed_missing_and_newer_steps_are_refused() {
    let mut c = fresh();
    run(&mut c, &[A, B]).unwrap();
    let mut kind = |steps: &[Migration]| run(&mut c, steps).unwrap_err().kind();
    assert_eq!(kind(&[A, quick("0002_b.sql", "CREATE TABLE b(x)")]), Kind::Changed);
    assert_eq!(kind(&[B]), Kind::Changed);
    assert_eq!(kind(&[quick("0000_new.sql", "SELECT 1"), A, B]), Kind::Changed);
    assert_eq!(kind(&[A]), Kind::Newer);
    assert_eq!(kind(&[]), Kind::Newer);
    run(&mut c, &[A, B, quick("0003", "")]).unwrap();
}

#[test]
fn other_line_ends_are_no_change() {
    let mut c = fresh();
    run(&mut c, &[quick("a", "CREATE TABLE a(\n  x\n);\n")]).unwrap();
    run(&mut c, &[quick("a", "CREATE TABLE a(\r\n  x\r\n);\r\n")]).unwrap();
}

#[test]
fn names_are_unique_and_not_empty() {
    refused(&[A, A], Kind::Invalid, &["0001_a.sql"]);
    refused(&[quick("", "SELECT 1")], Kind::Invalid, &[]);
}

#[test]
fn failing_step_names_file_statement_and_line_and_leaves_nothing() {
    refused(
        &[quick("x.sql", "CREATE TABLE t(a UNIQUE);\n\nCREATE TABEL u(a);")],
        Kind::Invalid,
        &["x.sql", "statement 2", "line 3", "TABEL"],
    );
    refused(
        &[quick("x.sql", "CREATE TABLE t(a UNIQUE);\nINSERT INTO t VALUES(1),(1);")],
        Kind::Constraint,
        &["x.sql", "statement 2", "INSERT INTO t"],
    );
    refused(&[quick("x.sql", "CREATE TABLE t(a);\nCOMMIT;")], Kind::Invalid, &["statement 2", "COMMIT"]);
    refused(
        &[quick("x.sql", "CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES(1); INSERT OR ROLLBACK INTO t VALUES(1)")],
        Kind::Constraint,
        &["statement 3"],
    );
    refused(&[quick("x.sql", "CREATE TABLE t(a); ATTACH 'x' AS y")], Kind::Invalid, &["ATTACH"]);
    refused(&[quick("x.sql", "CREATE TABLE t(a); UPDATE _monolite SET sequence = 7")], Kind::Denied, &["_monolite"]);
    refused(&[quick("x.sql", "CREATE TABLE t(a); INSERT INTO t VALUES(?1)")], Kind::Invalid, &["parameters"]);
}

#[test]
fn earlier_steps_stay_when_a_later_one_fails() {
    let mut c = fresh();
    assert!(run(&mut c, &[A, quick("bad", "nonsense")]).is_err());
    assert_eq!((tables(&c), sequence(&c)), (vec!["a".to_owned()], 1));
    run(&mut c, &[A, B]).unwrap();
}

#[test]
fn step_that_touches_too_many_rows_is_undone() {
    let rows =
        "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i < 12000) INSERT INTO t SELECT i FROM s";
    let changing = Box::leak(format!("CREATE TABLE t(a); {rows}").into_boxed_str());
    refused(&[quick("big.sql", changing)], Kind::Invalid, &["quick_rows_max = 10000", "stepwise", "statement 2"]);
    let without_rowid = Box::leak(format!("CREATE TABLE t(a PRIMARY KEY) WITHOUT ROWID; {rows}").into_boxed_str());
    refused(&[quick("big.sql", without_rowid)], Kind::Invalid, &["quick_rows_max"]);
    let scan =
        "CREATE TABLE t(a); WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s) SELECT count(*) FROM s";
    refused(&[quick("endless.sql", scan)], Kind::Invalid, &["quick_rows_max"]);

    let mut c = fresh();
    let fits = Box::leak(format!("CREATE TABLE t(a); {}", rows.replace("12000", "9000")).into_boxed_str());
    run(&mut c, &[quick("fits.sql", fits), quick("index.sql", "CREATE INDEX i ON t(a)")]).unwrap();
    // The bounds are gone afterwards.
    c.execute_batch(
        "UPDATE t SET a = a + 1; UPDATE t SET a = a + 1; INSERT INTO t SELECT a FROM t; INSERT INTO t SELECT a FROM t",
    )
    .unwrap();
}

#[test]
fn table_is_rebuilt_without_foreign_keys_and_a_broken_key_is_refused() {
    let rebuild = "-- the way SQLite documents\nPRAGMA foreign_keys = OFF;\nCREATE TABLE a2(id INTEGER PRIMARY KEY, n INTEGER) STRICT;\n\
                   INSERT INTO a2 SELECT id, id FROM a;\nDROP TABLE a;\nALTER TABLE a2 RENAME TO a;";
    let mut c = fresh();
    run(&mut c, &[A, B]).unwrap();
    c.execute("INSERT INTO b VALUES(1)", []).unwrap();
    run(&mut c, &[A, B, quick("0003", rebuild)]).unwrap();
    assert_eq!(c.query_row("SELECT count(*) FROM b", [], |r| r.get::<_, i64>(0)).unwrap(), 1);
    let e = run(&mut c, &[A, B, quick("0003", rebuild), quick("0004", "PRAGMA foreign_keys=OFF; DELETE FROM a")])
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Constraint, "{e}");
    assert!(c.execute("INSERT INTO b VALUES(99)", []).is_err(), "foreign keys are on again");
}
