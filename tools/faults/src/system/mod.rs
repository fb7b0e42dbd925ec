//! A whole system under load and kills, restored to recorded cuts and to moments: what holds across its files has to hold in each.
//!
//! **What has to hold**
//! - No effect without its cause: every number of the second file is in the first.
//! - What was answered before a mark was asked for is in both files of that mark.
//! - Each restored system starts, and moves one more number.

mod program;
mod server;

pub use program::{PROGRAM, run as run_program};

use crate::progress::Progress;
use crate::random::Random;
use anyhow::{Context, Result, bail, ensure};
use monolite_store::rusqlite::{Connection, OpenFlags};
use program::{NUMBERS, SERVICES};
use server::{Server, carry, command};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Threads that ask.
const CLIENTS: usize = 4;
/// Marks in a life of the server, and as many moments.
const MARKS: usize = 2;

/// What to do.
#[derive(Debug, Clone)]
pub struct System {
    /// The executable of this crate.
    pub program: PathBuf,
    /// Systems to restore, at least.
    pub restores: usize,
    /// Repeats the choices.
    pub seed: u64,
    /// A folder for the data.
    pub within: PathBuf,
}

/// What was seen; only made when all held.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Systems that were restored, started, and went on.
    pub restored: usize,
    /// Of these, to marks.
    pub marks: usize,
    /// Moments from before the first cut, refused.
    pub refused: usize,
    /// Kills.
    pub kills: usize,
    /// Moves that were answered.
    pub moves: usize,
    /// Causes without their effect, of flows that were cut off or under way, in all restored systems.
    pub under_way: usize,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Held { restored, marks, refused, kills, moves, under_way, took } = self;
        let moments = restored - marks;
        write!(
            f,
            "{restored} systems restored, {marks} to marks and {moments} to moments ({refused} from before the first cut were refused), over \
             {kills} kills and {moves} answered moves: no effect without its cause ({under_way} causes without their effect yet), nothing \
             answered before its mark is missing, each started and went on; {:.1} s",
            took.as_secs_f64()
        )
    }
}

/// What is restored.
struct Target {
    to: String,
    /// So many of the answered moves have to be in it.
    holds: usize,
    mark: bool,
}

/// Numbers that were answered, in that order.
type Answered = Arc<Mutex<Vec<i64>>>;

/// Runs the rig.
///
/// # Errors
/// The first thing that does not hold.
pub fn run(system: &System) -> Result<Held> {
    let (began, mut random) = (Instant::now(), Random::new(system.seed));
    let folder = tempfile::Builder::new().prefix("system-").tempdir_in(&system.within)?;
    let (data, answered) = (folder.path().join("data"), Answered::default());
    let (mut held, mut targets, next) = (Held::default(), Vec::new(), Arc::new(AtomicI64::new(1)));
    while targets.len() < system.restores {
        live(system, &data, &next, &answered, &mut targets, &mut random).context("a life of the server")?;
        held.kills += 1;
    }
    // What the last kill left in the WALs is archived, and cuts after it are recorded.
    let server = Server::start(&system.program, &data)?;
    tell(&command(&system.program, &["backup", "now"], &data).output()?)?;
    drop(server);
    let answered = locked(&answered).clone();
    held.moves = answered.len();
    let progress = Progress::new("system, restores", targets.len() as u64);
    for (n, target) in targets.iter().enumerate() {
        let out = folder.path().join(format!("restored-{n}"));
        let what = || format!("seed {}, target {n}: {}", system.seed, target.to);
        judge(system, &data, &out, target, &answered[..target.holds], &mut held).with_context(what)?;
        let _ = std::fs::remove_dir_all(&out); // it may not have been made
        progress.passed(1);
    }
    held.took = began.elapsed();
    Ok(held)
}

/// A server under load, with marks and moments, until it is killed.
fn live(
    system: &System,
    data: &Path,
    next: &Arc<AtomicI64>,
    answered: &Answered,
    targets: &mut Vec<Target>,
    random: &mut Random,
) -> Result<()> {
    let server = Server::start(&system.program, data)?;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, next, answered) = (server.address.clone(), next.clone(), answered.clone());
            std::thread::spawn(move || {
                loop {
                    let number = next.fetch_add(1, SeqCst);
                    match carry(&address, number) {
                        Ok(200..300) => locked(&answered).push(number),
                        Ok(_) => {}       // refused: too many at once
                        Err(_) => return, // the server is gone
                    }
                }
            })
        })
        .collect();
    for _ in 0..MARKS {
        pause(Duration::from_millis(50 + random.below(400)));
        let (to, holds) = (format!("m-{}", targets.len()), locked(answered).len());
        tell(&command(&system.program, &["backup", "mark", &to], data).output()?)?;
        targets.push(Target { to, holds, mark: true });
        pause(Duration::from_millis(random.below(300)));
        targets.push(Target { to: moment()?, holds: 0, mark: false });
    }
    pause(Duration::from_millis(random.below(400)));
    server.kill()?;
    for client in clients {
        ensure!(client.join().is_ok(), "a client panicked");
    }
    Ok(())
}

/// Restores, looks, starts, and moves one more.
fn judge(system: &System, data: &Path, out: &Path, target: &Target, must: &[i64], held: &mut Held) -> Result<()> {
    let into = out.to_str().context("the folder's name is text")?;
    let restore = ["restore", "--all", "--to", &target.to, "--into", into];
    let said = command(&system.program, &restore, data).output()?;
    if !said.status.success() {
        let why = String::from_utf8_lossy(&said.stderr).into_owned();
        ensure!(!target.mark && why.contains("cut"), "the restore failed: {why}");
        held.refused += 1;
        return Ok(());
    }
    let [causes, effects] = numbers(out)?;
    let lost: Vec<&i64> = effects.difference(&causes).collect();
    ensure!(lost.is_empty(), "effects without their cause: {lost:?}");
    let missing: Vec<&i64> = must.iter().filter(|number| !effects.contains(number)).collect();
    ensure!(missing.is_empty(), "moves that were answered before the mark are missing: {missing:?}");
    held.under_way += causes.difference(&effects).count();
    let one_more = -1;
    let server = Server::start(&system.program, out).context("the restored system does not start")?;
    let status = carry(&server.address, one_more).context("the restored system does not answer")?;
    ensure!((200..300).contains(&status), "the restored system answers {status}");
    server.kill()?;
    let [causes, effects] = numbers(out)?;
    ensure!(causes.contains(&one_more) && effects.contains(&one_more), "what the restored system answered is lost");
    held.restored += 1;
    held.marks += usize::from(target.mark);
    Ok(())
}

/// The numbers in both files, which nobody has open.
fn numbers(data: &Path) -> Result<[BTreeSet<i64>; 2]> {
    let mut both = [BTreeSet::new(), BTreeSet::new()];
    for (service, numbers) in SERVICES.iter().zip(&mut both) {
        let file = data.join(service).join(format!("{service}.db"));
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&file, flags).with_context(|| file.display().to_string())?;
        // Closing would copy the WAL and remove it: the server's own start has to cope with what a kill left.
        db.set_db_config(monolite_store::rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let mut all = db.prepare(NUMBERS)?;
        for number in all.query_map([], |row| row.get(0))? {
            numbers.insert(number?);
        }
    }
    Ok(both)
}

/// Now, as a person would write it.
fn moment() -> Result<String> {
    let said = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"]).output()?;
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}

fn tell(said: &std::process::Output) -> Result<()> {
    if said.status.success() {
        return Ok(());
    }
    bail!("{}", String::from_utf8_lossy(&said.stderr))
}

/// Nothing is waited for but time.
fn pause(time: Duration) {
    let (_keep, never) = sync_channel::<()>(0);
    let _ = never.recv_timeout(time); // nobody sends
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
