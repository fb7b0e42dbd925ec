//! A restore that was killed goes on where it was: less is read, and the result is the same.
//!
//! The child is this test again; it ends itself, without any clean-up, at its n-th step.
#![allow(clippy::unwrap_used)]

mod histories;

use histories::World;
use monolite_archive::place::Folder;
use monolite_archive::{BASES, Check, Entry, Error, History, Kind, Layout, Level, Place, Progress, Restored, Result};
use monolite_archive::{Target, Upload, compact, plan, restore_noting};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const HISTORY: &str = "0123456789abcdef0123456789abcdef";
/// Bytes between two notes; a restore of these worlds writes several times as much.
const EVERY: u64 = 1 << 20;

fn into(
    place: Arc<dyn Place>,
    target: Target,
    out: &Path,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Restored> {
    let history = History::new(place, "World", HISTORY).unwrap();
    restore_noting(&history, target, out, Check::Full, EVERY, progress)
}

fn folder(scratch: &Path) -> Arc<dyn Place> {
    Arc::new(Folder::open(scratch.join("archive")).unwrap())
}

fn world() -> (tempfile::TempDir, World) {
    let scratch = tempfile::tempdir().unwrap();
    let mut world = World::new(33, 4096, 0, folder(scratch.path()), scratch.path());
    for _ in 0..20 {
        world.run("INSERT INTO t0 (body) SELECT noise(90000) FROM (VALUES (1), (2), (3), (4), (5), (6), (7), (8))");
        world.archive(Level::CAPTURED);
    }
    (scratch, world)
}

#[test]
#[ignore = "the child of the others"]
fn child() {
    let Some(scratch) = std::env::var_os("MONOLITE_TEST_SCRATCH").map(PathBuf::from) else { return };
    let last: u64 = std::env::var("MONOLITE_TEST_STEP").unwrap().parse().unwrap();
    let mut taken = 0;
    let _ = into(folder(&scratch), Target::Latest, &scratch.join("out.db"), &mut |_| {
        taken += 1;
        if taken > last {
            std::process::abort();
        }
        ControlFlow::Continue(())
    });
}

/// Lets a child restore until its n-th step; answers whether it was killed there, and not done before.
fn killed(scratch: &Path, step: u64) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child", "--ignored"]).stdout(Stdio::null()).stderr(Stdio::null());
    child.env("MONOLITE_TEST_SCRATCH", scratch).env("MONOLITE_TEST_STEP", step.to_string());
    !child.status().unwrap().success()
}

/// A place that counts what is read of it, and is down behind a byte of each file.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn Place>,
    bytes: AtomicU64,
    down_from: u64,
}

impl Watched {
    fn new(scratch: &Path, down_from: u64) -> Arc<Self> {
        Arc::new(Watched { inner: folder(scratch), bytes: AtomicU64::new(0), down_from })
    }
}

impl Place for Watched {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn layout(&self) -> Layout {
        self.inner.layout()
    }
    fn create(&self, name: &str) -> Result<Box<dyn Upload>> {
        self.inner.create(name)
    }
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.inner.put(name, bytes)
    }
    fn read(&self, name: &str, from: u64, most: usize, to: &mut Vec<u8>) -> Result<()> {
        if from >= self.down_from {
            return Err(Error::new(Kind::Unreachable, "the place is down"));
        }
        let before = to.len();
        self.inner.read(name, from, most, to)?;
        self.bytes.fetch_add((to.len() - before) as u64, Ordering::Relaxed);
        Ok(())
    }
    fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        self.inner.list(folder)
    }
    fn folders(&self, folder: &str) -> Result<Vec<String>> {
        self.inner.folders(folder)
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.inner.delete(name)
    }
}

/// All in one base, which is read in ranges of 4 MiB.
fn based() -> (tempfile::TempDir, World) {
    let (scratch, world) = world();
    let all = plan(&world.history, Target::Latest).unwrap();
    compact(&world.history, all.segments(), BASES, scratch.path()).unwrap();
    (scratch, world)
}

/// The lowest progress that a restore told after its first word.
fn from(scratch: &Path, target: Target, out: &Path) -> (Restored, u64) {
    let mut told = Vec::new();
    let done = into(folder(scratch), target, out, &mut |p| {
        told.push(p.done);
        ControlFlow::Continue(())
    });
    (done.unwrap(), told[1..].iter().copied().filter(|done| *done > 0).min().unwrap())
}

#[test]
fn a_restore_that_was_killed_goes_on_where_it_was() {
    let (scratch, world) = world();
    let scratch = scratch.path();
    let out = scratch.join("out.db");
    let whole = from(scratch, Target::Latest, &scratch.join("whole.db")).0.segment_bytes;
    let (mut step, mut furthest) = (1, 0);
    while killed(scratch, step) {
        if !out.exists() {
            let (done, begun) = from(scratch, Target::Latest, &out);
            assert_eq!(done.segment_bytes, whole);
            furthest = furthest.max(begun);
        }
        world.check(world.last(), &out, &format!("killed at step {step}"));
        std::fs::remove_file(&out).unwrap();
        assert!(!scratch.join("out.db.partial").exists() && !scratch.join("out.db.partial.state").exists());
        step += 1;
    }
    assert!(step > 8, "{step} steps");
    assert!(furthest > whole * 3 / 4, "the last one began at {furthest} of {whole}");
}

#[test]
fn a_restore_that_is_killed_again_and_again_comes_to_its_end() {
    let (scratch, world) = world();
    let scratch = scratch.path();
    let out = scratch.join("out.db");
    assert!(killed(scratch, 5));
    assert!(scratch.join("out.db.partial.state").exists());
    let bytes = || std::fs::metadata(scratch.join("out.db.partial")).map_or(u64::MAX, |m| m.len());
    let mut before = bytes();
    // Four steps at a time: a note, and a little more.
    for _ in 0..40 {
        if !killed(scratch, 4) {
            break;
        }
        assert!(bytes() >= before, "it goes on");
        before = bytes();
    }
    assert!(out.exists(), "it came to its end");
    world.check(world.last(), &out, "after many kills");
}

#[test]
fn what_was_written_is_not_read_again() {
    let (scratch, world) = based();
    let scratch = scratch.path();
    let (whole, out) = (scratch.join("whole.db"), scratch.join("out.db"));
    let read = |out: &Path| {
        let place = Watched::new(scratch, u64::MAX);
        into(place.clone(), Target::Latest, out, &mut |_| ControlFlow::Continue(())).unwrap();
        place.bytes.load(Ordering::Relaxed)
    };
    let all = read(&whole);
    assert!(killed(scratch, 6));
    let rest = read(&out);
    world.check(world.last(), &out, "the rest");
    assert!(rest < all * 2 / 3, "{rest} bytes were read after, {all} of a whole one");
}

#[test]
fn another_target_a_changed_file_or_a_changed_note_begin_anew() {
    let (scratch, world) = world();
    let scratch = scratch.path();
    let (out, partial, state) =
        (scratch.join("out.db"), scratch.join("out.db.partial"), scratch.join("out.db.partial.state"));
    let anew = |target: Target, commit: u64, what: &str| {
        let (done, begun) = from(scratch, target, &out);
        assert!(begun <= done.segment_bytes / 3, "{what}: began at {begun}");
        world.check(commit, &out, what);
        std::fs::remove_file(&out).unwrap();
    };
    assert!(killed(scratch, 8));
    anew(Target::Sequence(world.last() - 1), world.last() - 1, "another target");
    assert!(killed(scratch, 8));
    let mut bytes = std::fs::read(&partial).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&partial, &bytes).unwrap();
    anew(Target::Latest, world.last(), "a changed file");
    assert!(killed(scratch, 8));
    std::fs::write(&partial, b"short").unwrap();
    anew(Target::Latest, world.last(), "a short file");
    assert!(killed(scratch, 8));
    std::fs::write(&state, b"{}").unwrap();
    anew(Target::Latest, world.last(), "a note that says nothing");
    // A note that lies about where a segment stands: the segments' own sums tell.
    assert!(killed(scratch, 8));
    let mut note: serde_json::Value = serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
    let stand = note["stands"].as_array_mut().unwrap().iter_mut().find(|stand| !stand.is_null()).unwrap();
    stand["sum"] = serde_json::json!(stand["sum"].as_u64().unwrap() ^ 1);
    std::fs::write(&state, serde_json::to_vec(&note).unwrap()).unwrap();
    let (done, _) = from(scratch, Target::Latest, &out);
    assert!(done.avoided.is_empty());
    world.check(world.last(), &out, "a note that lies");
}

#[test]
fn a_place_that_goes_away_in_the_middle_costs_only_what_was_not_noted() {
    let (scratch, world) = based();
    let scratch = scratch.path();
    let out = scratch.join("out.db");
    let down = Watched::new(scratch, 4 << 20);
    let stopped = into(down, Target::Latest, &out, &mut |_| ControlFlow::Continue(()));
    assert_eq!(stopped.unwrap_err().kind(), Kind::Unreachable);
    assert!(!out.exists());
    let (done, begun) = from(scratch, Target::Latest, &out);
    assert!(begun > done.segment_bytes / 3, "it began at {begun}");
    world.check(world.last(), &out, "once the place is back");
}
