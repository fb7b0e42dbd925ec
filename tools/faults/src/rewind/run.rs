//! The workload: numbers are added, the service is rewound to a commit and that is undone, with and without a file kept from before.
//!
//! **Invariants**
//! - Each command is a process of its own on a stopped folder, as an operator runs it; a running server swaps by the same code.
//! - What a command answered with success is known to be done.

use super::program::{NUMBERS, PROGRAM, SERVICE};
use crate::random::Random;
use crate::steps::{self, Op, Walk};
use anyhow::{Context, Result, ensure};
use monolite_store::rusqlite::config::DbConfig;
use monolite_store::rusqlite::{Connection, OpenFlags};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The rows of a state.
pub(super) type Numbers = BTreeSet<i64>;

/// One rewind or undo.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    /// Its steps in the log.
    pub(super) steps: Range<usize>,
    /// What it is, for people.
    pub(super) what: String,
    /// The state that served before it, and the one that is wanted.
    pub(super) old: Numbers,
    pub(super) wanted: Numbers,
    /// What an undo brings back where it did not happen; none: there is nothing.
    pub(super) kept: Option<Numbers>,
}

/// One run.
pub(super) struct Run {
    /// The folder before the first step.
    pub(super) walk: Walk,
    pub(super) ops: Vec<Op>,
    pub(super) phases: Vec<Phase>,
}

/// Runs one command of the program on a folder; its steps are appended to a file, where one is given.
pub(super) fn command(program: &Path, data: &Path, heard: Option<&Path>, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program);
    command.env(PROGRAM, heard.unwrap_or(Path::new(""))).env_remove("RUST_LOG").env("NO_COLOR", "1");
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null());
    command.output().with_context(|| format!("{arguments:?}"))
}

/// The same, where it has to be done.
pub(super) fn done(program: &Path, data: &Path, heard: Option<&Path>, arguments: &[&str]) -> Result<()> {
    let said = command(program, data, heard, arguments)?;
    ensure!(said.status.success(), "{arguments:?} fails: {}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

/// The numbers in the file that serves, which nobody has open.
pub(super) fn numbers(data: &Path) -> Result<Numbers> {
    let db = open(data)?;
    let mut all = db.prepare(NUMBERS)?;
    let rows = all.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Its last commit.
fn sequence(data: &Path) -> Result<i64> {
    Ok(open(data)?.query_row("SELECT sequence FROM _monolite", [], |row| row.get(0))?)
}

fn open(data: &Path) -> Result<Connection> {
    let file = data.join(SERVICE).join(format!("{SERVICE}.db"));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(&file, flags).with_context(|| file.display().to_string())?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(db)
}

/// Works in a folder; `log` is a file beside it.
pub(super) fn run(program: &Path, data: &Path, log: &Path, seed: u64) -> Result<Run> {
    let mut at = At { program, data, log, random: Random::new(seed), next: 1, phases: Vec::new(), kept: None };
    at.put(None)?;
    let (first, commit) = (numbers(data)?, sequence(data)?);
    let walk = Walk::found(data)?;
    at.put(Some(log))?;
    at.rewind(commit, first)?;
    at.put(Some(log))?;
    at.undo()?;
    at.put(Some(log))?;
    let (second, commit) = (numbers(data)?, sequence(data)?);
    at.put(Some(log))?;
    at.rewind(commit, second)?;
    at.undo()?;
    Ok(Run { walk, phases: at.phases, ops: steps::read(log)? })
}

struct At<'a> {
    program: &'a Path,
    data: &'a Path,
    log: &'a Path,
    random: Random,
    next: i64,
    phases: Vec<Phase>,
    kept: Option<Numbers>,
}

impl At<'_> {
    fn put(&mut self, heard: Option<&Path>) -> Result<()> {
        let from = self.next;
        self.next += 1 + self.random.below(30) as i64;
        let (from, to) = (from.to_string(), (self.next - 1).to_string());
        done(self.program, self.data, heard, &["put", &from, &to])
    }

    fn rewind(&mut self, to: i64, wanted: Numbers) -> Result<()> {
        self.phase(&["rewind", SERVICE, "--to", &to.to_string(), "--accept", "--yes"], wanted)
    }

    fn undo(&mut self) -> Result<()> {
        let wanted = self.kept.clone().context("a file was replaced before")?;
        self.phase(&["rewind", SERVICE, "--undo", "--yes"], wanted)
    }

    fn phase(&mut self, arguments: &[&str], wanted: Numbers) -> Result<()> {
        let (old, from) = (numbers(self.data)?, steps::read(self.log)?.len());
        done(self.program, self.data, Some(self.log), arguments)?;
        ensure!(numbers(self.data)? == wanted, "{arguments:?} does not bring what is wanted");
        let steps = from..steps::read(self.log)?.len();
        let (what, kept) = (arguments.join(" "), self.kept.replace(old.clone()));
        self.phases.push(Phase { steps, what, old, wanted, kept });
        Ok(())
    }
}
