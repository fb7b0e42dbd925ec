//! Where an archive and a file stand to each other, when the file is opened.
//!
//! **Invariants**
//! - A file that is behind its archive, or went on apart from it, is refused with both sides; the place is not written to.
//! - What cannot be proven to go on from the archive gets a new base.

use crate::history::{History, Segment};
use crate::layout::{Level, SegmentName};
use crate::ltx::Header;
use crate::manifest::{Claim, Manifest, claim, claims};
use crate::plan::{Plan, Target};
use crate::spool::Spool;
use crate::{Error, FORMAT, Kind, Result, Sides, beside, moment};
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
    /// All segments in the place.
    pub(crate) segments: Vec<Segment>,
    /// The newest commit in the place; `None` where nothing is.
    pub(crate) archived: Option<Tip>,
    /// The newest commit in the place or in the spool: what follows it is to be captured.
    pub(crate) captured: Option<Tip>,
    /// Everything after this commit is kept without a gap, where something is kept.
    pub(crate) run: Option<u64>,
    /// Why a new base is needed, if it is.
    pub(crate) base: Option<String>,
    /// The writer epoch that was claimed: commits from now on carry it.
    pub(crate) epoch: u64,
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
}

/// Compares an archive with a file; makes the manifest and claims the writer epoch.
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
    let mut segments = Vec::new();
    // Upwards, as `History::segments` does.
    for level in Level::all() {
        segments.extend(place.ask(|| history.level(level))?);
    }
    let newest = segments.iter().max_by_key(|s| s.name.last);
    let archived = newest.map(|segment| place.ask(|| history.header(segment))).transpose()?.map(Tip::from);
    let mut base = match Plan::to(&segments, Target::Latest, |s| Ok(s.created_ms)) {
        Ok(_) => None,
        Err(_) if segments.is_empty() => Some("nothing is archived yet".to_owned()),
        Err(why) => Some(why.to_string()),
    };
    let Waiting { captured, covered, apart: other } = with_spool(spool, archived, &mut base)?;
    if let (Some(tip), Some(epoch)) = (&archived, other) {
        return Err(apart(sides(history, &segments, side, tip), tip.epoch, epoch));
    }
    if let Some(tip) = captured {
        refuse_apart(history, &segments, side, &tip)?;
    }
    let before = Claimed::read(scratch);
    place.ask(|| manifest.settle(history))?;
    let claim = || claim_epoch(history, &segments, side, captured, before.as_ref(), scratch, now_ms);
    let epoch = place.ask(claim)?;
    (0..covered).try_for_each(|_| spool.remove_first())?;
    let lost = captured.is_none() && before.is_some_and(|claimed| claimed.history == manifest.history);
    let anew = lost.then(|| {
        format!(
            "{} has nothing of {service}, whose file is at commit {} and was archived before: that archive was lost, or it is \
             another place. It begins anew with a base; what was before can be restored from the old archive only",
            history.place().describe(),
            found.sequence
        )
    });
    let run = captured.map(|tip| run(&segments, &spool.all(), tip.sequence));
    Ok(Standing { segments, archived, captured, run, base, epoch, anew })
}

/// Claims the writer epoch that this opening of the file commits under.
///
/// The next one, as a rule. Where another opening has claimed that, the file is a copy. One that was restored from this
/// archive is a copy by its operator's will, and has no claim of its own yet: it goes on as the next writer that nobody was.
fn claim_epoch(
    history: &History,
    segments: &[Segment],
    side: Side<'_>,
    captured: Option<Tip>,
    before: Option<&Claimed>,
    scratch: &Path,
    now_ms: i64,
) -> Result<u64> {
    let Side { service, found, .. } = side;
    let next = (found.epoch + 1) as u64;
    let epoch = before.filter(|b| b.history == hex(&found.history)).map_or(next, |before| before.epoch.max(next));
    if claim(history, epoch, &Claimed::nonce(scratch, &hex(&found.history), epoch)?, now_ms)? == Claim::Ours {
        return Ok(epoch);
    }
    let at_tip = captured.is_some_and(|tip| (tip.sequence, tip.epoch) == (found.sequence, Some(found.epoch as u64)));
    if before.is_none() && at_tip {
        let free = claims(history)?.into_iter().max().unwrap_or(epoch) + 1;
        if claim(history, free, &Claimed::nonce(scratch, &hex(&found.history), free)?, now_ms)? == Claim::Ours {
            return Ok(free);
        }
    }
    let text = format!(
        "another program archived {service} as its writer {epoch}: the file was copied, or put back from a copy. Nothing \
         was written"
    );
    let error = Error::new(Kind::Apart, text);
    Err(match captured {
        Some(tip) => error.between(sides(history, segments, side, &tip)),
        None => error,
    })
}

/// How often a place that has answered is asked the same before it counts as one that does not.
const ASKED_MAX: usize = 4;

/// Asks a place that has answered before again, where it fails: the comparison has some twenty questions, and one that fails now
/// and then would hardly ever answer all of them in a row. One that does not answer the first is asked no more.
#[derive(Default)]
struct Asking {
    answered: bool,
}

impl Asking {
    fn ask<T>(&mut self, mut question: impl FnMut() -> Result<T>) -> Result<T> {
        let mut asked = 1;
        loop {
            match question() {
                Err(e) if self.answered && asked < ASKED_MAX && unanswered(&e) => asked += 1,
                other => {
                    self.answered |= other.is_ok();
                    return other;
                }
            }
        }
    }
}

fn unanswered(e: &Error) -> bool {
    matches!(e.kind(), Kind::Unreachable | Kind::OutcomeUnknown)
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

/// Refuses a file that does not go on from its archive, as far as its last commit says.
fn refuse_apart(history: &History, segments: &[Segment], side: Side<'_>, tip: &Tip) -> Result<()> {
    let Side { service, found, kept } = side;
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

/// Refuses commits of a writer after whom another one took the history, unless that was this folder.
pub(crate) fn refuse_overtaken(history: &History, scratch: &Path, epoch: u64) -> Result<()> {
    let newest = claims(history)?.into_iter().max().unwrap_or(0);
    if newest <= epoch || Claimed::held(history, scratch)? >= Some(newest) {
        return Ok(());
    }
    let text = format!(
        "what waits in {} was committed by writer {epoch}, and writer {newest} of another folder has taken {} since: they may be \
         two lines. Nothing was carried or removed; move that folder away to go on without it",
        scratch.display(),
        history.root()
    );
    Err(Error::new(Kind::Apart, text))
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

/// What this folder claimed last: kept beside the store, so that the same opening may ask again.
struct Claimed {
    epoch: u64,
    history: String,
    nonce: String,
}

impl Claimed {
    const NAME: &'static str = "claim";

    /// `None` where the folder never claimed anything.
    fn read(scratch: &Path) -> Option<Claimed> {
        let text = beside::read(scratch, Self::NAME)?;
        let mut words = text.split_ascii_whitespace();
        let (epoch, nonce) = (u64::from_str_radix(words.next()?, 16).ok()?, words.next()?.to_owned());
        Some(Claimed { epoch, nonce, history: words.next().unwrap_or_default().to_owned() })
    }

    /// The writer epoch that this folder has claimed of a history; `None` where the claim is another's, or none was made.
    fn held(history: &History, scratch: &Path) -> Result<Option<u64>> {
        let Some(claimed) = Claimed::read(scratch).filter(|c| history.root().ends_with(&c.history)) else {
            return Ok(None);
        };
        let there = history.place().read_small(&history.name(&format!("claims/{:016x}", claimed.epoch)))?;
        Ok((there.as_deref() == Some(claimed.nonce.as_bytes())).then_some(claimed.epoch))
    }

    /// The nonce of this writer epoch: the one that was made before for the same epoch, or a new one.
    fn nonce(scratch: &Path, history: &str, epoch: u64) -> Result<String> {
        if let Some(there) = Claimed::read(scratch)
            && there.epoch == epoch
            && (there.history == history || there.history.is_empty())
            && there.nonce.len() == 32
        {
            return Ok(there.nonce);
        }
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).map_err(|e| Error::new(Kind::Io, format!("no random numbers: {e}")))?;
        let nonce = hex(&random);
        beside::write(scratch, Self::NAME, format!("{epoch:016x} {nonce} {history}").as_bytes())?;
        Ok(nonce)
    }
}

/// 16 bytes as 32 hexadecimal digits: how a history is named.
pub fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}
