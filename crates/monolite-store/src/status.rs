//! What a store says of itself.

use crate::ticket::Tenant;
use std::time::{Duration, Instant};

/// Whether a store serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Reads and writes.
    Serving,
    /// Reads only, and why.
    ReadOnly(String),
    /// Reads what is sound, or nothing where the file could not even be opened; and what the damage is.
    Damaged(String),
    /// Nothing.
    Closed,
}

/// Who holds the writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The ticket's label.
    pub label: &'static str,
    /// The ticket's tenant.
    pub tenant: Tenant,
    /// The ticket's trace; 0 means none.
    pub trace: u128,
    /// Since when.
    pub since: Instant,
    /// The statement that runs, where the store was asked for it and one was seen running.
    pub statement: Option<String>,
}

/// How often a bound of the writer was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Groups as large as `Config::group_writes_max`.
    pub group_writes: u64,
    /// Groups ended by `Config::group_rows_max`.
    pub group_rows: u64,
    /// Groups ended by `Config::group_time_max`.
    pub group_time: u64,
    /// Writes that came to their turn after their deadline, or were stopped at it.
    pub late: u64,
}

/// One tenant's writes that wait for the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The tenant.
    pub tenant: Tenant,
    /// Its writes.
    pub writes: usize,
    /// How long the first of them has waited.
    pub oldest: Duration,
}

/// A write that held the writer for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The ticket's label.
    pub label: &'static str,
    /// The ticket's tenant.
    pub tenant: Tenant,
    /// The ticket's trace; 0 means none.
    pub trace: u128,
    /// When it began.
    pub since: Instant,
    /// How long it held the writer.
    pub held: Duration,
    /// Its slow statement, where one was seen running.
    pub statement: Option<String>,
}

/// Who holds a store's writer, who waits for it, and who held it longest.
#[derive(Debug, Clone)]
pub struct WriterView {
    /// Who holds the writer now. The store's own work has the labels `commit`, `checkpoint`, `migration`, `cut` and `follower`.
    pub holder: Option<Holder>,
    /// Writes that wait, of all tenants.
    pub queued: usize,
    /// Tenants whose writes wait.
    pub tenants: usize,
    /// Those who have waited longest, at most [`WriterView::WAITING_MAX`].
    pub waiting: Vec<Waiting>,
    /// The longest holds of the last hour, longest first, at most [`WriterView::LONGEST_MAX`].
    pub longest: Vec<Hold>,
}

impl WriterView {
    /// Tenants listed as waiting.
    pub const WAITING_MAX: usize = 16;
    /// Holds listed.
    pub const LONGEST_MAX: usize = 10;
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
    /// Tenants whose writes wait.
    pub queued_tenants: usize,
    /// Bytes of the WAL in use.
    pub wal_bytes: u64,
    /// How long the writer has rested for a follower that was late, or for a checkpoint that did not catch up, since the store
    /// was opened.
    pub rested: Duration,
    /// Bytes of the database file.
    pub file_bytes: u64,
    /// Reads waiting for the slow lane.
    pub slow_queued: usize,
    /// Reads that run there, or in the blocking form beyond the inline budget.
    pub slow_running: usize,
    /// Reads of the blocking form among them.
    pub blocking_running: usize,
    /// Cuts that hold a snapshot.
    pub cuts_open: usize,
    /// Connections that read on callers' threads.
    pub reader_connections: usize,
    /// How often bounds were reached since the store was opened.
    pub reached: Reached,
    /// Who holds the writer.
    pub holder: Option<Holder>,
    /// How often all pages were checked since the store was opened.
    pub scrub_passes: u64,
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
