//! A store is kept no more, or its file is about to be replaced, while the archive is at work for it: nobody waits without a bound.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{LONG, SERVICE, World, insert, quick};
use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::{Archive, BASES, Error, Kind};
use monolite_store::{Error as StoreError, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Longer than each of the bounds, and by far shorter than the place is silent.
const BOUND: Duration = Duration::from_secs(25);

/// A store whose place stops answering when its base begins, which it has, until the sender is dropped. The receiver hears of
/// each base that begins after that one.
fn silent(world: &World) -> (Store, Archive, Receiver<()>, SyncSender<()>) {
    let ((enter, entered), (release, released)) = (sync_channel(8), sync_channel::<()>(0));
    let place = Faulty::new(world.place(), move |step, name| {
        if step == Step::Create && name.contains("/ltx/9/") {
            let _ = enter.try_send(());
            let _ = released.recv_timeout(2 * LONG);
        }
        None
    });
    let store = world.store();
    insert(&store, 10, 100);
    let archive = Archive::start(Arc::new(place), quick()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    entered.recv_timeout(LONG).unwrap();
    (store, archive, entered, release)
}

#[test]
fn a_base_that_takes_long_ends_when_it_is_to_rest_and_is_made_afterwards() {
    let world = World::new();
    let store = world.store();
    // Many pieces: 24 MB of which nothing is saved by compression.
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000) INSERT INTO t(v) SELECT randomblob(3000) FROM n";
    store.write_blocking::<_, StoreError, _>(move |tx| tx.execute(rows, [])).unwrap();
    let ((enter, entered), (pace, paced)) = (sync_channel(1), sync_channel::<()>(0));
    let place = Faulty::new(world.place(), move |step, name| {
        if step == Step::Write && name.contains("/ltx/9/") {
            let _ = enter.try_send(());
            let _ = paced.recv_timeout(Duration::from_millis(300)); // each piece takes so long
        }
        None
    });
    let archive = Archive::start(Arc::new(place), quick()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    entered.recv_timeout(LONG).unwrap();
    let rest = archive.rest(SERVICE, LONG).unwrap();
    drop(pace);
    let bases = || archive.history(SERVICE).unwrap().level(BASES).unwrap().len();
    assert_eq!((bases(), archive.status()[0].last_base, archive.status()[0].errors), (0, None, 0));
    archive.begin_base(SERVICE).unwrap();
    insert(&store, 10, 100);
    assert!(archive.watch(SERVICE, LONG, |status| status.captured >= store.sequence()).unwrap(), "commits go on");
    assert_eq!(bases(), 0, "it rests");
    drop(rest);
    world.assert_whole(&archive, &store);
}

/// A store that was left is kept once the place answers, and nothing is missing.
fn assert_is_kept_again(world: &World, archive: &Archive, store: &Store) {
    let until = Instant::now() + LONG;
    while let Err(e) = archive.keep(SERVICE, store, &world.scratch()) {
        assert!(matches!(e.kind(), Kind::Unreachable | Kind::Exists), "{e}");
        assert!(Instant::now() < until, "{e}");
        std::thread::yield_now();
    }
    insert(store, 10, 100);
    world.assert_whole(archive, store);
}

#[test]
fn a_place_that_never_answers_keeps_no_store_from_being_left() {
    let world = World::new();
    let (store, archive, _, release) = silent(&world);
    let began = Instant::now();
    let refused = archive.rest(SERVICE, Duration::from_millis(1)).err().unwrap();
    assert_eq!(refused.kind(), Kind::Unreachable, "{refused}");
    insert(&store, 10, 100);
    assert!(!archive.leave(SERVICE, Duration::from_millis(1)), "not all of it is archived");
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    // The same history is not kept twice.
    let twice = archive.keep(SERVICE, &store, &world.scratch()).unwrap_err();
    assert!(matches!(twice.kind(), Kind::Unreachable | Kind::Exists), "{twice}");
    drop(release);
    assert_is_kept_again(&world, &archive, &store);
}

/// What was put counts once the claim was looked at again; a store that is left in between has it in the place all the same.
#[test]
fn a_store_that_was_left_behind_a_put_is_kept_again() {
    let world = World::new();
    let ((enter, entered), (release, released)) = (sync_channel(1), sync_channel::<()>(0));
    let is_put = Arc::new(AtomicBool::new(false));
    let put = is_put.clone();
    let place = Faulty::new(world.place(), move |step, name| {
        if step == Step::Create && name.contains("/ltx/0/") {
            put.store(true, SeqCst);
        } else if step == Step::Read && name.ends_with(".next") && put.load(SeqCst) && enter.try_send(()).is_ok() {
            let _ = released.recv_timeout(LONG);
        }
        None
    });
    let store = world.store();
    let archive = Archive::start(Arc::new(place), quick()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    while entered.try_recv().is_err() {
        insert(&store, 10, 100);
    }
    archive.leave(SERVICE, Duration::from_millis(1));
    drop(release);
    assert_is_kept_again(&world, &archive, &store);
}

#[test]
fn a_place_that_never_answers_does_not_keep_the_archiver_from_ending() {
    let world = World::new();
    let (store, archive, _, release) = silent(&world);
    let began = Instant::now();
    archive.end();
    store.close().unwrap();
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    drop(release);
    drop(archive);
    let (store, archive) = (world.store(), Archive::start(world.place(), quick()).unwrap());
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    world.assert_whole(&archive, &store);
}

#[test]
fn a_base_that_is_asked_for_while_one_is_being_made_is_made_too() {
    let world = World::new();
    let (store, archive, entered, release) = silent(&world);
    insert(&store, 10, 100);
    archive.begin_base(SERVICE).unwrap();
    drop(release);
    assert!(entered.recv_timeout(LONG).is_ok(), "what was asked for is lost");
    let bases = || archive.history(SERVICE).unwrap().level(BASES).unwrap();
    assert!(archive.watch(SERVICE, LONG, |_| bases().len() == 2).unwrap(), "{:?}", bases());
    assert!(archive.watch(SERVICE, LONG, |status| status.copying.is_none()).unwrap());
    store.close().unwrap();
}

#[test]
fn commits_are_captured_while_the_first_claim_waits_for_the_place() {
    let world = World::new();
    let (away, is_away) = world.picky_place();
    is_away.store(true, SeqCst);
    let (store, archive) = (world.store(), Archive::start(away, quick()).unwrap());
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    insert(&store, 10, 100);
    let last = store.sequence();
    assert!(archive.watch(SERVICE, LONG, |status| status.captured >= last).unwrap());
    store.close().unwrap();
    drop(archive);
    // What waits in the spool is claimed for first.
    let store = world.store();
    let ((enter, entered), (release, released)) = (sync_channel(1), sync_channel::<()>(0));
    let place = Faulty::new(world.place(), move |step, name| {
        let is_part = std::thread::current().name().is_some_and(|name| name.starts_with("archive"));
        if step == Step::List && name.ends_with("/claims") && is_part {
            let _ = enter.try_send(());
            let _ = released.recv_timeout(2 * LONG);
        }
        None
    });
    let archive = Archive::start(Arc::new(place), quick()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    entered.recv_timeout(LONG).unwrap();
    insert(&store, 10, 100);
    let last = store.sequence();
    let are_captured = archive.watch(SERVICE, LONG, |status| status.captured >= last).unwrap();
    drop(release);
    assert!(are_captured, "{:?}", archive.status());
    world.assert_whole(&archive, &store);
}

#[test]
fn one_that_is_left_while_its_claim_waits_for_the_place_leaves_the_folder_to_the_next_file() {
    let world = World::new();
    let store = world.store();
    insert(&store, 10, 100);
    let ((enter, entered), (release, released)) = (sync_channel(1), sync_channel::<()>(0));
    let is_kept = Arc::new(AtomicBool::new(false));
    let (kept, mut began) = (is_kept.clone(), false);
    let place = Faulty::new(world.place(), move |step, name| {
        // Of those that list the claims only the one that claims is a part of the archiver.
        let is_part = std::thread::current().name().is_some_and(|name| name.starts_with("archive"));
        if step != Step::List || !name.ends_with("/claims") || !is_part {
            return None;
        }
        if !kept.load(SeqCst) {
            return Some(Error::new(Kind::Unreachable, "it does not answer"));
        }
        if !std::mem::replace(&mut began, true) {
            enter.send(()).unwrap();
            let _ = released.recv_timeout(2 * LONG);
        }
        None
    });
    let archive = Archive::start(Arc::new(place), quick()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    is_kept.store(true, SeqCst);
    let claims = archive.history(SERVICE).unwrap().name("claims");
    entered.recv_timeout(LONG).unwrap();
    assert!(!archive.leave(SERVICE, Duration::from_millis(1)));
    std::fs::rename(world.scratch(), world.path("before")).unwrap();
    std::fs::create_dir(world.scratch()).unwrap();
    drop(release);
    archive.end(); // waits for what is under way
    assert_eq!(std::fs::read_dir(world.scratch()).unwrap().count(), 0, "the folder is another file's");
    assert_eq!(world.place().list(&claims).unwrap(), []);
    store.close().unwrap();
}
