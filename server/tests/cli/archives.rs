//! The archive from outside: kept by default, restored to a cut, a moment and a commit, and what is refused.

use crate::world::{SERVE, Server, World, serve_set};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const COUNT: &str = "SELECT count(*) FROM documents";

fn write(server: &Server, token: &str, times: usize) {
    for n in 0..times {
        let body = json!({ "n": n }).to_string();
        assert_eq!(server.request("POST", "/api/v1/documents", token, &body).0, 201);
    }
}

/// A restored folder as a world of its own.
fn as_world(restored: &Path) -> World {
    let world = World::new();
    std::fs::rename(restored, world.data()).unwrap();
    world
}

fn documents(restored: &Path) -> u64 {
    as_world(restored).value("Documents", COUNT).as_u64().unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn into(world: &World, name: &str) -> (PathBuf, String) {
    let path = world.folder.path().join(name);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_served_folder_is_archived_and_comes_back_to_a_cut_a_moment_and_its_end() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    write(&server, &token, 5);
    let cut: Value = serde_json::from_str(&world.run(&["backup", "mark", "before-mistake", "--json"]).good()).unwrap();
    assert_eq!(cut["services"].as_object().unwrap().len(), 6);
    world.run(&["backup", "now"]).good();
    let listed = lines(&world.run(&["backup", "list", "Documents", "--json"]).good());
    let moment = listed[0]["newest_moment"].as_str().unwrap().to_owned();
    write(&server, &token, 3);
    world.run(&["backup", "now"]).good();
    world.run(&["backup", "status"]).good();
    assert_eq!(world.run(&["backup", "mark", "1st"]).code, Some(2));

    let (cut_to, cut_text) = into(&world, "cut");
    let told = world.run(&["restore", "--all", "--to", "before-mistake", "--into", &cut_text, "--dry-run"]).good();
    assert!(told.contains("Documents") && !cut_to.exists(), "{told}");
    let told = world.run(&["restore", "--all", "--to", "before-mistake", "--into", &cut_text, "--json"]).good();
    let restored: Vec<(String, u64)> =
        lines(&told).iter().map(|r| (r["service"].as_str().unwrap().into(), r["sequence"].as_u64().unwrap())).collect();
    for (service, sequence) in &restored {
        assert_eq!(cut["services"][service]["sequence"].as_u64(), Some(*sequence), "{service}");
    }
    assert_eq!(restored.len(), 6);
    world.run(&["restore", "--all", "--to", "before-mistake", "--into", &cut_text]).bad(2, &["is there already"]);

    let (all_to, all_text) = into(&world, "newest");
    world.run(&["restore", "--all", "--to", "newest", "--into", &all_text]).bad(2, &["--accept"]);
    assert!(!all_to.exists(), "nothing was made");
    world.run(&["restore", "--all", "--to", "newest", "--into", &all_text, "--accept"]).good();
    assert_eq!(documents(&all_to), 8);

    // One file of the past beside others of now.
    let (one_to, one_text) = into(&world, "one");
    let one = ["restore", "Documents", "--to", &moment, "--into", &one_text];
    let fits = world.run(&one);
    assert!(matches!(fits.code, Some(0 | 2)), "{fits:?}");
    if fits.code == Some(2) {
        world.run(&[&one[..], &["--accept"]].concat()).good();
    }
    assert!(documents(&one_to) <= 5);
    server.stop();

    // The restored folder serves, and knows who was signed in.
    let back = as_world(&cut_to);
    let server = back.serve();
    assert_eq!(server.get("/api/v1/sessions/current", &token).0, 200);
    assert_eq!(back.value("Documents", COUNT), 5);
    write(&server, &token, 1);
    server.stop();
    let told = back.run(&["backup", "verify", "--restore", back.folder.path().join("v").to_str().unwrap()]).good();
    assert_eq!(told.matches("sound").count(), 6, "{told}");
}

#[test]
fn a_server_that_is_killed_goes_on_with_its_history_without_a_gap() {
    let world = World::new();
    world.admin("ann@example.org");
    let mut written = 0;
    for _ in 0..3 {
        let mut server = world.serve();
        let token = world.token("ann@example.org");
        write(&server, &token, 20);
        written += 20;
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    }
    let server = world.serve();
    world.run(&["backup", "now"]).good();
    let status: Value = serde_json::from_str(&world.run(&["backup", "status", "--json"]).good()).unwrap();
    for file in status["files"].as_array().unwrap() {
        assert_eq!(file["state"], json!("keeping"), "{file}");
        assert_eq!(file["published"], file["archived"], "{file}");
        assert_eq!(file["gaps"], json!(0), "{file}");
    }
    server.stop();
    let (to, text) = into(&world, "back");
    world.run(&["restore", "Documents", "--into", &text]).good();
    assert_eq!(documents(&to), written);
}

#[test]
fn a_file_that_is_older_than_its_archive_is_not_served() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    write(&server, &token, 2);
    server.stop();
    let (kept, _) = into(&world, "kept");
    copy(&world.data().join("Documents"), &kept);
    let server = world.serve();
    write(&server, &token, 2);
    server.stop();
    std::fs::remove_dir_all(world.data().join("Documents")).unwrap();
    copy(&kept, &world.data().join("Documents"));
    // The mark beside the file tells too; an operator who put the whole folder back has put it back with it.
    let refused = world.run(&SERVE);
    refused.bad(1, &["Documents", "put back from an older copy", "monolite serve --roll-forward"]);
    let (to, text) = into(&world, "back");
    world.run(&["restore", "Documents", "--into", &text]).good();
    assert_eq!(documents(&to), 4);
}

#[test]
fn archiving_can_be_off_or_elsewhere_and_mistakes_are_told() {
    let world = World::new();
    let mut off = world.serve_with(world.command(&serve_set("archive.to=off")));
    assert!(off.said.contains("archive     off"), "{}", off.said);
    assert!(!world.data().join("archive").exists());
    off.signal("TERM");
    off.rest();
    world.run(&["backup", "list"]).bad(1, &["there is no archive in"]);
    world.run(&["restore", "--all", "--into", "x", "--set", "archive.to=off"]).bad(2, &["nothing is archived"]);
    world.run(&["restore", "--into", "x"]).bad(2, &["<SERVICE|--all>"]);
    let (elsewhere, text) = into(&world, "elsewhere");
    let to = format!("archive.to={text}");
    let server = world.serve_with(world.command(&serve_set(&to)));
    world.run(&["backup", "now", "--set", &to]).good();
    let later = ["restore", "Users", "--to", "2999-01-01T00:00:00Z", "--into", "x", "--dry-run", "--set", &to];
    assert!(world.run(&later).said.contains("2999-01-01T00:00:00Z is to come, now is 20"));
    server.stop();
    assert!(elsewhere.join("Users").is_dir() && !world.data().join("archive").exists());
    world.run(&["restore", "Nobody", "--into", "x", "--from", &text]).bad(2, &["no history of Nobody", "Users"]);
    world.run(&["restore", "--all", "--into", "x", "--from", &text, "--to", "2001-01-01"]).bad(2, &["zone"]);
    world.run(&["restore", "Users", "--into", "x", "--from", &text, "--to", "99999"]).bad(1, &["99999"]);
    world.run(&["restore", "--all", "--into", "x", "--from", &text, "--to", "nothing"]).bad(1, &["no cut is called"]);
    world.run(&serve_set("archive.at_bound=perhaps")).bad(2, &["archive.at_bound"]);
}

#[test]
fn a_restore_of_all_files_that_was_killed_goes_on_with_those_that_are_missing() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    write(&server, &token, 3);
    world.run(&["backup", "mark", "here"]).good();
    server.stop();
    let (to, text) = into(&world, "back");
    let all = ["restore", "--all", "--into", &text, "--to", "here"];
    world.run(&all).good();
    assert!(!to.join("restore-unfinished.json").exists());
    // As a kill leaves it: some files are there, the note says to which commits they belong.
    let begun = |to: &Path| {
        let told =
            lines(&world.run(&["restore", "--all", "--to", "here", "--into", "x", "--dry-run", "--json"]).good());
        let histories = lines(&world.run(&["backup", "list", "--json"]).good());
        let history = |service: &Value| histories.iter().find(|h| h["service"] == *service).unwrap()["history"].clone();
        let files: Vec<Value> =
            told.iter().map(|file| json!([file["service"], history(&file["service"]), file["sequence"]])).collect();
        let note = json!({ "format": 1, "asked": ["", "here", "", ""], "files": files });
        std::fs::write(to.join("restore-unfinished.json"), note.to_string()).unwrap();
    };
    begun(&to);
    std::fs::remove_dir_all(to.join("Documents")).unwrap();
    let kept = std::fs::metadata(to.join("Users/Users.db")).unwrap().modified().unwrap();
    let went_on = world.run(&all);
    assert!(went_on.said.contains("going on"), "{went_on:?}");
    assert_eq!(went_on.good().lines().count(), 7, "a head and six files");
    assert_eq!(std::fs::metadata(to.join("Users/Users.db")).unwrap().modified().unwrap(), kept);
    assert!(!to.join("restore-unfinished.json").exists());
    // Asked for otherwise it is another restore.
    begun(&to);
    world.run(&["restore", "--all", "--into", &text, "--to", "latest"]).bad(2, &["is there already"]);
    let back = as_world(&to);
    back.run(&SERVE).bad(2, &["cut off", "call it again"]);
    std::fs::remove_file(back.data().join("restore-unfinished.json")).unwrap();
    assert_eq!(back.value("Documents", COUNT), 3);
}

#[test]
fn one_service_before_a_gap_is_not_put_beside_others_in_silence() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    for _ in 0..3 {
        write(&server, &token, 1);
        world.run(&["backup", "now"]).good();
    }
    world.admin("bob@example.org"); // what is newest is another service's
    world.run(&["backup", "now"]).good();
    server.stop();
    let history = std::fs::read_dir(world.data().join("archive/Documents")).unwrap().next().unwrap().unwrap().path();
    let mut segments: Vec<_> = std::fs::read_dir(history.join("ltx/0")).unwrap().map(|e| e.unwrap().path()).collect();
    segments.sort();
    let name = |at: usize| segments[at].file_name().unwrap().to_str().unwrap().to_owned();
    let last = segments.len() - 1;
    let before = u64::from_str_radix(&name(last - 2)[17..33], 16).unwrap().to_string();
    std::fs::remove_file(&segments[last - 1]).unwrap();
    let (_, text) = into(&world, "one");
    let one = ["restore", "Documents", "--to", &before, "--into", &text];
    world.run(&one).bad(2, &["these go on after that", "Users"]);
    let told = world.run(&[&one[..], &["--accept"]].concat());
    assert!(told.said.contains("cannot be restored") && told.said.contains("are missing"), "{told:?}");
    assert!(told.said.contains("goes on after that: Documents by 2 commits"), "{told:?}");
    told.good();
}

#[test]
fn a_cut_beside_a_service_in_quarantine_has_the_others_and_says_so() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    write(&server, &token, 2);
    world.run(&["backup", "mark", "whole"]).good();
    server.stop();
    let file = world.file_of("Documents");
    std::fs::remove_file(file.with_extension("db-wal")).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[..100].fill(7);
    std::fs::write(&file, bytes).unwrap();
    let server = world.serve();
    let ran = world.run(&["backup", "mark", "part", "--json"]).bad(1, &[]);
    let cut: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(cut["missing"], json!(["Documents"]));
    assert_eq!(cut["services"].as_object().unwrap().len(), 5);
    let (_, copy) = into(&world, "copy");
    world.run(&["backup", "copy", &copy]).bad(1, &["Documents", "quarantine"]);
    let (_, back) = into(&world, "back");
    let part = world.run(&["restore", "--all", "--to", "part", "--into", &back]);
    assert!(part.said.contains("does not have Documents"), "{part:?}");
    part.good();
    // A damaged file is rewound too, while the others serve.
    world.run(&["rewind", "Documents", "--to", "whole", "--accept", "--yes"]).good();
    assert_eq!(world.value("Documents", COUNT), 2);
    write(&server, &token, 1);
    world.run(&["backup", "mark", "again"]).good();
    server.stop();
}

#[test]
fn an_archive_that_is_away_is_waited_for_and_a_part_of_one_is_not_called_sound() {
    let world = World::new();
    let server = world.serve_with(world.command(&serve_set("archive.ack_wait=100ms")));
    let token = world.admin("ann@example.org");
    write(&server, &token, 2);
    world.run(&["backup", "mark", "kept"]).good();
    let (archive, aside) = (world.data().join("archive"), world.folder.path().join("aside"));
    std::fs::rename(&archive, &aside).unwrap();
    let head = server.request_with("POST", "/api/v1/documents", &token, "{}", "").1;
    let commit = head.lines().find_map(|line| line.strip_prefix("monolite-commit: ")).unwrap().trim().to_owned();
    let asks = format!("Monolite-Archived: {}\r\n", commit.replace("documents", "Documents"));
    let (status, _, body) = server.request_with("GET", "/api/v1/documents", &token, "", &asks);
    assert!(status == 504 && body.contains("not_archived"), "{status} {body}");
    let told = world.run(&["backup", "status"]);
    assert!(told.code == Some(1) && (told.out + &told.said).contains("is gone"), "status");
    world.run(&["backup", "verify"]).bad(1, &["there is no archive"]);
    assert!(!archive.exists(), "another one was begun in its place");
    std::fs::rename(&aside, &archive).unwrap();
    server.stop();
    let server = world.serve();
    world.run(&["backup", "now"]).good();
    server.stop();
    world.run(&["backup", "verify"]).good();

    std::fs::rename(archive.join("Files"), world.folder.path().join("Files")).unwrap();
    let told = world.run(&["backup", "verify"]);
    assert!(told.code == Some(1) && told.out.contains("names this history, and it is not there"), "{told:?}");
    // Folders of others are none of an archive's.
    let (empty, other) = (world.folder.path().join("empty"), world.folder.path().join("empty/some.where/else"));
    std::fs::create_dir_all(other).unwrap();
    for verb in ["verify", "list"] {
        world.run(&["backup", verb, "--from", empty.to_str().unwrap()]).bad(2, &["nothing is archived there"]);
        world.run(&["backup", verb, "Userz"]).bad(2, &["has no history of Userz; archived are Documents"]);
    }
}

#[test]
fn nothing_is_restored_into_the_archive_or_into_a_services_folder() {
    let world = World::new();
    let server = world.serve();
    world.admin("ann@example.org");
    world.run(&["backup", "mark", "kept"]).good();
    let data = world.data();
    for (within, what) in [("archive", "the archive"), ("archive/new/er", "the archive"), ("Users", "the data folder")]
    {
        let into = data.join(within);
        let restore = ["restore", "--all", "--to", "kept", "--into", into.to_str().unwrap()];
        world.run(&restore).bad(2, &[what, "choose a folder of its own"]);
    }
    let file = world.file_of("Users");
    for into in [file.clone(), file.join("below")] {
        let restore = ["restore", "--all", "--to", "kept", "--into", into.to_str().unwrap()];
        world.run(&restore).bad(2, &["Users.db is no folder", "--into"]);
    }
    let new = world.folder.path().join("new");
    let now = ["restore", "--all", "--to", "now", "--into", new.to_str().unwrap()];
    world.run(&now).bad(1, &["no cut is called now", "--to latest"]);
    assert!(!new.exists());
    assert!(!data.join("archive/new").exists() && !data.join("archive/Users/Users.db").exists());
    assert!(!data.join("Users/Users").exists());
    server.stop();
}

#[test]
fn a_mark_has_what_was_committed_before_it_whenever_that_was_archived() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    world.run(&["backup", "now"]).good();
    write(&server, &token, 1);
    // It is captured for the mark, behind it, in a segment of a later moment.
    let ben = ["users", "create", "--email", "ben@example.org", "--password-stdin"];
    world.run_with(&ben, crate::world::PASSWORD).good();
    world.run(&["backup", "mark", "both"]).good();
    write(&server, &token, 1);
    world.run(&["backup", "now"]).good();
    let told = world.run(&["rewind", "Documents", "--to", "both", "--yes"]);
    assert!(!told.said.contains("Users (to"), "Users is where the mark has it: {told:?}");
    server.stop();
}
