//! A look at a history finds all that is wrong with it; a restore holds what it reads.

#![allow(clippy::unwrap_used)]

mod histories;

use histories::World;
use monolite_archive::cuts::{CutPoint, Position, record};
use monolite_archive::place::Folder;
use monolite_archive::{BASES, Check, Kind, Level, Place, Problem, Target, compact, pins, plan, restore, verify};
use std::ops::ControlFlow;
use std::sync::Arc;

fn world(seed: u64) -> (tempfile::TempDir, World) {
    let scratch = tempfile::tempdir().unwrap();
    let place: Arc<dyn Place> = Arc::new(Folder::open(scratch.path().join("archive")).unwrap());
    let mut world = World::new(seed, 4096, 0, place, scratch.path());
    (0..12).for_each(|_| {
        world.run("INSERT INTO t0 (body) VALUES (noise(9000))");
        world.archive(Level::CAPTURED);
    });
    (scratch, world)
}

fn go_on(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_sound_history_has_no_problem() {
    let (_scratch, mut world) = world(1);
    world.live(30);
    let mut told = Vec::new();
    let found = verify(&world.history, i64::MIN, &mut |done, whole| {
        told.push((done, whole));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!((found.first, found.last, found.problems), (1, world.last(), vec![]));
    assert_eq!(found.segments, world.history.segments().unwrap().len());
    assert!(told.is_sorted() && told.iter().all(|(done, whole)| done <= whole && *whole == found.bytes));
    let stopped = verify(&world.history, i64::MIN, &mut |_, _| ControlFlow::Break(()));
    assert_eq!(stopped.unwrap_err().kind(), Kind::Stopped);
}

#[test]
fn every_damaged_segment_and_the_gap_it_makes_are_told() {
    let (scratch, world) = world(2);
    let all = world.history.level(Level::CAPTURED).unwrap();
    let path = |at: usize| scratch.path().join("archive").join(world.history.segment_name(all[at].level, all[at].name));
    let mut bytes = std::fs::read(path(3)).unwrap();
    bytes[200] ^= 1;
    std::fs::write(path(3), bytes).unwrap();
    std::fs::write(path(8), "").unwrap();
    std::fs::remove_file(path(9)).unwrap();
    let found = verify(&world.history, i64::MIN, &mut go_on).unwrap();
    let told: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(matches!(&found.problems[0], Problem::Damaged { segment, .. } if segment.name == all[3].name), "{told:?}");
    assert!(matches!(&found.problems[1], Problem::Damaged { segment, .. } if segment.name == all[8].name), "{told:?}");
    assert_eq!(found.problems[2], Problem::Gap { first: 5, last: 5, healed: false });
    assert_eq!(found.problems[3], Problem::Gap { first: 10, last: 11, healed: false });
    assert!(told[4].contains("cannot be restored"), "{told:?}");
}

#[test]
fn what_had_its_age_behind_a_commit_that_is_kept_is_no_gap() {
    let (scratch, world) = world(5);
    let all = world.history.level(Level::CAPTURED).unwrap();
    let whole = plan(&world.history, Target::Latest).unwrap();
    compact(&world.history, whole.segments(), BASES, scratch.path()).unwrap();
    let (first, last) = (all[4].name.first, all[7].name.last);
    all[4..8].iter().for_each(|segment| world.history.delete(segment).unwrap());
    let base_ms = world.commits.last().unwrap().at_ms;
    let look_from = |promised_ms| verify(&world.history, promised_ms, &mut go_on).unwrap();
    let look = || look_from(base_ms + 1);
    let found = look();
    assert_eq!(found.problems, [Problem::Gap { first, last, healed: true }]);
    assert!(found.problems[0].to_string().contains("only moments between"), "{}", found.problems[0]);
    let (service, history) = world.history.root().split_once('/').unwrap();
    let named = |sequence, id: &str| {
        let services = [(service.to_owned(), Position { history: id.to_owned(), sequence })].into();
        CutPoint { format: 1, at_ms: 7, services, missing: Vec::new() }
    };
    let place = world.history.place();
    record(&**place, Some("another"), &named(first - 1, "00")).unwrap();
    record(&**place, Some("earlier"), &named(first - 2, history)).unwrap();
    assert_eq!(look().problems.len(), 1, "cuts of another history, and of another commit");
    record(&**place, Some("kept"), &named(first - 1, history)).unwrap();
    let found = look();
    assert_eq!((found.problems, found.forgotten), (vec![], vec![(first, last)]));
    // What lies behind a cut is lost as anything else may be, as long as it is promised.
    let found = look_from(base_ms);
    assert_eq!((found.problems, found.forgotten), (vec![Problem::Gap { first, last, healed: true }], vec![]));
}

#[test]
fn time_that_goes_back_is_told() {
    let (_scratch, mut world) = world(3);
    world.turn_back(100_000);
    world.run("INSERT INTO t0 (body) VALUES (noise(9000))");
    world.archive(Level::CAPTURED);
    let found = verify(&world.history, i64::MIN, &mut go_on).unwrap();
    assert!(matches!(found.problems[..], [Problem::BackInTime { .. }]), "{:?}", found.problems);
}

#[test]
fn a_restore_pins_what_it_reads() {
    let (scratch, world) = world(4);
    let (out, mut seen) = (scratch.path().join("out.db"), Vec::new());
    let pinned = || pins(&world.history, 0).unwrap();
    restore(&world.history, Target::Sequence(5), &out, Check::Open, &mut |_| {
        seen.push(pinned());
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(seen.contains(&vec![5]), "{seen:?}");
    assert!(pinned().is_empty());
    // A restore that died leaves its pin; after a week it holds nothing and is removed.
    world.history.place().put(&world.history.name("pins/0000000000000007-x"), b"").unwrap();
    assert_eq!(pinned(), [7]);
    assert!(pins(&world.history, i64::MAX).unwrap().is_empty());
    assert!(pinned().is_empty());
}
