//! Upkeep: base copies, merging, and forgetting what was merged.
//!
//! **Invariants**
//! - The list of segments in memory is the truth of what this program put; the place is not listed again. What another writer left
//!   among them, who was overtaken, is found when it is read.
//! - What is deleted is what `retain.rs` says, with the pins that lie in the place at that moment: restores read there.
//! - A base copy is one piece at a time, at a pace. What takes long at once (making a large base, a large merge) is done by one
//!   store at a time, beside which the others' short work goes on. All of it gives way to the writers.

use super::keeper::{Keeper, Part};
use super::overlay::{Reach, overlay};
use super::pool::lock;
use super::status::State;
use crate::base::{self, Copying};
use crate::history::Segment;
use crate::layout::{BASES, Level, SegmentName};
use crate::plan::{Plan, Target};
use crate::read;
use crate::retain::{expendable, pins};
use crate::state::hex;
use crate::{Error, Kind, Result, verify};
use std::ops::ControlFlow;
use std::sync::{Arc, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// Inputs of one merge, and most segments that are laid over a base copy.
const INPUTS_MAX: usize = 128;

/// Upkeep that reads more than this takes long.
const LONG_BYTES: u64 = 64 << 20;
/// How soon to look again where another store's took long.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// The state of a store's upkeep.
#[derive(Default)]
pub(super) struct Upkeep {
    copying: Option<Copying>,
    /// How often a base had been asked for when the copy began.
    asked: u64,
    piece: Vec<u8>,
    /// When the copy's next piece is read, and when the next turn is.
    piece_due: Option<Instant>,
    next: Option<Instant>,
    /// When what was merged may be deleted.
    forget_due: Option<Instant>,
    tries: u32,
}

impl Keeper {
    /// A segment of this level was put: it is merged with its neighbours later.
    pub(super) fn merge_later(self: &Arc<Self>, level: usize) {
        let Some(interval) = self.inner.config.levels.get(level).copied() else { return };
        let mut due = lock(&self.merges);
        due.resize(self.inner.config.levels.len(), None);
        if due[level].is_none() {
            due[level] = Some(Instant::now() + interval);
            drop(due);
            self.after(Part::Upkeep, interval);
        }
    }

    /// A new base is wanted; where a copy is under way, one more after it.
    pub(super) fn base_wanted(self: &Arc<Self>, why: &str) {
        let mut line = self.line();
        line.base.get_or_insert(why.to_owned());
        line.asked += 1;
        drop(line);
        self.after(Part::Upkeep, Duration::ZERO);
    }

    /// Does what is due.
    pub(super) fn tend(self: &Arc<Self>) {
        let mut upkeep = lock(&self.upkeep);
        match self.tend_all(&mut upkeep) {
            Ok(None) => upkeep.tries = 0,
            Ok(Some(wait)) => {
                upkeep.tries = 0;
                let (now, wanted) = (Instant::now(), Instant::now() + wait);
                // What else asked for upkeep meanwhile needs no turn of its own.
                if upkeep.next.is_none_or(|next| next <= now || wanted < next) {
                    upkeep.next = Some(wanted);
                    self.after(Part::Upkeep, wait);
                }
            }
            Err(e) if e.kind() == Kind::Apart => self.stop(&mut lock(&self.capture), &e),
            Err(_) if self.is_called_off() => {} // who lets it go on asks for it
            Err(e) => {
                upkeep.tries += 1;
                self.failed("upkeep", &e);
                if e.kind() == Kind::Foreign
                    && let Err(e) = self.drop_foreign()
                {
                    self.failed("looking for what another writer left", &e);
                }
                if self.notes().state != State::Ended {
                    let wait = self.backoff(upkeep.tries);
                    self.after(Part::Upkeep, wait);
                }
            }
        }
    }

    /// Answers when it should be called again, where there is more.
    fn tend_all(self: &Arc<Self>, upkeep: &mut Upkeep) -> Result<Option<Duration>> {
        let (mut merged, mut later) = (false, None);
        for level in 0..self.inner.config.levels.len() {
            let is_due = |due: &Option<Instant>| due.is_some_and(|at| at <= Instant::now());
            if lock(&self.merges).get(level).is_some_and(is_due) {
                let Some(_turn) = self.turn(self.unmerged(level).iter().map(|s| s.bytes).sum()) else {
                    later = Some(LONG_WAIT);
                    continue;
                };
                let due = match self.merge(level, u64::MAX) {
                    Ok(some) => {
                        merged |= some;
                        None
                    }
                    Err(e) if self.is_called_off() || matches!(e.kind(), Kind::Apart | Kind::Foreign) => return Err(e),
                    // A base is made all the same, and what was merged before is forgotten.
                    Err(e) => {
                        let wait = self.inner.config.retry.1;
                        self.failed("merging", &e);
                        self.after(Part::Upkeep, wait);
                        Some(Instant::now() + wait)
                    }
                };
                lock(&self.merges)[level] = due;
            }
        }
        if merged || upkeep.forget_due.is_some_and(|due| due <= Instant::now()) {
            self.forget()?;
            upkeep.forget_due = None;
        }
        if merged {
            let kept = self.inner.config.keep.merged_ms.iter().min().map_or(0, |ms| ms.unsigned_abs());
            let kept = Duration::from_millis(kept + 1);
            upkeep.forget_due = Some(Instant::now() + kept);
            self.after(Part::Upkeep, kept);
        }
        let wants_base = self.line().base.is_some();
        if wants_base && self.notes().state != State::Opening && !self.is_dropping() {
            return Ok(self.copy(upkeep)?.or(later));
        }
        if merged {
            self.merge_into_base()?;
        }
        Ok(later)
    }

    /// A piece of a base copy, or its end.
    fn copy(self: &Arc<Self>, upkeep: &mut Upkeep) -> Result<Option<Duration>> {
        let run = self.line().run;
        if upkeep.copying.as_ref().is_some_and(|copying| copying.from() < run) {
            upkeep.copying = None; // commits are missing since it began
        }
        if upkeep.copying.is_none() {
            let from = self.waits.archived().max(run);
            upkeep.piece_due = None;
            upkeep.asked = self.line().asked;
            upkeep.copying = Some(Copying::begin(&self.scratch, &hex(&self.found.history), from, run)?);
        }
        if let Some(wait) = upkeep.piece_due.map(|due| due.saturating_duration_since(Instant::now()))
            && !wait.is_zero()
        {
            return Ok(Some(wait));
        }
        let copying = upkeep.copying.as_mut().expect("begun above");
        let read = copying.step(&self.reader, &mut upkeep.piece)?;
        self.notes().copying = Some(copying.progress());
        if let Some(bytes) = read {
            let pace = self.inner.config.base_bytes_per_second.max(1);
            let wait = Duration::from_millis(bytes.saturating_mul(1000) / pace);
            upkeep.piece_due = Instant::now().checked_add(wait);
            return Ok(Some(wait));
        }
        let (from, seen) = (copying.from(), copying.seen());
        if self.waits.archived().max(run) < seen {
            self.after(Part::Capture, Duration::ZERO);
            return Ok(Some(self.inner.config.interval));
        }
        let Some(_turn) = self.turn(copying.bytes()) else { return Ok(Some(LONG_WAIT)) };
        let (over, last) = match self.over(from, seen) {
            Ok(Some(over)) => over,
            Ok(None) => return Ok(Some(Duration::ZERO)),
            Err(e) => {
                if e.kind() == Kind::Gap {
                    upkeep.copying = None; // nothing leads from where it began; the next one begins later
                    base::discard(&self.scratch);
                }
                return Err(e);
            }
        };
        let copying = upkeep.copying.take().expect("looked at above");
        let at_ms = self.moment_of(last)?;
        self.take()?;
        let base = match copying.finish(&self.history, &over, at_ms, &mut || self.go_on()) {
            Ok((base, _)) => base,
            Err(e) if e.kind() == Kind::Exists => self.there(BASES, SegmentName { first: 1, last }, e)?,
            Err(e) => return Err(e),
        };
        self.still_ours()?;
        upkeep.piece = Vec::new();
        let mut line = self.line();
        if line.run <= from {
            line.whole = true;
            if line.asked == upkeep.asked {
                line.base = None;
            }
        }
        let again = line.base.is_some();
        if !line.segments.iter().any(|s| (s.level, s.name) == (base.level, base.name)) {
            line.segments.push(base);
        }
        drop(line);
        let mut notes = self.notes();
        notes.copying = None;
        notes.last_base_ms = Some((self.inner.config.now)());
        drop(notes);
        self.archived(base.name.last);
        Ok(again.then_some(Duration::ZERO))
    }

    /// The moment of a commit that a segment ends with, as that one's header has it: the place's own times are those of
    /// uploads or of copies. Of a commit that was never captured it is known that it was made before it was found.
    fn moment_of(&self, commit: u64) -> Result<i64> {
        let line = self.line();
        let segment = line.segments.iter().find(|s| s.name.last == commit).copied();
        let found_ms = line.run_ms;
        drop(line);
        segment.map_or(Ok(found_ms), |segment| Ok(self.history.header(&segment)?.at_ms))
    }

    /// The segments that lead from one commit to another, and where they end; `None` where they were too many and some were merged.
    fn over(self: &Arc<Self>, from: u64, to: u64) -> Result<Option<(Vec<Segment>, u64)>> {
        let segments = self.line().segments.clone();
        let (mut over, mut reached) = overlay(&segments, from, to, Reach::Near)?;
        if over.len() > INPUTS_MAX {
            // They may be merged already, into one that goes beyond what the copy saw: then nothing is left to be merged.
            (over, reached) = overlay(&segments, from, to, Reach::Far)?;
        }
        if over.len() <= INPUTS_MAX {
            return Ok(Some((over, reached)));
        }
        for level in 0..self.inner.config.levels.len() {
            if self.merge(level, reached)? {
                return Ok(None);
            }
        }
        Err(Error::new(Kind::Invalid, format!("{} segments since a copy began cannot be merged", over.len())))
    }

    /// Merges what the next level does not have yet, up to a commit. Answers whether something was merged.
    fn merge(self: &Arc<Self>, level: usize, until: u64) -> Result<bool> {
        let Some(to) = Level::new(level as u8 + 1) else { return Ok(false) };
        let mut merged = false;
        while !self.merge_all(level, to, until, &mut merged)? {}
        if merged {
            self.merge_later(level + 1);
        }
        Ok(merged)
    }

    /// Answers whether all was merged, or something has to be gone around.
    fn merge_all(self: &Arc<Self>, level: usize, to: Level, until: u64, merged: &mut bool) -> Result<bool> {
        let mut inputs = self.unmerged(level);
        inputs.retain(|s| s.name.last <= until);
        for group in contiguous(&inputs) {
            for group in group.chunks(INPUTS_MAX).filter(|group| group.len() > 1) {
                let name = SegmentName { first: group[0].name.first, last: group[group.len() - 1].name.last };
                self.take()?;
                let segment = match self.compact(group, to) {
                    Err(e) if e.kind() == Kind::Exists => self.there(to, name, e)?,
                    Err(e) if matches!(e.kind(), Kind::Damaged | Kind::Missing) => {
                        self.set_aside(group, e)?;
                        return Ok(false);
                    }
                    other => other?,
                };
                self.still_ours()?;
                self.put(segment);
                *merged = true;
            }
        }
        Ok(true)
    }

    /// Merges segments into one, unless it is called off.
    fn compact(&self, inputs: &[Segment], to: Level) -> Result<Segment> {
        read::compact_while(&self.history, inputs, to, &self.scratch, &mut |_| self.go_on())
    }

    /// What the next level does not have yet.
    fn unmerged(&self, level: usize) -> Vec<Segment> {
        let (Some(from), Some(to)) = (Level::new(level as u8), Level::new(level as u8 + 1)) else { return Vec::new() };
        let segments = self.line().segments.clone();
        let end = segments.iter().filter(|s| s.level == to).map(|s| s.name.last).max().unwrap_or(0);
        let mut inputs: Vec<Segment> =
            segments.into_iter().filter(|s| s.level == from && s.name.last > end && !s.name.is_base()).collect();
        inputs.sort_by_key(|s| (s.name.first, s.name.last));
        inputs
    }

    /// The turn for upkeep that reads so many bytes; `None` while another store's takes long.
    fn turn(&self, bytes: u64) -> Option<Option<MutexGuard<'_, ()>>> {
        if bytes < LONG_BYTES {
            return Some(None);
        }
        match self.inner.long.try_lock() {
            Ok(turn) => Some(Some(turn)),
            Err(TryLockError::Poisoned(poisoned)) => Some(Some(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// A segment that a try before put, whose answer was lost: read to its end, since what counts here is what others are
    /// deleted for. One that is not sound is removed, and its name is free for the next try.
    fn there(&self, level: Level, name: SegmentName, why: Error) -> Result<Segment> {
        let there = self.history.find(level, name)?.ok_or(why)?;
        let mut each = |_| if self.is_called_off() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        match verify::read(&self.history, &there, &mut each) {
            Ok(_) => Ok(there),
            Err(e) => {
                if matches!(e.kind(), Kind::Damaged | Kind::Foreign) {
                    self.still_ours()?;
                    self.history.delete(&there)?;
                }
                Err(e)
            }
        }
    }

    /// Deletes what nothing that was promised needs.
    fn forget(&self) -> Result<()> {
        let config = &self.inner.config;
        let now = (config.now)();
        let segments = self.line().segments.clone();
        if expendable(&segments, &config.keep, &[], now).is_empty() {
            return Ok(()); // the place is not asked who reads
        }
        self.take()?;
        let mut pins = pins(&self.history, now)?;
        if let Some(pinned) = &config.pinned {
            pins.extend(pinned(&self.service)?);
        }
        let expendable = expendable(&segments, &config.keep, &pins, now);
        self.still_ours()?;
        for segment in expendable {
            self.history.delete(&segment)?;
            self.line().segments.retain(|s| *s != segment);
        }
        Ok(())
    }

    /// Makes a new base from the last one and what follows it, where that has become large.
    fn merge_into_base(self: &Arc<Self>) -> Result<()> {
        let config = &self.inner.config;
        let segments = self.line().segments.clone();
        let Ok(plan) = Plan::to(&segments, Target::Latest, |s| Ok(s.created_ms)) else { return Ok(()) };
        let Some((base, over)) = plan.segments().split_first() else { return Ok(()) };
        let over_bytes: u64 = over.iter().map(|s| s.bytes).sum();
        let large = over_bytes * 100 > base.bytes * config.base_percent && over_bytes > config.base_bytes_min;
        if !large || over.len() >= INPUTS_MAX {
            return Ok(());
        }
        let Some(_turn) = self.turn(plan.bytes()) else { return Ok(()) }; // the next merge looks again
        let name = SegmentName { first: 1, last: plan.last() };
        self.take()?;
        let made = match self.compact(plan.segments(), BASES) {
            Err(e) if e.kind() == Kind::Exists => self.there(BASES, name, e)?,
            // What lies in the place is not sound: a copy of the store is.
            Err(e) if matches!(e.kind(), Kind::Damaged | Kind::Gap | Kind::Missing) => {
                self.failed("making a base from the archive", &e);
                self.base_wanted(&e.to_string());
                return Ok(());
            }
            other => other?,
        };
        self.still_ours()?;
        self.put(made);
        self.notes().last_base_ms = Some((config.now)());
        Ok(())
    }
}

/// Runs of segments that follow each other.
fn contiguous(segments: &[Segment]) -> Vec<&[Segment]> {
    segments.chunk_by(|one, next| next.name.first <= one.name.last + 1 && one.name.last < next.name.last).collect()
}
