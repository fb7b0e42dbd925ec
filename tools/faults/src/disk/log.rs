//! What happened to a disk, in order.

use super::FileId;
use std::sync::Arc;

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Op {
    /// A file that was there before the rig; all of it is durable.
    Found {
        /// Which.
        file: FileId,
        /// Its name in the folder.
        name: String,
        /// What it held.
        bytes: Arc<[u8]>,
    },
    /// A new name; durable with the folder's next sync.
    Create {
        /// Which.
        file: FileId,
        /// Its name in the folder.
        name: String,
    },
    /// A name was removed; durable with the folder's next sync.
    Unlink {
        /// Which.
        file: FileId,
    },
    /// Bytes were written.
    Write {
        /// Where.
        file: FileId,
        /// From this byte on.
        at: u64,
        /// What.
        data: Arc<[u8]>,
    },
    /// A file was cut.
    Truncate {
        /// Which.
        file: FileId,
        /// To so many bytes.
        size: u64,
    },
    /// A sync ended well.
    Sync {
        /// Of which file.
        file: FileId,
        /// It covers the operations before this place in the log.
        upto: usize,
    },
    /// A sync failed: what it was to cover is doubtful from here on.
    SyncFailed {
        /// Of which file.
        file: FileId,
    },
    /// What the system kept of a file in memory was dropped: of what was doubtful this is what the disk has.
    Reread {
        /// Which.
        file: FileId,
        /// What it holds.
        bytes: Arc<[u8]>,
    },
    /// The folder was synced.
    SyncFolder {
        /// It covers the operations before this place in the log.
        upto: usize,
    },
    /// A file beside the database, written without SQLite and without a sync, was seen to hold this.
    Beside {
        /// Its name in the folder.
        name: String,
        /// What it held.
        bytes: Arc<[u8]>,
    },
    /// What a client learnt.
    Note(Note),
}

impl Op {
    /// In a line, with the number of bytes in place of the bytes.
    pub fn brief(&self) -> String {
        match self {
            Op::Found { file, name, bytes } => format!("found {file} {name}, {} bytes", bytes.len()),
            Op::Write { file, at, data } => format!("write {file} at {at}, {} bytes", data.len()),
            Op::Reread { file, bytes } => format!("reread {file}, {} bytes", bytes.len()),
            Op::Beside { name, bytes } => format!("beside {name}: {:?}", String::from_utf8_lossy(bytes)),
            other => format!("{other:?}"),
        }
    }
}

/// What a client knows of its writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// It is about to be sent.
    Sent(u64),
    /// It was answered.
    Answered(u64, Fate),
    /// A read saw this commit.
    Seen(u64),
}

/// What the answer to a write said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Sent, and no answer yet.
    Open,
    /// Done, as the write at this place of this commit.
    Done {
        /// The commit.
        sequence: u64,
        /// The write's place in its group.
        place: u32,
    },
    /// Without an answer, and found after a crash.
    Kept,
    /// Surely not done.
    NotDone,
    /// Nobody can say.
    Unknown,
}
