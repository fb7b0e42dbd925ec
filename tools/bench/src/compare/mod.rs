//! The suite `peers`: what people would use instead, started by itself, on this machine, in the same harness.
//!
//! In process against PostgreSQL over its Unix socket; over HTTP against PocketBase, signed in on both sides, one table
//! with three fields on both. The report goes to `target/bench/`: `peers.json`, `peers.md`, plots as SVG.
//!
//! **Invariants**
//! - Before anything is timed, each side has shown that it does what is compared ([`Target::check`]).
//! - A peer that is missing is said in its rows, on stderr and in the report, and never counted as passed.

mod http;
mod inprocess;
mod target;

pub(crate) use target::Target;

use crate::arguments::{Measured, Plan};
use crate::machine::Machine;
use crate::page::Table;
use crate::peers::pocketbase;
use crate::place::Place;
use crate::plot::{self, Group};
use crate::report::{Report, Row};
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};

/// Records of each side of the HTTP comparison, for this many rows of the in-process table.
const RECORD_FOR_ROWS: u64 = 50;

/// The arguments of `peers`.
#[derive(Args)]
pub(crate) struct Peers {
    #[command(flatten)]
    pub(crate) measured: Measured,
    /// PocketBase's executable; else it is looked for on the PATH and then installed by pip into target/bench.
    #[arg(long)]
    pocketbase: Option<PathBuf>,
    /// Installs nothing: a PocketBase that is not there is missing.
    #[arg(long)]
    no_install: bool,
    /// Where the report goes [default: target/bench]
    #[arg(long)]
    report: Option<PathBuf>,
}

/// What the parts of the suite share.
struct Suite<'a> {
    measured: &'a Measured,
    plan: Plan,
    place: &'a Place,
    /// What runs beside ours, with its version.
    peers: Vec<String>,
    report: Report,
}

impl Suite<'_> {
    fn wants(&self, name: &str) -> bool {
        self.measured.wants(&[name, &format!("{name}_p99")])
    }

    fn missing(&mut self, row: Row, why: Option<&String>) {
        let why = why.map_or("it did not start", String::as_str);
        self.report.add(row.note(format!("PEER MISSING: {why}")));
    }
}

/// Runs the suite.
pub(crate) fn run(peers: &Peers) -> anyhow::Result<Report> {
    // The place goes last: its files are removed when nobody uses them any more.
    let (place, runtime) = (peers.measured.place()?, crate::store::runtime()?);
    let folder = match &peers.report {
        Some(folder) => folder.clone(),
        None => own_folder()?,
    };
    std::fs::create_dir_all(&folder)?;
    let mut suite = Suite {
        measured: &peers.measured,
        plan: peers.measured.plan(),
        place: &place,
        peers: Vec::new(),
        report: Report::new("peers"),
    };
    let machine = runtime.block_on(crate::interrupt::unless_interrupted(async {
        let mut machine = Machine::look(&place).await?;
        all(&mut suite, peers, &folder).await?;
        machine.look_again().await?;
        Ok(machine)
    }))?;
    let (measured, mut report) = (&peers.measured, suite.report);
    report.keep(|name| measured.wants(&[name]));
    let mut told = measured.told(&machine, &suite.peers, TABLES, &report);
    told.plots = plots(&report, &folder, None)?;
    std::fs::write(folder.join("peers.md"), format!("# Peers\n\n{}", told.markdown()))?;
    std::fs::write(folder.join("peers.json"), report.json()?)?;
    eprintln!("the report is in {}", folder.display());
    if let Some(page) = measured.docs() {
        let beside = page.with_extension("");
        std::fs::create_dir_all(&beside)?;
        told.plots = plots(&report, &beside, beside.file_name().and_then(|name| name.to_str()))?;
        told.rewrite(page)?;
    }
    Ok(report)
}

/// The tables of the report.
const TABLES: &[Table] = &[
    ("In process, against PostgreSQL", |row| row.name.starts_with("inprocess")),
    ("Over HTTP, against PocketBase: requests a second", |row| {
        row.name.starts_with("http") && !row.name.ends_with("_p99")
    }),
    ("Over HTTP, against PocketBase: p99 at a fixed rate", |row| {
        row.name.starts_with("http") && row.name.ends_with("_p99")
    }),
];

/// Writes the plots into a folder: their names on a page, below `called` where that is beside it.
fn plots(report: &Report, folder: &Path, called: Option<&str>) -> anyhow::Result<Vec<String>> {
    let kinds = [
        ("throughput", "Requests a second over HTTP, by kind and connections (more is better)", "1/s", ""),
        ("p99", "p99 over HTTP at a fixed rate, by kind and connections (less is better)", "microseconds", "_p99"),
    ];
    let mut written = Vec::new();
    for (file, title, unit, suffix) in kinds {
        let groups: Vec<Group> = http::all()
            .filter_map(|(label, name)| {
                let row = report.rows().iter().find(|row| row.name == format!("{name}{suffix}"))?;
                Some(Group { label, values: [Some(row.ours), row.peer] })
            })
            .collect();
        if groups.is_empty() {
            continue;
        }
        let file = format!("{file}.svg");
        std::fs::write(folder.join(&file), plot::bars(title, unit, ["Monolite", "PocketBase"], &groups))?;
        written.push(called.map_or(file.clone(), |called| format!("{called}/{file}")));
    }
    Ok(written)
}

async fn all(suite: &mut Suite<'_>, peers: &Peers, folder: &Path) -> anyhow::Result<()> {
    if inprocess::NAMES.iter().any(|name| suite.wants(name)) {
        inprocess::run(suite).await.context("in process")?;
    }
    if !http::all().any(|(_, name)| suite.wants(&name)) {
        return Ok(());
    }
    let records = (suite.plan.rows / RECORD_FOR_ROWS).max(1000);
    let mut ours = target::ours(suite.place).await?;
    prepare(&mut ours, records).await?;
    suite.peers.push(format!("{}, fsync before each reply", ours.name));
    let venv = folder.join("pocketbase");
    let found = pocketbase::find(peers.pocketbase.as_deref(), !peers.no_install, &venv).map_err(|e| format!("{e:#}"));
    let mut peer = match found {
        Ok(program) => Ok(pocketbase::start(&program, suite.place).await?),
        Err(why) => Err(why),
    };
    match &mut peer {
        Ok(peer) => {
            prepare(peer, records).await?;
            suite.peers.push(format!("{}, WAL with synchronous=NORMAL: no fsync at commit", peer.name));
        }
        Err(why) => eprintln!("PEER MISSING: {why}"),
    }
    for peer in &suite.peers {
        eprintln!("{peer}");
    }
    http::run(suite, &ours, peer.as_ref().map_err(Clone::clone)).await.context("over HTTP")?;
    ours.server.stop().await
}

async fn prepare(target: &mut Target, records: u64) -> anyhow::Result<()> {
    eprintln!("filling {records} records: {}", target.name);
    target.fill(records).await.with_context(|| format!("filling {}", target.name))?;
    target.check().await.with_context(|| target.name.clone())
}

/// `target/bench` of the build that this executable comes from.
fn own_folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("the executable is in a folder of cargo's target")?;
    Ok(target.join("bench"))
}
