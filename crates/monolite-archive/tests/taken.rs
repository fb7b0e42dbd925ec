//! A name that is taken already when a segment is put: by an earlier try of the same, as a rule, and what else it may be.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{LONG, SERVICE, World, insert, quick};
use monolite_archive::ltx::Header;
use monolite_archive::place::Folder;
use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::{Archive, Config, Error, History, Kind, Level, Place, Segment, SegmentName, State, carry_spool};
use monolite_store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

fn unmerged() -> Config {
    Config { levels: Vec::new(), ..quick() }
}

/// Writes a segment anew as somebody else would have: a moment before, and each page as this makes it.
fn rewrite(history: &History, segment: &Segment, to: Option<u64>, change: impl Fn(&mut [u8])) {
    let mut decoder = history.read(segment, 1 << 20).unwrap();
    let mut pages = Vec::new();
    while let Some(number) = decoder.next().unwrap() {
        let mut page = decoder.page().to_vec();
        change(&mut page);
        pages.push((number, page));
    }
    let header = decoder.header();
    let header = match to {
        Some(commit) => Header { first: commit, last: commit, ..header },
        None => {
            history.delete(segment).unwrap();
            Header { at_ms: header.at_ms - 1, ..header }
        }
    };
    let mut writing = history.write(segment.level, header).unwrap();
    pages.iter().for_each(|(number, page)| writing.page(*number, page).unwrap());
    writing.finish().unwrap();
}

fn captured(history: &History, name: &str) -> Segment {
    let all = history.level(Level::CAPTURED).unwrap();
    *all.iter().find(|s| name.ends_with(&s.name.to_string())).unwrap()
}

/// What has just got its name is another one's, and whoever put it does not know that it got it.
fn put_by_another(place: &Arc<dyn Place>, name: &str, change: fn(&mut [u8])) -> Error {
    let history = History::new(place.clone(), SERVICE, name.split('/').nth(1).unwrap()).unwrap();
    rewrite(&history, &captured(&history, name), None, change);
    Error::new(Kind::OutcomeUnknown, "no answer")
}

/// How the next segment comes to the place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Near,
    Spool,
}

/// A store whose next segment finds its own name taken, by one of the same commits and size, with pages that this changed.
fn taken(world: &World, way: Way, change: fn(&mut [u8])) -> (Store, Archive) {
    let (armed, steps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (is_armed, place) = (armed.clone(), world.place());
    let judge = move |step: Step, name: &str| {
        if !is_armed.load(SeqCst) || !name.contains("/ltx/0/") {
            return None;
        }
        match (step, way, steps.load(SeqCst)) {
            (Step::Create, Way::Spool, 0) => {
                steps.store(1, SeqCst);
                Some(Error::new(Kind::Unreachable, "not now"))
            }
            (Step::Finished, ..) => {
                is_armed.store(false, SeqCst);
                Some(put_by_another(&place, name, change))
            }
            _ => None,
        }
    };
    let store = world.store();
    insert(&store, 30, 200);
    let archive = Archive::start(Arc::new(Faulty::new(world.place(), judge)), unmerged()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    world.assert_whole(&archive, &store);
    armed.store(true, SeqCst);
    update(&store);
    (store, archive)
}

/// A commit that leaves the file as large as it was.
fn update(store: &Store) {
    store.write_blocking(|tx| tx.execute("UPDATE t SET v = ?1 WHERE id = 7", [vec![9u8; 200]])).unwrap();
}

fn assert_stopped(store: &Store, archive: &Archive, case: &str) {
    let last = store.sequence();
    let stopped = archive.watch(SERVICE, LONG, |s| matches!(s.state, State::Stopped(_)) || s.archived >= last);
    assert!(stopped.unwrap(), "{case}: {:?}", archive.status());
    let State::Stopped(why) = archive.status_of(SERVICE).unwrap().state else { panic!("{case}: it counted") };
    assert!(why.contains("other pages"), "{case}: {why}");
    let refused = store.write_blocking(|tx| tx.execute("DELETE FROM t", [])).unwrap_err();
    assert!(refused.to_string().contains("is not archived any more"), "{case}: {refused}");
}

#[test]
fn by_the_same_commits_with_other_pages_it_is_another_programs() {
    for way in [Way::Near, Way::Spool] {
        let world = World::new();
        let (store, archive) = taken(&world, way, |page| page[2_000] ^= 1);
        assert_stopped(&store, &archive, &format!("{way:?}"));
        assert!(archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).is_err());
    }
}

#[test]
fn by_the_same_pages_at_another_moment_it_is_its_own() {
    for way in [Way::Near, Way::Spool] {
        let world = World::new();
        let (store, archive) = taken(&world, way, |_| ());
        archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
        update(&store);
        world.assert_whole(&archive, &store);
        let status = archive.status_of(SERVICE).unwrap();
        assert_eq!((status.gaps, status.state, status.spooled.0), (0, State::Keeping, 0), "{way:?}");
    }
}

/// A store one of whose segments waits in the spool, and what has it taken no segment.
fn waiting(world: &World, config: Config) -> (Store, Archive, String) {
    let (place, down) = world.picky_place();
    let store = world.store();
    insert(&store, 30, 200);
    let archive = Archive::start(place, config).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    world.assert_whole(&archive, &store);
    down.store(true, SeqCst);
    update(&store);
    assert!(archive.watch(SERVICE, LONG, |s| s.spooled.0 == 1).unwrap(), "{:?}", archive.status());
    let id = archive.history(SERVICE).unwrap().root().rsplit('/').next().unwrap().to_owned();
    (store, archive, id)
}

#[test]
fn by_another_one_while_what_waits_is_carried_that_is_refused() {
    for (change, carried) in [((|page| page[2_000] ^= 1) as fn(&mut [u8]), Err(Kind::Apart)), (|_| (), Ok(1))] {
        let world = World::new();
        let (store, archive, id) = waiting(&world, unmerged());
        drop(archive);
        store.abandon();
        let place = world.place();
        let judge = move |step: Step, name: &str| {
            (step == Step::Finished && name.contains("/ltx/0/")).then(|| put_by_another(&place, name, change))
        };
        let history = History::new(Arc::new(Faulty::new(world.place(), judge)), SERVICE, &id).unwrap();
        assert_eq!(carry_spool(&history, &id, &world.scratch()).map_err(|e| e.kind()), carried);
    }
}

#[test]
fn in_the_spool_by_other_pages_it_is_another_programs() {
    let world = World::new();
    let (store, archive, id) = waiting(&world, Config { now: Arc::new(|| 1_000_000_000), ..unmerged() });
    // Another program that has the same folder was first.
    let spool = History::new(Arc::new(Folder::open(world.scratch()).unwrap()), "spool", &id).unwrap();
    let last = store.sequence();
    let name = SegmentName { first: last, last }.to_string();
    rewrite(&spool, &captured(&spool, &name), Some(last + 1), |page| page[2_000] ^= 1);
    update(&store);
    assert_stopped(&store, &archive, "spool");
}
