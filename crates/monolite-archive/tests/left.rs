//! Who waits for a commit waits in the history that it was made in: over the end of a store, and over a change of its file.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{LONG, SERVICE, World, insert, open, quick};
use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::{Archive, Check, Config, Error, History, Kind, State, Target, restore};
use monolite_store::{Store, maintain};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// Nothing is merged.
fn unmerged() -> Config {
    Config { levels: Vec::new(), ..quick() }
}

/// A store all of whose commits but the last are archived, since the place takes nothing from then on.
fn cut_off(world: &World) -> (Store, Archive, Arc<AtomicBool>) {
    let (place, down) = world.picky_place();
    let store = world.store();
    let archive = Archive::start(place, unmerged()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    for _ in 0..2 {
        insert(&store, 3, 100);
        archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    }
    world.assert_whole(&archive, &store);
    down.store(true, SeqCst);
    insert(&store, 1, 100);
    assert!(archive.watch(SERVICE, LONG, |s| s.spooled.0 == 1).unwrap());
    (store, archive, down)
}

#[test]
fn who_waits_while_the_store_ends_is_told_once_what_is_on_its_way_is_there() {
    let world = World::new();
    let (store, archive, down) = cut_off(&world);
    let last = store.sequence();
    let waits = archive.archived(SERVICE, last).unwrap();
    store.close().unwrap();
    assert!(archive.watch(SERVICE, LONG, |s| s.state == State::Ended).unwrap());
    down.store(false, SeqCst);
    waits.wait(LONG).unwrap();
    assert_eq!(archive.archived(SERVICE, last + 1).unwrap().wait(LONG).unwrap_err().kind(), Kind::Stopped);
}

#[test]
fn a_commit_that_was_left_behind_counts_where_its_own_history_has_it() {
    let world = World::new();
    let (store, archive, down) = cut_off(&world);
    let last = store.sequence();
    let id = archive.history(SERVICE).unwrap().root().rsplit('/').next().unwrap().to_owned();
    let waits = archive.archived(SERVICE, last).unwrap();
    store.close().unwrap();
    assert!(!archive.leave(SERVICE, Duration::from_millis(1)), "one is in the spool only");
    assert_eq!(waits.wait(LONG).unwrap_err().kind(), Kind::Stopped);
    // Nobody keeps the service now; what was archived still was.
    archive.archived(SERVICE, last - 1).unwrap().wait(LONG).unwrap();
    assert!(archive.archived(SERVICE, last).unwrap().wait(LONG).is_err());

    // The file as it was two commits before takes its place, numbered above it.
    let old = History::new(world.place(), SERVICE, &id).unwrap();
    let (path, target) = (world.path("Back.db"), Target::Sequence(last - 2));
    restore(&old, target, &path, Check::Full, &mut |_| ControlFlow::Continue(())).unwrap();
    let fork = maintain::fork(&path, last, 0).unwrap();
    down.store(false, SeqCst);
    let store = open(&path);
    archive.keep(SERVICE, &store, &world.path("Back")).unwrap();
    insert(&store, 1, 100);
    archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    assert!(store.left_behind(last) && store.left_behind(last - 1) && !store.left_behind(last - 2));
    assert!(!store.left_behind(fork.sequence));
    for commit in [last - 2, last - 1, fork.sequence] {
        archive.archived(SERVICE, commit).unwrap().wait(LONG).unwrap();
    }
    assert!(
        archive.archived(SERVICE, last).unwrap().wait(LONG).is_err(),
        "the next history is further, and has it not"
    );

    // A process that knows only the file.
    drop(archive);
    let archive = Archive::start(world.place(), quick()).unwrap();
    archive.keep(SERVICE, &store, &world.path("Back")).unwrap();
    let unknown = archive.archived(SERVICE, last - 1).err().unwrap();
    assert!(unknown.to_string().contains("left behind"), "{unknown}");
    archive.archived(SERVICE, last - 2).unwrap().wait(LONG).unwrap();
}

/// Copies a closed store's file.
fn copy(from: &Path, to: &Path) {
    for end in ["", "-wal"] {
        let named = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        if named(from).exists() {
            std::fs::copy(named(from), named(to)).unwrap();
        }
    }
}

#[test]
fn one_whose_archive_never_answered_has_not_all_archived_also_when_its_service_is_further() {
    let world = World::new();
    let store = world.store();
    insert(&store, 3, 100);
    store.close().unwrap();
    let next = ["Next.db", "Third.db"].map(|name| world.path(name));
    next.iter().for_each(|next| copy(&world.db(), next));

    let away = Arc::new(AtomicBool::new(true));
    let is_away = away.clone();
    let fails =
        move |_: Step, _: &str| is_away.load(SeqCst).then(|| Error::new(Kind::Unreachable, "it does not answer"));
    let store = world.store();
    let archive = Archive::start(Arc::new(Faulty::new(world.place(), fails)), unmerged()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    (0..2).for_each(|_| insert(&store, 3, 100));
    let lost = store.sequence();
    store.close().unwrap();
    assert!(!archive.leave(SERVICE, Duration::ZERO), "the place was never asked");
    assert!(archive.archived(SERVICE, lost).unwrap().wait(LONG).is_err());

    away.store(false, SeqCst);
    let mut last = lost;
    for next in next {
        maintain::fork(&next, last, 0).unwrap();
        let store = open(&next);
        archive.keep(SERVICE, &store, &next.with_extension("scratch")).unwrap();
        insert(&store, 1, 100);
        last = store.sequence();
        archive.archived(SERVICE, last).unwrap().wait(LONG).unwrap();
        assert!(archive.archived(SERVICE, lost).unwrap().wait(LONG).is_err(), "it is in the first file only");
        store.close().unwrap();
        assert!(archive.leave(SERVICE, LONG), "all of it is there");
    }
    assert!(archive.archived(SERVICE, lost).unwrap().wait(LONG).is_err());
}
