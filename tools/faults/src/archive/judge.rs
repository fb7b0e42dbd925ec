//! Looks at what a cut or a kill left, as the next start of the program would.
//!
//! **What has to hold**
//! - The store opens and has all that was acknowledged, and nothing torn.
//! - The archive is not refused, goes on, and has the next commit; a gap in it was counted and has a base behind it.
//! - What is restored is the state at that commit; where it cannot be, the reason is told.
//! - What a restore has given its name is whole.

use super::run::{ARCHIVE, OUT, SCRATCH, SERVICE, open, quick, settle};
use super::truth::{self, Truth};
use crate::random::Random;
use anyhow::{Context, Result, bail, ensure};
use monolite_archive::place::Folder;
use monolite_archive::{Archive, Check, History, Kind, Problem, Target, restore, verify};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Commits that are restored of each image, beside the newest one.
const TARGETS: usize = 3;

/// What the client knows.
#[derive(Debug, Default, Clone)]
pub(super) struct Known {
    /// The last write that was acknowledged.
    pub(super) write: u64,
    /// The write that each acknowledged commit made.
    pub(super) commits: BTreeMap<u64, u64>,
}

impl Known {
    pub(super) fn learn(&mut self, write: u64, sequence: u64) {
        self.write = self.write.max(write);
        self.commits.insert(sequence, write);
    }
}

/// What was seen of one.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen {
    pub(super) restored: u64,
    pub(super) refused: u64,
    pub(super) gaps: u64,
}

/// Judges a folder; it is changed by that, and what is known grows by what is seen.
pub(super) fn judge(folder: &Path, seed: u64, known: &mut Known, random: &mut Random) -> Result<Seen> {
    let mut truth = Truth::new(seed);
    let mut seen = Seen::default();
    outs(folder, &mut truth)?;
    let store = open(folder, None)?;
    let first = truth::done(&store)?;
    ensure!(first >= known.write, "write {} was acknowledged and is lost: the last is {first}", known.write);
    ensure!(first <= known.write + 1, "write {first} was never sent: {} was answered last", known.write);
    known.learn(first, store.sequence());
    let archive = Archive::start(Arc::new(Folder::open(folder.join(ARCHIVE))?), quick())?;
    archive.keep(SERVICE, &store, &folder.join(SCRATCH)).context("the archive is refused after it")?;
    let last = truth::write(&store, seed, first + 1).context("the store does not write after it")?;
    known.learn(first + 1, last);
    settle(&archive, &store)?;
    let (history, status) = (archive.history(SERVICE)?, archive.status().remove(0));
    seen.gaps = status.gaps;
    store.abandon();
    drop(archive);
    sound(&history, status.gaps)?;
    let write = back(folder, &history, Target::Latest, &mut truth)?.context("the newest commit does not come back")?;
    ensure!(write == first + 1, "the newest commit comes back as write {write}, not {}", first + 1);
    truth.judge(&folder.join(crate::check::DATABASE))?;
    for _ in 0..TARGETS {
        let ends: Vec<u64> = history.segments()?.iter().map(|segment| segment.name.last).collect();
        let end = ends[random.below(ends.len() as u64) as usize];
        match back(folder, &history, Target::Sequence(end), &mut truth)? {
            None => seen.refused += 1,
            Some(write) => {
                seen.restored += 1;
                // Commits that hold no write of the client's are those that made the file.
                let wanted = known.commits.range(..=end).next_back().map_or(0, |(_, write)| *write);
                let fits = if end > last_known(known) { write >= wanted } else { write == wanted };
                ensure!(fits, "commit {end} comes back as write {write}, not {wanted}");
            }
        }
    }
    Ok(seen)
}

fn last_known(known: &Known) -> u64 {
    known.commits.last_key_value().map_or(0, |(sequence, _)| *sequence)
}

/// Restores and judges; `None` where it is refused with its reason.
fn back(folder: &Path, history: &History, target: Target, truth: &mut Truth) -> Result<Option<u64>> {
    let out = folder.join("back.db");
    match restore(history, target, &out, Check::Open, &mut |_| ControlFlow::Continue(())) {
        Ok(_) => {}
        Err(e) if matches!(e.kind(), Kind::Within | Kind::Gap | Kind::Missing) && !e.to_string().is_empty() => {
            return Ok(None);
        }
        Err(e) => bail!("restoring {target:?}: {e}"),
    }
    let write = truth.judge(&out).with_context(|| format!("{target:?} was restored"))?;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("back.db{suffix}"))); // some are not there
    }
    Ok(Some(write))
}

/// Nothing is wrong with the history but gaps that were counted and have a base behind them.
fn sound(history: &History, gaps: u64) -> Result<()> {
    // Here segments have their age within the run.
    let verified = verify(history, i64::MAX, &mut |_, _| ControlFlow::Continue(()))?;
    for problem in &verified.problems {
        match problem {
            Problem::Gap { healed: true, .. } if gaps > 0 => {}
            other => bail!("the archive is not sound ({gaps} gaps were counted): {other}"),
        }
    }
    Ok(())
}

/// What restores gave their names.
fn outs(folder: &Path, truth: &mut Truth) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder.join(OUT)) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "db") {
            truth.judge(&path).context("a restore gave a name to what is not whole")?;
        }
    }
    Ok(())
}
