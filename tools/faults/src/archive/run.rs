//! The workload: a store that is written and archived, with a place that is away for a while, base copies, merges, retention,
//! restores, and openings again.
//!
//! **Invariants**
//! - One client writes, so each write is a commit of its own, and each acknowledged commit is noted after its answer.
//! - What fails here is an error of the run: nothing in it may fail but what is told to.

use super::truth;
use crate::random::Random;
use anyhow::{Context, Result, ensure};
use monolite_archive::place::Folder;
use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::{Archive, Check, Config, Error, Keep, Kind, Level, Place, Target, restore};
use monolite_store::Store;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// The service's name in the archive.
pub(super) const SERVICE: &str = "Work";
/// The archive, the scratch folder and the folder of what is restored.
pub(super) const ARCHIVE: &str = "archive";
pub(super) const SCRATCH: &str = "spool";
pub(super) const OUT: &str = "out";
/// The longest wait for the archive.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a merge is waited for.
const MERGE_MAX: Duration = Duration::from_millis(200);
/// Times that the file is opened.
const OPENINGS: u64 = 3;

/// What to do in a folder.
#[derive(Clone)]
pub(super) struct Work<'a> {
    pub(super) folder: &'a Path,
    pub(super) seed: u64,
    /// Writes of each opening.
    pub(super) writes: u64,
    /// The VFS of the store's file, if not the system's.
    pub(super) vfs: Option<&'static str>,
}

/// Short times, so that all parts take part within a second.
pub(super) fn quick() -> Config {
    Config {
        interval: Duration::from_millis(4),
        levels: vec![Duration::from_millis(20), Duration::from_millis(80), Duration::from_millis(300)],
        keep: Keep { age_ms: 300, bases: 1, merged_ms: [40; 9] },
        retry: (Duration::from_millis(2), Duration::from_millis(10)),
        base_bytes_per_second: 1 << 40,
        base_bytes_min: 1 << 14,
        ..Config::default()
    }
}

pub(super) fn open(folder: &Path, vfs: Option<&'static str>) -> Result<Store> {
    let config = monolite_store::Config { followed: true, scrub_period: Duration::ZERO, ..crate::work::config(vfs) };
    Store::open(folder.join(crate::check::DATABASE), config, truth::migrations()).context("the store does not open")
}

/// Works; `answered` hears each write and its commit once it was acknowledged.
pub(super) fn work(work: &Work<'_>, answered: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let mut random = Random::new(work.seed);
    for opening in 0..OPENINGS {
        let away = Arc::new(AtomicBool::new(false));
        let place = place(work.folder, away.clone())?;
        let store = open(work.folder, work.vfs)?;
        let archive = Archive::start(place, quick())?;
        archive.keep(SERVICE, &store, &work.folder.join(SCRATCH)).context("the archive is refused")?;
        let first = truth::done(&store)?;
        for write in first + 1..=first + work.writes {
            answered(write, truth::write(&store, work.seed, write)?);
            match random.below(24) {
                0 => away.store(true, SeqCst),
                1 | 2 => away.store(false, SeqCst),
                3 => archive.begin_base(SERVICE)?,
                4..=7 if !away.load(SeqCst) => archive.archived(SERVICE, store.sequence())?.wait(WAIT_MAX)?,
                8 if !away.load(SeqCst) => restored(work.folder, &archive, write)?,
                9 | 10 if !away.load(SeqCst) => merged(&archive)?,
                _ => {}
            }
        }
        away.store(false, SeqCst);
        settle(&archive, &store)?;
        let status = archive.status().remove(0);
        ensure!(status.gaps == 0, "the archive has a gap, and nothing was lost: {status:?}");
        // The second time the program dies without a word.
        if opening == 1 {
            store.abandon();
        } else {
            closed(store)?;
        }
        drop(archive);
    }
    Ok(())
}

/// Closes the store beside its archiver, which may be reading pages for a base: that is not waited for, and then the WAL stays.
fn closed(store: Store) -> Result<()> {
    let wal = format!("{}-wal", store.path().display());
    match store.close() {
        Err(e) if e.kind() == monolite_store::Kind::Io && std::fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0) => {
            Ok(())
        }
        closed => Ok(closed?),
    }
}

/// Waits until all is archived and a base is there.
pub(super) fn settle(archive: &Archive, store: &Store) -> Result<()> {
    archive.archived(SERVICE, store.sequence())?.wait(WAIT_MAX)?;
    let whole = archive.watch(SERVICE, WAIT_MAX, |status| status.last_base.is_some() && status.copying.is_none())?;
    ensure!(whole, "no base is made: {:?}", archive.status());
    Ok(())
}

fn place(folder: &Path, away: Arc<AtomicBool>) -> Result<Arc<dyn Place>> {
    let archive = Arc::new(Folder::open(folder.join(ARCHIVE))?);
    Ok(Arc::new(Faulty::new(archive, move |step, name| {
        let down = away.load(SeqCst) && matches!(step, Step::Create | Step::Finish | Step::List | Step::Put);
        down.then(|| Error::new(Kind::Unreachable, format!("{step:?} of {name}: the place is away")))
    })))
}

/// Waits for a merge, where one is due.
fn merged(archive: &Archive) -> Result<()> {
    let history = archive.history(SERVICE)?;
    let newest = || {
        (1..=3).filter_map(Level::new).filter_map(|level| history.level(level).ok()?.last().map(|s| s.name.last)).max()
    };
    let before = newest();
    archive.watch(SERVICE, MERGE_MAX, |_| newest() > before)?;
    Ok(())
}

/// Restores what is archived now, beside.
fn restored(folder: &Path, archive: &Archive, write: u64) -> Result<()> {
    if archive.status()[0].last_base.is_none() {
        return Ok(());
    }
    monolite_archive::disk::make(&folder.join(OUT))?; // a step: images have what lies in it
    let out = folder.join(OUT).join(format!("{write}.db"));
    let history = archive.history(SERVICE)?;
    restore(&history, Target::Latest, &out, Check::Open, &mut |_| ControlFlow::Continue(())).context("a restore")?;
    Ok(())
}
