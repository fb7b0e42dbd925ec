//! The rig of rewinds: the power is cut at each step of one, and of its undo, and the next start is judged.
//!
//! `monolite_archive::disk` tells each step, of the rewind and of the archive beside it; live and durable bytes and names apart, as in
//! the rig of the archive. What SQLite does to its files is taken to be durable when it is done: that is what the store's rigs are for.
//!
//! **What has to hold**
//! - The service starts and serves the file of before or the wanted one, whole; the wanted one once the exchange is durable, the one of
//!   before until there is an exchange.
//! - Of the two the other one is not lost: an undo brings back what was replaced; where nothing was replaced it brings back what was
//!   kept before, or says that there is nothing to undo.
//! - Nothing is left under way, and what is written after it stays.

mod judge;
mod program;
mod run;

pub use program::{PROGRAM, run as run_program};

use crate::progress::Progress;
use crate::random::Random;
use crate::steps::{Op, STYLES, lay_out};
use anyhow::{Context, Result};
use judge::judge;
use program::SERVICE;
use run::{Phase, Run};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What to do.
#[derive(Debug, Clone)]
pub struct Rewinding {
    /// Images of power cuts, at least.
    pub images: u64,
    /// Repeats the choices.
    pub seed: u64,
    /// A folder on tmpfs.
    pub within: PathBuf,
    /// The executable of this crate.
    pub program: PathBuf,
}

/// What was seen; only made when all held.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settled {
    /// Images of power cuts.
    pub images: u64,
    /// Runs of the workload, the rewinds and undos in them, and their steps.
    pub runs: u64,
    /// Rewinds and undos.
    pub rewinds: u64,
    /// Steps of these.
    pub steps: u64,
    /// Images after which the file of before served.
    pub old: u64,
    /// Of these, undos that had nothing to bring back.
    pub nothing: u64,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settled { images, runs, rewinds, steps, old, nothing, took } = self;
        write!(
            f,
            "{images} images of power cuts in {steps} steps of {rewinds} rewinds and undos ({runs} runs): {old} times the file of before served, \
             {} times the wanted one; each undo brought the other one back, or what was kept before ({nothing} times there was \
             nothing); {:.1} s; with 95% certainty fewer than {:.3}% fail",
            images - old,
            took.as_secs_f64(),
            300.0 / (*images).max(1) as f64
        )
    }
}

/// Runs the rig.
///
/// # Errors
/// The first thing that does not hold, with the seed and the step.
pub fn run(rewinding: &Rewinding) -> Result<Settled> {
    let began = Instant::now();
    let (mut settled, mut seed) = (Settled::default(), rewinding.seed);
    let progress = Progress::new("rewind", rewinding.images);
    while settled.images < rewinding.images {
        let folder = tempfile::Builder::new().prefix("rewind-").tempdir_in(&rewinding.within)?;
        let folder = folder.path().canonicalize()?; // removed by its owner above, at the end
        let one = run::run(&rewinding.program, &folder.join("data"), &folder.join("steps"), seed);
        let one = one.with_context(|| format!("the run of seed {seed}"))?;
        settled.runs += 1;
        settled.rewinds += one.phases.len() as u64;
        images(rewinding, &folder.join("look"), seed, one, &mut settled, &progress)?;
        seed = seed.wrapping_add(1);
    }
    settled.took = began.elapsed();
    Ok(settled)
}

/// One image of each step of each phase, or of some of them where fewer are wanted.
fn images(
    rewinding: &Rewinding,
    look: &Path,
    seed: u64,
    mut run: Run,
    settled: &mut Settled,
    progress: &Progress,
) -> Result<()> {
    let mut random = Random::new(seed ^ 0x0057_E9BA);
    let steps: u64 = run.phases.iter().map(|phase| phase.steps.len() as u64).sum();
    let wanted = rewinding.images.saturating_sub(settled.images);
    let mut exchanged = false;
    for (index, op) in run.ops.iter().enumerate() {
        run.walk.take(index, op);
        let Some(phase) = run.phases.iter().find(|phase| phase.steps.contains(&index)) else { continue };
        if index == phase.steps.start {
            exchanged = false;
        }
        exchanged |= matches!(op, Op::Exchange { a, .. } if a == Path::new(SERVICE));
        settled.steps += 1;
        // About the exchange each step, of the others as many as are wanted.
        let near = run.ops[index.saturating_sub(12)..(index + 12).min(run.ops.len())].iter();
        let is_near = near.clone().any(|op| matches!(op, Op::Exchange { a, .. } if a == Path::new(SERVICE)));
        if !is_near && random.below(steps) >= wanted {
            continue;
        }
        let style = STYLES[random.below(STYLES.len() as u64) as usize];
        std::fs::create_dir_all(look)?;
        lay_out(look, &run.walk.image(style, &mut random))?;
        let surely = exchanged && run.walk.is_durable(Path::new(SERVICE));
        let seen = judge(&rewinding.program, look, phase, (exchanged, surely));
        let seen = seen.with_context(|| what(seed, phase, index, op, style))?;
        progress.passed(1);
        settled.images += 1;
        settled.old += u64::from(seen.old);
        settled.nothing += u64::from(seen.nothing);
    }
    Ok(())
}

fn what(seed: u64, phase: &Phase, index: usize, op: &Op, style: crate::steps::Style) -> String {
    let op: String = format!("{op:?}").chars().take(140).collect();
    let Phase { steps, what, .. } = phase;
    format!("seed {seed}, {what:?}, step {} of {} ({op}), {style:?}", index - steps.start, steps.len())
}
