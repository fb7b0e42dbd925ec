//! `check` and `backup copy`, while a server runs and writes, and without one.

use crate::world::World;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_copy_under_writes_is_a_folder_that_serves() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    let stop = AtomicBool::new(false);
    let copy = world.folder.path().join("copy");
    let copy_text = copy.to_str().unwrap();
    let (written, at_copy) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(server.request("POST", "/api/v1/documents", &token, "{\"a\":1}").0, 201);
                count += 1;
            }
            count
        });
        let count = "SELECT count(*) FROM documents";
        let mut before = 0;
        while before < 20 {
            before = world.value("Documents", count).as_u64().unwrap();
        }
        let out = world.run(&["backup", "copy", copy_text]).good();
        assert_eq!(out.matches("verified").count(), 6, "{out}");
        stop.store(true, Ordering::Relaxed);
        (writer.join().unwrap(), before)
    });
    assert!(world.run(&["check", copy_text]).good().contains("sound"));
    server.stop();
    let restored = World::new();
    std::fs::rename(&copy, restored.data()).unwrap();
    let server = restored.serve();
    assert_eq!(server.get("/api/v1/sessions/current", &token).0, 200, "the session is in the copy");
    let kept = restored.value("Documents", "SELECT count(*) FROM documents").as_u64().unwrap();
    assert!((at_copy..=written).contains(&kept), "{at_copy} <= {kept} <= {written}");
    server.stop();
}

#[test]
fn a_stopped_folder_is_copied_and_checked() {
    let world = World::new();
    world.admin("ann@example.org");
    let copy = world.folder.path().join("a b").join("copy");
    world.run(&["backup", "copy", copy.to_str().unwrap()]).good();
    let lines = world.run(&["check", copy.to_str().unwrap(), "--json"]).good();
    for line in lines.lines() {
        let report: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(report["problems"].as_array().unwrap().len(), 0, "{report}");
        assert_eq!(report["schema"].as_str().unwrap().split(',').next(), Some("current"), "{report}");
    }
    assert_eq!(lines.lines().count(), 6);
}

#[test]
fn a_target_that_is_not_empty_is_refused_and_left_alone() {
    let world = World::new();
    world.admin("ann@example.org");
    let copy = world.folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::write(copy.join("mine"), "x").unwrap();
    let refuse = || world.run(&["backup", "copy", copy.to_str().unwrap()]).bad(2, &["not empty"]);
    refuse();
    let server = world.serve();
    refuse();
    assert_eq!(std::fs::read_dir(&copy).unwrap().count(), 1);
    server.stop();
    World::new().run(&["backup", "copy", copy.to_str().unwrap()]).bad(1, &["data folder"]);
}

#[test]
fn a_damaged_file_is_not_copied_and_nothing_is_left_of_the_copy() {
    let world = World::new();
    world.serve().stop();
    std::fs::remove_file(world.file_of("Users").with_extension("db-wal")).unwrap();
    let file = std::fs::File::options().write(true).open(world.file_of("Users")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xa5; 2000], 2 * 4096 + 8).unwrap();
    let copy = world.folder.path().join("copy");
    world.run(&["backup", "copy", copy.to_str().unwrap()]).bad(1, &["Users.db"]);
    assert!(!copy.exists(), "the folder that was made for it");
    std::fs::create_dir(&copy).unwrap();
    world.run(&["backup", "copy", copy.to_str().unwrap()]).bad(1, &["Users.db"]);
    assert_eq!(std::fs::read_dir(&copy).unwrap().count(), 0, "one that was there stays, and stays empty");
}

#[test]
fn a_check_beside_a_running_server_finds_all_sound() {
    let world = World::new();
    let server = world.serve();
    world.admin("ann@example.org");
    let out = world.run(&["check", world.data().to_str().unwrap()]).good();
    assert_eq!(out.matches("sound").count(), 6, "by its path too: {out}");
    let out = world.run(&["check"]).good();
    assert_eq!(out.matches("sound").count(), 6, "{out}");
    assert_eq!(out.matches("current").count(), 6, "{out}");
    server.stop();
}
