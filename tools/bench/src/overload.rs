//! The suite `overload`: five times as many changes as the server can do, open loop, and what becomes of them.
//!
//! The peak is measured first, by as many callers as keep the server busy. Then fifty tenants together send five times
//! as much, whatever is answered, while one more reads at a slow pace; then half of the peak, by which the recovery shows.
//! Then the peak again: a file that grows by millions of rows meanwhile takes each one more slowly, overload or not, so
//! that goodput is compared with the mean of both.
//!
//! **Invariants**
//! - Goodput counts successes by when they were due; what is refused, late or unsent is not in it.
//! - Errors other than 429 and 503 with `Retry-After` are counted, and so are hangs.

use crate::arguments::Measured;
use crate::crowd::{self, BIN, Group, Kind, Seen};
use crate::report::{Report, Row};
use crate::server::{self, Server};
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Tenants that overload together.
const TENANTS: usize = 50;
/// Connections that find the peak, and those that overload.
const PEAK_CONNECTIONS: usize = 128;
const CONNECTIONS: usize = 1000;
const FACTOR: f64 = 5.0;
/// A success later than this is not yet recovery, nor is it before so many pieces of time in a row were without one.
const RECOVERED_US: u64 = 250_000;
const RECOVERED_BINS: usize = 10;
const FSYNC: &str = "fsync before each reply (synchronous=FULL)";
/// The sizes of document: many small writes, which the processor bounds, and texts to index, which the writer bounds.
const KINDS: [(&str, usize); 2] = [("small", 0), ("text_16k", 16 << 10)];

/// Runs the suite.
pub(crate) fn run(measured: &Measured) -> anyhow::Result<Report> {
    let (place, short) = (measured.place()?, measured.is_short());
    let program = server::build()?;
    crate::store::runtime()?.block_on(async {
        let mut report = Report::new("overload");
        for (name, bytes) in KINDS {
            if !measured.wants(&[&format!("overload_{name}")]) {
                continue;
            }
            let data = place.join(name);
            let ours = server::serve(&program, &data, &place.join("server.log")).await?;
            let tokens = tenants(&program, &data, &ours, TENANTS + 1).await?;
            measure(&mut report, &ours, &tokens, name, bytes, short).await.with_context(|| name.to_owned())?;
            ours.stop().await?;
        }
        Ok(report)
    })
}

/// Makes so many users and signs them in.
pub(crate) async fn tenants(program: &Path, data: &Path, ours: &Server, n: usize) -> anyhow::Result<Vec<String>> {
    let admin = server::sign_in(program, data).await?;
    server::users(ours.address, &admin, n).await
}

async fn measure(
    report: &mut Report,
    ours: &Server,
    tokens: &[String],
    name: &str,
    bytes: usize,
    short: bool,
) -> anyhow::Result<()> {
    let (all, reader) = tokens.split_at(TENANTS);
    let (peak_ms, over_ms, after_ms) = if short { (2_000, 5_000, 3_000) } else { (10_000, 60_000, 5_000) };
    let group = |connections, phases| Group {
        name: name.to_owned(),
        bearers: all.to_vec(),
        connections,
        kind: Kind::Create(bytes),
        phases,
    };
    // The first run warms up.
    crowd::spawn(ours.address, &[group(PEAK_CONNECTIONS, vec![(1_000, None)])]).await?;
    let seen = crowd::spawn(ours.address, &[group(PEAK_CONNECTIONS, vec![(peak_ms, None)])]).await?;
    let peak = rate(&seen[0], peak_ms);
    let resident = Resident::watch(ours.pid())?;
    let reads = Group {
        name: "reads".to_owned(),
        bearers: reader.to_vec(),
        connections: 8,
        kind: Kind::Get("/api/v1/sessions/current".to_owned()),
        phases: vec![(over_ms, Some(100.0))],
    };
    let phases = vec![(over_ms, Some(peak * FACTOR)), (after_ms, Some(peak * 0.5))];
    let seen = crowd::spawn(ours.address, &[group(CONNECTIONS, phases), reads]).await?;
    let (before, most) = resident.end()?;
    let again = crowd::spawn(ours.address, &[group(PEAK_CONNECTIONS, vec![(peak_ms, None)])]).await?;
    rows(report, name, (peak, rate(&again[0], peak_ms)), over_ms, &seen, (before, most));
    Ok(())
}

/// Successes a second.
fn rate(seen: &Seen, ms: u64) -> f64 {
    seen.good() as f64 / (ms as f64 / 1e3)
}

fn rows(report: &mut Report, name: &str, peaks: (f64, f64), over_ms: u64, seen: &[Seen], resident: (u64, u64)) {
    let (over, reads) = (&seen[0], &seen[1]);
    let bins = (over_ms / BIN.as_millis() as u64) as usize;
    let (during, after) = over.bins.split_at(bins.min(over.bins.len()));
    let goodput = during.iter().map(|bin| bin.0).sum::<u64>() as f64 / (over_ms as f64 / 1e3);
    let latency = over.latency();
    let durable = |row: Row| row.durable(FSYNC);
    let sent: u64 = during.iter().map(|bin| bin.0 + bin.1).sum();
    let note = format!(
        "{:.0} requests a second were due; statuses {:?}, a refusal took {} ms, unsent after {:?} {}; the peak, by {PEAK_CONNECTIONS} callers, was {:.0} before and {:.0} after",
        sent as f64 / (over_ms as f64 / 1e3),
        over.statuses,
        over.refusing_us / 1000 / over.statuses.range(429..=503).map(|(_, n)| n).sum::<u64>().max(1),
        crowd::PATIENCE,
        over.unsent,
        peaks.0,
        peaks.1,
    );
    let mut row = durable(Row::alone(format!("overload_{name}_goodput"), goodput, "1/s"))
        .against((peaks.0 + peaks.1) / 2.0, crate::report::Unit::PerSecond, "the peak without overload")
        .note(note);
    row.ours_p50_us = Some(latency.us(50.0));
    row.ours_p99_us = Some(latency.us(99.0));
    report.add(row);
    let note = format!("{} refusals without Retry-After, {} broken", over.without_retry_after, over.broken);
    report.add(durable(Row::alone(format!("overload_{name}_wrong"), over.wrong() as f64, "answers").note(note)));
    let is_late = |bin: &(u64, u64, u64)| bin.1 > 0 || bin.2 > RECOVERED_US;
    let late = recovered(after, is_late);
    let again = after[late..].iter().filter(|bin| is_late(bin)).count();
    let recovery = late as f64 * BIN.as_secs_f64();
    let note = format!(
        "until nothing was refused and nothing took {} ms for {:?}; {again} such pieces later; {}",
        RECOVERED_US / 1000,
        BIN * RECOVERED_BINS as u32,
        afterwards(&after[..late.min(after.len())])
    );
    report.add(durable(Row::alone(format!("overload_{name}_recovery"), recovery, "s").note(note)));
    let (before, most) = resident;
    let note = format!("resident {before} MiB before, {most} MiB at most");
    report.add(durable(
        Row::alone(format!("overload_{name}_memory"), most.saturating_sub(before) as f64, "MiB more").note(note),
    ));
    let times = reads.latency();
    let note = format!("statuses {:?}, unsent {}", reads.statuses, reads.unsent);
    let mut row = Row::alone(format!("overload_{name}_reads_beside"), times.us(99.0), "us").note(note);
    row.ours_p50_us = Some(times.us(50.0));
    row.ours_p99_us = Some(times.us(99.0));
    report.add(row);
}

/// The piece of time from which on some in a row were not late; all of them where there were none such.
fn recovered(bins: &[(u64, u64, u64)], is_late: impl Fn(&(u64, u64, u64)) -> bool) -> usize {
    let is_calm = |some: &[(u64, u64, u64)]| !some.iter().any(&is_late);
    bins.windows(RECOVERED_BINS).position(is_calm).unwrap_or(bins.len())
}

/// What was refused and how long the slowest took, piece by piece, until it had recovered.
fn afterwards(bins: &[(u64, u64, u64)]) -> String {
    let of = |bin: &(u64, u64, u64)| format!("{}/{} ms", bin.1, bin.2 / 1000);
    format!(
        "refused and slowest of each {} ms: {}",
        BIN.as_millis(),
        bins.iter().map(of).collect::<Vec<_>>().join(", ")
    )
}

/// The resident memory of a process, looked at ten times a second.
struct Resident {
    before: u64,
    end: Arc<AtomicBool>,
    watcher: std::thread::JoinHandle<u64>,
}

impl Resident {
    fn watch(pid: u32) -> anyhow::Result<Self> {
        let (before, end) = (resident(pid)?, Arc::new(AtomicBool::new(false)));
        let watched = end.clone();
        let watcher = std::thread::spawn(move || {
            let mut most = 0;
            while !watched.load(Relaxed) {
                most = resident(pid).unwrap_or(0).max(most);
                std::thread::park_timeout(Duration::from_millis(100));
            }
            most
        });
        Ok(Resident { before, end, watcher })
    }

    fn end(self) -> anyhow::Result<(u64, u64)> {
        self.end.store(true, Relaxed);
        let most = self.watcher.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?;
        Ok((self.before, most))
    }
}

/// Resident memory in MiB.
fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_is_half_a_second_in_a_row_without_a_late_answer() {
        let (good, late) = ((10, 0, 1), (10, 1, 1));
        let is_late = |bin: &(u64, u64, u64)| bin.1 > 0;
        let mut bins = vec![late, late, good, late];
        bins.extend([good; 12]);
        bins.push(late);
        assert_eq!(recovered(&bins, is_late), 4);
        assert_eq!(recovered(&bins[..10], is_late), 10, "not seen to recover");
        assert_eq!(recovered(&[good; 20], is_late), 0);
    }
}
