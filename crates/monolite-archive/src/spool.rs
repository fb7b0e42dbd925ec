//! The spool: segments that wait beside a store until the place takes them.
//!
//! A small archive of level 0, in a folder of the store's scratch space. What lies in it was synced before the WAL was
//! released, so a commit is in the WAL, in the spool or in the place at each moment.
//!
//! **Invariants**
//! - Oldest first, one after another; a segment leaves it when the place has it.
//! - Its bytes and the age of its oldest segment are known without looking at the disk.

use crate::claims::{Claimed, Memory, Taking, Writers, claims, refuse_marked, refuse_overtaken};
use crate::history::{History, Segment};
use crate::layout::Level;
use crate::ltx::Header;
use crate::place::Folder;
use crate::same::is_same;
use crate::{Error, Kind, Result, openings};
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
    let there = history.segments()?;
    let mut last = there.iter().map(|s| s.name.last).max().unwrap_or(0);
    let all = spool.all();
    let Some(newest) = all.iter().max_by_key(|s| s.name.last) else { return Ok(0) };
    let writer = spool.history().header(newest)?;
    // That its number was reached says nothing: another writer's commits have the same ones.
    let is_there = newest.name.last <= last && Writers::default().of(history, newest.name.last)? == Some(writer.epoch);
    if !is_there {
        refuse_overtaken(history, id, scratch, writer.epoch)?;
    }
    let waiting: Vec<Segment> = all.into_iter().filter(|s| s.name.last > last).collect();
    if waiting.first().is_none_or(|first| first.name.first > last + 1) {
        return Ok(0);
    }
    let claimed = claims(history)?.last().copied().unwrap_or(0);
    if claimed <= writer.epoch {
        let mine = claimed_for(history, id, scratch, &writer)?;
        let (now_ms, go_on) = (writer.at_ms, &|| Ok(()));
        let taking = Taking { history, id, scratch, mine: &mine, archived: last, now_ms, go_on };
        taking.take(|segment| there.contains(segment))?;
    }
    let mut carried = 0;
    for segment in waiting {
        if segment.name.first > last + 1 {
            break;
        }
        match spool.carry(&segment, history) {
            Err(e) if matches!(e.kind(), Kind::Exists | Kind::OutcomeUnknown) => {
                spool.was_carried(&segment, history, e)?
            }
            other => drop(other?),
        }
        refuse_marked(history, claimed.max(writer.epoch))?;
        (last, carried) = (segment.name.last, carried + 1);
    }
    Ok(carried)
}

/// Whether the archive has another writer's commit under this number, which is the last one of a store that does not run: as far as
/// its scratch folder and the claims say whose each of the two is.
///
/// # Errors
/// Those of the place.
pub fn is_of_another(history: &History, id: &str, scratch: &Path, last: u64) -> Result<bool> {
    let Some(writer) = openings::last_writer(scratch, id, last) else { return Ok(false) };
    if Writers::default().of(history, last)?.is_some_and(|there| there != writer) {
        return Ok(true);
    }
    // Of two that were started on one state both have the same number.
    let claimed = Claimed::read(history, writer)?.filter(|there| there.after.is_some());
    Ok(claimed.is_some_and(|there| !Memory::read(scratch).made(id, &there)))
}

/// The claim under which a store that does not run puts what waits: that of the writer of it, if it made one, else one in its name.
fn claimed_for(history: &History, id: &str, scratch: &Path, writer: &Header) -> Result<Claimed> {
    let there = Claimed::read(history, writer.epoch)?;
    let new = || {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).map_err(|e| Error::new(Kind::Io, format!("no random numbers: {e}")))?;
        let after = openings::began(scratch, id, writer.epoch);
        Ok(Claimed { epoch: writer.epoch, nonce: crate::hex(&random), after })
    };
    // Another's stays another's: then this one is refused.
    there.filter(|there| there.after.is_none() || Memory::read(scratch).made(id, there)).map_or_else(new, Ok)
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
        let (level, name) = (Level::CAPTURED, header.into());
        self.lock().push_back(Segment { level, name, bytes, created_ms: header.at_ms });
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
                return Err(Error::damaged(format!("{from} in the spool is shorter than it was")));
            }
            upload.write_all(&piece).map_err(|e| Error::io(format!("carrying {from}"), e))?;
            at += piece.len() as u64;
        }
        upload.finish(header.at_ms)?;
        Ok(header)
    }

    /// Whether a segment whose name is taken in the place is the one that lies there: put by a try whose answer was lost.
    fn was_carried(&self, segment: &Segment, to: &History, why: Error) -> Result<()> {
        let there = to.find(segment.level, segment.name)?.ok_or(why)?;
        if is_same(&self.history, segment, to, &there)? {
            return Ok(());
        }
        let text = format!(
            "{}/{there} was put by another program, and is not the segment of these commits that waits here; move the folder of \
             what waits away to go on without it",
            to.root()
        );
        Err(Error::new(Kind::Apart, text))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Segment>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
