//! Power cuts of a real file system: ext4 on a loop device, shut down without flushing its log while a worker writes.
//!
//! The kernel forgets what was not synced, and the next mount replays ext4's journal: what a power cut leaves, but for the
//! drive's own cache. A fifth of the cuts is followed by another while the store recovers.
//!
//! **Invariants**
//! - The oracle is in this process, which the cut does not touch.
//! - What counts is what was answered before the cut began, by the clock of both processes.
//! - What was mounted is unmounted and what was attached is detached, also after a failure.

mod late;
mod mount;

pub use late::Answers;

use crate::check::{self, Look};
use crate::disk::Image;
use crate::process::{Said, Survived, Worker, sent};
use crate::progress::Progress;
use crate::random::Random;
use crate::work::Knowledge;
use anyhow::{Context, Error, Result, ensure};
use late::Late;
use mount::Cuttable;
use std::fmt::{self, Write as _};
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

/// What was seen; only made when all held.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lived {
    /// The cuts and what they left.
    pub cuts: Survived,
    /// What was said too late to count.
    pub answers: Answers,
}

impl fmt::Display for Lived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cuts, self.answers)
    }
}

/// Why this system cannot cut the power, if it cannot.
pub fn forbidden() -> Option<String> {
    mount::forbidden()
}

/// Runs the rig; ask [`forbidden`] before.
///
/// # Errors
/// The first thing that does not hold, and where the files and the notes are kept.
pub fn run(cuts: &Cuts) -> Result<Lived> {
    let (began, mut random) = (Instant::now(), Random::new(cuts.seed));
    let mut lived = Lived { cuts: Survived { cycles: cuts.cycles, ..Survived::default() }, ..Lived::default() };
    let mut machine = Machine::new(cuts)?;
    let progress = Progress::new("power", u64::from(cuts.cycles));
    for cycle in 0..cuts.cycles {
        if cycle > 0 && cycle % OF_ONE_DISK == 0 {
            machine.count(&mut lived);
            drop(machine); // before the next one takes a loop device
            machine = Machine::new(cuts)?;
        }
        let what = || format!("seed {}, power cut {cycle}", cuts.seed);
        let again = machine.cycle(cuts, &mut random).map_err(|e| machine.keep(cuts, cycle, e)).with_context(what)?;
        lived.cuts.early += u32::from(again);
        progress.passed(1);
    }
    machine.count(&mut lived);
    lived.cuts.took = began.elapsed();
    Ok(lived)
}

struct Machine {
    disk: Cuttable,
    looking: tempfile::TempDir,
    known: Knowledge,
    late: Late,
    /// All that was said, and when each cut began.
    history: Vec<(u64, Vec<Said>)>,
    next: u64,
}

impl Machine {
    fn new(cuts: &Cuts) -> Result<Machine> {
        let looking = tempfile::Builder::new().prefix("look-").tempdir_in(&cuts.within)?;
        let disk = Cuttable::new(&cuts.within)?;
        Ok(Machine { disk, looking, known: Knowledge::default(), late: Late::default(), history: Vec::new(), next: 0 })
    }

    fn count(&self, lived: &mut Lived) {
        lived.cuts.acknowledged += self.known.acknowledged();
        lived.answers.add(self.late.sum());
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
        self.late.look(&found);
        self.known.settle(&found);
        Ok(again)
    }

    fn cut(&mut self, worker: Worker) -> Result<()> {
        let began = self.disk.cut()?;
        let said = worker.kill_anyhow()?;
        self.next = said.iter().map(|said| sent(said.note)).fold(self.next, u64::max);
        self.late.learn(&said, began, &mut self.known);
        self.history.push((began, said));
        self.disk.mount_again()
    }

    /// Keeps what failed, for a look by hand: the files as the cut left them, and every word with its moment.
    fn keep(&self, cuts: &Cuts, cycle: u32, error: Error) -> Error {
        let folder = std::env::temp_dir().join(format!("monolite-faults-power-{}-{cycle}", cuts.seed));
        let kept = std::fs::create_dir_all(&folder)
            .map_err(Error::from)
            .and_then(|()| check::lay_out(&copy(self.disk.folder())?, &folder))
            .and_then(|()| Ok(std::fs::write(folder.join("said"), self.said())?));
        match kept {
            Ok(()) => error.context(format!("the files and what was said are kept in {}", folder.display())),
            Err(e) => error.context(format!("the files could not be kept: {e:#}")),
        }
    }

    /// A line for each word of the workers, with the nanoseconds from it to the cut, where it came before that.
    fn said(&self) -> String {
        let mut text = String::new();
        for (cut, said) in &self.history {
            for said in said {
                let before = i128::from(*cut) - i128::from(said.at);
                let _ = writeln!(text, "{before:>12} ns before the cut: {:?}", said.note); // a String takes all
            }
            text.push_str("the cut\n");
        }
        text
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
