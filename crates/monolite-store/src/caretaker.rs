//! The caretaker: one thread of the process that does what is due a little later.
//!
//! Today that is writing the marks of stores that committed. A store asks for it at its first commit after the last
//! writing, so a busy store costs one small write a second and an idle one nothing.
//!
//! **Invariants**
//! - A store is in the queue at most once, and the queue keeps none of them alive.
//! - A mark is written under its store's own lock, which the store's end takes: never after the end.

use crate::mark::Mark;
use crate::planted::planted;
use crate::reply::lock;
use crate::store::Shared;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
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
            submit(self);
        }
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
        let Some(history) = *history else { return };
        // After `due` is lowered: a commit that is made from here on asks again.
        let mark = Mark { sequence: self.epoch.load(Ordering::Acquire) + u64::from(planted!("mark_ahead")), history };
        if let Err(error) = mark.write(&self.path) {
            *lock(&self.trouble) = Some(format!("the mark beside the file cannot be written: {error}"));
        }
    }
}

struct Caretaker {
    due: Mutex<VecDeque<(Instant, Weak<Shared>)>>,
    asked: Condvar,
}

fn submit(shared: &Arc<Shared>) {
    static CARETAKER: OnceLock<&'static Caretaker> = OnceLock::new();
    let caretaker = CARETAKER.get_or_init(|| {
        let c: &'static Caretaker =
            Box::leak(Box::new(Caretaker { due: Mutex::new(VecDeque::new()), asked: Condvar::new() }));
        std::thread::Builder::new()
            .name("caretaker".to_owned())
            .spawn(move || serve(c))
            .expect("a process that cannot start a thread cannot serve");
        c
    });
    let mut due = lock(&caretaker.due);
    due.push_back((Instant::now() + LATE, Arc::downgrade(shared)));
    if due.len() == 1 {
        caretaker.asked.notify_one();
    }
}

fn serve(caretaker: &'static Caretaker) {
    loop {
        let mut due = lock(&caretaker.due);
        let shared = loop {
            let wait = due.front().map(|(at, _)| at.saturating_duration_since(Instant::now()));
            due = match wait {
                None => caretaker.asked.wait(due).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break due.pop_front().and_then(|(_, shared)| shared.upgrade()),
                Some(wait) => caretaker.asked.wait_timeout(due, wait).unwrap_or_else(PoisonError::into_inner).0,
            };
        };
        drop(due);
        if let Some(shared) = shared {
            shared.write_mark();
        }
    }
}
