//! A bare HTTP/1.1 client over one keep-alive connection: light enough to share two cores with the server it loads.
//!
//! It understands what our servers and the peers send: a status, headers, a body with a length or in chunks.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest answer that is taken in.
const ANSWER_MAX: usize = 64 << 20;
/// Free room in the buffer before each read.
const ROOM: usize = 16 << 10;

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    last: Option<Head>,
}

/// An answer, borrowed from the connection's buffer.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, buffer: Vec::with_capacity(ROOM), last: None })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> std::io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            let again = self.last.filter(|last| last.is_again(&self.buffer));
            if let Some(head) = again.map_or_else(|| Head::parse(&self.buffer), |head| Ok(Some(head)))? {
                break head;
            }
            self.fill().await?;
        };
        self.last = Some(head).filter(|head| !head.chunked);
        let body = match head.chunked {
            true => self.unchunked(head.length).await?,
            false => head.body,
        };
        while self.buffer.len() < head.length + body {
            self.fill().await?;
        }
        Ok(Answer { status: head.status, body: &self.buffer[head.length..head.length + body] })
    }

    /// Takes in a body in chunks, which begins here, and moves the chunks together: the body's length.
    async fn unchunked(&mut self, begin: usize) -> std::io::Result<usize> {
        let (mut from, mut to) = (begin, begin);
        loop {
            let end = loop {
                if let Some(length) = self.buffer[from..].windows(2).position(|w| w == b"\r\n") {
                    break from + length;
                }
                self.fill().await?;
            };
            let length = chunk_length(&self.buffer[from..end])?;
            let next = end + 2 + length + 2;
            while self.buffer.len() < next {
                self.fill().await?;
            }
            if length == 0 {
                return Ok(to - begin);
            }
            self.buffer.copy_within(end + 2..end + 2 + length, to);
            (from, to) = (next, to + length);
        }
    }

    /// Whether the last answer's head has a line that begins so, in lower case.
    pub(crate) fn has_header(&self, begins: &str) -> bool {
        self.header(begins).is_some()
    }

    /// What is behind this in the first line of the last answer's head that begins so.
    pub(crate) fn header(&self, begins: &str) -> Option<&str> {
        let head = self.last.map_or(&[][..], |head| &self.buffer[..head.length]);
        let begins = begins.as_bytes();
        let mut lines = head.split(|b| *b == b'\n');
        let line = lines.find(|line| line.get(..begins.len()).is_some_and(|l| l.eq_ignore_ascii_case(begins)))?;
        std::str::from_utf8(&line[begins.len()..]).ok().map(str::trim)
    }

    async fn fill(&mut self) -> std::io::Result<()> {
        if self.buffer.len() > ANSWER_MAX {
            return Err(std::io::Error::other("the answer is too large"));
        }
        self.buffer.reserve(ROOM);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// The request's bytes; a body makes it a POST.
pub(crate) fn request(path: &str, bearer: Option<&str>, body: Option<&[u8]>) -> Vec<u8> {
    request_of(if body.is_some() { "POST" } else { "GET" }, path, bearer, body)
}

/// The request's bytes with a method of its own.
pub(crate) fn request_of(method: &str, path: &str, bearer: Option<&str>, body: Option<&[u8]>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
    if let Some(token) = bearer {
        text.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    let mut bytes = text.into_bytes();
    if let Some(body) = body {
        let length = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        bytes.extend_from_slice(length.as_bytes());
        bytes.extend_from_slice(body);
    } else {
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    /// Bytes of the head.
    length: usize,
    /// Bytes of the body.
    body: usize,
    /// The body comes in chunks instead.
    chunked: bool,
    /// Where the body's length stands, and its digits with what follows.
    stated_at: usize,
    stated: Digits,
}

/// The digits of a length.
type Digits = [u8; 8];

impl Head {
    /// Whether these bytes begin with a head like this one: then nothing needs to be looked for. Answers to the same
    /// request differ in a few bytes only, and looking for the end of a head costs as much as the rest of a request.
    fn is_again(&self, bytes: &[u8]) -> bool {
        bytes.get(self.length - 4..self.length) == Some(b"\r\n\r\n")
            && digits(bytes, self.stated_at) == self.stated
            && bytes.get(9..12).and_then(status) == Some(self.status)
    }

    /// The head, once all of it is there.
    fn parse(bytes: &[u8]) -> std::io::Result<Option<Head>> {
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
        let broken = || std::io::Error::new(std::io::ErrorKind::InvalidData, "not an HTTP/1.1 answer with a length");
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| broken())?;
        let status: u16 = bytes.get(9..12).and_then(status).ok_or_else(broken)?;
        let (mut body, mut chunked, mut at, mut stated_at) = (None, false, 0, 0);
        for (i, line) in head.split("\r\n").enumerate() {
            let begin = at;
            at += line.len() + 2;
            if i == 0 {
                continue;
            }
            let (name, value) = line.split_once(':').ok_or_else(broken)?;
            if name.eq_ignore_ascii_case("content-length") {
                body = Some(value.trim().parse().map_err(|_| broken())?);
                stated_at = begin + name.len() + 1;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.trim().eq_ignore_ascii_case("chunked");
            }
        }
        let body = if status == 204 || status == 304 || chunked { 0 } else { body.ok_or_else(broken)? };
        Ok(Some(Head { status, length: end + 4, body, chunked, stated_at, stated: digits(bytes, stated_at) }))
    }
}

fn status(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The length of a chunk from its first line; trailers are not for us.
fn chunk_length(line: &[u8]) -> std::io::Result<usize> {
    let text = std::str::from_utf8(line).ok().and_then(|line| line.split(';').next()).unwrap_or_default();
    let length = usize::from_str_radix(text.trim(), 16).ok().filter(|length| *length <= ANSWER_MAX);
    length.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "not the length of a chunk"))
}

fn digits(bytes: &[u8], at: usize) -> Digits {
    bytes.get(at..at + size_of::<Digits>()).and_then(|d| d.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_all_of_it_is_there() {
        let bytes = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\netag: \"1\"\r\n\r\n{}";
        for cut in 0..bytes.len() - 2 {
            assert!(Head::parse(&bytes[..cut]).expect("no part of it is wrong").is_none());
        }
        let head = Head::parse(bytes).expect("parses").expect("is whole");
        assert_eq!((head.status, head.length, head.body), (201, bytes.len() - 2, 2));
    }

    #[test]
    fn a_head_is_known_again_only_with_the_same_status_and_length() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx: 1\r\n\r\n".as_slice();
        let head = Head::parse(bytes).expect("parses").expect("is whole");
        let again = |text: &str| head.is_again(text.as_bytes());
        assert!(again("HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx: 2\r\n\r\n"));
        assert!(!again("HTTP/1.1 200 OK\r\ncontent-length: 13\r\nx: 1\r\n\r\n"));
        assert!(!again("HTTP/1.1 404 OK\r\ncontent-length: 12\r\nx: 1\r\n\r\n"));
        assert!(!again("HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx: 10\r\n\r\n"));
        assert!(!again("HTTP/1.1 200 OK\r\n"));
    }

    #[test]
    fn an_answer_without_a_length_is_refused_but_for_204() {
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n").is_err());
        assert!(Head::parse(b"HTTP/1.1 204 No Content\r\n\r\n").expect("parses").is_some());
    }

    #[tokio::test]
    async fn chunks_are_put_together_wherever_they_are_cut() {
        let sent =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\nA;x=1\r\npedia.\r\n\r\n\r\n0\r\n\r\n";
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has one");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("the client connects");
            stream.set_nodelay(true).expect("is a TCP socket");
            for cut in [7, sent.len() / 2, sent.len() - 3] {
                let mut request = [0; 256];
                let _ = stream.read(&mut request).await.expect("a request comes");
                for part in [&sent[..cut], &sent[cut..]] {
                    stream.write_all(part).await.expect("the client reads");
                    tokio::task::yield_now().await;
                }
            }
        });
        let mut client = Client::connect(address).await.expect("connects");
        for _ in 0..3 {
            let answer = client.ask(&request("/", None, None)).await.expect("answers");
            assert_eq!((answer.status, answer.body), (200, b"Wikipedia.\r\n\r\n".as_slice()));
        }
        server.await.expect("the server's part is over");
    }
}
