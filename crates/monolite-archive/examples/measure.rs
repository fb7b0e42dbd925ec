//! What keeping a history costs, on the disk of a folder: durable updates with and without it, waiting for it, many stores.
//!
//! `cargo run --release -p monolite-archive --example measure -- FOLDER [--short]`; a machine that does nothing else.

#![allow(clippy::unwrap_used)] // a measurement that cannot go on says where

use monolite_archive::place::Folder;
use monolite_archive::{Archive, Config};
use monolite_store::{Error, Migration, Migrations, Store};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROWS: u64 = 100_000;

fn main() {
    let short = std::env::args().any(|a| a == "--short");
    let folder = std::env::args().nth(1).filter(|a| !a.starts_with('-')).expect("a folder on a real disk");
    let folder = Path::new(&folder);
    let (time, stores) = if short { (Duration::from_secs(2), 100) } else { (Duration::from_secs(20), 1000) };
    let store = open(&folder.join("one.db"));
    for n in 0..ROWS / 1000 {
        write(&store, move |k| k / 1000 == n);
    }
    for callers in [1, 64] {
        let off = updates(&store, callers, time, None);
        let archive = keep(folder, "one", &store);
        let on = updates(&store, callers, time, Some((&archive, false)));
        println!(
            "durable_update_{callers}_archived_vs_not: {:.0}/s of {:.0}/s, {:.3}",
            on.rate,
            off.rate,
            on.rate / off.rate
        );
        println!("  p99 {:?} of {:?}; lag p99 {:?}", on.p99, off.p99, on.lag);
        let waits = updates(&store, callers, time, Some((&archive, true)));
        println!("ack_archived_{callers}: {:.0}/s, p50 {:?}, p99 {:?}", waits.rate, waits.p50, waits.p99);
        drop(archive);
        std::fs::remove_dir_all(folder.join("archive")).unwrap();
        store.follow().unwrap().let_go();
    }
    many(folder, stores, time);
}

fn many(folder: &Path, count: usize, time: Duration) {
    let archive = Archive::start(Arc::new(Folder::open(folder.join("many")).unwrap()), Config::default()).unwrap();
    let before = status("VmRSS:");
    let stores: Vec<Store> = (0..count).map(|n| open(&folder.join(format!("many-{n}.db")))).collect();
    let opened = status("VmRSS:");
    for (n, store) in stores.iter().enumerate() {
        archive.keep(&format!("S{n}"), store, &folder.join(format!("many-{n}"))).unwrap();
    }
    for n in 0..count {
        archive.watch(&format!("S{n}"), Duration::from_secs(600), |s| s.last_base.is_some()).unwrap();
    }
    let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let cpu = ticks();
    let (_keep, never) = std::sync::mpsc::sync_channel::<()>(0);
    let _ = never.recv_timeout(time); // nobody sends: it is the time that is waited for
    let idle = (ticks() - cpu) as f64 / time.as_secs_f64();
    let kept = status("VmRSS:");
    println!(
        "{count} stores: {} KiB opened, {} KiB more kept, {files} open files, idle CPU {idle:.2}%",
        opened - before,
        kept - opened
    );
}

struct Run {
    rate: f64,
    p50: Duration,
    p99: Duration,
    lag: Duration,
}

fn updates(store: &Store, callers: u64, time: Duration, archive: Option<(&Archive, bool)>) -> Run {
    let began = Instant::now();
    let all: Vec<(Duration, Duration)> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..callers).map(|n| scope.spawn(move || caller(store, n + 1, time, archive))).collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    let rate = all.len() as f64 / began.elapsed().as_secs_f64();
    let (mut took, mut lags): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    took.sort();
    lags.sort();
    let at = |sorted: &[Duration], percent: usize| sorted[(sorted.len() - 1) * percent / 100];
    Run { rate, p50: at(&took, 50), p99: at(&took, 99), lag: at(&lags, 99) }
}

fn caller(store: &Store, seed: u64, time: Duration, archive: Option<(&Archive, bool)>) -> Vec<(Duration, Duration)> {
    let (began, mut random, mut all) = (Instant::now(), seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), Vec::new());
    while began.elapsed() < time {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (key, start) = ((random % ROWS) as i64, Instant::now());
        let ticket = monolite_store::Ticket::default();
        let update = move |tx: &monolite_store::Tx<'_>| tx.execute("UPDATE t SET n = n + 1 WHERE id = ?1", [key]);
        let written = store.write_blocking_with::<_, Error, _>(ticket, update).unwrap();
        if let Some((archive, true)) = archive {
            archive.archived("one", written.sequence).unwrap().wait(Duration::from_secs(60)).unwrap();
        }
        let lag = archive.filter(|_| all.len() % 16 == 0).map_or(Duration::ZERO, |(a, _)| a.status()[0].lag);
        all.push((start.elapsed(), lag));
    }
    all
}

fn open(path: &Path) -> Store {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, filler BLOB) STRICT";
    let config = monolite_store::Config { followed: true, ..monolite_store::Config::default() };
    Store::open(path, config, Migrations::new([Migration::Quick { name: "1", sql }])).unwrap()
}

fn write(store: &Store, which: impl Fn(u64) -> bool + Send + 'static) {
    let rows = move |tx: &monolite_store::Tx<'_>| {
        for key in (0..ROWS).filter(|key| which(*key)) {
            tx.execute("INSERT OR IGNORE INTO t VALUES (?1, 0, zeroblob(100))", [key as i64])?;
        }
        Ok::<(), Error>(())
    };
    store.write_blocking(rows).unwrap();
}

fn keep(folder: &Path, name: &str, store: &Store) -> Archive {
    let place = Arc::new(Folder::open(folder.join("archive")).unwrap());
    let archive = Archive::start(place, Config::default()).unwrap();
    archive.keep(name, store, &folder.join(name)).unwrap();
    archive.watch(name, Duration::from_secs(600), |s| s.last_base.is_some()).unwrap();
    archive
}

/// A number of `/proc/self/status`.
fn status(name: &str) -> i64 {
    let all = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = all.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Hundredths of a second of CPU.
fn ticks() -> u64 {
    let all = std::fs::read_to_string("/proc/self/stat").unwrap();
    let numbers: Vec<&str> = all.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    numbers[11].parse::<u64>().unwrap() + numbers[12].parse::<u64>().unwrap()
}
