//! What happens at the bounds of what the process takes on at once: bodies, and changes under way.

use crate::notes;
use crate::world::{raw, request, world_with};
use monolite_http::HttpConfig;
use std::io::Write;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

#[test]
fn bodies_beyond_the_room_for_all_wait_shortly_and_are_refused() {
    let (body_max, body_wait) = (200_000, Duration::from_millis(50));
    let world = world_with(HttpConfig { body_max, bodies_max: 204_800, body_wait, ..HttpConfig::default() });
    let text = format!("\"{}\"", "x".repeat(150_000));
    let put = request("PUT /api/v1/texts/a", &["content-type: application/json", "content-length: 160000"], b"");
    let mut holding = std::net::TcpStream::connect(world.at).unwrap();
    holding.write_all(&[&put, text.as_bytes()].concat()).unwrap();
    let held = || raw(world.admin, &request("GET /metrics", &[], b"")).body.contains("monolite_http_body_bytes 150528");
    let began = std::time::Instant::now();
    while !held() {
        assert!(began.elapsed() < Duration::from_secs(10), "the body that is half there holds room");
    }
    let own = world.send("PUT /api/v1/texts/b", &["content-type: application/json"], text.as_bytes());
    assert_eq!((own.status, own.code().as_str()), (429, "too_many_bodies"), "the same address has the room");
    let refused = world.json("PUT", "/api/v1/texts/b", &text);
    assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_bodies"));
    assert!(refused.header("retry-after").is_some() && refused.header("connection") == Some("close"));
    assert_eq!(world.get("/api/v1/notes").status, 200, "who has no body needs no room");
    drop(holding);
    let began = std::time::Instant::now();
    while world.send("PUT /api/v1/texts/b", &["content-type: application/json"], text.as_bytes()).status != 204 {
        assert!(began.elapsed() < Duration::from_secs(10), "the room was not given back");
    }
}

#[test]
fn a_body_that_stops_coming_is_answered_408() {
    let world = world_with(HttpConfig { body_pause: Duration::from_millis(50), ..HttpConfig::default() });
    let part = request("PUT /api/v1/texts/a", &["content-type: application/json", "content-length: 100"], b"\"x");
    let answer = raw(world.at, &part);
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_too_slow"));
}

#[test]
fn changes_beyond_the_limit_are_refused_and_reads_are_not() {
    let world = world_with(HttpConfig { changes_max: 2, ..HttpConfig::default() });
    let hang = || {
        let mut hanging = std::net::TcpStream::connect(world.at).unwrap();
        hanging.write_all(&request("POST /api/v1/hang", &[], b"")).unwrap();
        hanging
    };
    let mut hanging = vec![hang(), hang()];
    let metrics = || raw(world.admin, &request("GET /metrics", &[], b"")).body;
    let began = std::time::Instant::now();
    while !metrics().contains("monolite_http_changes_under_way{service=\"Notes\"} 2") {
        assert!(began.elapsed() < Duration::from_secs(10), "both are under way");
    }
    // The same address has both places; a user has none.
    let own = world.send("POST /api/v1/break/stale", &[], b"");
    assert_eq!((own.status, own.code().as_str()), (429, "too_many_requests"));
    let other = world.post("/api/v1/notes", r#"{"title":"a"}"#);
    assert_eq!((other.status, other.code().as_str()), (503, "overloaded"));
    for refused in [&own, &other] {
        let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=30).contains(&after) && refused.json()["retryable"] == true);
    }
    assert!(metrics().contains("monolite_http_changes_refused_total{service=\"Notes\",fault=\"tenant\"} 1"));
    assert_eq!(world.get("/api/v1/notes").status, 200);
    drop(hanging.pop());
    let began = std::time::Instant::now();
    while world.post("/api/v1/notes", r#"{"title":"b"}"#).status != 201 {
        assert!(began.elapsed() < Duration::from_secs(10), "the place was not given back");
    }
}

#[test]
fn operators_see_who_holds_the_writer_in_which_trace_and_for_how_long() {
    let world = world_with(HttpConfig::default());
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01");
    let (began, stop) = (sync_channel(1), sync_channel::<()>(1));
    notes::on_block(began.0, stop.1);
    std::thread::scope(|scope| {
        scope.spawn(|| world.send("POST /api/v1/break/block", &["authorization: Bearer ann", &parent], b""));
        began.1.recv_timeout(Duration::from_secs(10)).expect("the write has begun");
        let all = raw(world.admin, &request("GET /admin/writers", &[], b""));
        let writer = &all.json()[0];
        let holder = &writer["holder"];
        assert_eq!((&writer["service"], &holder["message"]), (&"Notes".into(), &"Notes.Break".into()), "{writer}");
        assert_eq!((&holder["trace_id"], &writer["queued"]), (&trace.into(), &0.into()), "{writer}");
        assert!(holder["held_us"].as_u64().is_some() && holder["tenant"] != "system", "{writer}");
        stop.0.send(()).unwrap();
    });
    assert_eq!(raw(world.at, &request("GET /admin/writers", &[], b"")).status, 404, "not on the public address");
}
