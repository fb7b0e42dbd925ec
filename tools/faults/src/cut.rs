//! Cuts over two files, and others between them, under load: is each of one moment?
//!
//! Threads move a number from one file to the other: a write to the first, and when it is answered, or when a read has seen
//! it, a write to the second. Others take cuts, and know what was answered before they asked. The disk is slow at the
//! moment between a commit that can be seen and a writer that knows of it, which is also the moment at which a snapshot ends.
//!
//! **Invariants**
//! - A cut is judged by what it holds and what clients were told, never by the sequences it claims.

use crate::disk::{Disk, Fault, FileKind, Method, Plan};
use crate::progress::Progress;
use crate::random::Random;
use crate::vfs;
use crate::work::config;
use anyhow::{Result, anyhow, ensure};
use monolite_store::{Cut, Error, Migration, Migrations, Snapshot, Store};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// Files whose snapshots a cut opens between those of the two: the longer that takes, the more happens meanwhile.
const BETWEEN: usize = 6;
/// Moves that must have happened beside the cuts, for each thousand of them.
const MOVES_OF_1000: u64 = 50;

const SCHEMA: &str = "CREATE TABLE n(told INTEGER NOT NULL, seen INTEGER NOT NULL) STRICT; INSERT INTO n VALUES (0, 0)";

/// What to do.
#[derive(Debug, Clone)]
pub struct Cutting {
    /// Cuts, at least.
    pub cuts: u64,
    /// Repeats the choices.
    pub seed: u64,
    /// A folder on tmpfs.
    pub within: PathBuf,
}

/// What was seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cuts {
    /// Cuts that were judged.
    pub cuts: u64,
    /// Moves beside them.
    pub moves: u64,
    /// Cuts that tried again.
    pub retried: u64,
    /// Cuts for which the writers paused.
    pub paused: u64,
}

impl fmt::Display for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cuts { cuts, moves, retried, paused } = self;
        write!(
            f,
            "{cuts} cuts beside {moves} moves are each of one moment; {retried} tried again, {paused} paused writers"
        )
    }
}

/// Takes cuts beside moves, and judges each.
///
/// # Errors
/// A cut that has an effect without its cause, or lacks what was answered before it was asked for.
pub fn run(cutting: &Cutting) -> Result<Cuts> {
    let folder = tempfile::Builder::new().prefix("cut-").tempdir_in(&cutting.within)?;
    let disk = Disk::watch(folder.path())?;
    let open = |name: &str| {
        let migrations = Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }]);
        Store::open(folder.path().join(format!("{name}.db")), config(Some(vfs::register())), migrations)
    };
    let between = (1..=BETWEEN).map(|n| open(&format!("between{n}")));
    let stores: Vec<Store> =
        std::iter::once(open("first")).chain(between).chain([open("second")]).collect::<Result<_, _>>()?;
    disk.plan(Plan::each(Method::ShmUnlock, FileKind::Database, Fault::Slow(Duration::from_micros(100))));
    let world = World {
        stores,
        next: AtomicI64::new(1),
        answered: AtomicI64::new(0),
        moves: AtomicU64::new(0),
        ended: AtomicBool::new(false),
    };
    let judged = std::thread::scope(|scope| {
        let tellers = [0; 2].map(|_| scope.spawn(|| world.until_the_end(World::tell)));
        let looker = scope.spawn(|| world.until_the_end(World::look));
        let judged = world.cut(cutting);
        world.ended.store(true, SeqCst);
        for thread in tellers.into_iter().chain([looker]) {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))?;
        }
        judged
    })?;
    disk.heal();
    Ok(judged)
}

/// What the threads share.
struct World {
    /// In this order: the first, those between, the second.
    stores: Vec<Store>,
    next: AtomicI64,
    /// The highest number whose move was answered in both files.
    answered: AtomicI64,
    moves: AtomicU64,
    ended: AtomicBool,
}

impl World {
    fn first(&self) -> &Store {
        &self.stores[0]
    }

    fn second(&self) -> &Store {
        &self.stores[BETWEEN + 1]
    }

    fn until_the_end(&self, mut step: impl FnMut(&World) -> Result<()>) -> Result<()> {
        while !self.ended.load(SeqCst) {
            step(self).inspect_err(|_| self.ended.store(true, SeqCst))?;
        }
        Ok(())
    }

    /// Moves a number when it was answered.
    fn tell(&self) -> Result<()> {
        let number = self.next.fetch_add(1, SeqCst);
        for store in [self.first(), self.second()] {
            store.write_blocking(move |tx| tx.execute("UPDATE n SET told = max(told, ?1)", [number]))?;
        }
        self.answered.fetch_max(number, SeqCst);
        self.moves.fetch_add(1, SeqCst);
        Ok(())
    }

    /// Moves a number that a read has seen, perhaps before its writer knew of it.
    fn look(&self) -> Result<()> {
        let seen = self.first().read_blocking(|s| s.query_row("SELECT told FROM n", [], |r| r.get::<_, i64>(0)))?;
        self.second().write_blocking(move |tx| tx.execute("UPDATE n SET seen = max(seen, ?1)", [seen]))?;
        self.moves.fetch_add(1, SeqCst);
        Ok(())
    }

    /// Takes cuts in both orders of the files, until there were enough beside enough moves.
    fn cut(&self, cutting: &Cutting) -> Result<Cuts> {
        let mut random = Random::new(cutting.seed);
        let mut cuts = Cuts::default();
        let progress = Progress::new("cut", cutting.cuts);
        while cuts.cuts < cutting.cuts || cuts.moves < cutting.cuts * MOVES_OF_1000 / 1000 {
            let (mut stores, mut first, mut second) = (self.stores.clone(), 0, BETWEEN + 1);
            if random.percent(50) {
                stores.reverse();
                (first, second) = (second, first);
            }
            let before = self.answered.load(SeqCst);
            let cut = Cut::take(&stores)?;
            let (cause, _) = cut.read(first, state)?;
            let (told, seen) = cut.read(second, state)?;
            ensure!(told <= cause, "cut {}: the second file has move {told}, the first only {cause}", cuts.cuts);
            ensure!(seen <= cause, "cut {}: move {seen} was seen in the first file, which has only {cause}", cuts.cuts);
            ensure!(told >= before, "cut {}: move {before} was answered before it, and it has only {told}", cuts.cuts);
            cuts.cuts += 1;
            progress.passed(1);
            cuts.retried += u64::from(cut.taking().retries > 0);
            cuts.paused += u64::from(cut.taking().paused);
            cuts.moves = self.moves.load(SeqCst);
        }
        Ok(cuts)
    }
}

fn state(s: &Snapshot<'_>) -> Result<(i64, i64), Error> {
    s.query_row("SELECT told, seen FROM n", [], |r| Ok((r.get(0)?, r.get(1)?)))
}
