//! The claim of a store that is kept: made before its first change in the place, looked at after each.
//!
//! **Invariants**
//! - Nothing is put into the place, and nothing removed from it, by an opening that has not claimed it.
//! - One that was left while it waited for the place claims nothing any more, and leaves the folder alone, which may be another file's.
//! - Who asks which writer a store has does not wait for the place: the claim has a lock of its own.
//! - What was put counts once the claim was seen to be still the newest: see `claims`.
//!
//! Never here: what claims mean.

use super::keeper::Keeper;
use super::pool::lock;
use crate::claims::{Claimed, Taking, refuse_emptied, refuse_marked};
use crate::history::Segment;
use crate::ltx::Header;
use crate::same::Failed;
use crate::state::hex;
use crate::{Error, Kind, Level, Result, Sides};
use std::sync::atomic::Ordering;

/// A keeper's claim.
#[derive(Default)]
pub(super) struct Holding {
    /// As which writer its store commits; none before the place was asked where the archive stands.
    pub(super) writer: Option<Claimed>,
    /// Segments that lie in the place and are none of this history's.
    pub(super) foreign: Vec<Segment>,
    pub(super) held: bool,
}

impl Keeper {
    /// Claims the history, where that was not done yet. The place is asked meanwhile: other parts that would change something
    /// wait for it.
    pub(super) fn take(&self) -> Result<()> {
        let _claiming = lock(&self.claiming);
        let (mine, foreign) = {
            let holding = lock(&self.holding);
            if holding.held {
                return Ok(());
            }
            (holding.writer.clone(), holding.foreign.clone())
        };
        let unknown = || Error::new(Kind::Unreachable, "it is not known yet where the archive stands");
        let mine = &mine.ok_or_else(unknown)?;
        let segments = self.line().segments.clone();
        let id = hex(&self.found.history);
        let archived = segments.iter().map(|s| s.name.last).max().unwrap_or(0);
        let now_ms = (self.inner.config.now)();
        let scratch = self.scratch.as_path();
        let go_on = &|| self.not_retired();
        let taking = Taking { history: &self.plain, id: &id, scratch, mine, archived, now_ms, go_on };
        let known = |segment: &Segment| segments.contains(segment) || foreign.contains(segment);
        taking.take(known).map_err(|e| self.sided(e))?;
        self.history.forget_writers(Some(mine.epoch));
        let mut holding = lock(&self.holding);
        if holding.writer.as_ref() != Some(mine) {
            return Err(unknown()); // it was looked at anew meanwhile
        }
        holding.held = true;
        Ok(())
    }

    /// Whether the history is still this one's, after something was put and before that counts.
    pub(super) fn still_ours(&self) -> Result<()> {
        let epoch = self.writer().map_or(0, |writer| writer.epoch);
        refuse_marked(&self.plain, epoch).map_err(|e| self.sided(e))?;
        refuse_emptied(&self.plain, epoch)
    }

    pub(super) fn writer(&self) -> Option<Claimed> {
        lock(&self.holding).writer.clone()
    }

    /// A segment could not be put, since its name is taken: by an earlier try of ours whose answer was lost, as a rule. One of a writer
    /// that was overtaken is in nobody's way: it is removed, and the next try finds the name free. `same`: whether one that lies there
    /// holds just these pages.
    pub(super) fn ours(
        &self,
        header: &Header,
        same: &mut dyn FnMut(&Segment) -> Result<bool, Failed>,
        why: Error,
    ) -> Result<Segment> {
        let there = self.plain.find(Level::CAPTURED, header.into())?.ok_or(why)?;
        let (root, is_damaged) = (self.plain.root(), |e: &Error| e.kind() == Kind::Damaged);
        let found = match self.plain.header(&there) {
            Err(e) if is_damaged(&e) => return Err(self.put_again(&there, &e.to_string())),
            other => other?,
        };
        // The same commits of the same writer, captured twice: but for the moment they are the same.
        let pages_differ = if (Header { at_ms: header.at_ms, ..found }) == *header {
            match same(&there) {
                Ok(true) => return Ok(Segment { created_ms: found.at_ms, ..there }),
                Ok(false) => true,
                Err(Failed::There(e)) if is_damaged(&e) => return Err(self.put_again(&there, &e.to_string())),
                Err(e) => return Err(e.into()),
            }
        } else {
            false
        };
        if found.epoch < header.epoch {
            let text = format!("{root}/{there} was of writer {}, who was overtaken", found.epoch);
            return Err(self.put_again(&there, &text));
        }
        let text = if pages_differ {
            format!(
                "{root}/{there} has other pages than these commits, though both are writer {}'s: the machine was cloned, or put back, \
                 with its memory, or the file was copied before it was archived. Nothing was archived",
                found.epoch
            )
        } else {
            format!("{root}/{there} was put by another program; two write one archive")
        };
        Err(self.sided(Error::new(Kind::Apart, text)))
    }

    /// Removes what is in the way under a segment's name; answers why it is put again.
    fn put_again(&self, there: &Segment, why: &str) -> Error {
        match self.still_ours().and_then(|()| self.plain.delete(there)) {
            Ok(()) => Error::new(Kind::Unreachable, format!("{why}: it is removed, and put again")),
            Err(e) => e,
        }
    }

    /// A refusal with both sides.
    pub(super) fn sided(&self, e: Error) -> Error {
        if e.kind() != Kind::Apart || e.sides().is_some() {
            return e;
        }
        let (service, history) = (self.service.clone(), hex(&self.found.history));
        let newest = self.line().segments.iter().copied().max_by_key(|s| s.name.last);
        let (archive, archive_ms) = newest.map_or((0, 0), |s| (s.name.last, s.created_ms));
        let file = self.published.load(Ordering::Acquire).max(self.found.sequence);
        e.between(Sides { service, history, file, file_ms: None, archive, archive_ms })
    }
}
