//! The suite `archive`: what keeping the history of a store costs, and how fast it comes back.
//!
//! **Invariants**
//! - What is compared runs in turns on the same disk in the same run; a ratio is the median over pairs of neighbouring rounds.
//! - A round with the archive ends when all of it is archived, so that the other side does not pay for it.
//!
//! Absent: merging and retention within the rounds: they come each half minute, and a round is shorter.

mod acks;
mod kept;
mod large;
mod many;
mod restoring;
mod watching;
mod writes;

pub(crate) use many::{Many, run_here as run_many};

use crate::arguments::Measured;
use crate::place::Place;
use crate::report::Report;
use anyhow::Context;

/// What both sides promise where only the archive differs.
const FSYNC: &str = "both: fsync before each reply (synchronous=FULL)";
/// The same and the archive.
const ARCHIVED: &str = "fsync before each reply, and the reply waits until the segment is in the archive, synced there";
/// The same, in a bucket.
const IN_BUCKET: &str =
    "fsync before each reply, and the reply waits until the bucket has the segment (SeaweedFS here does not fsync)";

/// The suite's arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Archives {
    #[command(flatten)]
    pub(crate) measured: Measured,
    /// Size of the large file in GB; 2 unless given, a hundredth with --short. The disk needs four times as much, and 200 MiB for each second of it.
    #[arg(long)]
    size: Option<f64>,
}

/// Runs the suite.
pub(crate) fn run(archives: &Archives) -> anyhow::Result<Report> {
    let measured = &archives.measured;
    let place = measured.place()?;
    let mut report = Report::new("archive");
    crate::store::runtime()?.block_on(crate::interrupt::unless_interrupted(suite(archives, &place, &mut report)))?;
    Ok(report)
}

async fn suite(archives: &Archives, place: &Place, report: &mut Report) -> anyhow::Result<()> {
    let measured = &archives.measured;
    for callers in writes::CALLERS {
        if measured.wants(&[&writes::name(callers), &writes::lag_name(callers)]) {
            writes::run(measured, place, report, callers).await.context("writes with and without an archive")?;
        }
    }
    acks::run(measured, place, report).await.context("replies that wait for the archive")?;
    if measured.wants(large::NAMES) {
        let gb = archives.size.unwrap_or(if measured.is_short() { 0.02 } else { 2.0 });
        large::run(measured, place, report, gb).await.context("a large file")?;
    }
    if measured.wants(many::NAMES) {
        many::run(measured, place, report).await.context("many stores")?;
    }
    Ok(())
}
