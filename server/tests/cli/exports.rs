//! `backup export` and `import`: a whole system as one file and back, and what is refused.

use crate::world::{PATIENCE, Server, World};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const COUNT: &str = "SELECT count(*) FROM documents";

fn write(server: &Server, token: &str) {
    assert_eq!(server.request("POST", "/api/v1/documents", token, "{\"a\":1}").0, 201);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An import as a world of its own.
fn import(world: &World, file: &Path) -> World {
    let imported = World::new();
    world.run(&["backup", "import", text(file), "--into", text(&imported.data())]).good();
    imported
}

/// The names that lie in a world's folder beside its data.
fn beside(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.folder.path()).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_export_under_writes_is_one_file_and_its_import_serves() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    let file = world.folder.path().join("all.tar.zst");
    let (stop, before) = (AtomicBool::new(false), 5);
    (0..before).for_each(|_| write(&server, &token));
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = before;
            while !stop.load(Ordering::Relaxed) {
                write(&server, &token);
                written += 1;
            }
            written
        });
        let told = world.run(&["backup", "export", text(&file), "--json"]).good();
        stop.store(true, Ordering::Relaxed);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((told["format"].as_u64(), told["files"].as_array().unwrap().len()), (Some(1), 6));
        writer.join().unwrap()
    });
    assert_eq!(beside(&world), ["all.tar.zst", "data"], "nothing else is left");
    assert_eq!(crate::world::mode_of(&file), 0o600);
    world.run(&["backup", "export", text(&file)]).bad(2, &["is there already"]);

    let imported = import(&world, &file);
    let kept = imported.value("Documents", COUNT).as_u64().unwrap();
    assert!((before..=written).contains(&kept), "{kept}");
    assert!(imported.run(&["check"]).good().contains("sound"));
    let other = imported.serve();
    assert_eq!(other.get("/api/v1/sessions/current", &token).0, 200);
    write(&other, &token);
    other.stop();
    let into = text(&imported.data()).to_owned();
    world.run(&["backup", "import", text(&file), "--into", &into]).bad(2, &["is not empty"]);
    server.stop();
}

#[test]
fn an_export_of_a_cut_of_the_archive_and_of_a_stopped_folder() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    (0..3).for_each(|_| write(&server, &token));
    world.run(&["backup", "mark", "here"]).good();
    (0..2).for_each(|_| write(&server, &token));
    let (then, now) = (world.folder.path().join("then.tar.zst"), world.folder.path().join("now.tar.zst"));
    world.run(&["backup", "export", text(&then), "--to", "here"]).good();
    world.run(&["backup", "export", text(&now), "--to", "newest"]).bad(1, &["of one moment"]);
    server.stop();
    world.run(&["backup", "export", text(&now)]).good();
    assert_eq!(import(&world, &then).value("Documents", COUNT), json!(3));
    assert_eq!(import(&world, &now).value("Documents", COUNT), json!(5));
    assert_eq!(beside(&world), ["data", "now.tar.zst", "then.tar.zst"]);
}

#[test]
fn a_file_that_is_cut_off_or_changed_is_refused_by_name_and_leaves_nothing() {
    let world = World::new();
    world.admin("ann@example.org");
    let file = world.folder.path().join("all.tar.zst");
    world.run(&["backup", "export", text(&file)]).good();
    let good = std::fs::read(&file).unwrap();
    let bad = world.folder.path().join("bad.tar.zst");
    let into: PathBuf = world.folder.path().join("into");
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&bad, bytes).unwrap();
        let ran = world.run(&["backup", "import", text(&bad), "--into", text(&into)]);
        assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
        assert!(ran.said.contains("bad.tar.zst") && !ran.said.contains("panicked"), "{what}: {ran:?}");
        assert_eq!(beside(&world), ["all.tar.zst", "bad.tar.zst", "data"], "{what}");
    };
    for part in 0..12 {
        refused(&good[..good.len() * part / 12], &format!("cut at {part} twelfths"));
    }
    refused(&good[..good.len() - 1], "cut by a byte");
    refused(&[&good[..], b"x"].concat(), "longer by a byte");
    // The first bytes have bits that mean nothing.
    for part in 0..24 {
        let mut changed = good.clone();
        let at = 32 + (good.len() - 33) * part / 23;
        changed[at] ^= 0x10;
        refused(&changed, &format!("byte {at} changed"));
    }
    import(&world, &file);
}

#[test]
fn a_killed_export_leaves_nothing_that_the_next_one_does_not_remove() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    write(&server, &token);
    let file = |name: &str| world.folder.path().join(name);
    let parts = |of: &str| {
        let start = format!("{of}.parts-");
        beside(&world).into_iter().find(|name| name.starts_with(&start)).map(|name| world.folder.path().join(name))
    };
    // Hours at this pace: it is at work when it is killed.
    let (slow, fast) = (file("slow.tar.zst"), file("fast.tar.zst"));
    let mut export = world.command(&["backup", "export", text(&slow), "--quiet", "--set", "archive.base_rate=100B"]);
    let mut export = export.spawn().unwrap();
    let began = Instant::now();
    let whole = || parts("slow.tar.zst").filter(|parts| parts.join("Users/Users.db").exists());
    while whole().is_none() {
        assert!(began.elapsed() < PATIENCE && export.try_wait().unwrap().is_none(), "{:?}", beside(&world));
        std::thread::yield_now();
    }
    world.run(&["backup", "export", text(&slow)]).bad(2, &["is at work"]);
    world.run(&["backup", "export", text(&fast)]).good();
    assert!(whole().is_some(), "it is at work, and nobody disturbs it");
    export.kill().unwrap();
    export.wait().unwrap();
    assert!(whole().is_some(), "a kill leaves it");
    world.run(&["backup", "export", text(&file("later.tar.zst"))]).good();
    assert_eq!(beside(&world), ["data", "fast.tar.zst", "later.tar.zst"]);
    world.run(&["backup", "export", text(&slow)]).good();
    server.stop();
}
