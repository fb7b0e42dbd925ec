//! Whether a segment that is there already is the one that was to be put: the same commits of the same writer, and the same pages.
//!
//! Names say commits alone, and two programs may be the same writer by all that their files and claims say: a machine that was cloned,
//! or put back, with its memory.
//!
//! **Invariants**
//! - Every page is compared, and what is there was read to its end and is sound. Only the moment may differ: the same commits may be
//!   captured twice.
//!
//! Never here: what becomes of one that is another.

use crate::history::{History, Segment};
use crate::ltx::{Decoder, Header, lock_page};
use crate::place::Reader;
use crate::{Error, Kind, Result};

/// Bytes that are read at a time.
const RANGE: usize = 1 << 20;

/// Which of two failed while they were compared, or the one was put.
pub(crate) enum Failed {
    /// What was to be put cannot be read.
    Own(Error),
    /// What lies there cannot, or the place failed.
    There(Error),
}

impl From<monolite_store::Error> for Failed {
    fn from(e: monolite_store::Error) -> Failed {
        // Whatever it is, it will be the same the next time: the batch is lost, and that is a gap.
        Failed::Own(Error::new(Kind::Damaged, format!("a batch of commits cannot be read any more: {e}")))
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Error {
        match failed {
            Failed::Own(e) | Failed::There(e) => e,
        }
    }
}

/// Whether a segment that lies there is the one that lies here.
pub(crate) fn is_same(here: &History, own: &Segment, history: &History, there: &Segment) -> Result<bool, Failed> {
    let mut decoder = here.read(own, RANGE).map_err(Failed::Own)?;
    let mut same = Same::begin(history, there, &decoder.header()).map_err(Failed::There)?;
    while let Some(number) = decoder.next().map_err(Failed::Own)? {
        same.page(number, decoder.page()).map_err(Failed::There)?;
    }
    same.end().map_err(Failed::There)
}

/// A segment that is compared with pages as they come.
pub(crate) struct Same {
    there: Decoder<Reader>,
    is_same: bool,
}

impl Same {
    /// Begins with the header of what was to be put.
    pub(crate) fn begin(history: &History, there: &Segment, header: &Header) -> Result<Same> {
        let whole = usize::try_from(there.bytes).unwrap_or(usize::MAX).saturating_add(1);
        let there = history.read(there, RANGE.min(whole))?;
        let is_same = Header { at_ms: header.at_ms, ..there.header() } == *header;
        Ok(Same { there, is_same })
    }

    /// The next page of what was to be put.
    pub(crate) fn page(&mut self, number: u32, bytes: &[u8]) -> Result<()> {
        let is_stored = number != lock_page(self.there.header().page_size);
        if self.is_same && is_stored {
            self.is_same = self.there.next()? == Some(number) && self.there.page() == bytes;
        }
        Ok(())
    }

    /// Whether all of it was the same.
    pub(crate) fn end(mut self) -> Result<bool> {
        Ok(self.is_same && self.there.next()?.is_none())
    }
}
