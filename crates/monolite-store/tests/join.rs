//! Joins: several files on one connection, at one moment, and nothing but reads.
#![allow(clippy::unwrap_used)]

use monolite_store::{Config, Error, Join, Joined, Kind, Migration, Migrations, Store};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const USERS: &str = "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT) STRICT;
    INSERT INTO users VALUES (1, 'Ann'), (2, 'Ben'); CREATE TABLE n(v INTEGER) STRICT; INSERT INTO n VALUES (0)";
const DOCUMENTS: &str = "CREATE TABLE documents(owner INTEGER, title TEXT) STRICT;
    INSERT INTO documents VALUES (1, 'a plan'), (1, 'a list'), (2, 'a poem');
    CREATE VIRTUAL TABLE words USING fts5(title); INSERT INTO words SELECT title FROM documents;
    CREATE TABLE n(v INTEGER) STRICT; INSERT INTO n VALUES (0)";

fn store(folder: &tempfile::TempDir, name: &str, sql: &'static str, config: Config) -> Store {
    let migrations = Migrations::new([Migration::Quick { name: "1", sql }]);
    Store::open(folder.path().join(format!("{name}/{name}.db")), config, migrations).unwrap()
}

fn pair(folder: &tempfile::TempDir, config: &Config) -> [Store; 2] {
    [store(folder, "Users", USERS, config.clone()), store(folder, "Documents", DOCUMENTS, config.clone())]
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn texts(join: &Join, sql: &str) -> Result<Vec<String>, Error> {
    join.read(soon(), |j| {
        let mut statement = j.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<monolite_store::rusqlite::Result<_>>()?)
    })
}

#[test]
fn tables_of_two_files_are_joined_under_their_stores_names() {
    let folder = tempfile::tempdir().unwrap();
    let stores = pair(&folder, &Config::default());
    let join = Join::open(&stores).unwrap();
    stores[1].write_blocking(|tx| tx.execute("DELETE FROM documents", [])).unwrap();
    let sql =
        "SELECT u.name || ': ' || d.title FROM Users.users u JOIN Documents.documents d ON d.owner = u.id ORDER BY 1";
    assert_eq!(texts(&join, sql).unwrap(), ["Ann: a list", "Ann: a plan", "Ben: a poem"], "as of its moment");
    assert_eq!(texts(&join, "SELECT title FROM Documents.words WHERE words MATCH 'poem'").unwrap(), ["a poem"]);
    let now = stores.each_ref().map(Store::sequence);
    assert_eq!(join.sequences().collect::<Vec<_>>(), [now[0], now[1] - 1]);
    assert_eq!(stores.each_ref().map(|s| s.status().cuts_open), [1, 1]);
    drop(join);
    assert_eq!(stores.each_ref().map(|s| s.status().cuts_open), [0, 0]);
}

#[test]
fn a_join_only_reads() {
    let folder = tempfile::tempdir().unwrap();
    let stores = pair(&folder, &Config::default());
    let join = Join::open(&stores).unwrap();
    for sql in [
        "DELETE FROM Users.users",
        "INSERT INTO users VALUES (3, 'Eve')",
        "CREATE TABLE main.t(x)",
        "CREATE TEMP TABLE t(x)",
        "ATTACH ':memory:' AS other",
        "DETACH Users",
        "PRAGMA query_only=OFF",
        "PRAGMA Users.wal_checkpoint",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
    ] {
        let refused = texts(&join, sql).unwrap_err();
        assert_eq!(refused.kind(), Kind::Denied, "{sql}: {refused}");
    }
    for sql in ["VACUUM Users INTO '/nowhere/x'", "SELECT load_extension('x')"] {
        assert!(texts(&join, sql).is_err(), "{sql}");
    }
    assert_eq!(texts(&join, "SELECT name FROM users ORDER BY 1").unwrap(), ["Ann", "Ben"], "it goes on");
}

#[test]
fn a_join_ends_at_its_deadline_and_may_be_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let stores = pair(&folder, &Config::default());
    let join = Join::open(&stores).unwrap();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let until = Instant::now() + Duration::from_millis(20);
    let run = |j: &Joined<'_>| j.query_row(endless, [], |r| r.get::<_, i64>(0));
    assert_eq!(join.read(until, run).unwrap_err().kind(), Kind::TooLong);
    assert_eq!(texts(&join, "SELECT name FROM users ORDER BY 1").unwrap().len(), 2);
}

#[test]
fn a_join_is_held_to_the_limits_of_a_cut() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { wal_soft_bytes: 1 << 20, wal_hard_bytes: 2 << 20, cuts_max: 1, ..Config::default() };
    let stores = pair(&folder, &config);
    let join = Join::open(&stores).unwrap();
    assert_eq!(Join::open(&stores[1..]).err().unwrap().kind(), Kind::Overloaded);
    for _ in 0..16 {
        let insert = "INSERT INTO documents VALUES (1, hex(randomblob(200000)))";
        stores[1].write_blocking(move |tx| tx.execute(insert, [])).unwrap();
    }
    let ended = texts(&join, "SELECT name FROM users").unwrap_err();
    assert!(ended.kind() == Kind::TooLong && ended.to_string().contains("wal_hard_bytes"), "{ended}");
    drop(join);
    let join = Join::open(&stores).unwrap();
    let [users, documents] = stores;
    users.close().unwrap();
    documents.close().unwrap();
    assert_eq!(texts(&join, "SELECT name FROM users").unwrap_err().kind(), Kind::Closed);
}

#[test]
fn joins_under_load_are_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let stores = pair(&folder, &Config::default());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                for store in &stores {
                    store.write_blocking(|tx| tx.execute("UPDATE n SET v = v + 1", [])).unwrap();
                }
            }
        });
        let last = |join: &Join| {
            let sql = "SELECT a.v, b.v FROM Users.n a, Documents.n b";
            join.read(soon(), |j| j.query_row(sql, [], |r| Ok::<(i64, i64), _>((r.get(0)?, r.get(1)?)))).unwrap()
        };
        let (mut joins, mut moved) = (0, 0);
        while joins < 200 || moved < 100 {
            let join = Join::open(&stores).unwrap();
            let (first, second) = last(&join);
            assert!(first == second || first == second + 1, "the cause {first}, the effect {second}");
            assert_eq!(last(&join), (first, second));
            (joins, moved) = (joins + 1, first);
        }
        stop.store(true, SeqCst);
    });
}
