//! Both loops.

use super::arrivals::Arrivals;
use super::requests::Requests;
use super::{Drive, Driven};
use crate::http::client::Client;
use crate::measure::Latency;
use crate::random::Random;
use crate::server::cpu_time;
use anyhow::{Context, bail, ensure};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pause before a request that was told to come back is asked again.
const COME_BACK: Duration = Duration::from_millis(20);
/// Longest wait for an answer, and for the last of them.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What one connection saw.
#[derive(Default)]
struct Seen {
    requests: u64,
    refused: u64,
    latency: Latency,
}

/// One connection.
struct Connection {
    client: Client,
    requests: Requests,
    drive: Arc<Drive>,
    seen: Seen,
}

/// Runs a load.
pub(super) async fn run(drive: Drive) -> anyhow::Result<Driven> {
    ensure!(!drive.ids.is_empty() && drive.connections > 0, "there is nothing to ask for, or nobody to ask");
    let drive = Arc::new(drive);
    let mut connections = Vec::new();
    for n in 0..drive.connections {
        connections.push(Connection::new(drive.clone(), n as u64).await?);
    }
    let cpu = cpu_time(std::process::id())?;
    let begin = Instant::now();
    let time = Duration::from_millis(drive.time_ms);
    let arrivals = Arc::new(Arrivals::new());
    let mut tasks = tokio::task::JoinSet::new();
    for connection in connections {
        match drive.rate {
            None => tasks.spawn(connection.closed(begin + time)),
            Some(_) => tasks.spawn(connection.open(arrivals.clone())),
        };
    }
    if let Some(rate) = drive.rate {
        let connections = drive.connections;
        tokio::task::spawn_blocking(move || arrivals.make(rate, time, connections)).await??;
    }
    let mut all = Seen::default();
    while let Some(done) =
        tokio::time::timeout(ANSWER_MAX, tasks.join_next()).await.context("no answer for a minute")?
    {
        let seen = done??;
        all.requests += seen.requests;
        all.refused += seen.refused;
        all.latency.add(&seen.latency);
    }
    Ok(Driven {
        requests: all.requests,
        refused: all.refused,
        seconds: begin.elapsed().as_secs_f64(),
        cpu_seconds: cpu_time(std::process::id())?.saturating_sub(cpu).as_secs_f64(),
        histogram: all.latency.counts(),
    })
}

impl Connection {
    async fn new(drive: Arc<Drive>, n: u64) -> anyhow::Result<Connection> {
        let client =
            Client::connect(drive.address).await.with_context(|| format!("connecting to {}", drive.address))?;
        let random = Random::new(drive.seed.wrapping_mul(1_000_003).wrapping_add(n));
        let (shape, bearer, mix) = (drive.shape.clone(), drive.bearer.clone(), drive.mix);
        let requests = Requests { shape, bearer, mix, random };
        Ok(Connection { client, requests, drive, seen: Seen::default() })
    }

    async fn closed(mut self, end: Instant) -> anyhow::Result<Seen> {
        loop {
            let begin = Instant::now();
            if begin >= end {
                return Ok(self.seen);
            }
            self.ask(begin).await?;
        }
    }

    async fn open(mut self, arrivals: Arc<Arrivals>) -> anyhow::Result<Seen> {
        while let Some(due) = arrivals.take().await {
            self.ask(due).await?;
        }
        Ok(self.seen)
    }

    /// Asks once, whose time counts from here.
    async fn ask(&mut self, from: Instant) -> anyhow::Result<()> {
        let bytes = self.requests.next(&self.drive.ids);
        loop {
            let answer = self.client.ask(&bytes).await?;
            match answer.status {
                200..300 => break,
                429 | 503 if from.elapsed() < ANSWER_MAX => self.seen.refused += 1,
                status => {
                    let head = String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned();
                    bail!("{head} was answered {status}: {}", String::from_utf8_lossy(answer.body));
                }
            }
            // Nothing tells when there is room but trying.
            let _ = tokio::time::timeout(COME_BACK, std::future::pending::<()>()).await;
        }
        self.seen.latency.record(from.elapsed());
        self.seen.requests += 1;
        Ok(())
    }
}
