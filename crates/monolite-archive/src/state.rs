//! Where an archive and a file stand to each other, when the file is opened.
//!
//! **Invariants**
//! - A file that is behind its archive, or went on apart from it, is refused with both sides; nothing is written.
//! - What cannot be proven to go on from the archive gets a new base.

use crate::history::{History, Segment};
use crate::layout::SegmentName;
use crate::ltx::Header;
use crate::manifest::{Claim, Manifest, claim};
use crate::plan::{Plan, Target};
use crate::spool::Spool;
use crate::{Error, FORMAT, Kind, Result, beside, moment};
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
    let segments = history.segments()?;
    let newest = segments.iter().max_by_key(|s| s.name.last);
    let archived = newest.map(|segment| history.header(segment).map(Tip::from)).transpose()?;
    let mut base = match Plan::to(&segments, Target::Latest, |s| Ok(s.created_ms)) {
        Ok(_) => None,
        Err(_) if segments.is_empty() => Some("nothing is archived yet".to_owned()),
        Err(why) => Some(why.to_string()),
    };
    let captured = with_spool(spool, archived, &mut base)?;
    if let Some(tip) = captured {
        refuse_apart(side, &tip)?;
    }
    manifest.settle(history)?;
    let epoch = (found.epoch + 1) as u64;
    if claim(history, epoch, &nonce(scratch, epoch)?, now_ms)? == Claim::Others {
        let text = format!(
            "another program archived {service} as its writer {epoch}: the file was copied, or put back from a copy. Nothing \
             was written. Begin a new history, or restore the newest commit"
        );
        return Err(Error::new(Kind::Apart, text));
    }
    let run = captured.map(|tip| run(&segments, &spool.all(), tip.sequence));
    Ok(Standing { segments, archived, captured, run, base })
}

/// Forgets what the place has, and joins what waits to it.
fn with_spool(spool: &Spool, archived: Option<Tip>, base: &mut Option<String>) -> Result<Option<Tip>> {
    let mut tip = archived;
    for segment in spool.all() {
        if tip.is_some_and(|tip| segment.name.last <= tip.sequence) {
            spool.remove_first()?;
            continue;
        }
        if tip.is_none_or(|tip| segment.name.first > tip.sequence + 1) {
            let first = segment.name.first;
            base.get_or_insert(format!("the spool goes on with commit {first}, which is not the next"));
        }
        tip = Some(spool.history().header(&segment)?.into());
    }
    Ok(tip)
}

/// Refuses a file that does not go on from its archive, as far as its last commit says.
fn refuse_apart(side: Side<'_>, tip: &Tip) -> Result<()> {
    let Side { service, found, kept } = side;
    let moment = moment::text(tip.at_ms);
    if found.sequence.max(kept) < tip.sequence {
        let text = format!(
            "{service} is at commit {}, but its archive has commit {} of {moment}: the file was put back from an older copy. \
             Nothing was changed. Restore the newest commit from the archive, or begin a new history",
            found.sequence, tip.sequence
        );
        return Err(Error::new(Kind::Behind, text));
    }
    if found.sequence == tip.sequence && tip.epoch.is_some_and(|epoch| epoch != found.epoch as u64) {
        return Err(apart(service, tip, found.epoch as u64));
    }
    Ok(())
}

/// How far back everything up to a commit is kept without a gap.
fn run(segments: &[Segment], spooled: &[Segment], last: u64) -> u64 {
    let mut all: Vec<_> = segments.iter().chain(spooled).filter(|s| !s.name.is_base()).map(|s| s.name).collect();
    all.sort_unstable_by_key(|name| std::cmp::Reverse((name.last, name.first)));
    let joins = |run: u64, name: &SegmentName| if name.last >= run { run.min(name.first - 1) } else { run };
    all.iter().fold(last, joins)
}

/// Commit `tip` of the file is not that of the archive.
pub(crate) fn apart(service: &str, tip: &Tip, epoch: u64) -> Error {
    let text = format!(
        "commit {} of {service} is not the one that its archive has from {}: writer {epoch} made the one, writer {} the other. \
         The file was put back from a copy and went on. Nothing was changed. Restore the newest commit from the archive, or \
         begin a new history",
        tip.sequence,
        moment::text(tip.at_ms),
        tip.epoch.unwrap_or_default()
    );
    Error::new(Kind::Apart, text)
}

/// The nonce of this writer epoch: the one that was made before for the same epoch, or a new one.
fn nonce(scratch: &Path, epoch: u64) -> Result<String> {
    let line = format!("{epoch:016x} ");
    if let Some(there) = beside::read(scratch, "claim")
        && let Some(nonce) = there.strip_prefix(&line)
        && nonce.len() == 32
    {
        return Ok(nonce.to_owned());
    }
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|e| Error::new(Kind::Io, format!("no random numbers: {e}")))?;
    let nonce = hex(&random);
    beside::write(scratch, "claim", format!("{line}{nonce}").as_bytes())?;
    Ok(nonce)
}

/// 16 bytes as 32 hexadecimal digits: how a history is named.
pub fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}
