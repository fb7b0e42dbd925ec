//! A moment of a history as a database file again.
//!
//! Streams: the plan's segments are merged in page order into `<out>.partial`, which is synced, checked by SQLite, and
//! only then gets its name.
//!
//! **Invariants**
//! - Nothing is ever written over: not the file, not a WAL, journal or `-shm` that lies beside its name.
//! - What has the name was whole: every byte of every segment was checked, no page is missing, SQLite's check said ok, and
//!   the commit sequence inside the file is the one that was asked for.
//! - One restore at a time writes to a name; one that was cut off is begun anew.
//!
//! Never here: which file is opened next, and by whom.

use crate::history::{History, Segment};
use crate::merge::Merge;
use crate::place::Reader;
use crate::plan::{Plan, Target};
use crate::planted::planted;
use crate::retain::Pin;
use crate::{Error, Kind, Result, check, read, verify};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};

/// How often a plan is made again because a segment went away meanwhile: it was merged into others, or had its age.
const REPLANS_MAX: usize = 5;
/// Bytes written at a time.
const WRITE_BYTES: usize = 1 << 20;

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

/// Makes a plan for a target of a history as it is now.
pub fn plan(history: &History, target: Target) -> Result<Plan> {
    retry_if_gone(|| plan_now(history, target))
}

fn plan_now(history: &History, target: Target) -> Result<Plan> {
    let segments = history.segments()?;
    Plan::to(&segments, target, |segment: &Segment| Ok(history.header(segment)?.at_ms))
}

/// Restores a target of a history into a new file. `progress` is told now and then, and may end it.
pub fn restore(
    history: &History,
    target: Target,
    out: &Path,
    check: Check,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Restored> {
    let out = std::path::absolute(out).map_err(|e| Error::io(format!("{}", out.display()), e))?;
    refuse_what_is_there(&out)?;
    let mut partial = Partial::begin(&out)?;
    let restored = retry_if_gone(|| {
        let plan = plan_now(history, target)?;
        let _pin = Pin::set(history, plan.last());
        copy_around_damage(history, plan, &mut partial, progress)
    })?;
    let (done, whole) = (restored.segment_bytes, restored.segment_bytes);
    let mut tick = || stop(progress(Progress { phase: Phase::Checking, done, whole }));
    tick()?;
    check::check(&partial.path, check, restored.sequence, &mut || tick().is_err())?;
    partial.finish(&out)?;
    Ok(restored)
}

/// Where a segment turns out to be damaged, the same commit may be reached without it: by what it was merged from, or
/// from an older base.
fn copy_around_damage(
    history: &History,
    mut plan: Plan,
    partial: &mut Partial,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Restored> {
    let mut avoided: Vec<Segment> = Vec::new();
    loop {
        let damage = match copy(history, &plan, partial, progress) {
            Err(e) if e.kind() == Kind::Damaged => e,
            other => return other.map(|restored| Restored { avoided, ..restored }),
        };
        let known = avoided.len();
        for segment in plan.segments() {
            match verify::read(history, segment, &mut |_| ControlFlow::Continue(())) {
                Err(e) if e.kind() == Kind::Damaged => avoided.push(*segment),
                other => drop(other?),
            }
        }
        let mut segments = history.segments()?;
        segments.retain(|segment| !avoided.contains(segment));
        match Plan::to(&segments, Target::Sequence(plan.last()), |s| Ok(s.created_ms)) {
            Ok(other) if avoided.len() > known => plan = other,
            _ => return Err(damage),
        }
    }
}

/// Plans and reads again where a listed segment was deleted before it was read.
fn retry_if_gone<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut tries = 0;
    loop {
        match attempt() {
            Err(e) if e.kind() == Kind::Missing && tries < REPLANS_MAX && e.has_source() => tries += 1,
            other => return other,
        }
    }
}

fn copy(
    history: &History,
    plan: &Plan,
    partial: &mut Partial,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Restored> {
    let whole = plan.bytes();
    let mut tick = |done: u64| stop(progress(Progress { phase: Phase::Copying, done: done.min(whole), whole }));
    tick(0)?;
    partial.clear()?;
    let mut opened = read::open_all(history, plan.segments(), &partial.rounds, &mut |_| tick(0))?;
    let header = opened.merge.header();
    // What rounds have merged already is not read from the place again.
    let known = whole.saturating_sub(opened.bytes);
    // Reading and decompressing go on while the disk writes.
    std::thread::scope(|s| {
        let (full, filled) = mpsc::sync_channel(CHUNKS_AHEAD);
        let (empty, emptied) = mpsc::sync_channel(CHUNKS_AHEAD + 2);
        let merge = &mut opened.merge;
        let merging = s.spawn(move || chunks(merge, &full, &emptied));
        for (bytes, done) in filled {
            partial.write(&bytes)?;
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

/// Fills chunks of the file in order, until all is read and sound or nobody takes them any more.
fn chunks(
    merge: &mut Merge<Reader>,
    full: &SyncSender<(Vec<u8>, u64)>,
    emptied: &mpsc::Receiver<Vec<u8>>,
) -> Result<()> {
    let page_size = merge.header().page_size as usize;
    let mut chunk = Vec::with_capacity(WRITE_BYTES + 2 * page_size);
    let mut next = 1;
    while let Some(number) = merge.next()? {
        if number > next {
            chunk.resize(chunk.len() + page_size, 0); // the lock page: no other may be missing
        }
        next = number + 1;
        chunk.extend_from_slice(merge.page());
        if chunk.len() >= WRITE_BYTES {
            let mut other = emptied.try_recv().unwrap_or_else(|_| Vec::with_capacity(WRITE_BYTES + 2 * page_size));
            other.clear();
            if full.send((std::mem::replace(&mut chunk, other), merge.bytes())).is_err() {
                return Ok(()); // who took them failed, and says why
            }
        }
    }
    let _ = full.send((chunk, merge.bytes()));
    Ok(())
}

fn stop(flow: ControlFlow<()>) -> Result<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(Kind::Stopped, "the restore was stopped; nothing has its name")),
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

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The file before it has its name; gone when it is dropped.
struct Partial {
    file: File,
    path: PathBuf,
    rounds: PathBuf,
    done: bool,
}

impl Partial {
    fn begin(out: &Path) -> Result<Partial> {
        let (path, rounds) = (beside(out, ".partial"), beside(out, ".rounds"));
        let context = |e| Error::io(format!("writing {}", path.display()), e);
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(context)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::new(Kind::Exists, format!("another restore writes {} now", path.display())));
        }
        Ok(Partial { file, path, rounds, done: false })
    }

    fn clear(&mut self) -> Result<()> {
        let cleared = self.file.set_len(0).and_then(|()| std::io::Seek::rewind(&mut self.file));
        cleared.map_err(|e| self.failed(e))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| self.failed(e))
    }

    /// The last page may be the lock page, of which nothing was written.
    fn sync(&mut self, bytes: u64) -> Result<()> {
        self.file.set_len(bytes).and_then(|()| self.file.sync_all()).map_err(|e| self.failed(e))
    }

    fn failed(&self, e: std::io::Error) -> Error {
        Error::io(format!("writing {}", self.path.display()), e)
    }

    fn finish(mut self, out: &Path) -> Result<()> {
        refuse_what_is_there(out)?;
        let renamed = match renameat_with(CWD, &self.path, CWD, out, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => std::fs::rename(&self.path, out),
            other => other.map_err(Into::into),
        };
        renamed.map_err(|e| Error::io(format!("giving the restored file its name {}", out.display()), e))?;
        self.done = true;
        let folder = out.parent().expect("an absolute path to a file has a folder");
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| Error::io(format!("syncing the folder {}", folder.display()), e))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed is begun anew by the next restore to this name.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
