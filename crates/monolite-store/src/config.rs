//! The limits of a store, by name, with their defaults.
//!
//! **Invariants**
//! - Every queue, loop, retry and wait of the crate takes its bound from here.

use crate::observe::Observer;
use crate::ticket::Tenant;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The limits of a store.
#[derive(Clone)]
pub struct Config {
    /// Most writes in one group; zero is one.
    pub group_writes_max: usize,
    /// Most changed rows of one group, after which it is committed.
    pub group_rows_max: u64,
    /// Most writer time of one group, after which it is committed; where commits take long, up to four times as much
    /// ([`GroupMax::time`]). With zero each write has a group of its own.
    pub group_time_max: Duration,
    /// Most writes waiting; one more is refused as overloaded.
    pub queue_max: usize,
    /// Most writes of one tenant waiting, and never more than there are places left in the queue; one more is refused as
    /// the tenant's own fault. The system (tenant 0) is bounded by `queue_max` alone.
    pub tenant_queue_max: usize,
    /// Shares of tenants in writer time and in the slow lane; who is not listed has 1.
    pub tenant_weights: HashMap<Tenant, u32>,
    /// Writer time that one tenant of weight 1 adds to a group while others are active.
    pub tenant_quantum: Duration,
    /// The deadline of a call whose ticket has none.
    pub deadline: Duration,
    /// Thread CPU time a read may use on the caller's thread before it moves to the slow lane.
    pub inline_budget: Duration,
    /// Values larger than this end an inline read that announces them by `gate`, in bytes.
    pub gate_bytes: u64,
    /// Most reads of this store waiting for the slow lane.
    pub slow_queue_max: usize,
    /// Most reads of one tenant waiting for the slow lane, of all stores of the process; one more is refused as the tenant's
    /// own fault. The system (tenant 0) is bounded by `slow_queue_max` alone.
    pub slow_tenant_queue_max: usize,
    /// Most reads of the blocking form that run beyond the inline budget at once; others wait until their deadline.
    pub blocking_reads_max: usize,
    /// Most cuts open at once that hold a snapshot of this store; one more is refused as overloaded.
    pub cuts_max: usize,
    /// Longest time of a read in the slow lane, and so the greatest age of a snapshot.
    pub slow_time_max: Duration,
    /// A write that holds the writer longer than this is in the slow log.
    pub slow_write: Duration,
    /// A read that takes longer than this is in the slow log.
    pub slow_read: Duration,
    /// Entries of the slow log; the oldest go.
    pub slow_log_max: usize,
    /// Most reader connections for callers' threads.
    pub slots_max: usize,
    /// Page cache of each reader connection, in bytes (an upper bound, taken as pages are read).
    pub reader_cache_bytes: u64,
    /// Page cache of the writer's connection, in bytes.
    pub writer_cache_bytes: u64,
    /// Statements kept prepared on each connection.
    pub statements_max: usize,
    /// A checkpoint begins when the WAL holds this many bytes.
    pub wal_soft_bytes: u64,
    /// Reads whose snapshot keeps the WAL above this many bytes are ended.
    pub wal_hard_bytes: u64,
    /// Largest single value (row, text or blob), in bytes.
    pub value_max: u64,
    /// Rows a quick migration may touch.
    pub quick_rows_max: u64,
    /// Every page of the file is read and its checksum checked within this time; zero: never.
    pub scrub_period: Duration,
    /// The WAL is not started over before a follower ([`Store::follow`](crate::Store::follow)) has released what is in it,
    /// from the opening on: a follower that comes later misses nothing. Without one the WAL grows.
    pub followed: bool,
    /// The name in messages and thread names; empty means the file's stem.
    pub name: String,
    /// The SQLite VFS below the store's own, by name, for every connection of the store and its own file operations on
    /// the WAL; `None` is SQLite's default. For test rigs: it must be registered before and stay so for good.
    pub vfs: Option<&'static str>,
    /// Receives what the store does.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
        Config {
            group_writes_max: 1024,
            group_rows_max: 16384,
            group_time_max: Duration::from_millis(5),
            queue_max: 8192,
            tenant_queue_max: 2048,
            tenant_weights: HashMap::new(),
            tenant_quantum: Duration::from_micros(100),
            deadline: Duration::from_secs(10),
            inline_budget: Duration::from_micros(250),
            gate_bytes: 64 << 10,
            slow_queue_max: 1024,
            slow_tenant_queue_max: 128,
            blocking_reads_max: 8,
            cuts_max: 16,
            slow_time_max: Duration::from_secs(30),
            slow_write: Duration::from_millis(100),
            slow_read: Duration::from_millis(500),
            slow_log_max: 64,
            slots_max: (cores * 2).clamp(4, 64),
            reader_cache_bytes: 256 << 20,
            writer_cache_bytes: 256 << 20,
            statements_max: 256,
            wal_soft_bytes: 64 << 20,
            wal_hard_bytes: 1 << 30,
            value_max: 64 << 20,
            quick_rows_max: 10_000_000,
            scrub_period: Duration::from_secs(24 * 3600),
            followed: false,
            name: String::new(),
            vfs: None,
            observer: None,
        }
    }
}

/// How large a group may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupMax {
    /// Writes.
    pub writes: usize,
    /// The time for which they hold the writer, where commits are short.
    pub time: Duration,
}

impl GroupMax {
    /// The time for which a group may hold the writer where a commit takes so long: twice that, so that commits take a third
    /// of the writer's time at most, within `time` and four times that.
    pub fn time(&self, commit: Duration) -> Duration {
        commit.saturating_mul(2).clamp(self.time, self.time.saturating_mul(4))
    }
}

impl Config {
    /// How large a group may become.
    pub fn group_max(&self) -> GroupMax {
        GroupMax { writes: self.group_writes_max, time: self.group_time_max }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("name", &self.name).field("queue_max", &self.queue_max).finish_non_exhaustive()
    }
}
