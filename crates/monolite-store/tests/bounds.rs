//! Bounds of groups, calls, connections and values: each is reached here, and what shows it.

#![allow(clippy::unwrap_used)]

mod common;

use common::{hold_writer, within};
use monolite_store::{Config, Error, Kind, Migration, Migrations, Store, Ticket, Write};
use std::time::{Duration, Instant};

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB) STRICT;";
const TEN_ROWS: &str =
    "INSERT INTO t(v) WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s LIMIT 10) SELECT NULL FROM s";

/// A store whose groups are bounded only by what a test says.
fn config() -> Config {
    Config { group_time_max: Duration::from_secs(60), ..Config::default() }
}

fn open(folder: &tempfile::TempDir, config: Config) -> Store {
    let migrations = Migrations::new(vec![Migration::Quick { name: "0001", sql: SCHEMA }]);
    Store::open(folder.path().join("S/S.db"), config, migrations).unwrap()
}

/// Runs writes that were queued together; answers how many commits they took.
fn commits_of(store: &Store, writes: usize, write: impl Fn(&Store) -> Write<usize, Error>) -> u64 {
    let (holder, go) = hold_writer(store, Ticket::default());
    let before = store.sequence();
    let queued: Vec<_> = (0..writes).map(|_| write(store)).collect();
    drop(go);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    queued.into_iter().for_each(|write| assert!(runtime.block_on(write).unwrap() > 0));
    holder.join().unwrap();
    store.sequence() - before
}

fn one_row(store: &Store) -> Write<usize, Error> {
    store.write(|tx| tx.execute("INSERT INTO t(v) VALUES (NULL)", []))
}

#[test]
fn a_group_ends_at_its_number_of_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { group_writes_max: 4, ..config() });
    assert_eq!(commits_of(&store, 12, one_row), 3);
    assert_eq!(store.status().reached.group_writes, 3);
}

#[test]
fn a_group_that_may_hold_nothing_holds_one_write() {
    for (writes, time) in [(0, Duration::from_secs(60)), (1024, Duration::ZERO), (0, Duration::ZERO)] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder, Config { group_writes_max: writes, group_time_max: time, ..Config::default() });
        let soon = || Ticket::default().deadline(Instant::now() + Duration::from_secs(5));
        for _ in 0..3 {
            // Before, the writer took nothing for ever, so that not even the deadline was seen.
            let (s, soon) = (store.clone(), soon());
            let written = within(30, move || s.write_blocking_with(soon, |tx| tx.execute(TEN_ROWS, [])));
            assert_eq!(written.unwrap().value, 10);
        }
    }
}

#[test]
fn a_group_ends_at_its_number_of_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { group_rows_max: 25, ..config() });
    assert_eq!(commits_of(&store, 6, |s| s.write(|tx| tx.execute(TEN_ROWS, []))), 2);
    assert_eq!(store.status().reached.group_rows, 1, "three are more than 25 rows, and three are left");
}

#[test]
fn a_group_ends_at_its_time_and_the_rest_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { group_time_max: Duration::from_millis(5), ..Config::default() });
    let slow = |s: &Store| {
        s.write(|tx| {
            let end = Instant::now() + Duration::from_millis(6);
            while Instant::now() < end {
                std::hint::spin_loop();
            }
            tx.execute("INSERT INTO t(v) VALUES (NULL)", [])
        })
    };
    // Not known to be slow, so all were taken into one group; each ends it, and the rest are given back.
    assert_eq!(commits_of(&store, 4, slow), 4);
    assert!(store.status().reached.group_time >= 1);
}

#[test]
fn writes_past_their_deadline_are_counted_wherever_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, config());
    let past = Ticket::default().deadline(Instant::now());
    let queued = store.write_blocking_with(past, |tx| tx.execute("INSERT INTO t(v) VALUES (NULL)", []));
    assert_eq!(queued.unwrap_err().kind(), Kind::Late);
    let soon = Ticket::default().deadline(Instant::now() + Duration::from_millis(100));
    let running = store.write_blocking_with(soon, |_| {
        let end = Instant::now() + Duration::from_millis(110);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        Ok::<_, Error>(())
    });
    assert_eq!(running.unwrap_err().kind(), Kind::Late);
    assert_eq!(store.status().reached.late, 2);
}

#[test]
fn threads_share_connections_beyond_their_bound() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { slots_max: 2, ..config() });
    assert_eq!(store.status().reader_connections, 0);
    let read = |s: &Store| s.read_blocking(|s| s.query_row("SELECT 1", [], |r| r.get::<_, i64>(0))).unwrap();
    for _ in 0..8 {
        let s = store.clone();
        std::thread::spawn(move || assert_eq!(read(&s), 1)).join().unwrap();
    }
    assert_eq!(store.status().reader_connections, 2);
}

#[test]
fn a_value_above_its_bound_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { value_max: 1 << 20, ..config() });
    let large = store.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES (zeroblob(2000000))", []));
    assert_eq!(large.unwrap_err().kind(), Kind::TooLarge);
    store.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES (zeroblob(1000000))", [])).unwrap();
}
