//! The caretaker: one thread of the process that does what is due a little later.
//!
//! It writes the marks of stores that committed: a store asks for it at its first commit after the last writing, so a busy
//! one costs two small writes a second and an idle one nothing. It scrubs, a piece at a time, and wakes writers that rest.
//!
//! **Invariants**
//! - A store is in the queue at most once for each sort of work, and the queue keeps none of them alive.
//! - A mark is written under its store's own lock, which the store's end takes: never after the end.

use crate::mark::Mark;
use crate::planted::planted;
use crate::reply::{far_from_now, lock};
use crate::store::Shared;
use crate::threads::Started;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How late a mark is written. With the time that a busy machine adds, at most about a second.
const LATE: Duration = Duration::from_millis(500);

/// A store's part of it.
#[derive(Default)]
pub(crate) struct Marking {
    due: AtomicBool,
    /// The file's history; `None` before the store is open and after its end.
    history: Mutex<Option<[u8; 16]>>,
}

impl Shared {
    /// A commit was made; its number will be in the mark soon.
    #[inline]
    pub(crate) fn mark_later(self: &Arc<Self>) {
        if !self.marking.due.swap(true, Ordering::AcqRel) {
            submit(self, LATE, Due::Mark);
        }
    }

    /// A piece of scrubbing is due after this time.
    pub(crate) fn scrub_later(self: &Arc<Self>, wait: Duration) {
        submit(self, wait, Due::Scrub);
    }

    /// The writer looks after its errands after this time.
    pub(crate) fn errand_later(self: &Arc<Self>, wait: Duration) {
        submit(self, wait, Due::Errand);
    }

    /// The store is open: its mark is written now, and from now on after commits.
    pub(crate) fn begin_marking(&self, history: [u8; 16]) {
        *lock(&self.marking.history) = Some(history);
        self.write_mark();
    }

    /// No mark is written any more; the last one now, where the store ends in order.
    pub(crate) fn end_marking(&self, in_order: bool) {
        if in_order {
            self.write_mark();
        }
        *lock(&self.marking.history) = None;
    }

    fn write_mark(&self) {
        let history = lock(&self.marking.history);
        self.marking.due.store(false, Ordering::Release);
        let Some(history) = history.filter(|_| !self.standing.is_quarantined()) else { return };
        // After `due` is lowered: a commit that is made from here on asks again.
        let copied = self.is_closed() && self.copied_at_close.load(Ordering::Acquire);
        let sequence = self.epoch.load(Ordering::Acquire) + u64::from(planted!("mark_ahead"));
        let mark = Mark { sequence, history, sums: self.scrub.sums(copied) };
        if let Err(error) = mark.write(&self.path) {
            // The least of all troubles, and on a full disk the last that is met: it hides no other.
            let text = || format!("the mark beside the file cannot be written: {error}");
            lock(&self.trouble).get_or_insert_with(text);
        }
    }
}

/// What is due for a store.
#[derive(Debug, Clone, Copy)]
enum Due {
    Mark,
    Scrub,
    Errand,
}

/// When, and the number of the request.
type Place = (Instant, u64);

struct Caretaker {
    /// By time, then by number.
    due: Mutex<BTreeMap<Place, (Weak<Shared>, Due)>>,
    asked: Condvar,
    numbers: AtomicU64,
}

static CARETAKER: Caretaker =
    Caretaker { due: Mutex::new(BTreeMap::new()), asked: Condvar::new(), numbers: AtomicU64::new(0) };

/// Starts the caretaker.
pub(crate) fn start() -> std::io::Result<()> {
    static STARTED: Started = Started::new();
    STARTED.start("caretaker", || serve(&CARETAKER))
}

fn submit(shared: &Arc<Shared>, wait: Duration, what: Due) {
    let caretaker = &CARETAKER;
    let key = (far_from_now(wait), caretaker.numbers.fetch_add(1, Ordering::Relaxed));
    let mut due = lock(&caretaker.due);
    let first = due.first_key_value().is_none_or(|(known, _)| key < *known);
    due.insert(key, (Arc::downgrade(shared), what));
    drop(due);
    if first {
        caretaker.asked.notify_one();
    }
}

fn serve(caretaker: &'static Caretaker) {
    loop {
        let mut due = lock(&caretaker.due);
        let (shared, what) = loop {
            let wait = due.first_key_value().map(|((at, _), _)| at.saturating_duration_since(Instant::now()));
            due = match wait {
                None => caretaker.asked.wait(due).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break due.pop_first().expect("looked at above").1,
                Some(wait) => caretaker.asked.wait_timeout(due, wait).unwrap_or_else(PoisonError::into_inner).0,
            };
        };
        drop(due);
        let Some(shared) = shared.upgrade() else { continue };
        match what {
            Due::Mark => shared.write_mark(),
            Due::Errand => shared.queue.errand(),
            Due::Scrub => {
                if let Ok(Some(wait)) = catch_unwind(AssertUnwindSafe(|| shared.scrub_some())) {
                    shared.scrub_later(wait);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::place::beside;
    use crate::reply::lock;
    use crate::{Config, Migrations, Store};

    #[test]
    fn a_mark_that_cannot_be_written_is_told_and_hides_no_other_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("S/S.db"), Config::default(), Migrations::new([])).unwrap();
        let mark = beside(store.path(), ".mark");
        let _ = std::fs::remove_file(&mark);
        std::fs::create_dir(&mark).unwrap();
        let shared = store.shared();
        *lock(&shared.trouble) = Some("a checkpoint failed".to_owned());
        shared.write_mark();
        assert_eq!(store.status().trouble.as_deref(), Some("a checkpoint failed"));
        *lock(&shared.trouble) = None;
        shared.write_mark();
        assert!(store.status().trouble.unwrap().contains("mark beside the file cannot be written"));
    }
}
