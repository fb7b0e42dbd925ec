//! A process that ends in the middle of a restore or a merge leaves nothing that is taken for whole.
//!
//! The child is this test again; it ends itself, without any clean-up, at its n-th step, for each n there is.

#![allow(clippy::unwrap_used)]

mod histories;

use histories::World;
use monolite_archive::place::Folder;
use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::{BASES, Check, History, Level, Place, Target, compact, pins, plan, restore, verify};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const HISTORY: &str = "0123456789abcdef0123456789abcdef";
/// Steps that a child takes at most before it is done.
const STEPS_MAX: usize = 400;

fn history(scratch: &Path, place: impl FnOnce(Arc<dyn Place>) -> Arc<dyn Place>) -> History {
    let folder: Arc<dyn Place> = Arc::new(Folder::open(scratch.join("archive")).unwrap());
    History::new(place(folder), "World", HISTORY).unwrap()
}

#[test]
#[ignore = "the child of the others"]
fn child() {
    let Some(scratch) = std::env::var_os("MONOLITE_TEST_SCRATCH").map(PathBuf::from) else { return };
    let last: usize = std::env::var("MONOLITE_TEST_STEP").unwrap().parse().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let step = move || {
        if taken.fetch_add(1, Ordering::SeqCst) == last {
            std::process::abort();
        }
    };
    let told = step.clone();
    let place = move |folder| -> Arc<dyn Place> {
        Arc::new(Faulty::new(folder, move |kind, _| {
            // Of reads there are too many; the progress below stands for them.
            if kind != Step::Read {
                step();
            }
            None
        }))
    };
    let history = history(&scratch, place);
    match std::env::var("MONOLITE_TEST_WORK").unwrap().as_str() {
        "restore" => drop(restore(&history, Target::Latest, &scratch.join("out.db"), Check::Full, &mut |_| {
            told();
            ControlFlow::Continue(())
        })),
        _ => {
            let captured = history.level(Level::CAPTURED).unwrap();
            let level = Level::new(1).unwrap();
            let _ = compact(&history, &captured, level, &scratch);
            let base = plan(&history, Target::Latest).unwrap();
            let _ = compact(&history, base.segments(), BASES, &scratch);
            captured.iter().for_each(|segment| history.delete(segment).unwrap());
        }
    }
}

/// Lets a child work until its n-th step. Answers whether it was done before.
fn work(scratch: &Path, what: &str, step: usize) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child", "--ignored"]).stdout(Stdio::null()).stderr(Stdio::null());
    child.env("MONOLITE_TEST_SCRATCH", scratch).env("MONOLITE_TEST_STEP", step.to_string());
    child.env("MONOLITE_TEST_WORK", what).status().unwrap().success()
}

fn world() -> (tempfile::TempDir, World) {
    let scratch = tempfile::tempdir().unwrap();
    let place: Arc<dyn Place> = Arc::new(Folder::open(scratch.path().join("archive")).unwrap());
    let mut world = World::new(21, 4096, 0, place, scratch.path());
    (0..5).for_each(|_| {
        world.run("INSERT INTO t0 (body) SELECT noise(90000) FROM (VALUES (1), (2), (3), (4), (5), (6), (7), (8))");
        world.archive(Level::CAPTURED);
    });
    (scratch, world)
}

#[test]
fn a_restore_that_dies_anywhere_is_begun_anew() {
    let (scratch, world) = world();
    let out = scratch.path().join("out.db");
    let mut died = 0;
    while !work(scratch.path(), "restore", died) {
        // Only under its name it counts, and there it is whole.
        if out.exists() {
            world.check(world.last(), &out, &format!("died at step {died}"));
            std::fs::remove_file(&out).unwrap();
        }
        died += 1;
        assert!(died < STEPS_MAX);
    }
    assert!(died > 5, "{died} steps");
    world.check(world.last(), &out, "the one that came to its end");
    assert!(!scratch.path().join("out.db.partial").exists());
    assert!(!pins(&world.history, 0).unwrap().is_empty(), "the dead leave pins, until they are old");
    assert!(pins(&world.history, i64::MAX).unwrap().is_empty());
}

#[test]
fn a_merge_that_dies_anywhere_leaves_a_sound_history() {
    let (scratch, world) = world();
    let out = scratch.path().join("out.db");
    let mut died = 0;
    while !work(scratch.path(), "merge", died) {
        let found = verify(&world.history, i64::MIN, &mut |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!((found.problems, found.last), (vec![], world.last()), "died at step {died}");
        restore(&world.history, Target::Latest, &out, Check::Quick, &mut |_| ControlFlow::Continue(())).unwrap();
        world.check(world.last(), &out, &format!("died at step {died}"));
        std::fs::remove_file(&out).unwrap();
        died += 1;
        assert!(died < STEPS_MAX);
    }
    assert!(died > 5, "{died} steps");
    assert!(world.history.level(Level::CAPTURED).unwrap().is_empty());
}
