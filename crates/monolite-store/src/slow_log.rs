//! The slow log: writes and reads that took longer than they should, with their statement and its query plan.
//!
//! The plan is asked for by a thread of the slow lane, on a reading connection: never by the writer, nor while it waits.
//! The log is a ring in memory; each entry goes to the observer as well, for the program to log.
//!
//! **Invariants**
//! - At most `Config::slow_log_max` entries, at most `PENDING_MAX` plans to come; beyond that an entry has none.

use crate::observe::{SlowRun, SlowWork};
use crate::read;
use crate::reply::lock;
use crate::store::Shared;
use crate::ticket::Ticket;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Entries that wait for their plan.
const PENDING_MAX: usize = 16;

/// A store's slow log.
#[derive(Default)]
pub(crate) struct SlowLog {
    ring: Mutex<VecDeque<SlowRun>>,
    pending: AtomicUsize,
}

impl SlowLog {
    /// The entries, oldest first.
    pub(crate) fn list(&self) -> Vec<SlowRun> {
        lock(&self.ring).iter().cloned().collect()
    }
}

impl Shared {
    /// A run took too long.
    #[cold]
    pub(crate) fn was_slow(
        self: &Arc<Self>,
        work: SlowWork,
        ticket: &Ticket,
        began: Instant,
        took: Duration,
        statement: Option<String>,
    ) {
        let Ticket { label, tenant, trace, .. } = *ticket;
        let mut run = SlowRun { work, label, tenant, trace, began, took, statement, plan: Vec::new() };
        let log = &self.slow_log;
        if run.statement.is_none() || log.pending.fetch_add(1, Relaxed) >= PENDING_MAX {
            if run.statement.is_some() {
                log.pending.fetch_sub(1, Relaxed);
            }
            return self.keep_slow(run);
        }
        let shared = self.clone();
        read::chore(move || {
            run.plan = run.statement.as_ref().map_or_else(Vec::new, |sql| read::plan_of(&shared, sql));
            shared.slow_log.pending.fetch_sub(1, Relaxed);
            shared.keep_slow(run);
        });
    }

    fn keep_slow(&self, run: SlowRun) {
        if let Some(o) = &self.config.observer {
            o.slow(&run);
        }
        let mut ring = lock(&self.slow_log.ring);
        ring.push_back(run);
        while ring.len() > self.config.slow_log_max {
            ring.pop_front();
        }
    }
}
