//! What a store promises to who reads: on the calling thread or in the slow lane, and never without an end.

#![allow(clippy::unwrap_used)]

mod common;

use common::done as futures;
use monolite_store::{Config, Error, Kind, Migration, Migrations, Store, Ticket};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn open(folder: &tempfile::TempDir) -> Store {
    let migrations = Migrations::new([Migration::Quick { name: "1", sql: "CREATE TABLE t(v TEXT) STRICT" }]);
    Store::open(folder.path().join("S.db"), Config::default(), migrations).unwrap()
}

fn count(store: &Store) -> i64 {
    store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get(0))).unwrap()
}

#[test]
fn a_read_inside_a_read_is_an_error_not_a_hang() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let kind = store
        .read_blocking(|_| Ok::<_, Error>(store.read_blocking(|_| Ok::<_, Error>(())).expect_err("nested").kind()));
    assert_eq!(kind.unwrap(), Kind::Nested);
    assert_eq!(count(&store), 0, "the slot still works");
}

#[test]
fn a_panic_in_a_read_fails_that_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let error = store.read_blocking(|_| -> Result<(), Error> { panic!("on purpose") }).unwrap_err();
    assert_eq!(error.kind(), Kind::Panicked);
    assert_eq!(count(&store), 0);
}

#[test]
fn a_read_over_its_budget_runs_again_in_the_slow_lane_and_its_kind_starts_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let places = Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let run = |store: &Store| {
        let places = places.clone();
        futures(store.read(move |s| {
            places.lock().unwrap().push(std::thread::current().name().unwrap_or("").to_owned());
            s.query_row("WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i < 2000000) SELECT count(i) FROM s", [], |r| {
                r.get::<_, i64>(0)
            })
        }))
        .unwrap()
    };
    assert_eq!(run(&store), 2_000_000);
    let first = std::mem::take(&mut *places.lock().unwrap());
    assert_eq!(first.len(), 2, "once here, once there: {first:?}");
    assert!(first[1].starts_with("slow-lane:"));
    run(&store);
    let second = std::mem::take(&mut *places.lock().unwrap());
    assert_eq!(second.len(), 1, "learnt: {second:?}");
    assert!(second[0].starts_with("slow-lane:"));
}

#[test]
fn a_single_long_opcode_is_noticed_and_its_kind_moves_to_the_slow_lane() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let lanes: Vec<bool> = (0..20)
        .map(|_| {
            futures(store.read(|s| {
                let n: i64 = s.query_row("SELECT length(hex(zeroblob(20000000)))", [], |r| r.get(0))?;
                let here = std::thread::current().name().unwrap_or("").starts_with("slow-lane:");
                Ok::<_, Error>((n == 40_000_000, here))
            }))
            .map(|(right, slow)| slow && right)
            .unwrap()
        })
        .collect();
    assert!(!lanes[0], "the first of a kind runs here");
    assert!(lanes[8..].iter().all(|slow| *slow), "later ones do not: {lanes:?}");
}

#[test]
fn the_gate_moves_a_read_of_a_large_value() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let thread = |bytes: u64| {
        futures(store.read(move |s| {
            s.gate(bytes)?;
            Ok::<_, Error>(std::thread::current().name().unwrap_or("").to_owned())
        }))
        .unwrap()
    };
    assert!(!thread(1000).starts_with("slow-lane"));
    assert!(thread(100_000).starts_with("slow-lane"));
    assert!(!thread(1000).starts_with("slow-lane"), "a gate does not mark its kind");
}

#[test]
fn a_slow_read_is_stopped_at_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let ticket =
        Ticket { deadline: Some(Instant::now() + Duration::from_millis(50)), ..Ticket::label("forever").slow() };
    let error = futures(store.read_with(ticket, |s| {
        s.query_row("WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s) SELECT count(i) FROM s", [], |r| {
            r.get::<_, i64>(0)
        })
    }))
    .unwrap_err();
    assert_eq!(error.kind(), Kind::TooLong);
}

#[test]
fn a_read_that_takes_long_does_not_hold_up_the_threads_that_share_its_connection() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(
        folder.path().join("S/S.db"),
        Config { slots_max: 2, ..Config::default() },
        Migrations::new(vec![]),
    )
    .unwrap();
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(0);
    let (tell, begun) = std::sync::mpsc::sync_channel::<()>(1);
    let slow = std::thread::spawn({
        let store = store.clone();
        move || {
            store.read_blocking(|_| {
                let _ = tell.try_send(());
                let _ = wait.recv();
                Ok::<_, Error>(())
            })
        }
    });
    begun.recv().unwrap();
    // Threads with numbers one after another: some have the place of the slow one.
    for _ in 0..4 {
        let (done, answer) = std::sync::mpsc::sync_channel(1);
        let store = store.clone();
        std::thread::spawn(move || {
            let one = store.read_blocking::<i64, Error, _>(|s| s.query_row("SELECT 1", [], |r| r.get(0)));
            let nested = store.read_blocking(|_| store.read_blocking(|_| Ok::<_, Error>(())));
            done.send((one.unwrap(), nested.unwrap_err().kind()))
        });
        assert_eq!(
            answer.recv_timeout(Duration::from_secs(60)),
            Ok((1, Kind::Nested)),
            "it waits for another thread's read"
        );
    }
    drop(go);
    slow.join().unwrap().unwrap();
    assert_eq!(store.status().reader_connections, 2);
}
