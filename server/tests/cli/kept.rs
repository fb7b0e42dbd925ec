//! The file that a rewind replaced is not removed while it has commits that the archive has not, whatever cut the rewind off.

use crate::rewinds::{archived_again, post, rewind, rewound};
use crate::world::{SERVE, World};
use std::path::PathBuf;

const ONLY_THERE: &str = "are in the replaced file of Documents only";

/// The archive of a world, whose disk may go away.
pub(crate) struct Archive(PathBuf, PathBuf);

impl Archive {
    pub(crate) fn of(world: &World) -> Self {
        Archive(world.data().join("archive"), world.folder.path().join("archive-away"))
    }

    pub(crate) fn take_away(&self) {
        std::fs::rename(&self.0, &self.1).unwrap();
        std::fs::write(&self.0, "").unwrap();
    }

    pub(crate) fn bring_back(&self) {
        std::fs::remove_file(&self.0).unwrap();
        std::fs::rename(&self.1, &self.0).unwrap();
    }
}

#[test]
fn a_replaced_file_with_commits_that_the_archive_has_not_is_not_removed() {
    let world = World::new();
    let server = world.serve();
    let token = rewound(&world, &server);
    world.run(&["backup", "mark", "before"]).good();
    let archive = Archive::of(&world);
    let bring_back = || {
        archive.bring_back();
        archived_again(&world);
    };
    let replaced = world.data().join("rewind/Documents/replaced");
    let forget = |more: &[&str]| world.run(&[&["rewind", "Documents", "--forget"], more].concat());
    archive.take_away();
    post(&server, &token, 2);
    world.run(&["rewind", "Documents", "--undo", "--yes"]).good();
    forget(&[]).bad(1, &["cannot be archived", "--forget --accept"]);
    assert!(replaced.is_dir());
    bring_back();
    // What waited in its spool is archived first.
    forget(&[]).good();
    assert!(!replaced.exists());
    // Of another one the spool is lost.
    rewind(&world, "here").good();
    archive.take_away();
    post(&server, &token, 3);
    world.run(&["rewind", "Documents", "--undo", "--yes"]).good();
    bring_back();
    std::fs::remove_dir_all(replaced.join("Documents/spool")).unwrap();
    forget(&[]).bad(2, &[ONLY_THERE]);
    rewind(&world, "here").bad(2, &[ONLY_THERE, "--undo"]);
    assert!(replaced.is_dir());
    forget(&["--accept"]).good();
    assert!(!replaced.exists());
    server.stop();
}

#[test]
fn a_kill_in_an_undo_without_the_archive_does_not_let_its_replaced_file_pass_for_archived() {
    let world = World::new();
    let server = world.serve();
    let token = rewound(&world, &server);
    server.stop();
    let mut command = world.command(&SERVE);
    command.env("MONOLITE_TEST_DIE_AT", "exchanged");
    let mut server = world.serve_with(command);
    let archive = Archive::of(&world);
    archive.take_away();
    post(&server, &token, 2);
    assert_ne!(world.run(&["rewind", "Documents", "--undo", "--yes"]).code, Some(0));
    assert!(!server.child.wait().unwrap().success());
    archive.bring_back();
    let server = world.serve();
    assert!(server.said.contains("is done"), "{}", server.said);
    archived_again(&world);
    let replaced = world.data().join("rewind/Documents/replaced");
    std::fs::remove_dir_all(replaced.join("Documents/spool")).unwrap();
    rewind(&world, "here").bad(2, &[ONLY_THERE, "--undo"]);
    assert!(replaced.is_dir());
    server.stop();
}

#[test]
fn what_an_undo_replaced_and_could_not_tidy_up_is_not_removed_either() {
    let world = World::new();
    let server = world.serve();
    let token = rewound(&world, &server);
    let (archive, replaced) = (Archive::of(&world), world.data().join("rewind/Documents/replaced"));
    archive.take_away();
    post(&server, &token, 2);
    // In the way of `replaced.json`.
    std::fs::create_dir(replaced.join("replaced.partial")).unwrap();
    world.run(&["rewind", "Documents", "--undo", "--yes"]).bad(1, &["the rewind is done", "replaced.json"]);
    let next = world.data().join("rewind/Documents/next");
    std::fs::remove_dir(next.join("replaced.partial")).unwrap();
    std::fs::remove_dir_all(next.join("Documents/spool")).unwrap();
    archive.bring_back();
    archived_again(&world);
    rewind(&world, "here").bad(2, &[ONLY_THERE, "--undo"]);
    assert!(replaced.is_dir() && !next.exists());
    server.stop();
}
