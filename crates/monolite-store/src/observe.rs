//! The seam through which a store tells what it does; it costs one branch when unused.
//!
//! **Invariants**
//! - Methods are called outside of locks that readers need, and must return at once.

use std::time::Duration;

/// Who copied the WAL into the database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckpointMode {
    /// A round beside the writer.
    Beside,
    /// The short last round between two groups.
    Between,
}

/// Receives what a store does. Every method has an empty default.
pub trait Observer: Send + Sync + 'static {
    /// A write waited this long in the queue.
    fn waited(&self, _label: &'static str, _wait: Duration) {}
    /// A write held the writer this long.
    fn held(&self, _label: &'static str, _hold: Duration) {}
    /// A group of this many writes was committed in this time (the COMMIT with its fsync).
    fn committed(&self, _writes: usize, _commit: Duration) {}
    /// A checkpoint round moved the WAL's state: frames in the WAL, frames copied so far.
    fn checkpointed(&self, _mode: CheckpointMode, _frames: u64, _copied: u64, _took: Duration) {}
    /// A read moved from the caller's thread to the slow lane.
    fn moved(&self, _label: &'static str) {}
    /// A call was refused because a queue was full.
    fn refused(&self, _label: &'static str) {}
}
