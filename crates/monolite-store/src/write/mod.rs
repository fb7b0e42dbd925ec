//! Writes: the queue, the writer's thread, the group.
//!
//! **Invariants**
//! - A reply implies durability: none is sent before its group's commit returned.
//! - A write that fails undoes its own changes only.

mod billing;
pub(crate) mod costs;
pub(crate) mod group;
pub(crate) mod holding;
pub(crate) mod job;
pub(crate) mod longest;
pub(crate) mod queue;
pub(crate) mod reached;
mod settle;
mod steps;
mod tx;
pub(crate) mod writer;

pub(crate) use job::is_writer_thread;
pub use job::{Write, WriteWith};
pub use tx::Tx;

/// A write's value, and where it stands in the file's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written<T> {
    /// What the closure returned.
    pub value: T,
    /// The commit that contains the write; for one that changed nothing, the last commit before it.
    pub sequence: u64,
    /// The write's place in that commit's group, from 0.
    pub place: u32,
}
