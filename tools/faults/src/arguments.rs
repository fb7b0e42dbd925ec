//! The command line: one command for each rig.

use crate::history::{self, Stress};
use crate::images::{self, Images};
use crate::points::{self, Points};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "monolite-faults", about = "Breaks the disk, the process and the machine under the store")]
struct Arguments {
    #[command(subcommand)]
    rig: Rig,
}

#[derive(Subcommand)]
enum Rig {
    /// Judges crash images: every state that a power cut could have left of a run.
    Images(ImagesArguments),
    /// Lets each call of the workload go wrong once, in each way that it can.
    Points(PointsArguments),
    /// Judges what many threads see: strictly serializable or not.
    History(HistoryArguments),
}

#[derive(Args)]
struct ImagesArguments {
    /// How many images to judge, at least.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Repeats a run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// A folder on tmpfs.
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

#[derive(Args)]
struct PointsArguments {
    /// Only so many points, chosen at random.
    #[arg(long)]
    sample: Option<usize>,
    /// Repeats a run.
    #[arg(long, default_value_t = 3)]
    seed: u64,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// A folder on tmpfs.
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

#[derive(Args)]
struct HistoryArguments {
    /// Writes of each thread.
    #[arg(long, default_value_t = 50_000)]
    writes: u64,
    /// Threads that write; as many read.
    #[arg(long, default_value_t = 4)]
    threads: u64,
    /// Repeats the choices.
    #[arg(long, default_value_t = 5)]
    seed: u64,
    /// A folder on tmpfs.
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

/// Runs the rig that the command line names.
pub fn run() -> ExitCode {
    let done = match Arguments::parse().rig {
        Rig::Images(a) => {
            println!("images: seed {}", a.seed);
            images::run(&Images { count: a.count, seed: a.seed, jobs: a.jobs, within: a.dir, lying: false })
                .map(|seen| println!("{seen}"))
        }
        Rig::Points(a) => {
            println!("points: seed {}", a.seed);
            points::run(&Points { seed: a.seed, sample: a.sample, jobs: a.jobs, within: a.dir })
                .map(|seen| print!("{seen}"))
        }
        Rig::History(a) => {
            println!("history: seed {}", a.seed);
            let stress = Stress { seed: a.seed, threads: a.threads, writes: a.writes, within: a.dir };
            history::stress(&stress).map(|seen| println!("{seen}"))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
