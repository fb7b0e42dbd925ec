//! One store that is kept: what its parts share, and when they are due.
//!
//! **Invariants**
//! - Capture, upload, upkeep and verifying of a store each run on one thread at a time, and none waits for another.
//! - Locks are taken in the order capture, claiming, holding, line, notes; none is held while the place is asked, but that of the
//!   part itself and, once, that of the claim, which nobody waits for who does not change the place.

use super::Inner;
use super::capture::Capture;
use super::claiming::Holding;
use super::pool::lock;
use super::status::{Notes, State, Status};
use super::turns::{Resting, Turn};
use super::upkeep::Upkeep;
use super::wait::Waits;
use crate::history::{History, Segment};
use crate::spool::Spool;
use crate::{Error, Level};
use monolite_store::{Found, PageReader};
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) struct Keeper {
    pub(super) inner: Arc<Inner>,
    pub(super) service: String,
    /// Of it only segments of its own line of writers are read.
    pub(super) history: History,
    /// The same, all of it.
    pub(super) plain: History,
    /// Where the file began other histories; see `Store::forks`.
    pub(super) forks: Vec<(u64, u64)>,
    /// Names this opening of the store.
    pub(super) nonce: String,
    /// Held while the place is asked for the claim.
    pub(super) claiming: Mutex<()>,
    pub(super) holding: Mutex<Holding>,
    pub(super) scratch: PathBuf,
    pub(super) found: Found,
    pub(super) reader: PageReader,
    pub(super) spool: Spool,
    pub(super) capture: Mutex<Capture>,
    pub(super) line: Mutex<Line>,
    pub(super) upkeep: Mutex<Upkeep>,
    /// When the segments of a level are merged into the next one.
    pub(super) merges: Mutex<Vec<Option<Instant>>>,
    pub(super) upload_tries: AtomicU32,
    pub(super) waits: Arc<Waits>,
    pub(super) notes: Mutex<Notes>,
    pub(super) changes: Changes,
    pub(super) turns: [Turn; 4],
    /// The store's last commit, as the bell and the capture saw it.
    pub(super) published: AtomicU64,
    pub(super) stopped: AtomicBool,
    /// Nobody asks for it any more; a part that still runs ends what it holds.
    pub(super) retired: AtomicBool,
    pub(super) resting: Resting,
}

/// What the place has of a store.
#[derive(Default)]
pub(super) struct Line {
    pub(super) segments: Vec<Segment>,
    /// Everything after this commit is captured without a gap.
    pub(super) run: u64,
    /// When the file was found at that commit, where no segment ends with it: the commit itself is older.
    pub(super) run_ms: i64,
    /// A base and what follows it without a gap lead to all that is in the place.
    pub(super) whole: bool,
    /// Why a new base is needed.
    pub(super) base: Option<String>,
    /// How often one was asked for: a copy that is under way answers nobody who asked after it began.
    pub(super) asked: u64,
}

/// A part of a keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Capture = 0,
    Upload = 1,
    Upkeep = 2,
    Verify = 3,
}

impl Keeper {
    /// Runs a part after this time.
    pub(super) fn after(self: &Arc<Self>, part: Part, wait: Duration) {
        let keeper = self.clone();
        let pool = match part {
            Part::Capture => &self.inner.capturers,
            Part::Upload => &self.inner.uploaders,
            Part::Upkeep => &self.inner.upkeeper,
            Part::Verify => &self.inner.verifier,
        };
        pool.at(Instant::now() + wait, move || keeper.run(part));
    }

    /// Runs a part at once; asked for by many, once.
    pub(super) fn now(self: &Arc<Self>, part: Part) {
        if !self.turns[part as usize].asked.swap(true, Ordering::SeqCst) {
            self.after(part, Duration::ZERO);
        }
    }

    fn run(self: &Arc<Self>, part: Part) {
        let turn = &self.turns[part as usize];
        turn.asked.store(false, Ordering::SeqCst);
        turn.again.store(true, Ordering::SeqCst);
        let Some(running) = turn.begin() else { return }; // whoever runs looks again
        while turn.again.swap(false, Ordering::SeqCst) {
            if self.stopped.load(Ordering::SeqCst) {
                break;
            }
            if matches!(part, Part::Upkeep | Part::Verify) && self.resting.is_wanted() {
                if part == Part::Verify {
                    self.proof_is_due();
                }
                break; // who wakes it asks for it
            }
            let done = catch_unwind(AssertUnwindSafe(|| match part {
                Part::Capture => self.capture(),
                Part::Upload => self.upload(),
                Part::Upkeep => self.tend(),
                Part::Verify => self.verify(),
            }));
            if done.is_err() {
                self.failed(&format!("{part:?} panicked"), &Error::invalid("a bug; it is tried again"));
                self.after(part, self.inner.config.retry.1);
            }
        }
        if part == Part::Capture && self.retired.load(Ordering::SeqCst) {
            lock(&self.capture).follower = None; // nobody waited for it any more
        }
        drop(running);
        // Asked for between the last look and the end of the turn.
        if turn.again.load(Ordering::SeqCst) && !self.stopped.load(Ordering::SeqCst) {
            self.after(part, Duration::ZERO);
        }
    }

    pub(super) fn line(&self) -> MutexGuard<'_, Line> {
        lock(&self.line)
    }

    pub(super) fn notes(&self) -> Noted<'_> {
        Noted { notes: lock(&self.notes), changes: &self.changes, changed: false }
    }

    /// Waits until the status is such; answers whether it came to that.
    pub(super) fn watch(&self, most: Duration, until: &mut dyn FnMut(&Status) -> bool) -> bool {
        let end = Instant::now() + most;
        loop {
            let number = *lock(&self.changes.number);
            if until(&self.status()) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let guard = lock(&self.changes.number);
            let waited = self.changes.told.wait_timeout_while(guard, left, |now| *now == number);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// A segment is in the place.
    pub(super) fn put(self: &Arc<Self>, segment: Segment) {
        let captured = segment.level == Level::CAPTURED;
        self.line().segments.push(segment);
        let mut notes = self.notes();
        notes.last_put_ms = Some((self.inner.config.now)());
        if captured {
            drop(notes);
            self.merge_later(0);
        }
    }

    /// All commits up to this one are in the place.
    pub(super) fn archived(&self, sequence: u64) {
        self.waits.put(sequence);
        if self.line().whole {
            self.waits.reached();
        }
        let mut notes = self.notes();
        if sequence >= self.published.load(Ordering::Acquire) {
            notes.since = None;
        }
        notes.archived = notes.archived.max(sequence);
    }

    /// Something failed that will be tried again.
    pub(super) fn failed(&self, what: &str, error: &Error) {
        let mut notes = self.notes();
        notes.errors += 1;
        notes.last_error = Some(format!("{what}: {error}"));
    }

    /// Something that the operator should know.
    pub(super) fn tell(&self, what: &str) {
        if let Some(tell) = &self.inner.config.tell {
            tell(&self.service, what);
        }
    }

    /// Nothing is archived any more: the store's WAL is its own again. One whose file turns out not to go on from its archive, or
    /// whose archive another server's writer has taken over, is written to no more: each further commit would be one that is
    /// given up with either way on. Its WAL stays, which proves that to the next start.
    pub(super) fn stop(&self, capture: &mut Capture, why: &Error) {
        let text = format!("{} is not archived any more: {why}", self.service);
        if why.sides().is_some() {
            let text = format!(
                "{text}. Nothing is written to {} from now on; start the program again: it says the ways on",
                self.service
            );
            self.tell(&text);
            if let Some(follower) = &capture.follower {
                follower.refuse_writes(Some(text));
            }
            capture.refusing = true;
        } else if let Some(follower) = capture.follower.take() {
            follower.let_go();
        }
        self.stopped.store(true, Ordering::Release);
        let mut notes = self.notes();
        notes.errors += 1;
        notes.last_error = Some(why.to_string());
        notes.state = State::Stopped(why.to_string());
        drop(notes);
        self.waits.end(&text);
    }

    /// Whether a commit of this number was left behind with an earlier history.
    pub(super) fn has_left(&self, sequence: u64) -> bool {
        self.forks.iter().any(|(last, next)| *last < sequence && sequence < *next)
    }

    /// The store has ended: who waits is told so, once nothing more is on its way.
    pub(super) fn end_waits(&self) {
        let is_over = self.notes().state == State::Ended;
        if is_over && (self.spool.first().is_none() || !self.line().whole) {
            self.waits.end(&format!("the store {} has ended", self.service));
        }
    }

    pub(super) fn state(&self, state: State) {
        self.notes().state = state;
    }

    pub(super) fn status(&self) -> Status {
        let spooled = self.spool.size();
        let line = self.line();
        let segments = (line.segments.len(), line.segments.iter().map(|s| s.bytes).sum());
        let last_base = line.segments.iter().filter(|s| s.name.is_base()).map(|s| s.name.last).max();
        drop(line);
        let notes = self.notes();
        Status {
            service: self.service.clone(),
            state: notes.state.clone(),
            published: self.published.load(Ordering::Acquire).max(notes.published),
            captured: notes.captured,
            released: notes.released,
            archived: notes.archived,
            lag: notes.since.map_or(Duration::ZERO, |since| since.elapsed()),
            waiting: self.waits.waiting(),
            spooled,
            last_put_ms: notes.last_put_ms,
            last_base,
            last_base_ms: notes.last_base_ms,
            copying: notes.copying,
            segments,
            verification: notes.verification.clone(),
            proofs: notes.proofs,
            gaps: notes.gaps,
            errors: notes.errors,
            last_error: notes.last_error.clone(),
        }
    }
}

/// Counts changes of the notes, for who watches them.
#[derive(Default)]
pub(super) struct Changes {
    number: Mutex<u64>,
    told: Condvar,
}

/// The notes; who watches is told once they were changed.
pub(super) struct Noted<'a> {
    notes: MutexGuard<'a, Notes>,
    changes: &'a Changes,
    changed: bool,
}

impl Deref for Noted<'_> {
    type Target = Notes;

    fn deref(&self) -> &Notes {
        &self.notes
    }
}

impl DerefMut for Noted<'_> {
    fn deref_mut(&mut self) -> &mut Notes {
        self.changed = true;
        &mut self.notes
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if self.changed {
            *lock(&self.changes.number) += 1;
            self.changes.told.notify_all();
        }
    }
}
