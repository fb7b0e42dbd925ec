//! How a store ends, and what must not end with a part of it: closes beside closes, handles inside closures, panics.

#![allow(clippy::unwrap_used)]

mod common;

use common::{done as block, within};
use monolite_store::{
    CheckpointMode, Config, Cursor, Error, Kind, Migration, Migrations, Observer, Progress, State, Stepwise, Store,
    Ticket, Tx, rusqlite,
};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v)";
const FIRST: Migration = Migration::Quick { name: "a", sql: SCHEMA };

fn open(folder: &tempfile::TempDir) -> Result<Store, Error> {
    Store::open(folder.path().join("x.db"), Config::default(), Migrations::new([FIRST]))
}

fn ids(store: &Store) -> Vec<i64> {
    store
        .read_blocking(|s| {
            let mut statement = s.prepare("SELECT id FROM t ORDER BY id")?;
            Ok::<_, Error>(statement.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?)
        })
        .unwrap()
}

fn insert(store: &Store) -> Result<usize, Error> {
    store.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES (1)", []))
}

/// Two ends of a gate: the closure announces itself and waits; the test lets it go.
fn gate() -> (impl Fn() + Send + 'static, Receiver<()>, SyncSender<()>) {
    let (entered, is_in) = sync_channel::<()>(1);
    let (go, wait) = sync_channel::<()>(1);
    let wait = Mutex::new(wait);
    let pass = move || {
        let _ = entered.try_send(());
        let _ = wait.lock().unwrap().recv();
    };
    (pass, is_in, go)
}

#[test]
fn the_file_stays_locked_until_the_first_of_two_closers_has_drained() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    let (pass, is_in, go) = gate();
    let held = store.write(move |tx| {
        pass();
        tx.execute("INSERT INTO t(v) VALUES (1)", [])
    });
    is_in.recv().unwrap();
    let waiting: Vec<_> =
        (0..20).map(|i| store.write(move |tx| tx.execute("INSERT INTO t(v) VALUES (?1)", [i]))).collect();
    let closers: Vec<_> = [store.clone(), store]
        .into_iter()
        .map(|s| std::thread::spawn(move || s.close().map_err(|e| e.kind())))
        .collect();
    assert_eq!(open(&folder).err().map(|e| e.kind()), Some(Kind::Busy));
    drop(go);
    block(held).unwrap();
    waiting.into_iter().for_each(|w| assert_eq!(block(w).unwrap(), 1));
    closers.into_iter().for_each(|c| c.join().unwrap().unwrap());
    assert_eq!(ids(&open(&folder).unwrap()).len(), 21);
}

#[test]
fn a_last_handle_inside_a_write_lets_the_queue_drain_before_the_file_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    let (pass, is_in, go) = gate();
    let inner = store.clone();
    let first = store.write(move |tx| {
        let _ = inner.sequence();
        pass();
        tx.execute("INSERT INTO t(v) VALUES (1)", [])
    });
    is_in.recv().unwrap();
    let later: Vec<_> = (0..20).map(|_| store.write(move |tx| tx.execute("INSERT INTO t(v) VALUES (2)", []))).collect();
    drop(store);
    drop(go);
    block(first).unwrap();
    later.into_iter().for_each(|w| assert_eq!(block(w).unwrap(), 1));
    let end = Instant::now() + Duration::from_secs(10);
    let again = loop {
        match open(&folder) {
            Ok(store) => break store,
            Err(e) => assert!(e.kind() == Kind::Busy && Instant::now() < end, "{e:?}"),
        }
        std::thread::yield_now();
    };
    assert_eq!(ids(&again).len(), 21);
    insert(&again).unwrap();
}

#[test]
fn a_slow_read_keeps_the_file_locked_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    insert(&store).unwrap();
    let (pass, is_in, go) = gate();
    let read = store.read_with(Ticket::default().slow(), move |s| {
        let n: i64 = s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))?;
        pass();
        Ok::<_, Error>(n)
    });
    is_in.recv().unwrap();
    store.abandon();
    assert_eq!(open(&folder).err().map(|e| e.kind()), Some(Kind::Busy), "a connection still lives");
    drop(go);
    let _ = block(read);
    let end = Instant::now() + Duration::from_secs(10);
    while let Err(e) = open(&folder) {
        assert!(e.kind() == Kind::Busy && Instant::now() < end, "{e:?}");
        std::thread::yield_now();
    }
}

#[test]
fn close_leaves_a_file_that_is_whole_without_its_wal() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    insert(&store).unwrap();
    let other = store.clone();
    let read = store.read_with(Ticket::default().slow(), |s| {
        s.query_row("WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s) SELECT count(i) FROM s", [], |r| {
            r.get::<_, i64>(0)
        })
    });
    other.close().unwrap();
    assert!(block(read).is_err(), "the endless read was ended");
    let copy = folder.path().join("copy.db");
    std::fs::copy(folder.path().join("x.db"), &copy).unwrap();
    let c = rusqlite::Connection::open(&copy).unwrap();
    assert_eq!(c.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn closing_inside_a_read_is_an_error_not_a_hang() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    let kind = within(20, move || {
        store.read_blocking(|_| Ok::<_, Error>(store.clone().close().map_err(|e| e.kind()))).unwrap()
    });
    assert_eq!(kind, Err(Kind::Nested));
}

fn panics(_: &Tx<'_>, _: &mut Cursor) -> Result<Progress, Error> {
    panic!("in a batch")
}
static PANICS: Stepwise = Stepwise { name: "panics", step: panics };

fn swallows(tx: &Tx<'_>, cursor: &mut Cursor) -> Result<Progress, Error> {
    tx.execute("INSERT INTO t VALUES (100, 'undone')", [])?;
    let _ = tx.execute("INSERT OR ROLLBACK INTO t VALUES (100, 'again')", []);
    let _ = tx.execute("INSERT INTO t VALUES (200, 'outside of any transaction')", []);
    cursor.0 = 77;
    Ok(Progress::More)
}
static SWALLOWS: Stepwise = Stepwise { name: "swallows", step: swallows };

#[test]
fn a_batch_that_panics_or_loses_its_transaction_stops_its_migration_only() {
    for step in [&PANICS, &SWALLOWS] {
        let folder = tempfile::tempdir().unwrap();
        let migrations = Migrations::new([FIRST, Migration::Stepwise(step)]);
        let store = Store::open(folder.path().join("x.db"), Config::default(), migrations).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while store.status().trouble.is_none() {
            assert!(Instant::now() < end, "{} goes on", step.name);
            std::thread::yield_now();
        }
        insert(&store).unwrap();
        assert_eq!(ids(&store), [1], "{}: nothing of the batch stayed", step.name);
        assert_eq!(store.status().state, State::Serving);
    }
}

struct Bomb;
impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in a drop");
        }
    }
}

#[test]
fn a_panic_in_the_drop_of_a_closure_leaves_the_writer_alive() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    let bomb = Bomb;
    let first = store.write(move |tx| {
        let _ = &bomb;
        tx.execute("INSERT INTO t(v) VALUES (1)", [])
    });
    assert_eq!(within(20, move || block(first)).unwrap(), 1);
    assert_eq!(within(20, move || insert(&store)).unwrap(), 1);
}

struct PanicsAt(CheckpointMode);
impl Observer for PanicsAt {
    fn checkpointed(&self, mode: CheckpointMode, _: u64, _: u64, _: Duration) {
        if mode == self.0 {
            panic!("in an observer");
        }
    }
}

fn small_wal(observer: Option<Arc<dyn Observer>>) -> Config {
    Config { observer, wal_soft_bytes: 64 << 10, ..Config::default() }
}

fn fill(store: &Store, writes: usize) {
    for _ in 0..writes {
        store.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES (zeroblob(40000))", [])).unwrap();
    }
}

#[test]
fn a_panic_in_one_stores_checkpoint_leaves_the_others_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let migrations = || Migrations::new([FIRST]);
    let config = small_wal(Some(Arc::new(PanicsAt(CheckpointMode::Beside))));
    let bad = Store::open(folder.path().join("bad.db"), config, migrations()).unwrap();
    let good = Store::open(folder.path().join("good.db"), small_wal(None), migrations()).unwrap();
    fill(&bad, 20);
    fill(&good, 200);
    assert!(good.status().wal_bytes < 4 << 20, "{} bytes", good.status().wal_bytes);
}

#[test]
fn a_panic_of_the_writers_thread_refuses_writes_and_keeps_reads() {
    let folder = tempfile::tempdir().unwrap();
    let config = small_wal(Some(Arc::new(PanicsAt(CheckpointMode::Between))));
    let store = Store::open(folder.path().join("x.db"), config, Migrations::new([FIRST])).unwrap();
    let s = store.clone();
    let kind = within(60, move || {
        loop {
            if let Err(e) = s.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES (zeroblob(40000))", [])) {
                return e.kind();
            }
        }
    });
    assert!(matches!(kind, Kind::ReadOnly | Kind::OutcomeUnknown), "{kind:?}");
    assert!(!ids(&store).is_empty());
    assert!(matches!(store.status().state, State::ReadOnly(_)));
    within(20, move || drop(store));
    assert!(!ids(&open(&folder).unwrap()).is_empty());
}

struct PanicsWhenHeld;
impl Observer for PanicsWhenHeld {
    fn held(&self, _: &'static str, _: Duration) {
        panic!("in an observer");
    }
}

#[test]
fn nobody_holds_a_writer_whose_thread_panicked() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { observer: Some(Arc::new(PanicsWhenHeld)), ..Config::default() };
    let store = Store::open(folder.path().join("x.db"), config, Migrations::new([FIRST])).unwrap();
    let s = store.clone();
    assert_eq!(within(20, move || insert(&s)).unwrap_err().kind(), Kind::OutcomeUnknown);
    let s = store.clone();
    within(20, move || {
        while s.status().state == State::Serving {
            std::thread::yield_now();
        }
    });
    assert!(store.status().holder.is_none(), "{:?}", store.status().holder);
}

#[test]
fn a_refusal_never_rests_on_a_neighbour_that_was_undone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    let (pass, is_in, go) = gate();
    let held = store.write(move |_| {
        pass();
        Ok::<_, Error>(())
    });
    is_in.recv().unwrap();
    let runs = AtomicU32::new(0);
    let fickle = store.write(move |tx| {
        if runs.fetch_add(1, SeqCst) > 0 {
            return Err(Error::new(Kind::Invalid, "the second run refuses"));
        }
        tx.execute("INSERT INTO t VALUES (7, 'a')", [])
    });
    let other = store.write(|tx| tx.execute("INSERT OR ROLLBACK INTO t VALUES (7, 'b')", []));
    drop(go);
    block(held).unwrap();
    assert!(block(fickle).is_err());
    assert_eq!(block(other).unwrap(), 1, "nobody has 7");
    assert_eq!(ids(&store), [7]);
}

#[test]
fn reads_of_two_stores_inside_each_other_do_not_hang() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { slots_max: 1, ..Config::default() };
    let one = |name: &str| Store::open(folder.path().join(name), config.clone(), Migrations::new([FIRST])).unwrap();
    let (a, b) = (one("a.db"), one("b.db"));
    within(30, move || {
        let both = Barrier::new(2);
        std::thread::scope(|scope| {
            for (outer, inner) in [(&a, &b), (&b, &a)] {
                let both = &both;
                scope.spawn(move || {
                    let answer: Result<i64, Error> = outer.read_blocking(|_| {
                        both.wait();
                        inner.read_blocking(|s| s.query_row("SELECT 1", [], |r| r.get(0)))
                    });
                    assert_eq!(answer.unwrap(), 1);
                });
            }
        });
    });
}

#[test]
fn a_slow_read_whose_deadline_passed_in_the_queue_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    let ticket = Ticket::default().slow().deadline(Instant::now() - Duration::from_millis(1));
    let error = block(store.read_with(ticket, |_| -> Result<(), Error> { panic!("it ran") })).unwrap_err();
    assert_eq!(error.kind(), Kind::Late);
}

#[test]
fn a_limit_of_for_ever_is_a_long_time() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { slow_time_max: Duration::MAX, deadline: Duration::MAX, ..Config::default() };
    let store = Store::open(folder.path().join("x.db"), config, Migrations::new([FIRST])).unwrap();
    within(20, move || {
        assert_eq!(insert(&store).unwrap(), 1);
        let read = store.read_with(Ticket::default().slow(), |s| s.query_row("SELECT 1", [], |r| r.get::<_, i64>(0)));
        assert_eq!(block(read).unwrap().value, 1);
    });
}

#[test]
fn a_migration_cannot_make_temporary_objects() {
    let folder = tempfile::tempdir().unwrap();
    for sql in [
        "CREATE TABLE t(id); CREATE TABLE l(x); CREATE TRIGGER temp.r AFTER INSERT ON main.t BEGIN INSERT INTO l VALUES (1); END",
        "CREATE TABLE temp.x(a)",
        "CREATE VIEW temp.v AS SELECT 1",
    ] {
        let migrations = Migrations::new([Migration::Quick { name: "a", sql }]);
        assert!(Store::open(folder.path().join("x.db"), Config::default(), migrations).is_err(), "{sql}");
    }
}

#[test]
fn a_stranger_that_holds_sqlites_write_lock_for_a_moment_is_outwaited() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    let stranger = rusqlite::Connection::open(store.path()).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let write = store.write(|tx| tx.execute("INSERT INTO t(v) VALUES (1)", []));
    stranger.execute_batch("ROLLBACK").unwrap();
    block(write).unwrap();
    std::mem::forget(stranger); // closing it would drop the store's locks
}
