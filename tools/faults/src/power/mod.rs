//! Power cuts of a real file system: ext4 on a loop device, shut down without flushing its log while a worker writes.
//!
//! The kernel forgets what was not synced, and the next mount replays ext4's journal: what a power cut leaves, but for the
//! drive's own cache. A fifth of the cuts is followed by another while the store recovers.
//!
//! **Invariants**
//! - The oracle is in this process, which the cut does not touch.
//! - What was mounted is unmounted and what was attached is detached, also after a failure.

mod mount;

use crate::check::{self, Look};
use crate::disk::Image;
use crate::process::{Survived, Worker, sent};
use crate::random::Random;
use crate::work::Knowledge;
use anyhow::{Context, Result, ensure};
use mount::Cuttable;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest start of a worker.
const START_MAX: Duration = Duration::from_secs(30);
/// Cuts of one file system, after which a new one is made.
const OF_ONE_DISK: u32 = 10;
/// Cuts of a hundred that are followed by one in recovery.
const AGAIN_PERCENT: u64 = 20;

/// What to do.
#[derive(Debug, Clone)]
pub struct Cuts {
    /// The executable of this crate.
    pub program: PathBuf,
    /// How many times to cut.
    pub cycles: u32,
    /// Repeats the moments.
    pub seed: u64,
    /// A folder for the file system's image.
    pub within: PathBuf,
}

/// Why this system cannot cut the power, if it cannot.
pub fn forbidden() -> Option<String> {
    mount::forbidden()
}

/// Runs the rig; ask [`forbidden`] before.
///
/// # Errors
/// The first thing that does not hold.
pub fn run(cuts: &Cuts) -> Result<Survived> {
    let (began, mut random) = (Instant::now(), Random::new(cuts.seed));
    let mut survived = Survived { cycles: cuts.cycles, ..Survived::default() };
    let mut machine = Machine::new(cuts)?;
    for cycle in 0..cuts.cycles {
        if cycle > 0 && cycle % OF_ONE_DISK == 0 {
            survived.acknowledged += machine.known.acknowledged();
            drop(machine); // before the next one takes a loop device
            machine = Machine::new(cuts)?;
        }
        let what = || format!("seed {}, power cut {cycle}", cuts.seed);
        survived.early += u32::from(machine.cycle(cuts, &mut random).with_context(what)?);
    }
    survived.acknowledged += machine.known.acknowledged();
    survived.took = began.elapsed();
    Ok(survived)
}

struct Machine {
    disk: Cuttable,
    looking: tempfile::TempDir,
    known: Knowledge,
    next: u64,
}

impl Machine {
    fn new(cuts: &Cuts) -> Result<Machine> {
        let looking = tempfile::Builder::new().prefix("look-").tempdir_in(&cuts.within)?;
        Ok(Machine { disk: Cuttable::new(&cuts.within)?, looking, known: Knowledge::default(), next: 0 })
    }

    /// Answers whether there was a second cut in recovery.
    fn cycle(&mut self, cuts: &Cuts, random: &mut Random) -> Result<bool> {
        let worker = Worker::start(&cuts.program, self.disk.folder(), cuts.seed, self.next)?;
        ensure!(worker.opened(START_MAX), "the worker's store did not open");
        worker.runs_for(Duration::from_millis(5 + random.below(150)));
        self.cut(worker)?;
        let again = random.percent(AGAIN_PERCENT);
        if again {
            let worker = Worker::start(&cuts.program, self.disk.folder(), cuts.seed, self.next)?;
            worker.runs_for(Duration::from_micros(random.below(12_000)));
            self.cut(worker)?;
        }
        // Looked at in a copy, so that this process holds no file of the disk, and the worker recovers the real one.
        check::lay_out(&copy(self.disk.folder())?, self.looking.path())?;
        let found = check::check(self.looking.path(), &self.known, Look::Only)?;
        self.known.settle(&found);
        Ok(again)
    }

    fn cut(&mut self, worker: Worker) -> Result<()> {
        self.disk.cut()?;
        for note in worker.kill_anyhow()? {
            self.next = self.next.max(sent(note));
            self.known.learn(note);
        }
        self.disk.mount_again()
    }
}

fn copy(folder: &Path) -> Result<Image> {
    let mut image = Image::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(check::DATABASE) && !name.ends_with("-shm") && !name.ends_with(".lock") {
            image.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(image)
}
