//! The rig of the archive: power cuts at every step of it, kills at every step of it, and a judge that restores.
//!
//! `monolite_archive::disk` tells each step (a write, a name, a sync) of capture, spool, put, merge, base, retention and restore; the
//! rig's VFS those of the store. From both logs come images of one moment, as a power cut could have left them, live and durable
//! bytes apart. Each is started again and judged.
//!
//! Why a seam in the archive and not a file system of its own that is shut down (as `power` does): there a cut can only be at a
//! moment, here it is at each step, and all that POSIX lets a disk forget is forgotten, not only what ext4 does.

mod cuts;
mod judge;
mod kills;
mod parts;
mod run;
mod truth;

pub use kills::{Victim, die};

use crate::progress::Progress;
use anyhow::Result;
use parts::PARTS;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Images of one run, at most.
const OF_ONE_RUN: u64 = 120;

/// What to do.
#[derive(Debug, Clone)]
pub struct Cutting {
    /// Images of power cuts, at least.
    pub images: u64,
    /// Kills.
    pub kills: u64,
    /// Repeats the choices.
    pub seed: u64,
    /// A folder on tmpfs.
    pub within: PathBuf,
    /// The executable of this crate.
    pub program: PathBuf,
    /// Keeps nothing of what fails.
    pub forget: bool,
}

/// What was seen; only made when all held.
#[derive(Debug, Clone, Copy, Default)]
pub struct Judged {
    /// Images of power cuts.
    pub images: u64,
    /// Kills, and processes that were done before.
    pub kills: u64,
    /// Runs of the workload, and their steps.
    pub runs: u64,
    /// Steps of the archive in these runs.
    pub steps: u64,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Commits that came back as they were.
    pub restored: u64,
    /// Commits that were refused with the reason.
    pub refused: u64,
    /// Starts after which the archive told of a gap and made a base.
    pub gaps: u64,
    /// Images by the part of the archive that the step belongs to.
    pub parts: [u64; PARTS.len()],
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Judged { images, kills, runs, steps, acknowledged, restored, refused, gaps, .. } = self;
        let parts: Vec<String> = PARTS.iter().zip(self.parts).map(|(part, count)| format!("{part} {count}")).collect();
        write!(
            f,
            "{images} images of power cuts in {steps} steps of {runs} runs ({}) and {kills} kills, {acknowledged} acknowledged writes: \
             none lost; {restored} commits came back as they were, {refused} were refused with the reason; {gaps} starts told of a \
             gap; {:.1} s; with 95% certainty fewer than {:.3}% fail",
            parts.join(", "),
            self.took.as_secs_f64(),
            300.0 / (images + kills).max(1) as f64
        )
    }
}

/// Runs the rig.
///
/// # Errors
/// The first thing that does not hold, with the seed and where it is kept.
pub fn run(cutting: &Cutting) -> Result<Judged> {
    let began = Instant::now();
    let mut sum = Judged::default();
    let mut seed = cutting.seed;
    let progress = Progress::new("archive, images", cutting.images);
    while sum.images < cutting.images {
        let most = (cutting.images - sum.images).min(OF_ONE_RUN);
        let one = cuts::run(cutting, seed, most)?;
        progress.passed(one.images);
        sum.join(&one);
        seed = seed.wrapping_add(1);
    }
    sum.join(&kills::run(cutting, &cutting.program, cutting.kills)?);
    sum.took = began.elapsed();
    Ok(sum)
}

impl Judged {
    fn join(&mut self, other: &Judged) {
        self.images += other.images;
        self.kills += other.kills;
        self.runs += other.runs;
        self.steps += other.steps;
        self.acknowledged += other.acknowledged;
        self.restored += other.restored;
        self.refused += other.refused;
        self.gaps += other.gaps;
        self.parts.iter_mut().zip(other.parts).for_each(|(sum, n)| *sum += n);
    }
}

impl Cutting {
    /// Keeps what failed, for a look by hand: as the judge left it.
    fn keep(&self, folder: &Path, error: anyhow::Error) -> anyhow::Error {
        if self.forget {
            return error;
        }
        let kept = std::env::temp_dir().join(format!("monolite-faults-archive-{}", self.seed));
        let copied = std::process::Command::new("cp").arg("-a").arg(folder).arg(&kept).status();
        match copied {
            Ok(done) if done.success() => error.context(format!("what the judge left is kept in {}", kept.display())),
            _ => error.context("what failed could not be kept"),
        }
    }
}
