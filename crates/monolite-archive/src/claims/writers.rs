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
