//! The moments of bases: what a restore to a time goes by.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{LONG, SERVICE, World, insert, quick};
use monolite_archive::{BASES, Config, History, Level, Target, plan};
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
    assert_eq!(history.header(&captured).unwrap().at_ms, 2_000_000);
    assert_eq!(history.header(&base).unwrap().at_ms, 2_000_000);
    // A time between the commit and the copy leads to that commit, also once the base alone is left.
    history.delete(&captured).unwrap();
    assert_eq!(plan(&history, Target::Before(3_000_000)).unwrap().last(), last);
}
