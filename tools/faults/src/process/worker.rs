//! The process under the axe: a store, some clients, and each of their thoughts said aloud.
//!
//! **Invariants**
//! - An intent is written to the pipe before the write is queued, an answer after it came, each with one system call.
//! - Each line ends with the moment at which it was true: an answer's is after the answer came.

use super::now;
use crate::random::Random;
use crate::work::{CLIENTS, End, add, config, migrations, within};
use anyhow::{Context, Result, bail};
use monolite_store::{Kind, Store, Tenant, Ticket};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Writes that a client has under way at a time.
const PIPELINE: u64 = 4;
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(25);

/// What to do until the end comes.
#[derive(Debug, Clone)]
pub struct Work {
    /// The folder of the store's file.
    pub data: PathBuf,
    /// Repeats the choices.
    pub seed: u64,
    /// The first write's number.
    pub next: u64,
}

/// Writes until it is killed.
///
/// # Errors
/// Where the store does not open, or answers wrongly.
pub fn work(work: &Work) -> Result<()> {
    let store = Store::open(work.data.join("work.db"), config(None), migrations(3))?;
    say("o")?;
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|c| {
                scope.spawn({
                    let store = &store;
                    move || client(store, work, c)
                })
            })
            .collect();
        clients.into_iter().map(|c| c.join().unwrap_or_else(|_| bail!("a client panicked"))).collect()
    });
    results.into_iter().collect()
}

fn client(store: &Store, work: &Work, client: u64) -> Result<()> {
    let mut random = Random::new(work.seed ^ client << 48 ^ work.next);
    let mut next = work.next.next_multiple_of(CLIENTS) + client;
    loop {
        let mut sent = Vec::new();
        for _ in 0..1 + random.below(PIPELINE) {
            let op = next;
            next += CLIENTS;
            let end = match random.below(24) {
                0 => End::Refuse,
                1 => End::Rollback,
                2 => End::Panic,
                _ => End::Well,
            };
            say(&format!("s {op}"))?;
            let ticket = Ticket::label("rig").tenant(Tenant(client + 1));
            sent.push((op, end, store.write_with(ticket, move |tx| add(tx, op, end))));
        }
        for (op, end, write) in sent {
            match within(ANSWER_MAX, write).with_context(|| format!("write {op} was never answered"))? {
                Ok(_) if end != End::Well => bail!("write {op} should have failed ({end:?}) and was acknowledged"),
                Ok(w) => say(&format!("d {op} {} {}", w.sequence, w.place))?,
                Err(e) if e.kind() == Kind::OutcomeUnknown => say(&format!("u {op}"))?,
                Err(_) => say(&format!("n {op}"))?,
            }
        }
    }
}

/// One line by one system call: a pipe takes it whole or not at all.
fn say(line: &str) -> Result<()> {
    let at = now();
    let mut out = std::io::stdout().lock(); // flushed at each line's end
    Ok(writeln!(out, "{line} {at}")?)
}
