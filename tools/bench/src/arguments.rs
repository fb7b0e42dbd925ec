//! The command line, as typed and as resolved.

use crate::archive::{Archives, Many};
use crate::compare::Peers;
use crate::giants::Giants;
use crate::grow::{Grow, Step};
use crate::http::load::Load;
use crate::kill::Kill;
use crate::machine::Machine;
use crate::page::{self, Table, Told};
use crate::place::Place;
use crate::report::Report;
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The slowest start after a kill that passes.
const START_MAX_MS: u64 = 1000;

/// Measures the store and the server beside their peers; ratios above 1 mean that ours is ahead.
#[derive(Parser)]
#[command(name = "monolite-bench", version)]
struct Typed {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One SQLite file used through monolite-store, against PostgreSQL and the usual ways to use SQLite.
    Store(Measured),
    /// What people would use instead: PostgreSQL in process, PocketBase over HTTP; writes a report into target/bench.
    Peers(Peers),
    /// The store as its file grows: reads, durable writes, and opening after a kill.
    Grow(Grow),
    /// The standard server over HTTP, loaded by a process of its own.
    Http(Measured),
    /// Kills the standard server under load, again and again, and looks for what was acknowledged.
    Kill(Killed),
    /// Sends and fetches a file of gigabytes while others write a few bytes, and kills the server in between.
    Giants(Gigantic),
    /// What quiet tenants notice of one that does a hundred times as much, in the store and over HTTP.
    Noisy(Measured),
    /// Five times as many changes as the server can do, open loop.
    Overload(Measured),
    /// Cuts over several files while all are written at full rate, and what they cost the writers.
    Cut(Measured),
    /// What keeping the history of a store costs, and how fast a file comes back from it.
    Archive(Archives),
    /// The callers of `noisy` and `overload`; they start it.
    #[command(hide = true)]
    Crowd {
        /// The server.
        #[arg(long)]
        address: SocketAddr,
        /// Behind what is measured: with a lower priority, and not on the last processor.
        #[arg(long)]
        behind: bool,
    },
    /// The load generator; `http` starts it.
    #[command(hide = true)]
    Load(Load),
    /// The load tool; `peers` starts it.
    #[command(hide = true)]
    Drive,
    /// Many archived stores in a process of their own; `archive` starts it.
    #[command(hide = true)]
    ArchiveMany(Many),
    /// One step of `grow` in a process of its own.
    #[command(hide = true)]
    GrowStep(Step),
    /// The empty handler; `http` starts it.
    #[command(hide = true)]
    Empty {
        /// Where it listens.
        #[arg(long)]
        listen: SocketAddr,
    },
}

/// What the suites have in common.
#[derive(Debug, Args, Clone)]
pub(crate) struct Measured {
    /// Writes the rows as a JSON array into this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// A quick look: fewer and shorter rounds, a small table. Numbers are not comparable with a full run.
    #[arg(long)]
    short: bool,
    /// Runs only the rows whose name contains this text.
    #[arg(long)]
    only: Option<String>,
    /// Where the data of both sides goes; must be a real disk.
    #[arg(long, default_value = "/var/tmp")]
    dir: PathBuf,
    /// Rewrites this suite's measured part of a page, such as docs/benchmarks.md; plots go into a folder beside it.
    #[arg(long)]
    docs: Option<PathBuf>,
}

/// The kill rig's arguments.
#[derive(Args)]
struct Killed {
    /// The slowest start after a kill that passes, in milliseconds; more on a machine that does other work.
    #[arg(long, default_value_t = START_MAX_MS)]
    start_max_ms: u64,
    /// How many times to kill.
    #[arg(long, default_value_t = 50)]
    cycles: u32,
    /// Repeats a run's random moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server's executable; without it, it is built.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Where the data goes; must be a real disk.
    #[arg(long, default_value = "/var/tmp")]
    dir: PathBuf,
}

/// The giants rig's arguments.
#[derive(Args)]
struct Gigantic {
    #[command(flatten)]
    measured: Measured,
    /// Size of the file; 8 unless given, a quarter with --short.
    #[arg(long)]
    gib: Option<f64>,
    /// The server's executable; without it, it is built.
    #[arg(long)]
    server: Option<PathBuf>,
}

/// How long and how often things are measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Turns of ours and the peer; medians are taken over them.
    pub(crate) rounds: usize,
    /// The time of one turn.
    pub(crate) round: Duration,
    /// The time of the unmeasured turn before.
    pub(crate) warm: Duration,
    /// The time of the writer soak.
    pub(crate) soak: Duration,
    /// Rows in the table.
    pub(crate) rows: u64,
    /// Bytes of the large document.
    pub(crate) document: usize,
}

impl Measured {
    /// How long and how often.
    pub(crate) fn plan(&self) -> Plan {
        if self.short {
            let ms = Duration::from_millis;
            return Plan {
                rounds: 3,
                round: ms(500),
                warm: ms(300),
                soak: ms(5000),
                rows: 100_000,
                document: 16 << 20,
            };
        }
        let s = Duration::from_secs;
        Plan { rounds: 5, round: s(2), warm: s(1), soak: s(60), rows: 1_000_000, document: 16 << 20 }
    }

    /// Whether this is only a quick look.
    pub(crate) fn is_short(&self) -> bool {
        self.short
    }

    /// Whether a row, or any of a list of rows, is asked for.
    pub(crate) fn wants(&self, names: &[&str]) -> bool {
        self.only.as_deref().is_none_or(|only| names.iter().any(|n| n.contains(only)))
    }

    /// The folder for the data of both sides.
    pub(crate) fn place(&self) -> anyhow::Result<Place> {
        Place::new(&self.dir)
    }

    /// The page whose measured part is to be rewritten.
    pub(crate) fn docs(&self) -> Option<&Path> {
        self.docs.as_deref()
    }

    /// What a page tells of these rows.
    pub(crate) fn told<'a>(
        &self,
        machine: &'a Machine,
        versions: &'a [String],
        tables: &'a [Table],
        report: &'a Report,
    ) -> Told<'a> {
        let suite = report.suite();
        let command =
            format!("cargo run --release -p monolite-bench -- {}", telling(std::env::args().skip(1)).join(" "));
        let (short, rows) = (self.short, report.rows());
        Told { suite, machine, command, short, versions, tables, rows, plots: Vec::new() }
    }

    /// Runs a suite that tells all its rows in one table.
    fn run(&self, suite: impl FnOnce(&Measured) -> anyhow::Result<Report>) -> anyhow::Result<()> {
        let Some(page) = &self.docs else { return suite(self).and_then(|report| self.finish(report)) };
        let runtime = crate::store::runtime()?;
        let mut machine = runtime.block_on(Machine::look(&self.place()?))?;
        let mut report = suite(self)?;
        runtime.block_on(machine.look_again())?;
        report.keep(|name| self.wants(&[name]));
        self.told(&machine, &[], page::ALL, &report).rewrite(page)?;
        self.finish(report)
    }

    /// Prints the table and writes the file.
    fn finish(&self, mut report: Report) -> anyhow::Result<()> {
        report.keep(|name| self.wants(&[name]));
        println!("{}", report.table());
        if let Some(path) = &self.json {
            std::fs::write(path, report.json()?)?;
        }
        Ok(())
    }
}

/// The arguments without those that say where things lie on this machine.
fn telling(mut arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut left = Vec::new();
    while let Some(argument) = arguments.next() {
        let name = argument.split('=').next().unwrap_or_default();
        if !matches!(name, "--json" | "--docs" | "--dir" | "--server") {
            left.push(argument);
        } else if name == argument {
            arguments.next();
        }
    }
    left
}

/// Runs the command line: 0 when all was measured, 1 when something failed, 2 for a wrong argument.
pub fn run() -> ExitCode {
    if std::env::var_os(crate::items::SERVER).is_some() {
        return crate::items::run();
    }
    let done = match Typed::parse().command {
        Command::Store(m) => m.run(crate::store::run),
        Command::Http(m) => m.run(crate::http::run),
        Command::Peers(p) => crate::compare::run(&p).and_then(|report| p.measured.finish(report)),
        Command::Grow(g) => g.measured.run(|_| crate::grow::run(&g)),
        Command::Kill(k) => {
            let start_max = Duration::from_millis(k.start_max_ms);
            let kill = Kill { server: k.server, within: k.dir, cycles: k.cycles, seed: k.seed, start_max };
            crate::kill::run(&kill).map(|survived| println!("{survived}"))
        }
        Command::Giants(g) => {
            let gib = g.gib.unwrap_or(if g.measured.short { 0.25 } else { 8.0 });
            let alone = Duration::from_secs(if g.measured.short { 2 } else { 10 });
            let bytes = (gib * f64::from(1 << 30)) as u64;
            let giants = Giants { server: g.server, within: g.measured.dir.clone(), bytes, alone };
            g.measured.run(|_| crate::giants::run(&giants).map(|seen| seen.report()))
        }
        Command::Noisy(m) => m.run(crate::noisy::run),
        Command::Overload(m) => m.run(crate::overload::run),
        Command::Cut(m) => m.run(crate::cut::run),
        Command::Archive(a) => a.measured.run(|_| crate::archive::run(&a)),
        Command::ArchiveMany(many) => crate::archive::run_many(&many),
        Command::Crowd { address, behind } => crate::crowd::run_here(address, behind),
        Command::Load(load) => load.run_here(),
        Command::Drive => crate::drive::run_here(),
        Command::GrowStep(step) => crate::grow::run_step(&step),
        Command::Empty { listen } => crate::http::empty(listen),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("monolite-bench: {e:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_the_command_without_paths_of_this_machine() {
        let typed = "noisy --json /tmp/a.json --short --docs=b.md --only noisy_store --dir /mnt";
        let told = telling(typed.split(' ').map(str::to_owned));
        assert_eq!(told, ["noisy", "--short", "--only", "noisy_store"]);
    }
}
