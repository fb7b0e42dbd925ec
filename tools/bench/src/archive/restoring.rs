//! How fast a file comes back, against copying it with `cp` and an fsync.
//!
//! **Invariants**
//! - Before each turn the kernel is told to drop what it has of the source; nobody has the database open meanwhile.
//! - What came back is looked at, and so is the archive.

use super::FSYNC;
use super::kept::NAME;
use crate::measure::spread;
use crate::place::Place;
use crate::report::{Report, Row, Unit};
use crate::table;
use anyhow::{Context, ensure};
use monolite_archive::{Check, History, Target, restore, verify};
use monolite_store::rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub(super) const RESTORE: &str = "restore_large_vs_cp";
pub(super) const VERIFY: &str = "verify_large";
/// Larger files are copied and restored once.
const OFTEN_UP_TO: u64 = 8 << 30;
const TURNS: usize = 3;

/// Measures, with the database closed and all of it in its file and in the history.
pub(super) fn run(place: &Place, report: &mut Report, db: &Path, history: &History) -> anyhow::Result<()> {
    let bytes = std::fs::metadata(db)?.len();
    let turns = if bytes <= OFTEN_UP_TO { TURNS } else { 1 };
    let (copied, restored) = (place.join("copied.db"), place.join("restored.db"));
    let (mut ratios, mut ours, mut peer) = (Vec::new(), Vec::new(), Vec::new());
    let mut segments = 0;
    for turn in 0..turns {
        let mut took = [Duration::ZERO; 2];
        for what in if turn % 2 == 0 { [0, 1] } else { [1, 0] } {
            forget(db)?;
            forget_archive(place, history)?;
            let began = Instant::now();
            if what == 0 {
                let _ = std::fs::remove_file(&copied); // not there the first time
                let done = Command::new("cp").arg("--reflink=never").arg(db).arg(&copied).status().context("cp")?;
                ensure!(done.success(), "cp: {done}");
                File::open(&copied)?.sync_all()?;
            } else {
                let _ = std::fs::remove_file(&restored);
                let done =
                    restore(history, Target::Latest, &restored, Check::Open, &mut |_| ControlFlow::Continue(()))?;
                segments = done.segments;
            }
            took[what] = began.elapsed();
        }
        let rate = |took: Duration| bytes as f64 / 1e6 / took.as_secs_f64();
        peer.push(rate(took[0]));
        ours.push(rate(took[1]));
        ratios.push(took[0].as_secs_f64() / took[1].as_secs_f64());
    }
    let (ratio, low, high) = spread(ratios);
    ensure!(sums(&restored)? == sums(db)?, "what was restored holds other rows than the file");
    let note = format!(
        "{:.2} GB from {segments} segments, restored and synced, and opened by SQLite; {turns} turns, {low:.3} to {high:.3}; \
         wanted: at least 0.7",
        bytes as f64 / 1e9
    );
    let mut row = Row::alone(RESTORE, spread(ours).0, "MB/s");
    row = row.against(spread(peer).0, Unit::PerSecond, "cp and fsync of the file");
    row.ratio = Some(ratio);
    report.add(row.durable(place.durability(FSYNC)).note(note));
    let began = Instant::now();
    let verified = verify(history, i64::MIN, &mut |_, _| ControlFlow::Continue(()))?;
    ensure!(verified.problems.is_empty(), "the archive is not sound: {:?}", verified.problems);
    let rate = verified.bytes as f64 / 1e6 / began.elapsed().as_secs_f64();
    let note = format!("{} segments of {:.2} GB, all sound", verified.segments, verified.bytes as f64 / 1e9);
    report.add(Row::alone(VERIFY, rate, "MB/s").note(note));
    std::fs::remove_file(copied)?;
    Ok(std::fs::remove_file(restored)?)
}

/// Has the kernel drop the pages of a file that nobody has open.
fn forget(path: &Path) -> anyhow::Result<()> {
    let file = File::open(path)?;
    rustix::fs::fdatasync(&file)?;
    Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
}

fn forget_archive(place: &Place, history: &History) -> anyhow::Result<()> {
    let root = place.join(super::large::ARCHIVE);
    for segment in history.segments()? {
        forget(&root.join(history.segment_name(segment.level, segment.name)))?;
    }
    Ok(())
}

/// What the rows of a file come to.
fn sums(path: &Path) -> anyhow::Result<(i64, i64, i64)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.query_row(table::SUMS, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).context(NAME)
}
