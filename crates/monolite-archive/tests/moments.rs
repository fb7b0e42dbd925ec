//! The moments of segments and bases: what a restore to a time goes by.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{LONG, SERVICE, World, insert, quick};
use monolite_archive::{Archive, BASES, Config, History, Level, Target, plan};
use monolite_store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

/// Gives all segments the time of a copy that was made at this moment.
fn copied_at(world: &World, history: &History, at: SystemTime) {
    for segment in history.segments().unwrap() {
        let path = world.path("archive").join(history.segment_name(segment.level, segment.name));
        std::fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
    }
}

#[test]
fn a_base_without_later_commits_has_the_moment_of_its_last_one_whatever_the_place_says() {
    let world = World::new();
    let store = world.store();
    let now = Arc::new(AtomicI64::new(1_000_000));
    let clock = now.clone();
    let config = Config { now: Arc::new(move || clock.load(SeqCst)), levels: Vec::new(), ..quick() };
    let archive = world.keep(&store, config.clone());
    world.assert_whole(&archive, &store);
    now.store(2_000_000, SeqCst);
    insert(&store, 3, 100);
    world.assert_whole(&archive, &store);
    let history = archive.history(SERVICE).unwrap();
    drop(archive);
    // The archive was copied without its times, or lies in a bucket, which has those of the uploads.
    copied_at(&world, &history, SystemTime::UNIX_EPOCH + Duration::from_millis(9_000_000));
    now.store(10_000_000, SeqCst);
    let archive = world.keep(&store, config);
    archive.begin_base(SERVICE).unwrap();
    let last = store.sequence();
    assert!(archive.watch(SERVICE, LONG, |s| s.last_base == Some(last)).unwrap(), "{:?}", archive.status());
    let ends = |s: &&monolite_archive::Segment| s.name.last == last;
    let base = *history.level(BASES).unwrap().iter().find(ends).unwrap();
    let captured = *history.level(Level::CAPTURED).unwrap().iter().find(ends).unwrap();
    let moment = history.header(&captured).unwrap().at_ms;
    assert!((1_900_000..=2_000_000).contains(&moment), "{moment}");
    assert_eq!(history.header(&base).unwrap().at_ms, moment);
    // A time between the commit and the copy leads to that commit, also once the base alone is left.
    history.delete(&captured).unwrap();
    assert_eq!(plan(&history, Target::Before(3_000_000)).unwrap().last(), last);
}

#[allow(clippy::disallowed_methods)] // what is compared was stamped by this clock
fn unix_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// The moment of the segment that ends with the store's last commit, once that is archived.
fn moment_of_the_last(archive: &Archive, store: &Store) -> i64 {
    let last = store.sequence();
    assert!(archive.watch(SERVICE, LONG, |s| s.archived >= last).unwrap(), "{:?}", archive.status());
    let history = archive.history(SERVICE).unwrap();
    let captured = history.level(Level::CAPTURED).unwrap();
    history.header(captured.iter().find(|s| s.name.last == last).unwrap()).unwrap().at_ms
}

#[test]
fn a_segment_has_the_moment_of_its_last_commit_and_not_of_its_making() {
    let world = World::new();
    let config = Config { interval: Duration::from_millis(400), levels: Vec::new(), ..quick() };
    let (store, archive) = world.begun(config, 3);
    let before = unix_ms();
    insert(&store, 1, 100);
    let after = unix_ms();
    let moment = moment_of_the_last(&archive, &store);
    assert!((before..=after + 50).contains(&moment), "{before} {moment} {after}");
    // A mistake that comes after is undone to the moment before it.
    let kept = store.sequence();
    assert_eq!(plan(&archive.history(SERVICE).unwrap(), Target::Before(after + 51)).unwrap().last(), kept);
}

#[test]
fn what_a_crash_left_in_the_wal_has_the_moment_at_which_it_was_written() {
    let world = World::new();
    let (place, is_down) = world.picky_place();
    let store = world.store();
    let config = Config { levels: Vec::new(), ..quick() };
    let hour = Duration::from_secs(3600);
    let earlier = Config { now: Arc::new(move || unix_ms() - 2 * hour.as_millis() as i64), ..config.clone() };
    let archive = Archive::start(place, earlier).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    insert(&store, 3, 100);
    world.assert_whole(&archive, &store);
    is_down.store(true, SeqCst);
    drop(archive);
    insert(&store, 1, 100);
    store.abandon();
    // The machine was off for an hour.
    for file in [world.db(), world.path("Users.db-wal")] {
        let file = std::fs::File::options().write(true).open(file).unwrap();
        let written = file.metadata().unwrap().modified().unwrap();
        file.set_modified(written - hour).unwrap();
    }
    let store = world.store();
    let archive = world.keep(&store, config);
    let moment = moment_of_the_last(&archive, &store);
    let then = unix_ms() - hour.as_millis() as i64;
    assert!((then - 60_000..=then + 1_000).contains(&moment), "{} ms after", moment - then);
}
