//! What this crate changes on a disk, in one place: so that a rig can hear of each step, let it fail, or end the program at it.
//! What puts files of a restore in place changes the disk by it too, so that one rig hears both.
//!
//! **Invariants**
//! - No other file of this crate makes, writes, names, removes or syncs anything, but for scratch that no crash outlives: the nameless
//!   file of a large index, and the removal of a restore's rounds. What SQLite does is not ours.
//! - Where nobody hears, a step costs one look at a number.
//!
//! Never here: what a step is for.

use crate::planted::planted;
use rustix::fs::{CWD, RenameFlags};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Result, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A folder is made.
    Folder(&'a Path),
    /// A file is made.
    Create(&'a Path),
    /// Bytes are written.
    Write {
        /// Which file.
        file: &'a Path,
        /// From this byte on.
        at: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// A file is cut, or grows by zeros.
    Length {
        /// Which file.
        file: &'a Path,
        /// Its bytes.
        bytes: u64,
    },
    /// A file gets another name; what had it is gone.
    Rename {
        /// Its name.
        from: &'a Path,
        /// Its next one.
        to: &'a Path,
    },
    /// Two folders get each other's name in one step.
    Exchange {
        /// The one.
        a: &'a Path,
        /// The other.
        b: &'a Path,
    },
    /// A name is removed: of a file, or of a folder that is empty.
    Remove(&'a Path),
    /// A file or a folder is synced.
    Sync(&'a Path),
}

impl<'a> Change<'a> {
    /// The name that is changed, or gets what is moved.
    pub fn path(self) -> &'a Path {
        match self {
            Change::Folder(path) | Change::Create(path) | Change::Remove(path) | Change::Sync(path) => path,
            Change::Write { file, .. } | Change::Length { file, .. } => file,
            Change::Rename { to, .. } => to,
            Change::Exchange { a, .. } => a,
        }
    }
}

/// Which side of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// About to be done.
    Before,
    /// Done.
    After,
}

type Listener = dyn Fn(When, Change<'_>) -> Result<()> + Send + Sync;

static LISTENING: AtomicUsize = AtomicUsize::new(0);
static LISTENERS: RwLock<Vec<(PathBuf, Arc<Listener>)>> = RwLock::new(Vec::new());

/// Hears of each step below a folder until it is dropped.
#[derive(Debug)]
pub struct Hearing(PathBuf);

/// Tells a rig of each step below a folder: an error ends the step, before or after it was done.
pub fn hear(folder: &Path, listener: impl Fn(When, Change<'_>) -> Result<()> + Send + Sync + 'static) -> Hearing {
    let mut all = LISTENERS.write().unwrap_or_else(PoisonError::into_inner);
    all.push((folder.to_owned(), Arc::new(listener)));
    LISTENING.store(all.len(), Ordering::Release);
    Hearing(folder.to_owned())
}

impl Drop for Hearing {
    fn drop(&mut self) {
        let mut all = LISTENERS.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(folder, _)| *folder != self.0);
        LISTENING.store(all.len(), Ordering::Release);
    }
}

fn step<T>(change: Change<'_>, act: impl FnOnce() -> Result<T>) -> Result<T> {
    if LISTENING.load(Ordering::Acquire) == 0 {
        return act();
    }
    let all = LISTENERS.read().unwrap_or_else(PoisonError::into_inner);
    let hears = |(folder, _): &&(PathBuf, Arc<Listener>)| change.path().starts_with(folder);
    let listener = all.iter().find(hears).map(|(_, listener)| listener.clone());
    drop(all);
    let Some(listener) = listener else { return act() };
    listener(When::Before, change)?;
    let done = act()?;
    listener(When::After, change)?;
    Ok(done)
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Written {
    file: File,
    path: PathBuf,
    at: u64,
}

impl Written {
    /// Makes a file where there is none, for its owner alone.
    pub(crate) fn create_new(path: &Path) -> Result<Written> {
        let open = || OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
        Ok(Written { file: step(Change::Create(path), open)?, path: path.to_owned(), at: 0 })
    }

    /// Opens a file, or makes it, and leaves what is in it.
    pub(crate) fn open_or_create(path: &Path) -> Result<Written> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => match Written::create_new(path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => Written::open(path),
                other => other,
            },
            other => Ok(Written { file: other?, path: path.to_owned(), at: 0 }),
        }
    }

    /// Opens a file that is there.
    pub(crate) fn open(path: &Path) -> Result<Written> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Written { file, path: path.to_owned(), at: 0 })
    }

    /// Makes a file anew, in place of what has the name.
    pub(crate) fn replace(path: &Path) -> Result<Written> {
        match remove(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        Written::create_new(path)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], at: u64) -> Result<()> {
        step(Change::Write { file: &self.path, at, bytes }, || self.file.write_all_at(bytes, at))
    }

    /// Cuts it, or lets it grow by zeros.
    pub(crate) fn set_len(&self, bytes: u64) -> Result<()> {
        step(Change::Length { file: &self.path, bytes }, || self.file.set_len(bytes))
    }

    /// Writes go on from here.
    pub(crate) fn seek(&mut self, at: u64) {
        self.at = at;
    }

    pub(crate) fn set_modified(&self, at: SystemTime) -> Result<()> {
        self.file.set_modified(at)
    }

    pub(crate) fn sync(&self) -> Result<()> {
        step(Change::Sync(&self.path), || self.file.sync_all())
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Gives a file or a folder another name, in place of what has it.
///
/// # Errors
/// The system's.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    step(Change::Rename { from, to }, || std::fs::rename(from, to))
}

/// Gives a file another name that nothing has.
pub(crate) fn rename_new(from: &Path, to: &Path) -> Result<()> {
    step(Change::Rename { from, to }, || monolite_store::maintain::rename_new(from, to))
}

/// Gives each of two folders the other's name, in one step: either both have changed places or neither has. Durable when it
/// returns.
///
/// # Errors
/// The system's; some file systems cannot.
pub fn exchange(a: &Path, b: &Path) -> Result<()> {
    step(Change::Exchange { a, b }, || Ok(rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?))?;
    if planted!("exchange_not_synced") {
        return Ok(());
    }
    [a, b].into_iter().filter_map(Path::parent).try_for_each(sync)
}

/// Removes the name of a file.
///
/// # Errors
/// The system's.
pub fn remove(path: &Path) -> Result<()> {
    step(Change::Remove(path), || std::fs::remove_file(path))
}

/// Removes a folder with all that is in it, where it is there.
///
/// # Errors
/// The system's; some of it may be gone.
pub fn remove_all(folder: &Path) -> Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() { remove_all(&path)? } else { remove(&path)? }
    }
    step(Change::Remove(folder), || std::fs::remove_dir(folder))
}

/// Writes a small file whole, in place of what has the name, and makes both durable: beside it first, as `partial`.
///
/// # Errors
/// The system's; the name has what it had.
pub fn write_whole(path: &Path, partial: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = Written::replace(partial)?;
    file.write_all(bytes)?;
    if !planted!("small_file_not_synced") {
        file.sync()?;
    }
    rename(partial, path)?;
    path.parent().map_or(Ok(()), sync)
}

/// Makes a folder and those above it, for their owner alone, and syncs each that got a new entry.
///
/// # Errors
/// The system's.
pub fn make(folder: &Path) -> Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.is_dir()).collect();
    for path in missing.into_iter().rev() {
        match step(Change::Folder(path), || DirBuilder::new().mode(0o700).create(path)) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            other => other?,
        }
        if let Some(above) = path.parent() {
            sync(above)?;
        }
    }
    Ok(())
}

/// Syncs a folder: what has a name in it keeps it.
///
/// # Errors
/// The system's.
pub fn sync(folder: &Path) -> Result<()> {
    step(Change::Sync(folder), || File::open(folder)?.sync_all())
}
