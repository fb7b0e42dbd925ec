//! The writer soak: writes at full rate for a minute, point reads beside them, the WAL watched.

use super::Suite;
use crate::measure::Latency;
use crate::random::Random;
use crate::report::Row;
use crate::table;
use monolite_store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How many callers write: the soak runs once for each.
pub(crate) const CALLERS: [usize; 2] = [64, 1];

/// Point reads beside the writes: so many each millisecond, so that there is a core left for the writes.
const READS_EACH_MS: usize = 8;

const FSYNC: &str = "fsync before each reply (synchronous=FULL)";

/// What the rows' names begin with.
pub(crate) fn name(callers: usize) -> &'static str {
    if callers == 1 { "writer_soak_1" } else { "writer_soak_64" }
}

/// Runs the soak for a number of callers.
pub(crate) async fn run(suite: &mut Suite, callers: usize) -> anyhow::Result<()> {
    let (name, plan) = (name(callers), suite.plan);
    let durability = suite.place.durability(FSYNC);
    suite.update_ours(callers, plan.warm).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(read_beside(suite.store.clone(), plan.rows, stop.clone()));
    let watch = tokio::spawn(watch_wal(suite.store.clone(), stop.clone()));
    let written = suite.update_ours(callers, plan.soak).await;
    stop.store(true, Ordering::Relaxed);
    let (written, reads, wal) = (written?, reader.await??, watch.await?);
    let latency = &written.latency;
    let mut add = |what: &str, value: f64, unit, note: String| {
        let mut row = Row::alone(format!("{name}_{what}"), value, unit).durable(durability).note(note);
        let of = if what == "read_p99" { &reads } else { latency };
        row.ours_p50_us = Some(of.us(50.0));
        row.ours_p99_us = Some(of.us(99.0));
        suite.report.add(row);
    };
    let time = format!("{:.0} s", written.elapsed.as_secs_f64());
    add("writes_per_second", written.operations as f64 / written.elapsed.as_secs_f64(), "1/s", time);
    let (p50, p999) = (latency.us(50.0), latency.us(99.9));
    let note = format!("p50 {p50:.0} us, p99 {:.0}, p99.9 {p999:.0}, max {:.0}", latency.us(99.0), latency.us_max());
    add("write_p999_over_p50", p999 / p50, "x", note);
    let note = format!(
        "p50 {:.2} us, p99.9 {:.1}, max {:.0}, {} reads",
        reads.us(50.0),
        reads.us(99.9),
        reads.us_max(),
        reads.count()
    );
    add("read_p99", reads.us(99.0), "us", note);
    add(
        "wal_file_max",
        wal.file_max as f64 / f64::from(1 << 20),
        "MiB",
        format!("in use at most {:.1} MiB", wal.used_max as f64 / f64::from(1 << 20)),
    );
    Ok(())
}

async fn read_beside(store: Store, rows: u64, stop: Arc<AtomicBool>) -> anyhow::Result<Latency> {
    let (mut random, mut latency) = (Random::new(7), Latency::default());
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while !stop.load(Ordering::Relaxed) {
        tick.tick().await;
        for _ in 0..READS_EACH_MS {
            let key = table::key(random.next(), rows);
            let begin = Instant::now();
            store.read(move |s| s.query_row(table::READ, [key], table::take)).await?;
            latency.record(begin.elapsed());
        }
    }
    Ok(latency)
}

/// The greatest size seen of the WAL, of what is in use and of the file.
#[derive(Default)]
struct Wal {
    used_max: u64,
    file_max: u64,
}

async fn watch_wal(store: Store, stop: Arc<AtomicBool>) -> Wal {
    let mut path = store.path().as_os_str().to_owned();
    path.push("-wal");
    let mut wal = Wal::default();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while !stop.load(Ordering::Relaxed) {
        tick.tick().await;
        wal.used_max = wal.used_max.max(store.status().wal_bytes);
        // Asking for its length opens nothing, so SQLite's locks are safe.
        wal.file_max = wal.file_max.max(std::fs::metadata(&path).map_or(0, |m| m.len()));
    }
    wal
}
