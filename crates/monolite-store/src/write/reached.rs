//! How often the writer's bounds were reached: counters that it alone raises, only when that happens.

use crate::status::Reached;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counters of one store.
#[derive(Default)]
pub(crate) struct Reaching {
    pub(crate) group_writes: AtomicU64,
    pub(crate) group_rows: AtomicU64,
    pub(crate) group_time: AtomicU64,
    pub(crate) late: AtomicU64,
}

impl Reaching {
    pub(crate) fn look(&self) -> Reached {
        Reached {
            group_writes: self.group_writes.load(Relaxed),
            group_rows: self.group_rows.load(Relaxed),
            group_time: self.group_time.load(Relaxed),
            late: self.late.load(Relaxed),
        }
    }
}
