//! What was done to a folder, in order, beside what SQLite did to the store's file in it.
//!
//! Each entry says how far the log of the store's disk was at that moment, so that both make one line of time: what came before
//! an entry is before that place, what followed from it is after.
//!
//! **Invariants**
//! - Bytes are noted before they are written; names once they are given or gone; a sync after it ended well, for what was noted
//!   before it began.

use super::Op;
use crate::disk::Disk;
use monolite_archive::disk::{Change, Hearing, When, hear};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

/// An entry: what, and how far the store's disk was.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) op: Op,
    pub(crate) store: usize,
}

/// The log of one folder.
pub(crate) struct Log {
    folder: PathBuf,
    disk: Option<Arc<Disk>>,
    /// Files of SQLite's, looked at before each step.
    looked_at: Vec<PathBuf>,
    state: Mutex<State>,
}

/// What tells a file from itself as it was: inode, bytes, and when it was changed.
type Stamp = (u64, u64, i64, i64);

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// Where the log was when a thread's sync began.
    syncing: HashMap<ThreadId, usize>,
    stamps: HashMap<PathBuf, Option<Stamp>>,
    /// Folders change places now: what lies under a name is not known.
    exchanging: bool,
}

impl Log {
    /// Begins to hear; names in the log are relative to the folder.
    pub(crate) fn begin(folder: &Path, disk: Arc<Disk>) -> (Arc<Log>, Hearing) {
        Log::new(folder, Some(disk), Vec::new())
    }

    /// The same without a log of the store's disk: these files, by their names in the folder, are looked at before each step.
    pub(crate) fn looking(folder: &Path, looked_at: Vec<PathBuf>) -> (Arc<Log>, Hearing) {
        Log::new(folder, None, looked_at)
    }

    fn new(folder: &Path, disk: Option<Arc<Disk>>, looked_at: Vec<PathBuf>) -> (Arc<Log>, Hearing) {
        let log = Arc::new(Log { folder: folder.to_owned(), disk, looked_at, state: Mutex::default() });
        let hears = log.clone();
        let hearing = hear(folder, move |when, change| {
            hears.hear(when, change);
            Ok(())
        });
        (log, hearing)
    }

    pub(crate) fn answered(&self, write: u64, sequence: u64) {
        self.push(&mut self.lock(), Op::Answered { write, sequence });
    }

    /// What was heard so far, and what the files are now that are looked at.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut state = self.lock();
        self.look(&mut state);
        state.entries.clone()
    }

    fn hear(&self, when: When, change: Change<'_>) {
        let mut state = self.lock();
        if when == When::Before {
            self.look(&mut state);
        }
        if let Change::Exchange { .. } = change {
            state.exchanging = when == When::Before;
        }
        let name = |path: &Path| path.strip_prefix(&self.folder).unwrap_or(path).to_owned();
        let op = match (when, change) {
            (When::Before, Change::Write { file, at, bytes }) => {
                Op::Write { file: name(file), at, bytes: bytes.into() }
            }
            (When::Before, Change::Length { file, bytes }) => Op::Length { file: name(file), bytes },
            (When::Before, Change::Sync(_)) => {
                let upto = state.entries.len();
                state.syncing.insert(std::thread::current().id(), upto);
                return;
            }
            (When::After, Change::Folder(path)) => Op::Folder(name(path)),
            (When::After, Change::Create(path)) => Op::Create(name(path)),
            (When::After, Change::Rename { from, to }) => Op::Rename { from: name(from), to: name(to) },
            (When::After, Change::Exchange { a, b }) => Op::Exchange { a: name(a), b: name(b) },
            (When::After, Change::Remove(path)) => Op::Remove(name(path)),
            (When::After, Change::Sync(path)) => {
                let upto = state.syncing.remove(&std::thread::current().id()).unwrap_or(0);
                Op::Sync { path: name(path), upto }
            }
            _ => return,
        };
        self.push(&mut state, op);
    }

    /// Notes what has become of the files that are looked at.
    fn look(&self, state: &mut State) {
        if state.exchanging {
            return;
        }
        for path in &self.looked_at {
            let file = self.folder.join(path);
            let found = std::fs::metadata(&file).ok();
            let stamp = found.map(|found| (found.ino(), found.len(), found.mtime(), found.mtime_nsec()));
            if state.stamps.insert(path.clone(), stamp) != Some(stamp) {
                let bytes = std::fs::read(&file).ok().map(Into::into);
                self.push(state, Op::Seen { path: path.clone(), bytes });
            }
        }
    }

    fn push(&self, state: &mut State, op: Op) {
        let store = self.disk.as_ref().map_or(0, |disk| disk.now());
        state.entries.push(Entry { op, store });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
