//! The accept loop over real sockets, with a toy that answers.

use super::*;
use http::header::CONTENT_LENGTH;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Answers `/now` at once, `/wait` when told, panics on `/panic`, takes a body on `/body`, and gives much on `/much`.
#[derive(Clone, Default)]
struct Toy {
    go: Arc<Notify>,
    began: Arc<Notify>,
}

impl Respond for Toy {
    async fn respond(self, _: IpAddr, request: Request<Incoming>) -> Response<Body> {
        match request.uri().path() {
            "/wait" => {
                self.began.notify_one();
                self.go.notified().await;
            }
            "/panic" => panic!("on purpose"),
            "/much" => return Response::new(Body::from(vec![7; 64 << 20])),
            _ => {}
        }
        Response::new(Body::from(b"fine".to_vec()))
    }
}

struct Server {
    at: std::net::SocketAddr,
    toy: Toy,
    stop: Stop,
    end: tokio::task::JoinHandle<Drained>,
}

async fn server(limits: Limits) -> Server {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, toy, stop) = (socket.local_addr().unwrap(), Toy::default(), Stop::new());
    let end = tokio::spawn(serve(socket, toy.clone(), limits, stop.clone()));
    Server { at, toy, stop, end }
}

async fn send(at: std::net::SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn to_end(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    String::from_utf8_lossy(&all).into_owned()
}

async fn some(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 4096];
    let n = stream.read(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..n]).into_owned()
}

const NOW: &str = "GET /now HTTP/1.1\r\nhost: x\r\n\r\n";
const WAIT: &str = "GET /wait HTTP/1.1\r\nhost: x\r\n\r\n";

fn quick() -> Limits {
    Limits { header_wait: Duration::from_millis(200), ..Limits::default() }
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_an_idle_one_is_closed() {
    let server = server(quick()).await;
    let mut stream = send(server.at, NOW).await;
    assert!(some(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    stream.write_all(NOW.as_bytes()).await.unwrap();
    assert!(some(&mut stream).await.ends_with("fine"));
    assert_eq!(to_end(stream).await, "", "an idle connection is closed without a word");
}

#[tokio::test]
async fn a_head_that_drips_is_answered_408() {
    let server = server(quick()).await;
    let mut stream = send(server.at, "GET /now HTTP/1.1\r\nhost").await;
    let dripping = Instant::now();
    let mut answer = [0; 4096];
    let n = loop {
        // Each drop of the drip waits for an answer that must come while the drip goes on.
        match tokio::time::timeout(Duration::from_millis(20), stream.read(&mut answer)).await {
            Ok(n) => break n.unwrap(),
            Err(_) => stream.write_all(b"h").await.unwrap(),
        }
        assert!(dripping.elapsed() < Duration::from_secs(10), "a drip kept the connection");
    };
    let answer = String::from_utf8_lossy(&answer[..n]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.contains(r#""code":"request_too_slow""#), "{answer}");
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_dropped() {
    let server = server(quick()).await;
    let mut stream = send(server.at, "GET /much HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(stream.read_u8().await.unwrap(), b'H', "the answer has begun");
    server.stop.drain();
    let ended = tokio::time::timeout(Duration::from_secs(10), server.end).await.expect("the drain ends");
    assert_eq!(ended.unwrap(), Drained::Complete);
    drop(stream);
}

#[tokio::test]
async fn a_waiting_handler_is_not_idle() {
    let server = server(quick()).await;
    let mut stream = send(server.at, WAIT).await;
    server.toy.began.notified().await;
    let early = tokio::time::timeout(Duration::from_millis(600), stream.read_u8()).await;
    assert!(early.is_err(), "closed or answered while the handler waited");
    server.toy.go.notify_one();
    assert!(some(&mut stream).await.ends_with("fine"));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = server(Limits { connections_max: 1, ..Limits::default() }).await;
    let mut first = send(server.at, NOW).await;
    assert!(some(&mut first).await.ends_with("fine"));
    let second = to_end(send(server.at, NOW).await).await;
    assert!(second.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{second}");
    assert!(second.contains("retry-after: 1\r\n") && second.contains(r#""code":"too_many_connections""#), "{second}");
    let length: usize = second.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    assert_eq!(second.split("\r\n\r\n").nth(1).unwrap().len(), length);
    assert!(!second.contains("fine"));
    drop(first);
    // The place is free once the server has seen the close; until then the answer is the same 503.
    let began = Instant::now();
    while !to_end(send(server.at, "GET /now HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await)
        .await
        .ends_with("fine")
    {
        assert!(began.elapsed() < Duration::from_secs(10), "the place was not given back");
    }
}

#[tokio::test]
async fn a_drain_finishes_requests_in_flight_and_closes_idle_connections() {
    let server = server(Limits::default()).await;
    let mut idle = send(server.at, NOW).await;
    assert!(some(&mut idle).await.ends_with("fine"));
    let busy = send(server.at, WAIT).await;
    server.toy.began.notified().await;
    server.stop.drain();
    assert_eq!(to_end(idle).await, "");
    assert!(!server.end.is_finished());
    server.toy.go.notify_one();
    let answer = to_end(busy).await;
    assert!(answer.ends_with("fine"), "{answer}");
    assert_eq!(server.end.await.unwrap(), Drained::Complete);
    assert!(TcpStream::connect(server.at).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_drain_is_bounded_and_a_second_word_ends_it_at_once() {
    let bounded = server(Limits { drain_time: Duration::from_millis(50), ..Limits::default() }).await;
    let stuck = send(bounded.at, WAIT).await;
    bounded.toy.began.notified().await;
    bounded.stop.drain();
    assert_eq!(bounded.end.await.unwrap(), Drained::CutShort(1));
    assert_eq!(to_end(stuck).await, "");

    let told = server(Limits::default()).await;
    let began = Instant::now();
    let stuck = send(told.at, WAIT).await;
    told.toy.began.notified().await;
    told.stop.drain();
    told.stop.now();
    assert_eq!(told.end.await.unwrap(), Drained::CutShort(1));
    assert_eq!(to_end(stuck).await, "");
    assert!(began.elapsed() < Duration::from_secs(1), "dropped at the word, not at the next tick");
}

#[tokio::test]
async fn a_panic_ends_its_connection_only() {
    let server = server(Limits::default()).await;
    assert_eq!(to_end(send(server.at, "GET /panic HTTP/1.1\r\nhost: x\r\n\r\n").await).await, "");
    let mut next = send(server.at, NOW).await;
    assert!(some(&mut next).await.ends_with("fine"));
    drop(next);
    server.stop.drain();
    assert_eq!(server.end.await.unwrap(), Drained::Complete, "the place of the panic was given back");
}

#[tokio::test]
async fn smuggled_and_broken_heads_are_refused() {
    let server = server(Limits::default()).await;
    for (head, status) in [
        ("GET /now HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", "400"),
        ("POST /now HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", "400"),
        ("GET /now HTTP/9.9\r\nhost: x\r\n\r\n", "400"),
        ("garbage\r\n\r\n", "400"),
    ] {
        let answer = to_end(send(server.at, head).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head:?}: {answer:?}");
        assert!(!answer.contains("fine"));
        assert!(!answer.to_ascii_lowercase().contains(&CONTENT_LENGTH.as_str().replace("content-length", "panic")));
    }
    let huge = format!("GET /now HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    let answer = to_end(send(server.at, &huge).await).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer:?}");
}

#[tokio::test]
async fn a_length_said_in_two_ways_is_refused_and_nothing_after_it_is_served() {
    let server = server(Limits::default()).await;
    let lengths =
        ["content-length: 5\r\ntransfer-encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"];
    for both in lengths {
        let smuggled = format!("POST /now HTTP/1.1\r\nhost: x\r\n{both}\r\n\r\n0\r\n\r\n{NOW}");
        for before in ["", NOW] {
            let answer = to_end(send(server.at, &format!("{before}{smuggled}")).await).await;
            let (fine, refused) = (answer.matches("fine").count(), answer.matches("HTTP/1.1 400").count());
            assert_eq!((fine, refused), (before.len() / NOW.len(), 1), "{both}: {answer}");
            assert!(answer.contains(r#""code":"ambiguous_length""#), "{answer}");
            assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_connection_ends_with_its_first_chunked_request() {
    let server = server(Limits::default()).await;
    let chunked = "POST /now HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = to_end(send(server.at, &format!("{chunked}{NOW}")).await).await;
    assert_eq!(answer.matches("fine").count(), 1, "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}
