//! Faults of the target: it is slow, down, fails at any step as its disk does, and its segments are there twice.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{Dice, LONG, SERVICE, World, insert, quick, work};
use monolite_archive::disk::{Change, When, hear};
use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::{Archive, Error, Kind, Level, Place, Segment, State, Target};
use monolite_store::Store;
use std::io::{Error as IoError, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// So many random writes, each tenth of which has to be archived before the next.
fn work_and_wait(store: &Store, archive: &Archive, seed: u64, writes: u64) {
    let mut dice = Dice(seed);
    for step in 0..writes {
        let last = work(store, &mut dice);
        if step % 10 == 0 {
            let waited = archive.archived(SERVICE, last).unwrap().wait(LONG);
            assert!(waited.is_ok(), "seed {seed}, step {step}: {waited:?}, {:?}", archive.status());
        }
    }
}

#[test]
fn a_slow_place_delays_the_archive_and_not_the_writes() {
    let world = World::new();
    let store = world.store();
    let slow = Arc::new((Mutex::new(false), Condvar::new()));
    let waits = slow.clone();
    let place = Faulty::new(world.place(), move |step, _| {
        if step == Step::Finish {
            let (slow, ended) = &*waits;
            drop(ended.wait_while(slow.lock().unwrap(), |slow| *slow).unwrap());
        }
        None
    });
    let archive = Archive::start(Arc::new(place), quick()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    world.assert_whole(&archive, &store);
    let archived = store.sequence();
    *slow.0.lock().unwrap() = true;
    let mut dice = Dice(17);
    for _ in 0..60 {
        work(&store, &mut dice); // each is answered, though nothing is archived
    }
    let late = archive.archived(SERVICE, store.sequence()).unwrap().wait(Duration::from_millis(20)).unwrap_err();
    assert_eq!(late.kind(), Kind::Unreachable);
    assert!(archive.watch(SERVICE, LONG, |status| !status.lag.is_zero() && status.archived == archived).unwrap());
    *slow.0.lock().unwrap() = false;
    slow.1.notify_all();
    world.assert_whole(&archive, &store);
    assert_eq!(archive.status()[0].gaps, 0);
}

#[test]
fn a_place_that_fails_at_any_step_loses_nothing() {
    for seed in 1..=4u64 {
        let world = World::new();
        let store = world.store();
        let dice = Mutex::new(Dice(seed * 7919));
        let failing = Arc::new(AtomicBool::new(true));
        let fails = failing.clone();
        let failures = Arc::new(AtomicU64::new(0));
        let counted = failures.clone();
        let place = Faulty::new(world.place(), move |step, name| {
            let fail = fails.load(SeqCst) && dice.lock().unwrap().roll(3) == 0;
            fail.then(|| {
                counted.fetch_add(1, SeqCst);
                let kind = if step == Step::Finished { Kind::OutcomeUnknown } else { Kind::Unreachable };
                Error::new(kind, format!("{step:?} of {name}"))
            })
        });
        let archive = Archive::start(Arc::new(place), quick()).unwrap();
        archive.keep(SERVICE, &store, &world.scratch()).unwrap();
        work_and_wait(&store, &archive, seed, 150);
        failing.store(false, SeqCst);
        assert!(failures.load(SeqCst) > 20);
        world.assert_whole(&archive, &store);
        let status = archive.status().remove(0);
        assert_eq!(status.gaps, 0, "{status:?}");
        assert!(status.errors > 0 && status.last_error.is_some());
    }
}

#[test]
fn what_is_written_while_the_place_is_down_waits_in_the_spool_over_a_restart() {
    let world = World::new();
    let down = Arc::new(AtomicBool::new(false));
    let is_down = down.clone();
    let place: Arc<dyn Place> = Arc::new(Faulty::new(world.place(), move |_, _| {
        is_down.load(SeqCst).then(|| Error::new(Kind::Unreachable, "the place is down"))
    }));
    let mut dice = Dice(3);
    let store = world.store();
    let archive = Archive::start(place.clone(), quick()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    world.assert_whole(&archive, &store);
    down.store(true, SeqCst);
    for _ in 0..30 {
        work(&store, &mut dice);
    }
    let last = store.sequence();
    assert!(archive.watch(SERVICE, LONG, |s| s.captured == last && s.spooled.0 > 0).unwrap());
    assert_eq!(archive.status()[0].state, State::Spooling);
    store.abandon();
    drop(archive);

    // Opened while the place is down: what is written waits in the WAL.
    let store = world.store();
    let archive = Archive::start(place, quick()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    assert_eq!(archive.status()[0].state, State::Opening);
    for _ in 0..30 {
        work(&store, &mut dice);
    }
    assert!(archive.watch(SERVICE, LONG, |s| s.errors > 2).unwrap());
    down.store(false, SeqCst);
    world.assert_whole(&archive, &store);
    assert_eq!(archive.status()[0].gaps, 0);
}

#[test]
fn a_step_on_the_disk_that_fails_is_tried_again_and_nothing_is_lost() {
    for seed in 1..=3u64 {
        let world = World::new();
        let (store, place) = (world.store(), world.place());
        let (failing, failures) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let (fails, counted, dice) = (failing.clone(), failures.clone(), Mutex::new(Dice(seed * 7919)));
        // Full, or broken; before a step, or after a sync or a name that was given.
        let _hearing = hear(&world.path(""), move |when, change| {
            let may = when == When::Before || matches!(change, Change::Sync(_) | Change::Rename { .. });
            let mut dice = dice.lock().unwrap();
            if may && fails.load(SeqCst) && dice.roll(12) == 0 {
                counted.fetch_add(1, SeqCst);
                let kind = if dice.roll(2) == 0 { ErrorKind::StorageFull } else { ErrorKind::Other };
                return Err(IoError::new(kind, "a fault on purpose"));
            }
            Ok(())
        });
        let archive = loop {
            // The scratch folder itself may not be made.
            let archive = Archive::start(place.clone(), quick()).unwrap();
            match archive.keep(SERVICE, &store, &world.scratch()) {
                Ok(()) => break archive,
                Err(e) => assert!(matches!(e.kind(), Kind::Io | Kind::Full), "{e}"),
            }
        };
        work_and_wait(&store, &archive, seed, 120);
        failing.store(false, SeqCst);
        assert!(failures.load(SeqCst) > 10, "{failures:?}");
        world.assert_whole(&archive, &store);
        assert_eq!(archive.status()[0].gaps, 0, "{:?}", archive.status());
    }
}

#[test]
fn a_segment_that_is_there_twice_changes_nothing_or_is_refused() {
    let world = World::new();
    let store = world.store();
    let config = monolite_archive::Config { levels: Vec::new(), ..quick() };
    let archive = world.keep(&store, config.clone());
    for _ in 0..6 {
        insert(&store, 10, 500);
        archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    }
    world.assert_whole(&archive, &store);
    let history = archive.history(SERVICE).unwrap();
    let captured = history.level(Level::CAPTURED).unwrap();
    assert!(captured.len() > 3);
    let path = |level: Level, segment: &Segment| world.path("archive").join(history.segment_name(level, segment.name));
    // Each also one level higher, byte by byte.
    let above = Level::new(1).unwrap();
    for segment in &captured {
        std::fs::create_dir_all(path(above, segment).parent().unwrap()).unwrap();
        std::fs::copy(path(Level::CAPTURED, segment), path(above, segment)).unwrap();
    }
    world.assert_whole(&archive, &store);
    drop(archive);
    let archive = world.keep(&store, config);
    insert(&store, 10, 500);
    world.assert_whole(&archive, &store);
    for segment in &captured[2..] {
        world.restore(&archive, Target::Sequence(segment.name.last)).unwrap();
    }
    // One under a name of commits that it does not hold.
    let (one, last) = (captured[1], store.sequence());
    let mut lying = captured[captured.len() - 1];
    lying.name.first = last + 1;
    lying.name.last = last + 1;
    std::fs::copy(path(Level::CAPTURED, &one), path(Level::CAPTURED, &lying)).unwrap();
    let refused = world.restore(&archive, Target::Sequence(last + 1)).unwrap_err();
    assert_eq!(refused.kind(), Kind::Damaged, "{refused}");
    assert!(refused.to_string().contains("holds commits"), "{refused}");
    world.restore(&archive, Target::Sequence(last)).unwrap();
}
