//! The threads of short reads: what turns out to be long leaves them, and what cannot leave is replaced. Its threads are the
//! process', so these tests take turns.

#![allow(clippy::unwrap_used)]

mod common;

use common::{done, within};
use monolite_store::{Config, Error, Kind, Migrations, Observer, ReadWith, SlowRun, Store, Tenant, Ticket};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// One kind: by its place in memory.
static MIXED: &str = "mixed";

const A: Tenant = Tenant(1);
const B: Tenant = Tenant(2);
const QUIET: Tenant = Tenant(3);

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(folder: &tempfile::TempDir) -> Store {
    let config = Config { slow_time_max: Duration::from_secs(300), ..Config::default() };
    Store::open(folder.path().join("S/S.db"), config, Migrations::new(vec![])).unwrap()
}

/// What a read of the one kind does.
#[derive(Clone)]
enum Does {
    /// Counts so far.
    Counts(i64),
    /// Waits outside of SQLite.
    Waits(Arc<Mutex<Receiver<()>>>),
}

/// Answers what it counted, and the thread that it ended on.
fn read(store: &Store, tenant: Tenant, does: Does) -> ReadWith<(i64, String), Error> {
    read_until(store, Ticket::label(MIXED).tenant(tenant), does)
}

fn read_until(store: &Store, ticket: Ticket, does: Does) -> ReadWith<(i64, String), Error> {
    store.read_with(ticket.slow(), move |s| {
        let counted = match &does {
            Does::Counts(most) => {
                let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT count(*) FROM n";
                s.query_row(sql, [most], |r| r.get(0))?
            }
            Does::Waits(until) => {
                let _ = until.lock().unwrap().recv();
                0
            }
        };
        Ok((counted, std::thread::current().name().unwrap_or_default().to_owned()))
    })
}

/// Makes the reads of these tenants known to be short.
fn short(store: &Store, tenants: &[Tenant]) {
    for tenant in tenants {
        let is_short = || done(read(store, *tenant, Does::Counts(1))).unwrap().value.1.starts_with("short-lane");
        while !(is_short() && is_short() && is_short()) {}
    }
}

fn wait_until_running(store: &Store, reads: usize) {
    let end = Instant::now() + Duration::from_secs(60);
    while store.status().slow_running < reads {
        assert!(Instant::now() < end, "{:?}", store.status());
        std::thread::yield_now();
    }
}

#[test]
fn a_read_that_was_taken_for_short_leaves_the_threads_of_the_short_ones() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    short(&store, &[A, B, QUIET]);
    let mut endless = [read(&store, A, Does::Counts(i64::MAX)), read(&store, B, Does::Counts(i64::MAX))];
    wait_until_running(&store, 2);
    let quiet = done(read(&store, QUIET, Does::Counts(7))).expect("not behind the long ones").value;
    assert_eq!(quiet.0, 7);
    assert!(quiet.1.starts_with("short-lane"), "{quiet:?}");
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(endless.iter_mut().all(|read| Pin::new(read).poll(cx).is_pending()), "it waited for their end");
    drop(endless);
    // It is repeated, and its answer is that of the whole.
    short(&store, &[A]);
    let moved = done(read(&store, A, Does::Counts(1_000_000))).unwrap().value;
    assert!(moved.0 == 1_000_000 && moved.1.starts_with("slow-lane"), "{moved:?}");
    let known = done(read(&store, A, Does::Counts(1))).unwrap().value;
    assert!(known.1.starts_with("slow-lane"), "and its kind is long from then on: {known:?}");
    assert_eq!((store.status().slow_queued, done(read(&store, QUIET, Does::Counts(7))).unwrap().value.0), (0, 7));
}

/// How often a read ran that was taken for short, is not, and has nobody who waits for it once it is stopped.
fn runs_until_given_up(store: &Store, tenant: Tenant) -> usize {
    short(store, &[tenant]);
    let runs = Arc::new(AtomicUsize::new(0));
    let (tell, is_stopped) = sync_channel::<()>(1);
    let (go, wait) = sync_channel::<()>(1);
    let (counts, wait) = (runs.clone(), Mutex::new(wait));
    let given_up: ReadWith<i64, Error> = store.read_with(Ticket::label(MIXED).tenant(tenant).slow(), move |s| {
        counts.fetch_add(1, SeqCst);
        // It is stopped here, since it is not short, and has yet to say so.
        let stopped = s.query_row(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n",
            [],
            |r| r.get(0),
        );
        let _ = tell.try_send(());
        let _ = wait.lock().unwrap().recv();
        stopped
    });
    is_stopped.recv().unwrap();
    drop(given_up);
    drop(go);
    let end = Instant::now() + Duration::from_secs(60);
    while Arc::strong_count(&runs) > 1 {
        assert!(Instant::now() < end, "it is kept");
        std::thread::yield_now();
    }
    runs.load(SeqCst)
}

#[test]
fn a_short_read_that_nobody_waits_for_any_more_is_not_repeated() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    assert_eq!(runs_until_given_up(&store, A), 1);
    assert_eq!((store.status().slow_queued, done(read(&store, QUIET, Does::Counts(7))).unwrap().value.0), (0, 7));
}

struct PanicsAtSlow;
impl Observer for PanicsAtSlow {
    fn slow(&self, _: &SlowRun) {
        panic!("in an observer");
    }
}

#[test]
fn an_observer_that_panics_at_a_slow_read_ends_no_thread_of_the_short_ones() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        slow_time_max: Duration::from_secs(300),
        slow_read: Duration::from_millis(9),
        observer: Some(Arc::new(PanicsAtSlow)),
        ..Config::default()
    };
    let store = Store::open(folder.path().join("S/S.db"), config, Migrations::new(vec![])).unwrap();
    for tenant in 10..14 {
        runs_until_given_up(&store, Tenant(tenant)); // a short read is stopped after 10 ms
    }
    assert!(store.slow_runs().len() >= 4, "{:?}", store.slow_runs());
    within(60, move || short(&store, &[QUIET]));
}

#[test]
fn threads_of_short_reads_that_nothing_can_stop_are_replaced() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    short(&store, &[A, B, QUIET]);
    let (go, wait) = sync_channel(0);
    let wait = Arc::new(Mutex::new(wait));
    let stuck = [read(&store, A, Does::Waits(wait.clone())), read(&store, B, Does::Waits(wait))];
    wait_until_running(&store, 2);
    for n in 1..20 {
        let quiet = done(read(&store, QUIET, Does::Counts(n))).expect("another thread takes it").value;
        assert_eq!(quiet.0, n);
    }
    drop(go);
    stuck.into_iter().for_each(|read| assert_eq!(done(read).unwrap().value.0, 0));
}

/// Reads that nothing can stop, until the sender goes: those of so many tenants on the threads of the short ones, then of others
/// on those of the long ones.
fn stuck(
    store: &Store,
    until: &Arc<Mutex<Receiver<()>>>,
    short_ones: u64,
    long_ones: u64,
) -> Vec<ReadWith<(i64, String), Error>> {
    let tenants: Vec<_> = (10..10 + short_ones).map(Tenant).collect();
    short(store, &tenants);
    let mut stuck = Vec::new();
    for tenant in tenants {
        stuck.push(held_past_its_deadline(store, Ticket::label(MIXED).tenant(tenant), until, stuck.len()));
    }
    for tenant in 20..20 + long_ones {
        stuck.push(held_past_its_deadline(store, Ticket::label("unknown").tenant(Tenant(tenant)), until, stuck.len()));
    }
    stuck
}

/// One more read that runs until the sender goes. It has a deadline that passes soon: where no thread takes it before that, it is
/// asked again.
fn held_past_its_deadline(
    store: &Store,
    ticket: Ticket,
    until: &Arc<Mutex<Receiver<()>>>,
    running: usize,
) -> ReadWith<(i64, String), Error> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let deadline = Instant::now() + Duration::from_secs(3);
        let mut read = read_until(store, ticket.deadline(deadline), Does::Waits(until.clone()));
        let cx = &mut Context::from_waker(Waker::noop());
        while Pin::new(&mut read).poll(cx).is_pending() {
            if store.status().slow_running > running {
                return read;
            }
            assert!(Instant::now() < end, "{:?}", store.status());
            std::thread::yield_now();
        }
    }
}

#[test]
fn short_reads_go_on_where_all_of_their_threads_are_stuck() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    short(&store, &[QUIET]);
    let (go, wait) = sync_channel(0);
    let stuck = stuck(&store, &Arc::new(Mutex::new(wait)), 4, 0);
    let quiet = store.clone();
    within(60, move || {
        for n in 1..20 {
            assert_eq!(done(read(&quiet, QUIET, Does::Counts(n))).unwrap().value.0, n);
        }
    });
    drop(go);
    stuck.into_iter().for_each(|read| drop(done(read)));
    assert!(done(read(&store, QUIET, Does::Counts(1))).unwrap().value.1.starts_with("short-lane"));
}

#[test]
fn where_every_thread_is_held_past_its_deadline_a_read_is_refused_at_once() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    short(&store, &[QUIET]);
    let (go, wait) = sync_channel(0);
    let stuck = stuck(&store, &Arc::new(Mutex::new(wait)), 4, 3);
    for label in [MIXED, "nobody knows it"] {
        let end = Instant::now() + Duration::from_secs(60);
        let refused = loop {
            // Until they are past their deadline for long enough, it waits for its own.
            let ticket = Ticket::label(label).tenant(QUIET).deadline(Instant::now() + Duration::from_millis(50));
            let error = done(read_until(&store, ticket, Does::Counts(1))).expect_err("no thread is free");
            if error.kind() == Kind::Overloaded {
                break error;
            }
            assert_eq!(error.kind(), Kind::Late, "{error}");
            assert!(Instant::now() < end, "it is not refused: {:?}", store.status());
        };
        assert!(refused.retry_after().is_some() && !refused.is_own_fault(), "{refused}");
        assert!(refused.to_string().contains("cannot be stopped"), "{refused}");
        assert_eq!(store.status().slow_queued, 0);
    }
    drop(go);
    stuck.into_iter().for_each(|read| drop(done(read)));
    let end = Instant::now() + Duration::from_secs(60);
    while done(read(&store, QUIET, Does::Counts(1))).is_err() {
        assert!(Instant::now() < end, "they are free again");
    }
}
