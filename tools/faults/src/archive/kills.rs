//! `kill -9` of a real process at a step of the archive, and at any moment.
//!
//! The process kills itself at its n-th step, before or after it is done; or this one kills it after a random time.

use super::judge::{Known, judge};
use super::run::{Work, work};
use super::{Cutting, Judged};
use crate::progress::Progress;
use crate::random::Random;
use anyhow::{Context, Result, ensure};
use monolite_archive::disk::{When, hear};
use rustix::process::{Signal, getpid, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Writes of each opening of the process.
const WRITES: u64 = 40;
/// Kills of one folder, after which a new one begins.
const OF_ONE_FOLDER: u64 = 4;
/// Steps of a run, about: a process that is not killed ends by itself, and is looked at too.
const STEPS: u64 = 500;

/// The process under the axe.
#[derive(Debug, Clone, clap::Args)]
pub struct Victim {
    #[arg(long)]
    data: PathBuf,
    #[arg(long)]
    seed: u64,
    /// The step at which it ends.
    #[arg(long)]
    step: u64,
    /// After the step is done, not before.
    #[arg(long)]
    after: bool,
}

/// Works until its end.
///
/// # Errors
/// What the work fails with.
pub fn die(victim: &Victim) -> Result<()> {
    let (taken, last, when) = (AtomicU64::new(0), victim.step, if victim.after { When::After } else { When::Before });
    let _hearing = hear(&victim.data, move |now, _| {
        if now == when && taken.fetch_add(1, SeqCst) == last {
            let _ = kill_process(getpid(), Signal::KILL); // nobody is left to hear of an error
        }
        Ok(())
    });
    let mut out = std::io::stdout().lock();
    work(&Work { folder: &victim.data, seed: victim.seed, writes: WRITES, vfs: None }, &mut |write, sequence| {
        // One line by one system call; who hears it outlives us.
        let _ = writeln!(out, "a {write} {sequence}");
    })
}

/// Kills so often.
pub(super) fn run(cutting: &Cutting, program: &Path, kills: u64) -> Result<Judged> {
    let mut random = Random::new(cutting.seed ^ 0x0C11);
    let mut judged = Judged::default();
    let mut of = None;
    let progress = Progress::new("archive, kills", kills);
    for kill in 0..kills {
        if kill % OF_ONE_FOLDER == 0 {
            let folder = tempfile::Builder::new().prefix("killed-").tempdir_in(&cutting.within)?;
            of = Some((folder, Known::default(), cutting.seed.wrapping_add(kill)));
        }
        let (folder, known, seed) = of.as_mut().context("one was made for the first")?;
        let step = random.below(STEPS);
        let after = random.percent(50);
        let what = || format!("seed {}, kill {kill} at step {step} (after: {after})", cutting.seed);
        let died = victim(program, folder.path(), *seed, step, after, known).with_context(what)?;
        judged.kills += u64::from(died);
        judged.acknowledged += known.commits.len() as u64;
        let seen = judge(folder.path(), *seed, known, &mut random).with_context(what);
        let seen = seen.map_err(|e| cutting.keep(folder.path(), e))?;
        judged.restored += seen.restored + 1;
        judged.refused += seen.refused;
        judged.gaps += u64::from(seen.gaps > 0);
        progress.passed(1);
    }
    Ok(judged)
}

/// Answers whether it was killed.
fn victim(program: &Path, data: &Path, seed: u64, step: u64, after: bool, known: &mut Known) -> Result<bool> {
    let mut command = Command::new(program);
    command.arg("archive-victim").arg("--data").arg(data);
    command.args(["--seed", &seed.to_string(), "--step", &step.to_string()]).args(after.then_some("--after"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting the victim")?;
    let pipe = child.stdout.take().context("its output is piped")?;
    for line in BufReader::new(pipe).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        let numbers: Vec<u64> = line.split(' ').skip(1).filter_map(|word| word.parse().ok()).collect();
        if let [write, sequence] = numbers[..] {
            known.learn(write, sequence);
        }
    }
    let status = child.wait()?;
    ensure!(status.success() || status.code().is_none(), "the victim failed: {status}");
    Ok(status.code().is_none())
}
