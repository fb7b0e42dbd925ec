//! Tenants beside each other in a real store: shares, bounds, who waits.

#![allow(clippy::unwrap_used)]

mod common;

use common::{done, hold_writer, hold_writer_after};
use monolite_store::{Config, Error, Kind, Migration, Migrations, Store, Tenant, Ticket, Written};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, n INTEGER NOT NULL) STRICT;";
const NOISY: Tenant = Tenant(1);
const QUIET: Tenant = Tenant(2);

fn open(folder: &tempfile::TempDir, config: Config) -> Store {
    let migrations = Migrations::new(vec![Migration::Quick { name: "0001", sql: SCHEMA }]);
    Store::open(folder.path().join("S/S.db"), config, migrations).unwrap()
}

fn insert(store: &Store, tenant: Tenant, n: i64) -> impl Future<Output = Result<Written<usize>, Error>> + use<> {
    store.write_with(Ticket::label("insert").tenant(tenant), move |tx| {
        tx.execute("INSERT INTO t(tenant, n) VALUES (?1, ?2)", [tenant.0 as i64, n])
    })
}

#[test]
fn a_quiet_tenants_write_is_in_the_next_group_beside_a_deep_queue() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    done(insert(&store, NOISY, 0)).unwrap();
    let (holder, go) = hold_writer(&store, Ticket::label("hold").tenant(NOISY));
    let noisy: Vec<_> = (0..2000).map(|n| insert(&store, NOISY, n)).collect();
    let quiet: Vec<_> = (2..10).map(|tenant| insert(&store, Tenant(tenant), 0)).collect();
    let before = store.sequence();
    drop(go);
    let quiet: Vec<_> = quiet.into_iter().map(|write| done(write).unwrap().sequence).collect();
    let noisy: Vec<_> = noisy.into_iter().map(|write| done(write).unwrap()).collect();
    holder.join().unwrap();
    assert!(quiet.iter().all(|sequence| *sequence == before + 1), "not in the group after {before}: {quiet:?}");
    let beside = noisy.iter().filter(|w| w.sequence == before + 1).count();
    assert!(beside <= 100, "{beside} writes of the noisy tenant shared the group");
    assert!(noisy.windows(2).all(|w| (w[0].sequence, w[0].place) < (w[1].sequence, w[1].place)), "its order is kept");
}

#[test]
fn one_tenant_alone_has_groups_as_large_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { group_time_max: Duration::from_secs(60), ..Config::default() };
    let store = open(&folder, config);
    let alone = Ticket::label("hold");
    let (holder, go) = hold_writer(&store, alone);
    let writes: Vec<_> = (0..1024).map(|n| insert(&store, Tenant(0), n)).collect();
    drop(go);
    let sequences: Vec<_> = writes.into_iter().map(|write| done(write).unwrap().sequence).collect();
    holder.join().unwrap();
    assert!(sequences.iter().all(|s| *s == sequences[0]), "one group");
}

#[test]
fn a_tenants_bound_is_its_own_fault_and_the_bound_of_all_is_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { queue_max: 20, tenant_queue_max: 4, ..Config::default() });
    let (holder, go) = hold_writer(&store, Ticket::default());
    let noisy: Vec<_> = (0..4).map(|n| insert(&store, NOISY, n)).collect();
    let refused = done(insert(&store, NOISY, 4)).unwrap_err();
    assert_eq!((refused.kind(), refused.is_own_fault()), (Kind::Overloaded, true), "{refused}");
    assert!(refused.retry_after().is_some());
    let quiet = insert(&store, QUIET, 0);
    let status = store.status();
    assert_eq!((status.queued, status.queued_tenants), (5, 2));
    let system: Vec<_> = (0..15).map(|n| insert(&store, Tenant(0), n)).collect();
    let refused = done(insert(&store, Tenant(3), 0)).unwrap_err();
    assert_eq!((refused.kind(), refused.is_own_fault()), (Kind::Overloaded, false), "{refused}");
    drop(go);
    holder.join().unwrap();
    noisy.into_iter().chain([quiet]).chain(system).for_each(|write| assert_eq!(done(write).unwrap().value, 1));
    assert_eq!((store.status().queued, store.status().queued_tenants), (0, 0));
}

#[test]
fn writes_that_nobody_waits_for_make_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { queue_max: 20, tenant_queue_max: 4, ..Config::default() });
    let (holder, go) = hold_writer(&store, Ticket::default());
    for n in 0..100 {
        drop(insert(&store, NOISY, n));
    }
    assert_eq!(store.status().queued, 0);
    let kept: Vec<_> = (0..4).map(|n| insert(&store, NOISY, n)).collect();
    assert_eq!(store.status().queued, 4);
    drop(go);
    holder.join().unwrap();
    kept.into_iter().for_each(|write| assert_eq!(done(write).unwrap().value, 1));
    let rows: i64 = store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))).unwrap();
    assert_eq!(rows, 4);
}

#[test]
fn the_writer_says_who_holds_it_and_who_waits() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    assert!(store.writer().holder.is_none());
    let before = Instant::now();
    let (holder, go) = hold_writer(&store, Ticket::label("Shop.Buy").tenant(NOISY).trace(77));
    let waiting: Vec<_> = (0..40).map(|n| insert(&store, Tenant(n % 20 + 1), n as i64)).collect();
    let view = store.writer();
    let held = view.holder.unwrap();
    assert_eq!((held.label, held.tenant, held.trace), ("Shop.Buy", NOISY, 77));
    assert!(held.since >= before && held.since <= Instant::now());
    assert_eq!((view.queued, view.tenants, view.waiting.len()), (40, 20, 16));
    assert_eq!((view.waiting[0].tenant, view.waiting[0].writes), (NOISY, 2), "who has waited longest comes first");
    assert!(view.waiting.windows(2).all(|w| w[0].oldest >= w[1].oldest));
    drop(go);
    holder.join().unwrap();
    waiting.into_iter().for_each(|write| assert_eq!(done(write).unwrap().value, 1));
}

/// A write of the message that all tenants send; a large one keeps the writer busy for longer than a group may take.
fn put(store: &Store, tenant: Tenant, large: bool) -> impl Future<Output = Result<Written<()>, Error>> + use<> {
    let time = if large { LARGE } else { Duration::ZERO };
    store.write_with(Ticket::label("Put").tenant(tenant), move |tx| {
        let begun = Instant::now();
        while begun.elapsed() < time {
            std::hint::spin_loop();
        }
        tx.execute("INSERT INTO t(tenant, n) VALUES (?1, 0)", [tenant.0 as i64]).map(drop)
    })
}

const LARGE: Duration = Duration::from_millis(25);

fn sequences<W: Future<Output = Result<Written<()>, Error>>>(writes: Vec<W>) -> Vec<u64> {
    writes.into_iter().map(|write| done(write).unwrap().sequence).collect()
}

#[test]
fn large_writes_of_one_tenant_do_not_make_small_ones_of_the_same_message_large() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { group_time_max: LARGE * 4 / 5, ..Config::default() });
    let noise = |n: u64| (0..n).map(|_| put(&store, NOISY, true)).collect::<Vec<_>>();
    let quiet = |tenants: std::ops::Range<u64>| tenants.map(|n| put(&store, Tenant(n), false)).collect::<Vec<_>>();
    sequences(noise(3));
    sequences(quiet(10..20)); // half of the quiet ones have written before; the others come as the noisy one goes on
    sequences(noise(5));
    let (holder, go) = hold_writer(&store, Ticket::label("hold"));
    let (noisy, quiet) = (noise(5), quiet(10..30));
    drop(go);
    let (mut quiet, noisy) = (sequences(quiet), sequences(noisy));
    holder.join().unwrap();
    assert!(noisy.windows(2).all(|w| w[0] < w[1]), "each has a group of its own: {noisy:?}");
    quiet.sort_unstable();
    quiet.dedup();
    // One, but for a machine that stands still in the middle of a group.
    assert!(quiet.len() <= 3, "the small ones were in groups of their own: {quiet:?}");
}

#[test]
fn innocents_are_not_billed_for_runs_that_another_write_made_useless() {
    // Its two runs together are longer than a group may be, the last one is not.
    let times = [Duration::from_millis(90), Duration::from_millis(20), Duration::ZERO];
    let share_a_group = (0..5).any(|_| {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder, Config { group_time_max: Duration::from_millis(100), ..Config::default() });
        done(insert(&store, NOISY, 0)).unwrap();
        let runs = Arc::new(AtomicUsize::new(0));
        let innocent = |store: &Store| {
            let runs = runs.clone();
            store.write_with(Ticket::label("innocent").tenant(QUIET), move |tx| {
                let (begun, time) = (Instant::now(), times[runs.fetch_add(1, SeqCst)]);
                while begun.elapsed() < time {
                    std::hint::spin_loop();
                }
                tx.execute("INSERT INTO t(tenant, n) VALUES (2, 0)", [])
            })
        };
        let (holder, go) = hold_writer(&store, Ticket::default());
        let first = innocent(&store);
        let culprit = store.write_with(Ticket::label("culprit").tenant(NOISY), |tx| {
            tx.execute("INSERT OR ROLLBACK INTO t(id, tenant, n) VALUES (1, 1, 1)", [])
        });
        drop(go);
        holder.join().unwrap();
        done(first).unwrap();
        assert_eq!(done(culprit).unwrap_err().kind(), Kind::Constraint);
        if runs.load(SeqCst) != 2 {
            return false; // the machine stood still, and the group ended before the culprit
        }
        let answered = Instant::now();
        while answered.elapsed() < Duration::from_millis(50) {
            std::thread::yield_now(); // debts are forgotten when nobody writes
        }
        let (holder, go) = hold_writer(&store, Ticket::default());
        let (other, again) = (insert(&store, Tenant(3), 0), innocent(&store));
        drop(go);
        holder.join().unwrap();
        done(other).unwrap().sequence == done(again).unwrap().sequence
    });
    assert!(share_a_group, "it is thought to take as long as both of its runs");
}

#[test]
fn writes_that_nobody_waits_for_give_no_places_away_twice() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { queue_max: 20, ..Config::default() });
    let (holder, go) = hold_writer(&store, Ticket::default());
    (0..5).for_each(|n| drop(insert(&store, Tenant(0), n)));
    let (next, go_on) = hold_writer_after(&store, Ticket::default(), Some(go));
    // The abandoned ones were taken with the write that runs now.
    let queued: Vec<_> = (0..40).map(|n| insert(&store, Tenant(0), n)).collect();
    assert_eq!(store.status().queued, 20);
    drop(go_on);
    holder.join().unwrap();
    next.join().unwrap();
    let done = queued.into_iter().filter_map(|write| done(write).ok()).count();
    assert_eq!(done, 20);
}
