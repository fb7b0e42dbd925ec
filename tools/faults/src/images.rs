//! Crash images: one run of the workload, and then every state that a power cut could have left of it.
//!
//! At each operation of a run's log some images are made: what was durable and nothing else, all that was asked for, a
//! torn prefix, random sectors, rubbish, zeroes. Each is opened by the real store and judged by all that the client knew
//! at that moment. Some recoveries are cut again, at every operation of theirs.
//!
//! **Invariants**
//! - Images that are equal, byte for byte and in what is known, are judged once; only judged ones are counted.
//! - A failure keeps the image and names the seed that makes the run again.

use crate::check::{self, Look};
use crate::disk::{Disk, Fault, FileKind, Image, Method, Op, Plan, Replay, STYLES, Step, Style};
use crate::progress::Progress;
use crate::random::Random;
use crate::work::{self, Knowledge, Shape};
use anyhow::{Context, Result, anyhow};
use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// In how many images of a hundred recovery is cut again.
const AGAIN_PERCENT: u64 = 4;
/// Images of one recovery that was cut, at most.
const AGAIN_MAX: usize = 12;
/// Operations at the beginning, where the file is made, of which all images are judged.
const FIRST: usize = 24;
/// One image in so many is written to after its recovery.
const WRITE_ONE_IN: u64 = 8;

/// What to do.
#[derive(Debug, Clone)]
pub struct Images {
    /// How many images to judge, at least.
    pub count: u64,
    /// Repeats the runs.
    pub seed: u64,
    /// Threads.
    pub jobs: usize,
    /// A folder on tmpfs.
    pub within: PathBuf,
    /// The WAL's syncs do nothing: then images must fail, or the rig is worth nothing.
    pub lying: bool,
    /// Keeps no image that fails.
    pub forget: bool,
}

/// What was seen; only made when all held.
#[derive(Debug, Clone, Copy)]
pub struct Judged {
    /// Images that were opened and judged.
    pub images: u64,
    /// Of these, images of a recovery that was cut.
    pub again: u64,
    /// Runs of the workload.
    pub runs: u64,
    /// Writes that were acknowledged in these runs.
    pub acknowledged: u64,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = self.images as f64 / self.took.as_secs_f64();
        write!(
            f,
            "{} crash images of {} runs with {} acknowledged writes, {} of them of a recovery that was cut: none lost, none \
             twice, no phantom; {:.0} images/s; with 95% certainty fewer than {:.4}% fail",
            self.images,
            self.runs,
            self.acknowledged,
            self.again,
            per_second,
            300.0 / self.images as f64
        )
    }
}

/// Runs the rig.
///
/// # Errors
/// The first thing that does not hold, with the seed of its run and where the image is kept.
pub fn run(images: &Images) -> Result<Judged> {
    let began = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = Progress::new("images", images.count);
    let worker = || -> Result<Judged> {
        let mut sum = Judged { images: 0, again: 0, runs: 0, acknowledged: 0, took: Duration::ZERO };
        while done.load(SeqCst) < images.count {
            let seed = images.seed.wrapping_add(next.fetch_add(1, SeqCst));
            let limit = images.count - done.load(SeqCst).min(images.count);
            let one = one_run(seed, limit, images).inspect_err(|_| done.store(u64::MAX / 2, SeqCst))?;
            done.fetch_add(one.images, SeqCst);
            progress.passed(one.images);
            sum.add(&one);
        }
        Ok(sum)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..images.jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(anyhow!("a thread of the rig panicked")))).collect()
    });
    let mut sum = Judged { images: 0, again: 0, runs: 0, acknowledged: 0, took: Duration::ZERO };
    for result in results {
        sum.add(&result?);
    }
    sum.took = began.elapsed();
    Ok(sum)
}

impl Judged {
    fn add(&mut self, other: &Judged) {
        self.images += other.images;
        self.again += other.again;
        self.runs += other.runs;
        self.acknowledged += other.acknowledged;
    }
}

/// One run and its images, at most so many.
fn one_run(seed: u64, limit: u64, images: &Images) -> Result<Judged> {
    let within = &images.within;
    let mut random = Random::new(seed);
    let folder = tempfile::Builder::new().prefix("run-").tempdir_in(within)?;
    let disk = Disk::watch(folder.path())?;
    if images.lying {
        disk.plan(Plan::each(Method::Sync, FileKind::Wal, Fault::Lie));
    } else if random.percent(30) {
        // A slow sync gives an answer that is given too early the time to be early.
        disk.plan(Plan::each(Method::Sync, FileKind::Wal, Fault::Slow(Duration::from_micros(700))));
    }
    let killed_at = random.percent(60).then(|| 1 + random.below(400));
    let shape = Shape { seed, groups: 5, group_max: 9, settle: random.percent(50), killed_at, sound: true };
    let run = work::run(folder.path(), &disk, &shape).with_context(|| format!("the run of seed {seed}"))?;
    let log = disk.log();
    drop(disk);
    let looking = tempfile::Builder::new().prefix("image-").tempdir_in(within)?;
    let mut judge =
        Judge { seed, folder: looking.path(), seen: HashSet::new(), images: 0, again: 0, limit, keeps: !images.forget };
    judge.walk(&log, &mut random)?;
    let acknowledged = run.knowledge.acknowledged();
    Ok(Judged { images: judge.images, again: judge.again, runs: 1, acknowledged, took: Duration::ZERO })
}

struct Judge<'a> {
    seed: u64,
    folder: &'a Path,
    seen: HashSet<u64>,
    images: u64,
    again: u64,
    limit: u64,
    keeps: bool,
}

impl Judge<'_> {
    fn walk(&mut self, log: &[Op], random: &mut Random) -> Result<()> {
        let mut replay = Replay::new(log);
        let (mut known, mut notes) = (Knowledge::default(), 0u64);
        // A small number of images is spread over the whole run.
        let share = (self.limit * 100 / (log.len() * STYLES.len()) as u64 + 1).clamp(3, 100);
        while let Some(step) = replay.step() {
            if let Step::Note(note) = step {
                known.learn(note);
                notes += 1;
                continue;
            }
            let styles = if replay.is_uncertain() { &STYLES[..] } else { &STYLES[..1] };
            for style in styles {
                if self.images >= self.limit {
                    return Ok(());
                }
                if replay.at() > FIRST && !random.percent(share) {
                    continue;
                }
                let image = replay.image(*style, random);
                let answered = matches!(log.get(replay.at()), Some(Op::Note(_)));
                if !self.seen.insert(fingerprint(&image, if answered { notes } else { notes / 4 })) {
                    continue;
                }
                self.judge(&image, &known, *style, replay.at(), random)?;
            }
        }
        Ok(())
    }

    fn judge(&mut self, image: &Image, known: &Knowledge, style: Style, at: usize, random: &mut Random) -> Result<()> {
        let look = if random.below(WRITE_ONE_IN) == 0 { Look::Write } else { Look::Only };
        let again = random.percent(AGAIN_PERCENT);
        check::lay_out(image, self.folder)?;
        self.images += 1;
        let seed = self.seed;
        let what = || format!("seed {seed}, operation {at}, {style:?}, {look:?}");
        check::check(self.folder, known, look).map_err(|e| e.context(what())).map_err(|e| self.keep(image, e))?;
        if again {
            self.cut_recovery(image, known, random).map_err(|e| e.context(what())).map_err(|e| self.keep(image, e))?;
        }
        Ok(())
    }

    /// Recovers an image over the rig's VFS and judges what cuts in the middle of that leave.
    fn cut_recovery(&mut self, image: &Image, known: &Knowledge, random: &mut Random) -> Result<()> {
        let folder =
            tempfile::Builder::new().prefix("again-").tempdir_in(self.folder.parent().unwrap_or(self.folder))?;
        check::lay_out(image, folder.path())?;
        let disk = check::watch(folder.path())?;
        check::recover(folder.path()).context("recovery over the rig's VFS")?;
        let log = disk.log();
        drop(disk);
        let mut replay = Replay::new(&log);
        let mut left = AGAIN_MAX;
        while replay.step().is_some() && left > 0 {
            if !replay.is_uncertain() || random.percent(40) {
                continue;
            }
            let style = STYLES[random.below(STYLES.len() as u64) as usize];
            let mut image = image.clone();
            image.retain(|name, _| !replay.saw(name)); // a file is as it was until SQLite opens it
            image.extend(replay.image(style, random));
            if !self.seen.insert(fingerprint(&image, u64::MAX)) {
                continue;
            }
            check::lay_out(&image, folder.path())?;
            self.images += 1;
            self.again += 1;
            left -= 1;
            let what = || format!("recovery cut at its operation {}, {style:?}", replay.at());
            check::check(folder.path(), known, Look::Only).with_context(what).map_err(|e| self.keep(&image, e))?;
        }
        Ok(())
    }

    /// Keeps what failed, for a look by hand.
    fn keep(&self, image: &Image, error: anyhow::Error) -> anyhow::Error {
        if !self.keeps {
            return error;
        }
        let folder = std::env::temp_dir().join(format!("monolite-faults-{:016x}", fingerprint(image, 0)));
        let kept =
            std::fs::create_dir_all(&folder).map_err(anyhow::Error::from).and_then(|()| check::lay_out(image, &folder));
        match kept {
            Ok(()) => error.context(format!("the image is kept in {}", folder.display())),
            Err(e) => error.context(format!("the image could not be kept: {e}")),
        }
    }
}

fn fingerprint(image: &Image, notes: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (image, notes).hash(&mut hasher);
    hasher.finish()
}
