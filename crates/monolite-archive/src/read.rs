//! A plan's pages in order: what restores, compaction and verification read through.
//!
//! **Invariants**
//! - Memory is bounded by `READ_BYTES_MAX` whatever the number of segments; past `INPUTS_MAX` they are merged in rounds on the disk.
//!
//! Never here: what becomes of the pages.

use crate::history::{History, Segment};
use crate::layout::Level;
use crate::ltx::{Header, Stand};
use crate::merge::{INPUTS_MAX, Merge};
use crate::place::{Folder, Reader};
use crate::plan::Plan;
use crate::{Error, Kind, Result};
use std::path::Path;
use std::sync::Arc;

/// Bytes that all open segments of one merge read ahead.
const READ_BYTES_MAX: usize = 64 << 20;
/// The most and the least that one of them reads at a time.
const RANGE: std::ops::RangeInclusive<usize> = 64 << 10..=4 << 20;

/// Opens segments that follow each other, oldest first, for one merge. At most [`INPUTS_MAX`].
pub fn open(history: &History, segments: &[Segment]) -> Result<Merge<Reader>> {
    let range = (READ_BYTES_MAX / segments.len().max(1)).clamp(*RANGE.start(), *RANGE.end());
    let inputs = segments.iter().map(|segment| {
        // A small one fits in one range, and the range's memory with it.
        let whole = usize::try_from(segment.bytes).unwrap_or(usize::MAX).saturating_add(1);
        history.read(segment, range.min(whole))
    });
    Merge::begin(inputs.collect::<Result<_>>()?)
}

/// Opens the same segments for a merge that goes on behind a page. At most [`INPUTS_MAX`].
pub(crate) fn resume_all(
    history: &History,
    segments: &[Segment],
    stands: &[Option<Stand>],
    page: u32,
) -> Result<Opened> {
    let range = (READ_BYTES_MAX / segments.len().max(1)).clamp(*RANGE.start(), *RANGE.end());
    let headers = segments.iter().map(|segment| history.header(segment)).collect::<Result<Vec<Header>>>()?;
    let all = segments.iter().zip(&headers).zip(stands);
    let inputs = all.map(|((segment, header), stand)| {
        let left = segment.bytes.saturating_sub(stand.as_ref()?.offset);
        let whole = usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1);
        Some(history.resume(segment, range.min(whole), *header, (*stand)?))
    });
    let merge = Merge::resume(inputs.collect(), &headers, page)?;
    let open = segments.iter().zip(stands).filter(|(_, stand)| stand.is_some());
    Ok(Opened { merge, bytes: open.map(|(segment, _)| segment.bytes).sum(), _rounds: None })
}

/// Merges segments into one of a higher level: compaction. The inputs stay; answers the new segment.
///
/// A large index goes to a nameless file in `scratch`. [`Kind::Exists`] where somebody did it before.
pub fn compact(history: &History, inputs: &[Segment], level: Level, scratch: &Path) -> Result<Segment> {
    compact_while(history, inputs, level, scratch, &mut |_| Ok(()))
}

/// The same; `tick` hears the bytes read now and then, and may end it.
pub(crate) fn compact_while(
    history: &History,
    inputs: &[Segment],
    level: Level,
    scratch: &Path,
    tick: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Segment> {
    write_merged(&mut open(history, inputs)?, history, level, scratch, tick)
}

/// The pages of a plan's target in order, but for the lock page: what a restore would write, without a file.
///
/// `scratch` is a folder that may be made, and is then removed. When this returns, all of it was sound.
pub fn pages(
    history: &History,
    plan: &Plan,
    scratch: &Path,
    each: &mut dyn FnMut(u32, &[u8]) -> Result<()>,
) -> Result<Header> {
    let mut opened = open_all(history, plan.segments(), scratch, &mut |_| Ok(()))?;
    while let Some(number) = opened.merge.next()? {
        each(number, opened.merge.page())?;
    }
    Ok(opened.merge.header())
}

/// Writes what a merge yields as one segment. `tick` hears the bytes read, and may end it.
pub(crate) fn write_merged(
    merge: &mut Merge<Reader>,
    to: &History,
    level: Level,
    scratch: &Path,
    tick: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Segment> {
    let header = merge.header();
    let mut writing = to.write(level, header)?.spilling_to(scratch);
    while let Some(number) = merge.next()? {
        writing.page(number, merge.page())?;
        if number % 256 == 0 {
            tick(merge.bytes())?;
        }
    }
    let bytes = writing.finish()?;
    Ok(Segment { level, name: (&header).into(), bytes, created_ms: header.at_ms })
}

/// A plan opened for reading; the folder of its rounds goes with it.
pub(crate) struct Opened {
    pub(crate) merge: Merge<Reader>,
    /// Bytes that will be read from the place and from the rounds.
    pub(crate) bytes: u64,
    _rounds: Option<Rounds>,
}

/// Opens a plan's segments, however many. `scratch` is a folder that may be made for the rounds, and is then removed.
pub(crate) fn open_all(
    history: &History,
    segments: &[Segment],
    scratch: &Path,
    tick: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Opened> {
    if segments.len() <= INPUTS_MAX {
        let bytes = segments.iter().map(|s| s.bytes).sum();
        return Ok(Opened { merge: open(history, segments)?, bytes, _rounds: None });
    }
    let rounds = Rounds::make(scratch)?;
    let (base, mut rest) = (segments[0], segments[1..].to_vec());
    let mut from = history.clone();
    while rest.len() >= INPUTS_MAX {
        let mut merged = Vec::new();
        for group in rest.chunks(INPUTS_MAX) {
            let mut merge = open(&from, group)?;
            // Level 1 first, the others above it: names of two rounds could be the same.
            let level = Level::new(if from.root() == rounds.history.root() { 2 } else { 1 }).expect("a level");
            merged.push(write_merged(&mut merge, &rounds.history, level, scratch, tick)?);
        }
        if merged.len() >= rest.len() {
            return Err(Error::new(Kind::Invalid, "rounds of merging do not get fewer"));
        }
        rest = merged;
        from = rounds.history.clone();
    }
    let bytes = base.bytes + rest.iter().map(|s| s.bytes).sum::<u64>();
    let mut inputs = vec![history.read(&base, *RANGE.end())?];
    let range = (READ_BYTES_MAX / rest.len().max(1)).clamp(*RANGE.start(), *RANGE.end());
    for segment in &rest {
        inputs.push(from.read(segment, range)?);
    }
    Ok(Opened { merge: Merge::begin(inputs)?, bytes, _rounds: Some(rounds) })
}

/// Segments merged on the way, in a folder of their own.
struct Rounds {
    history: History,
    folder: std::path::PathBuf,
}

impl Rounds {
    fn make(folder: &Path) -> Result<Rounds> {
        let place = Arc::new(Folder::open(folder)?);
        Ok(Rounds { history: History::new(place, "rounds", "0")?, folder: folder.to_owned() })
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        // What cannot be removed only takes room, beside the file that was asked for.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
