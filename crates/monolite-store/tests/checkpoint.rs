//! Checkpoints beside a writer that is faster than they are: nobody waits for the whole WAL to be copied.

#![allow(clippy::unwrap_used)]

use monolite_store::{CheckpointMode, Config, Migration, Migrations, Observer, Store};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const SOFT: u64 = 4 << 20;
const FRAME: u64 = 4096 + 24;
/// What a slow disk would take for each page.
const EACH: Duration = Duration::from_micros(50);

/// Makes each round beside the writer slow, and notes what is left to the last one.
#[derive(Default)]
struct Slow {
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
                let end = Instant::now() + EACH * copied.saturating_sub(before) as u32;
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
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let slow = Arc::new(Slow::default());
    let config = Config { wal_soft_bytes: SOFT, observer: Some(slow.clone()), ..Config::default() };
    let schema = Migration::Quick { name: "1", sql: "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB) STRICT" };
    let store = Store::open(folder.path().join("S.db"), config, Migrations::new([schema])).unwrap();
    let end = Instant::now() + Duration::from_secs(120);
    while slow.cycles.load(SeqCst) < 4 {
        assert!(Instant::now() < end, "{:?}", store.status());
        let write = "INSERT OR REPLACE INTO t VALUES (abs(random() % 500), zeroblob(100000))";
        store.write_blocking(|tx| tx.execute(write, []).map(drop)).unwrap();
    }
    slow.over.store(true, SeqCst);
    assert!(store.status().rested > Duration::ZERO, "it gave way");
    let left = slow.most_left.load(SeqCst);
    assert!(left < SOFT / FRAME, "{left} pages were left to the last round");
    store.close().unwrap();
}
