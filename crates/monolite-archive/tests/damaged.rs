//! A damaged segment under a running archive: it is told, and nothing waits for it.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{LONG, SERVICE, World, assert_same, insert, quick};
use monolite_archive::{Config, Level, Status, Target};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What is told of services.
fn telling(config: Config) -> (Config, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    let tell = move |_: &str, what: &str| hears.lock().unwrap().push(what.to_owned());
    (Config { tell: Some(Arc::new(tell)), ..config }, told)
}

#[test]
fn a_segment_that_is_cut_short_under_a_running_archive_holds_nothing_up() {
    holds_nothing_up(|path| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    });
}

#[test]
fn a_segment_that_is_deleted_under_a_running_archive_holds_nothing_up() {
    holds_nothing_up(|path| std::fs::remove_file(path).unwrap());
}

fn holds_nothing_up(harm: fn(&Path)) {
    let world = World::new();
    let levels = vec![Duration::from_millis(30), Duration::from_secs(3600)];
    let (config, told) = telling(Config { levels, ..quick() });
    let (store, archive) = world.begun(config, 3);
    let history = archive.history(SERVICE).unwrap();
    let level = |n: u8| history.level(Level::new(n).unwrap()).unwrap();
    let commit = || {
        insert(&store, 3, 100);
        archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    };
    // One of three that are not merged yet, in its middle.
    let rest = archive.rest(SERVICE, LONG).unwrap();
    (0..2).for_each(|_| commit());
    let cut = level(0).into_iter().find(|s| s.name.last == store.sequence()).unwrap();
    let path = world.path("archive").join(history.segment_name(cut.level, cut.name));
    harm(&path);
    commit();
    drop(rest);
    // The gap is told, and a new base leads past it.
    assert!(archive.watch(SERVICE, LONG, |s| s.gaps == 1).unwrap(), "{:?}", archive.status());
    let past = |s: &Status| s.last_base.is_some_and(|last| last > cut.name.last);
    assert!(archive.watch(SERVICE, LONG, past).unwrap(), "{:?}", archive.status());
    assert!(told.lock().unwrap().iter().any(|text| text.contains(&cut.to_string())), "{:?}", told.lock().unwrap());
    // Merging goes on behind it, and what was merged is forgotten.
    let goes_on = || level(1).iter().any(|s| s.name.first > cut.name.last);
    let forgotten = || {
        let ends: Vec<u64> = level(1).iter().filter(|s| s.name.first > cut.name.last).map(|s| s.name.last).collect();
        ends.iter().any(|end| !level(0).iter().any(|s| s.name.last > cut.name.last && s.name.last < *end))
    };
    let until = Instant::now() + LONG;
    while !(goes_on() && forgotten()) {
        assert!(Instant::now() < until, "{:?} {:?}", level(0), archive.status());
        commit();
    }
    // So does what an operator asks for.
    archive.begin_base(SERVICE).unwrap();
    let asked = store.sequence();
    assert!(archive.watch(SERVICE, LONG, |s| s.last_base.is_some_and(|last| last >= asked)).unwrap());
    assert_same(&world.restore(&archive, Target::Latest).unwrap(), &world.db());
    assert_eq!(archive.status_of(SERVICE).unwrap().gaps, 1);
}

#[test]
fn an_archive_that_is_away_for_a_while_has_lost_nothing() {
    let world = World::new();
    let (config, told) = telling(Config { levels: vec![Duration::from_millis(30)], ..quick() });
    let store = world.store();
    let archive = world.keep(&store, config);
    world.assert_whole(&archive, &store);
    let rest = archive.rest(SERVICE, LONG).unwrap();
    for _ in 0..3 {
        insert(&store, 3, 100);
        archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    }
    // As where its disk is not mounted any more.
    let (folder, away) = (world.path("archive"), world.path("away"));
    std::fs::rename(&folder, &away).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let errors = archive.status_of(SERVICE).unwrap().errors;
    drop(rest);
    assert!(archive.watch(SERVICE, LONG, |s| s.errors > errors).unwrap(), "merging fails: {:?}", archive.status());
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    insert(&store, 3, 100);
    world.assert_whole(&archive, &store);
    let history = archive.history(SERVICE).unwrap();
    let until = Instant::now() + LONG;
    while history.level(Level::new(1).unwrap()).unwrap().is_empty() {
        assert!(Instant::now() < until, "{:?}", archive.status());
        insert(&store, 1, 100);
        archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    }
    assert_eq!(archive.status_of(SERVICE).unwrap().gaps, 0, "{:?}", told.lock().unwrap());
}
