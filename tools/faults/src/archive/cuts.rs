//! Power cuts at every step: one run of the workload, and then what a cut could have left at each moment of it.
//!
//! **Invariants**
//! - The store's file and the archive are of one moment: the archive's step, and a place of the store's log between it and the next.

use super::judge::{Known, Seen, judge};
use super::parts::{self, PARTS};
use super::run::{Work, work};
use super::{Cutting, Judged};
use crate::check;
use crate::disk::{self, Disk, Replay};
use crate::random::Random;
use crate::steps::{self, Entry, Log, Op, STYLES, Tree, Walk};
use crate::vfs;
use anyhow::{Context, Result};
use std::path::Path;

/// Writes of each of the run's openings.
const WRITES: u64 = 60;

/// One run and some images of it; at least one, at most so many.
pub(super) fn run(cutting: &Cutting, seed: u64, most: u64) -> Result<Judged> {
    let folder = tempfile::Builder::new().prefix("archive-").tempdir_in(&cutting.within)?;
    let folder = folder.path().canonicalize()?; // removed by its owner above, at the end
    let disk = Disk::watch(&folder)?;
    let (log, hearing) = Log::begin(&folder, disk.clone());
    let done =
        work(&Work { folder: &folder, seed, writes: WRITES, vfs: Some(vfs::register()) }, &mut |write, sequence| {
            log.answered(write, sequence);
            disk.look_beside(&format!("{}.mark", check::DATABASE));
        });
    drop(hearing);
    done.with_context(|| format!("the run of seed {seed}"))?;
    let (entries, store) = (log.entries(), disk.log());
    drop(disk);
    let looking = tempfile::Builder::new().prefix("look-").tempdir_in(&cutting.within)?;
    let mut judged = Judged { runs: 1, steps: entries.len() as u64, ..Judged::default() };
    images(cutting, seed, most, (&entries, &store), looking.path(), &mut judged)?;
    Ok(judged)
}

fn images(
    cutting: &Cutting,
    seed: u64,
    most: u64,
    (entries, store): (&[Entry], &[disk::Op]),
    looking: &Path,
    judged: &mut Judged,
) -> Result<()> {
    let mut random = Random::new(seed ^ 0x00A2_C417);
    let parts = parts::of(entries);
    let mut counts = [0u64; PARTS.len()];
    parts.iter().for_each(|part| counts[*part] += 1);
    let there = counts.iter().filter(|count| **count > 0).count() as u64;
    let (mut walk, mut replay, mut known) = (Walk::default(), Replay::new(store), Known::default());
    for (index, entry) in entries.iter().enumerate() {
        walk.take(index, &entry.op);
        if let Op::Answered { write, sequence } = entry.op {
            known.learn(write, sequence);
            judged.acknowledged += 1;
        }
        let until = entries.get(index + 1).map_or(store.len(), |next| next.store);
        let at = entry.store + random.below((until.saturating_sub(entry.store) + 1) as u64) as usize;
        while replay.at() < at && replay.step().is_some() {}
        // Spread over the whole run, as many for each part; the steps are many more than the images.
        if random.below(counts[parts[index]] * there) >= most {
            continue;
        }
        let style = STYLES[random.below(STYLES.len() as u64) as usize];
        let below = disk::STYLES[random.below(disk::STYLES.len() as u64) as usize];
        if replay.at() == 0 || !walk.is_uncertain() && judged.images > 0 && random.percent(50) {
            continue;
        }
        lay_out(looking, &walk.image(style, &mut random), &replay.image(below, &mut random))?;
        let what = || {
            let name = kind(&entry.op);
            format!("seed {seed}, step {index} of {} ({name}), {style:?} over {below:?}", entries.len())
        };
        let seen = judge(looking, seed, &mut known.clone(), &mut random).with_context(what);
        judged.add(&seen.map_err(|e| cutting.keep(looking, e))?, parts[index]);
    }
    Ok(())
}

fn kind(op: &Op) -> String {
    let text = format!("{op:?}");
    text.chars().take(120).collect()
}

/// Replaces what is in the folder.
fn lay_out(folder: &Path, tree: &Tree, store: &disk::Image) -> Result<()> {
    steps::lay_out(folder, tree)?;
    check::lay_out(store, folder)
}

impl Judged {
    fn add(&mut self, seen: &Seen, part: usize) {
        self.images += 1;
        self.restored += seen.restored + 1;
        self.refused += seen.refused;
        self.gaps += u64::from(seen.gaps > 0);
        self.parts[part] += 1;
    }
}
