//! The spool: segments that wait beside a store until the place takes them.
//!
//! A small archive of level 0, in a folder of the store's scratch space. What lies in it was synced before the WAL was
//! released, so a commit is in the WAL, in the spool or in the place at each moment.
//!
//! **Invariants**
//! - Oldest first, one after another; a segment leaves it when the place has it.
//! - Its bytes and the age of its oldest segment are known without looking at the disk.

use crate::Result;
use crate::history::{History, Segment};
use crate::layout::{Level, SegmentName};
use crate::ltx::Header;
use crate::place::Folder;
use crate::state::refuse_overtaken;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of one read when a segment is carried to the place.
const PIECE: usize = 1 << 20;

/// Carries what still waits in a store's scratch folder to its history, oldest first: of a store that does not run, before
/// its file is replaced. What does not go on from the history stays. Answers how many segments were carried.
///
/// # Errors
/// [`Kind::Apart`](crate::Kind::Apart) where another writer has taken the history since; those of the place and of the scratch
/// folder.
pub fn carry_spool(history: &History, id: &str, scratch: &Path) -> Result<usize> {
    if !scratch.is_dir() {
        return Ok(0);
    }
    let spool = Spool::open(scratch, id)?;
    let mut last = history.segments()?.iter().map(|s| s.name.last).max().unwrap_or(0);
    let mut carried = 0;
    for segment in spool.all() {
        if segment.name.last <= last {
            continue;
        }
        if segment.name.first > last + 1 {
            break;
        }
        if carried == 0 {
            refuse_overtaken(history, scratch, spool.history().header(&segment)?.epoch)?;
        }
        spool.carry(&segment, history)?;
        (last, carried) = (segment.name.last, carried + 1);
    }
    Ok(carried)
}

/// Segments on their way.
pub(crate) struct Spool {
    history: History,
    waiting: Mutex<VecDeque<Segment>>,
}

impl Spool {
    /// Opens the spool of one history in a folder.
    pub(crate) fn open(scratch: &Path, history: &str) -> Result<Spool> {
        let place = Arc::new(Folder::open(scratch)?);
        let history = History::new(place, "spool", history)?;
        let waiting = history.level(Level::CAPTURED)?.into();
        Ok(Spool { history, waiting: Mutex::new(waiting) })
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// A segment was put into it.
    pub(crate) fn add(&self, header: &Header, bytes: u64) {
        let name = SegmentName { first: header.first, last: header.last };
        self.lock().push_back(Segment { level: Level::CAPTURED, name, bytes, created_ms: header.at_ms });
    }

    pub(crate) fn first(&self) -> Option<Segment> {
        self.lock().front().copied()
    }

    pub(crate) fn all(&self) -> Vec<Segment> {
        self.lock().iter().copied().collect()
    }

    /// Segments and bytes in it.
    pub(crate) fn size(&self) -> (usize, u64) {
        let waiting = self.lock();
        (waiting.len(), waiting.iter().map(|s| s.bytes).sum())
    }

    /// Removes the oldest.
    pub(crate) fn remove_first(&self) -> Result<()> {
        let Some(first) = self.first() else { return Ok(()) };
        self.history.delete(&first)?;
        self.lock().pop_front();
        Ok(())
    }

    /// Drops all that waits.
    pub(crate) fn clear(&self) -> Result<()> {
        while self.first().is_some() {
            self.remove_first()?;
        }
        Ok(())
    }

    /// Puts the oldest into the place, byte by byte as it is. Answers its header.
    pub(crate) fn carry(&self, segment: &Segment, to: &History) -> Result<Header> {
        let header = self.history.header(segment)?;
        let from = self.history.segment_name(segment.level, segment.name);
        let mut upload = to.place().create(&to.segment_name(segment.level, segment.name))?;
        let mut piece = Vec::with_capacity(PIECE.min(segment.bytes as usize));
        let mut at = 0;
        while at < segment.bytes {
            piece.clear();
            self.history.place().read(&from, at, PIECE, &mut piece)?;
            if piece.is_empty() {
                return Err(crate::Error::damaged(format!("{from} in the spool is shorter than it was")));
            }
            upload.write_all(&piece).map_err(|e| crate::Error::io(format!("carrying {from}"), e))?;
            at += piece.len() as u64;
        }
        upload.finish(header.at_ms)?;
        Ok(header)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Segment>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
