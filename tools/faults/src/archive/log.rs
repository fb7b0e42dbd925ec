//! What the archive did to a folder, in order, beside what SQLite did to the store's file in it.
//!
//! Each entry says how far the log of the store's disk was at that moment, so that both make one line of time: what came before
//! an entry is before that place, what followed from it is after.
//!
//! **Invariants**
//! - Bytes are noted before they are written; names once they are given or gone; a sync after it ended well, for what was noted
//!   before it began.

use crate::disk::Disk;
use monolite_archive::disk::{Change, Hearing, When, hear};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

/// One thing that happened.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Folder(PathBuf),
    Create(PathBuf),
    Write {
        file: PathBuf,
        at: u64,
        bytes: Arc<[u8]>,
    },
    Length {
        file: PathBuf,
        bytes: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    /// It covers the entries before this one of the log.
    Sync {
        path: PathBuf,
        upto: usize,
    },
    /// The client heard that this write is durable, under this commit.
    Answered {
        write: u64,
        sequence: u64,
    },
}

/// An entry: what, and how far the store's disk was.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) op: Op,
    pub(super) store: usize,
}

/// The log of one folder.
pub(super) struct Log {
    folder: PathBuf,
    disk: Arc<Disk>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// Where the log was when a thread's sync began.
    syncing: HashMap<ThreadId, usize>,
}

impl Log {
    /// Begins to hear; names in the log are relative to the folder.
    pub(super) fn begin(folder: &Path, disk: Arc<Disk>) -> (Arc<Log>, Hearing) {
        let log = Arc::new(Log { folder: folder.to_owned(), disk, state: Mutex::default() });
        let hears = log.clone();
        let hearing = hear(folder, move |when, change| {
            hears.hear(when, change);
            Ok(())
        });
        (log, hearing)
    }

    pub(super) fn answered(&self, write: u64, sequence: u64) {
        self.push(Op::Answered { write, sequence });
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    fn hear(&self, when: When, change: Change<'_>) {
        let name = |path: &Path| path.strip_prefix(&self.folder).unwrap_or(path).to_owned();
        let op = match (when, change) {
            (When::Before, Change::Write { file, at, bytes }) => {
                Op::Write { file: name(file), at, bytes: bytes.into() }
            }
            (When::Before, Change::Length { file, bytes }) => Op::Length { file: name(file), bytes },
            (When::Before, Change::Sync(_)) => {
                let mut state = self.lock();
                let upto = state.entries.len();
                state.syncing.insert(std::thread::current().id(), upto);
                return;
            }
            (When::After, Change::Folder(path)) => Op::Folder(name(path)),
            (When::After, Change::Create(path)) => Op::Create(name(path)),
            (When::After, Change::Rename { from, to }) => Op::Rename { from: name(from), to: name(to) },
            (When::After, Change::Link { from, to }) => Op::Link { from: name(from), to: name(to) },
            (When::After, Change::Remove(path)) => Op::Remove(name(path)),
            (When::After, Change::Sync(path)) => {
                let upto = self.lock().syncing.remove(&std::thread::current().id()).unwrap_or(0);
                Op::Sync { path: name(path), upto }
            }
            _ => return,
        };
        self.push(op);
    }

    fn push(&self, op: Op) {
        let mut state = self.lock();
        let store = self.disk.now();
        state.entries.push(Entry { op, store });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
