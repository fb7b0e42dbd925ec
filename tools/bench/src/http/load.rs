//! The load generator: a process of its own, so that its CPU time is not taken for the server's.
//!
//! One thread, one task per connection, each asks again when it was answered. It prints one JSON object: counts, times,
//! the histogram, and the CPU time it took.

use super::client::{Client, request};
use super::document;
use crate::measure::{Latency, Run};
use crate::server::cpu_time;
use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The environment variable that carries the token: a command line is for everybody to read.
const BEARER: &str = "MONOLITE_BENCH_BEARER";

/// What to load, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// The server.
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// The path, with its query.
    #[arg(long)]
    pub(crate) path: String,
    /// Creates small documents, numbered from this on, instead of reading.
    #[arg(long)]
    pub(crate) create_from: Option<u64>,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// How long, in milliseconds.
    #[arg(long, default_value_t = 5000)]
    pub(crate) time_ms: u64,
}

/// What a load process saw.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Loaded {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// Times in nanoseconds and how often they were seen.
    histogram: Vec<(u64, u64)>,
}

impl Loaded {
    /// As a turn of the harness.
    pub(crate) fn run(&self) -> Run {
        let mut latency = Latency::default();
        for (nanoseconds, count) in &self.histogram {
            latency.record_many(Duration::from_nanos(*nanoseconds), *count);
        }
        Run { operations: self.requests, elapsed: Duration::from_secs_f64(self.seconds), latency }
    }
}

impl Load {
    /// Runs this load in a process of its own.
    pub(crate) async fn spawn(&self, bearer: Option<&str>) -> anyhow::Result<Loaded> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["load", "--address", &self.address.to_string(), "--path", &self.path]);
        command.args(["--connections", &self.connections.to_string(), "--time-ms", &self.time_ms.to_string()]);
        if let Some(n) = self.create_from {
            command.args(["--create-from", &n.to_string()]);
        }
        if let Some(token) = bearer {
            command.env(BEARER, token);
        }
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let done = tokio::task::spawn_blocking(move || command.output()).await??;
        if !done.status.success() {
            bail!("the load generator ended with {}", done.status);
        }
        Ok(serde_json::from_slice(&done.stdout)?)
    }

    /// Runs this load here and prints what it saw.
    pub(crate) fn run_here(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let loaded = runtime.block_on(self.run(std::env::var(BEARER).ok()))?;
        println!("{}", serde_json::to_string(&loaded)?);
        Ok(())
    }

    async fn run(&self, bearer: Option<String>) -> anyhow::Result<Loaded> {
        let next = Arc::new(AtomicU64::new(self.create_from.unwrap_or(0)));
        let begin = Instant::now();
        let end = begin + Duration::from_millis(self.time_ms);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..self.connections {
            tasks.spawn(self.clone().connection(bearer.clone(), next.clone(), end));
        }
        let (mut requests, mut latency) = (0, Latency::default());
        while let Some(done) = tasks.join_next().await {
            let (count, times) = done??;
            requests += count;
            latency.add(&times);
        }
        let cpu_seconds = cpu_time(std::process::id())?.as_secs_f64();
        Ok(Loaded { requests, seconds: begin.elapsed().as_secs_f64(), cpu_seconds, histogram: latency.counts() })
    }

    async fn connection(
        self,
        bearer: Option<String>,
        next: Arc<AtomicU64>,
        end: Instant,
    ) -> anyhow::Result<(u64, Latency)> {
        let mut client =
            Client::connect(self.address).await.with_context(|| format!("connecting to {}", self.address))?;
        let mut bytes = request(&self.path, bearer.as_deref(), None);
        let (mut count, mut latency) = (0, Latency::default());
        let mut begin = Instant::now();
        while begin < end {
            if self.create_from.is_some() {
                let body = document::json(next.fetch_add(1, Ordering::Relaxed));
                bytes = request(&self.path, bearer.as_deref(), Some(body.as_bytes()));
            }
            begin = Instant::now();
            let answer = client.ask(&bytes).await?;
            if !(200..300).contains(&answer.status) {
                bail!("{} answered {}: {}", self.path, answer.status, String::from_utf8_lossy(answer.body));
            }
            latency.record(begin.elapsed());
            count += 1;
        }
        Ok((count, latency))
    }
}
