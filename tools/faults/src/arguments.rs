//! The command line: one command for each rig.

use crate::archive::{self, Victim};
use crate::cut::{self, Cutting};
use crate::history::{self, Stress};
use crate::images::{self, Images};
use crate::planted::{self, Planted};
use crate::points::{self, Points};
use crate::power::{self, Cuts};
use crate::process::{self, Kills, Work};
use crate::rewind::{self, Rewinding};
use crate::system::{self, System};
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
    /// Judges cuts over several files under load: each of one moment or not.
    Cut(CutArguments),
    /// Cuts the power, and kills the process, at each step of a store's archive; restores, and judges.
    Archive(ArchiveArguments),
    /// Cuts the power at each step of a rewind and of its undo, starts again, and judges.
    Rewind(RewindArguments),
    /// Kills a server of two services under load, again and again, and restores it whole to its cuts and to moments.
    System(SystemArguments),
    /// Kills a process that writes, again and again, and judges what it left.
    Kill(CyclesArguments),
    /// Cuts the power of a file system under a process that writes (root; ext4 on a loop device).
    Power(CyclesArguments),
    /// Plants bugs into the store, one after the other, and asks which rig catches which (builds with cargo).
    Planted(PlantedArguments),
    /// The process under the axe; the rigs start it.
    #[command(hide = true)]
    Worker(WorkerArguments),
    /// The process that `archive` kills.
    #[command(hide = true)]
    ArchiveVictim(Victim),
}

#[derive(Args)]
struct SystemArguments {
    /// Systems to restore, at least.
    #[arg(long, default_value_t = 100)]
    restores: usize,
    /// Repeats the choices.
    #[arg(long, default_value_t = 5)]
    seed: u64,
    /// A folder for the data.
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

#[derive(Args)]
struct ArchiveArguments {
    /// Keeps nothing of what fails.
    #[arg(long)]
    forget: bool,
    /// Images of power cuts, at least.
    #[arg(long, default_value_t = 20_000)]
    images: u64,
    /// Kills.
    #[arg(long, default_value_t = 500)]
    kills: u64,
    /// Repeats the choices.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// A folder on tmpfs.
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

#[derive(Args)]
struct RewindArguments {
    /// Images of power cuts, at least.
    #[arg(long, default_value_t = 5_000)]
    images: u64,
    /// Repeats the choices.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// A folder on tmpfs.
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

#[derive(Args)]
struct ImagesArguments {
    /// Keeps no image that fails.
    #[arg(long)]
    forget: bool,
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
    /// Only syncs, and only the device's errors.
    #[arg(long)]
    syncs: bool,
    /// Syncs take a while and meet: the writer's and the checkpointer's.
    #[arg(long)]
    overlap: bool,
    /// Keeps nothing of a point that fails.
    #[arg(long)]
    forget: bool,
    /// Only so many points, chosen at random.
    #[arg(long)]
    sample: Option<usize>,
    /// Only those of this call of the workload.
    #[arg(long)]
    call: Option<u64>,
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

#[derive(Args)]
struct CutArguments {
    /// Cuts, at least.
    #[arg(long, default_value_t = 1_000_000)]
    cuts: u64,
    /// Repeats the choices.
    #[arg(long, default_value_t = 3)]
    seed: u64,
    /// A folder on tmpfs.
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

#[derive(Args)]
struct CyclesArguments {
    /// How many times.
    #[arg(long, default_value_t = 300)]
    cycles: u32,
    /// Repeats the moments.
    #[arg(long, default_value_t = 11)]
    seed: u64,
    /// A folder for the data.
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

#[derive(Args)]
struct PlantedArguments {
    /// Runs every rig over every bug, not only until one has caught it.
    #[arg(long)]
    all: bool,
    /// Bugs at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

#[derive(Args)]
struct WorkerArguments {
    #[arg(long)]
    data: PathBuf,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    next: u64,
}

/// Runs the rig that the command line names.
pub fn run() -> ExitCode {
    if std::env::var_os(system::PROGRAM).is_some() {
        return system::run_program();
    }
    if std::env::var_os(rewind::PROGRAM).is_some() {
        return rewind::run_program();
    }
    let done = match Arguments::parse().rig {
        Rig::Images(a) => {
            println!("images: seed {}", a.seed);
            let images =
                Images { count: a.count, seed: a.seed, jobs: a.jobs, within: a.dir, lying: false, forget: a.forget };
            images::run(&images).map(|seen| println!("{seen}"))
        }
        Rig::Points(a) => {
            println!("points: seed {}", a.seed);
            let points = Points {
                seed: a.seed,
                sample: a.sample,
                call: a.call,
                syncs: a.syncs,
                overlap: a.overlap,
                forget: a.forget,
                jobs: a.jobs,
                within: a.dir,
            };
            points::run(&points).map(|seen| print!("{seen}"))
        }
        Rig::History(a) => {
            println!("history: seed {}", a.seed);
            let stress = Stress { seed: a.seed, threads: a.threads, writes: a.writes, within: a.dir };
            history::stress(&stress).map(|seen| println!("{seen}"))
        }
        Rig::Cut(a) => {
            println!("cut: seed {}", a.seed);
            let cutting = Cutting { cuts: a.cuts, seed: a.seed, within: a.dir };
            cut::run(&cutting).map(|seen| println!("{seen}"))
        }
        Rig::System(a) => system(a),
        Rig::Archive(a) => archive(a),
        Rig::Rewind(a) => rewind(a),
        Rig::ArchiveVictim(victim) => archive::die(&victim),
        Rig::Kill(a) => kill(a),
        Rig::Power(a) => power(a),
        Rig::Planted(a) => planted::run(&Planted { all: a.all, jobs: a.jobs }).map(|table| print!("{table}")),
        Rig::Worker(a) => process::work(&Work { data: a.data, seed: a.seed, next: a.next }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn system(a: SystemArguments) -> anyhow::Result<()> {
    println!("system: seed {}", a.seed);
    let program = std::env::current_exe()?;
    let system = System { program, restores: a.restores, seed: a.seed, within: a.dir };
    system::run(&system).map(|held| println!("{held}"))
}

fn archive(a: ArchiveArguments) -> anyhow::Result<()> {
    println!("archive: seed {}", a.seed);
    let program = std::env::current_exe()?;
    let (images, kills, seed) = (a.images, a.kills, a.seed);
    let cutting = archive::Cutting { images, kills, seed, within: a.dir, program, forget: a.forget };
    archive::run(&cutting).map(|judged| println!("{judged}"))
}

fn rewind(a: RewindArguments) -> anyhow::Result<()> {
    println!("rewind: seed {}", a.seed);
    let program = std::env::current_exe()?;
    let rewinding = Rewinding { images: a.images, seed: a.seed, within: a.dir, program };
    rewind::run(&rewinding).map(|settled| println!("{settled}"))
}

fn kill(a: CyclesArguments) -> anyhow::Result<()> {
    println!("kill: seed {}", a.seed);
    let kills = Kills { program: std::env::current_exe()?, cycles: a.cycles, seed: a.seed, within: a.dir };
    process::run(&kills).map(|seen| println!("{seen}"))
}

fn power(a: CyclesArguments) -> anyhow::Result<()> {
    println!("power: seed {}", a.seed);
    if let Some(why) = power::forbidden() {
        println!("SKIPPED: this system does not let us cut the power of a file system: {why}");
        return Ok(());
    }
    let cuts = Cuts { program: std::env::current_exe()?, cycles: a.cycles, seed: a.seed, within: a.dir };
    power::run(&cuts).map(|seen| println!("{seen}"))
}
