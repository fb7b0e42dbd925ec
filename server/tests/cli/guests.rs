//! Files that come back older than their archive: each is recognised at the start, and goes on by the way that is chosen.

use crate::world::{SERVE, Server, World};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const COUNT: &str = "SELECT count(*) FROM documents";
/// A world whose archive lies outside of its data folder.
fn world() -> World {
    let world = World::new();
    let archive = archive(&world);
    std::fs::write(world.folder.path().join("monolite.toml"), format!("[archive]\nto = {archive:?}\n")).unwrap();
    world
}

fn archive(world: &World) -> PathBuf {
    world.folder.path().join("archive")
}

fn serve(world: &World, flag: &str) -> Server {
    world.serve_with(world.command(&[&SERVE[..], &[flag]].concat()))
}

fn write(server: &Server, token: &str, times: usize) {
    for n in 0..times {
        let body = json!({ "n": n }).to_string();
        assert_eq!(server.request("POST", "/api/v1/documents", token, &body).0, 201);
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Writes two documents, keeps a snapshot of `what` below the data folder, writes three more, and puts it back. Answers a token.
fn put_back(world: &World, what: &str) -> String {
    let server = world.serve();
    let token = world.admin("ann@example.org");
    write(&server, &token, 2);
    server.stop();
    let (there, kept) = (world.data().join(what), world.folder.path().join("snapshot"));
    copy(&there, &kept);
    let server = world.serve();
    let token = world.token("ann@example.org");
    write(&server, &token, 3);
    server.stop();
    std::fs::remove_dir_all(&there).unwrap();
    copy(&kept, &there);
    token
}

fn histories(world: &World, service: &str) -> Vec<Value> {
    let listed = world.run(&["backup", "list", service, "--json"]).good();
    let listed = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    listed.filter(|line| line["history"].is_string()).collect()
}

/// What a restore of a history's newest commit holds.
fn restored(world: &World, name: &str, history: &str) -> Value {
    let into = world.folder.path().join(name);
    let text = into.to_str().unwrap();
    world.run(&["restore", "Documents", "--history", history, "--accept", "--into", text]).good();
    let other = World::new();
    std::fs::rename(&into, other.data()).unwrap();
    other.value("Documents", COUNT)
}

fn archived(world: &World) {
    world.run(&["backup", "now"]).good();
    let status: Value = serde_json::from_str(&world.run(&["backup", "status", "--json"]).good()).unwrap();
    for file in status["files"].as_array().unwrap() {
        assert_eq!((&file["state"], &file["published"]), (&json!("keeping"), &file["archived"]), "{file}");
    }
}

fn kept_of_before(world: &World, service: &str) -> Vec<PathBuf> {
    let named = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{service}.before-"));
    std::fs::read_dir(world.data()).unwrap().map(|entry| entry.unwrap().path()).filter(named).collect()
}

#[test]
fn a_machine_put_back_from_a_snapshot_is_refused_and_rolled_forward() {
    let world = world();
    let token = put_back(&world, "");
    let refused =
        world.run(&SERVE).bad(1, &["Documents is at commit", "its archive has commit", "serve --roll-forward"]);
    let line = refused.said.lines().find(|line| line.contains("Documents is at")).unwrap();
    assert_eq!(line.matches("Z").count(), 2, "both moments: {line}");
    assert!(refused.said.contains("serve --new-history"), "{}", refused.said);
    // A command that opens the files by itself does not write to them either.
    let create = ["users", "create", "--email", "x@example.org", "--password-stdin"];
    world.run_with(&create, "correct horse battery").bad(1, &["serve --roll-forward"]);
    let mut server = serve(&world, "--roll-forward");
    assert!(server.said.contains("rolled forward: Documents from commit"), "{}", server.said);
    assert_eq!(world.value("Documents", COUNT), 5);
    assert_eq!(server.get("/api/v1/sessions/current", &token).0, 200, "a session of after the snapshot");
    write(&server, &token, 1);
    archived(&world);
    server.signal("TERM");
    assert!(!server.rest().contains("base"), "it goes on with its history: {}", server.said);
    let kept = kept_of_before(&world, "Documents");
    let before = World::new();
    std::fs::create_dir(before.data()).unwrap();
    std::fs::rename(&kept[0], before.data().join("Documents")).unwrap();
    assert_eq!((kept.len(), before.value("Documents", COUNT)), (1, json!(2)), "the file of before is kept");
    // Once is enough; with the flag or without, nothing is replaced again.
    serve(&world, "--roll-forward").stop();
    world.serve().stop();
    assert_eq!(kept_of_before(&world, "Documents").len(), 0);
    assert_eq!(histories(&world, "Documents").len(), 1);
    assert_eq!(world.value("Documents", COUNT), 6);
    world.run(&["backup", "verify"]).good();
}

#[test]
fn a_machine_put_back_from_a_snapshot_goes_on_with_a_new_history() {
    let world = world();
    put_back(&world, "");
    let before = histories(&world, "Documents");
    let mut server = serve(&world, "--new-history");
    assert!(server.said.contains("a new history of Documents begins at commit"), "{}", server.said);
    let token = world.token("ann@example.org");
    write(&server, &token, 1);
    archived(&world);
    server.signal("TERM");
    server.rest();
    let after = histories(&world, "Documents");
    assert_eq!((before.len(), after.len()), (1, 2));
    assert_eq!(after[0]["history"], before[0]["history"]);
    // Once is enough: the next start forks nothing.
    serve(&world, "--new-history").stop();
    world.serve().stop();
    assert_eq!(histories(&world, "Documents").len(), 2);
    assert_eq!(restored(&world, "old", after[0]["history"].as_str().unwrap()), 5, "the old history is whole");
    assert_eq!(restored(&world, "new", after[1]["history"].as_str().unwrap()), 3);
    world.run(&["backup", "verify"]).good();
}

#[test]
fn one_service_put_back_says_what_that_means_for_the_others() {
    let world = world();
    put_back(&world, "Documents");
    let refused = world.run(&SERVE).bad(1, &["go on from their archive: they may name what Documents had", "Users"]);
    assert_eq!(refused.said.matches("is at commit").count(), 1, "{}", refused.said);
    let mut server = serve(&world, "--new-history");
    assert!(server.said.contains("may name what Documents had"), "{}", server.said);
    assert_eq!(world.value("Documents", COUNT), 2);
    world.run(&["restore", "Documents", "--roll-forward"]).bad(2, &["a server runs on"]);
    server.signal("TERM");
    server.rest();
    let old = histories(&world, "Documents")[0]["history"].as_str().unwrap().to_owned();
    // The fork was a mistake: back to the history that was left.
    world.run(&["restore", "Documents", "--roll-forward"]).bad(2, &["is not behind", "--accept"]);
    world.run(&["restore", "Documents", "--roll-forward", "--accept", "--history", &old]).good();
    assert_eq!(world.value("Documents", COUNT), 5);
    world.serve().stop();
}

#[test]
fn one_service_is_rolled_forward_by_itself_and_a_missing_file_too() {
    let world = world();
    put_back(&world, "Documents");
    let told = world.run(&["restore", "Documents", "--roll-forward"]).good();
    assert!(told.contains("Documents from commit") && told.contains("Documents.before-"), "{told}");
    assert_eq!(world.value("Documents", COUNT), 5);
    std::fs::write(world.file_of("Documents"), "this is no database any more").unwrap();
    world.run(&["restore", "Documents", "--roll-forward"]).good();
    assert_eq!(world.value("Documents", COUNT), 5);
    std::fs::remove_dir_all(world.data().join("Documents")).unwrap();
    world.run(&["restore", "Documents", "--roll-forward"]).good();
    assert_eq!(world.value("Documents", COUNT), 5);
    world.serve().stop();
    world.run(&["restore", "--roll-forward"]).bad(2, &["SERVICE"]);
}

#[test]
fn a_file_whose_archive_was_lost_begins_it_anew_and_says_so() {
    let world = world();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    write(&server, &token, 2);
    server.stop();
    let lost = world.folder.path().join("lost");
    std::fs::rename(archive(&world), &lost).unwrap();
    let mut server = world.serve();
    assert!(server.said.contains("begins anew with a base"), "{}", server.said);
    write(&server, &token, 1);
    archived(&world);
    server.signal("TERM");
    server.rest();
    let history = histories(&world, "Documents")[0]["history"].as_str().unwrap().to_owned();
    assert_eq!(restored(&world, "back", &history), 3);
    // The archive of before comes back, older than the file: what it has not is a gap, and a base follows.
    std::fs::rename(archive(&world), world.folder.path().join("newer")).unwrap();
    std::fs::rename(&lost, archive(&world)).unwrap();
    let mut server = world.serve();
    write(&server, &token, 1);
    archived(&world);
    server.signal("TERM");
    server.rest();
    assert_eq!(restored(&world, "again", &history), 4);
}

#[test]
fn files_restored_on_a_new_machine_go_on_in_the_same_archive() {
    let world = world();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    write(&server, &token, 2);
    server.stop();
    // A server that opened the files and wrote to none: its claims are there.
    let mut server = world.serve();
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    std::fs::remove_dir_all(world.data()).unwrap();
    let data = world.data();
    world.run(&["restore", "--all", "--to", "newest", "--accept", "--into", data.to_str().unwrap()]).good();
    for written in 3..5 {
        let mut server = world.serve();
        write(&server, &token, 1);
        archived(&world);
        assert_eq!(world.value("Documents", COUNT), written);
        server.signal("TERM");
        assert!(!server.rest().contains("base"), "it goes on with its history: {}", server.said);
    }
    assert_eq!(histories(&world, "Documents").len(), 1);
}
