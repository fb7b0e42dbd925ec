//! The suite `noisy`: what fifty quiet tenants notice of one that does a hundred times as much.
//!
//! The quiet ones write at a steady pace, open loop; their p99 is measured alone, then beside the noisy one's tiny writes,
//! giant writes, slow reads, and all together; in the store and over HTTP.
//!
//! **Invariants**
//! - The quiet tenants do the same in every row; a refused quiet write is counted and said.

mod http;
mod store;

use crate::arguments::Measured;
use crate::measure::Latency;
use crate::report::{Report, Row, Unit};

/// Quiet tenants, and the writes of each in a second.
const QUIET: usize = 50;
const QUIET_RATE: f64 = 10.0;
/// How much more the noisy one asks for.
const NOISE: f64 = 100.0;
const FSYNC: &str = "fsync before each reply (synchronous=FULL)";

/// What the noisy one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Noise {
    name: &'static str,
    tiny: bool,
    giant: bool,
    slow: bool,
}

const NOISES: [Noise; 4] = [
    Noise { name: "tiny_writes", tiny: true, giant: false, slow: false },
    Noise { name: "giant_writes", tiny: false, giant: true, slow: false },
    Noise { name: "slow_reads", tiny: false, giant: false, slow: true },
    Noise { name: "all_together", tiny: true, giant: true, slow: true },
];

/// Runs the suite.
pub(crate) fn run(measured: &Measured) -> anyhow::Result<Report> {
    let mut report = Report::new("noisy");
    crate::store::runtime()?.block_on(async {
        if measured.wants(&["noisy_store"]) || NOISES.iter().any(|n| measured.wants(&[&row("store", n.name)])) {
            store::run(measured, &mut report).await?;
        }
        if measured.wants(&["noisy_http"]) || NOISES.iter().any(|n| measured.wants(&[&row("http", n.name)])) {
            http::run(measured, &mut report).await?;
        }
        anyhow::Ok(())
    })?;
    Ok(report)
}

fn row(place: &str, noise: &str) -> String {
    format!("noisy_{place}_{noise}")
}

/// A row: the quiet ones' p99 beside the noise, against their p99 alone. A ratio of 0.5 is twice as long.
fn compare(report: &mut Report, place: &str, noise: Noise, alone: &Latency, beside: &Latency, note: String) {
    let mut row = Row::alone(row(place, noise.name), beside.us(99.0), "us")
        .against(alone.us(99.0), Unit::Microseconds, "the same tenants alone")
        .durable(FSYNC)
        .note(note);
    row.ours_p50_us = Some(beside.us(50.0));
    row.ours_p99_us = Some(beside.us(99.0));
    row.peer_p50_us = Some(alone.us(50.0));
    row.peer_p99_us = Some(alone.us(99.0));
    report.add(row);
}
