//! Hunts stale and backward reads under full write load: three seconds, or a minute with `MONOLITE_LONG=1`.

#![allow(clippy::unwrap_used)]

use monolite_store::{Config, Error, Migration, Migrations, Store, Ticket};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const SCHEMA: &str =
    "CREATE TABLE counter(id INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT; INSERT INTO counter VALUES (1, 0);
CREATE TABLE pad(id INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;";

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicI64,
    acknowledged_sequence: AtomicU64,
    seen: AtomicI64,
    reads: AtomicU64,
    stale: AtomicU64,
    backward: AtomicU64,
    torn: AtomicU64,
}

#[test]
fn no_read_is_stale_and_none_goes_back_in_time() {
    let long = std::env::var_os("MONOLITE_LONG").is_some();
    let folder = tempfile::tempdir().unwrap();
    let config = Config { wal_soft_bytes: 1 << 20, ..Config::default() }; // many checkpoints, many WAL resets
    let migrations = Migrations::new(vec![Migration::Quick { name: "0001", sql: SCHEMA }]);
    let store = Store::open(folder.path().join("E.db"), config, migrations).unwrap();
    let shared = Shared::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| write_until_stopped(&store, &shared));
        }
        for _ in 0..3 {
            scope.spawn(|| read_until_stopped(&store, &shared));
        }
        let end = Instant::now() + Duration::from_secs(if long { 60 } else { 3 });
        while Instant::now() < end {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        shared.stop.store(true, SeqCst);
    });
    let (reads, writes) = (shared.reads.load(SeqCst), shared.acknowledged.load(SeqCst));
    println!("{reads} reads beside {writes} writes");
    assert!(reads > 1000 && writes > 100, "there was load: {reads} reads, {writes} writes");
    assert_eq!(shared.stale.load(SeqCst), 0, "reads that missed an acknowledged write");
    assert_eq!(shared.backward.load(SeqCst), 0, "reads older than an earlier read");
    assert_eq!(shared.torn.load(SeqCst), 0, "reads that saw two states");
}

fn write_until_stopped(store: &Store, shared: &Shared) {
    while !shared.stop.load(SeqCst) {
        let written = store
            .write_blocking_with(Ticket::label("count"), |tx| {
                tx.execute("INSERT INTO pad(v) VALUES (zeroblob(1500))", [])?;
                tx.query_row("UPDATE counter SET n = n + 1 RETURNING n", [], |r| r.get::<_, i64>(0))
            })
            .unwrap();
        shared.acknowledged.fetch_max(written.value, SeqCst);
        shared.acknowledged_sequence.fetch_max(written.sequence, SeqCst);
    }
}

fn read_until_stopped(store: &Store, shared: &Shared) {
    while !shared.stop.load(SeqCst) {
        let (acknowledged, sequence, seen) =
            (shared.acknowledged.load(SeqCst), shared.acknowledged_sequence.load(SeqCst), shared.seen.load(SeqCst));
        let read = store
            .read_blocking_with(Ticket::label("look"), |s| {
                let n: i64 = s.query_row("SELECT n FROM counter WHERE id = 1", [], |r| r.get(0))?;
                let rows: i64 = s.query_row("SELECT coalesce(max(id), 0) FROM pad", [], |r| r.get(0))?;
                Ok::<_, Error>((n, rows))
            })
            .unwrap();
        let (n, rows) = read.value;
        shared.seen.fetch_max(n, SeqCst);
        shared.reads.fetch_add(1, SeqCst);
        shared.stale.fetch_add(u64::from(n < acknowledged || read.sequence < sequence), SeqCst);
        shared.backward.fetch_add(u64::from(n < seen), SeqCst);
        shared.torn.fetch_add(u64::from(n != rows), SeqCst);
    }
}
