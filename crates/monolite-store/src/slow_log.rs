//! The slow log: writes and reads that took longer than they should, with their statement and its query plan.
//!
//! The plan is asked for by a thread of the slow lane, on a reading connection: never by the writer, nor while it waits.
//! The log is a ring in memory; each entry goes to the observer as well, for the program to log.
//!
//! **Invariants**
//! - A read is told once, whatever thread it moved to: by the run that answers it, with the time of all of its runs.
//! - At most `Config::slow_log_max` entries, at most `PENDING_MAX` plans to come; beyond that an entry has none.

use crate::observe::{SlowRun, SlowWork};
use crate::read;
use crate::reply::lock;
use crate::store::Shared;
use crate::ticket::Ticket;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

/// What runs of one read took so far, and when the first of them began: that of a run which came to nothing counts for the
/// next one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Runs {
    began: Option<Instant>,
    pub(crate) took: Duration,
}

impl Runs {
    /// One more of them.
    pub(crate) fn and(self, began: Instant, took: Duration) -> Runs {
        Runs { began: self.began.or(Some(began)), took: self.took + took }
    }
}

impl SlowLog {
    /// The entries, oldest first.
    pub(crate) fn list(&self) -> Vec<SlowRun> {
        lock(&self.ring).iter().cloned().collect()
    }
}

impl Shared {
    /// A read is not run any more: it is told, where it took too long.
    #[inline]
    pub(crate) fn has_read(self: &Arc<Self>, ticket: &Ticket, runs: Runs, statement: Option<&str>) {
        if let Some(began) = runs.began
            && runs.took > self.config.slow_read
        {
            self.was_slow(SlowWork::Read, ticket, began, runs.took, statement.map(str::to_owned));
        }
    }

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
            // Any thread may have to tell it, also one that serves others or has yet to answer.
            let _ = catch_unwind(AssertUnwindSafe(|| o.slow(&run)));
        }
        let mut ring = lock(&self.slow_log.ring);
        ring.push_back(run);
        while ring.len() > self.config.slow_log_max {
            ring.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::block_on;
    use crate::{Config, Error, Migrations, Snapshot, Store};

    /// Slow outside of SQLite, then in a statement that has no end.
    fn slow(s: &Snapshot<'_>) -> Result<i64, Error> {
        let end = Instant::now() + Duration::from_millis(20);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        s.query_row(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT sum(i) FROM n",
            [],
            |r| r.get(0),
        )
    }

    /// What the log has once all plans have come.
    fn told(store: &Store) -> Vec<SlowRun> {
        while store.shared().slow_log.pending.load(Relaxed) > 0 {
            std::thread::yield_now();
        }
        store.slow_runs()
    }

    #[test]
    fn a_read_that_runs_more_than_once_is_told_once_with_the_time_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { slow_read: Duration::from_millis(15), ..Config::default() };
        let store = Store::open(folder.path().join("S/S.db"), config, Migrations::new([])).unwrap();
        let told_once = |trace| {
            let runs: Vec<_> = told(&store).into_iter().filter(|run| run.trace == trace).collect();
            assert_eq!(runs.len(), 1, "{runs:?}");
            assert!(runs[0].statement.is_some() && !runs[0].plan.is_empty(), "{runs:?}");
            runs[0].took
        };
        let of_two_runs = Duration::from_millis(40);
        // From the caller's thread to the slow lane's way, in both forms.
        store.read_blocking_with(Ticket::label("blocking").trace(1), slow).unwrap();
        assert!(told_once(1) > of_two_runs);
        block_on(store.read_with(Ticket::label("moved").trace(2), slow)).unwrap();
        assert!(told_once(2) > of_two_runs);
        // From the threads of the short reads to those of the long ones.
        static MIXED: &str = "mixed";
        let read = |is_slow: bool| {
            let ticket = Ticket::label(MIXED).trace(if is_slow { 3 } else { 0 }).slow();
            store.read_with(ticket, move |s| {
                if is_slow {
                    slow(s).map(drop)?
                };
                Ok::<_, Error>(std::thread::current().name().is_some_and(|name| name.starts_with("short")))
            })
        };
        while !block_on(read(false)).unwrap().value {}
        assert!(!block_on(read(true)).unwrap().value, "it ended among the long ones");
        told_once(3);
    }
}
