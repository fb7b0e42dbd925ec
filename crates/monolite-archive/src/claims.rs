//! Who writes a history: each opening of its file that changes something in the place claims its writer epoch there first, and
//! says after which commit it began.
//!
//! Two copies of a file may be served at once. Both go on from the same commit, so names of segments do not tell them apart.
//! The claims do: the newest one's line is the history, and what an older writer put beside it is nobody's.
//!
//! **Invariants**
//! - A writer claims, marks every older claim as overtaken, and only then looks whether something newer than its file is there.
//!   It looks for such a mark on its own claim after each put, before that counts. So of two writers one finds the other,
//!   whatever the order: what counted before the mark was seen by the newer one, which then is refused.
//! - A claim is never changed. A commit has one writer: that of the newest claim that began before it, and of those before
//!   that one, each after the commit that its successor began after.
//! - Claims of earlier programs say nothing of where they began: what is older than them is believed.
//!
//! Never here: what becomes of a writer that was overtaken.

use crate::history::{History, Segment};
use crate::ltx::Header;
use crate::manifest::{Claim, claim};
use crate::{Error, Kind, Result, beside, openings};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Claims that a folder remembers, the newest: as many as openings.
const REMEMBERED: usize = 256;
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

/// Refuses to go on as a writer after whom another one came. One small question.
pub(crate) fn refuse_marked(history: &History, epoch: u64) -> Result<()> {
    let mark = history.place().read_small(&format!("{}{NEXT}", name(history, epoch)))?;
    match mark {
        None => Ok(()),
        Some(by) => Err(overtaken(history, epoch, &String::from_utf8_lossy(&by))),
    }
}

fn overtaken(history: &History, epoch: u64, by: &str) -> Error {
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
}

impl Taking<'_> {
    /// Claims it; see the head of this file. `known`: segments that were looked at before. Again is no harm.
    ///
    /// # Errors
    /// [`Kind::Apart`] where a newer writer is there, or commits that this one's file does not have.
    pub(crate) fn take(&self, known: impl Fn(&Segment) -> bool) -> Result<()> {
        let epoch = self.mine.epoch;
        self.refuse_newer(&claims(self.history)?)?;
        self.claim_past()?;
        Memory::note(self.scratch, self.id, self.mine)?;
        if self.mine.put(self.history, self.now_ms)? == Claim::Others {
            return Err(self.others(epoch));
        }
        let (claims, marked) = all(self.history)?;
        self.refuse_newer(&claims)?;
        for older in claims.range(..epoch).filter(|older| !marked.contains(older)) {
            let mark = format!("{}{NEXT}", name(self.history, *older));
            match self.history.place().put_new(&mark, epoch.to_string().as_bytes(), self.now_ms) {
                Err(e) if e.kind() == Kind::Exists => {}
                other => other?,
            }
        }
        let found = self.mine.after.map_or(0, |(sequence, _)| sequence);
        let newer = |s: &Segment| s.name.last > found.max(self.archived) && !known(s);
        // All levels: what an older writer put may be merged by now, and what it was merged from be gone.
        for segment in self.history.segments()?.into_iter().filter(newer) {
            let header = self.history.header(&segment).map_err(|e| match e.kind() {
                Kind::Missing => Error::new(Kind::Unreachable, format!("{e}: it was merged meanwhile")),
                _ => e,
            })?;
            if header.epoch != epoch {
                self.withdraw();
                return Err(self.late(&segment, &header));
            }
        }
        Ok(())
    }

    fn refuse_newer(&self, claims: &BTreeSet<u64>) -> Result<()> {
        match claims.last() {
            Some(newest) if *newest > self.mine.epoch => {
                Err(overtaken(self.history, self.mine.epoch, &newest.to_string()))
            }
            _ => Ok(()),
        }
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
                    Memory::note(self.scratch, self.id, &past)?;
                    if past.put(self.history, self.now_ms)? == Claim::Others {
                        return Err(self.others(epoch));
                    }
                    (sequence, epoch) = after;
                }
            }
        }
        Ok(())
    }

    /// Nothing was put under this claim: it would only keep the other writer from going on.
    fn withdraw(&self) {
        let place = self.history.place();
        // Where that fails the other one is refused too, by name.
        let _ = place.delete(&name(self.history, self.mine.epoch));
        for older in claims(self.history).into_iter().flatten() {
            let mark = format!("{}{NEXT}", name(self.history, older));
            if place.read_small(&mark).is_ok_and(|by| by == Some(self.mine.epoch.to_string().into_bytes())) {
                let _ = place.delete(&mark);
            }
        }
    }

    fn others(&self, epoch: u64) -> Error {
        let text = format!(
            "another program archived {} as its writer {epoch}: the file was copied, or put back from a copy. Nothing was \
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

/// What a folder has claimed: kept beside the store, the newest first.
#[derive(Default)]
pub(crate) struct Memory(Vec<Own>);

struct Own {
    epoch: u64,
    nonce: String,
    /// None where an earlier program noted it.
    history: Option<String>,
}

impl Memory {
    const NAME: &'static str = "claim";

    pub(crate) fn read(scratch: &Path) -> Memory {
        let parse = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let (epoch, nonce) = (u64::from_str_radix(words.next()?, 16).ok()?, words.next()?.to_owned());
            Some(Own { epoch, nonce, history: words.next().map(str::to_owned) })
        };
        Memory(beside::read(scratch, Self::NAME).unwrap_or_default().lines().filter_map(parse).collect())
    }

    /// Whether something of this history was.
    pub(crate) fn has(&self, history: &str) -> bool {
        self.0.iter().any(|own| own.history.as_deref() == Some(history))
    }

    /// Whether this claim was.
    pub(crate) fn made(&self, history: &str, claimed: &Claimed) -> bool {
        let same = |own: &Own| own.history.as_deref().is_none_or(|of| of == history);
        self.0.iter().any(|own| (own.epoch, &own.nonce) == (claimed.epoch, &claimed.nonce) && same(own))
    }

    /// The writer epoch that this opening goes on as, as far as this folder knows: its own, or one that no opening here had.
    pub(crate) fn next(&self, history: &str, nonce: &str, own: u64) -> u64 {
        let newest = self.0.iter().filter(|own| own.history.as_deref() == Some(history)).max_by_key(|own| own.epoch);
        newest.map_or(own, |newest| own.max(newest.epoch + u64::from(newest.nonce != nonce)))
    }

    /// Remembers a claim, before it is made.
    fn note(scratch: &Path, history: &str, claimed: &Claimed) -> Result<()> {
        let mut all = Memory::read(scratch);
        if all.made(history, claimed) {
            return Ok(());
        }
        let (epoch, nonce) = (claimed.epoch, claimed.nonce.clone());
        all.0.push(Own { epoch, nonce, history: Some(history.to_owned()) });
        all.0.sort_by_key(|own| std::cmp::Reverse(own.epoch));
        all.0.truncate(REMEMBERED);
        let line = |own: &Own| {
            let history = own.history.as_deref().unwrap_or_default();
            format!("{:016x} {} {history}\n", own.epoch, own.nonce)
        };
        let text: String = all.0.iter().map(line).collect();
        beside::write(scratch, Self::NAME, text.as_bytes())
    }
}

/// Which writer each commit of a history is of, read from its claims when it is asked for: newest first, no further than needed.
#[derive(Debug, Default)]
pub(crate) struct Writers(Mutex<Chain>);

#[derive(Debug, Default)]
struct Chain {
    begun: bool,
    /// Whose line it is; none for that of the newest claim.
    own: Option<u64>,
    /// A writer and the commit that it began after, the newest first.
    runs: Vec<(u64, u64)>,
    /// The commit that the last of these began after, and its writer, who is not among them yet.
    before: Option<(u64, u64)>,
    /// No claim says more.
    ended: bool,
}

impl Writers {
    /// They are read again: those that lead to this writer, or to the newest. A writer that holds its claim goes by its own alone:
    /// one that came later and withdrew would have made its segments nobody's for a moment.
    pub(crate) fn forget(&self, own: Option<u64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Chain { own, ..Chain::default() };
    }

    /// The writer of a commit, as far as the claims say.
    pub(crate) fn of(&self, history: &History, commit: u64) -> Result<Option<u64>> {
        let mut chain = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !chain.begun {
            let newest = if chain.own.is_some() { chain.own } else { claims(history)?.last().copied() };
            chain.before = newest.map(|newest| (u64::MAX, newest));
            chain.begun = true;
        }
        loop {
            if let Some((writer, _)) = chain.runs.iter().find(|(_, after)| *after < commit) {
                return Ok(Some(*writer));
            }
            let Some((last, writer)) = chain.before.filter(|_| !chain.ended) else {
                return Ok(chain.before.filter(|(last, _)| *last == commit).map(|(_, writer)| writer));
            };
            match Claimed::read(history, writer)?.and_then(|claimed| claimed.after) {
                // Each began earlier, and as a lower number: whatever else a claim says, this ends.
                Some((after, before)) if after <= last && before < writer => {
                    chain.runs.push((writer, after));
                    chain.before = Some((after, before));
                }
                _ => chain.ended = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Folder;
    use std::sync::Arc;

    #[test]
    fn each_commit_has_the_writer_that_the_claims_lead_to() {
        let t = tempfile::tempdir().unwrap();
        let history = History::new(Arc::new(Folder::open(t.path()).unwrap()), "Users", "1").unwrap();
        let of = |commit| Writers::default().of(&history, commit).unwrap();
        assert_eq!(of(5), None);
        // Writer 4 is of an earlier program, writer 6 claimed nothing, and writer 8 went on apart.
        for (epoch, after) in
            [(4, None), (5, Some((30, 4))), (7, Some((40, 6))), (8, Some((41, 7))), (9, Some((45, 7)))]
        {
            Claimed { epoch, nonce: "n".into(), after }.put(&history, 0).unwrap();
        }
        assert_eq!([46, 45, 42, 41].map(of), [Some(9), Some(7), Some(7), Some(7)]);
        assert_eq!([40, 39, 30, 1].map(of), [Some(6), None, None, None]);
        // Who holds writer 8's claim goes by that, whoever comes.
        let held = Writers::default();
        assert_eq!(held.of(&history, 42).unwrap(), Some(7));
        held.forget(Some(8));
        assert_eq!([46, 42, 41].map(|commit| held.of(&history, commit).unwrap()), [Some(8), Some(8), Some(7)]);
    }
}
