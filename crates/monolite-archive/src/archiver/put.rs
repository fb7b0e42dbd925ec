//! A batch of commits as a segment: in the place, or in the spool beside the store.
//!
//! **Invariants**
//! - A segment that is there already counts as put where it is this one, page by page.
//!
//! Never here: which of the two, and what is released then.

use super::keeper::Keeper;
use crate::history::{History, Segment};
use crate::layout::{Level, SegmentName};
use crate::ltx::Header;
use crate::same::{Failed, Same};
use crate::{Error, Kind, Result};
use monolite_store::Batch;

impl Keeper {
    /// Puts a batch into a place that is near; it counts once the history is seen to be still this one's.
    pub(super) fn put_near(&self, header: Header, batch: &mut Batch) -> Result<Segment> {
        self.take()?;
        let segment = put(&self.plain, header, batch).or_else(|e| match e.kind() {
            Kind::Exists | Kind::OutcomeUnknown => {
                self.ours(&header, &mut |there| is_of(&self.plain, there, &header, batch), e)
            }
            _ => Err(e),
        })?;
        self.still_ours().map(|()| segment)
    }

    /// Puts a batch into the spool.
    pub(super) fn put_beside(&self, header: Header, batch: &mut Batch) -> Result<Segment> {
        let spool = self.spool.history();
        put(spool, header, batch).or_else(|e| match e.kind() {
            Kind::Exists | Kind::OutcomeUnknown => spooled(spool, &header, batch, e).map_err(|e| self.sided(e)),
            _ => Err(e),
        })
    }
}

/// Writes a batch as a segment of level 0.
fn put(history: &History, header: Header, batch: &mut Batch) -> Result<Segment> {
    let (level, name) = (Level::CAPTURED, SegmentName::from(&header));
    let mut writing = history.write(level, header)?;
    batch.for_each(|number, page| writing.page(number, page).map_err(Failed::There))?;
    let bytes = writing.finish()?;
    Ok(Segment { level, name, bytes, created_ms: header.at_ms })
}

/// Whether a segment that lies there is this batch.
fn is_of(history: &History, there: &Segment, header: &Header, batch: &mut Batch) -> Result<bool, Failed> {
    let mut same = Same::begin(history, there, header).map_err(Failed::There)?;
    batch.for_each(|number, page| same.page(number, page).map_err(Failed::There))?;
    same.end().map_err(Failed::There)
}

/// The segment that lies in the spool already, put by a try whose answer was lost.
fn spooled(spool: &History, header: &Header, batch: &mut Batch, why: Error) -> Result<Segment> {
    let there = spool.find(Level::CAPTURED, header.into())?.ok_or(why)?;
    match is_of(spool, &there, header, batch) {
        Ok(true) => Ok(there),
        Ok(false) => {
            let text =
                format!("{}/{there} was put by another program, with other pages; two have one folder", spool.root());
            Err(Error::new(Kind::Apart, text))
        }
        Err(Failed::There(e)) if e.kind() == Kind::Damaged => {
            spool.delete(&there)?;
            Err(Error::new(Kind::Unreachable, format!("{e}: it is removed from the spool, and put again")))
        }
        Err(e) => Err(e.into()),
    }
}
