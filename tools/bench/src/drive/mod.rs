//! The load tool of the suite `peers`: one process, one thread, the same requests to whichever side it is pointed at.
//!
//! Closed loop (for throughput): each connection asks again when it was answered. Open loop (for latency at a fixed rate):
//! requests are due at times that do not depend on the answers, and a request's time counts from when it was due.
//!
//! **Invariants**
//! - No coordinated omission in the open loop: a request that had to wait for a free connection has waited.
//! - A request that is told to come back (429, 503) is asked again after a pause and counts once, from its beginning.
//! - Any other answer than a success ends the run: no number is built on errors.

mod arrivals;
mod requests;
mod run;

pub(crate) use requests::{LIST_PAGE, Mix, Shape, item};

use crate::measure::{Latency, Run};
use crate::process::Process;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// What to load, and how. It reaches the process through its standard input: it holds a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Drive {
    /// The server.
    pub(crate) address: SocketAddr,
    /// The paths of this side.
    pub(crate) shape: Shape,
    /// Who asks.
    pub(crate) bearer: String,
    /// The ids of what is there.
    pub(crate) ids: Vec<String>,
    /// What is asked, by weight.
    pub(crate) mix: Mix,
    /// Connections.
    pub(crate) connections: usize,
    /// How long, in milliseconds.
    pub(crate) time_ms: u64,
    /// Requests a second that are due; none for the closed loop.
    pub(crate) rate: Option<f64>,
    /// Makes the random choices.
    pub(crate) seed: u64,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Driven {
    /// Requests that succeeded.
    pub(crate) requests: u64,
    /// Times that one was told to come back.
    pub(crate) refused: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// Times in nanoseconds and how often they were seen.
    pub(crate) histogram: Vec<(u64, u64)>,
}

impl Driven {
    /// As a turn of the harness.
    pub(crate) fn run(&self) -> Run {
        let mut latency = Latency::default();
        for (nanoseconds, count) in &self.histogram {
            latency.record_many(Duration::from_nanos(*nanoseconds), *count);
        }
        Run { operations: self.requests, elapsed: Duration::from_secs_f64(self.seconds), latency }
    }
}

impl Drive {
    /// Runs this load in a process of its own, which ends with this future.
    pub(crate) async fn spawn(&self) -> anyhow::Result<Driven> {
        let mut tool = Process::start(Command::new(std::env::current_exe()?).arg("drive"))?;
        tool.tell(serde_json::to_vec(self)?).await?;
        Ok(serde_json::from_str(&tool.finish().await.context("the load tool")?)?)
    }
}

/// Reads a load from standard input, runs it here, prints what it saw.
pub(crate) fn run_here() -> anyhow::Result<()> {
    let drive: Drive = serde_json::from_reader(std::io::stdin().lock())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", serde_json::to_string(&runtime.block_on(run::run(drive))?)?);
    Ok(())
}
