//! A moment of a history as a database file again.
//!
//! Streams: the plan's segments are merged in page order into `<out>.partial`, which is synced, checked by SQLite, and
//! only then gets its name.
//!
//! **Invariants**
//! - Nothing is ever written over: not the file, not a WAL, journal or `-shm` that lies beside its name.
//! - What has the name was whole: every byte of every segment was checked, no page is missing, SQLite's check said ok, and
//!   the commit sequence inside the file is the one that was asked for.
//! - One restore at a time writes to a name; one that was killed goes on where it was, with every check, or begins anew (see `partial`).
//!
//! Never here: which file is opened next, and by whom.

use crate::history::{History, Segment};
use crate::ltx::Stand;
use crate::merge::{INPUTS_MAX, Merge};
use crate::partial::{Note, Partial, beside};
use crate::place::Reader;
use crate::plan::{Plan, Target};
use crate::planning::{plan_now, retry_if_gone};
use crate::planted::planted;
use crate::retain::Pin;
use crate::{Error, Kind, Result, check, read, verify};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{self, SyncSender};

/// Bytes written at a time.
const WRITE_BYTES: usize = 1 << 20;
/// Bytes written between two notes of how far it is.
const NOTE_EVERY: u64 = 64 << 20;

/// Chunks that wait for the disk.
const CHUNKS_AHEAD: usize = 8;

/// How thoroughly SQLite looks at what was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// `integrity_check`: all pages, all rows, all indexes against their tables.
    #[default]
    Full,
    /// `quick_check`: all but indexes against tables.
    Quick,
    /// Only that it opens; the segments' own checksums hold in any case.
    Open,
}

/// What a restore is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reading segments and writing the file.
    Copying,
    /// SQLite looks at the file. How far it is, SQLite does not say.
    Checking,
}

/// How far a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done now.
    pub phase: Phase,
    /// Bytes of segments read.
    pub done: u64,
    /// Bytes of segments to read.
    pub whole: u64,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The last commit in it.
    pub sequence: u64,
    /// The moment of that commit, in unix milliseconds.
    pub at_ms: i64,
    /// The writer epoch of that commit.
    pub epoch: u64,
    /// Bytes of a page.
    pub page_size: u32,
    /// Pages of the file.
    pub pages: u32,
    /// Bytes of the file.
    pub bytes: u64,
    /// Segments it was made of.
    pub segments: usize,
    /// Bytes of those segments.
    pub segment_bytes: u64,
    /// Damaged segments that it was restored around: it is whole, the archive is not.
    pub avoided: Vec<Segment>,
}

/// Restores a target of a history into a new file. `progress` is told now and then, and may end it.
pub fn restore(
    history: &History,
    target: Target,
    out: &Path,
    check: Check,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Restored> {
    restore_by(history, (None, target), out, check, NOTE_EVERY, progress)
}

/// Restores what a plan leads to into a new file; by another way to the same commit where a segment of it went away.
pub fn restore_planned(
    history: &History,
    plan: &Plan,
    out: &Path,
    check: Check,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Restored> {
    let target = Target::Sequence(plan.last());
    restore_by(history, (Some(plan.clone()), target), out, check, NOTE_EVERY, progress)
}

/// The same as [`restore`], with a note of how far it is each time that so many bytes were written. A restore of the same
/// commit to the same name goes on from there, after a kill or where the place could not be reached.
pub fn restore_noting(
    history: &History,
    target: Target,
    out: &Path,
    check: Check,
    every: u64,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Restored> {
    restore_by(history, (None, target), out, check, every, progress)
}

fn restore_by(
    history: &History,
    (mut planned, target): (Option<Plan>, Target),
    out: &Path,
    check: Check,
    every: u64,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Restored> {
    let history = &history.in_line();
    let out = std::path::absolute(out).map_err(|e| Error::io(format!("{}", out.display()), e))?;
    refuse_what_is_there(&out)?;
    let mut partial = Partial::begin(&out)?;
    let restored = retry_if_gone(|| {
        let plan = planned.take().map_or_else(|| plan_now(history, target, &[]), Ok)?;
        let _pin = Pin::set(history, plan.last());
        copy_around_damage(history, plan, &mut partial, every, progress)
    });
    let restored = restored.inspect_err(|e| {
        if matches!(e.kind(), Kind::Unreachable | Kind::OutcomeUnknown) {
            partial.keep();
        }
    })?;
    let (done, whole) = (restored.segment_bytes, restored.segment_bytes);
    let mut tick = || stop(progress(Progress { phase: Phase::Checking, done, whole }));
    tick()?;
    check::check(&partial.path, check, restored.sequence, &mut || tick().is_err())?;
    refuse_what_is_there(&out)?;
    partial.finish(&out)?;
    Ok(restored)
}

/// Where a segment turns out to be damaged, the same commit may be reached without it: by what it was merged from, or
/// from an older base.
fn copy_around_damage(
    history: &History,
    mut plan: Plan,
    partial: &mut Partial,
    every: u64,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Restored> {
    let mut avoided: Vec<Segment> = Vec::new();
    let mut noted = partial.resumed(history, plan.last())?;
    loop {
        let resumed = noted.take();
        let (note, planned) = resumed.as_ref().map_or((None, &plan), |(note, plan)| (Some(note), plan));
        let damage = match copy(history, planned, partial, every, note, progress) {
            // Whatever it is, it shows again from the beginning.
            Err(e) if is_unusable(&e) && note.is_some() => continue,
            Err(e) if is_unusable(&e) => e,
            other => return other.map(|restored| Restored { avoided, ..restored }),
        };
        let known = avoided.len();
        for segment in plan.segments() {
            match verify::read(history, segment, &mut |_| ControlFlow::Continue(())) {
                Err(e) if is_unusable(&e) => avoided.push(*segment),
                other => drop(other?),
            }
        }
        match plan_now(history, Target::Sequence(plan.last()), &avoided) {
            Ok(other) if avoided.len() > known => plan = other,
            _ => return Err(damage),
        }
    }
}

/// Whether another way may lead to the same commit.
fn is_unusable(e: &Error) -> bool {
    matches!(e.kind(), Kind::Damaged | Kind::Foreign)
}

fn copy(
    history: &History,
    plan: &Plan,
    partial: &mut Partial,
    every: u64,
    note: Option<&Note>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Restored> {
    let whole = plan.bytes();
    let mut tick = |done: u64| stop(progress(Progress { phase: Phase::Copying, done: done.min(whole), whole }));
    tick(0)?;
    let (mut opened, page) = match note {
        Some(note) => (read::resume_all(history, plan.segments(), &note.stands, note.page)?, note.page),
        None => {
            partial.clear()?;
            (read::open_all(history, plan.segments(), &partial.rounds, &mut |_| tick(0))?, 0)
        }
    };
    // Of rounds that are merged on the way nothing is left after a kill.
    let every = if plan.segments().len() <= INPUTS_MAX { every } else { u64::MAX };
    let header = opened.merge.header();
    // What rounds have merged already, and what was read before, is not read from the place again.
    let known = whole.saturating_sub(opened.bytes);
    // Reading and decompressing go on while the disk writes.
    std::thread::scope(|s| {
        let (full, filled) = mpsc::sync_channel(CHUNKS_AHEAD);
        let (empty, emptied) = mpsc::sync_channel(CHUNKS_AHEAD + 2);
        let merge = &mut opened.merge;
        let merging = s.spawn(move || chunks(merge, page + 1, every, &full, &emptied));
        for Chunk { bytes, done, stands } in filled {
            partial.write(&bytes)?;
            if let Some((page, stands)) = stands {
                partial.note(history, plan, page, stands)?;
            }
            tick(known + done)?;
            let _ = empty.try_send(bytes); // a chunk more than is needed goes
        }
        merging.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let bytes = u64::from(header.pages) * u64::from(header.page_size);
    partial.sync(bytes)?;
    Ok(Restored {
        sequence: header.last,
        at_ms: header.at_ms,
        epoch: header.epoch,
        page_size: header.page_size,
        pages: header.pages,
        bytes,
        segments: plan.segments().len(),
        segment_bytes: whole,
        avoided: Vec::new(),
    })
}

/// A part of the file on its way to the disk.
struct Chunk {
    bytes: Vec<u8>,
    /// Bytes of segments read so far.
    done: u64,
    /// The last page in it and where each segment stands behind that, where it is noted.
    stands: Option<(u32, Vec<Option<Stand>>)>,
}

/// Fills chunks of the file in order from a page on, until all is read and sound or nobody takes them any more.
fn chunks(
    merge: &mut Merge<Reader>,
    mut next: u32,
    every: u64,
    full: &SyncSender<Chunk>,
    emptied: &mpsc::Receiver<Vec<u8>>,
) -> Result<()> {
    let page_size = merge.header().page_size as usize;
    let mut chunk = Vec::with_capacity(WRITE_BYTES + 2 * page_size);
    let mut since = 0;
    while let Some(number) = merge.next()? {
        if number > next {
            chunk.resize(chunk.len() + page_size, 0); // the lock page: no other may be missing
        }
        next = number + 1;
        chunk.extend_from_slice(merge.page());
        if chunk.len() >= WRITE_BYTES {
            let mut other = emptied.try_recv().unwrap_or_else(|_| Vec::with_capacity(WRITE_BYTES + 2 * page_size));
            other.clear();
            since += chunk.len() as u64;
            let is_due = since >= every;
            let stands = is_due.then(|| (number, merge.stands()));
            since = if is_due { 0 } else { since };
            let bytes = std::mem::replace(&mut chunk, other);
            if full.send(Chunk { bytes, done: merge.bytes(), stands }).is_err() {
                return Ok(()); // who took them failed, and says why
            }
        }
    }
    let _ = full.send(Chunk { bytes: chunk, done: merge.bytes(), stands: None });
    Ok(())
}

fn stop(flow: ControlFlow<()>) -> Result<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(
            Kind::Stopped,
            "the restore was stopped; nothing has its name. The same call begins it anew",
        )),
    }
}

/// A database whose `-wal` or journal is of another one would be wrong at its first opening.
fn refuse_what_is_there(out: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = beside(out, suffix);
        match path.symlink_metadata() {
            Ok(_) if planted!("written_over") => {}
            Ok(_) => {
                let text = format!(
                    "{} is there, and nothing is written over: restore elsewhere, or move it away",
                    path.display()
                );
                return Err(Error::new(Kind::Exists, text));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io(path.display().to_string(), e)),
        }
    }
    Ok(())
}
