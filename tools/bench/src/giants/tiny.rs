//! Tiny writes: callers that each change a few bytes, wait until that is durable, and go on.
//!
//! Half of them replace a small document, in another file than the giant's; half create and delete a file without
//! content, in the giant's own. Neither grows anything.

use crate::http::client::{Client, request};
use crate::measure::Latency;
use anyhow::{Context, ensure};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Callers of each sort.
const CALLERS: usize = 2;

/// How soon one is asked again that was told to come back.
const AGAIN: Duration = Duration::from_millis(20);
/// For how long.
const TRIED_MAX: Duration = Duration::from_secs(30);

/// How long tiny writes took.
#[derive(Clone, Default)]
pub(super) struct Tiny {
    /// Into another file than the giant's.
    pub(super) documents: Latency,
    /// Into the giant's own.
    pub(super) files: Latency,
}

/// Callers at work.
pub(super) struct Running {
    callers: JoinSet<anyhow::Result<Tiny>>,
    is_over: Arc<AtomicBool>,
}

/// Runs the callers for a time.
pub(super) async fn run(address: SocketAddr, token: &Arc<str>, time: Duration) -> anyhow::Result<Tiny> {
    let running = start(address, token);
    // Nothing tells when the time is over but time itself.
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
    running.stop().await
}

/// Starts the callers.
pub(super) fn start(address: SocketAddr, token: &Arc<str>) -> Running {
    let (mut callers, is_over) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
    for _ in 0..CALLERS {
        callers.spawn(documents(address, token.clone(), is_over.clone()));
        callers.spawn(files(address, token.clone(), is_over.clone()));
    }
    Running { callers, is_over }
}

impl Running {
    /// Lets the callers end; what they saw.
    pub(super) async fn stop(mut self) -> anyhow::Result<Tiny> {
        self.is_over.store(true, Relaxed);
        let mut all = Tiny::default();
        while let Some(done) = self.callers.join_next().await {
            all.add(&done.context("a caller panicked")??);
        }
        Ok(all)
    }
}

impl Tiny {
    pub(super) fn add(&mut self, other: &Tiny) {
        self.documents.add(&other.documents);
        self.files.add(&other.files);
    }
}

async fn documents(address: SocketAddr, token: Arc<str>, is_over: Arc<AtomicBool>) -> anyhow::Result<Tiny> {
    let mut client = Client::connect(address).await?;
    let (_, id) = created(&mut client, &token, "/api/v1/documents", b"{\"n\":0}").await?;
    let mut seen = Tiny::default();
    let put = with_method("PUT", &request(&format!("/api/v1/documents/{id}"), Some(&token), Some(b"{\"n\":1}")));
    while !is_over.load(Relaxed) {
        let begin = Instant::now();
        let (status, _) = ask(&mut client, &put).await?;
        ensure!(status == 200, "replacing a document: {status}");
        seen.documents.record(begin.elapsed());
    }
    let delete = with_method("DELETE", &request(&format!("/api/v1/documents/{id}"), Some(&token), None));
    client.ask(&delete).await?;
    Ok(seen)
}

async fn files(address: SocketAddr, token: Arc<str>, is_over: Arc<AtomicBool>) -> anyhow::Result<Tiny> {
    let mut client = Client::connect(address).await?;
    let mut seen = Tiny::default();
    while !is_over.load(Relaxed) {
        let (took, id) = created(&mut client, &token, "/api/v1/files", b"{\"name\":\"tiny\"}").await?;
        seen.files.record(took);
        let delete = with_method("DELETE", &request(&format!("/api/v1/files/{id}"), Some(&token), None));
        let begin = Instant::now();
        let (status, _) = ask(&mut client, &delete).await?;
        ensure!(status == 204, "deleting a file: {status}");
        seen.files.record(begin.elapsed());
    }
    Ok(seen)
}

/// Asks until it is not told to come back; the time counts from the first try.
pub(super) async fn ask(client: &mut Client, request: &[u8]) -> anyhow::Result<(u16, String)> {
    let begin = Instant::now();
    loop {
        let answer = client.ask(request).await?;
        let (status, text) = (answer.status, String::from_utf8_lossy(answer.body).into_owned());
        if !matches!(status, 429 | 503) || begin.elapsed() > TRIED_MAX {
            return Ok((status, text));
        }
        // Nothing tells when there is room again but another try.
        let _ = tokio::time::timeout(AGAIN, std::future::pending::<()>()).await;
    }
}

/// Creates something; how long it took, and its id.
async fn created(client: &mut Client, token: &str, path: &str, body: &[u8]) -> anyhow::Result<(Duration, String)> {
    let begin = Instant::now();
    let (status, text) = ask(client, &request(path, Some(token), Some(body))).await?;
    ensure!(status == 201, "{path}: {status} {text}");
    let reply: serde_json::Value = serde_json::from_str(&text)?;
    let id = reply["id"].as_str().context("what was created has an id")?;
    Ok((begin.elapsed(), id.to_owned()))
}

/// The same request with another method.
fn with_method(method: &str, request: &[u8]) -> Vec<u8> {
    let rest = request.iter().position(|b| *b == b' ').unwrap_or(0);
    [method.as_bytes(), &request[rest..]].concat()
}
