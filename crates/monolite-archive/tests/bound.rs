//! What counts at the bound and after it: writes that are refused or dropped, a place that takes something, a base that is sound.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{LONG, SERVICE, World, insert, quick};
use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::{Archive, AtBound, BASES, Config, Error, Kind, SegmentName, State, Target, verify};
use monolite_store::Kind as StoreKind;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

#[test]
fn at_the_bound_writes_are_refused_or_the_history_gets_a_gap_and_a_new_base() {
    for at_bound in [AtBound::Refuse, AtBound::Rebase] {
        let world = World::new();
        let down = Arc::new(AtomicBool::new(false));
        let is_down = down.clone();
        let place = Faulty::new(world.place(), move |_, _| {
            is_down.load(SeqCst).then(|| Error::new(Kind::Unreachable, "the place is down"))
        });
        let store = world.store();
        let config = Config { spool_bytes_max: 100_000, at_bound, ..quick() };
        let archive = Archive::start(Arc::new(place), config).unwrap();
        archive.keep(SERVICE, &store, &world.scratch()).unwrap();
        world.assert_whole(&archive, &store);
        let kept = store.sequence();
        down.store(true, SeqCst);
        let mut refused = None;
        for n in 0..2000u64 {
            let written = store.write_blocking(move |tx| {
                let noise: Vec<u8> = (0..5000u64).map(|i| ((i * i * (n + 7)) >> 3) as u8).collect();
                tx.execute("INSERT INTO t(v) VALUES (?1)", [noise])
            });
            match written {
                Ok(_) if archive.status()[0].state == State::Dropping => break,
                Ok(_) => {}
                Err(e) => {
                    refused = Some(e);
                    break;
                }
            }
            // In step: the bound is looked at when something is captured.
            let at_bound = |s: &monolite_archive::Status| matches!(s.state, State::Refusing | State::Dropping);
            assert!(archive.watch(SERVICE, LONG, |s| s.captured >= store.sequence() || at_bound(s)).unwrap());
        }
        let state = archive.status()[0].state.clone();
        match at_bound {
            AtBound::Refuse => {
                assert_eq!(state, State::Refusing);
                let e = refused.unwrap();
                assert_eq!(e.kind(), StoreKind::Full);
                assert!(e.to_string().contains("spool"), "{e}");
            }
            AtBound::Rebase => {
                assert_eq!(state, State::Dropping);
                assert!(refused.is_none());
                insert(&store, 10, 1000);
            }
        }
        down.store(false, SeqCst);
        assert!(archive.watch(SERVICE, LONG, |s| s.state == State::Keeping && s.spooled.0 == 0).unwrap());
        let wanted = store.sequence();
        assert!(archive.watch(SERVICE, LONG, |s| at_bound == AtBound::Refuse || s.last_base >= Some(wanted)).unwrap());
        insert(&store, 1, 100);
        world.assert_whole(&archive, &store);
        assert_eq!(archive.status()[0].gaps > 0, at_bound == AtBound::Rebase);
        let out = world.restore(&archive, Target::Sequence(kept)).unwrap();
        assert!(out.exists(), "what was kept before is still there");
    }
}

#[test]
fn a_place_that_lists_and_takes_nothing_is_not_taken_for_one_that_is_back() {
    let world = World::new();
    let full = Arc::new(AtomicBool::new(false));
    let is_full = full.clone();
    let place = Faulty::new(world.place(), move |step, _| {
        let takes = matches!(step, Step::Read | Step::List);
        (!takes && is_full.load(SeqCst)).then(|| Error::new(Kind::Full, "no room in the place"))
    });
    let store = world.store();
    let config = Config { spool_bytes_max: 50_000, at_bound: AtBound::Rebase, ..quick() };
    let archive = Archive::start(Arc::new(place), config).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    world.assert_whole(&archive, &store);
    full.store(true, SeqCst);
    for n in 0..1000u64 {
        let noise: Vec<u8> = (0..5000u64).map(|i| ((i * i * (n + 7)) >> 3) as u8).collect();
        let write = move |tx: &monolite_store::Tx<'_>| tx.execute("INSERT INTO t(v) VALUES (?1)", [&noise[..]]);
        store.write_blocking(write).unwrap();
        let captured = |s: &monolite_archive::Status| s.captured >= store.sequence() || s.state == State::Dropping;
        assert!(archive.watch(SERVICE, LONG, captured).unwrap());
        if archive.status()[0].state == State::Dropping {
            break;
        }
    }
    let before = archive.status().remove(0);
    assert_eq!((before.state, before.gaps), (State::Dropping, 1));
    // It is asked again and again, and lists what it has each time.
    assert!(archive.watch(SERVICE, LONG, |s| s.errors >= before.errors + 6).unwrap());
    let after = archive.status().remove(0);
    assert_eq!((after.state, after.gaps), (State::Dropping, 1), "{:?}", after.last_error);
    full.store(false, SeqCst);
    assert!(archive.watch(SERVICE, LONG, |s| s.state == State::Keeping).unwrap());
    let wanted = store.sequence();
    assert!(archive.watch(SERVICE, LONG, |s| s.last_base >= Some(wanted)).unwrap());
    world.assert_whole(&archive, &store);
}

#[test]
fn a_base_that_is_there_and_not_sound_does_not_count() {
    let world = World::new();
    let (store, archive) = world.begun(quick(), 10);
    insert(&store, 10, 100);
    let last = store.sequence();
    archive.archived(SERVICE, last).unwrap().wait(LONG).unwrap();
    let history = archive.history(SERVICE).unwrap();
    let name = history.segment_name(BASES, SegmentName { first: 1, last });
    // As an upload leaves it whose end a place lost.
    let whole = history.segments().unwrap().into_iter().find(|s| s.name.is_base()).unwrap();
    let mut half = Vec::new();
    let from = history.segment_name(whole.level, whole.name);
    history.place().read(&from, 0, whole.bytes as usize / 2, &mut half).unwrap();
    std::fs::write(world.path("archive").join(name), half).unwrap();
    archive.begin_base(SERVICE).unwrap();
    assert!(archive.watch(SERVICE, LONG, |s| s.last_base >= Some(last)).unwrap(), "{:?}", archive.status());
    let found = verify(&history, i64::MIN, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!((found.problems, found.last), (vec![], last));
    world.assert_whole(&archive, &store);
}
