//! Checkpoints beside a writer that is faster than they are: nobody waits for the whole WAL to be copied, and no store for
//! another one's.

#![allow(clippy::unwrap_used)]

use monolite_store::{CheckpointMode, Config, Migration, Migrations, Observer, Store};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const SOFT: u64 = 4 << 20;
const FRAME: u64 = 4096 + 24;

/// One test at a time: the checkpointer's threads are the process's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes each round beside the writer slow, and notes what is left to the last one.
#[derive(Default)]
struct Slow {
    /// What a slow disk would take for each page.
    each: Duration,
    copied: AtomicU64,
    most_left: AtomicU64,
    cycles: AtomicU64,
    over: AtomicBool,
    never: (Mutex<()>, Condvar),
}

impl Observer for Slow {
    fn checkpointed(&self, mode: CheckpointMode, _: u64, copied: u64, _: Duration) {
        let before = self.copied.swap(copied, SeqCst);
        match mode {
            CheckpointMode::Beside => {
                let end = Instant::now() + self.each * copied.saturating_sub(before) as u32;
                while !self.over.load(SeqCst) && Instant::now() < end {
                    let left = end.saturating_duration_since(Instant::now());
                    drop(
                        self.never
                            .1
                            .wait_timeout(self.never.0.lock().unwrap(), left.min(Duration::from_millis(5)))
                            .unwrap(),
                    );
                }
            }
            CheckpointMode::Between => {
                self.most_left.fetch_max(copied.saturating_sub(before), SeqCst);
                self.copied.store(0, SeqCst);
                self.cycles.fetch_add(1, SeqCst);
            }
        }
    }
}

#[test]
fn the_last_round_is_short_also_where_the_writer_is_faster_than_the_rounds() {
    let _alone = alone();
    let (rested, left) = write_beside_rounds(Duration::from_micros(50), 100_000, 500);
    assert!(rested > Duration::ZERO, "it gave way");
    assert!(left < SOFT / FRAME, "{left} pages were left to the last round");
}

/// Groups of many milliseconds, and rounds that take ten times as long for the same pages: a rest as for small groups does not
/// slow such a writer down.
#[test]
fn the_wal_stays_bounded_beside_a_writer_that_is_much_faster_than_the_rounds() {
    let _alone = alone();
    write_beside_rounds(Duration::from_micros(20), 16_000_000, 6);
}

/// Writes values of so many bytes over so many rows until the WAL has started over four times; answers for how
/// long the writer rested, and how many pages were left to a last round at most.
fn write_beside_rounds(each: Duration, bytes: usize, rows: usize) -> (Duration, u64) {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let slow = Arc::new(Slow { each, ..Slow::default() });
    let config = Config { wal_soft_bytes: SOFT, observer: Some(slow.clone()), ..Config::default() };
    let schema = Migration::Quick { name: "1", sql: "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB) STRICT" };
    let store = Store::open(folder.path().join("S.db"), config, Migrations::new([schema])).unwrap();
    let end = Instant::now() + Duration::from_secs(120);
    let mut most = 0;
    while slow.cycles.load(SeqCst) < 4 {
        assert!(Instant::now() < end, "{:?}", store.status());
        let write = "INSERT OR REPLACE INTO t VALUES (abs(random() % ?1), zeroblob(?2))";
        store.write_blocking(move |tx| tx.execute(write, (rows, bytes)).map(drop)).unwrap();
        most = most.max(store.status().wal_bytes);
        assert!(most < 200 * SOFT, "the WAL grows and grows: {:?}", store.status());
    }
    slow.over.store(true, SeqCst);
    let rested = store.status().rested;
    let left = slow.most_left.load(SeqCst);
    println!("a WAL of {most} bytes at most; {left} pages left to the last round; rested {rested:?}");
    store.close().unwrap();
    (rested, left)
}

/// Stays in its first round until it is let go.
struct Stuck {
    entered: SyncSender<()>,
    go: Mutex<Receiver<()>>,
}

impl Observer for Stuck {
    fn checkpointed(&self, mode: CheckpointMode, _: u64, _: u64, _: Duration) {
        if mode == CheckpointMode::Beside && self.entered.try_send(()).is_ok() {
            let _ = self.go.lock().unwrap().recv();
        }
    }
}

fn schema() -> Migrations {
    Migrations::new([Migration::Quick { name: "1", sql: "CREATE TABLE t(b BLOB) STRICT" }])
}

fn write(store: &Store) {
    store.write_blocking(|tx| tx.execute("INSERT INTO t VALUES (zeroblob(500000))", []).map(drop)).unwrap();
}

/// A store that is in its first round until the sender is dropped.
fn stuck(path: PathBuf) -> (Store, SyncSender<()>) {
    let ((entered, is_in), (let_go, go)) = (sync_channel(1), sync_channel(1));
    let stuck = Arc::new(Stuck { entered, go: Mutex::new(go) });
    let config = Config { wal_soft_bytes: SOFT, observer: Some(stuck), ..Config::default() };
    let store = Store::open(path, config, schema()).unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while is_in.try_recv().is_err() {
        assert!(Instant::now() < end, "{:?}", store.status());
        write(&store);
    }
    (store, let_go)
}

#[test]
fn a_store_whose_round_takes_long_keeps_no_other_one_waiting() {
    let _alone = alone();
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let held = LetGo(["A", "B", "C"].map(|name| stuck(folder.path().join(name).join("S.db"))).into());
    let slow = Arc::new(Slow::default());
    let config = Config { wal_soft_bytes: SOFT, observer: Some(slow.clone()), ..Config::default() };
    let other = Store::open(folder.path().join("D/S.db"), config, schema()).unwrap();
    while slow.cycles.load(SeqCst) == 0 {
        assert!(other.status().wal_bytes < 100 * SOFT, "its own round does not come: {:?}", other.status());
        write(&other);
    }
    drop(held);
    other.close().unwrap();
}

#[test]
fn a_store_that_waits_for_its_round_rests_as_beside_a_long_one() {
    let _alone = alone();
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let held = LetGo(["A", "B", "C", "D"].map(|name| stuck(folder.path().join(name).join("S.db"))).into());
    let config = Config { wal_soft_bytes: SOFT, ..Config::default() };
    let other = Store::open(folder.path().join("E/S.db"), config, schema()).unwrap();
    while other.status().rested.is_zero() {
        assert!(other.status().wal_bytes < 50 * SOFT, "it goes on and on: {:?}", other.status());
        write(&other);
    }
    drop(held);
    other.close().unwrap();
}

/// Lets rounds go before the stores wait for them.
struct LetGo(Vec<(Store, SyncSender<()>)>);

impl Drop for LetGo {
    fn drop(&mut self) {
        let (stores, senders): (Vec<_>, Vec<_>) = self.0.drain(..).unzip();
        drop(senders);
        drop(stores);
    }
}
