//! What good requests get.

use crate::world::{raw, request, world, world_with};
use monolite_http::{HttpConfig, Page};
use serde_json::Value;
use std::io::{Read, Write};

#[test]
fn creating_says_where_in_which_commit_and_what() {
    let world = world();
    let made = world.post("/api/v1/notes", r#"{"title":"Pie","stars":3,"tags":[{"name":"x"}]}"#);
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), Some(&*format!("/api/v1/notes/{id}")));
    assert_eq!(made.header("content-type"), Some("application/json"));
    assert_eq!(made.header("cache-control"), Some("no-store"));
    assert_eq!(made.header("x-content-type-options"), Some("nosniff"));
    let commit = made.header("monolite-commit").unwrap().to_owned();
    let number: u64 = commit.strip_prefix("Notes=").unwrap().parse().unwrap();
    let again = world.post("/api/v1/notes", r#"{"title":"Cake"}"#);
    assert_eq!(again.header("monolite-commit"), Some(&*format!("Notes={}", number + 1)));

    let read = world.get(made.header("location").unwrap());
    assert_eq!((read.status, read.header("etag")), (200, Some("\"1\"")));
    assert_eq!(read.json(), made.json());
    assert!(read.header("monolite-commit").is_none());
    let timing = read.header("server-timing").unwrap();
    assert!(timing.starts_with("db;dur=") && timing.ends_with(";desc=\"1 statement\""), "{timing}");
}

#[test]
fn a_known_version_is_not_sent_again() {
    let world = world();
    let made = world.post("/api/v1/notes", r#"{"title":"Pie"}"#);
    let line = format!("GET {}", made.header("location").unwrap());
    let with = |header: &str| world.send(&line, &["authorization: Bearer ann", header], b"");
    let known = with("if-none-match: \"1\"");
    assert_eq!((known.status, known.body.as_str(), known.header("etag")), (304, "", Some("\"1\"")));
    assert!(known.header("server-timing").is_some());
    assert_eq!(with("if-none-match: \"0\", W/\"1\"").status, 304);
    assert_eq!(with("if-none-match: *").status, 304);
    assert_eq!(with("if-none-match: \"2\"").status, 200);
    assert_eq!(with("if-none-match: 1").code(), "malformed_if_none_match");
}

#[test]
fn a_version_that_is_asked_for_is_the_one_that_is_answered() {
    let world = world();
    let made = world.post("/api/v1/notes", r#"{"title":"Pie"}"#);
    let line = format!("GET {}", made.header("location").unwrap());
    let with = |line: &str, header: &str| world.send(line, &["authorization: Bearer ann", header], b"");
    assert_eq!(with(&line, "if-match: \"1\"").status, 200);
    for other in ["if-match: \"2\"", "if-match: W/\"1\""] {
        let stale = with(&line, other);
        assert_eq!((stale.status, stale.code().as_str()), (412, "stale"), "{other}");
    }
    assert_eq!(with("GET /api/v1/notes", "if-match: \"1\"").code(), "stale", "a list has no version");
}

#[test]
fn a_head_has_the_headers_of_a_get_and_no_body() {
    let world = world();
    let made = world.post("/api/v1/notes", r#"{"title":"Pie"}"#);
    let path = made.header("location").unwrap();
    let got = world.get(path);
    let head = world.send(&format!("HEAD {path}"), &["authorization: Bearer ann"], b"");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), got.header("content-length"));
    assert_eq!(head.header("etag"), got.header("etag"));
    let missing = world.send("HEAD /api/v1/nothing", &[], b"");
    assert_eq!((missing.status, missing.body.as_str()), (404, ""));
}

#[test]
fn pages_follow_each_other_by_cursor() {
    let world = world();
    for n in 0..5 {
        assert_eq!(world.post("/api/v1/notes", &format!(r#"{{"title":"n{n}"}}"#)).status, 201);
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/notes?limit=2".to_owned();
    loop {
        let page = world.send(&format!("GET {path}"), &[], b"");
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(page.header("cache-control").is_none(), "nobody in particular was answered");
        seen.extend(
            page.json()["items"].as_array().unwrap().iter().map(|note| note["title"].as_str().unwrap().to_owned()),
        );
        match page.json()["next"].as_str() {
            Some(next) => path = format!("/api/v1/notes?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["n0", "n1", "n2", "n3", "n4"]);
}

#[test]
fn deleting_answers_nothing_with_its_commit() {
    let world = world();
    let made = world.post("/api/v1/notes", r#"{"title":"Pie"}"#);
    let path = made.header("location").unwrap();
    let gone = world.send(&format!("DELETE {path}"), &["authorization: Bearer root"], b"");
    assert_eq!((gone.status, gone.body.as_str()), (204, ""), "{}", gone.head);
    assert!(gone.header("monolite-commit").is_some() && gone.header("content-type").is_none());
    assert_eq!(world.get(path).status, 404);
}

#[test]
fn an_upload_comes_back_as_it_was_and_never_runs_as_a_page() {
    let world = world();
    let bytes: Vec<u8> = (0..=127).collect();
    let put = world.send("PUT /api/v1/images/a", &["authorization: Bearer ann", "content-type: text/html"], &bytes);
    assert_eq!(put.status, 204, "{}", put.body);
    let got = world.send("GET /api/v1/images/a", &[], b"");
    assert_eq!((got.status, got.body.as_bytes()), (200, &bytes[..]));
    assert_eq!(got.header("content-type"), Some("text/html"));
    assert_eq!(got.header("content-security-policy"), Some("default-src 'none'; sandbox"));
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(got.header("etag"), Some("\"7\""));
}

#[test]
fn a_large_body_is_decoded_off_the_workers_with_the_same_outcome() {
    let world = world();
    let members: Vec<String> = (0..9000).map(|n| format!("\"member{n}\":{n}")).collect();
    let text = format!("{{{}}}", members.join(","));
    assert!(text.len() > HttpConfig::default().inline_body_max);
    assert_eq!(world.json("PUT", "/api/v1/texts/a", &text).status, 204);
    let twice = format!("{},\"member8\":1}}", &text[..text.len() - 1]);
    let refused = world.json("PUT", "/api/v1/texts/a", &twice);
    assert_eq!((refused.status, refused.code().as_str()), (400, "duplicate_field"), "{}", refused.body);
}

#[test]
fn ids_of_requests_and_traces_are_carried() {
    let world = world();
    let parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = world.send("GET /api/v1/nothing", &[parent, "x-request-id: r-1"], b"");
    assert_eq!(answer.header("x-request-id"), Some("r-1"));
    assert_eq!(answer.json()["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(answer.header("traceparent").unwrap().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    let plain = world.send("GET /api/v1/notes", &["x-request-id: a b"], b"");
    assert!(plain.header("x-request-id").is_none() && plain.header("traceparent").is_none());
}

#[test]
fn one_connection_serves_pipelined_requests_in_order() {
    let world = world();
    let one = String::from_utf8(request("GET /own", &[], b"")).unwrap().replace("connection: close\r\n", "");
    let last = String::from_utf8(request("GET /livez", &[], b"")).unwrap();
    let answer = raw(world.at, format!("{one}{one}{last}").as_bytes());
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body.matches("mine").count(), 2);
    assert!(answer.body.ends_with("ok\n"));
}

#[test]
fn health_lists_every_service_and_a_drain_is_not_ready() {
    let world = world();
    assert_eq!(world.send("GET /livez", &[], b"").body, "ok\n");
    assert_eq!(world.send("GET /up", &[], b"").body, "ready\n");
    let verbose = world.send("GET /readyz?verbose", &[], b"");
    assert_eq!(
        (verbose.status, verbose.body.as_str()),
        (200, "[+] accepting\n[+] Notes serving\n[+] Films serving\nready\n")
    );
    let admin = raw(world.admin, &request("GET /readyz?verbose", &[], b""));
    assert_eq!(
        (admin.status, admin.body.as_str()),
        (200, "[+] accepting\n[+] Notes serving\n[+] Films serving\nready\n")
    );

    // One connection that was open before the drain still asks.
    let mut open = std::net::TcpStream::connect(world.at).unwrap();
    open.write_all(b"GET /readyz?verbose HTTP/1.1\r\nhost: x\r\n").unwrap();
    world.host.shutdown().unwrap();
    open.write_all(b"\r\n").unwrap();
    let mut buffer = [0; 1024];
    let n = open.read(&mut buffer).unwrap();
    let answer = String::from_utf8_lossy(&buffer[..n]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("[-] Notes closed"), "{answer}");
}

#[test]
fn metrics_count_what_happened() {
    let world = world();
    let made = world.post("/api/v1/notes", r#"{"title":"Pie"}"#);
    world.get(made.header("location").unwrap());
    world.get("/api/v1/nothing");
    let page = raw(world.admin, &request("GET /metrics", &[], b""));
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    for line in [
        "monolite_http_requests_total{method=\"POST\",route=\"/api/v1/notes\",status=\"2xx\"} 1",
        "monolite_http_requests_total{method=\"GET\",route=\"/api/v1/notes/{id}\",status=\"2xx\"} 1",
        "monolite_http_requests_total{method=\"ANY\",route=\"other\",status=\"4xx\"} 1",
        "monolite_http_problems_total{code=\"not_found\"} 1",
        "monolite_http_requests_in_flight 0",
        "monolite_call_seconds_count{service=\"Notes\",message=\"Notes.AddNote\"} 1",
        "monolite_writer_hold_seconds_count{service=\"Notes\"} 1",
        "monolite_writer_commit_seconds_count{service=\"Notes\"} 1",
        "monolite_writer_group_writes_count{service=\"Notes\"} 1",
        "monolite_writer_queue_depth{service=\"Notes\"} 0",
        "monolite_store_serving{service=\"Notes\"} 1",
    ] {
        assert!(page.body.lines().any(|found| found == line), "{line} is not in\n{}", page.body);
    }
    for family in [
        "monolite_wal_bytes",
        "monolite_file_bytes",
        "monolite_slow_lane_moves_total",
        "monolite_checkpoint_seconds",
        "monolite_writer_wait_seconds",
    ] {
        assert!(page.body.contains(&format!("# TYPE {family} ")), "{family}");
    }
    let open = page.body.lines().find_map(|line| line.strip_prefix("monolite_http_connections "));
    assert!(open.is_some_and(|open| open.parse::<u64>().unwrap() >= 1), "this one is open");
    assert!(page.body.contains("le=\"0.000001\"") && page.body.contains("le=\"10.0\""));
    assert_eq!(world.send("GET /metrics", &[], b"").status, 404, "metrics are not public");
}

#[test]
fn every_route_is_in_the_openapi_document() {
    let world = world();
    let answer = world.send("GET /openapi.json", &[], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    for route in world.host.routes() {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = &document["paths"][format!("/api/v1{}", route.path)][&method];
        assert_eq!(operation["operationId"], route.message, "{} {}", route.method, route.path);
        assert!(operation["responses"]["default"].is_object());
    }
    let put = &document["paths"]["/api/v1/notes/{id}"]["put"];
    let names: Vec<&str> = put["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["id", "If-Match"]);
    let fields = put["requestBody"]["content"]["application/json"]["schema"]["properties"].as_object().unwrap();
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["title"]);
    let list = &document["paths"]["/api/v1/notes"]["get"];
    let names: Vec<&str> = list["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["prefix", "stars", "limit", "cursor", "If-Match", "If-None-Match", "Monolite-At-Least"]);
    assert_eq!(list["security"], serde_json::json!([]));
    assert_every_reference_resolves(&document, &document);
}

fn assert_every_reference_resolves(part: &Value, document: &Value) {
    match part {
        Value::Object(object) => {
            if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                let found = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
                assert!(found.is_some(), "{reference} leads nowhere");
            }
            object.values().for_each(|inner| assert_every_reference_resolves(inner, document));
        }
        Value::Array(items) => items.iter().for_each(|inner| assert_every_reference_resolves(inner, document)),
        _ => {}
    }
}

#[test]
fn static_pages_come_with_their_policy() {
    let page = Page {
        path: "/demo",
        content_type: "text/html; charset=utf-8",
        policy: "default-src 'self'",
        body: b"<p>hello</p>",
    };
    let world = world_with(HttpConfig { pages: vec![page], ..HttpConfig::default() });
    let answer = world.send("GET /demo", &[], b"");
    assert_eq!((answer.status, answer.body.as_str()), (200, "<p>hello</p>"));
    assert_eq!(answer.header("content-security-policy"), Some("default-src 'self'"));
    assert_eq!(world.send("GET /demo/x", &[], b"").status, 404);
}

#[test]
fn a_large_reply_is_written_off_the_workers_and_a_small_one_on_them() {
    let world = world();
    for (bytes, expected) in [(10, "tokio-rt-worker"), (300_000, "large-replies")] {
        let answer = world.get(&format!("/api/v1/long?bytes={bytes}"));
        assert_eq!((answer.status, answer.json()["text"].as_str().unwrap().len()), (200, bytes));
        assert_eq!(answer.json()["written_on"], expected);
    }
}
