//! The giant on its way: uploads and downloads that can be cut and go on.

use super::bytes::{BLOCK, block, hexadecimal};
use super::tiny::ask;
use crate::http::client::{Client, request};
use crate::server::Server;
use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Stands for a count of bytes where a transfer broke off.
pub(super) const BROKEN: u64 = u64::MAX;
/// How often an upload asks to be let in.
const TRIES_MAX: u32 = 100;
/// How long it waits between.
const AGAIN: Duration = Duration::from_millis(100);
/// Longest head of an answer.
const HEAD_MAX: usize = 16 << 10;

/// Creates the file; its path.
pub(super) async fn create(address: SocketAddr, token: &str, size: u64) -> anyhow::Result<String> {
    let body = format!("{{\"name\":\"giant\",\"size\":{size}}}");
    let mut client = Client::connect(address).await?;
    let (status, text) = ask(&mut client, &request("/api/v1/files", Some(token), Some(body.as_bytes()))).await?;
    ensure!(status == 201, "creating the file: {status} {text}");
    let file: serde_json::Value = serde_json::from_str(&text)?;
    Ok(format!("/api/v1/files/{}", file["id"].as_str().context("a file has an id")?))
}

/// What the server says of the content.
pub(super) async fn sha256(address: SocketAddr, token: &str, at: &str) -> anyhow::Result<String> {
    let mut client = Client::connect(address).await?;
    let answer = client.ask(&request(at, Some(token), None)).await?;
    let file: serde_json::Value = serde_json::from_slice(answer.body)?;
    ensure!(file["complete"] == true, "the file is not complete: {file}");
    Ok(file["sha256"].as_str().context("a complete file has a hash")?.to_owned())
}

/// Where the upload stands.
pub(super) async fn offset(address: SocketAddr, token: &str, at: &str) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(address).await?;
    let head =
        format!("HEAD {at}/content HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let (head, _) = head_of(&mut stream).await?;
    ensure!(head.starts_with("HTTP/1.1 204"), "{head}");
    field(&head, "upload-offset").and_then(|offset| offset.parse().ok()).context("HEAD says the offset")
}

/// An upload at work.
pub(super) struct Upload {
    done: Arc<AtomicU64>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Upload {
    /// Sends these bytes of the giant, which are the last.
    pub(super) fn begin(server: &Server, token: &Arc<str>, at: &str, part: Range<u64>) -> Upload {
        let done = Arc::new(AtomicU64::new(0));
        let head = format!(
            "PUT {at}/content HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             upload-offset: {}\r\nupload-complete: ?1\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            part.start,
            part.end - part.start
        );
        let task = tokio::spawn(noted(done.clone(), send(server.address, head, part, done.clone())));
        Upload { done, task }
    }

    /// Bytes that were sent so far.
    pub(super) fn done(&self) -> Arc<AtomicU64> {
        self.done.clone()
    }

    /// Waits for the server's answer.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.task.await.context("the upload panicked")?
    }
}

/// Marks a transfer as broken, where it is.
async fn noted<T>(done: Arc<AtomicU64>, transfer: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let ended = transfer.await;
    if ended.is_err() {
        done.store(BROKEN, Relaxed);
    }
    ended
}

async fn send(address: SocketAddr, head: String, part: Range<u64>, done: Arc<AtomicU64>) -> anyhow::Result<()> {
    let mut stream = invited(address, &head).await?;
    let mut at = part.start;
    while at < part.end {
        let block = block(at / BLOCK);
        let begin = at % BLOCK;
        let end = BLOCK.min(part.end - at + begin);
        stream.write_all(&block[begin as usize..end as usize]).await?;
        at += end - begin;
        // The last bytes count when they are answered.
        if at < part.end {
            done.store(at - part.start, Relaxed);
        }
    }
    let (head, rest) = head_of(&mut stream).await?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}\n{}", String::from_utf8_lossy(&rest));
    done.store(part.end - part.start, Relaxed);
    Ok(())
}

/// A connection on which the server waits for the body; it may say a few times that it has no room for it now.
async fn invited(address: SocketAddr, head: &str) -> anyhow::Result<TcpStream> {
    let mut tries = 0;
    loop {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        let (answer, rest) = head_of(&mut stream).await?;
        if answer.starts_with("HTTP/1.1 100") {
            return Ok(stream);
        }
        tries += 1;
        let is_later = answer.starts_with("HTTP/1.1 503") || answer.starts_with("HTTP/1.1 429");
        ensure!(is_later && tries < TRIES_MAX, "{answer}\n{}", String::from_utf8_lossy(&rest));
        let _ = tokio::time::timeout(AGAIN, std::future::pending::<()>()).await;
    }
}

/// A download at work.
pub(super) struct Download {
    done: Arc<AtomicU64>,
    task: JoinHandle<anyhow::Result<Came>>,
}

/// What came of a download.
pub(super) struct Came {
    bytes: u64,
    hash: Sha256,
}

impl Came {
    /// How many bytes.
    pub(super) fn came(&self) -> u64 {
        self.bytes
    }

    /// Their hash.
    pub(super) fn sha256(self) -> String {
        hexadecimal(self.hash)
    }
}

impl Download {
    /// Fetches the content, or what is missing of it.
    pub(super) fn begin(server: &Server, token: &Arc<str>, at: &str, came: Option<Came>, total: u64) -> Download {
        let done = Arc::new(AtomicU64::new(0));
        let came = came.unwrap_or_else(|| Came { bytes: 0, hash: Sha256::new() });
        let mut head =
            format!("GET {at}/content HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n");
        if came.bytes > 0 {
            head.push_str(&format!("range: bytes={}-\r\nif-range: \"1\"\r\n", came.bytes));
        }
        head.push_str("\r\n");
        let task = tokio::spawn(noted(done.clone(), fetch(server.address, head, came, total, done.clone())));
        Download { done, task }
    }

    /// Bytes that came so far.
    pub(super) fn done(&self) -> Arc<AtomicU64> {
        self.done.clone()
    }

    /// Waits for the last byte, or for the connection to break.
    pub(super) async fn end(self) -> anyhow::Result<Came> {
        self.task.await.context("the download panicked")?
    }
}

async fn fetch(
    address: SocketAddr,
    head: String,
    mut came: Came,
    total: u64,
    done: Arc<AtomicU64>,
) -> anyhow::Result<Came> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head.as_bytes()).await?;
    let (head, rest) = head_of(&mut stream).await?;
    let expected = if came.bytes > 0 { "HTTP/1.1 206" } else { "HTTP/1.1 200" };
    ensure!(head.starts_with(expected), "{head}\n{}", String::from_utf8_lossy(&rest));
    let before = came.bytes;
    came.hash.update(&rest);
    came.bytes += rest.len() as u64;
    let mut buffer = vec![0; BLOCK as usize];
    // A broken connection ends what comes; the caller sees that by the count.
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        came.hash.update(&buffer[..n]);
        came.bytes += n as u64;
        done.store(came.bytes - before, Relaxed);
    }
    ensure!(came.bytes <= total, "more bytes came than there are");
    Ok(came)
}

/// Readers that see the head of the answer and take nothing more.
pub(super) async fn stalled(server: &Server, token: &str, at: &str, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut readers = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(server.address).await?;
        let head = format!("GET {at}/content HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let (head, _) = head_of(&mut stream).await?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        readers.push(stream);
    }
    Ok(readers)
}

/// The head of an answer, and what came behind it.
async fn head_of(stream: &mut TcpStream) -> anyhow::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        ensure!(bytes.len() < HEAD_MAX, "the head of the answer does not end");
        if stream.read_buf(&mut bytes).await? == 0 {
            bail!("the connection ended before the answer");
        }
    }
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}
