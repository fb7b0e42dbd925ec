//! The newest end of an archive: damaged, behind a gap, or exactly where a file is that was put back.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{LONG, SERVICE, World, insert, quick};
use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::{Archive, Config, History, Kind, Level, State, Target, newest, plan_beside_newest};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// Nothing is merged.
fn unmerged() -> Config {
    Config { levels: Vec::new(), ..quick() }
}

/// A base and some segments after it. Answers the history.
fn archived(world: &World) -> History {
    let (store, archive) = world.begun(unmerged(), 3);
    for _ in 0..4 {
        insert(&store, 2, 100);
        archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    }
    let id = archive.history(SERVICE).unwrap().root().rsplit('/').next().unwrap().to_owned();
    drop(archive);
    store.abandon();
    History::new(world.place(), SERVICE, &id).unwrap()
}

/// The files of the newest segments as captured, newest first.
fn captured(world: &World, history: &History) -> Vec<(u64, PathBuf)> {
    let mut all: Vec<_> = history.level(Level::CAPTURED).unwrap();
    all.reverse();
    let path = |s: &monolite_archive::Segment| world.path("archive").join(history.segment_name(s.level, s.name));
    all.iter().map(|s| (s.name.last, path(s))).collect()
}

#[test]
fn a_damaged_newest_segment_is_told_and_a_new_base_leads_past_it() {
    let world = World::new();
    let history = archived(&world);
    let (last, file) = captured(&world, &history).remove(0);
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(40).unwrap();
    let store = world.store();
    assert_eq!(store.sequence(), last);
    let archive = world.keep(&store, unmerged());
    let status = archive.status_of(SERVICE).unwrap();
    assert_eq!((status.state, status.gaps), (State::Keeping, 1));
    assert!(status.last_error.unwrap().contains("newest segment"));
    insert(&store, 2, 100);
    archive.archived(SERVICE, last + 1).unwrap().wait(LONG).unwrap();
    world.assert_whole(&archive, &store);
    assert!(archive.status_of(SERVICE).unwrap().last_base.unwrap() >= last);
    drop(archive);
    store.abandon();
    let store = world.store();
    let archive = world.keep(&store, unmerged());
    assert_eq!(archive.status_of(SERVICE).unwrap().gaps, 0, "it is not told again");
    world.assert_whole(&archive, &store);
}

#[test]
fn a_file_that_is_behind_a_damaged_newest_segment_is_behind() {
    let world = World::new();
    let (store, archive) = world.begun(unmerged(), 3);
    let files = ["Users.db", "Users.db-wal"];
    let kept = files.map(|name| std::fs::read(world.path(name)).unwrap());
    drop(archive);
    store.abandon();
    let history = archived(&world);
    for (name, bytes) in files.iter().zip(kept) {
        std::fs::write(world.path(name), bytes).unwrap();
    }
    for gone in ["Users.db.mark", "Users.db-shm"] {
        let _ = std::fs::remove_file(world.path(gone));
    }
    let all = captured(&world, &history);
    for (_, file) in &all {
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(40).unwrap();
    }
    let store = world.store();
    let archive = Archive::start(world.place(), unmerged()).unwrap();
    let refused = archive.keep(SERVICE, &store, &world.scratch()).unwrap_err();
    assert_eq!((refused.kind(), refused.sides().unwrap().archive), (Kind::Behind, all[0].0), "{refused}");
}

#[test]
fn the_newest_commit_is_known_behind_a_gap() {
    let world = World::new();
    let history = archived(&world);
    let all = captured(&world, &history);
    let ((last, _), (_, between), (before, _)) = (&all[0], &all[1], &all[2]);
    std::fs::remove_file(between).unwrap();
    let (plan, found) = plan_beside_newest(&history, Target::Sequence(*before)).unwrap();
    assert_eq!((plan.last(), found.sequence), (*before, *last));
    assert!(found.no_way.unwrap().contains("are missing"));
    assert_eq!(newest(&history).unwrap(), Some((*last, found.at_ms)));
}

#[test]
fn an_idle_file_that_was_put_back_as_it_was_is_served_and_goes_on() {
    let world = World::new();
    archived(&world);
    let copy = |from: &str, to: &str| {
        std::process::Command::new("cp").args(["-a", "--"]).args([world.path(from), world.path(to)]).status().unwrap()
    };
    for name in ["Users.db", "Users.db-wal", "Users"] {
        assert!(copy(name, &format!("{name}.kept")).success());
    }
    // Another run changes the archive, not the file.
    let store = world.store();
    let archive = world.keep(&store, unmerged());
    let before = archive.status_of(SERVICE).unwrap().last_base_ms;
    archive.begin_base(SERVICE).unwrap();
    assert!(archive.watch(SERVICE, LONG, |s| s.last_base_ms > before && s.copying.is_none()).unwrap());
    drop(archive);
    store.abandon();
    std::fs::remove_dir_all(world.scratch()).unwrap();
    for name in ["Users.db", "Users.db-wal", "Users"] {
        assert!(copy(&format!("{name}.kept"), &format!("{name}.back")).success());
        std::fs::rename(world.path(&format!("{name}.back")), world.path(name)).unwrap();
    }
    let (_store, archive) = world.begun(Config { interval: Duration::from_millis(1), ..unmerged() }, 2);
    assert_eq!(archive.status_of(SERVICE).unwrap().gaps, 0);
}

#[test]
fn a_file_that_was_put_back_is_refused_and_one_that_went_on_without_its_archive_gets_a_base() {
    let world = World::new();
    let (store, archive) = world.begun(quick(), 10);
    store.close().unwrap();
    drop(archive);
    let copy = world.path("copy.db");
    std::fs::copy(world.db(), &copy).unwrap();
    let put_back = || {
        for suffix in ["-wal", "-shm", ".mark"] {
            let mut name = world.db().into_os_string();
            name.push(suffix);
            let _ = std::fs::remove_file(name);
        }
        std::fs::copy(&copy, world.db()).unwrap();
    };

    // It goes on, and is put back.
    let store = world.store();
    let archive = world.keep(&store, quick());
    for _ in 0..3 {
        insert(&store, 10, 100);
    }
    let archived = store.sequence();
    world.assert_whole(&archive, &store);
    store.close().unwrap();
    drop(archive);
    put_back();
    let store = world.store();
    let archive = Archive::start(world.place(), quick()).unwrap();
    let behind = archive.keep(SERVICE, &store, &world.scratch()).unwrap_err();
    assert_eq!(behind.kind(), Kind::Behind);
    for words in [format!("commit {archived}"), format!("commit {}", store.sequence()), "20".to_owned()] {
        assert!(behind.to_string().contains(&words), "{behind}");
    }

    // It writes as much as was lost, without an archive: the same number, another commit.
    insert(&store, 1, 100);
    store.close().unwrap();
    let store = world.store();
    while store.sequence() < archived {
        insert(&store, 1, 100);
    }
    store.close().unwrap();
    let store = world.store();
    let apart = archive.keep(SERVICE, &store, &world.scratch()).unwrap_err();
    assert_eq!(apart.kind(), Kind::Apart, "{apart}");
    // One more, and the WAL has the commit where they parted.
    insert(&store, 1, 100);
    let apart = archive.keep(SERVICE, &store, &world.scratch());
    let stopped = |s: &monolite_archive::Status| matches!(&s.state, State::Stopped(_));
    assert!(apart.is_err() || archive.watch(SERVICE, LONG, stopped).unwrap());
}

#[test]
fn a_panic_while_commits_are_captured_is_a_gap_that_a_new_base_closes() {
    let world = World::new();
    let armed = Arc::new(AtomicBool::new(false));
    let once = armed.clone();
    let place = Faulty::new(world.place(), move |step, name| {
        let hit = step == Step::Create && name.contains("/ltx/0/") && once.swap(false, SeqCst);
        assert!(!hit, "planned");
        None
    });
    let archive = Archive::start(Arc::new(place), unmerged()).unwrap();
    let store = world.store();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    insert(&store, 3, 100);
    world.assert_whole(&archive, &store);
    armed.store(true, SeqCst);
    insert(&store, 2, 100);
    assert!(archive.watch(SERVICE, LONG, |status| status.gaps == 1).unwrap(), "{:?}", archive.status());
    assert!(!armed.load(SeqCst));
    insert(&store, 2, 100);
    world.assert_whole(&archive, &store);
    let status = archive.status_of(SERVICE).unwrap();
    assert_eq!((status.state, status.gaps), (State::Keeping, 1));
}
