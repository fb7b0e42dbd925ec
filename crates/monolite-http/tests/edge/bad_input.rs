//! What bad input gets: a clear problem, with nothing lost, half done or told that should not be.

use crate::world::{Answer, World, raw, request, world, world_with};
use monolite_http::{HttpConfig, Limits};
use std::time::Duration;

/// Words that no answer may have: of SQL, of the machine, of panics and secrets.
const NEVER: [&str; 12] = [
    "secret",
    "SELECT",
    "INSERT",
    "sqlite",
    "SQLite",
    "rusqlite",
    "panicked at",
    "/tmp",
    ".rs:",
    "no such table",
    "NOT NULL",
    "RUST",
];

/// Codes of the toy service; the edge's own are in the guide.
const OF_THE_TOY: [&str; 3] = ["note_not_found", "title_taken", "too_large"];

fn assert_problem(what: &str, answer: &Answer, status: u16, code: &str) {
    let guide = include_str!("../../../../docs/guide/http.md");
    let told = guide.lines().any(|line| line.starts_with(&format!("| `{code}` | {status} |")));
    assert!(told || OF_THE_TOY.contains(&code), "the guide does not tell of {code} with {status}");
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {}\n{}", answer.head, answer.body);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
    assert!(answer.header("server-timing").is_some(), "{what}");
    let json = answer.json();
    assert_eq!(json["type"], format!("urn:monolite:problem:{code}"), "{what}");
    assert_eq!(json["status"], status, "{what}");
    assert!(json["title"].is_string() && json["detail"].is_string() && json["retryable"].is_boolean(), "{what}");
    assert_eq!(json["trace_id"].as_str().map(str::len), Some(32), "{what}");
    for never in NEVER {
        assert!(!answer.body.contains(never) && !answer.head.contains(never), "{what} tells {never}: {}", answer.body);
    }
    if matches!(status, 429 | 503) {
        assert!(answer.header("retry-after").is_some(), "{what}");
    }
    assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{what}");
}

fn count(world: &World) -> usize {
    world.get("/api/v1/notes").json()["items"].as_array().unwrap().len()
}

#[test]
fn bad_bodies_are_refused_and_nothing_is_written() {
    let world = world();
    let deep = format!(r#"{{"title":"a","tags":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    let deep_whole = format!("{}{}", "[".repeat(65), "]".repeat(65));
    for (body, status, code, field) in [
        ("", 400, "missing_field", "/title missing_field"),
        ("{", 400, "malformed_json", ""),
        ("null", 400, "wrong_type", " wrong_type"),
        ("[]", 400, "wrong_type", " wrong_type"),
        (r#"{"title":"a"}}"#, 400, "malformed_json", ""),
        (r#"{"title":"a","title":"b"}"#, 400, "duplicate_field", "/title duplicate_field"),
        (r#"{"title":"a","tags":[{"name":"x","name":"y"}]}"#, 400, "duplicate_field", "/tags/0/name duplicate_field"),
        (r#"{"title":"a","titel":"b"}"#, 400, "unknown_field", "/titel unknown_field"),
        (r#"{"title":"a","tags":[{"name":"x","more":1}]}"#, 400, "unknown_field", "/tags/0/more unknown_field"),
        (r#"{"title":7}"#, 400, "wrong_type", "/title wrong_type"),
        (r#"{"title":"a","stars":"many"}"#, 400, "wrong_type", "/stars wrong_type"),
        (r#"{"title":"a","stars":1.5}"#, 400, "wrong_type", "/stars wrong_type"),
        (r#"{"stars":1}"#, 400, "missing_field", "/title missing_field"),
        (r#"{"titel":1,"stars":"many"}"#, 400, "unknown_field", "/titel unknown_field"),
        (r#"{"title":"a","stars":-1}"#, 422, "invalid", "/stars invalid"),
        (r#"{"title":"a","stars":99999999999}"#, 422, "invalid", "/stars invalid"),
        (r#"{"title":"  "}"#, 422, "invalid", "/title invalid"),
        (&deep, 400, "wrong_type", "/tags/0 wrong_type"),
    ] {
        let answer = world.post("/api/v1/notes", body);
        let what = format!("POST {body}");
        assert_problem(&what, &answer, status, code);
        if !field.is_empty() {
            assert_eq!(answer.field(), field, "{what}: {}", answer.body);
            assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 1, "{what}: {}", answer.body);
        }
    }
    let answer = world.json("PUT", "/api/v1/texts/a", &deep_whole);
    assert_problem("deep", &answer, 400, "too_deep");
    assert_eq!(world.json("PUT", "/api/v1/texts/a", &deep_whole[1..129]).status, 204, "64 deep is fine");
    let answer = world.send(
        "POST /api/v1/notes",
        &["authorization: Bearer ann", "content-type: application/json"],
        b"{\"title\":\"\xc3\x28\"}",
    );
    assert_problem("bad UTF-8", &answer, 400, "bad_utf8");
    assert_eq!(count(&world), 0, "nothing was written");
}

#[test]
fn sql_in_every_field_is_only_text() {
    let world = world();
    let sql = "x'); DROP TABLE notes; --";
    let made = world.post("/api/v1/notes", &format!(r#"{{"title":"{sql}","tags":[{{"name":"{sql}"}}]}}"#));
    assert_eq!((made.status, made.json()["title"].as_str()), (201, Some(sql)));
    assert_eq!(
        world.get("/api/v1/notes?prefix=x%27)%3B%20DROP%20TABLE%20notes%3B%20--").json()["items"][0]["title"],
        sql
    );
    assert_problem("id", &world.get("/api/v1/notes/1%20OR%201=1"), 400, "wrong_type");
    let cursor = world.get("/api/v1/notes?cursor=x%27)%3B%20DROP%20TABLE%20notes%3B%20--");
    assert_eq!(cursor.status, 422, "{}", cursor.body);
    assert_eq!(count(&world), 1);
}

#[test]
fn bad_paths_and_queries_are_refused() {
    let world = world();
    let id = "00000000-0000-7000-8000-000000000000";
    for (path, status, code, field) in [
        (format!("/api/v1/notes/{id}"), 404, "note_not_found", ""),
        ("/api/v1/notes/7".into(), 400, "wrong_type", "/id wrong_type"),
        ("/api/v1/notes/%FF".into(), 400, "bad_utf8", ""),
        ("/api/v1/notes/%4".into(), 400, "malformed_target", ""),
        (format!("/api/v1/notes/{id}?id={id}"), 400, "duplicate_field", "/id duplicate_field"),
        (format!("/api/v1/notes/{id}?more=1"), 400, "unknown_field", "/more unknown_field"),
        ("/api/v1/notes?stars=many".into(), 400, "wrong_type", "/stars wrong_type"),
        ("/api/v1/notes?stars=01".into(), 400, "wrong_type", "/stars wrong_type"),
        ("/api/v1/notes?stars=1&stars=2".into(), 400, "duplicate_field", "/stars duplicate_field"),
        ("/api/v1/notes?prefix=%C3%28".into(), 400, "bad_utf8", ""),
        ("/api/v1/notes?page=1".into(), 400, "unknown_field", "/page unknown_field"),
        ("/api/v1/notes?limit=abc".into(), 400, "wrong_type", "/limit wrong_type"),
        ("/api/v1/notes?limit=".into(), 400, "wrong_type", "/limit wrong_type"),
        ("/api/v1/notes?limit=0".into(), 422, "invalid", ""),
        ("/api/v1/notes?limit=-1".into(), 422, "invalid", "/limit invalid"),
        ("/api/v1/notes?cursor=nonsense".into(), 422, "invalid", ""),
        ("/api/v1/nothing".into(), 404, "not_found", ""),
        ("/api/v1/notes/".into(), 404, "not_found", ""),
        ("/api/v1".into(), 404, "not_found", ""),
        ("/nothing".into(), 404, "not_found", ""),
        ("/../etc/passwd".into(), 404, "not_found", ""),
    ] {
        let answer = world.get(&path);
        assert_problem(&path, &answer, status, code);
        if !field.is_empty() {
            assert_eq!(answer.field(), field, "{path}");
        }
    }
    let long = format!("/api/v1/notes?prefix={}", "x".repeat(9000));
    assert_problem("a long target", &world.get(&long), 414, "target_too_long");
}

#[test]
fn methods_and_content_types_are_checked() {
    let world = world();
    let json = "content-type: application/json";
    for (line, allow) in [
        ("DELETE /api/v1/notes", "GET, HEAD, POST"),
        ("PATCH /api/v1/notes/x", "DELETE, GET, HEAD, PUT"),
        ("TRACE /api/v1/notes", "GET, HEAD, POST"),
        ("POST /livez", "GET, HEAD"),
        ("POST /own", "GET,HEAD"),
    ] {
        let answer = world.send(line, &["authorization: Bearer root"], b"");
        assert_problem(line, &answer, 405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{line}");
    }
    for kind in ["content-type: text/plain", "content-type: application/json; charset=latin1", "x: y"] {
        let answer = world.send("POST /api/v1/notes", &["authorization: Bearer ann", kind], br#"{"title":"a"}"#);
        assert_problem(kind, &answer, 415, "unsupported_media_type");
    }
    let answer = world.send("GET /api/v1/notes", &[json], b"{}");
    assert_problem("a body where none belongs", &answer, 400, "body_not_expected");
    assert_eq!(count(&world), 0);
}

#[test]
fn nobody_comes_in_without_a_good_token() {
    let world = world();
    for (token, status, code) in [
        ("x: y", 401, "unauthenticated"),
        ("authorization: Bearer nobody", 401, "unauthenticated"),
        ("authorization: Bearer ", 401, "unauthenticated"),
        ("authorization: Basic YW5uOg==", 401, "unauthenticated"),
        ("authorization: bearer ann\r\nauthorization: Bearer root", 401, "unauthenticated"),
        ("authorization: Bearer ann", 403, "forbidden"),
        ("authorization: Bearer broken", 500, "internal"),
        ("authorization: Bearer panic", 500, "panicked"),
    ] {
        let path = "DELETE /api/v1/notes/00000000-0000-7000-8000-000000000000";
        let answer = world.send(path, &[token], b"");
        assert_problem(token, &answer, status, code);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    // A bad token is no anonymous caller, also where anyone may come in.
    assert_problem(
        "a bad token",
        &world.send("GET /api/v1/notes", &["authorization: Bearer x"], b""),
        401,
        "unauthenticated",
    );
    // Who may not come in learns nothing about the rest, and sends no body.
    let answer = world.send("POST /api/v1/notes?what=1", &["content-type: text/plain"], b"{");
    assert_problem("nobody with a bad body", &answer, 401, "unauthenticated");
}

#[test]
fn preconditions_are_read_strictly() {
    let world = world();
    let made = world.post("/api/v1/notes", r#"{"title":"a"}"#);
    let path = made.header("location").unwrap().to_owned();
    let put = |precondition: &str, title: &str| {
        let headers = ["authorization: Bearer ann", "content-type: application/json", precondition];
        world.send(&format!("PUT {path}"), &headers, format!(r#"{{"title":"{title}"}}"#).as_bytes())
    };
    for bad in ["if-match: 1", "if-match: \"1", "if-match: *", "if-match: \"1\", \"2\""] {
        assert_problem(bad, &put(bad, "b"), 400, "malformed_if_match");
    }
    assert_problem("stale", &put("if-match: \"9\"", "b"), 412, "stale");
    assert_problem("weak", &put("if-match: W/\"1\"", "b"), 412, "stale");
    assert_problem("foreign", &put("if-match: \"abc\"", "b"), 412, "stale");
    assert_problem("huge", &put("if-match: \"18446744073709551615\"", "b"), 412, "stale");
    let headers = ["authorization: Bearer ann", "content-type: application/json", "if-match: \"abc\""];
    let missing = "PUT /api/v1/notes/00000000-0000-7000-8000-000000000000";
    assert_problem(
        "foreign tag, no such note",
        &world.send(missing, &headers, br#"{"title":"b"}"#),
        404,
        "note_not_found",
    );
    assert_problem("foreign tag, bad body", &world.send(missing, &headers, b"{"), 400, "malformed_json");
    assert_problem("if-none-match", &put("if-none-match: *", "b"), 400, "precondition_unsupported");
    assert_eq!(world.get(&path).json()["title"], "a", "nothing was changed");
    let good = put("if-match: \"1\"", "b");
    assert_eq!((good.status, good.header("etag")), (200, Some("\"2\"")), "{}", good.body);
    assert_problem("used twice", &put("if-match: \"1\"", "c"), 412, "stale");
    let headers = ["authorization: Bearer root", "if-match: \"1\""];
    let answer = world.send(&format!("DELETE {path}"), &headers, b"");
    assert_problem("not understood", &answer, 400, "precondition_unsupported");
    assert_eq!(world.get(&path).json()["title"], "b");
    let in_body = world.json("PUT", &path, r#"{"title":"c","if_match":2}"#);
    assert_problem("if_match in the body", &in_body, 400, "unknown_field");
}

#[test]
fn large_bodies_are_refused_by_the_limit_of_the_route() {
    let world = world_with(HttpConfig { body_max: 500, ..HttpConfig::default() });
    let note = format!(r#"{{"title":"{}"}}"#, "x".repeat(600));
    assert_problem("a note", &world.post("/api/v1/notes", &note), 413, "body_too_large");
    let text = format!("\"{}\"", "x".repeat(100_000));
    assert_eq!(world.json("PUT", "/api/v1/texts/a", &text).status, 204, "this route's limit is larger");
    let text = format!("\"{}\"", "x".repeat(200_000));
    assert_problem("a text", &world.json("PUT", "/api/v1/texts/a", &text), 413, "body_too_large");
    let image = |bytes: usize| world.send("PUT /api/v1/images/a", &["authorization: Bearer ann"], &vec![7; bytes]);
    assert_eq!(image(1000).status, 204);
    assert_problem("an image", &image(1001), 413, "body_too_large");
    // Without a length, the limit holds while the pieces come.
    let mut pieces = Vec::new();
    for _ in 0..10 {
        pieces.extend_from_slice(b"64\r\n");
        pieces.extend_from_slice(&[b'x'; 100]);
        pieces.extend_from_slice(b"\r\n");
    }
    pieces.extend_from_slice(b"0\r\n\r\n");
    let headers = ["authorization: Bearer ann", "content-type: application/json", "transfer-encoding: chunked"];
    assert_problem("pieces", &world.send("POST /api/v1/notes", &headers, &pieces), 413, "body_too_large");
    // A peer that waits to be asked is refused before it sends a byte.
    let headers = [
        "authorization: Bearer ann",
        "content-type: application/json",
        "expect: 100-continue",
        "content-length: 9000000000",
    ];
    let answer = world.send("POST /api/v1/notes", &headers, b"");
    assert_problem("expect", &answer, 413, "body_too_large");
    assert!(!answer.head.contains("100 Continue"));
    assert_eq!(count(&world), 0);
}

#[test]
fn heads_above_the_limits_are_refused() {
    let world = world();
    let one = format!("x: {}", "y".repeat(17_000));
    assert_problem("a large header", &world.send("GET /api/v1/notes", &[&one], b""), 431, "headers_too_large");
    let many: Vec<String> = (0..80).map(|n| format!("x{n}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_problem("many headers", &world.send("GET /api/v1/notes", &many, b""), 431, "headers_too_large");
    let hundreds: Vec<String> = (0..200).map(|n| format!("x{n}: y")).collect();
    let hundreds: Vec<&str> = hundreds.iter().map(String::as_str).collect();
    assert_eq!(world.send("GET /api/v1/notes", &hundreds, b"").status, 431);
}

#[test]
fn what_does_not_end_in_time_is_ended() {
    let limits = Limits { request_time: Duration::from_millis(200), ..Limits::default() };
    let world = world_with(HttpConfig { limits, ..HttpConfig::default() });
    // A body that stops half way.
    let headers = ["authorization: Bearer ann", "content-type: application/json", "content-length: 100"];
    assert_problem("half a body", &world.send("POST /api/v1/notes", &headers, b"{\"title\""), 408, "request_too_slow");
    // A flow that never ends: its own deadline is the request's.
    let answer = world.send("POST /api/v1/hang", &[], b"");
    assert_problem("a hanging flow", &answer, 503, "late");
    assert_eq!(answer.json()["retryable"], false, "a flow may have done some of its steps");
    assert_eq!(count(&world), 0);
}

#[test]
fn a_body_shorter_than_its_length_writes_nothing() {
    let world = world();
    let headers = ["authorization: Bearer ann", "content-type: application/json", "content-length: 100"];
    let mut stream = std::net::TcpStream::connect(world.at).unwrap();
    std::io::Write::write_all(&mut stream, &request("POST /api/v1/notes", &headers, br#"{"title":"a"}"#)).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("201"));
    assert_eq!(count(&world), 0);
}

#[test]
fn each_kind_of_failure_has_its_status_and_tells_nothing_internal() {
    let world = world();
    for (how, status, code, retryable) in [
        ("panic", 500, "panicked", false),
        ("sql", 500, "internal", false),
        ("constraint", 500, "internal", false),
        ("internal", 500, "internal", false),
        ("corrupt", 500, "corrupt", false),
        ("stale", 412, "stale", false),
        ("too_large", 413, "too_large", false),
        ("late", 503, "late", true),
        ("overloaded", 503, "overloaded", true),
        ("unknown", 503, "outcome_unknown", false),
        ("read_only", 503, "read_only", true),
        ("closed", 503, "closed", true),
        ("unavailable", 503, "unavailable", true),
        ("too_long", 503, "too_long", false),
        ("full", 507, "full", true),
    ] {
        let answer = world.post(&format!("/api/v1/break/{how}"), "");
        assert_problem(how, &answer, status, code);
        assert_eq!(answer.json()["retryable"], retryable, "{how}");
        assert_eq!(answer.json()["service"], "Notes", "{how}");
        assert_eq!(answer.json()["instance"], format!("/api/v1/break/{how}"));
    }
    assert_problem("own routes", &world.get("/own/panic"), 500, "panicked");
    assert_eq!(world.get("/own").body, "mine", "and the next request is served");
}

#[test]
fn a_taken_title_is_a_conflict() {
    let world = world();
    assert_eq!(world.post("/api/v1/notes", r#"{"title":"a"}"#).status, 201);
    assert_problem("taken", &world.post("/api/v1/notes", r#"{"title":"a"}"#), 409, "title_taken");
    assert_eq!(count(&world), 1);
}

#[test]
fn garbage_gets_an_answer_and_the_next_one_is_served() {
    let world = world();
    for garbage in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nx y\r\n\r\n",
        b"\r\n\r\n\r\n\0\0\0\0 / \r\n\r\n",
    ] {
        let mut all = garbage.to_vec();
        all.extend_from_slice(b"\r\n\r\n");
        let answer = raw(world.at, &all);
        assert_eq!(answer.status, 400, "{garbage:?}: {}", answer.head);
    }
    assert_eq!(world.get("/own").body, "mine");
}
