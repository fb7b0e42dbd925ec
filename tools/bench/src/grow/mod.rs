//! The suite `grow`: one store whose file grows, measured at each size by processes of their own.
//!
//! Reads: *warm* at random rows of a working set that fits the page cache ([`WORKING_SET`] rows spread over the whole file),
//! *spread* at random rows of the whole file after reads of it, *cold* at random rows after the kernel dropped the file.
//! Then durable writes at random rows, and opening after `kill -9` with a long WAL.
//!
//! **Invariants**
//! - The file is removed at the end, also after a failure or Ctrl-C. Sizes for which the disk has no room are said and left out.
//! - This process never opens the store; who drops the kernel's pages is not who reads them.

mod step;

pub(crate) use step::{Step, run_step};

use crate::arguments::Measured;
use crate::measure::Latency;
use crate::place::Place;
use crate::process::Process;
use crate::report::{Report, Row, number};
use anyhow::{Context, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use step::{Seen, WORKING_SET, Work};

/// What stays free on the disk beside the file: its WAL, and room for others.
const RESERVE: u64 = 3 << 30;
const GIB: f64 = (1_u64 << 30) as f64;
/// Longest wait for a step to say that it is ready.
const READY_MAX: Duration = Duration::from_secs(120);
const FSYNC: &str = "fsync before each reply (synchronous=FULL)";

/// The arguments of `grow`.
#[derive(Args)]
pub(crate) struct Grow {
    #[command(flatten)]
    pub(crate) measured: Measured,
    /// The sizes, ascending, in GiB [default: 1,8; with --short 0.05,0.1]
    #[arg(long, value_delimiter = ',')]
    gib: Vec<f64>,
}

/// What was measured at one size.
struct Size {
    name: String,
    warm: Seen,
    spread: Seen,
    cold: Seen,
    one: Seen,
    many: Seen,
    open: Seen,
    open_cold: Seen,
}

/// Runs the suite.
pub(crate) fn run(grow: &Grow) -> anyhow::Result<Report> {
    // The place goes last: its files are removed when nobody uses them any more.
    let (place, runtime) = (grow.measured.place()?, crate::store::runtime()?);
    runtime.block_on(crate::interrupt::unless_interrupted(sizes(grow, &place)))
}

async fn sizes(grow: &Grow, place: &Place) -> anyhow::Result<Report> {
    let asked = match (grow.gib.is_empty(), grow.measured.is_short()) {
        (false, _) => grow.gib.clone(),
        (true, true) => vec![0.05, 0.1],
        (true, false) => vec![1.0, 8.0],
    };
    ensure!(asked.is_sorted() && asked.iter().all(|gib| *gib > 0.0), "sizes ascend");
    let file = Grown { path: place.join("store/grown.db"), time: grow.measured.plan().round / 2 };
    let (mut report, mut done, mut left_out) = (Report::new("grow"), Vec::new(), Vec::new());
    for gib in asked {
        let bytes = (gib * GIB) as u64;
        let have = std::fs::metadata(&file.path).map_or(0, |m| m.len());
        let (need, free) = (bytes.saturating_sub(have) + RESERVE, place.free()?);
        if need > free {
            let (need, free) = (number(need as f64 / GIB), number(free as f64 / GIB));
            let why = format!("no room for {gib} GiB: it needs {need} GiB more and {free} are free");
            eprintln!("LEFT OUT: {why}");
            left_out.push(why);
            continue;
        }
        let size = file.at(gib, bytes).await.with_context(|| format!("at {gib} GiB"))?;
        tell(&mut report, &size, place);
        done.push(size);
    }
    if let (Some(first), Some(last)) = (done.first(), done.last()) {
        compare(&mut report, first, last, &left_out.join("; "));
    }
    Ok(report)
}

fn tell(report: &mut Report, size: &Size, place: &Place) {
    let mut add = |what: &str, value: f64, unit, seen: &Seen, note: String| {
        let mut row = Row::alone(format!("grow_{what}_{}gib", size.name), value, unit).note(note);
        let latency = seen.latency();
        if latency.count() > 0 {
            (row.ours_p50_us, row.ours_p99_us) = (Some(latency.us(50.0)), Some(latency.us(99.0)));
        }
        report.add(if what.contains("write") { row.durable(place.durability(FSYNC)) } else { row });
    };
    let Size { warm, spread, cold, one, many, open, open_cold, .. } = size;
    add("read_warm", warm.us_each(), "us", warm, format!("{WORKING_SET} rows spread over {} of them", warm.rows));
    add("read_spread", spread.us_each(), "us", spread, format!("all {} rows", spread.rows));
    let note =
        format!("{:.1} KiB read from the disk for each", cold.disk_bytes as f64 / 1024.0 / cold.operations as f64);
    add("read_cold", cold.us_each(), "us", cold, note);
    add("durable_write_1", one.us_each(), "us", one, String::new());
    add("durable_write_64", many.rate(), "1/s", many, String::new());
    for (what, open) in [("open_after_kill", open), ("open_after_kill_cold", open_cold)] {
        let note = format!(
            "{} MiB of WAL; first read after it {:.0} us",
            open.wal_bytes >> 20,
            open.first_read_us.unwrap_or_default()
        );
        add(what, open.open_us.unwrap_or_default() / 1e3, "ms", open, note);
    }
}

/// The largest size against the smallest.
fn compare(report: &mut Report, first: &Size, last: &Size, left_out: &str) {
    let note = |what: &str| {
        let left_out = if left_out.is_empty() { String::new() } else { format!("; {left_out}") };
        format!("{what} at {} GiB for one at {} GiB{left_out}", last.name, first.name)
    };
    let mut add = |name: &str, value: f64, what| report.add(Row::alone(name, value, "x").note(note(what)));
    add("grow_read_warm_factor", last.warm.us_each() / first.warm.us_each(), "times as long for a warm read");
    add("grow_read_spread_factor", last.spread.us_each() / first.spread.us_each(), "times as long for a spread read");
    add("grow_read_cold_factor", last.cold.us_each() / first.cold.us_each(), "times as long for a cold read");
    add("grow_durable_write_64_factor", first.many.rate() / last.many.rate(), "times as long for a durable write");
}

/// The file.
struct Grown {
    path: PathBuf,
    /// How long each thing is measured.
    time: Duration,
}

impl Grown {
    /// Grows to a size and measures there.
    async fn at(&self, gib: f64, bytes: u64) -> anyhow::Result<Size> {
        let begin = Instant::now();
        eprintln!("filling to {gib} GiB");
        let filled = self.step(Work::Fill, bytes).await?;
        eprintln!("{} rows, filled in {:.0} s", filled.rows, begin.elapsed().as_secs_f64());
        Ok(Size {
            name: gib.to_string(),
            warm: self.step(Work::Warm, 0).await?,
            spread: self.step(Work::Spread, 0).await?,
            cold: self.cold(Work::Cold).await?,
            one: self.step(Work::Write, 1).await?,
            many: self.step(Work::Write, 64).await?,
            open: self.killed(false).await?,
            open_cold: self.killed(true).await?,
        })
    }

    /// Writes until there is a long WAL, kills, opens again.
    async fn killed(&self, cold: bool) -> anyhow::Result<Seen> {
        let mut writing = self.start(Work::WriteOn, 64)?;
        let wal_bytes: u64 = ready(&mut writing).await?.parse().context("it says how long the WAL is")?;
        // Killed, and gone.
        drop(writing);
        let opened = if cold { self.cold(Work::Open).await? } else { self.step(Work::Open, 0).await? };
        Ok(Seen { wal_bytes, ..opened })
    }

    /// A step that begins once the kernel has dropped the file's pages.
    async fn cold(&self, work: Work) -> anyhow::Result<Seen> {
        let mut waiting = self.start(work, 1)?;
        ready(&mut waiting).await?;
        for end in ["", "-wal"] {
            let mut path = self.path.as_os_str().to_owned();
            path.push(end);
            drop_pages(Path::new(&path))?;
        }
        waiting.tell(b"go\n".to_vec()).await?;
        finish(waiting).await
    }

    async fn step(&self, work: Work, amount: u64) -> anyhow::Result<Seen> {
        finish(self.start(work, amount)?).await
    }

    fn start(&self, work: Work, amount: u64) -> anyhow::Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("grow-step").arg("--store").arg(&self.path).arg("--work").arg(work.name());
        command.args(["--amount", &amount.to_string(), "--time-ms", &self.time.as_millis().to_string()]);
        Process::start(&mut command)
    }
}

/// The line by which a step says that it is where it should be.
async fn ready(step: &mut Process) -> anyhow::Result<String> {
    tokio::time::timeout(READY_MAX, step.line()).await.context("a step is not ready")?
}

async fn finish(step: Process) -> anyhow::Result<Seen> {
    Ok(serde_json::from_str(&step.finish().await.context("a step")?)?)
}

/// Has the kernel write a file's pages and forget them.
fn drop_pages(path: &Path) -> anyhow::Result<()> {
    let Ok(file) = std::fs::File::open(path) else { return Ok(()) };
    rustix::fs::fdatasync(&file)?;
    Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
}

impl Seen {
    fn latency(&self) -> Latency {
        let mut latency = Latency::default();
        for (nanoseconds, count) in &self.histogram {
            latency.record_many(Duration::from_nanos(*nanoseconds), *count);
        }
        latency
    }

    fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds
    }

    /// Microseconds an operation of one caller.
    fn us_each(&self) -> f64 {
        1e6 / self.rate()
    }
}
