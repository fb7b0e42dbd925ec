//! Who writes a history: each opening of its file that changes something in the place claims its writer epoch there first, and
//! says after which commit it began.
//!
//! Two copies of a file may be served at once. Both go on from the same commit, so names of segments do not tell them apart.
//! The claims do: the newest one's line is the history, and what an older writer put beside it is nobody's.
//!
//! **Invariants**
//! - A writer marks every older claim, claims, and only then looks whether something newer than its file is there. It looks for such a
//!   mark on its own claim after each put, before that counts; where there is one it lists the claims. So of two writers one finds
//!   the other, whatever the order: what counted before the newer one claimed was seen by that one, which then is refused.
//! - A mark is never removed, since a third writer may rely on it: it alone says only that the claims have to be listed.
//! - A claim is never changed, and removed only by its own opening, before anything was put under it.
//! - A commit has one writer: that of the newest claim that began before it, and of those before that one, each after the commit
//!   that its successor began after.
//! - Claims of earlier programs say nothing of where they began: what is older than them is believed.
//!
//! Never here: what becomes of a writer that was overtaken.

mod memory;
#[cfg(test)]
mod tests;
mod writers;

pub(crate) use memory::Memory;
pub(crate) use writers::Writers;

use crate::asking::Asking;
use crate::history::{History, Segment};
use crate::layout::{Layout, Level};
use crate::ltx::Header;
use crate::manifest::{Claim, claim};
use crate::{Error, Kind, Result, openings};
use std::collections::BTreeSet;
use std::path::Path;

/// Behind a claim's name: another writer came.
const NEXT: &str = ".next";

/// One opening's claim of a writer epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) epoch: u64,
    /// Names the opening.
    pub(crate) nonce: String,
    /// The commit that it began after, and that one's writer epoch; none where an earlier program claimed.
    pub(crate) after: Option<(u64, u64)>,
}

impl Claimed {
    /// Reads a claim; `None` where nobody claimed that epoch.
    pub(crate) fn read(history: &History, epoch: u64) -> Result<Option<Claimed>> {
        let there = history.place().read_small(&name(history, epoch))?;
        Ok(there.map(|bytes| Claimed::parse(epoch, &String::from_utf8_lossy(&bytes))))
    }

    fn parse(epoch: u64, text: &str) -> Claimed {
        let mut words = text.split_ascii_whitespace();
        let nonce = words.next().unwrap_or_default().to_owned();
        let mut number = || words.next()?.parse().ok();
        let after = number().zip(number());
        Claimed { epoch, nonce, after }
    }

    fn put(&self, history: &History, now_ms: i64) -> Result<Claim> {
        let after = self.after.map_or(String::new(), |(sequence, epoch)| format!(" {sequence} {epoch}"));
        claim(history, self.epoch, &format!("{}{after}", self.nonce), now_ms)
    }
}

fn name(history: &History, epoch: u64) -> String {
    history.name(&format!("claims/{epoch:016x}"))
}

/// The writer epochs that were claimed of a history, and those that were overtaken.
fn all(history: &History) -> Result<(BTreeSet<u64>, BTreeSet<u64>)> {
    let entries = history.place().list(&history.name("claims"))?;
    let (mut claims, mut overtaken) = (BTreeSet::new(), BTreeSet::new());
    for entry in entries {
        let (to, digits) = match entry.name.strip_suffix(NEXT) {
            Some(digits) => (&mut overtaken, digits),
            None => (&mut claims, entry.name.as_str()),
        };
        to.extend(u64::from_str_radix(digits, 16));
    }
    Ok((claims, overtaken))
}

/// The writer epochs that were claimed of a history.
pub(crate) fn claims(history: &History) -> Result<BTreeSet<u64>> {
    Ok(all(history)?.0)
}

/// Refuses to go on as a writer after whom another one came. One small question; where that is answered by a mark, a listing: whoever
/// set it may have withdrawn, and another one that relies on it may have come since.
pub(crate) fn refuse_marked(history: &History, epoch: u64) -> Result<()> {
    match history.place().read_small(&format!("{}{NEXT}", name(history, epoch)))? {
        None => Ok(()),
        Some(_) => refuse_newer(history, epoch, &claims(history)?),
    }
}

/// Refuses to count what was put into a folder that was emptied: without its claim, and what lay beside that, nothing is restored. A
/// bucket is not asked, which takes longer: who empties that finds it with the next proof.
pub(crate) fn refuse_emptied(history: &History, epoch: u64) -> Result<()> {
    if history.place().layout() != Layout::Folder || Claimed::read(history, epoch)?.is_some() {
        return Ok(());
    }
    let text = format!(
        "the claim of this writer, {epoch}, is not in {} of {} any more: the archive was emptied. Put it back; to begin a new one there, \
         start the server again",
        history.root(),
        history.place().describe()
    );
    Err(Error::new(Kind::Unreachable, text))
}

fn refuse_newer(history: &History, epoch: u64, claims: &BTreeSet<u64>) -> Result<()> {
    match claims.last() {
        Some(newest) if *newest > epoch => Err(overtaken(history, epoch, *newest)),
        _ => Ok(()),
    }
}

fn overtaken(history: &History, epoch: u64, by: u64) -> Error {
    let text = format!(
        "writer {by} has taken {} over from writer {epoch}: another server runs on a copy of the same file and archives to the \
         same place. What this one commits is not archived any more",
        history.root()
    );
    Error::new(Kind::Apart, text)
}

/// A history that is about to be written by an opening of its file.
pub(crate) struct Taking<'a> {
    pub(crate) history: &'a History,
    /// The history's id.
    pub(crate) id: &'a str,
    pub(crate) scratch: &'a Path,
    pub(crate) mine: &'a Claimed,
    /// The newest commit that this writer knows to be in the place.
    pub(crate) archived: u64,
    pub(crate) now_ms: i64,
    /// Asked before something is changed beside the store, and before a claim is put: whether that is still this one's to do.
    pub(crate) go_on: &'a dyn Fn() -> Result<()>,
}

impl Taking<'_> {
    /// Claims it; see the head of this file. `known`: segments that were looked at before. Again is no harm.
    ///
    /// # Errors
    /// [`Kind::Apart`] where a newer writer is there, or commits that this one's file does not have.
    pub(crate) fn take(&self, known: impl Fn(&Segment) -> bool) -> Result<()> {
        let held = Memory::read(self.scratch).held(self.id, self.mine);
        match self.claim(&known, held).and_then(|()| self.look(&known, held)) {
            Err(e) if e.kind() == Kind::Apart && !held => {
                // Where that fails the other one is refused too, by name.
                let _ = remove(self.history, self.mine);
                Err(e)
            }
            Err(e) => Err(e),
            Ok(()) => Memory::hold(self.scratch, self.id, &self.mine.nonce),
        }
    }

    fn claim(&self, known: &impl Fn(&Segment) -> bool, held: bool) -> Result<()> {
        let (claims, marked) = all(self.history)?;
        refuse_newer(self.history, self.mine.epoch, &claims)?;
        if !held {
            self.refuse_late(known)?; // one that is refused already makes nobody stop
        }
        // Ahead of the claim: were this program killed behind it, the older writer's next put would not count.
        self.mark(&claims, &marked)?;
        self.claim_past()?;
        match self.put(self.mine)? {
            Claim::Ours => Ok(()),
            Claim::Others => Err(self.others(self.mine.epoch)),
        }
    }

    /// Puts a claim, remembered before. The place may have kept this one waiting until its folder was exchanged for another's.
    fn put(&self, claimed: &Claimed) -> Result<Claim> {
        (self.go_on)()?;
        Memory::note(self.scratch, self.id, claimed)?;
        (self.go_on)()?;
        claimed.put(self.history, self.now_ms)
    }

    /// With the claim in the place. What older writers put since one was held has never counted.
    fn look(&self, known: &impl Fn(&Segment) -> bool, held: bool) -> Result<()> {
        let (claims, marked) = all(self.history)?;
        refuse_newer(self.history, self.mine.epoch, &claims)?;
        self.mark(&claims, &marked)?;
        if held { Ok(()) } else { self.refuse_late(known) }
    }

    /// Marks all claims before this one as overtaken.
    fn mark(&self, claims: &BTreeSet<u64>, marked: &BTreeSet<u64>) -> Result<()> {
        let epoch = self.mine.epoch;
        for older in claims.range(..epoch).filter(|older| !marked.contains(older)) {
            let mark = format!("{}{NEXT}", name(self.history, *older));
            match self.history.place().put_new(&mark, epoch.to_string().as_bytes(), self.now_ms) {
                Err(e) if e.kind() == Kind::Exists => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Refuses to go on where commits lie there that this writer's file does not have.
    fn refuse_late(&self, known: &impl Fn(&Segment) -> bool) -> Result<()> {
        let found = self.mine.after.map_or(0, |(sequence, _)| sequence);
        let newer = |s: &Segment| s.name.last > found.max(self.archived) && !known(s);
        let mut place = Asking::default();
        let mut segments = Vec::new();
        // All levels, upwards: what an older writer put may be merged by now, and what it was merged from be gone.
        for level in Level::all() {
            segments.extend(place.ask(|| self.history.level(level))?);
        }
        for segment in segments.into_iter().filter(newer) {
            let header = place.ask(|| self.history.header(&segment)).map_err(|e| match e.kind() {
                Kind::Missing => Error::new(Kind::Unreachable, format!("{e}: it was merged meanwhile")),
                _ => e,
            })?;
            if header.epoch != self.mine.epoch {
                return Err(self.late(&segment, &header));
            }
        }
        Ok(())
    }

    /// Openings before this one that put nothing, but whose commits this one puts: the place was not there then.
    fn claim_past(&self) -> Result<()> {
        let Some((mut sequence, mut epoch)) = self.mine.after else { return Ok(()) };
        let memory = Memory::read(self.scratch);
        while sequence > self.archived && epoch > 0 {
            let noted = openings::began(self.scratch, self.id, epoch);
            match (Claimed::read(self.history, epoch)?, noted) {
                (Some(there), Some(_)) if there.after.is_some() && !memory.made(self.id, &there) => {
                    return Err(self.others(epoch));
                }
                (Some(_), _) | (None, None) => return Ok(()),
                (None, Some(after)) => {
                    let past = Claimed { epoch, nonce: self.mine.nonce.clone(), after: Some(after) };
                    if self.put(&past)? == Claim::Others {
                        return Err(self.others(epoch));
                    }
                    (sequence, epoch) = after;
                }
            }
        }
        Ok(())
    }

    fn others(&self, epoch: u64) -> Error {
        let text = format!(
            "another program has claimed {} as its writer {epoch}: the file was copied, or put back from a copy. Nothing was \
             archived",
            self.history.root()
        );
        Error::new(Kind::Apart, text)
    }

    fn late(&self, segment: &Segment, header: &Header) -> Error {
        let text = format!(
            "writer {} has put {segment} into {}, whose commits this file does not have: another server runs on a copy of the \
             same file. Nothing was archived",
            header.epoch,
            self.history.root()
        );
        Error::new(Kind::Apart, text)
    }
}

/// Removes a claim under which nothing was put, and those that its opening made with it: they would only keep the other writer from
/// going on. Marks stay. Whoever asks for it knows of nothing that was put; a folder that was put back knows too little, so that
/// what lies there is looked at too.
fn remove(history: &History, claimed: &Claimed) -> Result<()> {
    let mut own = Vec::new();
    for epoch in claims(history)?.range(..=claimed.epoch).rev() {
        match Claimed::read(history, *epoch)? {
            Some(there) if there.nonce == claimed.nonce => own.push(there),
            _ if *epoch < claimed.epoch => break,
            _ => {}
        }
    }
    let Some(after) = own.iter().map(|own| own.after.map_or(0, |(sequence, _)| sequence)).min() else { return Ok(()) };
    for segment in history.segments()?.iter().filter(|s| s.name.last > after) {
        match history.header(segment) {
            Ok(header) if own.iter().any(|own| own.epoch == header.epoch) => return Ok(()),
            Err(e) if e.kind() == Kind::Damaged => return Ok(()), // it may be
            Err(e) if e.kind() == Kind::Missing => {
                return Err(Error::new(Kind::Unreachable, format!("{e}: it was merged meanwhile")));
            }
            other => drop(other?),
        }
    }
    own.iter().try_for_each(|own| history.place().delete(&name(history, own.epoch)))
}

/// Removes the newest claim where an earlier opening of this folder made it and ended before it held it: readers go by it, and pass over
/// what the writer before it put, though that may count.
pub(crate) fn take_back(history: &History, id: &str, memory: &Memory, nonce: &str) -> Result<()> {
    let Some(newest) = claims(history)?.last().copied() else { return Ok(()) };
    match Claimed::read(history, newest)? {
        Some(there) if there.nonce != nonce && memory.made(id, &there) && !memory.held(id, &there) => {
            remove(history, &there)
        }
        _ => Ok(()),
    }
}

/// Refuses commits of a writer after whom another one took the history, unless that was this folder.
pub(crate) fn refuse_overtaken(history: &History, id: &str, scratch: &Path, epoch: u64) -> Result<()> {
    let newest = claims(history)?.last().copied().unwrap_or(0);
    let there = if newest > epoch { Claimed::read(history, newest)? } else { None };
    if there.is_none_or(|there| Memory::read(scratch).made(id, &there)) {
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
