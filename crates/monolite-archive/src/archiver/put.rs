//! A batch of commits as a segment: in the place, or in the spool beside the store.
//!
//! **Invariants**
//! - A segment that is there already counts as put where it is this one.
//!
//! Never here: which of the two, and what is released then.

use super::keeper::Keeper;
use crate::history::{History, Segment};
use crate::layout::{Level, SegmentName};
use crate::ltx::Header;
use crate::{Error, Kind, Result};
use monolite_store::Batch;

impl Keeper {
    /// Puts a batch into a place that is near; it counts once the history is seen to be still this one's.
    pub(super) fn put_near(&self, header: Header, batch: &mut Batch) -> Result<Segment> {
        self.take()?;
        let segment = put(&self.plain, header, batch).or_else(|e| match e.kind() {
            Kind::Exists | Kind::OutcomeUnknown => self.ours(&header, e),
            _ => Err(e),
        })?;
        self.still_ours().map(|()| segment)
    }

    /// Puts a batch into the spool.
    pub(super) fn put_beside(&self, header: Header, batch: &mut Batch) -> Result<Segment> {
        let spool = self.spool.history();
        put(spool, header, batch).or_else(|e| match e.kind() {
            Kind::Exists | Kind::OutcomeUnknown => spooled(spool, &header, e),
            _ => Err(e),
        })
    }
}

/// Writes a batch as a segment of level 0.
fn put(history: &History, header: Header, batch: &mut Batch) -> Result<Segment> {
    let name = SegmentName { first: header.first, last: header.last };
    let mut writing = history.write(Level::CAPTURED, header)?;
    batch.for_each(|number, page| writing.page(number, page).map_err(Failed::Place)).map_err(
        |failed| match failed {
            Failed::Place(e) => e,
            // Whatever it is, it will be the same the next time: the batch is lost, and that is a gap.
            Failed::Batch(e) => Error::new(Kind::Damaged, format!("a batch of commits cannot be read any more: {e}")),
        },
    )?;
    let bytes = writing.finish()?;
    Ok(Segment { level: Level::CAPTURED, name, bytes, created_ms: header.at_ms })
}

/// What failed while a batch was put.
enum Failed {
    Batch(monolite_store::Error),
    Place(Error),
}

impl From<monolite_store::Error> for Failed {
    fn from(e: monolite_store::Error) -> Failed {
        Failed::Batch(e)
    }
}

/// The segment that lies in the spool already, put by a try whose answer was lost.
fn spooled(spool: &History, header: &Header, why: Error) -> Result<Segment> {
    let all = spool.level(Level::CAPTURED)?;
    let there = all.into_iter().find(|s| (s.name.first, s.name.last) == (header.first, header.last)).ok_or(why)?;
    if spool.header(&there)? == *header {
        return Ok(there);
    }
    let text = format!("{}/{there} was put by another program", spool.root());
    Err(Error::new(Kind::Apart, text))
}
