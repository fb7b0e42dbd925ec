//! Cuts from outside: their moment, their limits, their end.
#![allow(clippy::unwrap_used)]

use monolite_store::{Config, Cut, Error, Kind, Migration, Migrations, Snapshot, Store};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

const SCHEMA: &str = "CREATE TABLE n(v INTEGER) STRICT; INSERT INTO n VALUES (0); CREATE TABLE b(v BLOB) STRICT";

fn store(folder: &tempfile::TempDir, name: &str, config: Config) -> Store {
    let migrations = Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }]);
    Store::open(folder.path().join(format!("{name}/{name}.db")), config, migrations).unwrap()
}

fn pair(folder: &tempfile::TempDir, config: &Config) -> [Store; 2] {
    ["A", "B"].map(|name| store(folder, name, config.clone()))
}

fn raise(store: &Store) {
    store.write_blocking(|tx| tx.execute("UPDATE n SET v = v + 1", [])).unwrap();
}

fn v(s: &Snapshot<'_>) -> Result<i64, Error> {
    s.query_row("SELECT v FROM n", [], |r| r.get(0))
}

#[test]
fn a_cut_has_all_that_was_acknowledged_before_it_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let stores = pair(&folder, &Config::default());
    for n in 1..=50 {
        stores.iter().for_each(raise);
        let cut = Cut::take(&stores).unwrap();
        stores.iter().for_each(raise);
        assert_eq!([cut.read(0, v).unwrap(), cut.read(1, v).unwrap()], [n * 2 - 1; 2]);
        assert_eq!(cut.sequences().collect::<Vec<_>>(), stores.each_ref().map(|s| s.sequence() - 1));
    }
    assert_eq!(stores[0].status().cuts_open, 0);
}

#[test]
fn cuts_of_a_store_are_bounded_and_a_dropped_one_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let stores = pair(&folder, &Config { cuts_max: 3, ..Config::default() });
    let mut cuts: Vec<Cut> = (0..3).map(|_| Cut::take(&stores[..1]).unwrap()).collect();
    let refused = Cut::take(&[stores[1].clone(), stores[0].clone()]).err().unwrap();
    assert_eq!(refused.kind(), Kind::Overloaded, "{refused}");
    assert!(refused.retry_after().is_some());
    assert_eq!([stores[0].status().cuts_open, stores[1].status().cuts_open], [3, 0], "nothing is left of it");
    cuts.pop();
    Cut::take(&stores).unwrap();
}

#[test]
fn a_cut_that_is_too_old_is_ended_by_the_writer_and_answers_with_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { slow_time_max: Duration::from_millis(1), ..Config::default() };
    let stores = pair(&folder, &config);
    let (cut, long) = (Cut::take(&stores).unwrap(), Cut::take_long(&stores).unwrap());
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(2) {
        raise(&stores[0]);
    }
    raise(&stores[0]);
    let refused = cut.read(0, v).unwrap_err();
    assert_eq!(refused.kind(), Kind::TooLong);
    assert!(refused.to_string().contains("too old"), "{refused}");
    let refused = cut.read(1, v).unwrap_err();
    assert_eq!(refused.kind(), Kind::TooLong, "without a write too: {refused}");
    assert_eq!(long.read(0, v).unwrap(), 0, "a long task's has no age");
}

#[test]
fn a_cut_that_is_not_used_does_not_keep_the_wal_above_its_hard_limit() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { wal_soft_bytes: 1 << 20, wal_hard_bytes: 4 << 20, ..Config::default() };
    let stores = pair(&folder, &config);
    let cut = Cut::take_long(&stores).unwrap();
    for _ in 0..64 {
        stores[0].write_blocking(|tx| tx.execute("INSERT INTO b VALUES (randomblob(500000))", [])).unwrap();
    }
    let refused = cut.read(0, v).unwrap_err();
    assert_eq!(refused.kind(), Kind::TooLong);
    assert!(refused.to_string().contains("wal_hard_bytes"), "{refused}");
    assert_eq!(cut.read(1, v).unwrap(), 0, "the other file is as it was");
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while stores[0].status().wal_bytes > 1 << 20 {
        assert!(std::time::Instant::now() < until, "the WAL never starts over: {}", stores[0].status().wal_bytes);
        stores[0].write_blocking(|tx| tx.execute("INSERT INTO b VALUES (randomblob(500000))", [])).unwrap();
    }
}

#[test]
fn a_read_of_a_cut_ends_at_the_cuts_end() {
    let folder = tempfile::tempdir().unwrap();
    let stores = pair(&folder, &Config { slow_time_max: Duration::from_millis(50), ..Config::default() });
    let cut = Cut::take(&stores).unwrap();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let refused = cut.read(0, |s| s.query_row(endless, [], |r| r.get::<_, i64>(0))).unwrap_err();
    assert_eq!(refused.kind(), Kind::TooLong, "{refused}");
}

#[test]
fn what_cannot_be_is_a_typed_error_and_no_hang() {
    let folder = tempfile::tempdir().unwrap();
    let stores = pair(&folder, &Config::default());
    let twice = Cut::take(&[stores[0].clone(), stores[0].clone()]).err().unwrap();
    assert_eq!(twice.kind(), Kind::Invalid, "{twice}");
    let of = stores.clone();
    let inside: Result<(), Error> = stores[0].write_blocking(move |_| Cut::take(&of).map(drop));
    assert_eq!(inside.unwrap_err().kind(), Kind::Nested);
    let cut = Cut::take(&stores).unwrap();
    let nested = cut.read(0, |_| cut.read(0, v)).unwrap_err();
    assert_eq!(nested.kind(), Kind::Nested, "{nested}");
    assert_eq!(cut.read(0, |_| cut.read(1, v)).unwrap(), 0, "another file is another matter");
    let panicked = cut.read(0, |_| -> Result<(), Error> { panic!("on purpose") }).unwrap_err();
    assert_eq!(panicked.kind(), Kind::Panicked);
    assert_eq!(cut.read(0, v).unwrap(), 0);
    for denied in ["DELETE FROM n", "BEGIN", "COMMIT", "PRAGMA query_only=OFF", "SELECT * FROM _monolite"] {
        let kind =
            cut.read(0, |s| s.prepare(denied).and_then(|mut q| Ok(q.raw_query().next().map(drop)?))).unwrap_err();
        assert_eq!(kind.kind(), Kind::Denied, "{denied}: {kind}");
    }
}

#[test]
fn a_store_closes_with_cuts_open_and_they_answer_that_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = pair(&folder, &Config::default());
    let cut = Cut::take(&[a.clone(), b.clone()]).unwrap();
    raise(&a);
    let sequence = a.sequence();
    a.close().unwrap(); // whole: the WAL was copied although the cut held a snapshot
    assert_eq!(cut.read(0, v).unwrap_err().kind(), Kind::Closed);
    assert_eq!(cut.read(1, v).unwrap(), 0);
    assert_eq!(store(&folder, "A", Config::default()).sequence(), sequence, "its file can be opened again");
    assert_eq!(Cut::take(std::slice::from_ref(&b)).map(|c| c.sequences().len()).unwrap(), 1);
    b.close().unwrap();
}

#[test]
fn copies_of_a_cut_are_of_its_moment_while_writes_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let stores = pair(&folder, &Config::default());
    stores.iter().for_each(raise);
    let (cut, done) = (Cut::take_long(&stores).unwrap(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(SeqCst) {
                stores.iter().for_each(raise);
            }
        });
        for (place, name) in ["A", "B"].into_iter().enumerate() {
            let to = folder.path().join(format!("copy/{name}/{name}.db"));
            let copied = cut.copy_to(place, &to, &mut |_, _| {}).unwrap();
            assert_eq!(Some(copied.sequence), cut.sequences().nth(place));
            assert_eq!(cut.read(place, v).unwrap_err().kind(), Kind::TooLong, "given back");
        }
        done.store(true, SeqCst);
    });
    for name in ["A", "B"] {
        let path = folder.path().join(format!("copy/{name}/{name}.db"));
        let migrations = Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }]);
        let copy = Store::open(path, Config::default(), migrations).unwrap();
        assert_eq!(copy.read_blocking(v).unwrap(), 1);
    }
}
