//! Bodies that never are in memory whole, over a real socket: pace, breaks, refusals, bounds.

use crate::films::{self, CLIP_MAX, FILM_MAX};
use crate::world::{Answer, World, raw, request, world, world_with};
use monolite_http::{HttpConfig, Limits, Listen, Metrics, Stop, router, serve};
use monolite_runtime::{Assembly, block_on};
use monolite_service::{Bytes, Error, FailureKind, Outcome, POST, PUT, Service, SignedIn, Tx, message, mib};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const PIECE: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(20);

fn film(length: usize) -> Vec<u8> {
    (0..length).map(|n| b'a' + ((n * 7 + n / 65_521) % 26) as u8).collect()
}

fn put(world: &World, name: &str, bytes: &[u8]) -> Answer {
    world.send(&format!("PUT /api/v1/films/{name}"), &[], bytes)
}

fn begin(world: &World, line: &str, headers: &[&str], body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(world.at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&request(line, headers, body)).unwrap();
    stream
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
    }
}

fn length(world: &World, name: &str) -> String {
    world.get(&format!("/api/v1/films/{name}/length")).body
}

fn streams(world: &World) -> String {
    let page = raw(world.admin, &request("GET /metrics", &[], b"")).body;
    page.lines().find_map(|line| line.strip_prefix("monolite_http_streams ")).unwrap().to_owned()
}

#[test]
fn a_film_goes_in_and_comes_out_sized_or_in_chunks() {
    let world = world();
    let bytes = film(5 * PIECE + 4321);
    assert_eq!(put(&world, "sized", &bytes).status, 204);
    let mut chunked = Vec::new();
    for chunk in bytes.chunks(40_000) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let sent = world.send("PUT /api/v1/films/chunked", &["transfer-encoding: chunked"], &chunked);
    assert_eq!(sent.status, 204, "{}", sent.body);
    for name in ["sized", "chunked"] {
        let got = world.get(&format!("/api/v1/films/{name}"));
        assert!(got.status == 200 && got.body.as_bytes() == bytes, "{name}: {}", got.head);
        let total = bytes.len().to_string();
        assert_eq!(got.header("content-length"), Some(total.as_str()));
        let head = world.send(&format!("HEAD /api/v1/films/{name}"), &[], b"");
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(head.header("content-length"), Some(total.as_str()));
    }
    let part = world.send("GET /api/v1/films/sized", &["range: bytes=65000-131500"], b"");
    assert!(part.status == 206 && part.body.as_bytes() == &bytes[65_000..131_501]);
}

#[test]
fn a_sender_that_stops_is_let_go_and_what_came_is_kept() {
    let limits = Limits { piece_time: Duration::from_millis(100), ..Limits::default() };
    let world = world_with(HttpConfig { limits, ..HttpConfig::default() });
    let total = format!("content-length: {}", 10 * PIECE);
    let stopped = request("PUT /api/v1/films/stopped", &[&total], &film(3 * PIECE + 77));
    let answer = raw(world.at, &stopped);
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_too_slow"));
    assert_eq!(length(&world, "stopped"), (3 * PIECE).to_string());
    assert_eq!(streams(&world), "0");
}

#[test]
fn a_sender_of_single_bytes_is_let_go_too() {
    let limits = Limits { piece_time: Duration::from_millis(150), ..Limits::default() };
    let world = world_with(HttpConfig { limits, ..HttpConfig::default() });
    let mut sender = begin(&world, "PUT /api/v1/films/drip", &["content-length: 100000"], b"");
    sender.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let (began, mut answer) = (Instant::now(), [0; 1024]);
    // Waiting for an answer is the pace of the drip.
    let length = loop {
        assert!(began.elapsed() < PATIENCE, "each byte bought it more time");
        let _ = sender.write_all(b"x");
        match sender.read(&mut answer) {
            Ok(length) => break length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert!(answer[..length].starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer[..length]));
}

#[test]
fn a_body_that_does_not_say_its_length_ends_at_the_limit() {
    let world = world();
    let chunk = film(40_000);
    let mut chunked = Vec::new();
    for _ in 0..3 {
        chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunked.extend(&chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let answer = world.send("PUT /api/v1/clips/a", &["transfer-encoding: chunked"], &chunked);
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    assert_eq!(length(&world, "a"), PIECE.to_string(), "what came before is kept");
    let said = world.send("PUT /api/v1/clips/b", &[], &film(CLIP_MAX as usize + 1));
    assert_eq!((said.status, said.code().as_str()), (413, "body_too_large"));
    assert_eq!(length(&world, "b"), "0", "who says it is refused before the first byte");
}

#[test]
fn a_body_that_breaks_off_leaves_the_pieces_that_came() {
    let world = world();
    let total = format!("content-length: {}", 10 * PIECE);
    drop(begin(&world, "PUT /api/v1/films/gone", &[&total], &film(2 * PIECE + 9)));
    until("two pieces are kept", || length(&world, "gone") == (2 * PIECE).to_string());
    let stream = begin(&world, "PUT /api/v1/films/shut", &[&total], &film(PIECE));
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    until("one piece is kept", || length(&world, "shut") == PIECE.to_string());
    until("nobody holds a place", || streams(&world) == "0");
}

#[test]
fn whoever_is_refused_reads_why() {
    let world = world();
    let bytes = film(12 * PIECE);
    for (name, status, code) in [("refused", 409, "no_film"), ("half", 409, "half_a_film"), ("broken", 500, "panicked")]
    {
        let answer = put(&world, name, &bytes);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}");
        assert_eq!(answer.header("connection"), Some("close"), "{name}");
        assert!(!answer.body.contains("secret"));
    }
    let large = format!("content-length: {}", FILM_MAX + 1);
    let answer = world.send("PUT /api/v1/films/large", &[&large, "expect: 100-continue"], b"");
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    let unknown = world.send("PUT /api/v1/films/a", &["upload-offset: 0"], b"x");
    assert_eq!((unknown.status, unknown.code().as_str()), (400, "malformed_upload_header"));
    assert_eq!(put(&world, "fine", &bytes).status, 204, "the server goes on");
}

#[test]
fn a_body_that_would_not_be_taken_as_its_sender_means_it_is_refused() {
    let world = world();
    for (header, status, code) in [
        ("content-encoding: gzip", 415, "unsupported_media_type"),
        ("content-range: bytes 0-9/100", 400, "malformed_upload_header"),
        ("transfer-encoding: gzip, chunked", 415, "unsupported_media_type"),
    ] {
        let body: &[u8] = if header.starts_with("transfer") { b"1\r\nx\r\n0\r\n\r\n" } else { b"x" };
        let answer = world.send("PUT /api/v1/films/odd", &[header], body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{header}");
        let name = header.split(':').next().unwrap();
        assert!(answer.json()["detail"].as_str().unwrap().to_lowercase().contains(name), "{}", answer.body);
    }
    assert_eq!(world.get("/api/v1/films/odd").status, 404, "something of it was taken");
    let plain = world.send("PUT /api/v1/films/odd", &["content-encoding: identity"], b"x");
    assert_eq!(plain.status, 204, "{}", plain.body);
}

#[test]
fn an_upload_answers_its_commits() {
    let world = world();
    let number = |answer: &Answer| -> u64 {
        let commit = answer.header("monolite-commit").unwrap_or_else(|| panic!("{}", answer.head));
        commit.strip_prefix("Films=").unwrap().parse().unwrap()
    };
    let first = number(&put(&world, "one", &film(3 * PIECE)));
    assert!(number(&put(&world, "two", &film(PIECE))) > first);
    let waits = world.send("GET /api/v1/films/one/length", &[&format!("monolite-at-least: Films={first}")], b"");
    assert_eq!(waits.status, 200);
}

#[test]
fn who_is_not_read_cannot_send() {
    let world = world();
    // A handler that does not ask for bytes: the sender fills the kernel's buffers, and no more.
    let total = format!("content-length: {FILM_MAX}");
    let mut sender = begin(&world, "PUT /api/v1/films/asleep", &[&total], b"");
    sender.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let (bytes, mut sent) = (film(PIECE), 0);
    let stuck = loop {
        match sender.write(&bytes) {
            Ok(n) => sent += n as u64,
            Err(error) => break error.kind(),
        }
        assert!(sent < FILM_MAX / 2, "somebody takes bytes that nobody asked for");
    };
    assert!(matches!(stuck, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{stuck:?}");
}

#[test]
fn who_does_not_read_is_let_go() {
    let limits = Limits { header_wait: Duration::from_millis(400), ..Limits::default() };
    let world = world_with(HttpConfig { limits, ..HttpConfig::default() });
    assert_eq!(put(&world, "long", &film(FILM_MAX as usize / 2)).status, 204);
    let reader = begin(&world, "GET /api/v1/films/long", &[], b"");
    until("the film is under way", || streams(&world) == "1");
    until("a reader that takes nothing is let go", || streams(&world) == "0");
    drop(reader);
}

/// Connections that take as much as is read of them, and hold next to nothing for their readers.
struct Pipes(tokio::sync::Mutex<tokio::sync::mpsc::Receiver<DuplexStream>>);

impl Listen for Pipes {
    type Io = DuplexStream;

    async fn accept(&self) -> std::io::Result<(DuplexStream, IpAddr)> {
        match self.0.lock().await.recv().await {
            Some(pipe) => Ok((pipe, IpAddr::from([127, 0, 0, 1]))),
            None => std::future::pending().await,
        }
    }
}

#[test]
fn a_reader_of_drops_is_let_go_and_its_place_is_free() {
    let world = world();
    assert_eq!(put(&world, "long", &film(FILM_MAX as usize / 2)).status, 204);
    let limits = Limits { take_time: Duration::from_millis(200), ..Limits::default() };
    let (to, pipes) = tokio::sync::mpsc::channel(1);
    let edge = world.edge.clone();
    world.runtime.spawn(serve(Pipes(pipes.into()), edge, limits, Stop::new()));
    world.runtime.block_on(async {
        let (mut reader, pipe) = tokio::io::duplex(1000);
        to.send(pipe).await.unwrap();
        let next = b"GET /half/a/head";
        reader.write_all(&[&request("GET /api/v1/films/long", &[], b"")[..], next].concat()).await.unwrap();
        let (began, mut drop, mut taken) = (Instant::now(), [0; 100], Vec::new());
        loop {
            match reader.read(&mut drop).await.unwrap() {
                0 => break,
                bytes => taken.extend(&drop[..bytes]),
            }
            assert!(began.elapsed() < PATIENCE, "each drop bought it more time");
            let _ = tokio::time::timeout(Duration::from_millis(2), std::future::pending::<()>()).await; // its pace
        }
        assert!((1000..FILM_MAX as usize / 2).contains(&taken.len()), "{}", taken.len());
        let taken = String::from_utf8(taken).unwrap();
        assert_eq!(taken.matches("HTTP/1.1").count(), 1, "words of ours in the middle of the film");
    });
    until("nobody holds a place", || streams(&world) == "0");
    let page = raw(world.admin, &request("GET /metrics", &[], b"")).body;
    let untaken = page.lines().find_map(|line| line.strip_prefix("monolite_http_answers_untaken_total "));
    assert!(untaken.unwrap().parse::<u64>().unwrap() > 0);
}

#[test]
fn a_film_that_goes_while_it_is_fetched_is_never_cut_short_in_silence() {
    let world = world();
    assert_eq!(put(&world, "long", &film(FILM_MAX as usize / 2)).status, 204);
    let mut reader = begin(&world, "GET /api/v1/films/long", &[], b"");
    let mut first = [0; 1000];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(world.send("DELETE /api/v1/films/long", &[], b"").status, 204);
    let mut rest = Vec::new();
    let _ = reader.read_to_end(&mut rest);
    assert!(String::from_utf8_lossy(&first).contains(&format!("content-length: {}", FILM_MAX / 2)));
    assert!((rest.len() as u64) < FILM_MAX / 2, "it broke off, and the length says so");
}

#[test]
fn streams_are_bounded_in_all_and_for_each() {
    let world = world_with(HttpConfig { streams_max: 2, streams_tenant_max: 1, ..HttpConfig::default() });
    let bytes = film(10);
    let total = "content-length: 99";
    let own = begin(&world, "PUT /api/v1/films/one", &[total, "authorization: Bearer ann"], &bytes);
    until("it has its place", || streams(&world) == "1");
    let more = world.send("PUT /api/v1/films/two", &["authorization: Bearer ann"], &bytes);
    assert_eq!((more.status, more.code().as_str()), (429, "too_many_streams"));
    let other = begin(&world, "PUT /api/v1/films/three", &[total, "authorization: Bearer root"], &bytes);
    until("it has its place too", || streams(&world) == "2");
    let full = put(&world, "four", &bytes);
    assert_eq!((full.status, full.code().as_str()), (503, "too_many_streams"));
    assert!(full.header("retry-after").is_some() && more.header("retry-after").is_some());
    drop((own, other));
    until("places are given back", || put(&world, "five", &bytes).status == 204);
}

#[test]
fn a_part_of_a_small_blob_is_answered_too() {
    let world = world();
    let put =
        world.send("PUT /api/v1/images/pie", &["content-type: image/png", "authorization: Bearer ann"], b"0123456789");
    assert_eq!(put.status, 204, "{}", put.body);
    let part = |range: &str| world.send("GET /api/v1/images/pie", &[&format!("range: {range}")], b"");
    let (middle, beyond) = (part("bytes=3-5"), part("bytes=10-"));
    assert_eq!(
        (middle.status, middle.body.as_str(), middle.header("content-range")),
        (206, "345", Some("bytes 3-5/10"))
    );
    assert_eq!((beyond.status, beyond.code().as_str()), (416, "range_not_satisfiable"));
    assert_eq!(beyond.header("content-range"), Some("bytes */10"));
    assert_eq!(beyond.header("content-type"), Some("application/problem+json"));
    assert_eq!(beyond.json()["detail"], "the part begins behind the end, there are 10 bytes");
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Keep {}
message!(Keep => ());

fn keep(_: &Tx, _: Keep) -> Outcome<Keep> {
    Ok(())
}

fn keep_bytes(_: &Tx, _: Keep, _: Bytes) -> Outcome<Keep> {
    Ok(())
}

#[test]
fn a_body_that_no_value_may_hold_is_refused_at_the_start() {
    let keeps = || Service::new("Keeps", monolite_service::Migrations::default());
    let open = |service: Service| Assembly::new(tempfile::tempdir().unwrap().path()).service(service).open();
    let refused = |service: Service| open(service).map(drop).unwrap_err().to_string();
    let large = refused(keeps().write(keep).at(POST, "/keep", SignedIn).body(mib(65)));
    assert!(large.contains("above its store's value_max, 67108864 bytes"), "{large}");
    let large = refused(keeps().write(keep_bytes).at(PUT, "/keep", SignedIn).upload(mib(64) + 1));
    assert!(large.contains("value_max"), "{large}");
    let large = refused(films::service().upload_limit(1 << 35));
    assert!(large.contains("the largest value in pieces, 17179869184 bytes"), "{large}");

    let world = world();
    let append = films::AppendFilm { name: "a".into() };
    let bytes = Bytes::from(vec![0; (mib(64) + 1) as usize]);
    let large = block_on(world.host.call_with(&world.host.system(), append, bytes));
    assert!(
        matches!(large, Err(Error::Failed(no)) if no.kind() == FailureKind::TooLarge),
        "before it waits for its turn"
    );

    let host = open(keeps().write(keep).at(POST, "/keep", SignedIn)).unwrap();
    let config = HttpConfig { body_max: (mib(64) + 1) as usize, ..HttpConfig::default() };
    let clash = router(&host, &config, &Metrics::new(), &Stop::new(), axum::Router::new()).map(drop).unwrap_err();
    assert!(clash.to_string().contains("http.body_max"), "{clash}");
    let config = HttpConfig { bodies_max: 1000, ..HttpConfig::default() };
    let clash = router(&host, &config, &Metrics::new(), &Stop::new(), axum::Router::new()).map(drop).unwrap_err();
    assert!(clash.to_string().contains("http.bodies_max, 1000 bytes, is below the largest body"), "{clash}");
}

trait UploadLimit {
    fn upload_limit(self, bytes: u64) -> Self;
}

impl UploadLimit for Service {
    fn upload_limit(mut self, bytes: u64) -> Self {
        self.handlers[0].upload = Some(bytes);
        self
    }
}
