//! What a store says of itself.

use std::time::{Duration, Instant};

/// Whether a store serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Reads and writes.
    Serving,
    /// Reads only, and why.
    ReadOnly(String),
    /// Nothing.
    Closed,
}

/// Who holds the writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The ticket's label.
    pub label: &'static str,
    /// The ticket's tenant.
    pub tenant: u64,
    /// Since when.
    pub since: Instant,
}

/// The gauges of a store.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whether it serves.
    pub state: State,
    /// The last commit.
    pub sequence: u64,
    /// Writes waiting.
    pub queued: usize,
    /// Bytes of the WAL in use.
    pub wal_bytes: u64,
    /// Bytes of the database file.
    pub file_bytes: u64,
    /// Reads waiting for the slow lane.
    pub slow_queued: usize,
    /// Who holds the writer.
    pub holder: Option<Holder>,
    /// The last thing that went wrong in the background, if any.
    pub trouble: Option<String>,
    /// Compile options that the SQLite library lacks, and what that costs.
    pub warnings: Vec<String>,
}

/// What an integrity check found.
#[derive(Debug, Clone)]
pub struct Check {
    /// Messages; empty means the file is sound.
    pub problems: Vec<String>,
    /// Pages in the file.
    pub pages: u64,
    /// The last commit.
    pub sequence: u64,
}

/// What an online copy holds.
#[derive(Debug, Clone)]
pub struct Copied {
    /// Pages copied.
    pub pages: u64,
    /// The last commit in the copy.
    pub sequence: u64,
    /// How long it took.
    pub took: Duration,
}
