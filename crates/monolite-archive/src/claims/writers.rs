//! Whose each commit of a history is: what the claims say, read from the newest backwards.
//!
//! **Invariants**
//! - Each commit has one writer, and each step backwards leads to a smaller number: reading ends.
//! - What was read is believed until it is forgotten, and no further than needed is read.

use super::{Claimed, claims};
use crate::Result;
use crate::history::History;
use std::sync::{Mutex, PoisonError};

/// Which writer each commit of a history is of, read from its claims when it is asked for: newest first, no further than needed.
#[derive(Debug, Default)]
pub(crate) struct Writers(Mutex<Chain>);

#[derive(Debug, Default)]
struct Chain {
    begun: bool,
    /// Whose line it is; none for that of the newest claim.
    own: Option<u64>,
    /// The claim that reading began with.
    newest: Option<u64>,
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

    /// The writer whose a commit is, where the claims say that it is not this one's.
    pub(crate) fn not_of(&self, history: &History, commit: u64, epoch: u64) -> Result<Option<u64>> {
        let another = |writer: Option<u64>| writer.filter(|writer| *writer != epoch);
        match another(self.of(history, commit)?) {
            Some(_) if self.forget_withdrawn(history)? => Ok(another(self.of(history, commit)?)),
            other => Ok(other),
        }
    }

    /// Forgets what was read where the newest claim has gone since: its writer has put nothing, and what an older one put stands. Not
    /// where a newer one came: what was read by then may be of another line.
    fn forget_withdrawn(&self, history: &History) -> Result<bool> {
        let chain = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(newest) = chain.newest.filter(|_| chain.own.is_none()) else { return Ok(false) };
        drop(chain);
        let stands = Claimed::read(history, newest)?.is_some();
        if stands || claims(history)?.last().is_some_and(|last| *last > newest) {
            return Ok(false);
        }
        self.forget(None);
        Ok(true)
    }

    /// The writer of a commit, as far as the claims say.
    pub(crate) fn of(&self, history: &History, commit: u64) -> Result<Option<u64>> {
        let mut chain = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !chain.begun {
            let newest = if chain.own.is_some() { chain.own } else { claims(history)?.last().copied() };
            chain.newest = newest;
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
