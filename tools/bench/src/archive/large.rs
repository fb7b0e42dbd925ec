//! A large file: a base copy while it is written at full rate, and what comes back.
//!
//! The writes go to 50,000 rows that are spread over the whole file, each on a page of its own: at full rate for as long as
//! a copy takes, updates of all rows would fill the disk with segments that have little in common.

use super::kept::{Kept, NAME};
use super::watching::Watching;
use super::{FSYNC, kept, restoring};
use crate::arguments::Measured;
use crate::giants::memory::Memory;
use crate::measure::{Callers, Latency, Side};
use crate::place::Place;
use crate::report::{Report, Row, Unit};
use crate::store::done;
use crate::table;
use anyhow::{Context, ensure};
use monolite_archive::Config;
use monolite_archive::place::Folder;
use monolite_store::Store;
use std::sync::Arc;
use std::time::Duration;

pub(super) const NAMES: &[&str] = &[BESIDE, WAL, MEMORY, COPY, restoring::RESTORE, restoring::VERIFY];
const BESIDE: &str = "writes_p99_beside_base_copy";
const WAL: &str = "wal_max_beside_base_copy";
const MEMORY: &str = "memory_max_beside_base_copy";
const COPY: &str = "base_copy_large";
/// The archive's folder.
pub(super) const ARCHIVE: &str = "large-archive";

const CALLERS: usize = 64;
/// Rows that are written.
const HOT: u64 = 50_000;
/// Bytes of a row in the file, about.
const ROW_BYTES: f64 = 110.0;
/// Copies, each followed by as much time without one; of a file that takes longer to copy than `LONG` one.
const COPIES: usize = 2;
const LONG: Duration = Duration::from_secs(60);
/// A copy that takes longer has failed, before its writes fill the disk; for each so many rows a second more.
const COPY_MAX: Duration = Duration::from_secs(90);
const ROWS_A_SECOND: u64 = 50_000;
/// What the disk needs of the file's size, for the file, its base, a copy and what is restored; beside them, in bytes; and for
/// each second of writes at full rate, which come faster than segments are merged.
const ROOM: (f64, u64, u64) = (4.0, 6 << 30, 200 << 20);

/// What a measurement came to.
#[derive(Default)]
struct Seen {
    with: Side,
    without: Side,
    seconds: Vec<f64>,
    wal: u64,
    memory: u64,
}

pub(super) async fn run(measured: &Measured, place: &Place, report: &mut Report, gb: f64) -> anyhow::Result<()> {
    let whole = Config::default();
    // A small file is copied slowly enough to be seen.
    let pace = if measured.is_short() { 8 << 20 } else { whole.base_bytes_per_second };
    let copy = Duration::from_secs_f64(gb * 1e9 / pace as f64);
    let copies = if copy > LONG { 1 } else { COPIES };
    let written = 2 * copies as u64 * copy.as_secs() * ROOM.2;
    let need = (gb * 1e9 * ROOM.0) as u64 + written + if measured.is_short() { 0 } else { ROOM.1 };
    if place.free()? < need {
        eprintln!("LEFT OUT: no room for {gb} GB: {} GB are needed and {} free", need >> 30, place.free()? >> 30);
        return Ok(());
    }
    let rows = (gb * 1e9 / ROW_BYTES) as u64;
    eprintln!("filling {gb} GB");
    let folder = place.join("large");
    let store = kept::filled(&folder, rows).await?;
    // What was merged goes at once, so that the disk holds it.
    let keep = monolite_archive::Keep { merged_ms: [1_000; 9], ..whole.keep.clone() };
    let config = Config { base_bytes_per_second: pace, keep, ..whole };
    let mut memory = Memory::idle(std::process::id())?;
    let kept = Kept::keep(store, &folder, Arc::new(Folder::open(place.join(ARCHIVE))?), config)?;
    let mut seen = Seen::default();
    for copy in 0..copies {
        beside_a_copy(&kept, rows, measured, copy, &mut seen).await?;
        seen.memory = memory.over_idle(std::process::id())?;
        memory = memory.after(seen.memory);
    }
    kept.settle()?;
    // What is restored is a base with nothing after it: how much comes after one is a matter of luck.
    let before = kept.archive.status().remove(0).last_base;
    kept.archive.begin_base(NAME)?;
    kept.based(before)?;
    tell(report, place, &seen, gb, pace);
    let (history, status) = (kept.archive.history(NAME)?, kept.archive.status().remove(0));
    ensure!(status.gaps == 0, "the archive has a gap: {status:?}");
    let Kept { store, archive } = kept;
    store.close().context("closing the store")?;
    drop(archive);
    restoring::run(place, report, &folder.join("one.db"), &history)?;
    std::fs::remove_dir_all(place.join(ARCHIVE))?;
    Ok(std::fs::remove_dir_all(folder)?)
}

/// Writes until a copy is made, and then as long without one.
async fn beside_a_copy(
    kept: &Kept,
    rows: u64,
    measured: &Measured,
    copy: usize,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let round = if measured.is_short() { Duration::from_millis(300) } else { Duration::from_secs(1) };
    let before = kept.archive.status().remove(0).last_base;
    if copy > 0 {
        kept.archive.begin_base(NAME)?;
    }
    let store = kept.store.clone();
    let wal = Watching::begin(0u64, move |most| *most = (*most).max(store.status().wal_bytes));
    let began = std::time::Instant::now();
    let most = COPY_MAX + Duration::from_secs(rows / ROWS_A_SECOND);
    let mut rounds = 0;
    loop {
        ensure!(began.elapsed() < most, "no base after {most:?}: {:?}", kept.archive.status().remove(0));
        let run = write(&kept.store, rows, round).await?;
        let status = kept.archive.status().remove(0);
        if status.last_base > before && status.copying.is_none() {
            // The last round was beside it for a part only, and counts where it is the only one.
            if rounds == 0 {
                seen.with.add(&run);
                rounds = 1;
            }
            break;
        }
        seen.with.add(&run);
        rounds += 1;
    }
    seen.seconds.push(began.elapsed().as_secs_f64());
    seen.wal = seen.wal.max(wal.end()?);
    for _ in 0..rounds {
        seen.without.add(&write(&kept.store, rows, round).await?);
    }
    Ok(())
}

async fn write(store: &Store, rows: u64, time: Duration) -> anyhow::Result<crate::measure::Run> {
    let hot = HOT.min(rows);
    let each = |_| {
        let store = store.clone();
        move |random| {
            let key = ((random % hot) * (rows / hot)) as i64 + 1;
            let write = store.write(move |tx| tx.execute(table::UPDATE, [key]));
            async move { done(write.await) }
        }
    };
    Callers::timed(CALLERS).run(time, each).await
}

fn tell(report: &mut Report, place: &Place, seen: &Seen, gb: f64, pace: u64) {
    let p99 = |latency: &Latency| latency.us(99.0);
    let (with, without) = (&seen.with, &seen.without);
    let mut row = Row::alone(BESIDE, p99(&with.latency), "us");
    row = row.against(p99(&without.latency), Unit::Microseconds, "the same archived writes without a copy");
    (row.ours_p50_us, row.ours_p99_us) = (Some(with.latency.us(50.0)), Some(p99(&with.latency)));
    (row.peer_p50_us, row.peer_p99_us) = (Some(without.latency.us(50.0)), Some(p99(&without.latency)));
    let note = format!(
        "a file of {gb} GB, {CALLERS} callers, {:.0} writes/s beside the copy and {:.0} without; {:.2} times the p99; wanted: at most 1.5",
        with.rate(),
        without.rate(),
        p99(&with.latency) / p99(&without.latency)
    );
    report.add(row.durable(place.durability(FSYNC)).note(note));
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    report
        .add(Row::alone(WAL, mib(seen.wal), "MiB").note("the most that was in use at any look while a copy was made"));
    let note = "the most resident memory over what the process had before it kept the store: the callers' is in it";
    report.add(Row::alone(MEMORY, mib(seen.memory), "MiB").note(note));
    let (median, ..) = crate::measure::spread(seen.seconds.clone());
    let note = format!("{} copies of {gb} GB, paced at {} MiB/s, {median:.1} s each", seen.seconds.len(), pace >> 20);
    report.add(Row::alone(COPY, gb * 1e3 / median, "MB/s").note(note));
}
