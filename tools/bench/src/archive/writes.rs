//! Durable one-row updates at random keys, with the archive on against off, and how far the archive was behind.

use super::kept::{Kept, NAME};
use super::watching::Watching;
use super::{FSYNC, kept};
use crate::arguments::{Measured, Plan};
use crate::measure::{Latency, Run, in_turns, spread};
use crate::place::Place;
use crate::report::{Report, Row, Unit};
use crate::store::update;
use crate::table;
use monolite_archive::place::Folder;
use std::sync::Arc;
use std::time::Duration;

/// Callers at a time.
pub(super) const CALLERS: [usize; 2] = [64, 1];
/// Pairs of rounds of a full run: short and many, for a machine that is never quite quiet.
const PAIRS: usize = 16;

pub(super) fn name(callers: usize) -> String {
    format!("durable_update_{callers}_archived_vs_not")
}

pub(super) fn lag_name(callers: usize) -> String {
    format!("archive_lag_{callers}_p99")
}

/// What is wanted of the ratio.
fn wanted(callers: usize) -> f64 {
    if callers == 1 { 0.9 } else { 0.8 }
}

pub(super) async fn run(measured: &Measured, place: &Place, report: &mut Report, callers: usize) -> anyhow::Result<()> {
    let plan = plan(measured);
    let (on, off) = (place.join(&format!("on-{callers}")), place.join(&format!("off-{callers}")));
    let without = table::store(&off.join("one.db"), plan.rows).await?;
    let with = Kept::begin(&on, Arc::new(Folder::open(on.join("archive"))?), plan.rows).await?;
    let mut lags = Latency::default();
    let ours = async |time| {
        let (run, lag) = beside_the_lag(&with, plan.rows, callers, time).await?;
        lags.add(&lag);
        with.settle()?;
        Ok(run)
    };
    let pair = in_turns(&plan, ours, async |time| update(&without, plan.rows, callers, time).await).await?;
    let status = with.archive.status().remove(0);
    let (median, low, high) = spread(pair.ratios());
    let note = format!(
        "the median of {} pairs of rounds of {:?}, a half of them from {low:.3} to {high:.3}; wanted: at least {}; {} gaps, {} errors",
        plan.rounds,
        plan.round,
        wanted(callers),
        status.gaps,
        status.errors
    );
    let mut row = Row::compare(name(callers), &pair, Unit::PerSecond, "the same without an archive");
    row.ratio = Some(median);
    report.add(row.durable(place.durability(FSYNC)).note(note));
    let mut row = Row::alone(lag_name(callers), lags.us(99.0), "us");
    (row.ours_p50_us, row.ours_p99_us) = (Some(lags.us(50.0)), Some(lags.us(99.0)));
    let note = format!(
        "how long ago the first commit was made that the folder does not have, {} looks while it was written; at most {:.0} us; \
         wanted: at most 1,000,000",
        lags.count(),
        lags.us_max()
    );
    report.add(row.durable(place.durability(FSYNC)).note(note));
    drop(with);
    drop(without);
    std::fs::remove_dir_all(&on)?;
    Ok(std::fs::remove_dir_all(&off)?)
}

fn plan(measured: &Measured) -> Plan {
    let plan = measured.plan();
    if measured.is_short() {
        return Plan { rounds: 2, round: plan.round / 2, warm: plan.warm / 2, rows: kept::ROWS / 10, ..plan };
    }
    Plan { rounds: PAIRS, round: plan.round / 2, rows: kept::ROWS, ..plan }
}

async fn beside_the_lag(with: &Kept, rows: u64, callers: usize, time: Duration) -> anyhow::Result<(Run, Latency)> {
    let archive = with.archive.clone();
    let looking = Watching::begin(Latency::default(), move |lags: &mut Latency| {
        if let Some(status) = archive.status().into_iter().find(|status| status.service == NAME) {
            lags.record(status.lag);
        }
    });
    let run = update(&with.store, rows, callers, time).await;
    Ok((run?, looking.end()?))
}
