//! The seam through which a store tells what it does; it costs one branch when unused.
//!
//! **Invariants**
//! - Methods are called outside of locks that readers need, and must return at once.
//! - A panic in `slow` changes nothing. One in what the writer tells ends the writer as a bug of its own would; one in what a
//!   checkpointer tells ends that round; the others are on the thread of who calls.

use crate::ticket::Tenant;
use std::time::{Duration, Instant};

/// Who copied the WAL into the database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckpointMode {
    /// A round beside the writer.
    Beside,
    /// The short last round between two groups.
    Between,
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlowWork {
    /// A write held the writer longer than `Config::slow_write`.
    Write,
    /// A read took longer than `Config::slow_read`.
    Read,
}

/// A write or a read that took too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowRun {
    /// Which of them.
    pub work: SlowWork,
    /// The ticket's label.
    pub label: &'static str,
    /// The ticket's tenant.
    pub tenant: Tenant,
    /// The ticket's trace; 0 means none.
    pub trace: u128,
    /// When it began.
    pub began: Instant,
    /// How long it took, without waiting: all of its runs, where a read moved to another thread.
    pub took: Duration,
    /// Its slow statement, where one was seen running: a run may be slow outside of SQLite, or in many short statements.
    pub statement: Option<String>,
    /// The statement's query plan, a line for each step, indented by depth; empty where none could be asked for.
    pub plan: Vec<String>,
}

/// Receives what a store does. Every method has an empty default.
pub trait Observer: Send + Sync + 'static {
    /// A write waited this long in the queue.
    fn waited(&self, _label: &'static str, _wait: Duration) {}
    /// A write held the writer this long.
    fn held(&self, _label: &'static str, _hold: Duration) {}
    /// A group of this many writes was committed in this time (its last statement and the COMMIT with its fsync).
    fn committed(&self, _writes: usize, _commit: Duration) {}
    /// A checkpoint round moved the WAL's state: frames in the WAL, frames copied so far.
    fn checkpointed(&self, _mode: CheckpointMode, _frames: u64, _copied: u64, _took: Duration) {}
    /// A read moved from the caller's thread to the slow lane.
    fn moved(&self, _label: &'static str) {}
    /// A run took too long. It may come a little later, from a thread of the slow lane.
    fn slow(&self, _run: &SlowRun) {}
    /// A call was refused because a queue was full.
    fn refused(&self, _label: &'static str) {}
}
