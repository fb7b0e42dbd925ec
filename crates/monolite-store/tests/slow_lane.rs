//! The slow lane between tenants, and its bounds. Its threads are the process', so these tests take turns.

#![allow(clippy::unwrap_used)]

mod common;

use common::{done, within};
use monolite_store::{Config, Error, Kind, Migration, Migrations, ReadWith, Snapshot, Store, Tenant, Ticket, Tx};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

const NOISY: Tenant = Tenant(1);
const QUIET: Tenant = Tenant(2);

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(folder: &tempfile::TempDir, config: Config) -> Store {
    Store::open(folder.path().join("S/S.db"), config, Migrations::new(vec![])).unwrap()
}

fn ticket(tenant: Tenant) -> Ticket {
    Ticket::label("slow").tenant(tenant).slow()
}

/// A ticket of a kind of its own: nothing is known of it, so it counts as long.
fn unknown(tenant: Tenant) -> Ticket {
    static KINDS: AtomicUsize = AtomicUsize::new(0);
    let label = format!("unknown {}", KINDS.fetch_add(1, SeqCst));
    Ticket::label(label.leak()).tenant(tenant).slow()
}

/// A read that says that it has begun and then waits for its sender to go.
struct Held {
    read: ReadWith<(), Error>,
    begun: Receiver<()>,
    go: SyncSender<()>,
}

fn hold(store: &Store, tenant: Tenant) -> Held {
    let (tell, begun) = sync_channel::<()>(1);
    let (go, wait) = sync_channel::<()>(1);
    let wait = Mutex::new(wait);
    let read = store.read_with(unknown(tenant), move |_| {
        let _ = tell.try_send(());
        let _ = wait.lock().unwrap().recv();
        Ok(())
    });
    Held { read, begun, go }
}

impl Held {
    fn begin(self) -> Self {
        self.begun.recv().unwrap();
        self
    }

    fn end(self) -> Result<(), Error> {
        drop(self.go);
        done(self.read).map(|seen| seen.value)
    }
}

fn quick(store: &Store, ticket: Ticket) -> ReadWith<i64, Error> {
    store.read_with(ticket, |s| s.query_row("SELECT 1", [], |r| r.get(0)))
}

#[test]
fn a_tenant_that_reads_without_end_leaves_a_thread_to_others() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    let running = [hold(&store, NOISY).begin(), hold(&store, NOISY).begin()];
    let mut waiting: Vec<_> = (0..20).map(|_| hold(&store, NOISY)).collect();
    for _ in 0..3 {
        assert_eq!(done(quick(&store, ticket(QUIET))).unwrap().value, 1);
    }
    assert!(waiting.iter().all(|held| held.begun.try_recv().is_err()), "two of a tenant at a time");
    assert_eq!((store.status().slow_running, store.status().slow_queued), (2, 20));
    let third = waiting.remove(0);
    running.into_iter().for_each(|held| held.end().unwrap());
    third.begin().end().unwrap();
    waiting.into_iter().for_each(|held| held.end().unwrap());
    assert_eq!(store.status().slow_queued, 0);
}

#[test]
fn a_read_that_is_known_to_be_short_does_not_wait_behind_long_ones() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { slow_tenant_queue_max: 4, ..Config::default() });
    let lane = || {
        done(store.read_with::<_, Error, _>(ticket(QUIET), |_| Ok(std::thread::current().name().map(str::to_owned))))
    };
    let is_short = || lane().unwrap().value.is_some_and(|name| name.starts_with("short-lane"));
    while !(is_short() && is_short()) {} // the first of them open connections
    let busy = [hold(&store, NOISY).begin(), hold(&store, NOISY).begin(), hold(&store, Tenant(3)).begin()];
    for _ in 0..10 {
        assert!(is_short());
    }
    // One that blocks its thread is so no more, whatever CPU time it takes; nor is what nobody knows.
    let waits_too = quick(&store, unknown(Tenant(3)));
    let mut blocked: ReadWith<(), Error> = store.read_with(ticket(QUIET), |_| {
        let (_never, ends) = sync_channel::<()>(0);
        let _ = ends.recv_timeout(Duration::from_millis(400));
        Ok(())
    });
    let mut pending = |cx: &mut Context<'_>| Pin::new(&mut blocked).poll(cx).is_pending();
    while pending(&mut Context::from_waker(Waker::noop())) {
        std::thread::yield_now();
    }
    let waits: Vec<_> = (0..4).map(|_| quick(&store, ticket(QUIET))).collect();
    let refused = done(quick(&store, ticket(QUIET))).unwrap_err();
    assert!(refused.is_own_fault(), "{refused}");
    busy.into_iter().for_each(|held| held.end().unwrap());
    waits.into_iter().chain([waits_too]).for_each(|read| assert_eq!(done(read).unwrap().value, 1));
}

#[test]
fn a_read_whose_deadline_passes_in_the_queue_is_answered_while_every_thread_is_busy() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    let busy = [hold(&store, NOISY).begin(), hold(&store, NOISY).begin(), hold(&store, QUIET).begin()];
    let soon = Instant::now() + Duration::from_millis(30);
    let late = done(quick(&store, ticket(Tenant(3)).deadline(soon))).unwrap_err();
    assert_eq!(late.kind(), Kind::Late, "{late}");
    assert!(Instant::now() >= soon);
    assert_eq!((store.status().slow_queued, store.status().slow_running), (0, 3), "and takes no room any more");
    busy.into_iter().for_each(|held| held.end().unwrap());
}

#[test]
fn the_slow_lane_is_bounded_for_each_tenant_and_for_all() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { slow_queue_max: 6, slow_tenant_queue_max: 4, ..Config::default() });
    let busy = [hold(&store, NOISY).begin(), hold(&store, NOISY).begin(), hold(&store, QUIET).begin()];
    for _ in 0..100 {
        drop(quick(&store, ticket(NOISY)));
    }
    assert_eq!(store.status().slow_queued, 0, "what nobody waits for takes no room");
    let mut noisy: Vec<_> = (0..4).map(|_| quick(&store, ticket(NOISY))).collect();
    let refused = done(quick(&store, ticket(NOISY))).unwrap_err();
    assert_eq!((refused.kind(), refused.is_own_fault()), (Kind::Overloaded, true), "{refused}");
    let others: Vec<_> = (0..2).map(|_| quick(&store, ticket(QUIET))).collect();
    let refused = done(quick(&store, ticket(QUIET))).unwrap_err();
    assert_eq!((refused.kind(), refused.is_own_fault()), (Kind::Overloaded, false), "{refused}");
    assert_eq!(store.status().slow_queued, 6);
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(noisy.iter_mut().all(|read| Pin::new(read).poll(cx).is_pending()));
    busy.into_iter().for_each(|held| held.end().unwrap());
    noisy.into_iter().chain(others).for_each(|read| assert_eq!(done(read).unwrap().value, 1));
}

/// A waker that goes off when the last of it is dropped.
struct Bomb;
impl Wake for Bomb {
    fn wake(self: Arc<Self>) {}
}
impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in the drop of a waker");
        }
    }
}

/// A read that is dropped while it waits, and leaves the last of its waker with the lane.
fn abandon(store: &Store, tenant: Tenant, waker: Waker) {
    let mut read = quick(store, unknown(tenant));
    assert!(Pin::new(&mut read).poll(&mut Context::from_waker(&waker)).is_pending());
    drop((waker, read));
}

#[test]
fn reads_that_nobody_waits_for_leave_no_more_than_their_bound() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { slow_tenant_queue_max: 4, ..Config::default() });
    let busy = [hold(&store, NOISY).begin(), hold(&store, NOISY).begin(), hold(&store, QUIET).begin()];
    struct Idle;
    impl Wake for Idle {
        fn wake(self: Arc<Self>) {}
    }
    let kept = Arc::new(Idle);
    (0..1000).for_each(|_| abandon(&store, NOISY, kept.clone().into()));
    let left = Arc::strong_count(&kept) - 1;
    assert!(left <= 8, "the lane keeps {left} of them");
    busy.into_iter().for_each(|held| held.end().unwrap());
}

#[test]
fn a_callers_drop_that_panics_ends_no_thread_of_the_lane() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    for _ in 0..4 {
        let busy = [hold(&store, NOISY).begin(), hold(&store, NOISY).begin(), hold(&store, QUIET).begin()];
        (0..4).for_each(|_| abandon(&store, Tenant(0), Arc::new(Bomb).into()));
        busy.into_iter().for_each(|held| held.end().unwrap());
        let s = store.clone();
        assert_eq!(within(20, move || done(quick(&s, ticket(Tenant(0)))).unwrap().value), 1);
    }
    let busy = [hold(&store, NOISY).begin(), hold(&store, NOISY).begin(), hold(&store, QUIET).begin()];
    busy.into_iter().for_each(|held| held.end().unwrap());
}

#[test]
fn reads_dropped_as_they_begin_are_counted_once() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { slow_tenant_queue_max: 4, ..Config::default() });
    let first = hold(&store, NOISY).begin(); // so that the tenant is not forgotten
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let s = store.clone();
            std::thread::spawn(move || {
                for n in 0..3000_u32 {
                    let read = quick(&s, ticket(NOISY));
                    (0..n % 64).for_each(|_| std::hint::spin_loop());
                    drop(read);
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let second = hold(&store, NOISY).begin();
    let waiting: Vec<_> = (0..4).map(|_| quick(&store, unknown(NOISY))).collect();
    let refused = done(quick(&store, unknown(NOISY))).unwrap_err();
    assert_eq!(refused.kind(), Kind::Overloaded, "{refused}");
    [first, second].into_iter().for_each(|held| held.end().unwrap());
    waiting.into_iter().for_each(|read| assert_eq!(done(read).unwrap().value, 1));
}

#[test]
fn the_lane_of_a_process_is_bounded_over_all_of_its_stores() {
    const WAITING_MAX: usize = 16_384;
    let _alone = alone();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let stores = folders.each_ref().map(|f| open(f, Config { slow_queue_max: WAITING_MAX, ..Config::default() }));
    let busy = [hold(&stores[0], NOISY).begin(), hold(&stores[0], NOISY).begin(), hold(&stores[0], QUIET).begin()];
    let waiting: Vec<_> = (0..WAITING_MAX).map(|n| quick(&stores[n % 2], ticket(Tenant(0)))).collect();
    let refused = done(quick(&stores[0], ticket(Tenant(0)))).unwrap_err();
    assert_eq!((refused.kind(), refused.is_own_fault()), (Kind::Overloaded, false), "{refused}");
    assert_eq!(stores[0].status().slow_queued + stores[1].status().slow_queued, WAITING_MAX);
    drop(waiting);
    let read = quick(&stores[0], ticket(Tenant(0)));
    busy.into_iter().for_each(|held| held.end().unwrap());
    assert_eq!(done(read).unwrap().value, 1, "what nobody waits for makes room");
}

#[test]
fn slow_reads_of_one_tenant_do_not_send_quick_ones_of_the_same_message_to_the_lane() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    let search = |tenant: Tenant, rows: i64| {
        let count =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT count(*) FROM n";
        let read = move |s: &Snapshot<'_>| s.query_row(count, [rows], |r| r.get::<_, i64>(0));
        store.read_with(Ticket::label("search").tenant(tenant), read)
    };
    for _ in 0..4 {
        done(search(NOISY, 100_000)).unwrap();
        done(search(QUIET, 10)).unwrap();
    }
    done(search(NOISY, 100_000)).unwrap();
    let busy = [hold(&store, NOISY).begin(), hold(&store, NOISY).begin(), hold(&store, Tenant(3)).begin()];
    // In one of a few tries: a machine that stands still makes a read a slow one.
    let cx = &mut Context::from_waker(Waker::noop());
    let is_at_once = (0..3).any(|_| Pin::new(&mut search(QUIET, 10)).poll(cx).is_ready());
    let is_new_at_once = (10..13).any(|tenant| Pin::new(&mut search(Tenant(tenant), 10)).poll(cx).is_ready());
    let is_slow = Pin::new(&mut search(NOISY, 100_000)).poll(cx).is_pending();
    busy.into_iter().for_each(|held| held.end().unwrap());
    assert!(is_at_once && is_new_at_once, "they wait for the lane, for another tenant's reads");
    assert!(is_slow);
}

#[test]
fn blocking_reads_beyond_the_inline_budget_are_bounded() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { blocking_reads_max: 1, ..Config::default() });
    let (tell, begun) = sync_channel::<()>(1);
    let (go, wait) = sync_channel::<()>(1);
    let s = store.clone();
    let first = std::thread::spawn(move || {
        let read = s.read_blocking_with(ticket(NOISY), |_| {
            let _ = tell.try_send(());
            let _ = wait.recv();
            Ok::<_, Error>(())
        });
        read.unwrap();
    });
    begun.recv().unwrap();
    assert_eq!(store.status().blocking_running, 1);
    let soon = ticket(QUIET).deadline(Instant::now() + Duration::from_millis(20));
    let refused = store.read_blocking_with(soon, |_| Ok::<_, Error>(())).unwrap_err();
    assert_eq!(refused.kind(), Kind::Overloaded, "{refused}");
    drop(go);
    first.join().unwrap();
    store.read_blocking_with(ticket(QUIET), |_| Ok::<_, Error>(())).unwrap();
    assert_eq!(store.status().blocking_running, 0);
}

/// Some milliseconds in one snapshot.
fn report(store: &Store, tenant: Tenant) {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) \
               SELECT sum(i) + (SELECT count(*) FROM t) FROM n";
    done(store.read_with(ticket(tenant), |s| s.query_row(sql, [], |r| r.get::<_, i64>(0)))).unwrap();
}

#[test]
fn slow_reads_one_after_another_do_not_keep_the_wal_from_starting_over() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let schema = Migration::Quick { name: "1", sql: "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB) STRICT" };
    let config = Config { wal_soft_bytes: 1 << 20, ..Config::default() };
    let store = Store::open(folder.path().join("S/S.db"), config, Migrations::new([schema])).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for tenant in [NOISY, QUIET] {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    report(store, tenant);
                }
            });
        }
        let end = AtDrop(&stop);
        for id in 0..800 {
            let write = move |tx: &Tx<'_>| tx.execute("REPLACE INTO t VALUES (?1, zeroblob(60000))", [id % 50]);
            store.write_blocking(write).unwrap();
        }
        drop(end);
    });
    let wal = std::fs::metadata(folder.path().join("S/S.db-wal")).unwrap().len();
    println!("a WAL of {wal} bytes");
    assert!(wal < 24 << 20, "some 50 MB of frames were written through a WAL of {wal} bytes");
}

#[test]
fn a_read_that_runs_for_long_has_no_other_held_back_for_it() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let schema = Migration::Quick { name: "1", sql: "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB) STRICT" };
    let config = Config { wal_soft_bytes: 64 << 10, ..Config::default() };
    let store = Store::open(folder.path().join("S/S.db"), config, Migrations::new([schema])).unwrap();
    let long = hold(&store, NOISY).begin();
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(200) {
        done(quick(&store, ticket(QUIET))).unwrap();
    }
    // A checkpoint is tried each time that the WAL has grown by a quarter.
    let late = (0..40).filter(|id| {
        let id = *id;
        let write = move |tx: &Tx<'_>| tx.execute("REPLACE INTO t VALUES (?1, zeroblob(60000))", [id]);
        store.write_blocking(write).unwrap();
        let begun = Instant::now();
        done(quick(&store, ticket(QUIET))).unwrap();
        begun.elapsed() > Duration::from_millis(100)
    });
    assert!(late.count() < 4, "many of 40 reads waited for one that goes on");
    long.end().unwrap();
}

/// Ends the others also where an assertion fails.
struct AtDrop<'a>(&'a AtomicBool);

impl Drop for AtDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
