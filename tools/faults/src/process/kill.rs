//! `kill -9` at random moments, of a process that holds a store: in its start, under load, in a checkpoint.
//!
//! What SIGKILL cannot show is a lost fsync, since the kernel keeps what was written: that is for images and power cuts.

use super::Worker;
use crate::check::{self, Look};
use crate::disk::Note;
use crate::progress::Progress;
use crate::random::Random;
use crate::work::Knowledge;
use anyhow::{Context, Result, ensure};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest start of a worker.
const START_MAX: Duration = Duration::from_secs(30);
/// Kills of one file, after which a new one begins: a look costs as much as the file is long.
const OF_ONE_FILE: u32 = 8;

/// What to do.
#[derive(Debug, Clone)]
pub struct Kills {
    /// The executable of this crate.
    pub program: PathBuf,
    /// How many times to kill.
    pub cycles: u32,
    /// Repeats the moments.
    pub seed: u64,
    /// A folder for the data.
    pub within: PathBuf,
}

/// What was seen; only made when all held.
#[derive(Debug, Clone, Copy, Default)]
pub struct Survived {
    /// Kills or cuts.
    pub cycles: u32,
    /// Of these, while the store was being opened.
    pub early: u32,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Survived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cycles, {} of them while opening, {} acknowledged writes: none lost, none twice, no phantom; {:.2} s a cycle; \
             with 95% certainty fewer than {:.3}% of cycles lose anything",
            self.cycles,
            self.early,
            self.acknowledged,
            self.took.as_secs_f64() / f64::from(self.cycles.max(1)),
            300.0 / f64::from(self.cycles.max(1))
        )
    }
}

/// Runs the rig.
///
/// # Errors
/// The first thing that does not hold.
pub fn run(kills: &Kills) -> Result<Survived> {
    let (began, mut random) = (Instant::now(), Random::new(kills.seed));
    let mut survived = Survived { cycles: kills.cycles, ..Survived::default() };
    let mut file = File::new(kills)?;
    let progress = Progress::new("kill", u64::from(kills.cycles));
    for cycle in 0..kills.cycles {
        if cycle % OF_ONE_FILE == 0 {
            survived.acknowledged += file.known.acknowledged();
            file = File::new(kills)?;
        }
        let what = || format!("seed {}, kill {cycle}", kills.seed);
        survived.early += u32::from(file.cycle(kills, &mut random).with_context(what)?);
        progress.passed(1);
    }
    survived.acknowledged += file.known.acknowledged();
    survived.took = began.elapsed();
    Ok(survived)
}

/// One file and what is known of it.
struct File {
    folder: tempfile::TempDir,
    known: Knowledge,
    next: u64,
}

impl File {
    fn new(kills: &Kills) -> Result<File> {
        let folder = tempfile::Builder::new().prefix("kill-").tempdir_in(&kills.within)?;
        Ok(File { folder, known: Knowledge::default(), next: 0 })
    }

    /// Answers whether the kill came before the store was open.
    fn cycle(&mut self, kills: &Kills, random: &mut Random) -> Result<bool> {
        let worker = Worker::start(&kills.program, self.folder.path(), kills.seed, self.next)?;
        let early = random.percent(15);
        if early {
            worker.runs_for(Duration::from_micros(random.below(8000)));
        } else {
            ensure!(worker.opened(START_MAX), "the worker's store did not open");
            worker.runs_for(Duration::from_millis(2 + random.below(80)));
        }
        for note in worker.kill()? {
            self.next = self.next.max(sent(note));
            self.known.learn(note);
        }
        let found = check::check(self.folder.path(), &self.known, Look::Only)?;
        self.known.settle(&found);
        Ok(early)
    }
}

/// The number behind the one in a note.
pub(crate) fn sent(note: Note) -> u64 {
    match note {
        Note::Sent(op) | Note::Answered(op, _) => op + 1,
        Note::Seen(_) => 0,
    }
}
