//! One step of `grow`, in a process of its own: it opens the store, does one thing, prints what it saw as JSON.

use crate::measure::{Callers, Latency, Run};
use crate::random::Random;
use crate::table;
use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use monolite_store::{Config, Migration, Migrations, Store};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows of the working set: with a page of 4 KiB for each they fit the page cache of a reader.
pub(super) const WORKING_SET: u64 = 20_000;
/// Rows that are read cold.
const COLD_READS: u64 = 2000;
/// Turns of each measurement; the one in the middle counts.
const TURNS: usize = 5;
/// Bytes of a row's text.
const ROW: usize = 1000;
/// Rows of one write while filling, and writes under way: the writer never waits for the next.
const BATCH: u64 = 2000;
const BATCHES: usize = 4;
/// A kill waits for a WAL of so much, or for this many times the time of a turn.
const WAL: u64 = 48 << 20;
const WAL_WAIT: u32 = 4;

const FILL: &str = "WITH RECURSIVE s(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM s WHERE i < ?2)
    INSERT INTO reading SELECT i, i, ?3 FROM s";

/// The arguments of a step.
#[derive(Debug, Args)]
pub(crate) struct Step {
    #[arg(long)]
    store: PathBuf,
    #[arg(long)]
    work: Work,
    /// Bytes to fill to, or callers.
    #[arg(long)]
    amount: u64,
    #[arg(long)]
    time_ms: u64,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Grows the file.
    Fill,
    /// Reads of the working set.
    Warm,
    /// Reads of all rows.
    Spread,
    /// Reads of all rows once told that the pages are dropped.
    Cold,
    /// Durable writes.
    Write,
    /// Durable writes until it is killed.
    WriteOn,
    /// Opening; once told, where there is somebody to tell.
    Open,
}

impl Work {
    pub(super) fn name(self) -> &'static str {
        match self {
            Work::Fill => "fill",
            Work::Warm => "warm",
            Work::Spread => "spread",
            Work::Cold => "cold",
            Work::Write => "write",
            Work::WriteOn => "write-on",
            Work::Open => "open",
        }
    }
}

/// What a step saw.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(super) rows: u64,
    pub(super) operations: u64,
    pub(super) seconds: f64,
    /// Times in nanoseconds and how often they were seen.
    pub(super) histogram: Vec<(u64, u64)>,
    pub(super) disk_bytes: u64,
    pub(super) wal_bytes: u64,
    pub(super) open_us: Option<f64>,
    pub(super) first_read_us: Option<f64>,
}

/// Does one step and prints what it saw.
pub(crate) fn run_step(step: &Step) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seen = runtime.block_on(step.run())?;
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

impl Step {
    async fn run(&self) -> anyhow::Result<Seen> {
        if self.work == Work::Open {
            return self.open_again().await;
        }
        let store = open(&self.store)?;
        let time = Duration::from_millis(self.time_ms);
        let seen = match self.work {
            Work::Fill => fill(&store, self.amount).await?,
            Work::Warm => warm(&store, time).await?,
            Work::Spread => {
                let rows = rows(&store).await?;
                read(&store, rows, None, time).await?;
                seen(&store, turns(async || read(&store, rows, None, time).await).await?).await?
            }
            Work::Cold => cold(&store).await?,
            Work::Write => {
                update(&store, self.amount, time / 4).await?;
                seen(&store, turns(async || update(&store, self.amount, time).await).await?).await?
            }
            Work::WriteOn => write_on(&store, self.amount, time * WAL_WAIT).await?,
            Work::Open => unreachable!("answered above"),
        };
        store.close()?;
        Ok(seen)
    }

    async fn open_again(&self) -> anyhow::Result<Seen> {
        if self.amount > 0 {
            ready("ready")?;
        }
        let begin = Instant::now();
        let store = open(&self.store)?;
        let opened = begin.elapsed();
        let begin = Instant::now();
        store.read(|s| s.query_row(table::READ, [1], table::take)).await?;
        let first_read = begin.elapsed();
        let us = |time: Duration| Some(time.as_secs_f64() * 1e6);
        let rows = rows(&store).await?;
        store.close()?;
        Ok(Seen { rows, open_us: us(opened), first_read_us: us(first_read), ..Seen::default() })
    }
}

/// Several turns as one: the rate of the one in the middle, the times of all.
async fn turns(mut turn: impl AsyncFnMut() -> anyhow::Result<Run>) -> anyhow::Result<Run> {
    let mut runs = Vec::new();
    for _ in 0..TURNS {
        runs.push(turn().await?);
    }
    runs.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
    let mut latency = Latency::default();
    runs.iter().for_each(|run| latency.add(&run.latency));
    Ok(Run { latency, ..runs.swap_remove(TURNS / 2) })
}

/// Says that this is ready, and waits to be told to go on.
fn ready(line: &str) -> anyhow::Result<()> {
    println!("{line}");
    let mut told = String::new();
    ensure!(std::io::stdin().read_line(&mut told)? > 0, "nobody is there to tell");
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Store> {
    std::fs::create_dir_all(path.parent().context("the store is in a folder")?)?;
    let steps = Migrations::new(vec![Migration::Quick { name: "reading", sql: table::CREATE }]);
    Ok(Store::open(path, Config::default(), steps)?)
}

async fn rows(store: &Store) -> anyhow::Result<u64> {
    Ok(store.read(|s| s.query_row("SELECT ifnull(max(id), 0) FROM reading", [], |row| row.get(0))).await?)
}

/// Grows the file to so many bytes.
async fn fill(store: &Store, bytes: u64) -> anyhow::Result<Seen> {
    let mut random = Random::new(1);
    let text: Arc<str> = (0..ROW / 16).map(|_| format!("{:016x}", random.next())).collect::<String>().into();
    let mut next = rows(store).await? + 1;
    let mut under_way = std::collections::VecDeque::new();
    // What is in the WAL reaches the file later: whoever counts the file's length fills a little more.
    while std::fs::metadata(store.path())?.len() < bytes {
        let (from, to, text) = (next, next + BATCH - 1, text.clone());
        next += BATCH;
        under_way.push_back(store.write(move |tx| tx.execute(FILL, (from, to, &*text))));
        if under_way.len() >= BATCHES {
            under_way.pop_front().expect("it has some").await.context("filling")?;
        }
    }
    for write in under_way {
        write.await.context("filling")?;
    }
    Ok(Seen { rows: next - 1, ..Seen::default() })
}

async fn warm(store: &Store, time: Duration) -> anyhow::Result<Seen> {
    let rows = rows(store).await?;
    let keys: Arc<[i64]> = {
        let mut random = Random::new(7);
        (0..WORKING_SET).map(|_| table::key(random.next(), rows)).collect()
    };
    for key in keys.iter().copied() {
        store.read(move |s| s.query_row(table::READ, [key], table::take)).await?;
    }
    let run = turns(async || read(store, rows, Some(keys.clone()), time).await).await?;
    seen(store, run).await
}

/// Reads at random by one caller: of these keys, or of all.
async fn read(store: &Store, rows: u64, keys: Option<Arc<[i64]>>, time: Duration) -> anyhow::Result<Run> {
    let each = |_| {
        let (store, keys) = (store.clone(), keys.clone());
        move |random| {
            let key = match &keys {
                Some(keys) => keys[random as usize % keys.len()],
                None => table::key(random, rows),
            };
            let read = store.read(move |s| s.query_row(table::READ, [key], table::take));
            async move { crate::store::done(std::hint::black_box(read.await)) }
        }
    };
    Callers::sampled(1).run(time, each).await
}

async fn cold(store: &Store) -> anyhow::Result<Seen> {
    let (rows, mut random, mut latency) = (rows(store).await?, Random::new(11), Latency::default());
    ready("ready")?;
    let (begin, before) = (Instant::now(), disk_bytes()?);
    for _ in 0..COLD_READS {
        let (key, begin) = (table::key(random.next(), rows), Instant::now());
        store.read(move |s| s.query_row(table::READ, [key], table::take)).await?;
        latency.record(begin.elapsed());
    }
    let run = Run { operations: COLD_READS, elapsed: begin.elapsed(), latency };
    Ok(Seen { disk_bytes: disk_bytes()? - before, ..seen(store, run).await? })
}

/// Durable updates at random rows.
async fn update(store: &Store, callers: u64, time: Duration) -> anyhow::Result<Run> {
    crate::store::update(store, rows(store).await?, callers as usize, time).await
}

/// Writes until it is killed; says once how long the WAL is, when it is long.
async fn write_on(store: &Store, callers: u64, wait: Duration) -> anyhow::Result<Seen> {
    let begin = Instant::now();
    let mut wal = 0;
    while wal < WAL && begin.elapsed() < wait {
        update(store, callers, Duration::from_millis(50)).await?;
        wal = store.status().wal_bytes;
    }
    println!("{wal}");
    // Killed long before.
    update(store, callers, Duration::from_secs(60)).await?;
    anyhow::bail!("nobody killed this process")
}

/// Bytes that this process had read from a disk.
fn disk_bytes() -> anyhow::Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    line.context("/proc/self/io says read_bytes")?.trim().parse().context("a number")
}

async fn seen(store: &Store, run: Run) -> anyhow::Result<Seen> {
    Ok(Seen {
        rows: rows(store).await?,
        operations: run.operations,
        seconds: run.elapsed.as_secs_f64(),
        histogram: run.latency.counts(),
        ..Seen::default()
    })
}
