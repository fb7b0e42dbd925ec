//! Lack of memory, panics, dropped futures, dead threads: the store stays usable or stops with a typed error, and no
//! lock is left.

#![allow(clippy::unwrap_used)]

mod common;

use common::{done, within};
use monolite_store::{Config, Error, Kind, Migration, Migrations, Observer, State, Store, Ticket};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, b BLOB) STRICT; CREATE INDEX i ON t(v);";

fn open(path: &std::path::Path, config: Config) -> Result<Store, Error> {
    Store::open(path, config, Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }]))
}

fn insert(store: &Store, v: &'static str) -> Result<usize, Error> {
    store.write_blocking(move |tx| tx.execute("INSERT INTO t(v) VALUES (?1)", [v]))
}

fn count(store: &Store) -> Result<i64, Error> {
    store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get(0)))
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The store works: it writes, reads what it wrote, and another opener gets the file after it ends.
fn works(store: Store) {
    within(60, move || {
        let before = count(&store).unwrap();
        insert(&store, "after").unwrap();
        assert_eq!(count(&store).unwrap(), before + 1);
        assert_eq!(store.status().state, State::Serving);
        let path = store.path().to_owned();
        store.close().unwrap();
        assert_eq!(count(&open(&path, Config::default()).unwrap()).unwrap(), before + 1);
    });
}

#[test]
fn a_write_whose_future_is_dropped_at_any_moment_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("S.db"), Config::default()).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    for round in 0..300u64 {
        let ran = ran.clone();
        let mut write = Box::pin(store.write(move |tx| {
            ran.fetch_add(1, SeqCst);
            tx.execute("INSERT INTO t(v) VALUES ('one')", [])?;
            tx.execute("INSERT INTO t(v) VALUES ('two')", [])
        }));
        // Before its first poll, after it, and ever later: queued, running, committing, answered.
        let until = Instant::now() + Duration::from_micros(round * 3);
        if round % 3 > 0 {
            let _ = poll_once(write.as_mut());
        }
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        drop(write);
    }
    insert(&store, "last").unwrap(); // behind them all
    let ones = "SELECT count(*) FILTER (WHERE v = 'one') - count(*) FILTER (WHERE v = 'two'), count(*) FROM t";
    let (halves, rows) =
        store.read_blocking(|s| s.query_row(ones, [], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?)))).unwrap();
    assert_eq!(halves, 0);
    assert!(rows as usize <= 2 * ran.load(SeqCst) + 1, "{rows} rows of {} runs", ran.load(SeqCst));
    assert_eq!(store.status().queued, 0);
    works(store);
}

#[test]
fn a_read_whose_future_is_dropped_at_any_moment_leaves_no_snapshot_and_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("S.db"), Config { slow_queue_max: 8, ..Config::default() }).unwrap();
    insert(&store, "a").unwrap();
    for round in 0..200u64 {
        let mut read = pin!(store.read_with(Ticket::default().slow(), |s| {
            s.query_row("WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i < 5000) SELECT count(*) FROM s, t", [], |r| r.get::<_, i64>(0))
        }));
        let until = Instant::now() + Duration::from_micros(round * 3);
        if round % 3 > 0 {
            let _ = poll_once(read.as_mut());
        }
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
    let end = Instant::now() + Duration::from_secs(30);
    while store.status().slow_queued > 0 {
        assert!(Instant::now() < end, "{} reads wait for ever", store.status().slow_queued);
        std::thread::yield_now();
    }
    works(store);
}

struct Bomb(Arc<AtomicUsize>);
impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        if !std::thread::panicking() {
            panic!("in a drop");
        }
    }
}

#[derive(Debug)]
struct Panicky;
impl From<Error> for Panicky {
    fn from(_: Error) -> Self {
        panic!("in a conversion of the caller's")
    }
}

#[test]
fn panics_in_every_closure_and_in_what_it_holds_fail_their_own_call_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("S.db"), Config::default()).unwrap();
    insert(&store, "a").unwrap();
    let kinds = |e: Error| assert_eq!(e.kind(), Kind::Panicked, "{e}");
    kinds(store.write_blocking(|_| -> Result<(), Error> { panic!("in a write") }).unwrap_err());
    kinds(store.read_blocking(|_| -> Result<(), Error> { panic!("in a read") }).unwrap_err());
    let slow = Ticket::default().slow();
    kinds(store.read_blocking_with(slow, |_| -> Result<(), Error> { panic!("in a slow read") }).unwrap_err());
    let lane = store.read_with(slow, |_| -> Result<(), Error> { panic!("in the lane") });
    kinds(done(lane).unwrap_err());
    kinds(
        store
            .write_blocking(|tx| {
                tx.execute("INSERT INTO t(v) VALUES ('half')", [])?;
                let mut statement = tx.prepare("SELECT v FROM t")?;
                let _rows: Vec<String> =
                    statement.query_map([], |_| -> Result<String, _> { panic!("in a row") })?.flatten().collect();
                Ok::<_, Error>(())
            })
            .unwrap_err(),
    );
    let drops = Arc::new(AtomicUsize::new(0));
    let bomb = Bomb(drops.clone());
    let both = store.write_blocking(move |_| -> Result<(), Error> {
        let _ = &bomb;
        panic!("in a write that holds what panics too")
    });
    kinds(both.unwrap_err());
    assert_eq!(drops.swap(0, SeqCst), 1);
    assert_eq!(store.status().state, State::Serving);
    let bomb = Bomb(drops.clone());
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.write_blocking(move |tx| {
            let _ = &bomb;
            tx.execute("INSERT INTO t(v) VALUES ('b')", [])
        })
    }));
    assert_eq!(drops.load(SeqCst), 1);
    let s = store.clone();
    // The caller's own conversion panics on the thread that makes the error: the store outlives that too.
    let _ = within(30, move || {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            s.write_blocking_with(Ticket::default().deadline(Instant::now() - Duration::from_secs(1)), |_| {
                Ok::<(), Panicky>(())
            })
            .map(|_| ())
        }))
        .is_err()
    });
    let _ = insert(&store, "c");
    assert!(count(&store).unwrap() >= 2, "reads go on");
}

struct PanicsWhenAsked(Arc<AtomicUsize>);
impl Observer for PanicsWhenAsked {
    fn committed(&self, _: usize, _: Duration) {
        if self.0.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok() {
            panic!("in an observer");
        }
    }
}

#[test]
fn the_death_of_the_writer_between_commit_and_answer_is_told_and_the_file_is_free_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let fuse = Arc::new(AtomicUsize::new(0));
    let config = Config { observer: Some(Arc::new(PanicsWhenAsked(fuse.clone()))), ..Config::default() };
    let store = open(&path, config).unwrap();
    insert(&store, "a").unwrap();
    fuse.store(1, SeqCst);
    let s = store.clone();
    let error = within(30, move || insert(&s, "b")).unwrap_err();
    assert_eq!(error.kind(), Kind::OutcomeUnknown, "{error}: it was committed, but nobody may say so");
    let s = store.clone();
    assert_eq!(within(30, move || insert(&s, "c")).unwrap_err().kind(), Kind::ReadOnly);
    assert!(matches!(store.status().state, State::ReadOnly(_)));
    assert!(count(&store).unwrap() >= 1);
    within(30, move || drop(store));
    works(open(&path, Config::default()).unwrap());
}

#[test]
fn a_thread_that_dies_in_a_read_frees_its_slot() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("S.db"), Config { slots_max: 1, ..Config::default() }).unwrap();
    insert(&store, "a").unwrap();
    for _ in 0..20 {
        let s = store.clone();
        let died = std::thread::spawn(move || {
            let _ = s.read_blocking(|s| {
                let _: i64 = s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))?;
                Ok::<_, Error>(())
            });
            panic!("outside of the read, its snapshot kept");
        });
        assert!(died.join().is_err());
    }
    works(store);
}
