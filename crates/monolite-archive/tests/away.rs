//! A folder that goes away while it is archived into, or is emptied: nothing counts as archived that cannot be restored.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{LONG, SERVICE, World, insert, quick};
use monolite_archive::place::Folder;
use monolite_archive::{Archive, Kind, State};
use monolite_store::Store;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn begun(world: &World) -> (Store, Archive) {
    let place = Folder::open(world.path("archive")).unwrap().held().unwrap();
    let archive = Archive::start(Arc::new(place), quick()).unwrap();
    let store = world.store();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    insert(&store, 10, 100);
    world.assert_whole(&archive, &store);
    (store, archive)
}

/// A commit is not archived, and why is told.
fn assert_waits(store: &Store, archive: &Archive, why: &str) {
    insert(store, 10, 100);
    let told = archive.watch(SERVICE, LONG, |s| {
        s.state == State::Spooling && s.last_error.as_ref().is_some_and(|error| error.contains(why))
    });
    assert!(told.unwrap(), "{:?}", archive.status());
    let waits = archive.archived(SERVICE, store.sequence()).unwrap();
    assert_eq!(waits.wait(Duration::from_millis(50)).unwrap_err().kind(), Kind::Unreachable);
}

#[test]
fn an_archive_whose_disk_is_unmounted_waits_until_it_is_back() {
    let world = World::new();
    let (store, archive) = begun(&world);
    let (root, aside) = (world.path("archive"), world.path("aside"));
    std::fs::rename(&root, &aside).unwrap();
    assert_waits(&store, &archive, "is gone");
    assert!(!root.exists(), "a new archive was begun");
    std::fs::create_dir(&root).unwrap(); // as a mount point is
    assert_waits(&store, &archive, "is not the folder that was opened");
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "something was put beneath the mount");
    std::fs::remove_dir(&root).unwrap();
    std::fs::rename(&aside, &root).unwrap();
    world.assert_whole(&archive, &store);
}

#[test]
fn what_is_put_into_an_archive_that_was_emptied_does_not_count() {
    let world = World::new();
    let (store, archive) = begun(&world);
    let (root, aside) = (world.path("archive"), world.path("aside"));
    std::fs::create_dir(&aside).unwrap();
    move_all(&root, &aside);
    assert_waits(&store, &archive, "was emptied");
    move_all(&aside, &root);
    world.assert_whole(&archive, &store);
}

/// Moves what has a plain name, and what lies in a folder that is there already.
fn move_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let target = to.join(&name);
        if target.is_dir() { move_all(&entry.path(), &target) } else { std::fs::rename(entry.path(), target).unwrap() }
    }
}
