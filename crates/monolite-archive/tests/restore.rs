//! What was archived comes back page by page, or is refused with the reason.

#![allow(clippy::unwrap_used)]

mod histories;

use histories::World;
use monolite_archive::place::Folder;
use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::{BASES, Check, Error, History, Kind, Level, Place, Progress, Restored, Target, restore};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn world(seed: u64, page_size: u32, auto_vacuum: u32) -> (tempfile::TempDir, World) {
    let scratch = tempfile::tempdir().unwrap();
    let place: Arc<dyn Place> = Arc::new(Folder::open(scratch.path().join("archive")).unwrap());
    let world = World::new(seed, page_size, auto_vacuum, place, scratch.path());
    (scratch, world)
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn restored(history: &History, target: Target, out: &Path) -> monolite_archive::Result<Restored> {
    restore(history, target, out, Check::Full, &mut go_on)
}

fn left(folder: &Path, stem: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(stem)).collect()
}

/// So many commits, of about so many bytes, each captured by itself.
fn capture(world: &mut World, commits: usize, bytes: usize) {
    for _ in 0..commits {
        world.run(&format!("INSERT INTO t0 (body) VALUES (noise({bytes}))"));
        world.archive(Level::CAPTURED);
    }
}

#[test]
fn every_commit_that_was_kept_comes_back_as_it_was() {
    for (seed, page_size, auto_vacuum) in [(1, 512, 0), (2, 4096, 1), (3, 1024, 2), (4, 65536, 2), (5, 4096, 0)] {
        let (scratch, mut world) = world(seed, page_size, auto_vacuum);
        world.live(60);
        let out = scratch.path().join("out.db");
        for end in world.ends() {
            let done = restored(&world.history, Target::Sequence(end), &out).unwrap();
            assert_eq!((done.sequence, done.at_ms), (end, world.commit(end).at_ms), "seed {seed}");
            assert_eq!(done.bytes, out.metadata().unwrap().len());
            world.check(end, &out, &format!("ours, seed {seed}"));
            std::fs::remove_file(&out).unwrap();
        }
        assert!(left(scratch.path(), "out.db").is_empty());
    }
}

#[test]
fn a_time_brings_the_newest_state_from_before_it() {
    let (scratch, mut world) = world(6, 4096, 0);
    world.live(50);
    let out = scratch.path().join("out.db");
    let ends = world.ends();
    for moment in world.commits.iter().flat_map(|commit| [commit.at_ms, commit.at_ms + 1]) {
        let before = ends.iter().rev().find(|end| world.commit(**end).at_ms < moment);
        match (restored(&world.history, Target::Before(moment), &out), before) {
            (Ok(done), Some(end)) => {
                assert_eq!(done.sequence, *end);
                world.check(*end, &out, "ours");
                std::fs::remove_file(&out).unwrap();
            }
            (Err(e), None) => assert_eq!(e.kind(), Kind::Missing),
            (done, end) => panic!("{done:?} for {end:?}"),
        }
    }
}

#[test]
fn nothing_is_written_over() {
    let (scratch, mut world) = world(7, 4096, 0);
    world.live(5);
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let out = scratch.path().join("out.db");
        let there = scratch.path().join(format!("out.db{suffix}"));
        std::fs::write(&there, "mine").unwrap();
        assert_eq!(restored(&world.history, Target::Latest, &out).unwrap_err().kind(), Kind::Exists);
        assert_eq!(std::fs::read(&there).unwrap(), b"mine");
        assert_eq!(left(scratch.path(), "out.db"), std::slice::from_ref(&there));
        std::fs::remove_file(there).unwrap();
    }
}

#[test]
fn a_second_restore_to_the_same_name_is_refused_while_the_first_runs() {
    let (scratch, mut world) = world(8, 4096, 0);
    world.live(5);
    let out = scratch.path().join("out.db");
    let mut second = None;
    let first = restore(&world.history, Target::Latest, &out, Check::Full, &mut |_| {
        second.get_or_insert_with(|| restored(&world.history, Target::Latest, &out).unwrap_err().kind());
        ControlFlow::Continue(())
    });
    assert_eq!(second, Some(Kind::Exists));
    world.check(first.unwrap().sequence, &out, "the first");
}

#[test]
fn a_restore_that_is_stopped_leaves_nothing_and_one_that_died_is_begun_anew() {
    let (scratch, mut world) = world(9, 4096, 0);
    world.live(20);
    let out = scratch.path().join("out.db");
    let stopped = restore(&world.history, Target::Latest, &out, Check::Full, &mut |_| ControlFlow::Break(()));
    assert_eq!(stopped.unwrap_err().kind(), Kind::Stopped);
    assert!(left(scratch.path(), "out.db").is_empty());
    // As a kill leaves it: longer than what will be restored, and wrong.
    std::fs::write(scratch.path().join("out.db.partial"), vec![7; 40 << 20]).unwrap();
    let done = restored(&world.history, Target::Latest, &out).unwrap();
    world.check(done.sequence, &out, "after a kill");
    assert_eq!(left(scratch.path(), "out.db"), [out]);
}

fn path_of(world: &World, segment: &monolite_archive::Segment, scratch: &Path) -> PathBuf {
    scratch.join("archive").join(world.history.segment_name(segment.level, segment.name))
}

#[test]
fn damage_in_any_segment_of_the_plan_is_refused_and_named() {
    let (scratch, mut world) = world(10, 1024, 0);
    capture(&mut world, 12, 9000);
    let out = scratch.path().join("out.db");
    let plan = monolite_archive::plan(&world.history, Target::Latest).unwrap();
    for segment in plan.segments() {
        let path = path_of(&world, segment, scratch.path());
        let sound = std::fs::read(&path).unwrap();
        let mut flipped = sound.clone();
        let at = world.random.below(sound.len() as u64) as usize;
        flipped[at] ^= 0x10;
        for wrong in [flipped, sound[..sound.len() / 2].to_vec(), Vec::new()] {
            std::fs::write(&path, wrong).unwrap();
            let error = restored(&world.history, Target::Latest, &out).unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged, "{error}");
            assert!(left(scratch.path(), "out.db").is_empty());
        }
        std::fs::write(&path, sound).unwrap();
    }
    assert!(restored(&world.history, Target::Latest, &out).is_ok());
}

#[test]
fn a_missing_segment_is_a_gap_for_every_target_past_it() {
    let (scratch, mut world) = world(11, 4096, 0);
    world.live(4);
    let bases = world.ends().len();
    capture(&mut world, 6, 2000);
    assert!(world.ends().len() > bases);
    let out = scratch.path().join("out.db");
    let last = world.last();
    let gone = world.history.segments().unwrap().into_iter().find(|s| s.name.last == last - 2).unwrap();
    world.history.delete(&gone).unwrap();
    let moment = world.commit(last).at_ms + 1;
    for target in [Target::Latest, Target::Sequence(last), Target::Before(moment)] {
        let error = restored(&world.history, target, &out).unwrap_err();
        assert_eq!(error.kind(), Kind::Gap);
        let sides = format!("ends with commit {}, the next, 0/", last - 3);
        assert!(error.to_string().contains(&sides), "{error}");
    }
    assert_eq!(restored(&world.history, Target::Sequence(last - 3), &out).unwrap().sequence, last - 3);
}

#[test]
fn a_page_that_was_captured_without_its_growth_is_noticed() {
    let (scratch, world) = world(12, 4096, 0);
    let pages = world.commit(1).state.len() as u32;
    let header = monolite_archive::ltx::Header {
        page_size: 4096,
        pages: pages + 2,
        first: 2,
        last: 2,
        at_ms: world.commit(1).at_ms + 1,
        epoch: 1,
    };
    let mut encoder = monolite_archive::ltx::Encoder::begin(Vec::new(), header).unwrap();
    encoder.page(pages + 2, &[0; 4096]).unwrap();
    world.history.put(Level::CAPTURED, &header, &encoder.finish().unwrap().to).unwrap();
    let error = restored(&world.history, Target::Latest, &scratch.path().join("out.db")).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.to_string().contains(&format!("page {} is in none", pages + 1)), "{error}");
}

#[test]
fn more_segments_than_one_merge_takes_are_merged_in_rounds() {
    let (scratch, mut world) = world(13, 512, 0);
    for n in 0..600 {
        world.run(&format!("INSERT INTO t0 (body) VALUES (noise({}))", 1 + n % 700));
        world.archive(Level::CAPTURED);
    }
    let out = scratch.path().join("out.db");
    let done = restored(&world.history, Target::Latest, &out).unwrap();
    assert_eq!(done.segments, 601);
    world.check(done.sequence, &out, "ours");
    assert_eq!(left(scratch.path(), "out.db"), [out], "the rounds are gone");
}

#[test]
fn a_segment_that_goes_away_while_it_is_read_is_planned_around() {
    let (scratch, mut world) = world(14, 4096, 0);
    capture(&mut world, 8, 9000);
    let all = world.history.segments().unwrap();
    let captured: Vec<_> = all.into_iter().filter(|s| s.level == Level::CAPTURED).collect();
    let (inner, history, scratched) =
        (Arc::clone(world.history.place()), world.history.clone(), scratch.path().to_owned());
    let mut merged = false;
    // At the first read of a captured segment, all of them are merged and deleted.
    let place = Faulty::new(inner, move |step, name| {
        if step == Step::Read && name.contains("ltx/0/") && !std::mem::replace(&mut merged, true) {
            monolite_archive::compact(&history, &captured, Level::new(1).unwrap(), &scratched).unwrap();
            captured.iter().for_each(|segment| history.delete(segment).unwrap());
        }
        None::<Error>
    });
    let history = History::new(Arc::new(place), "World", "0123456789abcdef0123456789abcdef").unwrap();
    let out = scratch.path().join("out.db");
    let done = restored(&history, Target::Latest, &out).unwrap();
    assert_eq!((done.sequence, done.segments), (9, 2));
    world.check(9, &out, "ours");
}

#[test]
fn a_base_of_the_whole_history_equals_it() {
    let (scratch, mut world) = world(15, 4096, 2);
    world.live(30);
    let plan = monolite_archive::plan(&world.history, Target::Latest).unwrap();
    if plan.segments().len() > 1 {
        monolite_archive::compact(&world.history, plan.segments(), BASES, scratch.path()).unwrap();
    }
    let plan = monolite_archive::plan(&world.history, Target::Latest).unwrap();
    assert_eq!(plan.segments().len(), 1);
    let out = scratch.path().join("out.db");
    restored(&world.history, Target::Latest, &out).unwrap();
    world.check(world.last(), &out, "ours");
}

#[test]
fn a_file_whose_own_sequence_is_another_is_refused() {
    let (scratch, mut world) = world(16, 4096, 0);
    world.run("CREATE TABLE _monolite (id INTEGER PRIMARY KEY, sequence INTEGER)");
    world.run("INSERT INTO _monolite VALUES (1, 3)");
    world.archive(Level::CAPTURED);
    let out = scratch.path().join("out.db");
    assert_eq!(restored(&world.history, Target::Latest, &out).unwrap().sequence, 3);
    world.run("INSERT INTO t0 (body) VALUES ('a commit that does not count')");
    world.archive(Level::CAPTURED);
    let other = scratch.path().join("other.db");
    let error = restored(&world.history, Target::Latest, &other).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    assert!(!other.exists());
}

#[test]
fn the_pages_of_a_target_are_those_of_its_file() {
    let (scratch, mut world) = world(17, 1024, 0);
    world.live(20);
    let plan = monolite_archive::plan(&world.history, Target::Latest).unwrap();
    let mut pages = Vec::new();
    let each = &mut |number, page: &[u8]| {
        pages.push((number, page.to_vec()));
        Ok(())
    };
    let header = monolite_archive::pages(&world.history, &plan, &scratch.path().join("rounds"), each).unwrap();
    assert_eq!((header.last, header.pages as usize), (world.last(), pages.len()));
    let out = scratch.path().join("out.db");
    restored(&world.history, Target::Latest, &out).unwrap();
    let file = std::fs::read(&out).unwrap();
    let same = file.chunks(1024).zip(&pages).zip(1..).all(|((file, (number, page)), n)| file == page && *number == n);
    assert!(same && file.len() == pages.len() * 1024);
}

#[test]
fn a_damaged_segment_is_gone_around_where_another_way_leads_to_the_same_commit() {
    let (scratch, mut world) = world(18, 4096, 0);
    capture(&mut world, 9, 9000);
    let captured = world.history.level(Level::CAPTURED).unwrap();
    let compact = |inputs: &[monolite_archive::Segment], level| {
        monolite_archive::compact(&world.history, inputs, level, scratch.path()).unwrap()
    };
    let merged = compact(&captured[6..], Level::new(1).unwrap());
    let to_the_base = monolite_archive::plan(&world.history, Target::Sequence(7)).unwrap();
    let base = compact(to_the_base.segments(), BASES);
    let out = scratch.path().join("out.db");
    assert_eq!(restored(&world.history, Target::Latest, &out).unwrap().segments, 2);
    let damage = |segment| {
        let path = path_of(&world, segment, scratch.path());
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    for (damaged, avoided) in [(&merged, 1), (&base, 2)] {
        damage(damaged);
        std::fs::remove_file(&out).unwrap();
        let done = restored(&world.history, Target::Latest, &out).unwrap();
        assert_eq!((done.avoided.len(), done.sequence), (avoided, 10));
        assert!(done.avoided.iter().any(|segment| segment.name == damaged.name));
        world.check(10, &out, "around");
    }
    damage(&captured[3]);
    std::fs::remove_file(&out).unwrap();
    assert_eq!(restored(&world.history, Target::Latest, &out).unwrap_err().kind(), Kind::Damaged);
    assert!(!out.exists());
}
