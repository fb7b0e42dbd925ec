//! What a store promises to who writes, on real files.

#![allow(clippy::unwrap_used)]

mod common;

use common::{done as futures, hold_writer};
use monolite_store::{Config, Constraint, Error, Kind, Migration, Migrations, State, Store, Ticket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const SCHEMA: &str = "
CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT UNIQUE, n INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE parent(id INTEGER PRIMARY KEY) STRICT;
CREATE TABLE child(id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED) STRICT;
CREATE TABLE trap(x INTEGER) STRICT;
CREATE TRIGGER trapped BEFORE INSERT ON trap WHEN NEW.x < 0 BEGIN SELECT RAISE(ROLLBACK, 'trapped'); END;";

fn migrations() -> Migrations {
    Migrations::new(vec![Migration::Quick { name: "0001", sql: SCHEMA }])
}

fn open(folder: &tempfile::TempDir, config: Config) -> Store {
    Store::open(folder.path().join("S/S.db"), config, migrations()).expect("opens")
}

fn count(store: &Store) -> i64 {
    store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))).expect("counts")
}

#[test]
fn an_acknowledged_write_is_read_at_once_and_after_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    let before = store.sequence();
    let written = store
        .write_blocking_with(Ticket::label("insert"), |tx| {
            tx.query_row("INSERT INTO t(v) VALUES ('a') RETURNING id", [], |r| r.get::<_, i64>(0))
        })
        .unwrap();
    assert_eq!((written.value, written.sequence, written.place), (1, before + 1, 0));
    let seen = store
        .read_blocking_with(Ticket::default(), |s| {
            s.query_row("SELECT v FROM t WHERE id = 1", [], |r| r.get::<_, String>(0))
        })
        .unwrap();
    assert_eq!((seen.value.as_str(), seen.sequence), ("a", before + 1));
    store.close().unwrap();
    let store = open(&folder, Config::default());
    assert_eq!((count(&store), store.sequence()), (1, before + 1));
}

#[test]
fn an_error_and_a_panic_undo_their_own_write_only() {
    let folder = tempfile::tempdir().unwrap();
    // A panic that is printed with where it came from takes longer than a group may.
    let config = Config { group_time_max: Duration::from_secs(60), ..Config::default() };
    let store = open(&folder, config);
    let (holder, go) = hold_writer(&store, Ticket::default());
    let good = store.write_with(Ticket::default(), |tx| tx.execute("INSERT INTO t(v) VALUES ('good')", []));
    let bad = store.write(|tx| {
        tx.execute("INSERT INTO t(v) VALUES ('bad')", [])?;
        Err::<(), _>(Error::new(Kind::Invalid, "no"))
    });
    let unique = store.write(|tx| tx.execute("INSERT INTO t(v) VALUES ('good')", []));
    let panics = store.write(|tx| {
        tx.execute("INSERT INTO t(v) VALUES ('panics')", [])?;
        if tx.changes() == 1 {
            panic!("on purpose");
        }
        Ok::<(), Error>(())
    });
    let last = store.write_with(Ticket::default(), |tx| tx.execute("INSERT INTO t(v) VALUES ('last')", []));
    drop(go);
    let good = futures(good).unwrap();
    assert_eq!(futures(bad).unwrap_err().kind(), Kind::Invalid);
    assert_eq!(futures(unique).unwrap_err().constraint(), Some(Constraint::Unique));
    assert_eq!(futures(panics).unwrap_err().kind(), Kind::Panicked);
    let last = futures(last).unwrap();
    assert_eq!(good.sequence, last.sequence, "one group, one commit");
    assert!(last.place > good.place);
    holder.join().unwrap();
    assert_eq!(count(&store), 2);
}

#[test]
fn a_write_that_ends_the_whole_transaction_is_answered_and_the_innocent_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    let runs = Arc::new(AtomicU32::new(0));
    let (holder, go) = hold_writer(&store, Ticket::default());
    let counted = runs.clone();
    let innocent = store.write(move |tx| {
        counted.fetch_add(1, SeqCst);
        tx.execute("INSERT INTO t(v) VALUES ('innocent')", [])
    });
    let rollback = store.write(|tx| tx.execute("INSERT OR ROLLBACK INTO t(id, v) VALUES (1, 'innocent')", []));
    let raises = store.write(|tx| {
        let _ = tx.execute("INSERT INTO trap VALUES (-1)", []);
        Ok::<_, Error>(()) // hides the error; the store must notice all the same
    });
    let late = store.write_with(
        Ticket { deadline: Some(Instant::now() + Duration::from_millis(300)), ..Ticket::default() },
        |tx| {
            tx.execute(
                "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s) INSERT INTO trap SELECT i FROM s",
                [],
            )
        },
    );
    let after = store.write(|tx| tx.execute("INSERT INTO t(v) VALUES ('after')", []));
    drop(go);
    futures(innocent).unwrap();
    assert_eq!(futures(rollback).unwrap_err().kind(), Kind::Constraint);
    assert_eq!(futures(raises).unwrap_err().kind(), Kind::Internal);
    assert_eq!(futures(late).unwrap_err().kind(), Kind::Late);
    futures(after).unwrap();
    holder.join().unwrap();
    assert!(runs.load(SeqCst) > 1, "the innocent ran again");
    assert_eq!(count(&store), 2);
    assert_eq!(store.status().state, State::Serving);
}

#[test]
fn a_deferred_foreign_key_is_settled_at_the_end_of_its_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    let (holder, go) = hold_writer(&store, Ticket::default());
    let violated = store.write(|tx| tx.execute("INSERT INTO child(p) VALUES (99)", []));
    let settled = store.write(|tx| {
        tx.execute("INSERT INTO child(p) VALUES (5)", [])?;
        tx.execute("INSERT INTO parent(id) VALUES (5)", [])
    });
    drop(go);
    assert_eq!(futures(violated).unwrap_err().constraint(), Some(Constraint::ForeignKey));
    futures(settled).unwrap();
    holder.join().unwrap();
}

#[test]
fn code_in_a_write_cannot_end_the_transaction_attach_or_set_pragmas() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    for sql in [
        "COMMIT",
        "ROLLBACK",
        "BEGIN",
        "SAVEPOINT w",
        "RELEASE w",
        "ROLLBACK TO w",
        "END",
        "ATTACH 'x.db' AS x",
        "PRAGMA synchronous = OFF",
        "PRAGMA foreign_keys = OFF",
        "CREATE TABLE y(a)",
        "CREATE TEMP TABLE y(a)",
        "DROP TABLE t",
        "ALTER TABLE t RENAME TO u",
        "UPDATE _monolite SET sequence = 0",
        "SELECT sequence FROM _monolite",
        "DELETE FROM sqlite_schema",
        "VACUUM",
        "ANALYZE",
        "REINDEX",
    ] {
        let error = store.write_blocking(move |tx| tx.execute(sql, [])).unwrap_err();
        assert!(matches!(error.kind(), Kind::Denied | Kind::Invalid), "{sql}: {error:?}");
        let read = store.read_blocking(|s| Ok::<_, Error>(s.prepare(sql)?.raw_query().next()?.map(|_| ())));
        let error = read.expect_err(sql);
        assert!(matches!(error.kind(), Kind::Denied | Kind::Invalid), "{sql}: {error:?}");
    }
    let error =
        store.read_blocking(|s| s.query_row("INSERT INTO t(v) VALUES ('x') RETURNING id", [], |r| r.get::<_, i64>(0)));
    assert!(error.is_err(), "a read cannot write");
    store.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES ('x')", [])).unwrap();
    assert_eq!(count(&store), 1);
}

#[test]
fn a_queued_write_whose_future_was_dropped_never_runs() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, small_queue());
    let (holder, go) = hold_writer(&store, Ticket::default());
    let ran = Arc::new(AtomicU32::new(0));
    for _ in 0..100 {
        let ran = ran.clone();
        drop(store.write(move |_| {
            ran.fetch_add(1, SeqCst);
            Ok::<_, Error>(())
        }));
    }
    let kept = store.write(|tx| tx.execute("INSERT INTO t(v) VALUES ('kept')", []));
    drop(go);
    futures(kept).unwrap();
    holder.join().unwrap();
    assert_eq!(ran.load(SeqCst), 0);
}

fn small_queue() -> Config {
    Config { queue_max: 4, ..Config::default() }
}

#[test]
fn a_full_queue_refuses_with_a_time_to_try_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, small_queue());
    let (holder, go) = hold_writer(&store, Ticket::default());
    let waiting: Vec<_> = (0..4).map(|_| store.write(|_| Ok::<_, Error>(()))).collect();
    let refused = futures(store.write(|_| Ok::<_, Error>(()))).unwrap_err();
    assert_eq!(refused.kind(), Kind::Overloaded);
    assert!(refused.retry_after().is_some());
    assert_eq!(store.status().queued, 4);
    drop(go);
    waiting.into_iter().for_each(|w| futures(w).unwrap());
    holder.join().unwrap();
}

#[test]
fn a_write_past_its_deadline_in_the_queue_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    let (holder, go) = hold_writer(&store, Ticket::default());
    let late = store.write_with(Ticket { deadline: Some(Instant::now()), ..Ticket::default() }, |tx| {
        tx.execute("INSERT INTO t(v) VALUES ('late')", [])
    });
    drop(go);
    assert_eq!(futures(late).unwrap_err().kind(), Kind::Late);
    holder.join().unwrap();
    assert_eq!(count(&store), 0);
}

#[test]
fn a_group_that_changed_nothing_takes_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    let before = store.sequence();
    let written = store.write_blocking_with(Ticket::default(), |_| Ok::<_, Error>(7)).unwrap();
    assert_eq!((written.value, written.sequence, store.sequence()), (7, before, before));
}

#[test]
fn waiting_for_a_write_inside_a_write_is_an_error_not_a_hang() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    let inner = store.clone();
    let kind = store
        .write_blocking(move |_| {
            Ok::<_, Error>(inner.write_blocking(|_| Ok::<_, Error>(())).expect_err("must not wait").kind())
        })
        .unwrap();
    assert_eq!(kind, Kind::Nested);
}

#[test]
fn the_wal_is_recycled_under_writes_and_reads() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { wal_soft_bytes: 2 << 20, ..Config::default() });
    let stop = Arc::new(AtomicU32::new(0));
    let reader = {
        let (store, stop) = (store.clone(), stop.clone());
        std::thread::spawn(move || {
            let sql = "SELECT count(v) FROM (SELECT v FROM t LIMIT 200)";
            while stop.load(SeqCst) == 0 {
                store.read_blocking(|s| s.query_row(sql, [], |r| r.get::<_, i64>(0))).unwrap();
            }
        })
    };
    let largest = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for w in 0..8 {
            let (store, largest) = (&store, &largest);
            scope.spawn(move || {
                for i in 0..1500 {
                    let v = format!("{w}-{i}-{}", "x".repeat(2000));
                    store.write_blocking(move |tx| tx.execute("INSERT INTO t(v) VALUES (?1)", [&v])).unwrap();
                    largest.fetch_max(store.status().wal_bytes, SeqCst);
                }
            });
        }
    });
    stop.store(1, SeqCst);
    reader.join().unwrap();
    let wal = std::fs::metadata(folder.path().join("S/S.db-wal")).unwrap().len();
    assert_eq!(count(&store), 12_000);
    println!("a WAL of {wal} bytes, {} in use at most", largest.load(SeqCst));
    assert!(wal < 32 << 20, "about 100 MB of frames were written through a WAL of {wal} bytes");
}

#[test]
fn a_store_that_was_abandoned_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    for i in 0..50 {
        store.write_blocking(move |tx| tx.execute("INSERT INTO t(v) VALUES (?1)", [i.to_string()])).unwrap();
    }
    store.abandon();
    let store = open(&folder, Config::default());
    assert_eq!(count(&store), 50);
}

#[test]
fn a_second_store_of_the_same_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    let error = Store::open(store.path(), Config::default(), migrations()).err().expect("refused");
    assert_eq!(error.kind(), Kind::Busy);
}

#[test]
fn a_closed_store_answers_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    let other = store.clone();
    store.close().unwrap();
    assert_eq!(futures(other.write(|_| Ok::<_, Error>(()))).unwrap_err().kind(), Kind::Closed);
    assert_eq!(futures(other.read(|_| Ok::<_, Error>(()))).unwrap_err().kind(), Kind::Closed);
}
