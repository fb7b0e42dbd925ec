//! A process that ends right after its start leaves a history that goes on: no gap, no new base.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{LONG, SERVICE, World, insert, open_newer, quick};
use monolite_archive::place::Folder;
use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::{Archive, Config, Error, History, Kind, State, carry_spool, is_of_another, newest};
use monolite_store::rusqlite::Connection;
use monolite_store::{Kind as StoreKind, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// Captures when it is asked to, and not before.
fn when_asked() -> Config {
    Config { interval: Duration::from_secs(3600), ..quick() }
}

/// Copies the whole WAL into the file, so that the next commit may start it over.
fn copied(world: &World) {
    let c = Connection::open(world.db()).unwrap();
    c.set_db_config(monolite_store::rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    let (frames, copied): (i64, i64) =
        c.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |r| Ok((r.get(1)?, r.get(2)?))).unwrap();
    assert_eq!(frames, copied);
}

/// The generation of the WAL.
fn salts(world: &World) -> Vec<u8> {
    std::fs::read(world.path("Users.db-wal")).unwrap()[16..24].to_vec()
}

/// A store all of whose commits are archived, with a base, and that ended as by a kill. Answers its last commit and that of
/// its base.
fn archived(world: &World) -> (u64, Option<u64>) {
    let (store, archive) = world.begun(when_asked(), 3);
    let base = archive.status_of(SERVICE).unwrap().last_base;
    let last = store.sequence();
    drop(archive);
    store.abandon();
    (last, base)
}

/// All is archived, without a gap, and the base is still the one that was.
fn goes_on(world: &World, archive: &Archive, store: &Store, base: Option<u64>) {
    archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    let status = archive.status_of(SERVICE).unwrap();
    assert_eq!((status.gaps, &status.state), (0, &State::Keeping), "{status:?}");
    assert_eq!(status.last_base, base, "no new base was needed: {status:?}");
    world.assert_whole(archive, store);
}

#[test]
fn a_kill_after_the_first_commit_of_a_restart_that_started_the_wal_over_is_no_gap() {
    let world = World::new();
    let (last, base) = archived(&world);
    // What the last run left is released though nothing is written, so the next commit starts the WAL over.
    let store = world.store();
    let archive = world.keep(&store, when_asked());
    let released = archive.watch(SERVICE, LONG, |s| s.released == last).unwrap();
    assert!(released, "{:?}", archive.status());
    copied(&world);
    let before = salts(&world);
    insert(&store, 2, 100);
    assert_ne!(salts(&world), before, "the WAL was started over");
    assert!(archive.status_of(SERVICE).unwrap().archived < store.sequence());
    drop(archive);
    store.abandon();
    // The WAL begins with the next commit, of another writer than the archive's last.
    let store = world.store();
    let archive = world.keep(&store, when_asked());
    goes_on(&world, &archive, &store, base);
}

#[test]
fn a_wal_that_was_emptied_while_nobody_served_is_no_gap() {
    let world = World::new();
    let (_, base) = archived(&world);
    // An operator's sqlite3 copies the WAL and deletes it when it ends.
    let c = Connection::open(world.db()).unwrap();
    let rows: u64 = c.query_row("SELECT count(*) FROM t", [], |r| r.get(0)).unwrap();
    drop(c);
    assert_eq!(rows, 3);
    assert!(!world.path("Users.db-wal").exists());
    for _ in 0..2 {
        let store = world.store();
        let archive = world.keep(&store, when_asked());
        insert(&store, 2, 100);
        drop(archive);
        store.abandon();
    }
    let store = world.store();
    let archive = world.keep(&store, when_asked());
    goes_on(&world, &archive, &store, base);
}

#[test]
fn commits_of_two_runs_in_one_capture_go_on_from_the_first_ones_writer() {
    let world = World::new();
    let (store, archive) = world.begun(when_asked(), 3);
    let base = archive.status_of(SERVICE).unwrap().last_base;
    copied(&world);
    let before = salts(&world);
    insert(&store, 2, 100);
    assert_ne!(salts(&world), before, "the WAL was started over");
    drop(archive);
    store.abandon();
    let store = world.store();
    insert(&store, 2, 100);
    let archive = world.keep(&store, when_asked());
    goes_on(&world, &archive, &store, base);
}

#[test]
fn what_no_opening_vouches_for_is_a_gap() {
    let world = World::new();
    let (last, _) = archived(&world);
    drop(Connection::open(world.db()).unwrap().query_row("SELECT count(*) FROM t", [], |r| r.get::<_, u64>(0)));
    let store = world.store();
    insert(&store, 2, 100); // not archived: whoever opened it noted nothing
    store.abandon();
    let store = world.store();
    let archive = world.keep(&store, quick());
    archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    let healed = archive.watch(SERVICE, LONG, |s| s.gaps == 1 && s.last_base == Some(last + 1)).unwrap();
    assert!(healed, "{:?}", archive.status());
    world.assert_whole(&archive, &store);
    assert_eq!(archive.status_of("Nobody").unwrap_err().kind(), Kind::Missing);
}

/// A file of two commits ago, whose WAL is as it was then.
fn put_back(world: &World) {
    let files = ["Users.db", "Users.db-wal"];
    let (store, archive) = world.begun(quick(), 3);
    let kept = files.map(|name| std::fs::read(world.path(name)).unwrap());
    insert(&store, 2, 100);
    insert(&store, 2, 100);
    world.assert_whole(&archive, &store);
    drop(archive);
    store.abandon();
    for (name, bytes) in files.iter().zip(kept) {
        std::fs::write(world.path(name), bytes).unwrap();
    }
    for gone in ["Users.db.mark", "Users.db-shm"] {
        let _ = std::fs::remove_file(world.path(gone));
    }
}

#[test]
fn a_file_put_back_is_refused_though_migrations_of_a_newer_program_raise_its_number() {
    for more in 0..=3 {
        let world = World::new();
        put_back(&world);
        // And again: what the first opening changed does not make it another one.
        for again in 0..2 {
            let store = open_newer(&world.db(), more);
            let archive = Archive::start(world.place(), quick()).unwrap();
            let refused = archive.keep(SERVICE, &store, &world.scratch()).expect_err("it is behind");
            assert!(matches!(refused.kind(), Kind::Behind | Kind::Apart), "{more} {again}: {refused}");
            drop(archive);
            store.close().unwrap();
        }
    }
}

#[test]
fn migrations_of_a_newer_program_go_on_from_the_archive() {
    let world = World::new();
    let (_, base) = archived(&world);
    let store = open_newer(&world.db(), 2);
    let archive = world.keep(&store, when_asked());
    insert(&store, 2, 100);
    goes_on(&world, &archive, &store, base);
    drop(archive);
    store.close().unwrap();
    let store = open_newer(&world.db(), 3);
    let archive = world.keep(&store, when_asked());
    goes_on(&world, &archive, &store, base);
}

#[test]
fn a_file_put_back_while_the_place_is_down_is_not_written_to_once_that_answers() {
    for written in [1, 5] {
        let world = World::new();
        put_back(&world);
        let down = Arc::new(AtomicBool::new(true));
        let is_down = down.clone();
        let fails = move |_: Step, _: &str| is_down.load(SeqCst).then(|| Error::new(Kind::Unreachable, "it is down"));
        let place = Arc::new(Faulty::new(world.place(), fails));
        let store = world.store();
        let archive = Archive::start(place, quick()).unwrap();
        archive.keep(SERVICE, &store, &world.scratch()).unwrap();
        assert_eq!(archive.status_of(SERVICE).unwrap().state, State::Opening);
        for _ in 0..written {
            insert(&store, 1, 100); // an archive that is down keeps nobody from working
        }
        down.store(false, SeqCst);
        assert!(archive.watch(SERVICE, LONG, |s| matches!(s.state, State::Stopped(_))).unwrap());
        let refused = store.write_blocking(|tx| tx.execute("DELETE FROM t", [])).unwrap_err();
        assert_eq!(refused.kind(), StoreKind::Full);
        assert!(refused.to_string().contains("put back from an older copy"), "{refused}");
        let rows = |s: &monolite_store::Snapshot<'_>| s.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0));
        assert_eq!(store.read_blocking(rows).unwrap(), 3 + written);
        drop(archive);
        store.close().unwrap();
        let store = world.store();
        let archive = Archive::start(world.place(), quick()).unwrap();
        let refused = archive.keep(SERVICE, &store, &world.scratch()).unwrap_err();
        assert!(matches!(refused.kind(), Kind::Behind | Kind::Apart), "{refused}");
    }
}

/// A store whose last two commits wait in its spool, and a copy of it of before.
fn cut_off(world: &World, copy: &World) -> History {
    let (last, _) = archived(world);
    let down = Arc::new(AtomicBool::new(false));
    let is_down = down.clone();
    let fails = move |_: Step, _: &str| is_down.load(SeqCst).then(|| Error::new(Kind::Unreachable, "it is cut off"));
    let store = world.store();
    insert(&store, 1, 100);
    let archive = Archive::start(Arc::new(Faulty::new(world.place(), fails)), quick()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    archive.archived(SERVICE, last + 1).unwrap().wait(LONG).unwrap();
    for name in ["Users.db", "Users.db-wal"] {
        std::fs::copy(world.path(name), copy.path(name)).unwrap();
    }
    down.store(true, SeqCst);
    for spooled in 1..=2 {
        insert(&store, 1, 100);
        assert!(archive.watch(SERVICE, LONG, |s| s.spooled.0 == spooled).unwrap());
    }
    let id = archive.history(SERVICE).unwrap().root().rsplit('/').next().unwrap().to_owned();
    drop(archive);
    store.abandon();
    History::new(world.place(), SERVICE, &id).unwrap()
}

/// Serves the copy with the archive of the first, until all that was written is archived.
fn goes_on_apart(world: &World, copy: &World, write: impl FnOnce(&Store)) {
    let store = copy.store();
    let archive = Archive::start(world.place(), quick()).unwrap();
    archive.keep(SERVICE, &store, &copy.scratch()).unwrap();
    write(&store);
    archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    drop(archive);
    store.abandon();
}

#[test]
fn what_waits_is_not_joined_to_the_commits_of_another_writer() {
    let (world, copy) = (World::new(), World::new());
    let history = cut_off(&world, &copy);
    let id = history.root().rsplit('/').next().unwrap();
    let spool = History::new(Arc::new(Folder::open(world.scratch()).unwrap()), "spool", id).unwrap();
    goes_on_apart(&world, &copy, |store| insert(store, 1, 100));
    let store = world.store();
    let archive = Archive::start(world.place(), quick()).unwrap();
    let refused = archive.keep(SERVICE, &store, &world.scratch()).unwrap_err();
    assert_eq!((refused.kind(), spool.segments().unwrap().len()), (Kind::Apart, 2), "{refused}");
    drop(archive);
    store.abandon();
    let refused = carry_spool(&history, id, &world.scratch()).unwrap_err();
    assert_eq!((refused.kind(), spool.segments().unwrap().len()), (Kind::Apart, 2), "{refused}");
}

#[test]
fn what_waits_is_carried_though_the_same_folder_was_opened_again() {
    let (world, copy) = (World::new(), World::new());
    let history = cut_off(&world, &copy);
    let store = world.store();
    let (place, down) = world.picky_place();
    down.store(true, SeqCst);
    let archive = Archive::start(place, quick()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    drop(archive);
    store.abandon();
    let id = history.root().rsplit('/').next().unwrap();
    assert_eq!(carry_spool(&history, id, &world.scratch()).unwrap(), 2);
}

#[test]
fn what_waits_is_not_taken_for_archived_where_another_writer_went_further() {
    let (world, copy) = (World::new(), World::new());
    let history = cut_off(&world, &copy);
    let id = history.root().rsplit('/').next().unwrap();
    let spool = History::new(Arc::new(Folder::open(world.scratch()).unwrap()), "spool", id).unwrap();
    let last = spool.segments().unwrap().iter().map(|s| s.name.last).max().unwrap();
    let archived = newest(&history).unwrap().unwrap().0;
    assert!(!is_of_another(&history, id, &world.scratch(), last).unwrap());
    goes_on_apart(&world, &copy, |store| {
        while store.sequence() < last + 2 {
            insert(store, 1, 100);
        }
    });
    let others = newest(&history).unwrap().unwrap().0;
    assert!(archived < last && last < others);
    let refused = carry_spool(&history, id, &world.scratch()).unwrap_err();
    assert_eq!((refused.kind(), spool.segments().unwrap().len()), (Kind::Apart, 2), "{refused}");
    assert!(is_of_another(&history, id, &world.scratch(), last).unwrap());
    assert!(!is_of_another(&history, id, &copy.scratch(), others).unwrap());
}

#[test]
fn what_waits_and_was_carried_already_is_there_though_another_writer_went_on_from_it() {
    let (world, copy) = (World::new(), World::new());
    let history = cut_off(&world, &copy);
    let id = history.root().rsplit('/').next().unwrap();
    let folder = |world: &World| History::new(Arc::new(Folder::open(world.scratch()).unwrap()), "spool", id).unwrap();
    let spool = folder(&world);
    let last = spool.segments().unwrap().iter().map(|s| s.name.last).max().unwrap();
    assert_eq!(carry_spool(&history, id, &world.scratch()).unwrap(), 2);
    for name in ["Users.db", "Users.db-wal"] {
        std::fs::copy(world.path(name), copy.path(name)).unwrap();
    }
    goes_on_apart(&world, &copy, |store| insert(store, 1, 100));
    assert_eq!((carry_spool(&history, id, &world.scratch()).unwrap(), spool.segments().unwrap().len()), (0, 2));
    assert!(!is_of_another(&history, id, &world.scratch(), last).unwrap());
}
