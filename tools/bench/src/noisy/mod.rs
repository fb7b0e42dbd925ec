//! The suite `noisy`: what fifty quiet tenants notice of one that does a hundred times as much.
//!
//! The quiet ones write and read at a steady pace, open loop; their p99 is measured alone before each row, since disks have moods, then beside the noisy one's tiny
//! writes, giants in pieces, large writes of the very message that the quiet ones send, slow reads of the very message that
//! they read by, and all together; in the store and over HTTP.
//!
//! **Invariants**
//! - The quiet tenants do the same in every row; a refused quiet call is counted and said, more than one in a hundred are
//!   a miss.
//! - Who asks for the quiet ones shares no thread with who asks for the noisy one: what is timed is not the asking.
//!   Over HTTP it gives way too: on a machine that serves, those who ask are elsewhere.
//! - The noise begins before the quiet ones do and ends after them.

mod http;
mod store;

use crate::arguments::Measured;
use crate::measure::Latency;
use crate::report::{Report, Row, Unit};
use std::time::Duration;

/// Quiet tenants; the writes and the reads of each in a second.
const QUIET: usize = 50;
const QUIET_RATE: f64 = 10.0;
/// How much more the noisy one asks for.
const NOISE: f64 = 100.0;
/// How long the noise goes on before the quiet ones begin, and after them.
const AROUND: Duration = Duration::from_millis(300);
const FSYNC: &str = "fsync before each reply (synchronous=FULL)";

/// What the noisy one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Noise {
    name: &'static str,
    tiny: bool,
    /// Values in pieces.
    giant: bool,
    /// Writes of the message that the quiet ones send too, each longer than a group may take.
    large: bool,
    slow: bool,
}

const NONE: Noise = Noise { name: "", tiny: false, giant: false, large: false, slow: false };

const NOISES: [Noise; 5] = [
    Noise { name: "tiny_writes", tiny: true, ..NONE },
    Noise { name: "giant_writes", giant: true, ..NONE },
    Noise { name: "large_writes", large: true, ..NONE },
    Noise { name: "slow_reads", slow: true, ..NONE },
    Noise { name: "all_together", tiny: true, giant: true, slow: true, large: false },
];

impl Noise {
    /// How many times as long as alone the quiet ones' p99 may be.
    fn allowed(self) -> f64 {
        if self.giant || self.large { 4.0 } else { 2.0 }
    }

    fn is_wanted(self, measured: &Measured, place: &str) -> bool {
        let row = row(place, self.name);
        measured.wants(&[&row, &format!("{row}_reads")])
    }
}

/// What the quiet ones saw.
#[derive(Default, Clone)]
struct Quiet {
    writes: Latency,
    reads: Latency,
    refused: u64,
}

/// Runs the suite.
pub(crate) fn run(measured: &Measured) -> anyhow::Result<Report> {
    let mut report = Report::new("noisy");
    crate::store::runtime()?.block_on(async {
        if measured.wants(&["noisy_store"]) || NOISES.iter().any(|n| n.is_wanted(measured, "store")) {
            store::run(measured, &mut report).await?;
        }
        if measured.wants(&["noisy_http"]) || NOISES.iter().any(|n| n.is_wanted(measured, "http")) {
            http::run(measured, &mut report).await?;
        }
        anyhow::Ok(())
    })?;
    Ok(report)
}

fn row(place: &str, noise: &str) -> String {
    format!("noisy_{place}_{noise}")
}

/// Two rows: the quiet ones' p99 beside the noise, of writes and of reads, against their p99 alone. A ratio of 0.5 is twice
/// as long. Nothing can divide a large write: two of the longest may be waited for on top.
fn compare(
    report: &mut Report,
    place: &str,
    noise: Noise,
    (alone, beside): (&Quiet, &Quiet),
    longest: Duration,
    did: &str,
) {
    let name = row(place, noise.name);
    let sides = [(name.clone(), &alone.writes, &beside.writes), (format!("{name}_reads"), &alone.reads, &beside.reads)];
    for (name, alone, seen) in sides {
        let (alone_us, allowed) = (alone.us(99.0).max(1.0), noise.allowed());
        let factor = seen.us(99.0) / alone_us;
        let top_us = if noise.large { 2.0 * longest.as_secs_f64() * 1e6 } else { 0.0 };
        let refused = beside.refused;
        let is_kept = seen.us(99.0) <= alone_us * allowed + top_us && refused * 100 <= seen.count();
        let is_kept = if is_kept { "kept" } else { "MISSED" };
        let note = format!(
            "{factor:.1} times as long, {allowed} and {top_us:.0} us allowed: {is_kept}; {refused} quiet calls were refused; {did}"
        );
        let mut row = Row::alone(name, seen.us(99.0), "us")
            .against(alone.us(99.0), Unit::Microseconds, "the same tenants alone")
            .durable(FSYNC)
            .note(note);
        row.ours_p50_us = Some(seen.us(50.0));
        row.ours_p99_us = Some(seen.us(99.0));
        row.peer_p50_us = Some(alone.us(50.0));
        row.peer_p99_us = Some(alone.us(99.0));
        report.add(row);
    }
}
