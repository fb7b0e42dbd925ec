//! A crowd: groups of callers on one server, each at its own pace, in a process of its own.
//!
//! Open loop: when a request is due depends on the clock alone, and its time counts from then, so that a server which
//! falls behind is not asked less (no coordinated omission). Each connection has its own part of the schedule. A request
//! that is late by more than [`PATIENCE`] since its connection still waits for an answer is not sent any more, and is
//! counted as such: so a crowd of many more callers than connections is made by few.
//!
//! **Invariants**
//! - Every request ends in one of the counts: by status, unsent, or broken.
//! - A connection that the server closed in order is opened again; one that broke within an answer is counted.

mod connection;

use crate::measure::Latency;
use anyhow::bail;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The nice value of a crowd that gives way.
const BEHIND: i32 = 10;

/// After this time a caller of the open loop that found no free connection has gone away.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);
/// The width of the timeline's bins.
pub(crate) const BIN: Duration = Duration::from_millis(50);

/// What one group does. Reaches the process through its standard input: it holds tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Its tenants' tokens; connections take turns.
    pub(crate) bearers: Vec<String>,
    pub(crate) connections: usize,
    pub(crate) kind: Kind,
    /// One after another: how long, and at how many requests a second of the whole group; none asks again when answered.
    pub(crate) phases: Vec<(u64, Option<f64>)>,
}

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A new document of about so many bytes of words.
    Create(usize),
    /// A path is read.
    Get(String),
    /// A new file of so many bytes, which is removed again.
    File(usize),
}

/// What one group saw.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Answers by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Refusals (429, 503) without `Retry-After`.
    pub(crate) without_retry_after: u64,
    /// The times of refusals together, in microseconds.
    pub(crate) refusing_us: u64,
    /// Requests that nobody waited for any more when a connection came to them.
    pub(crate) unsent: u64,
    /// Connections that broke within an exchange.
    pub(crate) broken: u64,
    /// Times of the successes in nanoseconds, from when they were due, and how often they were seen.
    times: Vec<(u64, u64)>,
    /// By bins of [`BIN`] since the beginning, by when the request was due: successes, other ends, the longest time in
    /// microseconds.
    pub(crate) bins: Vec<(u64, u64, u64)>,
}

impl Seen {
    /// Successes.
    pub(crate) fn good(&self) -> u64 {
        self.statuses.iter().filter(|(status, _)| (200..300).contains(*status)).map(|(_, n)| n).sum()
    }

    /// The successes' times.
    pub(crate) fn latency(&self) -> Latency {
        let mut latency = Latency::default();
        self.times.iter().for_each(|(nanos, count)| latency.record_many(Duration::from_nanos(*nanos), *count));
        latency
    }

    /// Answers that are neither a success nor a refusal with its time, and exchanges that broke.
    pub(crate) fn wrong(&self) -> u64 {
        let other = |status: u16| !(200..300).contains(&status) && status != 429 && status != 503;
        let answers: u64 = self.statuses.iter().filter(|(status, _)| other(**status)).map(|(_, n)| n).sum();
        answers + self.without_retry_after + self.broken
    }

    fn add(&mut self, other: Seen) {
        other.statuses.into_iter().for_each(|(status, n)| *self.statuses.entry(status).or_default() += n);
        self.without_retry_after += other.without_retry_after;
        self.refusing_us += other.refusing_us;
        self.unsent += other.unsent;
        self.broken += other.broken;
        self.bins.resize(self.bins.len().max(other.bins.len()), (0, 0, 0));
        for (bin, (good, rest, longest)) in self.bins.iter_mut().zip(other.bins) {
            *bin = (bin.0 + good, bin.1 + rest, bin.2.max(longest));
        }
    }
}

/// Runs groups side by side in a process of its own; what each saw, in their order.
pub(crate) async fn spawn(address: SocketAddr, groups: &[Group]) -> anyhow::Result<Vec<Seen>> {
    run_in(&[], address, groups).await
}

/// The same, by a process that gives way: one whose asking is not what is measured, and which a real system has elsewhere.
pub(crate) async fn spawn_behind(address: SocketAddr, groups: &[Group]) -> anyhow::Result<Vec<Seen>> {
    run_in(&["--behind"], address, groups).await
}

async fn run_in(how: &[&str], address: SocketAddr, groups: &[Group]) -> anyhow::Result<Vec<Seen>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("crowd").args(how).args(["--address", &address.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let asked = serde_json::to_vec(groups)?;
    let run = move || -> std::io::Result<_> {
        let mut child = command.spawn()?;
        child.stdin.take().expect("it is piped").write_all(&asked)?;
        child.wait_with_output()
    };
    let done = tokio::task::spawn_blocking(run).await??;
    if !done.status.success() {
        bail!("the crowd ended with {}", done.status);
    }
    Ok(serde_json::from_slice(&done.stdout)?)
}

/// Runs the groups that stand on standard input, and prints what they saw.
pub(crate) fn run_here(address: SocketAddr, behind: bool) -> anyhow::Result<()> {
    if behind {
        monolite_store::work_behind(BEHIND);
    }
    let groups: Vec<Group> = serde_json::from_reader(std::io::stdin())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seen = runtime.block_on(run(address, groups))?;
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

async fn run(address: SocketAddr, groups: Vec<Group>) -> anyhow::Result<Vec<Seen>> {
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (n, group) in groups.iter().enumerate() {
        for place in 0..group.connections {
            let connection = connection::Connection::new(address, group.clone(), place, begin);
            tasks.spawn(async move { (n, connection.run().await) });
        }
    }
    let mut all = vec![(Seen::default(), Latency::default()); groups.len()];
    while let Some(done) = tasks.join_next().await {
        let (n, (seen, latency)) = done?;
        all[n].0.add(seen);
        all[n].1.add(&latency);
    }
    Ok(all.into_iter().map(|(seen, latency)| Seen { times: latency.counts(), ..seen }).collect())
}
