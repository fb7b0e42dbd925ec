//! The scrubber: looks at every page of the file once in a period, and finds those whose checksum is wrong.
//!
//! Sums are put into pages when a checkpoint writes them (`sqlite/sums.rs`). They are not checked at each read, which would
//! cost a quarter of a scan: ADR 17 has the numbers. The caretaker's thread does a piece at a time.
//!
//! A program that knows no sums may have written the file: `sqlite3` after a crash copies the WAL. The mark says whether
//! only stores have (its time is not before the file's). If not, the first pass gives sums instead of telling damage.
//!
//! **Invariants**
//! - Nothing is judged while a page could be torn by a checkpoint that was cut off: not before the WAL was copied whole.
//! - Sums are trusted after a whole pass has given them and a sync has made them durable.
//! - What is found damaged is told once and ends the writing, like damage that a read meets.

use crate::checkpoint;
use crate::error::Result;
use crate::mark::Sums;
use crate::reply::lock;
use crate::sqlite::connection::Role;
use crate::sqlite::pages::{self, Looked, Unsound};
use crate::sqlite::raw;
use crate::store::Shared;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

/// Pages looked at in one piece: some tenths of a millisecond, during which no checkpoint runs.
const PIECE: u64 = 64;
/// Giving sums is that much faster than checking them.
const STAMPING_FASTER: u32 = 24;
/// Bounds of the time between two pieces.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// How soon to look again where a checkpoint was in the way.
const SOON: Duration = Duration::from_secs(1);

/// A store's scrubbing.
#[derive(Default)]
pub(crate) struct Scrub {
    /// Whether the database file holds no page that a cut-off checkpoint could have torn.
    pub(crate) whole: AtomicBool,
    trusted: AtomicBool,
    asked: AtomicBool,
    next: Mutex<u64>,
    passes: AtomicU64,
}

impl Scrub {
    /// Whole passes since the store was opened.
    pub(crate) fn passes(&self) -> u64 {
        self.passes.load(Relaxed)
    }

    /// What was known of the sums when the file was opened; the first mark says it too.
    pub(crate) fn begin(&self, sums: Sums) {
        self.trusted.store(sums != Sums::Unknown, Relaxed);
        self.whole.store(sums == Sums::Whole, Relaxed);
    }

    /// What the mark says of the file's sums; `copied`: at the end, with the WAL copied whole.
    pub(crate) fn sums(&self, copied: bool) -> Sums {
        match (self.trusted.load(Relaxed), copied) {
            (false, _) => Sums::Unknown,
            (true, false) => Sums::Kept,
            (true, true) => Sums::Whole,
        }
    }
}

impl Shared {
    /// The store is open; its pages will be looked at.
    pub(crate) fn begin_scrubbing(self: &Arc<Self>) {
        if !self.config.scrub_period.is_zero() {
            self.scrub_later(SOON.min(self.config.scrub_period));
        }
    }

    /// One piece. Answers when the next is due; `None` where there is no next.
    pub(crate) fn scrub_some(self: &Arc<Self>) -> Option<Duration> {
        if self.is_closed() || self.read_only_error().is_some() {
            return None;
        }
        let soon = SOON.min(self.config.scrub_period);
        if !self.scrub.whole.load(Relaxed) {
            if !self.scrub.asked.swap(true, Relaxed) {
                checkpoint::ask(self);
            }
            return Some(soon);
        }
        match self.piece() {
            Ok(None) => Some(soon),
            Ok(Some(looked)) => Some(self.pause(looked.pages)),
            Err(error) => {
                *lock(&self.trouble) = Some(format!("the pages could not be checked: {error}"));
                Some(self.pause(PIECE))
            }
        }
    }

    fn piece(self: &Arc<Self>) -> Result<Option<Looked>> {
        // Not waited for: rounds of a large WAL take seconds, and the caretaker has other stores.
        let mut held = match self.rounds.connection.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        if held.is_none() {
            *held = Some(self.opener.open_for_callers(Role::Checkpointer)?);
        }
        let connection = held.as_ref().expect("opened above");
        let mut next = lock(&self.scrub.next);
        let trusted = self.scrub.trusted.load(Relaxed);
        let unsound = if trusted { Unsound::Tell } else { Unsound::Stamp };
        let looked = connection.privileged(|c| pages::look(c, (*next).max(1), PIECE, unsound))?;
        let Some(looked) = looked else { return Ok(None) };
        if let Some(page) = looked.unsound {
            let pages = looked.pages;
            self.damaged(format!("page {page} of {pages} does not match its checksum; it changed on the disk"));
            return Ok(Some(looked));
        }
        *next = looked.next;
        if looked.next > looked.pages {
            *next = 1;
            if !trusted {
                raw::sync_database_file(connection.sqlite()).inspect_err(|_| {
                    self.stop_writing(
                        "a sync of the database file failed; nothing is lost, restart to copy the WAL again",
                    );
                })?;
                self.scrub.trusted.store(true, Relaxed);
            }
            self.scrub.passes.fetch_add(1, Relaxed);
        }
        if !trusted {
            self.mark_later(); // the file's time moved
        }
        Ok(Some(looked))
    }

    fn pause(&self, pages: u64) -> Duration {
        let pieces = u32::try_from(pages / PIECE + 1).unwrap_or(u32::MAX);
        let faster = if self.scrub.trusted.load(Relaxed) { 1 } else { STAMPING_FASTER };
        (self.config.scrub_period / pieces / faster).clamp(PAUSE_MIN, PAUSE_MAX)
    }
}
