//! Where an archive and a file stand to each other, when the file is opened.
//!
//! **Invariants**
//! - A file that is behind its archive, or went on apart from it, is refused with both sides; the place is not written to.
//! - Nothing is claimed here: an opening that changes nothing in the place leaves no trace in it but a manifest. A claim that an earlier
//!   one made and never held is removed.
//! - What cannot be proven to go on from the archive gets a new base.

use crate::asking::Asking;
use crate::claims::{Claimed, Memory, claims, take_back};
use crate::history::{History, Segment};
use crate::layout::{Level, SegmentName};
use crate::ltx::Header;
use crate::manifest::Manifest;
use crate::plan::{Plan, Target};
use crate::planning::{End, newest_in_line};
use crate::spool::Spool;
use crate::{Error, FORMAT, Kind, Result, Sides, moment, openings};
use monolite_store::Found;
use std::path::Path;

/// The newest commit that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) sequence: u64,
    /// Pages in the file after it, where known.
    pub(crate) pages: Option<u32>,
    pub(crate) at_ms: i64,
    /// The writer epoch of it, where known.
    pub(crate) epoch: Option<u64>,
}

impl From<Header> for Tip {
    fn from(header: Header) -> Tip {
        Tip { sequence: header.last, pages: Some(header.pages), at_ms: header.at_ms, epoch: Some(header.epoch) }
    }
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Standing {
    /// All segments in the place, but for those that turned out to be an overtaken writer's.
    pub(crate) segments: Vec<Segment>,
    /// Those.
    pub(crate) foreign: Vec<Segment>,
    /// What is wrong with the newest segment, where that cannot be used.
    pub(crate) damaged: Option<String>,
    /// The newest commit in the place; `None` where nothing is.
    pub(crate) archived: Option<Tip>,
    /// The newest commit in the place or in the spool: what follows it is to be captured.
    pub(crate) captured: Option<Tip>,
    /// Everything after this commit is kept without a gap, where something is kept.
    pub(crate) run: Option<u64>,
    /// Why a new base is needed, if it is.
    pub(crate) base: Option<String>,
    /// Nothing says which writer made the file's last commits, which are not archived.
    pub(crate) unknown: bool,
    /// The writer that commits from now on are of; claimed before the first change in the place.
    pub(crate) writer: Claimed,
    /// Why the history begins anew though the file was archived before, if it does.
    pub(crate) anew: Option<String>,
}

/// The file whose archive is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) service: &'a str,
    pub(crate) found: &'a Found,
    /// The last commit that this process has kept of the open store before; 0 for none.
    pub(crate) kept: u64,
    /// The last commit of the open store, as it was before the place is asked: what this opening has put is not beyond it.
    pub(crate) published: u64,
    /// Names this opening.
    pub(crate) nonce: &'a str,
}

/// Compares an archive with a file; makes the manifest.
pub(crate) fn settle(
    history: &History,
    spool: &Spool,
    side: Side<'_>,
    scratch: &Path,
    now_ms: i64,
) -> Result<Standing> {
    let Side { service, found, .. } = side;
    let manifest = Manifest {
        format: FORMAT,
        service: service.to_owned(),
        history: hex(&found.history),
        page_size: found.page_size,
        begun_ms: now_ms,
    };
    let mut place = Asking::default();
    let memory = Memory::read(scratch);
    place.ask(|| take_back(history, &manifest.history, &memory, side.nonce))?;
    let mut segments = Vec::new();
    // Upwards, as `History::segments` does.
    for level in Level::all() {
        segments.extend(place.ask(|| history.level(level))?);
    }
    let End { tip: archived, foreign, damaged } = place.ask(|| newest_in_line(history, &mut segments))?;
    let damaged = damaged.map(|(segment, why)| format!("its newest segment cannot be used ({why}): {segment}"));
    let planned = match Plan::to(&segments, Target::Latest, |s| Ok(s.created_ms)) {
        Ok(_) => None,
        Err(_) if segments.is_empty() => Some("nothing is archived yet".to_owned()),
        Err(why) => Some(why.to_string()),
    };
    let mut base = damaged.clone().or(planned);
    let Waiting { captured, covered, apart: other } = with_spool(spool, archived, &mut base)?;
    if let (Some(tip), Some(epoch)) = (&archived, other) {
        return Err(apart(sides(history, &segments, side, tip), tip.epoch, epoch));
    }
    if let Some(tip) = captured {
        let kept = place.ask(|| kept(history, side, &tip))?;
        refuse_apart(history, &segments, Side { kept, ..side }, &tip)?;
    }
    place.ask(|| manifest.settle(history))?;
    let all = place.ask(|| claims(history))?;
    let newest = all.last().copied().unwrap_or(0);
    let newest = place.ask(|| Claimed::read(history, newest))?;
    let epoch = found.epoch as u64;
    let began = openings::began(scratch, &manifest.history, epoch).is_some();
    if let Some(tip) = captured.filter(|_| began && all.contains(&epoch)) {
        let there = place.ask(|| Claimed::read(history, epoch))?;
        if there.is_some_and(|there| there.after.is_some() && !memory.made(&manifest.history, &there)) {
            return Err(twice(sides(history, &segments, side, &tip), epoch));
        }
    }
    let writer = writer(side, newest, captured, &memory).map_err(|e| match captured {
        Some(tip) => e.between(sides(history, &segments, side, &tip)),
        None => e,
    })?;
    (0..covered).try_for_each(|_| spool.remove_first())?;
    let lost = captured.is_none() && memory.has(&manifest.history);
    let anew = lost.then(|| {
        format!(
            "{} has nothing of {service}, whose file is at commit {} and was archived before: that archive was lost, or it is \
             another place. It begins anew with a base; what was before can be restored from the old archive only",
            history.place().describe(),
            found.sequence
        )
    });
    let run = captured.map(|tip| run(&segments, &spool.all(), tip.sequence));
    let known = began || all.contains(&epoch);
    let unknown = !known && captured.is_some_and(|tip| tip.sequence < found.sequence);
    Ok(Standing { segments, foreign, damaged, archived, captured, run, base, unknown, writer, anew })
}

/// Which writer this opening of the file goes on as.
///
/// The next one, as a rule. Where another opening has claimed that, the file is a copy: restored from this archive, or put back.
/// One that is exactly at the archive's end goes on as the next writer that nobody was.
fn writer(side: Side<'_>, newest: Option<Claimed>, captured: Option<Tip>, memory: &Memory) -> Result<Claimed> {
    let Side { service, found, nonce, .. } = side;
    let id = hex(&found.history);
    let after = Some((found.sequence, found.epoch as u64));
    let mine = |epoch| Claimed { epoch, nonce: nonce.to_owned(), after };
    let next = memory.next(&id, nonce, (found.epoch + 1) as u64);
    let at_tip = captured.is_some_and(|tip| (tip.sequence, tip.epoch) == (found.sequence, Some(found.epoch as u64)));
    match newest {
        None => Ok(mine(next)),
        Some(newest) if newest.epoch < next => Ok(mine(next)),
        // This opening was kept before.
        Some(newest) if newest.nonce == nonce => Ok(mine(newest.epoch)),
        // Exactly at the archive's end nothing differs: the copy that writes next takes the history.
        Some(newest) if memory.made(&id, &newest) || at_tip => Ok(mine(newest.epoch + 1)),
        Some(newest) => {
            let text = format!(
                "another program has claimed the history of {service} as its writer {}: the file was copied, or put back from a copy. Nothing \
                 was written",
                newest.epoch
            );
            Err(Error::new(Kind::Apart, text))
        }
    }
}

/// What waits in the spool, beside what the place has.
struct Waiting {
    /// The newest commit of both.
    captured: Option<Tip>,
    /// So many of the first segments are in the place.
    covered: usize,
    /// The writer of a segment that is to follow the place's newest commit, where that is a later writer's: another line.
    apart: Option<u64>,
}

/// Joins what waits to what the place has; removes nothing.
fn with_spool(spool: &Spool, archived: Option<Tip>, base: &mut Option<String>) -> Result<Waiting> {
    let mut waiting = Waiting { captured: archived, covered: 0, apart: None };
    let newest = archived.and_then(|tip| tip.epoch);
    for (place, segment) in spool.all().into_iter().enumerate() {
        if archived.is_some_and(|tip| segment.name.last <= tip.sequence) {
            waiting.covered += usize::from(waiting.covered == place);
            continue;
        }
        if waiting.captured.is_none_or(|tip| segment.name.first > tip.sequence + 1) {
            let first = segment.name.first;
            base.get_or_insert(format!("the spool goes on with commit {first}, which is not the next"));
        }
        let tip = Tip::from(spool.history().header(&segment)?);
        waiting.apart = waiting.apart.or(tip.epoch.filter(|epoch| Some(*epoch) < newest));
        waiting.captured = Some(tip);
    }
    Ok(waiting)
}

/// The last commit that this process has kept of the open store: the archive's newest, where this very opening put that.
///
/// An opening may be left while it waits for the place, and what it asked for is done later. A machine that was put back with
/// its memory has the same name, and an archive that is ahead of its file.
fn kept(history: &History, side: Side<'_>, tip: &Tip) -> Result<u64> {
    let Side { found, kept, published, nonce, .. } = side;
    if !(found.sequence.max(kept) + 1..=published).contains(&tip.sequence) {
        return Ok(kept);
    }
    let of = tip.epoch.map_or(Ok(None), |epoch| Claimed::read(history, epoch))?;
    Ok(if of.is_some_and(|of| of.nonce == nonce) { tip.sequence } else { kept })
}

/// Refuses a file that does not go on from its archive, as far as its last commit says.
fn refuse_apart(history: &History, segments: &[Segment], side: Side<'_>, tip: &Tip) -> Result<()> {
    let Side { service, found, kept, .. } = side;
    if found.sequence.max(kept) < tip.sequence {
        let sides = sides(history, segments, side, tip);
        let of = sides.file_ms.map_or(String::new(), |ms| format!(" of {}", moment::text(ms)));
        let text = format!(
            "{service} is at commit {}{of}, but its archive has commit {} of {}: the file was put back from an older copy. \
             Nothing was archived",
            found.sequence,
            tip.sequence,
            moment::text(tip.at_ms)
        );
        return Err(Error::new(Kind::Behind, text).between(sides));
    }
    if found.sequence == tip.sequence && tip.epoch.is_some_and(|epoch| epoch != found.epoch as u64) {
        return Err(apart(sides(history, segments, side, tip), tip.epoch, found.epoch as u64));
    }
    Ok(())
}

/// Both sides. The moment of the file's commit is that of the segment that holds it.
fn sides(history: &History, segments: &[Segment], side: Side<'_>, tip: &Tip) -> Sides {
    let file = side.found.sequence;
    let holds = segments.iter().filter(|s| s.name.last >= file).min_by_key(|s| s.name.last);
    Sides {
        service: side.service.to_owned(),
        history: hex(&side.found.history),
        file,
        file_ms: holds.and_then(|segment| history.header(segment).ok()).map(|header| header.at_ms),
        archive: tip.sequence,
        archive_ms: tip.at_ms,
    }
}

/// How far back everything up to a commit is kept without a gap.
fn run(segments: &[Segment], spooled: &[Segment], last: u64) -> u64 {
    let mut all: Vec<_> = segments.iter().chain(spooled).filter(|s| !s.name.is_base()).map(|s| s.name).collect();
    all.sort_unstable_by_key(|name| std::cmp::Reverse((name.last, name.first)));
    let joins = |run: u64, name: &SegmentName| if name.last >= run { run.min(name.first - 1) } else { run };
    all.iter().fold(last, joins)
}

/// The archive's newest commit, or the file's of that number, is another writer's.
pub(crate) fn apart(sides: Sides, archived: Option<u64>, epoch: u64) -> Error {
    let text = format!(
        "commit {} of {} is not the one that its archive has from {}: writer {epoch} made the one, writer {} the other. The \
         file was put back from a copy and went on. Nothing was archived",
        sides.archive,
        sides.service,
        moment::text(sides.archive_ms),
        archived.unwrap_or_default()
    );
    Error::new(Kind::Apart, text).between(sides)
}

/// The file's last commits are of an opening of this folder; those that the archive has of that writer are another folder's, which
/// opened a copy of the file. By their numbers they may be the same.
fn twice(sides: Sides, epoch: u64) -> Error {
    let text = format!(
        "commit {} of {} was made here by writer {epoch}, and another program has claimed its history as that writer: the file \
         was copied, and both went on. Nothing was archived",
        sides.file, sides.service
    );
    Error::new(Kind::Apart, text).between(sides)
}

/// 16 bytes as 32 hexadecimal digits: how a history is named.
pub fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}
