//! The protocol with commits planted between its steps, and the fallback.

use super::agree::{Snapshots, agree};
use super::*;
use crate::{Config, Migration, Migrations};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Instant;

const SCHEMA: &str = "CREATE TABLE n(v INTEGER) STRICT; INSERT INTO n VALUES (0)";

fn stores(folder: &tempfile::TempDir, names: &[&str]) -> Vec<Store> {
    let open = |name: &&str| {
        let migrations = Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }]);
        Store::open(folder.path().join(format!("{name}/{name}.db")), Config::default(), migrations).unwrap()
    };
    names.iter().map(open).collect()
}

fn raise(store: &Store) {
    store.write_blocking(|tx| tx.execute("UPDATE n SET v = v + 1", [])).unwrap();
}

fn value(cut: &Cut, place: usize) -> i64 {
    cut.read(place, |s| s.query_row("SELECT v FROM n", [], |r| r.get(0))).unwrap()
}

/// Moves from the first to the last file in the middle of each opening, as often as it is told to.
struct Disturbed<'a> {
    each: Each<'a>,
    stores: &'a [Store],
    times: u32,
}

impl Snapshots for Disturbed<'_> {
    fn open(&mut self, stale: &[usize], sequences: &mut [u64]) -> Result<()> {
        let (first, rest) = stale.split_at(1);
        self.each.open(first, sequences)?;
        if self.times > 0 {
            self.times -= 1;
            self.stores.iter().for_each(raise);
        }
        self.each.open(rest, sequences)
    }
}

fn disturbed(stores: &[Store], times: u32) -> Result<Cut> {
    let shared: Vec<_> = stores.iter().map(Store::shared).collect();
    let mut cut = Cut::empty();
    cut.files = shared.iter().map(|s| open(s, None).unwrap()).collect();
    (cut.sequences, cut.taking) = agree(&shared, &mut Disturbed { each: Each(&cut.files), stores, times })?;
    Ok(cut)
}

#[test]
fn a_commit_between_two_snapshots_is_found_and_the_older_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores(&folder, &["A", "B", "C"]);
    let cut = disturbed(&stores, 3).unwrap();
    assert_eq!(cut.taking(), Taking { retries: 3, paused: false });
    assert_eq!([0, 1, 2].map(|place| value(&cut, place)), [3; 3]);
    stores.iter().for_each(raise);
    assert_eq!([0, 1, 2].map(|place| value(&cut, place)), [3; 3], "it stays what it was");
    assert_eq!(cut.sequences().max(), stores.iter().map(|s| s.sequence() - 1).max());
}

#[test]
fn after_many_tries_the_writers_pause_and_then_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores(&folder, &["A", "B"]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for store in &stores {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    raise(store);
                }
            });
        }
        // Each opening of the first 32 tries is disturbed by hand; while the writers pause, nobody can.
        let shared: Vec<_> = stores.iter().map(Store::shared).collect();
        let mut cut = Cut::empty();
        cut.files = shared.iter().map(|s| open(s, None).unwrap()).collect();
        (cut.sequences, cut.taking) =
            agree(&shared, &mut Disturbed { each: Each(&cut.files), stores: &stores, times: 32 }).unwrap();
        assert!(cut.taking().paused && cut.taking().retries >= 32, "{:?}", cut.taking());
        assert!(value(&cut, 0) >= 32);
        let before = stores[0].sequence();
        raise(&stores[0]);
        assert!(stores[0].sequence() > before, "the writers go on");
        stop.store(true, SeqCst);
    });
}

#[test]
fn cuts_that_pause_writers_in_opposite_orders_do_not_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores(&folder, &["A", "B"]);
    let turned = [stores[1].clone(), stores[0].clone()];
    let began = Instant::now();
    std::thread::scope(|scope| {
        for order in [&stores[..], &turned[..]] {
            scope.spawn(move || {
                let shared: Vec<_> = order.iter().map(Store::shared).collect();
                for _ in 0..20 {
                    let turn = pause::Turn::take().unwrap();
                    let paused = Pause::of(&shared);
                    paused.wait_for_all();
                    drop((paused, turn));
                }
            });
        }
    });
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    stores.iter().for_each(raise);
}

#[test]
fn a_writer_that_a_cut_forgets_goes_on_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores(&folder, &["A"]);
    let shared: Vec<_> = stores.iter().map(Store::shared).collect();
    let paused = Pause::of(&shared);
    paused.wait_for_all();
    raise(&stores[0]); // would hang
    drop(paused);
}
