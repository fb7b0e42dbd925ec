//! `archive.ack = "archived"`: what was answered is in the archive, whatever becomes of the machine.

use crate::world::{Server, World, serve_set};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A world whose archive lies outside of its data folder, with more lines for the section.
fn world(more: &str) -> World {
    let world = World::new();
    let to = archive(&world);
    let text = format!("[archive]\nto = {to:?}\n{more}\n");
    std::fs::write(world.folder.path().join("monolite.toml"), text).unwrap();
    world
}

fn archive(world: &World) -> PathBuf {
    world.folder.path().join("archive")
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim().to_owned()))
}

/// The service's name in a header that was read in lower case.
fn named(commit: &str) -> String {
    commit.replace("documents", "Documents")
}

#[test]
fn what_was_acknowledged_is_in_the_archive_after_a_kill_and_the_loss_of_the_data() {
    // Only who waits for the archive gets it there in time: the next segment of its own accord is hours away.
    let world = world("ack = \"archived\"\ninterval = \"3h\"");
    world.admin("ann@example.org");
    let mut all = BTreeSet::new();
    for round in 0..3 {
        let mut server = world.serve();
        let token = world.token("ann@example.org");
        let (acknowledged, tries) = (Mutex::new(BTreeSet::new()), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for caller in 0..8 {
                let (server, token, acknowledged, tries) = (&server, &token, &acknowledged, &tries);
                scope.spawn(move || {
                    for n in 0.. {
                        let body = json!({ "round": round, "caller": caller, "n": n }).to_string();
                        match server.try_request("POST", "/api/v1/documents", token, &body, "") {
                            Some((201, _, answer)) => {
                                let answer: Value = serde_json::from_str(&answer).unwrap();
                                acknowledged.lock().unwrap().insert(answer["id"].as_str().unwrap().to_owned());
                            }
                            Some((status, _, answer)) => panic!("{status}: {answer}"),
                            None => return, // killed
                        }
                        if tries.fetch_add(1, Ordering::SeqCst) == 100 {
                            crate::world::signal(&server.child, "KILL");
                        }
                    }
                });
            }
        });
        server.child.wait().unwrap();
        all.append(&mut acknowledged.into_inner().unwrap());
    }
    assert!(all.len() >= 300, "{}", all.len());
    std::fs::remove_dir_all(world.data()).unwrap();
    let data = world.data();
    world.run(&["restore", "--all", "--to", "newest", "--accept", "--into", data.to_str().unwrap()]).good();
    let rows = world.run(&["db", "Documents", "SELECT id FROM documents", "--json", "--set", "db.rows_max=100000"]);
    let restored = rows.good().replace(['-', '"'], "").to_lowercase();
    let lost: Vec<&String> = all.iter().filter(|id| !restored.contains(&id.replace('-', ""))).collect();
    assert_eq!(lost, Vec::<&String>::new(), "of {}", all.len());
    world.serve().stop();
}

#[test]
fn while_the_archive_is_down_a_change_is_done_and_answered_504_until_it_can_be_asked_for() {
    let world = world("ack = \"archived\"\nack_wait = \"300ms\"");
    let mut server = world.serve();
    let token = world.admin("ann@example.org");
    let create = |server: &Server| server.request_with("POST", "/api/v1/documents", &token, "{\"a\": 1}", "");
    assert_eq!(create(&server).0, 201);
    let away = world.folder.path().join("away");
    std::fs::rename(archive(&world), &away).unwrap();
    std::fs::write(archive(&world), "a file where the folder was").unwrap();
    let (status, head, body) = create(&server);
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &problem["code"], &problem["retryable"]), (504, &json!("not_archived"), &json!(false)));
    let commit = named(&header(&head, "monolite-commit").unwrap());
    assert!(commit.starts_with("Documents="), "{head}");
    let location = header(&head, "location").unwrap();
    assert_eq!(header(&head, "retry-after"), None, "nobody is asked to send it again");
    // It is done: it can be read, and what only reads waits for nothing.
    assert_eq!(server.get(&location, &token).0, 200);
    let ask = format!("Monolite-Archived: {commit}\r\n");
    let (status, _, body) = server.request_with("GET", &location, &token, "", &ask);
    assert!(status == 504 && body.contains("not_archived"), "{status} {body}");
    let create_by_socket = ["users", "create", "--email", "bob@example.org", "--password-stdin"];
    world.run_with(&create_by_socket, "correct horse battery").bad(1, &["it is done", "not to be done again"]);
    std::fs::remove_file(archive(&world)).unwrap();
    std::fs::rename(&away, archive(&world)).unwrap();
    // It comes by itself; whoever was not told asks until it is there.
    let until = std::time::Instant::now() + crate::world::PATIENCE;
    while server.request_with("GET", &location, &token, "", &ask).0 != 200 {
        assert!(std::time::Instant::now() < until, "{}", server.rest());
    }
    assert_eq!(create(&server).0, 201);
    let wrong = |ask: &str| server.request_with("GET", &location, &token, "", &format!("Monolite-Archived: {ask}\r\n"));
    assert_eq!((wrong("Documents=99999").0, wrong("Nothing=1").0, wrong("x").0), (412, 400, 400));
    server.stop();
}

#[test]
fn services_can_be_named_and_mistakes_are_told() {
    let world = world("ack = \"Documents\"\nack_wait = \"200ms\"");
    let server = world.serve();
    let token = world.admin("ann@example.org");
    std::fs::rename(archive(&world), world.folder.path().join("away")).unwrap();
    std::fs::write(archive(&world), "a file where the folder was").unwrap();
    assert_eq!(server.request("POST", "/api/v1/documents", &token, "{\"a\": 1}").0, 504);
    let changed = server.request("PUT", "/api/v1/settings/theme", &token, "{\"value\": \"dark\"}");
    assert!(changed.0 < 300, "{changed:?}");
    world.token("ann@example.org");
    drop(server);
    std::fs::remove_file(archive(&world)).unwrap();
    let wrong = |set| world.run(&serve_set(set));
    wrong("archive.ack=Nothing").bad(2, &["archive.ack", "Nothing"]);
    world.run(&serve_set("archive.to=off")).bad(2, &["archive.ack", "off"]);
}
