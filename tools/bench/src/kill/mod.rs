//! The kill rig: the real server is loaded with creates over HTTP, killed with SIGKILL at random moments, started again.
//!
//! The rig lives through it all, so its ledger of intents and acknowledgements is the judge.
//!
//! **Invariants that it checks**
//! - Every acknowledged document is there exactly once, under the id that was answered, with every byte and searchable.
//! - A document that was sent but not acknowledged is there once and whole, or not at all.
//! - No document is there that was never sent.
//! - A document that was turned away (429 and 503 with `Retry-After`) is not there.
//! - A replacement that was refused changed nothing.
//! - The documents of one connection are in the order in which it sent them, under commits that rise.
//! - The commit sequence has no gap: each commit up to the file's last has a document that can have made it.
//! - The server answers within a second of its start (or whatever the caller allows).
//!
//! What SIGKILL cannot show is a lost fsync: the kernel keeps what was written. That is for power cuts.

mod ledger;
mod load;
mod order;
mod verify;

use crate::measure::Latency;
use crate::place::Place;
use crate::random::Random;
use crate::server::{self, Server};
use anyhow::{Context, ensure};
use ledger::Ledger;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Shortest and longest time under load before a kill, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 20..700;

/// What to do.
#[derive(Debug, Clone)]
pub struct Kill {
    /// The server's executable; it is built when none is given.
    pub server: Option<PathBuf>,
    /// Where the data goes.
    pub within: PathBuf,
    /// How many times to kill.
    pub cycles: u32,
    /// Repeats the moments of a run (as far as a machine repeats anything).
    pub seed: u64,
    /// The slowest start that passes: a second, but for a debug build on a busy machine.
    pub start_max: Duration,
}

/// What was seen; only made when all held.
#[derive(Debug, Clone)]
pub struct Survived {
    /// Kills.
    pub cycles: u32,
    /// Documents that were acknowledged, all found.
    pub acknowledged: u64,
    /// Replacements that were refused, all without a trace.
    pub refused: u64,
    /// Creates that were turned away by a busy server, all without a trace.
    pub turned_away: u64,
    /// Documents that were sent without an answer and are there.
    pub unanswered_kept: u64,
    /// Documents that were sent without an answer and are not there.
    pub unanswered_gone: u64,
    /// The median start after a kill.
    pub start_median: Duration,
    /// The slowest start after a kill.
    pub start_max: Duration,
}

impl fmt::Display for Survived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills: {} acknowledged documents, all there once, whole, in order, under commits without a gap; {} refused \
             changes and {} creates that were turned away without a trace; {} unanswered documents kept whole, {} gone whole; start after a kill {:.0} ms at the median, {:.0} ms at most",
            self.cycles,
            self.acknowledged,
            self.refused,
            self.turned_away,
            self.unanswered_kept,
            self.unanswered_gone,
            self.start_median.as_secs_f64() * 1e3,
            self.start_max.as_secs_f64() * 1e3,
        )
    }
}

/// Runs the rig. An error names the first thing that did not hold, and keeps the data folder.
pub fn run(kill: &Kill) -> anyhow::Result<Survived> {
    let runtime = crate::store::runtime()?;
    let place = Place::new(&kill.within)?;
    let done = runtime.block_on(cycles(kill, &place));
    done.map_err(|e| e.context(format!("the data is kept in {}", place.keep().display())))
}

async fn cycles(kill: &Kill, place: &Place) -> anyhow::Result<Survived> {
    let program = match &kill.server {
        Some(program) => program.clone(),
        None => server::build()?,
    };
    let (data, log) = (place.join("data"), place.join("server.log"));
    let (mut random, ledger) = (Random::new(kill.seed), Arc::new(Ledger::default()));
    let (mut starts, mut slowest) = (Latency::default(), Duration::ZERO);
    let mut server = server::serve(&program, &data, &log).await?;
    let token: Arc<str> = server::sign_in(&program, &data).await?.into();
    let before = order::commit(&data)?;
    for cycle in 1..=kill.cycles {
        let time = Duration::from_millis(LOAD_MS.start + random.next() % (LOAD_MS.end - LOAD_MS.start));
        let load = load::start(server.address, &token, &ledger);
        // Nothing tells when the random moment has come but time itself.
        let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
        server.kill()?;
        load::finish(load).await?;
        server = restart(&program, &data, &log).await.with_context(|| format!("after kill {cycle}"))?;
        starts.record(server.started_in);
        slowest = slowest.max(server.started_in);
        ensure!(server.started_in <= kill.start_max, "start after kill {cycle} took {:?}", server.started_in);
        verify::latest(&server, &token, &ledger).await.with_context(|| format!("after kill {cycle}"))?;
        eprintln!("kill {cycle}: {} acknowledged so far, start {:?}", ledger.acknowledged(), server.started_in);
    }
    let kept = verify::all(&server, &token, &ledger).await?;
    server.stop().await?;
    ensure!(order::judge(&data, &ledger, before)? == kept, "the list and the file hold different documents");
    let (acknowledged, unanswered) = (ledger.acknowledged(), ledger.unanswered());
    ensure!(acknowledged > 0, "no create was acknowledged: the kills met nobody's work");
    let away = ledger.turned_away();
    ensure!(
        away <= acknowledged / 10,
        "{away} creates were turned away and {acknowledged} done: the kills met a server that had too much to do"
    );
    Ok(Survived {
        cycles: kill.cycles,
        acknowledged,
        refused: ledger.refused(),
        turned_away: ledger.turned_away(),
        unanswered_kept: kept,
        unanswered_gone: unanswered - kept,
        start_median: Duration::from_nanos((starts.us(50.0) * 1e3) as u64),
        start_max: slowest,
    })
}

async fn restart(program: &Path, data: &Path, log: &Path) -> anyhow::Result<Server> {
    server::serve(program, data, log).await
}
