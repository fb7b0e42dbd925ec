//! `rewind` from outside: a mistake is undone under a running server, the others serve on, and a kill at any step leaves the one
//! file or the other.

use crate::kept::Archive;
use crate::world::{PATIENCE, Ran, SERVE, Server, World, serve_set};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const COUNT: &str = "SELECT count(*) FROM documents";
const NUMBERS: &str = "SELECT json_extract(body, '$.n') AS n FROM documents";

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The commit that an answer names.
fn commit(head: &str) -> u64 {
    let (service, number) = header(head, "monolite-commit").unwrap().split_once('=').unwrap();
    assert_eq!(service, "documents");
    number.parse().unwrap()
}

pub(crate) fn post(server: &Server, token: &str, n: usize) -> (String, u64) {
    let (status, head, body) =
        server.request_with("POST", "/api/v1/documents", token, &json!({ "n": n }).to_string(), "");
    assert_eq!(status, 201, "{body}");
    let stored: Value = serde_json::from_str(&body).unwrap();
    (stored["id"].as_str().unwrap().to_owned(), commit(&head))
}

fn json_of(ran: Ran) -> Vec<Value> {
    ran.good().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn rewind(world: &World, to: &str) -> Ran {
    world.run(&["rewind", "Documents", "--to", to, "--accept", "--yes", "--json"])
}

/// One document before a mark and one after it, rewound to the mark; answers the token that wrote them.
pub(crate) fn rewound(world: &World, server: &Server) -> String {
    let token = world.admin("ann@example.org");
    post(server, &token, 0);
    world.run(&["backup", "mark", "here"]).good();
    post(server, &token, 1);
    rewind(world, "here").good();
    token
}

/// Waits until all is archived, which is tried again by itself.
pub(crate) fn archived_again(world: &World) {
    let began = std::time::Instant::now();
    while world.run(&["backup", "status"]).code != Some(0) {
        assert!(began.elapsed() < PATIENCE, "it is not tried again");
    }
}

/// After a rewind numbers go on, and what was cached before it matches nothing; answers a commit that was made since.
fn goes_on_counting(server: &Server, token: &str, first: &str, tag: &str, last: u64) -> u64 {
    // Numbers go on: whoever waits for a commit of before does not wait in vain.
    let wait = format!("Monolite-At-Least: Documents={last}\r\n");
    let (status, ..) = server.request_with("GET", first, token, "", &wait);
    assert_eq!(status, 200);
    // What was cached of before matches nothing, what is cached from now on does.
    let known = |tag: &str| server.request_with("GET", first, token, "", &format!("If-None-Match: {tag}\r\n")).0;
    let (_, head, _) = server.request_with("GET", first, token, "", "");
    let new_tag = header(&head, "etag").unwrap();
    assert_ne!(new_tag, tag);
    assert_eq!((known(tag), known(new_tag)), (200, 304));
    let stale = format!("If-Match: {tag}\r\n");
    assert_eq!(server.request_with("DELETE", first, token, "", &stale).0, 412);
    let (_, after) = post(server, token, 10);
    assert!(after > last);
    after
}

#[test]
fn a_mistaken_delete_is_undone_under_a_running_server_and_the_undoing_too() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    let ids: Vec<String> = (0..5).map(|n| post(&server, &token, n).0).collect();
    world.run(&["backup", "mark", "before"]).good();
    let first = format!("/api/v1/documents/{}", ids[0]);
    let (_, head, _) = server.request_with("GET", &first, &token, "", "");
    let tag = header(&head, "etag").unwrap().to_owned();
    let mut last = 0;
    for id in &ids {
        let (status, head, _) = server.request_with("DELETE", &format!("/api/v1/documents/{id}"), &token, "", "");
        assert_eq!(status, 204);
        last = commit(&head);
    }
    let users = world.value("Users", "SELECT count(*) FROM users");
    let session = server.get("/api/v1/sessions/current", &token);
    assert_eq!((session.0, world.value("Documents", COUNT)), (200, json!(0)));

    // A session was used since: others are ahead, and that is said.
    let others = post(&server, &world.admin("ben@example.org"), 9);
    world.run(&["rewind", "Documents", "--to", "before", "--yes"]).bad(2, &["Users", "--accept"]);
    world.run(&["rewind", "Documents", "--to", "before"]).bad(2, &["--yes", "--dry-run"]);
    world.run(&["rewind", "Nothing", "--to", "before", "--yes"]).bad(2, &["there is no service Nothing"]);
    world.run(&["rewind", "Documents", "--undo", "--yes"]).bad(2, &["nothing to undo"]);
    let future = world.run(&["rewind", "Documents", "--to", "2999-01-01T00:00:00Z", "--dry-run"]);
    assert!(future.code == Some(0) && future.said.contains("is to come"), "{future:?}");
    world.run(&["rewind", "Documents", "--to=-1", "--yes"]).bad(2, &["is nothing to go to"]);
    let told = json_of(world.run(&["rewind", "Documents", "--to", "before", "--dry-run", "--json"]));
    let documents = told[0]["tables"].as_array().unwrap().iter().find(|t| t["table"] == "documents").unwrap();
    assert_eq!((&documents["now"], &documents["then"]), (&json!(1), &json!(5)));
    assert_eq!(documents["rows"], json!({ "come_back": 4, "go": 0, "change": 1 }), "its number was given again");
    assert!(told[0]["commits"].as_u64().unwrap() >= 6, "{told:?}");
    assert!(!world.data().join("rewind/Documents/next").exists(), "nothing is left of a dry run");
    assert_eq!(world.value("Documents", COUNT), 1);

    let done = json_of(rewind(&world, "before"));
    let (then, kept) = (&done[0], &done[1]);
    assert_eq!(then["then"]["sequence"], kept["then"]["sequence"]);
    assert_eq!(world.value("Documents", COUNT), 5);
    for id in &ids {
        assert_eq!(server.get(&format!("/api/v1/documents/{id}"), &token).0, 200);
    }
    assert_eq!(server.get(&format!("/api/v1/documents/{}", others.0), &token).0, 404);
    assert_eq!(server.get("/api/v1/sessions/current", &token).0, 200);
    assert_eq!(world.value("Users", "SELECT count(*) FROM users").as_u64(), users.as_u64().map(|n| n + 1));

    let after = goes_on_counting(&server, &token, &first, &tag, last);

    // Both histories can be read, the new one is archived.
    world.run(&["backup", "now"]).good();
    let histories = json_of(world.run(&["backup", "list", "Documents", "--json"]));
    let histories: BTreeSet<&str> = histories.iter().filter_map(|h| h["history"].as_str()).collect();
    assert_eq!(histories.len(), 2);
    let old = kept["replaced"]["history"].as_str().unwrap();
    assert!(histories.contains(old) && histories.contains(kept["history"].as_str().unwrap()));
    let into = world.folder.path().join("old");
    let sequence = kept["replaced"]["sequence"].to_string();
    let restore = ["restore", "Documents", "--history", old, "--to", &sequence, "--accept", "--into"];
    world.run(&[&restore[..], &[into.to_str().unwrap()]].concat()).good();

    let undone = json_of(world.run(&["rewind", "Documents", "--undo", "--yes", "--json"]));
    assert!(undone[1]["sequence"].as_u64().unwrap() > after);
    assert_eq!(world.value("Documents", COUNT), 1);
    assert_eq!(server.get(&format!("/api/v1/documents/{}", others.0), &world.token("ben@example.org")).0, 200);
    post(&server, &token, 11);
    server.stop();
    let server = world.serve();
    assert_eq!(world.value("Documents", COUNT), 2);
    world.run(&["backup", "now"]).good();
    let status = json_of(world.run(&["backup", "status", "--json"]));
    assert!(status[0]["files"].as_array().unwrap().iter().all(|file| file["state"] == "keeping"), "{status:?}");
    server.stop();
    assert!(world.run(&["check"]).good().contains("sound"));
    world.run(&["backup", "verify"]).good();
    world.run(&["rewind", "Documents", "--forget"]).good();
    assert!(!world.data().join("rewind/Documents/replaced").exists());
}

#[test]
fn a_stopped_folder_is_rewound_and_undone() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    (0..3).for_each(|n| drop(post(&server, &token, n)));
    world.run(&["backup", "mark", "here"]).good();
    (3..5).for_each(|n| drop(post(&server, &token, n)));
    server.stop();
    rewind(&world, "here").good();
    assert_eq!(world.value("Documents", COUNT), 3);
    world.run(&["rewind", "Documents", "--undo", "--yes"]).good();
    assert_eq!(world.value("Documents", COUNT), 5);
    rewind(&world, "here").good();
    let server = world.serve();
    assert_eq!(world.value("Documents", COUNT), 3);
    assert_eq!(server.get("/api/v1/sessions/current", &token).0, 200);
    server.stop();
}

#[test]
fn a_kill_at_any_step_leaves_the_one_file_or_the_other_and_the_next_start_settles_it() {
    let world = World::new();
    let token = world.admin("ann@example.org");
    let mut there = 0;
    let steps = ["preparing", "ready", "journal", "marked", "away", "forked", "exchanged", "serving", "moved", "kept"];
    for (i, step) in steps.iter().enumerate() {
        let mut command = world.command(&SERVE);
        command.env("MONOLITE_TEST_DIE_AT", step);
        let mut server = world.serve_with(command);
        let token = if i == 0 { token.clone() } else { world.token("ann@example.org") };
        post(&server, &token, i);
        there += 1;
        let mark = format!("m{i}");
        world.run(&["backup", "mark", &mark]).good();
        (0..2).for_each(|n| drop(post(&server, &token, 100 + n)));
        assert_ne!(rewind(&world, &mark).code, Some(0), "{step}");
        assert!(!server.child.wait().unwrap().success(), "{step}");

        let mut server = world.serve();
        let is_done = steps.iter().position(|s| s == step) >= steps.iter().position(|s| *s == "exchanged");
        let words = if is_done { "is done" } else { "was given up" };
        assert!(server.said.contains(words), "{step}: {}", server.said);
        there += if is_done { 0 } else { 2 };
        assert_eq!(world.value("Documents", COUNT), there, "{step}");
        assert!(!world.data().join("rewind/Documents/state.json").exists(), "{step}");
        assert!(!world.data().join("rewind/Documents/next").exists(), "{step}");
        assert_eq!(world.data().join("rewind/Documents/replaced").exists(), is_done, "{step}");
        post(&server, &world.token("ann@example.org"), 7);
        there += 1;
        world.run(&["backup", "now"]).good();
        server.signal("TERM");
        server.rest();
    }
    // A kill in the middle of an undo: the replaced file is still kept.
    let mut command = world.command(&SERVE);
    command.env("MONOLITE_TEST_DIE_AT", "staged");
    let mut server = world.serve_with(command);
    assert_ne!(world.run(&["rewind", "Documents", "--undo", "--yes"]).code, Some(0));
    server.child.wait().unwrap();
    let server = world.serve();
    assert_eq!(world.value("Documents", COUNT), there);
    world.run(&["rewind", "Documents", "--undo", "--yes"]).good();
    assert_ne!(world.value("Documents", COUNT), there);
    server.stop();
}

#[test]
fn under_writes_nothing_acknowledged_after_the_swap_is_missing_and_refusals_say_when_to_try_again() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    post(&server, &token, 0);
    world.run(&["backup", "mark", "here"]).good();
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let done = std::thread::scope(|scope| {
        for writer in 1..=3usize {
            let (server, token, stop, acknowledged) = (&server, &token, &stop, &acknowledged);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let n = writer * 1_000_000 + n;
                    let body = json!({ "n": n }).to_string();
                    let (status, head, said) = server.request_with("POST", "/api/v1/documents", token, &body, "");
                    match status {
                        201 => acknowledged.lock().unwrap().push((n, commit(&head))),
                        503 => assert!(header(&head, "retry-after").is_some(), "{head} {said}"),
                        other => panic!("{other}: {said}"),
                    }
                }
            });
        }
        let many = |than: usize| {
            while acknowledged.lock().unwrap().len() < than {
                std::thread::yield_now();
            }
        };
        many(20);
        let done = json_of(rewind(&world, "here"));
        let so_far = acknowledged.lock().unwrap().len();
        many(so_far + 20);
        stop.store(true, Ordering::Relaxed);
        done
    });
    let (fork, replaced) = (done[1]["sequence"].as_u64().unwrap(), done[1]["replaced"]["sequence"].as_u64().unwrap());
    let numbers = |world: &World| -> BTreeSet<u64> {
        let rows = json_of(world.run(&["db", "Documents", NUMBERS, "--json", "--rows", "100000"]));
        rows.iter().filter_map(|row| row["n"].as_u64()).collect()
    };
    let acknowledged = acknowledged.into_inner().unwrap();
    let (before, after): (Vec<_>, Vec<_>) = acknowledged.iter().partition(|(_, commit)| *commit < fork);
    assert!(!before.is_empty() && after.len() >= 20);
    let there = numbers(&world);
    assert_eq!(there, after.iter().map(|(n, _)| *n as u64).chain([0]).collect());
    server.stop();
    let kept = World::new();
    std::fs::rename(world.data().join("rewind/Documents/replaced"), kept.data()).unwrap();
    let kept = numbers(&kept);
    assert!(before.iter().all(|(n, _)| kept.contains(&(*n as u64))), "the replaced file has all of before");
    assert!(replaced < fork);
}

#[test]
fn a_service_that_is_not_archived_after_its_swap_says_so_until_it_is() {
    for every in ["1s", "0s"] {
        let world = World::new();
        let every_so = format!("archive.cut_every={every}");
        let set = serve_set(&every_so);
        let server = world.serve_with(world.command(&set));
        let token = rewound(&world, &server);
        // The file that is put back cannot have its spool.
        let spool = world.data().join("rewind/Documents/replaced/Documents/spool");
        std::fs::remove_dir_all(&spool).unwrap();
        std::fs::write(&spool, "").unwrap();
        world.run(&["rewind", "Documents", "--undo", "--yes"]).bad(1, &["NOT ARCHIVED", "backup mark"]);
        assert_eq!(world.value("Documents", COUNT), 2, "it serves");
        let told = world.run(&["backup", "status"]).bad(1, &["Documents: making the folder"]);
        assert!(told.out.contains("stopped: "), "{told:?}");
        std::fs::remove_file(world.data().join("Documents/spool")).unwrap();
        if every == "0s" {
            world.run(&["backup", "mark", "mended"]).good(); // no clock takes cuts: this one tries again too
        }
        archived_again(&world);
        post(&server, &token, 2);
        world.run(&["backup", "now"]).good();
        server.stop();
    }
}

#[test]
fn an_undo_does_not_need_the_archive() {
    let world = World::new();
    let server = world.serve();
    let token = rewound(&world, &server);
    let archive = Archive::of(&world);
    archive.take_away();
    post(&server, &token, 2);
    let undone = json_of(world.run(&["rewind", "Documents", "--undo", "--yes", "--json"]));
    assert!(undone[1]["note"].as_str().unwrap().contains("not in the archive"), "{undone:?}");
    assert_eq!(world.value("Documents", COUNT), 2, "0 and 1");
    archive.bring_back();
    archived_again(&world);
    server.stop();
}

#[test]
fn numbers_go_on_where_the_file_that_an_undo_replaces_is_damaged() {
    let world = World::new();
    let server = world.serve();
    let token = rewound(&world, &server);
    let last = (2..9).map(|n| post(&server, &token, n).1).max().unwrap();
    server.stop();
    std::fs::write(world.file_of("Documents"), "no database").unwrap();
    let undone = json_of(world.run(&["rewind", "Documents", "--undo", "--yes", "--json"]));
    let goes_on = undone[1]["sequence"].as_u64().unwrap();
    assert!(goes_on > last + 1_000_000, "{goes_on} {last}");
    assert_eq!(world.value("Documents", COUNT), 2);
}
