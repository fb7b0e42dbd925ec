//! The giants rig: a file of gigabytes goes in and comes out while others write a few bytes at a time.
//!
//! The server is killed with SIGKILL in the middle of both, and both go on where they stood.
//!
//! **Invariants that it checks**
//! - The content that came out, the one that went in, and what the server says of it have the same SHA-256.
//! - After a kill the upload stands where a piece ended, not before what was acknowledged.
//!
//! What it measures: the p99 of tiny writes alone and beside the giant, into another file and into the giant's own; the
//! server's memory over what it has when it is idle, with readers that stopped reading too.

mod bytes;
pub(crate) mod memory;
mod tiny;
mod transfer;

use crate::measure::Latency;
use crate::place::Place;
use crate::report::{Report, Row, Unit};
use crate::server::{self, Server};
use anyhow::{Context, ensure};
use memory::Memory;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tiny::Tiny;
use transfer::{Download, Upload};

/// Most that a server may take for an answer to its first request after a kill.
const STEP: Duration = Duration::from_millis(5);

/// Readers that ask for the giant and take nothing of it, at once.
const STALLED: usize = 24;

/// What to do.
#[derive(Debug, Clone)]
pub struct Giants {
    /// The server's executable; it is built when none is given.
    pub server: Option<PathBuf>,
    /// Where the data goes.
    pub within: PathBuf,
    /// Bytes of the giant.
    pub bytes: u64,
    /// For how long tiny writes are measured alone.
    pub alone: Duration,
}

/// What was seen; only made when all that is checked held.
pub struct Seen {
    /// The most memory beyond the idle server's, in bytes.
    pub memory_over_idle: u64,
    /// Bytes of the upload that the server had when it was killed.
    pub standing_after_kill: u64,
    alone: Tiny,
    beside_upload: Tiny,
    beside_download: Tiny,
    upload: Rate,
    download: Rate,
    durability: &'static str,
    bytes: u64,
}

#[derive(Clone, Copy, Default)]
struct Rate {
    bytes: u64,
    time: Duration,
}

/// Runs the rig. An error names the first thing that did not hold, and keeps the data folder.
pub fn run(giants: &Giants) -> anyhow::Result<Seen> {
    let runtime = crate::store::runtime()?;
    let place = Place::new(&giants.within)?;
    let done = runtime.block_on(there_and_back(giants, &place));
    done.map_err(|e| e.context(format!("the data is kept in {}", place.keep().display())))
}

/// The server with its token, on its data.
struct Site<'a> {
    program: &'a Path,
    data: PathBuf,
    log: PathBuf,
    server: Server,
    token: Arc<str>,
    memory: Memory,
}

impl Site<'_> {
    /// Starts again after a kill.
    async fn kill_and_restart(self) -> anyhow::Result<Self> {
        let peak = self.memory.peak(self.server.pid())?;
        self.server.kill()?;
        let server = server::serve(self.program, &self.data, &self.log).await?;
        let mut site = Site { server, ..self };
        site.settle().await?;
        site.memory = site.memory.after(peak);
        Ok(site)
    }

    /// Warms the server up by tiny writes and takes its memory as that of an idle one.
    async fn settle(&mut self) -> anyhow::Result<()> {
        tiny::run(self.server.address, &self.token, Duration::from_millis(500)).await?;
        self.memory = Memory::idle(self.server.pid())?;
        Ok(())
    }
}

async fn there_and_back(giants: &Giants, place: &Place) -> anyhow::Result<Seen> {
    let program = match &giants.server {
        Some(program) => program.clone(),
        None => server::build()?,
    };
    let (data, log) = (place.join("data"), place.join("server.log"));
    let server = server::serve(&program, &data, &log).await?;
    let token: Arc<str> = server::sign_in(&program, &data).await?.into();
    let mut site = Site { program: &program, data, log, server, token, memory: Memory::default() };
    site.settle().await?;
    let alone = tiny::run(site.server.address, &site.token, giants.alone).await.context("tiny writes alone")?;
    let expected = bytes::sha256(giants.bytes);
    let at = transfer::create(site.server.address, &site.token, giants.bytes).await?;
    let (site, beside_upload, upload, standing) = go_in(site, giants, &at).await.context("the upload")?;
    let said = transfer::sha256(site.server.address, &site.token, &at).await?;
    ensure!(said == expected, "the server says {said} of what went in, it is {expected}");
    let (site, beside_download, download, came) = come_out(site, giants, &at).await.context("the download")?;
    ensure!(came == expected, "what came out has {came}, what went in {expected}");
    let stalled = transfer::stalled(&site.server, &site.token, &at, STALLED).await.context("readers that stop")?;
    tiny::run(site.server.address, &site.token, Duration::from_millis(500)).await?;
    let memory_over_idle = site.memory.over_idle(site.server.pid())?;
    drop(stalled);
    site.server.stop().await?;
    Ok(Seen {
        memory_over_idle,
        standing_after_kill: standing,
        alone,
        beside_upload,
        beside_download,
        upload,
        download,
        durability: place.durability("fsync before each answer"),
        bytes: giants.bytes,
    })
}

/// Uploads, with a kill at two fifths; answers what stood after it.
async fn go_in<'a>(site: Site<'a>, giants: &Giants, at: &str) -> anyhow::Result<(Site<'a>, Tiny, Rate, u64)> {
    let (mut seen, mut rate, total) = (Tiny::default(), Rate::default(), giants.bytes);
    let upload = Upload::begin(&site.server, &site.token, at, 0..total);
    seen.add(&beside(&site, upload.done(), total * 2 / 5, &mut rate).await?);
    let site = site.kill_and_restart().await?;
    ensure!(upload.end().await.is_err(), "the upload outlived its server");
    let standing = transfer::offset(site.server.address, &site.token, at).await?;
    ensure!(standing > 0 && standing < total, "after the kill the upload stands at {standing} of {total}");
    eprintln!("killed while it went in: {standing} of {total} bytes stand");
    let upload = Upload::begin(&site.server, &site.token, at, standing..total);
    seen.add(&beside(&site, upload.done(), total - standing, &mut rate).await?);
    upload.end().await?;
    Ok((site, seen, rate, standing))
}

/// Downloads, with a kill at two fifths; answers the hash of what came.
async fn come_out<'a>(site: Site<'a>, giants: &Giants, at: &str) -> anyhow::Result<(Site<'a>, Tiny, Rate, String)> {
    let (mut seen, mut rate, total) = (Tiny::default(), Rate::default(), giants.bytes);
    let download = Download::begin(&site.server, &site.token, at, None, total);
    seen.add(&beside(&site, download.done(), total * 2 / 5, &mut rate).await?);
    let site = site.kill_and_restart().await?;
    let cut = download.end().await?;
    if cut.came() == total {
        eprintln!("all of it came out before the server was killed");
        return Ok((site, seen, rate, cut.sha256()));
    }
    eprintln!("killed while it came out: {} of {total} bytes came", cut.came());
    let left = total - cut.came();
    let download = Download::begin(&site.server, &site.token, at, Some(cut), total);
    seen.add(&beside(&site, download.done(), left, &mut rate).await?);
    let whole = download.end().await?;
    ensure!(whole.came() == total, "{} of {total} bytes came", whole.came());
    Ok((site, seen, rate, whole.sha256()))
}

/// Measures tiny writes until a transfer has moved so many bytes.
async fn beside(site: &Site<'_>, done: Arc<AtomicU64>, bytes: u64, rate: &mut Rate) -> anyhow::Result<Tiny> {
    let begin = Instant::now();
    let tiny = tiny::start(site.server.address, &site.token);
    let mut look = tokio::time::interval(STEP);
    while done.load(Relaxed) < bytes {
        look.tick().await;
        ensure!(begin.elapsed() < Duration::from_secs(3600), "nothing moves any more");
        ensure!(done.load(Relaxed) != transfer::BROKEN, "the transfer broke off");
    }
    rate.bytes += bytes;
    rate.time += begin.elapsed();
    tiny.stop().await
}

impl Rate {
    fn mib_a_second(self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20) / self.time.as_secs_f64().max(1e-9)
    }
}

impl Seen {
    /// The rows of the report.
    pub(crate) fn report(&self) -> Report {
        let mut report = Report::new("giants");
        let size = format!("{:.2} GiB, killed in between", self.bytes as f64 / f64::from(1 << 30));
        for (what, tiny) in [("upload", &self.beside_upload), ("download", &self.beside_download)] {
            for (which, beside, alone) in [
                ("another_file", &tiny.documents, &self.alone.documents),
                ("the_same_file", &tiny.files, &self.alone.files),
            ] {
                report.add(self.tiny(&format!("giants_{what}_tiny_write_into_{which}_p99"), beside, alone, &size));
            }
        }
        let rates = [("upload", self.upload), ("download", self.download)];
        for (what, rate) in rates {
            let row = Row::alone(format!("giants_{what}_rate"), rate.mib_a_second(), "MiB/s").note(size.clone());
            report.add(if what == "upload" { row.durable(self.durability) } else { row });
        }
        let mib = self.memory_over_idle as f64 / f64::from(1 << 20);
        report.add(Row::alone("giants_memory_over_idle", mib, "MiB").note("the peak of resident memory; at most 64"));
        report.add(
            Row::alone("giants_resumed_hash_equal", 1.0, "yes").note("SHA-256 of what went in, stood and came out"),
        );
        report
    }

    fn tiny(&self, name: &str, beside: &Latency, alone: &Latency, size: &str) -> Row {
        let (ours, peer) = (beside.us(99.0), alone.us(99.0));
        let mut row = Row::alone(name, ours, "us").against(peer, Unit::Microseconds, "the same writes alone");
        row.ours_p50_us = Some(beside.us(50.0));
        row.ours_p99_us = Some(ours);
        row.peer_p50_us = Some(alone.us(50.0));
        row.peer_p99_us = Some(peer);
        row.durable(self.durability).note(format!("{:.2} times the p99 alone, at most 4; {size}", ours / peer))
    }
}
