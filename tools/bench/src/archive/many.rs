//! Many databases archived by one process: memory, open files, and what it does when nothing is written.
//!
//! In a process of its own, so that nothing else is counted.

use crate::arguments::Measured;
use crate::place::Place;
use crate::process::Process;
use crate::report::{Report, Row};
use crate::server::cpu_time;
use anyhow::{Context, ensure};
use monolite_archive::place::Folder;
use monolite_archive::{Archive, Config};
use monolite_store::{Migration, Migrations, Store};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

pub(super) const NAMES: &[&str] = &[MEMORY, FILES, IDLE];
const MEMORY: &str = "many_stores_memory_each";
const FILES: &str = "many_stores_open_files";
const IDLE: &str = "many_stores_idle_cpu";

/// The longest wait for a store's first base.
const BASE_MAX: Duration = Duration::from_secs(600);
/// Descriptors that a store may need, and those of all.
const FILES_OF: (u64, u64) = (16, 512);

/// The process's arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Many {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    count: usize,
    #[arg(long)]
    idle_ms: u64,
}

/// What it saw.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    opened_bytes: u64,
    kept_bytes: u64,
    files: usize,
    idle_percent: f64,
}

pub(super) async fn run(measured: &Measured, place: &Place, report: &mut Report) -> anyhow::Result<()> {
    let (count, idle) = if measured.is_short() { (20, 1) } else { (1_000, 30) };
    let folder = place.join("many");
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("archive-many").arg("--dir").arg(&folder);
    command.args(["--count", &count.to_string(), "--idle-ms", &(idle * 1_000).to_string()]);
    let seen: Seen = serde_json::from_str(&Process::start(&mut command)?.finish().await?)?;
    let kib = |bytes: u64| bytes as f64 / 1024.0 / count as f64;
    let note = format!(
        "{count} stores in one process, each with its base archived; {:.0} MiB in all, of it {:.0} KiB a store for the archive",
        (seen.opened_bytes + seen.kept_bytes) as f64 / f64::from(1 << 20),
        kib(seen.kept_bytes)
    );
    report.add(Row::alone(MEMORY, kib(seen.opened_bytes + seen.kept_bytes), "KiB").note(note));
    report.add(Row::alone(FILES, seen.files as f64, "files").note(format!("open descriptors of {count} stores")));
    let note = format!("of one core over {idle} s without writes, {count} stores; wanted: below 1");
    report.add(Row::alone(IDLE, seen.idle_percent, "%").note(note));
    Ok(std::fs::remove_dir_all(folder)?)
}

/// The process itself.
pub(crate) fn run_here(many: &Many) -> anyhow::Result<()> {
    let wanted = many.count as u64 * FILES_OF.0 + FILES_OF.1;
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum.map_or(Some(wanted), |most| Some(most.min(wanted.max(limit.current.unwrap_or(0)))));
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?;
    std::fs::create_dir_all(&many.dir)?;
    let archive = Archive::start(Arc::new(Folder::open(many.dir.join("archive"))?), Config::default())?;
    let before = resident()?;
    let stores: Vec<Store> = (0..many.count).map(|n| open(many, n)).collect::<anyhow::Result<_>>()?;
    let opened = resident()?;
    let service = |n: usize| format!("S{n}");
    for (n, store) in stores.iter().enumerate() {
        archive.keep(&service(n), store, &many.dir.join(format!("spool-{n}")))?;
    }
    for n in 0..many.count {
        ensure!(archive.watch(&service(n), BASE_MAX, |status| status.last_base.is_some())?, "store {n} has no base");
    }
    let files = std::fs::read_dir("/proc/self/fd")?.count();
    let (me, idle) = (std::process::id(), Duration::from_millis(many.idle_ms));
    let cpu = cpu_time(me)?;
    let (_keep, never) = std::sync::mpsc::sync_channel::<()>(0);
    let _ = never.recv_timeout(idle); // nobody sends: it is the time that is waited for
    let idle_percent = (cpu_time(me)? - cpu).as_secs_f64() * 100.0 / idle.as_secs_f64();
    let (opened_bytes, kept_bytes) = (opened.saturating_sub(before), resident()?.saturating_sub(opened));
    println!("{}", serde_json::to_string(&Seen { opened_bytes, kept_bytes, files, idle_percent })?);
    Ok(())
}

fn open(many: &Many, n: usize) -> anyhow::Result<Store> {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB) STRICT; INSERT INTO t(v) VALUES (zeroblob(2000));";
    let config = monolite_store::Config { followed: true, ..monolite_store::Config::default() };
    let migrations = Migrations::new([Migration::Quick { name: "1", sql }]);
    Store::open(many.dir.join(format!("{n}.db")), config, migrations).with_context(|| format!("store {n}"))
}

fn resident() -> anyhow::Result<u64> {
    crate::giants::memory::resident(std::process::id(), "VmRSS:")
}
