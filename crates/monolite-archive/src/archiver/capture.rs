//! Capture: from the store's WAL into the place, or into the spool where that does not take it.
//!
//! **Invariants**
//! - The WAL is released after the segment is durable in one of the two, never before.
//! - A place that is near (a folder) is put to at once, while nothing waits in the spool; a bucket gets all by the spool.
//! - A gap is never silent: it is counted, and a new base follows.

use super::claiming::Holding;
use super::keeper::{Keeper, Part};
use super::pool::lock;
use super::status::State;
use crate::layout::Layout;
use crate::ltx::Header;
use crate::planted::planted;
use crate::state::{self, Side, Tip, hex};
use crate::{Error, Kind, Result, Sides, base, moment, openings};
use monolite_store::{Batch, Follower, Kind as StoreKind, Missed, Why};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A moment that is so far ahead came from a clock that was wrong.
const CLOCK_AHEAD_MS: i64 = 5 * 60_000;

/// What a segment may take longer than the time after which it is due: beyond that writes go at the archive's pace.
const LATE: Duration = Duration::from_millis(250);

/// The state of a store's capture.
pub(super) struct Capture {
    /// `None` once the store has ended.
    pub(super) follower: Option<Follower>,
    /// Whether the place was asked where its archive stands.
    pub(super) settled: bool,
    /// The last commit that is kept somewhere.
    pub(super) tip: Option<Tip>,
    /// Whether the next batch was proven to go on from the tip.
    proven: bool,
    /// Commits up to the one that was found are of a writer of whom nothing is known: others' may have the same numbers.
    unknown: bool,
    /// Commits that have to be the end of a segment: those of marks.
    pub(super) ends: BTreeSet<u64>,
    /// Taken, and kept nowhere yet.
    pending: Option<(Batch, Header)>,
    /// Commits are dropped, since a bound was reached.
    pub(super) dropping: bool,
    pub(super) refusing: bool,
    tries: u32,
}

impl Capture {
    pub(super) fn new(follower: Follower) -> Capture {
        let (settled, proven, unknown, dropping, refusing) = (false, false, false, false, false);
        let (ends, pending, tip, tries) = (BTreeSet::new(), None, None, 0);
        Capture { follower: Some(follower), settled, tip, proven, unknown, ends, pending, dropping, refusing, tries }
    }
}

/// How a run of the capture ended.
enum Ended {
    /// All is kept.
    Idle,
    /// To be tried again, after a while that grows.
    Later,
    /// At a bound: whoever makes room asks again.
    AtBound,
    Closed,
}

impl Keeper {
    /// Asks the place where the archive stands, and lets the follower begin there.
    pub(super) fn settle(self: &Arc<Self>, c: &mut Capture) -> Result<()> {
        let now = (self.inner.config.now)();
        let follower = c.follower.as_mut().expect("a store that is not settled has not ended");
        let (found, kept, published) = (&self.found, follower.released(), follower.published());
        let side = Side { service: &self.service, found, kept, published, nonce: &self.nonce };
        let standing = state::settle(&self.plain, &self.spool, side, &self.scratch, now)?;
        let tip = match standing.captured {
            Some(tip) => tip,
            // Nothing is kept: a base will have what is there, and what follows is captured.
            None => {
                let sequence = follower.published();
                Tip { sequence, pages: None, at_ms: self.made(follower.age(sequence)), epoch: None }
            }
        };
        follower.begin_after(tip.sequence, tip.pages);
        follower.is_late_from(self.inner.config.interval + LATE);
        follower.write_as(standing.writer.epoch as i64);
        if standing.writer.epoch != (found.epoch + 1) as u64 {
            openings::note(&self.scratch, found, standing.writer.epoch)?;
        }
        *lock(&self.holding) = Holding { writer: Some(standing.writer), foreign: standing.foreign, held: false };
        self.history.forget_writers(None);
        c.tip = Some(tip);
        c.proven = standing.captured.is_none_or(|tip| tip.sequence == found.sequence || tip.sequence <= kept);
        c.settled = true;
        c.unknown = standing.unknown;
        if let Some(why) = &standing.damaged {
            self.failed("the archive", &Error::new(Kind::Damaged, why.clone()));
            self.notes().gaps += 1;
            self.tell(&format!(
                "{why}. A new base is made, after which everything can be restored again; what that segment held is lost but for \
                 the file's own state"
            ));
        }
        if let Some(why) = &standing.anew {
            self.tell(why);
        }
        let archived = standing.archived.map_or(0, |tip| tip.sequence);
        let mut line = self.line();
        line.segments = standing.segments;
        line.run = standing.run.unwrap_or(tip.sequence);
        line.run_ms = tip.at_ms;
        line.whole = standing.base.is_none();
        line.base = standing.base;
        if line.base.is_none() {
            base::discard(&self.scratch); // a copy that a crash ended after its base was put
        }
        drop(line);
        self.notes().captured = tip.sequence;
        if tip.at_ms > now.saturating_add(CLOCK_AHEAD_MS) {
            let text = format!(
                "the newest commit in the archive is of {}, which is to come: until then all moments will be that one",
                moment::text(tip.at_ms)
            );
            self.failed("the clock", &Error::invalid(text));
        }
        self.archived(archived);
        self.state(if self.spool.first().is_some() { State::Spooling } else { State::Keeping });
        if self.spool.first().is_some() {
            self.after(Part::Upload, Duration::ZERO);
        }
        self.after(Part::Upkeep, Duration::ZERO);
        Ok(())
    }

    /// Looks whether what the WAL has goes on from the archive; keeps nothing yet.
    pub(super) fn look(self: &Arc<Self>, c: &mut Capture) -> Result<()> {
        c.pending = self.next(c)?;
        Ok(())
    }

    /// Takes all commits there are.
    pub(super) fn capture(self: &Arc<Self>) {
        let mut c = lock(&self.capture);
        let taken = catch_unwind(AssertUnwindSafe(|| self.take_all(&mut c)));
        match taken.unwrap_or_else(|_| self.panicked(&mut c)) {
            Ok(Ended::Idle) => {
                c.tries = 0;
                let Some(follower) = &c.follower else { return };
                if follower.arm() {
                    self.rung(follower.is_urgent());
                }
            }
            Ok(Ended::AtBound) => {}
            Ok(Ended::Later) => {
                c.tries += 1;
                let wait = self.backoff(c.tries);
                self.after(Part::Capture, wait);
            }
            Ok(Ended::Closed) => {
                c.follower = None;
                self.state(State::Ended);
                self.end_waits();
                // What waits in the spool is carried on, as long as the process lives.
            }
            Err(why) => self.stop(&mut c, &why),
        }
    }

    /// What was being kept is lost to the archive, and the follower is past it.
    fn panicked(self: &Arc<Self>, c: &mut Capture) -> Result<Ended> {
        let why = "capturing panicked, and the commits that it had are not archived";
        if c.settled && c.follower.is_some() {
            c.pending = None;
            self.gap(c, why);
        } else {
            self.failed("the archive's state is not known", &Error::new(Kind::Io, why));
        }
        Ok(Ended::Later)
    }

    /// The bell rang, or there is more already.
    pub(super) fn rung(self: &Arc<Self>, urgent: bool) {
        self.notes().since.get_or_insert_with(std::time::Instant::now);
        self.after(Part::Capture, if urgent { Duration::ZERO } else { self.inner.config.interval });
    }

    pub(super) fn backoff(&self, tries: u32) -> Duration {
        let (first, most) = self.inner.config.retry;
        first.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(most)
    }

    fn take_all(self: &Arc<Self>, c: &mut Capture) -> Result<Ended> {
        if c.follower.is_none() {
            return Ok(Ended::AtBound);
        }
        if !c.settled {
            match self.settle(c) {
                Ok(()) => {}
                Err(e) if is_final(&e) => return Err(e),
                Err(e) => {
                    self.failed("the archive's state is not known", &e);
                    self.unsettled_bound(c);
                    return Ok(Ended::Later);
                }
            }
        }
        loop {
            if c.pending.is_none() && self.at_bound(c)? {
                return Ok(Ended::AtBound);
            }
            let Some((mut batch, header)) = self.next(c)? else {
                self.release_found(c);
                let ended = c.follower.as_ref().is_none_or(Follower::is_ended);
                return Ok(if ended { Ended::Closed } else { Ended::Idle });
            };
            if let Err(e) = self.keep(c, &mut batch, header) {
                self.failed("capturing", &e);
                if is_final(&e) {
                    return Err(e);
                }
                if e.kind() == Kind::Damaged {
                    // Another program started the WAL over while it was read.
                    self.gap(c, &e.to_string());
                    continue;
                }
                c.pending = Some((batch, header));
                return Ok(Ended::Later);
            }
        }
    }

    /// What an earlier run archived and left in the WAL is released, where the store is only read since.
    fn release_found(&self, c: &mut Capture) {
        let Some(follower) = c.follower.as_mut().filter(|_| c.proven && c.ends.is_empty()) else { return };
        match follower.release_found() {
            Ok(false) => {}
            Ok(true) => self.notes().released = follower.released(),
            Err(e) => self.failed("looking at the WAL", &Error::new(Kind::Io, e.to_string())),
        }
    }

    /// The next batch, proven to go on from the tip.
    fn next(self: &Arc<Self>, c: &mut Capture) -> Result<Option<(Batch, Header)>> {
        if let Some(pending) = c.pending.take() {
            return Ok(Some(pending));
        }
        loop {
            let follower = c.follower.as_mut().expect("looked at by the caller");
            self.published.fetch_max(follower.published(), Ordering::AcqRel);
            let tip = c.tip.expect("a settled capture has a tip");
            let reached = follower.last().unwrap_or(0);
            c.ends.retain(|end| *end > reached);
            let batch = match follower.next(c.ends.first().copied(), self.inner.config.segment_bytes) {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok(None),
                Err(Missed::Gap(gap)) if gap.why == Why::Replaced => {
                    return Err(Error::new(Kind::Apart, gap.to_string()));
                }
                Err(Missed::Gap(gap)) => {
                    self.gap(c, &gap.to_string());
                    continue;
                }
                Err(Missed::Store(e)) if e.kind() == StoreKind::Closed => return Ok(None),
                Err(Missed::Store(e)) => return Err(e.into()),
                Err(other) => return Err(Error::new(Kind::Io, other.to_string())),
            };
            if batch.first == 1 {
                self.gap(c, "the first commit of a file is kept by a base alone");
                continue;
            }
            if !c.proven {
                match (batch.before, tip.epoch) {
                    (Some((_, epoch)), Some(known)) if epoch as u64 != known => {
                        return Err(self.apart(&tip, epoch as u64));
                    }
                    // The WAL begins with the next commit, of another writer of whose beginning nothing is known.
                    (None, Some(known)) if !self.is_from(batch.first_epoch as u64, &tip, known) => {
                        self.gap(c, "the WAL does not prove that it goes on from the archive");
                        continue;
                    }
                    _ => c.proven = true,
                }
            }
            if std::mem::take(&mut c.unknown) && batch.first <= self.found.sequence {
                self.gap(c, &format!("nothing says who made the commits up to {}", self.found.sequence));
                continue;
            }
            self.refuse_other_writers(&batch)?;
            let at_ms = self.made(batch.age).max(tip.at_ms);
            let (page_size, pages, epoch) = (batch.page_size, batch.pages_in_file, batch.epoch as u64);
            let header = Header { page_size, pages, first: batch.first, last: batch.last, at_ms, epoch };
            return Ok(Some((batch, header)));
        }
    }

    /// When something was made that is so old.
    fn made(&self, age: Duration) -> i64 {
        (self.inner.config.now)().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
    }

    /// What this opening commits has to be of the writer that it claims to be: the claims say whose each commit is.
    fn refuse_other_writers(&self, batch: &Batch) -> Result<()> {
        let writer = self.writer().map_or(0, |writer| writer.epoch) as i64;
        let found = self.found.sequence;
        if batch.last <= found || batch.epoch == writer && (batch.first <= found || batch.first_epoch == writer) {
            return Ok(());
        }
        let text = format!(
            "commits {} to {} of {} were made as writer {}, and the archive knows another one by that number: the file was copied",
            batch.first, batch.last, self.service, batch.first_epoch
        );
        Err(self.sided(Error::new(Kind::Apart, text)))
    }

    /// Whether the first commit that this writer made comes right after the tip, which is of that one.
    fn is_from(&self, writer: u64, tip: &Tip, known: u64) -> bool {
        writer == known || openings::vouch(&self.scratch, self.found.history, writer, tip.sequence, known)
    }

    /// Commit `tip` of the file is another writer's than the archive's.
    fn apart(&self, tip: &Tip, epoch: u64) -> Error {
        let (service, history) = (self.service.clone(), hex(&self.found.history));
        let file = self.published.load(Ordering::Acquire).max(self.found.sequence);
        let (archive, archive_ms) = (tip.sequence, tip.at_ms);
        state::apart(Sides { service, history, file, file_ms: None, archive, archive_ms }, tip.epoch, epoch)
    }

    /// Commits are missing: capture goes on from now, and a new base is needed.
    pub(super) fn gap(self: &Arc<Self>, c: &mut Capture, why: &str) {
        let follower = c.follower.as_mut().expect("only a followed store has gaps");
        let sequence = follower.published();
        let at_ms = self.made(follower.age(sequence)).max(c.tip.map_or(i64::MIN, |tip| tip.at_ms));
        follower.begin_after(sequence, None);
        c.tip = Some(Tip { sequence, pages: None, at_ms, epoch: None });
        c.proven = true;
        let mut line = self.line();
        line.run = sequence;
        line.run_ms = at_ms;
        line.whole = false;
        line.base = Some(why.to_owned());
        drop(line);
        let mut notes = self.notes();
        notes.gaps += 1;
        notes.errors += 1;
        notes.last_error = Some(why.to_owned());
        drop(notes);
        self.tell(&format!("{why}; the archive goes on with a new base of commit {sequence}"));
        self.after(Part::Upkeep, Duration::ZERO);
    }

    /// Makes a batch safe, and releases it.
    fn keep(self: &Arc<Self>, c: &mut Capture, batch: &mut Batch, header: Header) -> Result<()> {
        if planted!("released_before_kept")
            && let Some(follower) = &mut c.follower
        {
            follower.release(header.last);
        }
        let near = self.history.place().layout() == Layout::Folder && self.spool.first().is_none();
        let mut there = false;
        if near && !c.dropping {
            match self.put_near(header, batch) {
                Ok(segment) => {
                    self.put(segment);
                    there = true;
                }
                Err(e) if is_final(&e) => return Err(e),
                Err(e) => self.failed("putting a segment", &e),
            }
        }
        // Under its name another file's spool may lie by now; what is not archived is in the WAL.
        self.not_retired()?;
        if !there && !c.dropping {
            let segment = self.put_beside(header, batch)?;
            self.spool.add(&header, segment.bytes);
            self.after(Part::Upload, Duration::ZERO);
        }
        c.tip = Some(header.into());
        if let Some(follower) = &mut c.follower {
            follower.release(header.last);
        }
        let mut notes = self.notes();
        (notes.captured, notes.released) = (header.last, header.last);
        drop(notes);
        if there {
            self.archived(header.last);
        }
        Ok(())
    }
}

/// Whether trying again cannot help.
pub(super) fn is_final(e: &Error) -> bool {
    matches!(e.kind(), Kind::Behind | Kind::Apart | Kind::Newer | Kind::Invalid)
}
