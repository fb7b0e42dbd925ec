//! Every point: each call that SQLite makes in the canonical workload goes wrong once, in each way that it can.
//!
//! A first run without faults lists the calls. Then, for each call and each fault that can happen to it, the workload runs
//! again with that fault at that call, once or from there on; the disk is healed, the files are opened again and judged,
//! and so are images of a power cut at the end. A crash ends the run at the call; its images are judged, and a second time
//! after recovery itself was cut.
//!
//! **Invariants**
//! - Whatever fails, answers stay true: the oracle is the one of the crash images.
//! - Every error has a kind that tells the caller what to do, out of [`ALLOWED`].
//! - Nothing hangs: a point that takes longer than [`POINT_MAX`] is a failure.
//! - A point that failed while the process was stopped for seconds says nothing, and is tried again.

use crate::check::{self, Look, lay_out};
use crate::disk::{Disk, Fault, FileKind, Image, Method, Op, Plan, Replay, STYLES, Step, Style};
use crate::pauses::Pauses;
use crate::progress::Progress;
use crate::random::Random;
use crate::work::{self, Knowledge, Shape};
use anyhow::{Context, Result, anyhow, bail, ensure};
use monolite_store::Kind;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest that one point may take.
pub const POINT_MAX: Duration = Duration::from_secs(60);

/// How long a sync takes where they are to meet.
const SYNC: Duration = Duration::from_millis(2);
/// Images of one run at random moments.
const MOMENTS: usize = 3;
/// Operations behind a failed sync that such moments are chosen from.
const SOON: usize = 12;

/// What a store may answer where the disk fails: the caller knows that nothing was done, or that it cannot know.
pub const ALLOWED: [Kind; 6] =
    [Kind::Io, Kind::Full, Kind::OutcomeUnknown, Kind::ReadOnly, Kind::Corrupt, Kind::Closed];

/// What to do.
#[derive(Debug, Clone)]
pub struct Points {
    /// Repeats the runs.
    pub seed: u64,
    /// Only so many points, chosen at random; all of them where there is no number.
    pub sample: Option<usize>,
    /// Only those of this call of the workload.
    pub call: Option<u64>,
    /// Only syncs, and only the device's errors.
    pub syncs: bool,
    /// Each sync takes a while and checkpoints are not waited for, so that the writer's meet the checkpointer's.
    pub overlap: bool,
    /// Keeps nothing of a point at which something did not hold.
    pub forget: bool,
    /// Threads.
    pub jobs: usize,
    /// A folder on tmpfs.
    pub within: PathBuf,
}

/// One point.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// The number of the call.
    pub call: u64,
    /// What the call was in the run without faults.
    pub method: Method,
    /// On which file.
    pub kind: FileKind,
    /// What goes wrong.
    pub fault: Fault,
    /// And at every call from there on; a crash is followed by another one in recovery.
    pub forever: bool,
}

/// What was seen; only made when all held.
#[derive(Debug, Clone, Default)]
pub struct Passed {
    /// Calls of the workload.
    pub calls: usize,
    /// Points that there are.
    pub all: usize,
    /// Points that were tried.
    pub tried: usize,
    /// Runs in which the fault did happen.
    pub fired: usize,
    /// Images that were judged.
    pub images: usize,
    /// How often the store answered what, where it was asked to do something possible.
    pub errors: BTreeMap<String, u64>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} points at {} calls, the fault happened in {}: every answer was true; {} images judged; {:.1} s",
            self.tried,
            self.all,
            self.calls,
            self.fired,
            self.images,
            self.took.as_secs_f64()
        )?;
        for (what, count) in &self.errors {
            writeln!(f, "  {what}: {count}")?;
        }
        Ok(())
    }
}

/// Runs the rig.
///
/// # Errors
/// The first point at which something did not hold.
pub fn run(points: &Points) -> Result<Passed> {
    let began = Instant::now();
    let (calls, mut all) = list(points)?;
    all.retain(|point| points.call.is_none_or(|call| call == point.call));
    let mut passed = Passed { calls, all: all.len(), ..Passed::default() };
    if let Some(n) = points.sample {
        let mut random = Random::new(points.seed);
        for i in 0..n.min(all.len()) {
            let j = i + random.below((all.len() - i) as u64) as usize;
            all.swap(i, j);
        }
        all.truncate(n);
    }
    let (next, sum) = (AtomicUsize::new(0), Mutex::new(Passed::default()));
    let (progress, pauses) = (Progress::new("points", all.len() as u64), Pauses::watch());
    let worker = || -> Result<()> {
        while let Some(point) = all.get(next.fetch_add(1, SeqCst)) {
            let one = unpaused(&pauses, || bounded(*point, points))
                .map_err(|e| e.context(format!("seed {}, {point:?}", points.seed)))
                .inspect_err(|_| {
                    next.store(usize::MAX / 2, SeqCst);
                    progress.failed();
                })?;
            progress.passed(1);
            sum.lock().unwrap_or_else(PoisonError::into_inner).add(&one);
        }
        Ok(())
    };
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..points.jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(anyhow!("a thread of the rig panicked")))).collect()
    });
    results.into_iter().collect::<Result<()>>()?;
    passed.add(&sum.into_inner().unwrap_or_else(PoisonError::into_inner));
    passed.took = began.elapsed();
    Ok(passed)
}

impl Passed {
    fn add(&mut self, other: &Passed) {
        self.tried += other.tried;
        self.fired += other.fired;
        self.images += other.images;
        for (what, count) in &other.errors {
            *self.errors.entry(what.clone()).or_insert(0) += count;
        }
    }
}

/// The workload without faults: its calls, and the points that they make.
fn list(points: &Points) -> Result<(usize, Vec<Point>)> {
    let folder = tempfile::Builder::new().prefix("points-").tempdir_in(&points.within)?;
    let disk = points.disk(folder.path())?;
    work::run(folder.path(), &disk, &points.shape(true)).context("the run without faults")?;
    let trace = disk.trace();
    let mut all = Vec::new();
    for (&(method, kind), call) in trace.iter().zip(1..) {
        for fault in [Fault::Io, Fault::Full, Fault::Short, Fault::Crash] {
            for forever in [false, true] {
                if fault.applies_to(method) && (!points.syncs || (method == Method::Sync && fault == Fault::Io)) {
                    all.push(Point { call, method, kind, fault, forever });
                }
            }
        }
    }
    Ok((trace.len(), all))
}

impl Points {
    fn shape(&self, sound: bool) -> Shape {
        Shape { seed: self.seed, groups: 4, group_max: 5, settle: !self.overlap, killed_at: None, sound }
    }

    fn disk(&self, folder: &Path) -> Result<Arc<Disk>> {
        let disk = Disk::watch(folder)?;
        if self.overlap {
            disk.slow_syncs(SYNC);
        }
        Ok(disk)
    }
}

/// Tries again where it failed and the process was stopped meanwhile.
fn unpaused(pauses: &Pauses, mut point: impl FnMut() -> Result<Passed>) -> Result<Passed> {
    loop {
        let before = pauses.seen();
        match point() {
            Err(_) if pauses.since(before) => {}
            done => return done,
        }
    }
}

/// A point on a thread of its own, so that one that hangs is seen; its thread is then left behind.
fn bounded(point: Point, points: &Points) -> Result<Passed> {
    let (done, result) = sync_channel(1);
    let points = points.clone();
    std::thread::spawn(move || done.send(one(point, &points)));
    for _ in 0..POINT_MAX.as_secs() {
        // By the second: time in which the machine let nobody run does not count.
        match result.recv_timeout(Duration::from_secs(1)) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => bail!("its thread panicked"),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    bail!("it hangs")
}

/// One point in a folder of its own, which is kept where something did not hold.
fn one(point: Point, points: &Points) -> Result<Passed> {
    let folder = tempfile::Builder::new().prefix("point-").tempdir_in(&points.within)?;
    let disk = points.disk(folder.path())?;
    tried(point, points, folder.path(), &disk).or_else(|error| {
        if points.forget {
            return Err(error);
        }
        let kept = folder.keep();
        let calls: Vec<String> = (1..).zip(disk.trace()).map(|(n, call)| format!("{n} {call:?}")).collect();
        std::fs::write(kept.join("calls.txt"), calls.join("\n"))?;
        let log: Vec<String> = (0..).zip(disk.log()).map(|(n, op)| format!("{n} {}", op.brief())).collect();
        std::fs::write(kept.join("log.txt"), log.join("\n"))?;
        Err(error.context(format!("what is left of it lies in {}", kept.display())))
    })
}

fn tried(point: Point, points: &Points, folder: &Path, disk: &Arc<Disk>) -> Result<Passed> {
    let mut random = Random::new(points.seed ^ point.call << 8);
    disk.plan(Plan { forever: point.forever, ..Plan::once(point.call, point.fault) });
    let run = work::run(folder, disk, &points.shape(false))?;
    let mut passed = Passed { tried: 1, fired: usize::from(disk.heal() > 0), ..Passed::default() };
    judge_errors(&run.errors, &mut passed.errors)?;
    let log = disk.log();
    if point.fault != Fault::Crash {
        check::check(folder, &run.knowledge, Look::Write).context("opened again on the healed disk")?;
    }
    let looking = tempfile::Builder::new().prefix("image-").tempdir_in(&points.within)?;
    let styles = [Style::Bare, Style::Whole, STYLES[random.below(STYLES.len() as u64) as usize]];
    for style in styles {
        let image = at_the_end(&log, style, &mut random);
        lay_out(&image, looking.path())?;
        passed.images += 1;
        let what = || format!("power cut at the end of the log, {style:?}");
        check::check(looking.path(), &run.knowledge, Look::Only).with_context(what)?;
        if point.fault == Fault::Crash && point.forever {
            passed.images += 1;
            cut_recovery(&image, &run.knowledge, looking.path(), &mut random).with_context(what)?;
        }
    }
    passed.images += at_moments(&log, looking.path(), &mut random)?;
    Ok(passed)
}

/// Judges images of power cuts at random moments; behind a failed sync, where there was one.
fn at_moments(log: &[Op], folder: &Path, random: &mut Random) -> Result<usize> {
    let failed = log.iter().position(|op| matches!(op, Op::SyncFailed { .. }));
    let from = failed.map_or(0, |at| at + 1);
    let span = failed.map_or(log.len(), |_| SOON).min(log.len() - from);
    let moments: BTreeSet<usize> = (0..MOMENTS).map(|_| from + random.below(span as u64 + 1) as usize).collect();
    let (mut replay, mut known) = (Replay::new(log), Knowledge::default());
    while let Some(step) = replay.step() {
        if let Step::Note(note) = step {
            known.learn(note);
        }
        if moments.contains(&replay.at()) {
            for style in [Style::Uncut, STYLES[random.below(STYLES.len() as u64) as usize]] {
                lay_out(&replay.image(style, random), folder)?;
                let what = || format!("power cut at operation {}, {style:?}", replay.at());
                check::check(folder, &known, Look::Only).with_context(what)?;
            }
        }
    }
    Ok(moments.len() * 2)
}

fn at_the_end(log: &[Op], style: Style, random: &mut Random) -> Image {
    let mut replay = Replay::new(log);
    while replay.step().is_some() {}
    replay.image(style, random)
}

/// Lets recovery crash at a random call, and judges what that leaves.
fn cut_recovery(image: &Image, known: &Knowledge, folder: &Path, random: &mut Random) -> Result<()> {
    lay_out(image, folder)?;
    let disk = check::watch(folder)?;
    disk.plan(Plan::once(1 + random.below(60), Fault::Crash));
    let recovered = check::recover(folder);
    ensure!(recovered.is_ok() || disk.is_dead(), "recovery failed on a sound disk: {recovered:?}");
    let log = disk.log();
    drop(disk);
    let mut replay = Replay::new(&log);
    while replay.step().is_some() {}
    let mut cut = image.clone();
    cut.retain(|name, _| !replay.saw(name));
    cut.extend(replay.image(STYLES[random.below(STYLES.len() as u64) as usize], random));
    lay_out(&cut, folder)?;
    check::check(folder, known, Look::Only).map(drop).context("after a crash in recovery")
}

fn judge_errors(errors: &HashMap<(&'static str, Kind), u64>, all: &mut BTreeMap<String, u64>) -> Result<()> {
    for ((what, kind), count) in errors {
        ensure!(ALLOWED.contains(kind), "{what} was answered {kind:?}");
        *all.entry(format!("{what}: {kind:?}")).or_insert(0) += count;
    }
    Ok(())
}
