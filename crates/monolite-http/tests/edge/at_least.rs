//! Requests that wait for commits.

use crate::world::world;
use std::time::Duration;

#[test]
fn a_read_that_names_what_a_write_answered_is_answered_at_once() {
    let world = world();
    let made = world.post("/api/v1/notes", r#"{"title":"Pie"}"#);
    let wait = format!("monolite-at-least: {}", made.header("monolite-commit").unwrap());
    let line = format!("GET {}", made.header("location").unwrap());
    let read = world.send(&line, &["authorization: Bearer ann", &wait, "monolite-at-least: Notes=0, Notes=1"], b"");
    assert_eq!((read.status, read.json()), (200, made.json()));
}

#[test]
fn a_read_waits_for_a_commit_that_comes() {
    let world = world();
    let made = world.post("/api/v1/notes", r#"{"title":"Pie"}"#);
    let line = format!("GET {}", made.header("location").unwrap());
    // Once is enough; a machine that stands still for the second of the wait is given more.
    let is_answered = |_| {
        let next = world.host.store("Notes").unwrap().sequence() + 1;
        let wait = format!("monolite-at-least: Notes={next}");
        std::thread::scope(|scope| {
            let read = scope.spawn(|| world.send(&line, &["authorization: Bearer ann", &wait], b""));
            assert_eq!(world.post("/api/v1/notes", r#"{"title":"Cake"}"#).status, 201);
            read.join().unwrap().status == 200
        })
    };
    assert!((0..10).any(is_answered));
}

#[test]
fn a_commit_of_another_history_is_said_after_a_bounded_wait() {
    let world = world();
    world.post("/api/v1/notes", r#"{"title":"Pie"}"#);
    let stands = world.host.store("Notes").unwrap().sequence();
    let began = std::time::Instant::now();
    let beyond = world.send("GET /api/v1/notes", &["authorization: Bearer ann", "monolite-at-least: Notes=999"], b"");
    assert_eq!((beyond.status, beyond.code().as_str()), (412, "not_reached"), "{}", beyond.body);
    assert!(began.elapsed() >= Duration::from_millis(900), "it waited");
    let detail = beyond.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(&format!("Notes is at commit {stands}, not at 999")), "{detail}");
    assert_eq!((beyond.json()["service"].as_str(), beyond.json()["retryable"].as_bool()), (Some("Notes"), Some(false)));
    for wrong in ["Notes", "Notes=x", "Nobody=1", "", "Notes=1;Notes=2"] {
        let wait = format!("monolite-at-least: {wrong}");
        let told = world.send("GET /api/v1/notes", &["authorization: Bearer ann", &wait], b"");
        assert_eq!((told.status, told.code().as_str()), (400, "malformed_at_least"), "{wrong}");
    }
    let anonymous = world.send("GET /api/v1/notes/mine", &["monolite-at-least: Notes=999"], b"");
    assert_eq!(anonymous.status, 401, "who may not ask does not wait");
}

#[test]
fn while_a_file_is_replaced_a_wait_is_to_be_tried_again() {
    let world = world();
    let made = world.post("/api/v1/notes", r#"{"title":"Pie"}"#);
    let wait = format!("monolite-at-least: {}", made.header("monolite-commit").unwrap());
    // Of another service, so that it is the wait that answers.
    let ask = || world.send("GET /api/v1/films/none", &["authorization: Bearer ann", &wait], b"");
    let before = ask().status;
    let away = world.host.take_away("Notes").unwrap();
    let told = ask();
    assert_eq!((told.status, told.header("retry-after")), (503, Some("1")), "{}", told.body);
    assert_eq!((told.json()["service"].as_str(), told.json()["retryable"].as_bool()), (Some("Notes"), Some(true)));
    assert!(world.host.fork_of("Notes").is_some(), "what is of no file matches no file's tags");
    away.bring_back().unwrap();
    assert_eq!((ask().status, world.host.fork_of("Notes")), (before, None));
}
