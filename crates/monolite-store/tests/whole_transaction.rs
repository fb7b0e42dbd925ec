//! The errors with which SQLite ends the *whole* transaction, each beside innocent neighbours in one group.
//!
//! **Invariants**
//! - The culprit is answered with its own kind, whatever its closure returned; nothing of it is kept.
//! - The innocent run again and are acknowledged; what they wrote is there after a reopen.
//!
//! What SQLite does in each case was learnt by experiment; the cases are those of the store's design, and those beside
//! them that end one statement only, so that a change in SQLite is noticed.

mod common;

use common::{child, child_in_a_small_world, childs_path, done as answer, hold_writer, limit_memory, memory_in_use};
use monolite_store::{Config, Error, Kind, Migration, Migrations, State, Store, Ticket, Tx};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SCHEMA: &str = "
CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT UNIQUE) STRICT;
CREATE TABLE many(x INTEGER) STRICT;
CREATE TABLE big(b BLOB) STRICT;
CREATE TABLE trap(x INTEGER) STRICT;
CREATE TRIGGER trapped BEFORE INSERT ON trap WHEN NEW.x < 0 BEGIN SELECT RAISE(ROLLBACK, 'trapped'); END;
CREATE TRIGGER aborted BEFORE INSERT ON trap WHEN NEW.x = 0 BEGIN SELECT RAISE(ABORT, 'aborted'); END;
WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i < 20000) INSERT INTO many SELECT i FROM s;";

const ENDLESS: &str = "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s)";

fn open(path: &Path) -> Store {
    let migrations = Migrations::new(vec![Migration::Quick { name: "0001", sql: SCHEMA }]);
    // What is queued together stays one group, however busy the machine is.
    let config = Config { group_time_max: Duration::from_secs(60), ..Config::default() };
    Store::open(path, config, migrations).expect("opens")
}

fn texts(store: &Store) -> Vec<String> {
    store
        .read_blocking(|s| {
            let mut statement = s.prepare("SELECT v FROM t ORDER BY v")?;
            let rows = statement.query_map([], |r| r.get(0))?;
            Ok::<_, Error>(rows.collect::<Result<_, _>>()?)
        })
        .expect("reads")
}

/// Runs `culprit` between two innocent writes of one group. Answers the culprit's kind and how often the first
/// innocent one ran: once more where the group's transaction is gone, or has to be given up since the culprit changed
/// something and had no savepoint.
fn among_innocents(
    store: &Store,
    ticket: Ticket,
    culprit: impl FnMut(&Tx<'_>) -> Result<(), Error> + Send + 'static,
) -> (Kind, u32) {
    among_innocents_by(store, || ticket, culprit)
}

/// The same with a ticket that is made when the culprit is queued.
fn among_innocents_by(
    store: &Store,
    ticket: impl FnOnce() -> Ticket,
    culprit: impl FnMut(&Tx<'_>) -> Result<(), Error> + Send + 'static,
) -> (Kind, u32) {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let (holder, go) = hold_writer(store, Ticket::default());
    let before = store.write(move |tx| {
        counted.fetch_add(1, SeqCst);
        tx.execute("INSERT INTO t(v) VALUES ('before')", [])
    });
    let culprit = store.write_with(ticket(), culprit);
    let after = store.write_with(Ticket::default(), |tx| tx.execute("INSERT INTO t(v) VALUES ('after')", []));
    drop(go);
    let error = answer(culprit).expect_err("the culprit is answered with an error");
    answer(before).expect("the innocent before it");
    let after = answer(after).expect("the innocent behind it");
    holder.join().expect("joins");
    assert_eq!(store.sequence(), after.sequence);
    (error.kind(), runs.load(SeqCst))
}

fn check(expect: Kind, runs: u32, ticket: Ticket, culprit: impl FnMut(&Tx<'_>) -> Result<(), Error> + Send + 'static) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("S/S.db");
    let store = open(&path);
    let found = among_innocents(&store, ticket, culprit);
    assert_eq!(found, (expect, runs));
    nothing_is_left_of_the_culprit(&store);
    store.abandon();
    nothing_is_left_of_the_culprit(&open(&path));
}

fn nothing_is_left_of_the_culprit(store: &Store) {
    assert_eq!(texts(store), ["after", "before"]);
    assert_eq!(store.status().state, State::Serving);
    let sql = "SELECT (SELECT count(*) FROM big) + (SELECT count(*) FROM trap) + (SELECT sum(x) FROM many)";
    let left = store.read_blocking(|s| s.query_row(sql, [], |r| r.get::<_, i64>(0))).expect("reads");
    assert_eq!(left, 20000 * 20001 / 2, "something of the culprit was kept");
}

/// As [`check`], of a culprit that is late. Where the machine was so busy that it came to its turn with hardly any time
/// left, or not at all, it gets more: what is looked at is the end of a write that had begun.
fn check_late(culprit: impl FnMut(&Tx<'_>) -> Result<(), Error> + Clone + Send + 'static) {
    for ms in [400, 2_000, 10_000, 50_000] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("S/S.db");
        let store = open(&path);
        let (ends, begun) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let (noted, mut act) = (begun.clone(), culprit.clone());
        let ticket = || {
            let end = Instant::now() + Duration::from_millis(ms);
            *ends.lock().expect("nobody panics with it") = Some(end);
            Ticket::label("late").deadline(end)
        };
        let found = among_innocents_by(&store, ticket, move |tx| {
            noted.lock().expect("nobody panics with it").get_or_insert_with(Instant::now);
            act(tx)
        });
        let (end, begun) =
            (*ends.lock().expect("nobody panics with it"), *begun.lock().expect("nobody panics with it"));
        let left = end.zip(begun).map_or(Duration::ZERO, |(end, begun)| end.saturating_duration_since(begun));
        if left < Duration::from_millis(ms / 2) {
            continue;
        }
        assert_eq!(found, (Kind::Late, 2));
        nothing_is_left_of_the_culprit(&store);
        store.abandon();
        return nothing_is_left_of_the_culprit(&open(&path));
    }
    panic!("a write never came to its turn within 50 s");
}

#[test]
fn constraint_ends_its_own_write_only() {
    check(Kind::Constraint, 2, Ticket::default(), |tx| {
        tx.execute("INSERT INTO big VALUES (x'00')", [])?;
        tx.execute("INSERT INTO t(v) VALUES ('before')", []).map(drop)
    });
}

#[test]
fn refusal_before_any_change_costs_its_neighbours_nothing() {
    check(Kind::Constraint, 1, Ticket::default(), |tx| tx.execute("INSERT INTO t(v) VALUES ('before')", []).map(drop));
}

#[test]
fn change_that_was_not_yet_counted_when_the_write_failed_is_undone() {
    check(Kind::Invalid, 2, Ticket::default(), |tx| {
        let mut insert = tx.prepare("INSERT INTO big VALUES (x'00') RETURNING rowid")?;
        let mut rows = insert.query([])?;
        rows.next()?;
        std::mem::forget(rows);
        std::mem::forget(insert); // stays in the middle of its rows: SQLite counts changes when a statement ends
        Err(Error::new(Kind::Invalid, "on purpose"))
    });
}

#[test]
fn change_that_was_not_yet_counted_when_the_write_ended_well_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("S/S.db");
    let store = open(&path);
    let write = |tx: &Tx<'_>| {
        let mut insert = tx.prepare("INSERT INTO big VALUES (x'00') RETURNING rowid")?;
        let mut rows = insert.query([])?;
        rows.next()?;
        std::mem::forget(rows);
        std::mem::forget(insert);
        Ok::<_, Error>(())
    };
    let written = store.write_blocking_with(Ticket::default(), write).expect("is kept");
    assert_eq!(written.sequence, store.sequence());
    store.abandon();
    assert_eq!(count_big(&open(&path)), 1);
}

/// A kind of write that failed late gets savepoints from then on: its failures cost neighbours nothing more.
#[test]
fn kind_that_failed_late_once_is_guarded_from_then_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("S/S.db"));
    let fails = |tx: &Tx<'_>| {
        tx.execute("INSERT INTO big VALUES (x'00')", [])?;
        tx.execute("INSERT INTO t(v) VALUES ('before')", []).map(drop)
    };
    let ticket = Ticket::label("fails late");
    assert_eq!(among_innocents(&store, ticket, fails), (Kind::Constraint, 2));
    store.write_blocking(|tx| tx.execute("DELETE FROM t", [])).expect("room for the next");
    assert_eq!(among_innocents(&store, ticket, fails), (Kind::Constraint, 1));
    nothing_is_left_of_the_culprit(&store);
}

#[test]
fn raise_abort_ends_its_own_write_only() {
    check(Kind::Constraint, 2, Ticket::default(), |tx| {
        tx.execute("INSERT INTO big VALUES (x'00')", [])?;
        tx.execute("INSERT INTO trap VALUES (0)", []).map(drop)
    });
}

#[test]
fn or_rollback_is_answered_and_the_innocent_run_again() {
    check(Kind::Constraint, 2, Ticket::default(), |tx| {
        tx.execute("INSERT INTO big VALUES (x'00')", [])?;
        tx.execute("INSERT OR ROLLBACK INTO t(v) VALUES ('before')", []).map(drop)
    });
}

#[test]
fn raise_rollback_is_answered_and_the_innocent_run_again() {
    check(Kind::Constraint, 2, Ticket::default(), |tx| tx.execute("INSERT INTO trap VALUES (-1)", []).map(drop));
}

#[test]
fn culprit_that_hides_its_error_and_goes_on_is_answered_all_the_same() {
    check(Kind::Internal, 2, Ticket::default(), |tx| {
        let _ = tx.execute("INSERT INTO trap VALUES (-1)", []);
        let _ = tx.execute("INSERT INTO big VALUES (x'00')", []);
        Ok(())
    });
}

#[test]
fn culprit_that_panics_after_it_ended_the_transaction_fails_alone() {
    check(Kind::Panicked, 2, Ticket::default(), |tx| {
        let _ = tx.execute("INSERT INTO trap VALUES (-1)", []);
        panic!("on purpose");
    });
}

#[test]
fn deadline_inside_an_update_is_answered_and_the_innocent_run_again() {
    check_late(|tx| {
        loop {
            tx.execute("UPDATE many SET x = x + 1", [])?;
        }
    });
}

#[test]
fn deadline_inside_an_insert_from_a_select_is_answered_and_the_innocent_run_again() {
    check_late(|tx| tx.execute(&format!("{ENDLESS} INSERT INTO trap SELECT i FROM s"), []).map(drop));
}

#[test]
fn deadline_inside_a_select_ends_its_own_write_only() {
    check_late(|tx| {
        tx.execute("INSERT INTO big VALUES (x'00')", [])?;
        tx.query_row(&format!("{ENDLESS} SELECT count(*) FROM s"), [], |_| Ok(()))
    });
}

#[test]
fn deadline_counts_even_if_the_closure_returns_ok() {
    check_late(|tx| {
        tx.execute("INSERT INTO big VALUES (x'00')", [])?;
        let _ = tx.query_row(&format!("{ENDLESS} SELECT count(*) FROM s"), [], |_| Ok(()));
        Ok(())
    });
}

#[test]
fn several_culprits_in_one_group_are_each_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("S.db"));
    let (holder, go) = hold_writer(&store, Ticket::default());
    let writes: Vec<_> = (0..40)
        .map(|n| {
            store.write(move |tx| match n % 4 {
                0 => tx.execute("INSERT INTO trap VALUES (-1)", []),
                1 => tx.execute("INSERT OR ROLLBACK INTO many(rowid, x) VALUES (1, 1)", []),
                _ => tx.execute("INSERT INTO t(v) VALUES (?1)", [format!("{n:02}")]),
            })
        })
        .collect();
    drop(go);
    for (n, write) in writes.into_iter().enumerate() {
        assert_eq!(answer(write).is_ok(), n % 4 > 1, "write {n}");
    }
    holder.join().expect("joins");
    assert_eq!(texts(&store).len(), 20);
}

#[test]
fn full_disk_is_told_as_full_and_the_store_goes_on_when_there_is_room() {
    child_in_a_small_world("child_with_a_full_disk", 8);
}

#[test]
#[ignore = "a process of its own, run by the test above"]
fn child_with_a_full_disk() {
    let Some(path) = childs_path() else { return };
    let store = open(&path);
    let ballast = path.with_file_name("ballast");
    for round in 0..3 {
        fill_the_disk(&ballast);
        let (holder, go) = hold_writer(&store, Ticket::default());
        // It fits into memory and not onto the disk: the commit fails.
        let large = store.write(|tx| tx.execute("INSERT INTO big SELECT randomblob(1000) FROM many LIMIT 3000", []));
        let neighbour = store.write(|tx| tx.execute("INSERT INTO t(v) VALUES ('neighbour')", []));
        drop(go);
        assert_eq!(answer(large).expect_err("there is no room").kind(), Kind::Full);
        // In one group with it or in the next one: what is told is what is there.
        let kept = answer(neighbour).is_ok();
        holder.join().expect("joins");
        assert_eq!(texts(&store).contains(&"neighbour".to_owned()), kept);
        assert_eq!(count_big(&store), 0, "reads go on");
        assert_eq!(store.status().state, State::Serving);
        std::fs::remove_file(&ballast).expect("there is one");
        let sql = "INSERT OR REPLACE INTO t(id, v) VALUES (?1, 'room ' || ?1)";
        store.write_blocking(move |tx| tx.execute(sql, [round + 100])).expect("writes resume by themselves");
        store.write_blocking(|tx| tx.execute("DELETE FROM t WHERE v = 'neighbour'", [])).expect("and go on");
    }
    store.abandon();
    let store = open(&path);
    assert_eq!(texts(&store), ["room 100", "room 101", "room 102"]);
    assert_eq!(count_big(&store), 0);
    assert_eq!(store.check().expect("checks").problems, Vec::<String>::new());
}

fn count_big(store: &Store) -> i64 {
    store.read_blocking(|s| s.query_row("SELECT count(*) FROM big", [], |r| r.get(0))).expect("reads")
}

/// Leaves room for a few pages.
fn fill_the_disk(ballast: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(ballast).expect("creates");
    while file.write_all(&[7; 4096]).is_ok() {}
    let length = file.metadata().expect("is open").len();
    file.set_len(length.saturating_sub(64 << 10)).expect("shrinks");
}

#[test]
fn lack_of_memory_fails_its_own_write_and_the_store_goes_on() {
    child("child_without_memory", Command::new("env"));
}

#[test]
#[ignore = "a process of its own, run by the test above"]
fn child_without_memory() {
    let Some(path) = childs_path() else { return };
    let store = open(&path);
    let (holder, go) = hold_writer(&store, Ticket::default());
    let before = store.write(|tx| tx.execute("INSERT INTO t(v) VALUES ('before')", []));
    let culprit = store.write(|tx| {
        limit_memory(Some(memory_in_use() + (16 << 20)));
        let refused = tx.execute("INSERT INTO big VALUES (randomblob(50000000))", []);
        limit_memory(None);
        refused
    });
    let after = store.write(|tx| tx.execute("INSERT INTO t(v) VALUES ('after')", []));
    drop(go);
    let error = answer(culprit).expect_err("there is no memory");
    assert_eq!(error.kind(), Kind::Overloaded, "{error}");
    answer(before).expect("the innocent before it");
    answer(after).expect("the innocent behind it");
    holder.join().expect("joins");
    assert_eq!(texts(&store), ["after", "before"]);
}
